//! Long lists: a run that is killed with -9 half-way and run again, and two runs that meet.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::Instant,
};

use markstein_proto::{Leaf, LeafIndex, Record, status::Status};
use markstein_tests::{
    client::{Client, Run},
    files::{below, receipt_of},
    grpc::Api,
    random::Random,
};

use serde_json::Value;

use crate::support::{Ledger, runtime, text};

const DOCUMENTS: usize = 200;
const KILLS: usize = 6;

/// Anchored documents, and the paths of their receipts.
fn anchored(ledger: &Ledger, folder: &Path) -> Vec<PathBuf> {
    let document = |number| {
        let path = folder.join(format!("{number}.txt"));
        fs::write(&path, format!("decision {number}")).unwrap();
        receipt_of(&path)
    };
    let receipts = (0..DOCUMENTS).map(document).collect();
    assert_eq!(ledger.anchor(&[text(folder)]).code, Some(0));
    receipts
}

/// How often the status of each record was changed, by what the log says.
fn changes(ledger: &Ledger, to: Status) -> BTreeMap<LeafIndex, usize> {
    let url = ledger.devnet.url();
    let log = runtime().block_on(async { Api::connect(url).await.unwrap().log().await.unwrap() });
    let mut changes = BTreeMap::new();
    for leaf in &log {
        if let Leaf::Record(Record::StatusChange(change)) = leaf {
            assert_eq!(change.to(), to);
            *changes.entry(change.target()).or_default() += 1;
        }
    }
    changes
}

/// Neither knows of the other, as on two machines: whoever comes second to a record is told so, and does the rest.
#[test]
fn two_runs_that_meet_change_each_status_once_between_them() {
    let ledger = Ledger::start();
    let folder = ledger.folder("documents");
    let receipts = anchored(&ledger, &folder);
    let (key, url) = (ledger.devnet.issuer_key(), ledger.devnet.url());
    // Of one reason, two batches made in the same millisecond may be the same batch, and both runs' own.
    let run = |name: &str, reason: &str, receipts: Vec<&PathBuf>| -> Run {
        let (list, new) = (ledger.folder.path().join(name), ledger.folder(&format!("new-{name}")));
        fs::write(&list, receipts.iter().map(|path| format!("{}\n", text(path))).collect::<String>())
            .unwrap();
        let client = Client::new(&ledger.folder(&format!("state-{name}"))).unwrap();
        let fixed =
            ["revoke", "--json", "--node", url, "--key", text(&key), "--reason", reason, "--batch", "7"];
        client.run(fixed.iter().chain(&["--receipts", text(&new), "--list", text(&list)])).unwrap()
    };
    let runs = thread::scope(|scope| {
        let one = scope.spawn(|| run("one", "unlawful", receipts.iter().collect()));
        let other = scope.spawn(|| run("other", "court-order", receipts.iter().rev().collect()));
        [one.join().unwrap(), other.join().unwrap()]
    });
    let mut done = 0;
    for run in &runs {
        assert_eq!(run.code, Some(0), "{}", run.said());
        let answer: Value = serde_json::from_str(&run.stdout).unwrap();
        let count = |key: &str| answer[key].as_array().unwrap().len();
        assert_eq!(count("changed") + count("unchanged"), DOCUMENTS, "{}", run.said());
        done += count("changed");
    }
    assert_eq!(done, DOCUMENTS, "each record was changed by one of them");
    let changes = changes(&ledger, Status::Revoked);
    assert_eq!((changes.len(), changes.values().max()), (DOCUMENTS, Some(&1)));
    for name in ["new-one", "new-other"] {
        assert_eq!(below(&ledger.folder(name)).unwrap().len(), DOCUMENTS, "each has the new receipts");
    }
}

#[test]
fn every_status_is_changed_once_however_often_the_run_is_killed() {
    let ledger = Ledger::start();
    let folder = ledger.folder("documents");
    let receipts = anchored(&ledger, &folder);
    let list: String = receipts.iter().map(|path| format!("{}\n", text(path))).collect();
    let lists = ["first", "second"].map(|name| ledger.folder.path().join(name));
    let (practice, rest) = list.split_at(list.match_indices('\n').nth(DOCUMENTS / 2).unwrap().0 + 1);
    fs::write(&lists[0], practice).unwrap();
    fs::write(&lists[1], rest).unwrap();
    let (key, url) = (ledger.devnet.issuer_key(), ledger.devnet.url());
    let suspend = |list| {
        let fixed = [
            "suspend",
            "--node",
            url,
            "--key",
            text(&key),
            "--reason",
            "appeal",
            "--batch",
            "7",
            "--list",
            list,
        ];
        ledger.client.command(fixed)
    };
    let began = Instant::now();
    assert!(suspend(text(&lists[0])).output().unwrap().status.success());
    let whole_run = began.elapsed();

    let mut random = Random::new(8);
    for _ in 0..KILLS {
        // Anywhere in a run: what it meets there is different each time, and so is what it leaves.
        let moment = whole_run.mul_f64(random.below(1000) as f64 / 1000.0);
        let mut child = suspend(text(&lists[1])).spawn().unwrap();
        thread::sleep(moment);
        child.kill().unwrap();
        child.wait_with_output().unwrap();
    }
    let output = suspend(text(&lists[1])).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let documents: Vec<String> =
        (0..DOCUMENTS).map(|number| text(&folder.join(format!("{number}.txt"))).to_owned()).collect();
    let run = ledger.verify(&documents.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run.code, Some(3), "{}", run.said());
    assert_eq!(run.stdout.matches("genuine, but it was suspended").count(), DOCUMENTS, "{}", run.said());
    assert_eq!(below(&folder).unwrap().len(), 2 * DOCUMENTS, "documents, receipts, nothing unfinished");
    let changes = changes(&ledger, Status::Suspended);
    assert_eq!((changes.len(), changes.values().max()), (DOCUMENTS, Some(&1)), "nothing was changed twice");
}
