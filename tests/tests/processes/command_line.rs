//! The commands that others call, word for word, and the exit codes that scripts trust.

use std::{fs, path::Path, process::Command};

use markstein_tests::{
    binaries::{Voice, binaries},
    client::Run,
    files::receipt_of,
};
use serde_json::Value;

use crate::support::{Ledger, text};

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.said()))
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn anchored(ledger: &Ledger, name: &str) -> std::path::PathBuf {
    let document = ledger.folder("documents").join(name);
    fs::write(&document, format!("decision {name}")).unwrap();
    let run = ledger.anchor(&[text(&document)]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    document
}

#[test]
fn the_four_commands_work_as_they_are_written_down() {
    let ledger = Ledger::start(); // markstein-node devnet --dir D --authorities 1
    let d = ledger.devnet.dir();
    for made in ["genesis.toml", "issuer.key", "node0", "endpoints.json"] {
        assert!(d.join(made).exists(), "{made}");
    }
    let endpoints: Value = serde_json::from_slice(&fs::read(d.join("endpoints.json")).unwrap()).unwrap();
    assert_eq!(endpoints["nodes"][0]["grpc"], ledger.devnet.url());
    assert!(endpoints["nodes"][0]["operator"].as_str().unwrap().starts_with("http://127.0.0.1:"));

    let (files, receipts) = (ledger.folder("files"), ledger.folder.path().join("receipts"));
    let (a, b) = (files.join("a.txt"), files.join("b.txt"));
    fs::write(&a, "a").unwrap();
    fs::write(&b, "b").unwrap();
    let url = ledger.devnet.url();
    let (key, genesis) = (ledger.devnet.issuer_key(), ledger.devnet.genesis());
    let run = |arguments: &[&str]| ledger.client.run(arguments).unwrap();
    let anchor = ["anchor", "--node", url, "--key", text(&key), "--type", "building-permit"];
    let done = run(&[&anchor[..], &["--public", "--receipts", text(&receipts), text(&a)]].concat());
    assert_eq!(done.code, Some(0), "{}", done.said());
    assert!(!receipt_of(&a).exists(), "receipts go where they were told to");
    let done = run(&[&anchor[..], &[text(&b)]].concat());
    assert_eq!(done.code, Some(0), "{}", done.said());

    let apart = receipts.join("a.txt.markstein.json");
    let done = run(&["verify", "--genesis", text(&genesis), "--receipt", text(&apart), "--json", text(&a)]);
    assert_eq!((done.code, json(&done)["documents"][0]["proof"]["public"].as_bool()), (Some(0), Some(true)));
    let done = run(&["verify", "--genesis", text(&genesis), text(&b)]);
    assert_eq!(done.code, Some(0), "{}", done.said());
    let done = run(&["status", "--node", url]);
    assert_eq!(done.code, Some(0), "{}", done.said());
    assert!(done.stdout.contains("serving"), "{}", done.said());
    let done = run(&["status", "--node", url, "--json"]);
    assert_eq!((done.code, json(&done)["nodes"][0]["serving"].as_bool()), (Some(0), Some(true)));
}

#[test]
fn verify_answers_with_0_1_2_and_3() {
    let ledger = Ledger::start();
    let document = anchored(&ledger, "a.txt");
    let other = anchored(&ledger, "b.txt");
    let (document, other) = (text(&document), text(&other));
    let receipt = receipt_of(Path::new(document));
    assert_eq!(ledger.verify(&[document, other]).code, Some(0));

    let wrong = ledger.verify(&["--receipt", text(&receipt), other]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.said());
    assert!(wrong.stdout.contains("NOT GENUINE"), "{}", wrong.said());

    let folder = ledger.folder("others");
    let unknown = folder.join("unknown.txt");
    fs::write(&unknown, "never anchored").unwrap();
    assert_eq!(ledger.verify(&[text(&unknown)]).code, Some(2), "no receipt");
    assert_eq!(ledger.verify(&[text(&folder.join("missing.txt"))]).code, Some(2), "no document");
    let newer = fs::read_to_string(&receipt).unwrap().replace("markstein-receipt/v1", "markstein-receipt/v2");
    fs::write(folder.join("newer.json"), newer).unwrap();
    let run = ledger.verify(&["--receipt", text(&folder.join("newer.json")), document]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(run.stdout.contains("newer release"), "{}", run.said());
    assert_eq!(
        ledger.client.run(["verify", "--genesis", text(&folder.join("none")), document]).unwrap().code,
        Some(2)
    );
    assert_eq!(ledger.client.run(["verify", document]).unwrap().code, Some(2), "usage");

    // A receipt's time has whole seconds and lies in the past, so nothing is at most 0 s old.
    let run = ledger.verify(&["--max-age", "0s", document]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    assert!(run.stdout.contains("genuine, but"), "{}", run.said());
    assert_eq!(ledger.verify(&["--max-age", "24h", document]).code, Some(0));
    // Of several the worst counts: not genuine, not checked, not to be relied on.
    assert_eq!(ledger.verify(&["--max-age", "0s", document, text(&unknown)]).code, Some(2));
}

#[test]
fn answers_for_programs_have_stable_fields() {
    let ledger = Ledger::start();
    let document = anchored(&ledger, "a.txt");
    let again = json(&ledger.anchor(&["--json", text(&document)]));
    let fields = [
        "already_anchored",
        "anchored",
        "changed",
        "error",
        "failed",
        "fork",
        "ledger",
        "resumed_batches",
        "unchanged",
    ];
    assert_eq!(keys(&again), fields);
    assert_eq!(keys(&again["already_anchored"][0]), ["file", "index", "receipt"]);
    let new = ledger.folder("documents").join("new.txt");
    fs::write(&new, "new").unwrap();
    let new = json(&ledger.anchor(&["--json", text(&new)]));
    assert_eq!(keys(&new["anchored"][0]), ["batch", "file", "index", "receipt"]);

    let verdict = json(&ledger.verify(&["--json", text(&document)]));
    assert_eq!(keys(&verdict), ["documents", "exit_code"]);
    assert_eq!(
        keys(&verdict["documents"][0]),
        ["exit_code", "file", "proof", "reason", "receipt", "verdict"]
    );
    let proof = [
        "anchored_at",
        "as_of",
        "authorities",
        "document_type",
        "epoch",
        "height",
        "history",
        "index",
        "issuer",
        "issuer_name",
        "issuer_status",
        "ledger",
        "log_size",
        "public",
        "quorum",
        "status",
        "supersedes",
        "valid_until",
        "vouched_by",
    ];
    assert_eq!(keys(&verdict["documents"][0]["proof"]), proof);

    let (key, url) = (ledger.devnet.issuer_key(), ledger.devnet.url());
    let change = |verb: &str, more: &[&str]| {
        let fixed = [verb, "--json", "--node", url, "--key", text(&key)];
        let run = ledger.client.run(fixed.iter().chain(more)).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.said());
        json(&run)
    };
    let suspend = ["--reason", "appeal", text(&document)];
    let (changed, kept) = (change("suspend", &suspend), change("suspend", &suspend));
    assert_eq!(keys(&changed), fields);
    let record = ["batch", "index", "names", "reason", "receipts", "status", "to"];
    assert_eq!(keys(&changed["changed"][0]), record);
    assert_eq!(keys(&changed["changed"][0]["names"][0]), ["name", "number"]);
    assert_eq!(keys(&kept["unchanged"][0]), ["index", "names", "outcome", "receipts", "why"]);
    let newer = ledger.folder("documents").join("newer.txt");
    fs::write(&newer, "newer").unwrap();
    let replaced = change("supersede", &[text(&newer), text(&document)]);
    assert_eq!(keys(&replaced).len(), fields.len() + 1);
    assert_eq!(
        (keys(&replaced["changed"][0]), replaced["not_found"].as_array().map(Vec::len)),
        (record.to_vec(), Some(0))
    );

    let status = json(&ledger.client.run(["status", "--json", "--node", ledger.devnet.url()]).unwrap());
    for field in
        ["url", "reachable", "serving", "ledger", "node", "height", "log_size", "pool_batches", "quorum"]
    {
        assert!(status["nodes"][0].get(field).is_some(), "{field}");
    }
}

#[test]
fn documents_that_cannot_be_anchored_stop_a_run_before_anything_is_sent() {
    let ledger = Ledger::start();
    let folder = ledger.folder("documents");
    fs::write(folder.join("good.txt"), "good").unwrap();
    let missing = folder.join("missing.txt");
    let run = ledger.anchor(&[text(&folder), text(&missing)]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(run.stderr.contains("missing.txt") && run.stderr.contains("nothing was sent"), "{}", run.said());

    fs::write(folder.join("empty.txt"), "").unwrap();
    let run = ledger.anchor(&[text(&folder)]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(run.stderr.contains("empty.txt"), "{}", run.said());
    assert!(!receipt_of(&folder.join("good.txt")).exists(), "all or nothing");

    let run = ledger.anchor(&["--keep-going", text(&folder)]);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert!(receipt_of(&folder.join("good.txt")).exists());
    assert!(!receipt_of(&folder.join("empty.txt")).exists());
}

#[test]
fn the_demo_ends_well_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("a decision.txt");
    fs::write(&document, "approved").unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    let output = demo.arg(&document).env("TMPDIR", &temporary).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("a decision.txt: genuine and valid") && said.contains("✓ refused:"), "{said}");
    assert!(!said.contains('\x1b'), "no colours in a pipe");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing beside the document");

    let mut demo = Command::new(env!("CARGO_BIN_EXE_demo"));
    let output = demo.arg(folder.path().join("missing")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing"));
}

#[test]
fn a_ledger_has_1_to_64_authorities() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("devnet");
    let node = binaries(Voice::Quiet).unwrap().node;
    for count in ["0", "65"] {
        let output =
            Command::new(&node).args(["devnet", "--authorities", count, "--dir"]).arg(&dir).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("--authorities"), "{count}");
        assert!(!dir.exists(), "nothing is made");
    }
}
