//! Exports as other people's tools meet them: a proof checked by its policy, by nothing but the two specifications; COSE
//! receipts of those authorities that can be reached.

use std::fs;

use markstein_proto::{
    Hash,
    cose::CoseReceipt,
    encoding::{base64_decode, base64_hash},
    log::{leaf_hash, verify_inclusion},
    note::{SignedCheckpoint, Vkey},
};
use markstein_tests::{
    client::{Client, Run},
    devnet::Devnet,
    files::receipt_of,
};
use serde_json::Value;

use crate::support::{Ledger, text};

/// Whether a policy (logs, witnesses, one group of all) accepts a proof.
fn accepts(policy: &str, proof: &str) -> bool {
    let lines: Vec<Vec<&str>> = policy.lines().map(|line| line.split(' ').collect()).collect();
    let keys = |kind: &str, at: usize| -> Vec<Vkey> {
        let lines = lines.iter().filter(|line| line[0] == kind);
        lines.map(|line| Vkey::parse(line[at]).unwrap()).collect()
    };
    let (logs, witnesses) = (keys("log", 1), keys("witness", 2));
    let quorum: usize = lines.iter().find(|line| line[0] == "group").unwrap()[2].parse().unwrap();

    let Some((head, note)) = proof.split_once("\n\n") else { return false };
    let mut lines = head.lines();
    assert_eq!(lines.next(), Some("c2sp.org/tlog-proof@v1"));
    let extra = lines.next().unwrap().strip_prefix("extra ").unwrap();
    let Ok(leaf) = base64_decode(extra, 1 << 14) else { return false };
    let index: u64 = lines.next().unwrap().strip_prefix("index ").unwrap().parse().unwrap();
    let Ok(path) = lines.map(base64_hash).collect::<Result<Vec<Hash>, _>>() else { return false };
    let Ok(signed) = SignedCheckpoint::parse(note.as_bytes()) else { return false };
    let checkpoint = signed.checkpoint();
    logs.iter()
        .any(|key| key.name().as_str() == checkpoint.origin() && signed.note().verify_ed25519(key).is_ok())
        && signed.count(&witnesses, quorum).is_ok()
        && verify_inclusion(&leaf_hash(&leaf), index, checkpoint.size().0, &path, &checkpoint.root()).is_ok()
}

#[test]
fn a_receipt_becomes_a_proof_that_its_policy_accepts_and_a_changed_one_does_not() {
    let ledger = Ledger::start();
    let papers = ledger.folder("papers");
    let document = papers.join("decision.txt");
    fs::write(&document, "granted").unwrap();
    let succeeded = |run: Run| {
        assert_eq!(run.code, Some(0), "{}", run.said());
        run
    };
    let genesis = ledger.devnet.genesis();
    succeeded(ledger.anchor(&["--genesis", text(&genesis), text(&document)]));
    let receipt = papers.join("decision.txt.markstein.json");
    let made = |name: &str| ledger.folder.path().join(name);

    let (policy, proof) = (made("ledger.policy"), made("decision.tlog-proof"));
    let run = |arguments: &[&str]| ledger.client.run(arguments).unwrap();
    succeeded(run(&["genesis", "export", "--format", "tlog-policy", "--out", text(&policy), text(&genesis)]));
    let export = ["receipt", "export", "--format", "tlog-proof"];
    let online = ["--node", ledger.devnet.url(), "--genesis", text(&genesis), "--out", text(&proof)];
    let arguments = [&export[..], &online, &[text(&receipt)]].concat();
    succeeded(run(&arguments));
    assert_eq!(run(&arguments).code, Some(2), "a file that is there is not overwritten");

    let (policy, proof) = (fs::read_to_string(policy).unwrap(), fs::read_to_string(proof).unwrap());
    assert!(proof.len() < 2560, "{} bytes", proof.len());
    assert!(accepts(&policy, &proof));
    for (number, line) in proof.lines().enumerate().skip(1).filter(|(_, line)| line.len() >= 40) {
        let at = line.len() / 2;
        let other = if &line[at..=at] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &line[..at], &line[at + 1..]);
        assert!(!accepts(&policy, &proof.replace(line, &changed)), "line {number}");
    }
    let offline = succeeded(run(&[&export[..], &[text(&receipt)]].concat()));
    assert!(!accepts(&policy, &offline.stdout), "without a line of the log there is no log's word");
}

#[test]
fn each_authority_that_is_asked_signs_for_itself_and_who_cannot_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut devnet = Devnet::start_with(&folder.path().join("ledger"), 4, 1).unwrap();
    let client = Client::new(&folder.path().join("state")).unwrap();
    let run = |arguments: &[&str]| client.run(arguments).unwrap();
    let document = folder.path().join("decision.txt");
    fs::write(&document, "granted").unwrap();
    let (genesis, key) = (devnet.genesis(), devnet.issuer_key());
    let anchor = ["anchor", "--node", devnet.url(), "--key", text(&key), "--genesis", text(&genesis)];
    let anchored = run(&[&anchor[..], &["--type", "decision", text(&document)]].concat());
    assert_eq!(anchored.code, Some(0), "{}", anchored.said());

    let out = folder.path().join("cose");
    let receipt = receipt_of(&document);
    let urls: Vec<String> =
        devnet.nodes().iter().chain(devnet.observers()).map(|node| node.grpc.clone()).collect();
    let export = |nodes: &[usize], more: &[&str]| {
        let nodes: Vec<&str> = nodes.iter().flat_map(|node| ["--node", &urls[*node]]).collect();
        let fixed =
            ["receipt", "export", "--format", "cose", "--genesis", text(&genesis), "--out", text(&out)];
        run(&[&fixed[..], &nodes, more, &[text(&receipt)]].concat())
    };
    let exported = export(&[0, 1], &[]);
    assert_eq!(exported.code, Some(0), "{}", exported.said());
    let again = export(&[0, 1], &[]);
    assert_eq!(again.code, Some(0), "the same bytes are no harm: {}", again.said());

    // One is away, and an observer signs nothing; the others do all the same.
    devnet.kill_node(1).unwrap();
    let exported = export(&[0, 1, 2, 4], &["--json"]);
    assert_eq!(exported.code, Some(2), "{}", exported.said());
    let answer: Value = serde_json::from_str(&exported.stdout).unwrap();
    let failed = answer["failed"].as_array().unwrap();
    assert_eq!(
        failed.iter().map(|it| it["node"].as_str().unwrap()).collect::<Vec<_>>(),
        [&urls[1], &urls[4]]
    );
    assert!(failed[1]["message"].as_str().unwrap().contains("observer"), "{answer}");
    assert!(exported.stderr.contains(&urls[1]), "{}", exported.said());

    let trust = devnet.trust().unwrap();
    let leaf = fs::read(out.join("record.leaf")).unwrap();
    let mut roots = Vec::new();
    for authority in &trust.genesis().authorities.authorities()[..3] {
        let bytes = fs::read(out.join(format!("{}.cose", authority.id))).unwrap();
        assert!(bytes.len() < 2500);
        roots.push(CoseReceipt::decode(&bytes).unwrap().verify(&leaf, &authority.log_key).unwrap());
    }
    assert!(roots.windows(2).all(|pair| pair[0] == pair[1]), "all signed the same root");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4);

    // A file that says something else is left alone.
    fs::write(out.join("record.leaf"), "something else").unwrap();
    let refused = export(&[0], &[]);
    assert_eq!(refused.code, Some(2), "{}", refused.said());
    assert_eq!(fs::read(out.join("record.leaf")).unwrap(), b"something else");
}
