//! Statuses as agencies change them, one by one and by lists, and what verifiers then see.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use markstein_proto::{Hash, receipt::Receipt};
use markstein_tests::{
    client::{Client, Run},
    cluster::Cluster,
    files::receipt_of,
    issuers::admit,
};
use serde_json::Value;

use crate::support::{Ledger, text};

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.said()))
}

fn read(receipt: &Path) -> Receipt {
    Receipt::from_json(&fs::read(receipt).unwrap()).unwrap()
}

/// Anchored documents of this many, each in the folder of that name.
fn anchored(ledger: &Ledger, name: &str, count: usize) -> Vec<PathBuf> {
    let folder = ledger.folder(name);
    let document = |number| {
        let path = folder.join(format!("{number:03}.txt"));
        fs::write(&path, format!("{name} {number}")).unwrap();
        path
    };
    let documents: Vec<PathBuf> = (0..count).map(document).collect();
    let run = ledger.anchor(&[text(&folder)]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    documents
}

/// A command that writes, with the devnet's key.
fn command(ledger: &Ledger, verb: &str, more: &[&str]) -> Run {
    let key = ledger.devnet.issuer_key();
    let fixed = [verb, "--node", ledger.devnet.url(), "--key", text(&key)];
    ledger.client.run(fixed.iter().chain(more)).unwrap()
}

#[test]
fn a_document_is_revoked_by_its_receipt_and_its_new_receipt_says_so() {
    let ledger = Ledger::start();
    let documents = anchored(&ledger, "one", 2);
    let receipt = receipt_of(&documents[0]);
    let (old, apart) = (fs::read(&receipt).unwrap(), ledger.folder.path().join("apart"));

    let run = command(&ledger, "revoke", &[text(&receipt)]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(run.stderr.contains("say why with --reason: issued-in-error"), "{}", run.said());
    let reason = ["--reason", "court-order"];
    let run =
        command(&ledger, "revoke", &[&reason[..], &["--receipts", text(&apart), text(&receipt)]].concat());
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert!(run.stdout.contains("is revoked now; its receipt is new: "), "{}", run.said());
    assert!(run.stdout.contains("Revoked 1 record on ledger"), "{}", run.said());
    assert_eq!(fs::read(&receipt).unwrap(), old, "the old one stays where the new one goes elsewhere");
    assert_eq!(ledger.verify(&[text(&documents[0])]).code, Some(0), "an older receipt tells of its own time");
    let new = apart.join("000.txt.markstein.json");
    let seen = ledger.verify(&["--receipt", text(&new), text(&documents[0])]);
    assert_eq!(seen.code, Some(3), "{}", seen.said());
    assert!(seen.stdout.contains("genuine, but it was revoked"), "{}", seen.said());
    assert!(seen.stdout.contains("a court ordered it"), "{}", seen.said());

    // Said once more, it is so already; the receipt there is takes the new one's place.
    let run = command(&ledger, "revoke", &["--reason", "other", "--json", text(&documents[0])]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let answer = json(&run);
    assert_eq!(answer["unchanged"][0]["outcome"], "already");
    assert_eq!((answer["changed"].as_array().unwrap().len(), answer["error"].is_null()), (0, true));
    assert_eq!(ledger.verify(&[text(&documents[0])]).code, Some(3));
    assert_eq!(read(&receipt).salt, Receipt::from_json(&old).unwrap().salt);
    assert_eq!(ledger.verify(&[text(&documents[1])]).code, Some(0), "the other one is as it was");

    let run = command(&ledger, "suspend", &["--reason", "under-review", text(&documents[0])]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(run.stderr.contains("was revoked on") && run.stderr.contains("for good"), "{}", run.said());
}

#[test]
fn a_suspended_document_is_reinstated_and_its_history_stays() {
    let ledger = Ledger::start();
    let document = &anchored(&ledger, "one", 1)[0];
    let index = read(&receipt_of(document)).record.index.to_string();
    let run = command(&ledger, "suspend", &["--reason", "appeal", "--json", &index]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let changed = &json(&run)["changed"][0];
    assert_eq!((changed["to"].as_str(), changed["reason"].as_str()), (Some("suspended"), Some("appeal")));
    assert_eq!((changed["index"].to_string(), changed["receipts"].as_array().unwrap().len()), (index, 0));
    assert_eq!(ledger.verify(&[text(document)]).code, Some(0), "by its number no receipt is renewed");
    let run = command(&ledger, "reinstate", &[text(document)]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let seen = ledger.verify(&[text(document)]);
    assert_eq!(seen.code, Some(0), "{}", seen.said());
    for part in ["suspended on", "somebody appealed against it", "made valid again on"] {
        assert!(seen.stdout.contains(part), "{part}: {}", seen.said());
    }
}

#[test]
fn a_list_is_read_whole_first_and_then_what_can_be_done_is_done() {
    let ledger = Ledger::start();
    let documents = anchored(&ledger, "many", 5);
    let (list, comma) = (ledger.folder.path().join("list.csv"), documents[4].with_file_name("a, b.txt"));
    fs::rename(&documents[4], &comma).unwrap();
    fs::rename(receipt_of(&documents[4]), receipt_of(&comma)).unwrap();
    let good = format!(
        "# withdrawn in May\r\n{}\r\n{},unlawful\r\n\r\n\"{}\"\r\n",
        text(&documents[0]),
        text(&receipt_of(&documents[1])),
        text(&comma)
    );
    let revoke = |content: String, more: &[&str]| {
        fs::write(&list, content).unwrap();
        command(&ledger, "revoke", &[&["--list", text(&list)], more].concat())
    };
    let nothing_is_revoked = |run: &Run| {
        assert_eq!(run.code, Some(2), "{}", run.said());
        assert_eq!(ledger.verify(&[text(&documents[0]), text(&comma)]).code, Some(0), "{}", run.said());
    };
    for (line, says) in [
        ("x.txt,whim", "line 6: \"whim\" is no reason"),
        ("x.txt,other,more", "line 6: write a record"),
        (",other", "line 6: there is no record"),
        ("\"x.txt", "line 6: a quote is not closed"),
    ] {
        let run = revoke(format!("{good}{line}\n"), &["--reason", "other"]);
        nothing_is_revoked(&run);
        assert!(run.stderr.contains(says) && run.stderr.contains("nothing was sent"), "{}", run.said());
    }
    let run = revoke(good.clone(), &[]);
    nothing_is_revoked(&run);
    assert!(run.stderr.contains("line 2: there is no reason"), "{}", run.said());
    // Lines that can be read and name no record.
    let foreign = ledger.folder.path().join("foreign.markstein.json");
    fs::write(&foreign, "{}").unwrap();
    let bad = format!("{good}{}\n{}\n", text(&foreign), text(&documents[4]));
    let run = revoke(bad.clone(), &["--reason", "other"]);
    nothing_is_revoked(&run);
    for part in ["line 6, ", "not a Markstein receipt", "line 7, ", "2 of the records cannot be found"] {
        assert!(run.stderr.contains(part), "{part}: {}", run.said());
    }
    let run = revoke(
        format!("{bad}{}\n0\n999999\n", text(&documents[2])),
        &["--reason", "other", "--keep-going", "--json"],
    );
    assert_eq!(run.code, Some(2), "{}", run.said());
    let answer = json(&run);
    let lines = |items: &Value| -> Vec<u64> {
        let number = |item: &Value| item["names"][0]["number"].as_u64().or(item["number"].as_u64()).unwrap();
        items.as_array().unwrap().iter().map(number).collect()
    };
    assert_eq!(lines(&answer["changed"]), [2, 3, 5, 8]);
    assert_eq!((lines(&answer["failed"]), lines(&answer["unchanged"])), (vec![6, 7], vec![9, 10]));
    assert!(run.stderr.contains("line 9, 0: record 0 is no anchored document"), "{}", run.said());
    let seen = ledger.verify(&["--json", text(&documents[0]), text(&documents[1]), text(&documents[3])]);
    let reason = |i: usize| json(&seen)["documents"][i]["proof"]["history"][0]["reason"].clone();
    assert_eq!([reason(0), reason(1), reason(2)], [Value::from("other"), "unlawful".into(), Value::Null]);
}

#[test]
fn a_successor_takes_the_place_of_the_old_document() {
    let ledger = Ledger::start();
    let documents = anchored(&ledger, "old", 3);
    let folder = ledger.folder("new");
    let new: Vec<PathBuf> = (0..4).map(|number| folder.join(format!("{number}.txt"))).collect();
    new.iter().for_each(|path| fs::write(path, text(path)).unwrap());
    let run = command(&ledger, "supersede", &[text(&new[0]), text(&documents[0])]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert!(run.stdout.contains("is superseded now; its receipt is new"), "{}", run.said());
    let [old, successor] = [&documents[0], &new[0]].map(|d| ledger.verify(&["--json", text(d)]));
    assert_eq!((old.code, successor.code), (Some(3), Some(0)));
    let (old, successor) = (&json(&old)["documents"][0]["proof"], &json(&successor)["documents"][0]["proof"]);
    assert_eq!((&old["status"], &successor["supersedes"]), (&"superseded".into(), &old["index"]));
    assert_eq!(
        (&old["history"][0]["index"], &old["document_type"]),
        (&successor["index"], &successor["document_type"])
    );
    assert_eq!(
        old["history"][0]["at"], successor["anchored_at"],
        "there is no moment with two, nor with none"
    );
    let again = command(&ledger, "supersede", &[text(&new[0]), text(&documents[0])]);
    assert_eq!(again.code, Some(0), "{}", again.said());

    let list = ledger.folder.path().join("list");
    let line = |new: usize, old: &Path| format!("{},{}\n", text(&new_at(&folder, new)), text(old));
    let lines = [line(1, &documents[1]), line(2, &documents[0]), line(3, &documents[1])].concat();
    fs::write(&list, lines).unwrap();
    let run = command(&ledger, "supersede", &["--json", "--list", text(&list)]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    let answer = json(&run);
    assert_eq!(
        (answer["anchored"].as_array().unwrap().len(), answer["unchanged"].as_array().unwrap().len()),
        (1, 2)
    );
    assert!(run.stderr.contains("line 2, ") && run.stderr.contains("was superseded on"), "{}", run.said());
    assert!(run.stderr.contains("line 3, ") && run.stderr.contains("number 1"), "{}", run.said());
    assert!(!receipt_of(&new[2]).exists() && !receipt_of(&new[3]).exists());
    fs::write(&list, line(2, &documents[2]).repeat(2)).unwrap();
    let run = command(&ledger, "supersede", &["--list", text(&list)]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(
        run.stderr.contains("line 2: another document") && run.stderr.contains("nothing was sent"),
        "{}",
        run.said()
    );
}

fn new_at(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number}.txt"))
}

/// A ledger with two issuers, and the key of the second.
fn two_issuers(folder: &Path) -> (Cluster, PathBuf) {
    let mut cluster = Cluster::prepare(&folder.join("ledger"), 1, 0).unwrap();
    let key = admit(&cluster, folder, &[("other.example", "Another")]).unwrap().remove(0);
    cluster.start_all().unwrap();
    (cluster, key)
}

#[test]
fn somebody_elses_record_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (cluster, other) = two_issuers(folder.path());
    let client = Client::new(&folder.path().join("state")).unwrap();
    let (url, genesis, own) = (cluster.url(0).unwrap(), cluster.genesis(), cluster.issuer_key());
    let [mine, yours] = ["mine", "yours"].map(|name| folder.path().join(name));
    for (key, document) in [(&own, &mine), (&other, &yours)] {
        fs::write(document, text(document)).unwrap();
        let run = client.run([
            "anchor",
            "--node",
            &url,
            "--genesis",
            text(&genesis),
            "--key",
            text(key),
            "--type",
            "decision",
            text(document),
        ]);
        let run = run.unwrap();
        assert_eq!(run.code, Some(0), "{}", run.said());
    }
    let list = folder.path().join("list");
    fs::write(&list, format!("{}\n{}\n", text(&receipt_of(&yours)), text(&receipt_of(&mine)))).unwrap();
    let fixed = ["--node", &url, "--genesis", text(&genesis), "--key", text(&own)];
    let run = client
        .run(["revoke"].iter().chain(&fixed).chain(&["--reason", "other", "--list", text(&list)]))
        .unwrap();
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(
        run.stderr.contains("line 1, ") && run.stderr.contains("Another (other.example), who alone"),
        "{}",
        run.said()
    );
    assert!(run.stdout.contains("Revoked 1 record"), "{}", run.said());
    let verify =
        |document: &Path| client.run(["verify", "--genesis", text(&genesis), text(document)]).unwrap().code;
    assert_eq!((verify(&yours), verify(&mine)), (Some(0), Some(3)));
    let new = folder.path().join("new");
    fs::write(&new, "new").unwrap();
    let run = client.run(["supersede"].iter().chain(&fixed).chain(&[text(&new), text(&yours)])).unwrap();
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(run.stderr.contains("who alone") && !receipt_of(&new).exists(), "{}", run.said());
}

/// What a client sends to a node by way of this.
fn overheard(node: &str) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (node, heard) = (node.strip_prefix("http://").unwrap().to_owned(), Arc::new(Mutex::new(Vec::new())));
    let all = heard.clone();
    thread::spawn(move || {
        for near in listener.incoming() {
            let (mut near, mut far) = (near.unwrap(), TcpStream::connect(&node).unwrap());
            let (mut from_far, mut to_near) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_far, &mut to_near);
                let _ = to_near.shutdown(Shutdown::Both);
            });
            let all = all.clone();
            thread::spawn(move || {
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = near.read(&mut bytes) {
                    all.lock().unwrap().extend(&bytes[..count]);
                    far.write_all(&bytes[..count]).unwrap();
                }
                let _ = far.shutdown(Shutdown::Both);
            });
        }
    });
    (url, heard)
}

#[test]
fn neither_document_nor_salt_leaves_the_machine() {
    let ledger = Ledger::start();
    let documents = anchored(&ledger, "secret-folder", 2);
    let new = ledger.folder("secret-folder").join("successor.txt");
    fs::write(&new, "a document with a name in it").unwrap();
    let receipts: Vec<PathBuf> = documents.iter().map(|document| receipt_of(document)).collect();
    let (url, heard) = overheard(ledger.devnet.url());
    let key = ledger.devnet.issuer_key();
    let run = |words: &[&str]| {
        let fixed = ["--node", &url, "--key", text(&key)];
        let run = ledger.client.run(words[..1].iter().chain(&fixed).chain(&words[1..])).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.said());
    };
    run(&["suspend", "--reason", "appeal", text(&documents[0]), text(&documents[1])]);
    run(&["revoke", "--reason", "other", text(&documents[0])]);
    run(&["supersede", text(&new), text(&documents[1])]);
    let heard = heard.lock().unwrap();
    assert!(heard.len() > 1000, "{}", heard.len());
    let contains = |what: &[u8]| heard.windows(what.len()).any(|window| window == what);
    assert!(contains(b"bauaufsicht.neustadt.example"), "it is overheard");
    let salts = receipts.iter().map(|path| read(path).salt.unwrap().0.to_vec());
    let salts = salts.chain([read(&receipt_of(&new)).salt.unwrap().0.to_vec()]);
    for path in documents.iter().chain([&new]) {
        let content = fs::read(path).unwrap();
        assert!(!contains(&content) && !contains(&Hash::of(&[&content]).0), "{}", path.display());
    }
    assert!(salts.into_iter().all(|salt| !contains(&salt)));
    assert!(!contains(b"secret-folder") && !contains(b".txt"));
}
