//! The load generator against a real node: what it says it did is in the ledger. Nothing here depends on speed.

use std::{thread, time::Duration};

use markstein_tests::{client::Run, grpc::Api, process};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Ledger, anchors, runtime, text};

fn arguments(ledger: &Ledger, more: &[&str]) -> Vec<String> {
    let key = ledger.devnet.issuer_key();
    let fixed = ["bench", "--json", "--node", ledger.devnet.url(), "--key", text(&key)];
    fixed.iter().chain(more).map(ToString::to_string).collect()
}

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.said()))
}

fn anchored(ledger: &Ledger) -> usize {
    let url = ledger.devnet.url();
    let log = runtime().block_on(async { Api::connect(url).await.unwrap().log().await.unwrap() });
    anchors(&log)
}

#[test]
fn what_is_reported_is_in_the_ledger() {
    let ledger = Ledger::start();
    let gone = ["--node", "http://127.0.0.1:1"]; // nobody listens there: its share goes to the other
    for (load, batch, documents) in [("40", "1", 40), ("100", "20", 100)] {
        let before = anchored(&ledger);
        let load = ["--rate", load, "--batch", batch, "--seconds", "1", "--warmup", "0"];
        let run = ledger.client.run(arguments(&ledger, &[&gone[..], &load].concat())).unwrap();
        let report = report(&run);
        assert_eq!(run.code, Some(0), "{}", run.said());
        assert_eq!((&report["exit_code"], &report["receipts"]["verified"]), (&json!(0), &json!(documents)));
        assert_eq!((&report["refusals"], &report["errors"]), (&json!({}), &json!({})));
        assert_eq!(report["latency_ms"]["receipt"]["count"], report["submissions"]["completed"]);
        assert!(report["nodes"][1]["away"].as_u64() >= Some(1), "{report}");
        assert_eq!(report["submissions"]["moved"], report["nodes"][1]["away"]);
        assert!(run.stderr.contains("http://127.0.0.1:1: "), "{}", run.said());
        assert_eq!(anchored(&ledger), before + documents);
    }
}

#[test]
fn as_much_as_it_takes() {
    let ledger = Ledger::start();
    let load = ["--peak", "--batch", "10", "--in-flight", "4", "--seconds", "1", "--warmup", "0"];
    let run = ledger.client.run(arguments(&ledger, &load)).unwrap();
    let report = report(&run);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let completed = report["submissions"]["completed"].as_u64().unwrap();
    assert!(completed >= 4, "{report}");
    assert_eq!(anchored(&ledger) as u64, completed * 10);
}

#[test]
fn ctrl_c_ends_it_with_the_report_so_far() {
    let ledger = Ledger::start();
    let load = ["--rate", "20", "--seconds", "3600", "--warmup", "0"];
    let child = ledger.client.command(arguments(&ledger, &load)).spawn().unwrap();
    while anchored(&ledger) == 0 {
        thread::sleep(Duration::from_millis(20));
    }
    process::signal(child.id(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &report["interrupted"]), (Some(0), &json!(true)), "{report}");
    assert_eq!(anchored(&ledger) as u64, report["receipts"]["verified"].as_u64().unwrap());
    assert!(report["measured_s"].as_f64().unwrap() < 3600.0);
}

#[test]
fn what_the_node_turns_down_is_told_by_its_word() {
    let ledger = Ledger::start();
    let folder = ledger.folder("other");
    let key = folder.join("stranger.key");
    let genesis = ledger.devnet.genesis();
    // A key that the ledger does not know, of an issuer that it does.
    let issuer = ["--issuer", "bauaufsicht.neustadt.example", "--name", "Another", "--out", text(&key)];
    let made = ledger.client.run(["keygen", "--genesis", text(&genesis)].iter().chain(&issuer)).unwrap();
    assert_eq!(made.code, Some(0), "{}", made.said());
    let fixed = ["bench", "--json", "--node", ledger.devnet.url(), "--key", text(&key)];
    let load = ["--rate", "5", "--seconds", "1", "--warmup", "0"];
    let run = ledger.client.run(fixed.iter().chain(&load)).unwrap();
    let report = report(&run);
    assert_eq!(run.code, Some(2), "{}", run.said());
    assert_eq!((&report["refusals"], &report["errors"]), (&json!({ "KEY_NOT_VALID": 5 }), &json!({})));
    assert_eq!((&report["receipts"]["verified"], anchored(&ledger)), (&json!(0), 0));
}
