//! `markstein anchor` killed with -9 half-way, and run again.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use markstein_tests::{
    files::{below, documents_below, receipt_of},
    grpc::Api,
    random::Random,
};
use serde_json::Value;

use crate::support::{Ledger, anchors, runtime, text};

const DOCUMENTS: usize = 300;
const KILLS: usize = 8;

#[test]
fn every_document_is_anchored_once_however_often_the_run_is_killed() {
    let ledger = Ledger::start();
    let mut random = Random::new(4);
    let practice = write_documents(&ledger, "practice", &mut random);
    let began = Instant::now();
    assert_eq!(ledger.anchor(&["--batch", "10", text(&practice)]).code, Some(0));
    let whole_run = began.elapsed();

    let folder = write_documents(&ledger, "documents", &mut random);
    for _ in 0..KILLS {
        // Anywhere in a run: what it meets there is different each time, and so is what it leaves.
        let moment = whole_run.mul_f64(random.below(1000) as f64 / 1000.0);
        let arguments = ledger.anchor_arguments(&["--batch", "10", text(&folder)]);
        let mut child = ledger.client.command(arguments).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait_with_output().unwrap();
    }
    let run = ledger.anchor(&["--json", "--batch", "10", text(&folder)]);
    assert_eq!(run.code, Some(0), "{}", run.said());

    let documents = documents_below(&folder).unwrap();
    let paths: Vec<&str> = documents.iter().map(|path| text(path)).collect();
    let run = ledger.verify(&[&["--json"], &paths[..]].concat());
    assert_eq!(run.code, Some(0), "{}", run.said());
    let verdicts: Value = serde_json::from_str(&run.stdout).unwrap();
    let verdicts = verdicts["documents"].as_array().unwrap();
    let records: BTreeSet<u64> = verdicts.iter().map(|v| v["proof"]["index"].as_u64().unwrap()).collect();
    assert_eq!(records.len(), DOCUMENTS, "each has a record of its own");
    assert_eq!(below(&folder).unwrap().len(), 2 * DOCUMENTS, "documents, receipts, nothing unfinished");
    assert!(documents.iter().all(|document| receipt_of(document).is_file()));

    let log = runtime().block_on(async {
        let api = Api::connect(ledger.devnet.url()).await.unwrap();
        api.log().await.unwrap()
    });
    assert_eq!(anchors(&log), 2 * DOCUMENTS, "nothing was anchored twice");
}

#[test]
fn a_run_that_meets_a_paused_node_goes_on_with_it() {
    let ledger = Ledger::start();
    let folder = write_documents(&ledger, "documents", &mut Random::new(5));
    ledger.devnet.pause(true);
    let mut child = ledger.client.command(ledger.anchor_arguments(&[text(&folder)])).spawn().unwrap();
    thread::sleep(Duration::from_millis(200));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    ledger.devnet.pause(false);
    assert!(child.wait().unwrap().success());
}

fn write_documents(ledger: &Ledger, name: &str, random: &mut Random) -> std::path::PathBuf {
    let folder = ledger.folder(name);
    for number in 0..DOCUMENTS {
        fs::write(folder.join(format!("{number}.bin")), random.bytes(200)).unwrap();
    }
    folder
}
