//! Every rule by which a node's receipt is taken, and what becomes of the files.
#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use markstein_proto::{TimeMs, status::Status};

use super::*;
use crate::{
    evidence,
    memory::Memory,
    observer::Deaf,
    retry::Patience,
    testing::{FakeNode, Fault, Ledger, NOW, digest, entry},
};

const SECOND: u64 = 1000;

fn patience() -> Patience {
    let millis = Duration::from_millis;
    Patience { total: millis(30), first_delay: millis(1), longest_delay: millis(1) }
}

/// A ledger with these documents, a block each.
fn ledger(names: &[&str]) -> Ledger {
    let mut ledger = Ledger::new();
    for (number, name) in (0..).zip(names) {
        ledger.append(entry(&[name], NOW).batch(), TimeMs(NOW.0 + number));
    }
    ledger
}

fn receipt(ledger: &Ledger, name: &str) -> Receipt {
    let entry = entry(&[name], NOW);
    let mut receipt = ledger.receipts(entry.batch().id()).remove(0);
    receipt.salt = Some(entry.records()[0].paper.as_ref().unwrap().salt);
    receipt
}

fn known(ledger: &Ledger, name: &str) -> Known {
    Known::verify(receipt(ledger, name), ledger.trust()).unwrap()
}

fn refresher(nodes: &[&FakeNode], seen: Option<SeenLog>) -> Refresher<FakeNode> {
    let trust = nodes[0].ledger.lock().unwrap().trust().clone();
    let nodes = nodes.iter().map(|node| (*node).clone()).collect();
    Refresher::new(Nodes::new(nodes, patience(), Arc::new(Deaf)), trust, seen, || NOW)
}

async fn newest(refresher: &Refresher<FakeNode>, known: &Known) -> Result<Fresh, FetchError> {
    refresher.newest(known.verified.index, Some(known)).await
}

fn node_error(result: Result<Fresh, FetchError>) -> String {
    match result {
        Err(FetchError::Nodes(e)) => e.to_string(),
        other => panic!("{other:?}"),
    }
}

fn fork(result: Result<Fresh, FetchError>) -> Fork {
    match result {
        Err(FetchError::Fork(fork)) => *fork,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_newer_receipt_of_the_same_record_is_taken_with_the_old_salt() {
    let old = known(&ledger(&["a"]), "a");
    let mut grown = ledger(&["a", "b", "c"]);
    grown.set_status(old.verified.index, Status::Suspended, TimeMs(NOW.0 + 10));
    let node = FakeNode::of(grown, "node");
    let refresher = refresher(&[&node], None);
    let fresh = newest(&refresher, &old).await.unwrap();
    assert_eq!(fresh.receipt.salt, old.receipt.salt);
    assert_eq!(fresh.receipt.verify(refresher.trust(), &digest("a")).unwrap(), fresh.verified);
    assert_eq!(fresh.verified.status, Status::Suspended);
    assert_eq!(refresher.seen().unwrap().size(), fresh.log.size());
    assert_eq!(fresh.node, "node");
}

#[tokio::test]
async fn what_does_not_verify_is_the_nodes_fault_and_another_one_is_asked() {
    let old = known(&ledger(&["a"]), "a");
    let good = FakeNode::of(ledger(&["a", "b"]), "good");
    type Change = fn(&mut Receipt);
    let changes: [(Change, &str); 5] = [
        (|r| r.checkpoint = r.checkpoint.replacen("/neustadt ", "/altstadt ", 1), "no authority"),
        (|r| r.proof[0] = Hash::ZERO, "not in the log"),
        (|r| r.status.chunks[0].1.set(4, Status::Revoked), "not the one that the authorities signed"),
        (|r| r.latest_header = r.header.clone(), "not the last leaf"),
        (|r| r.record.bytes[9] ^= 1, "receipt"),
    ];
    for (change, why) in changes {
        let bad = good.another("bad");
        bad.fail(Fault::Receipt(change));
        let error = node_error(newest(&refresher(&[&bad], None), &old).await);
        assert!(error.contains("bad: sent a receipt that does not verify") && error.contains(why), "{error}");
        bad.fail(Fault::Receipt(change));
        assert_eq!(newest(&refresher(&[&bad, &good], None), &old).await.unwrap().node, "good");
    }
}

#[tokio::test]
async fn the_receipt_of_another_record_is_not_taken() {
    let grown = ledger(&["a", "b"]);
    let (a, b) = (known(&grown, "a"), known(&grown, "b"));
    let node = FakeNode::of(grown, "node");
    let asked_for_another = refresher(&[&node], None).newest(b.verified.index, Some(&a)).await;
    assert!(node_error(asked_for_another).contains("sent the receipt of another record"));
}

#[tokio::test]
async fn an_older_log_or_time_is_named_and_not_taken() {
    let (short, long) = (ledger(&["a"]), ledger(&["a", "b"]));
    let behind = FakeNode::of(short.clone(), "behind");
    let old = known(&long, "a");
    let error = node_error(newest(&refresher(&[&behind], None), &old).await);
    assert!(error.contains("behind: shows an older log than was seen before"), "{error}");
    assert!(error.contains("gave up"), "it may come to it: {error}");

    // Not older than the receipt at hand, but than what another receipt showed.
    let seen = known(&long, "b").log;
    let error = node_error(newest(&refresher(&[&behind], Some(seen.clone())), &known(&short, "a")).await);
    assert!(error.contains("behind: shows an older log than was seen before"), "{error}");
    let ahead = FakeNode::of(long.clone(), "ahead");
    let fresh = newest(&refresher(&[&behind, &ahead], Some(seen)), &known(&short, "a")).await.unwrap();
    assert_eq!(fresh.node, "ahead");

    let mut earlier = ledger(&["a", "b", "c"]);
    earlier.cosigned_at = TimeMs(NOW.0 - SECOND);
    let earlier = FakeNode::of(earlier, "earlier");
    let error = node_error(newest(&refresher(&[&earlier], None), &old).await);
    assert!(error.contains("older than the one at hand"), "{error}");
    let of_that_time = earlier.ledger.lock().unwrap().clone();
    let stale = known(&of_that_time, "a");
    earlier.ledger.lock().unwrap().cosigned_at = NOW;
    assert_eq!(newest(&refresher(&[&earlier], None), &stale).await.unwrap().log.as_of_s(), NOW.0 / SECOND);
}

#[tokio::test]
async fn times_from_the_future_are_not_taken() {
    let old = known(&ledger(&["a"]), "a");
    let mut grown = ledger(&["a", "b"]);
    grown.cosigned_at = TimeMs(NOW.0 + AHEAD_MAX_MS + SECOND);
    let node = FakeNode::of(grown, "node");
    let error = node_error(newest(&refresher(&[&node], None), &old).await);
    assert!(error.contains("this machine's clock says"), "{error}");
    node.ledger.lock().unwrap().cosigned_at = TimeMs(NOW.0 + AHEAD_MAX_MS);
    newest(&refresher(&[&node], None), &old).await.unwrap();
}

#[tokio::test]
async fn another_log_is_a_fork_whoever_shows_it() {
    let (one, other) = (ledger(&["a", "b"]), ledger(&["a", "c"]));
    let node = FakeNode::of(other, "other");
    let told = fork(newest(&refresher(&[&node], None), &known(&one, "a")).await);
    assert_eq!((told.conflict, told.node.as_str()), (Some(Conflict::Roots), "other"));
    // The receipt at hand is older than the fork; what was seen before is not.
    let seen = Some(known(&one, "b").log);
    let told = fork(newest(&refresher(&[&node], seen), &known(&ledger(&["a"]), "a")).await);
    assert_eq!(told.conflict, Some(Conflict::Roots));
    // Another record at its place: signed by a quorum, and excluded by the receipt at hand.
    let node = FakeNode::of(ledger(&["c", "d"]), "other");
    let told = fork(newest(&refresher(&[&node], None), &known(&ledger(&["a"]), "a")).await);
    assert!(matches!(told.conflict, Some(Conflict::Leaves(_))), "{told:?}");
}

#[tokio::test]
async fn a_longer_log_with_another_beginning_is_told_by_the_proof() {
    let one = ledger(&["a", "b"]);
    let node = FakeNode::of(ledger(&["a", "c", "d"]), "other");
    let told = fork(newest(&refresher(&[&node], None), &known(&one, "a")).await);
    assert_eq!((told.conflict, told.node.as_str()), (Some(Conflict::Beginning), "other"));
    // Without that proof nothing tells, and nothing links them.
    node.fail(Fault::BadProof);
    let told = fork(newest(&refresher(&[&node], None), &known(&one, "a")).await);
    assert_eq!((told.conflict, told.node.as_str()), (None, "other"));
    let trust = one.trust().clone();
    let dir = tempfile::tempdir().unwrap();
    let file = evidence::keep(dir.path(), &told, &trust).unwrap();
    assert_eq!(evidence::check_file(&file, &trust).unwrap().conflict, None);
}

#[tokio::test]
async fn a_wrong_proof_is_no_fork_where_another_node_gives_a_good_one() {
    let old = known(&ledger(&["a"]), "a");
    let wrong = FakeNode::of(ledger(&["a", "b"]), "wrong");
    let good = wrong.another("good");
    wrong.fail(Fault::BadProof);
    newest(&refresher(&[&wrong, &good], None), &old).await.unwrap();
    wrong.fail(Fault::BadProof);
    let told = fork(newest(&refresher(&[&wrong], None), &old).await);
    assert_eq!((told.conflict, told.node.as_str()), (None, "wrong"));
    for kind in [Failure::Away, Failure::Denied] {
        wrong.fail(Fault::NoProof(kind));
        newest(&refresher(&[&wrong, &good], None), &old).await.unwrap();
    }
    wrong.fail(Fault::NoProof(Failure::Denied));
    assert!(node_error(newest(&refresher(&[&wrong], None), &old).await).contains("fault of the test"));
}

#[tokio::test]
async fn many_at_once_over_a_growing_log_agree() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let short = ledger(&names);
    let node = FakeNode::of(short.clone(), "node");
    let refresher = Arc::new(refresher(&[&node], None));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, name) in names.into_iter().enumerate() {
        let (refresher, node, old) = (refresher.clone(), node.clone(), known(&short, name));
        tasks.spawn(async move {
            let more = format!("more {number}");
            node.ledger.lock().unwrap().append(entry(&[&more], NOW).batch(), TimeMs(NOW.0 + 20));
            newest(&refresher, &old).await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(refresher.seen().unwrap().size(), node.ledger.lock().unwrap().size());
}

/// A folder of receipts, its state and a node.
struct Case {
    dir: tempfile::TempDir,
    node: FakeNode,
}

impl Case {
    /// Receipts of these documents as of the first blocks; the node's ledger has one more.
    fn new(names: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("receipts")).unwrap();
        let mut ledger = ledger(names);
        let case = Self { dir, node: FakeNode::of(ledger.clone(), "node") };
        names.iter().for_each(|name| fs::write(case.file(name), receipt(&ledger, name).to_json()).unwrap());
        ledger.append(entry(&["more"], NOW).batch(), TimeMs(NOW.0 + 50));
        ledger.cosigned_at = TimeMs(NOW.0 + SECOND);
        *case.node.ledger.lock().unwrap() = ledger;
        case
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("receipts").join(format!("{name}.markstein.json"))
    }

    fn read(&self, name: &str) -> Receipt {
        Receipt::from_json(&fs::read(self.file(name)).unwrap()).unwrap()
    }

    fn memory(&self) -> Memory {
        Memory::open(&self.dir.path().join("state"), self.node.ledger.lock().unwrap().trust()).unwrap()
    }

    async fn run(&self, options: Options) -> Report {
        let memory = Arc::new(self.memory());
        let refresher = Arc::new(refresher(&[&self.node], memory.newest().unwrap()));
        let run = Run { refresher, memory, observer: Arc::new(Deaf) };
        run.run(find(&[self.dir.path().join("receipts")]).unwrap(), options).await
    }
}

#[tokio::test]
async fn a_folder_is_refreshed_once_and_then_as_new_as_can_be() {
    let case = Case::new(&["a", "b", "c"]);
    let report = case.run(Options::default()).await;
    assert_eq!((report.refreshed.len(), report.unchanged, report.failed.len()), (3, 0, 0));
    assert!(report.stopped.is_none());
    let Changed { as_of, status, log_size, .. } = &report.refreshed[0];
    assert_eq!((as_of.1.0 - as_of.0.0, status), (SECOND, &(Status::Valid, Status::Valid)));
    let ledger = case.node.ledger.lock().unwrap().clone();
    assert_eq!(*log_size, ledger.size());
    for name in ["a", "b", "c"] {
        case.read(name).verify(ledger.trust(), &digest(name)).unwrap();
    }
    assert_eq!(case.memory().newest().unwrap().unwrap().size(), ledger.size());

    let before = fs::read(case.file("a")).unwrap();
    let report = case.run(Options::default()).await;
    assert_eq!((report.refreshed.len(), report.unchanged), (0, 3));
    let report = case.run(Options { older_than: Some(Duration::from_secs(60)) }).await;
    assert_eq!((report.refreshed.len(), report.unchanged, report.skipped), (0, 0, 3));
    assert_eq!(fs::read(case.file("a")).unwrap(), before);
}

#[tokio::test]
async fn what_cannot_be_renewed_is_told_and_the_others_are() {
    let case = Case::new(&["a", "b", "c"]);
    fs::write(case.file("b"), "notes").unwrap();
    let mut forged = case.read("c");
    forged.proof[0] = Hash::ZERO;
    fs::write(case.file("c"), forged.to_json()).unwrap();
    let report = case.run(Options::default()).await;
    assert_eq!((report.refreshed.len(), report.failed.len(), report.not_genuine.len()), (1, 1, 1));
    assert_eq!(fs::read_to_string(case.file("b")).unwrap(), "notes");
    assert_eq!(case.read("c"), forged);
}

#[tokio::test]
async fn after_a_fork_nothing_is_replaced_and_nothing_forgotten() {
    let case = Case::new(&["a", "b"]);
    case.run(Options::default()).await;
    let seen = case.memory().newest().unwrap().unwrap();
    // The same records in another log: each receipt by itself could be of one log.
    let mut other = ledger(&["a", "b"]);
    ["other", "another"]
        .iter()
        .for_each(|name| other.append(entry(&[name], NOW).batch(), TimeMs(NOW.0 + 70)));
    other.cosigned_at = TimeMs(NOW.0 + 2 * SECOND);
    *case.node.ledger.lock().unwrap() = other;
    let old = receipt(&ledger(&["a", "b"]), "a");
    fs::write(case.file("a"), old.to_json()).unwrap();
    let report = case.run(Options::default()).await;
    let Some(Stopped::Fork { receipt: Some(path), .. }) = &report.stopped else { panic!("{report:?}") };
    assert!([case.file("a"), case.file("b")].contains(path));
    assert_eq!(report.refreshed, []);
    assert_eq!(case.read("a"), old);
    assert_eq!(case.memory().newest().unwrap().unwrap().root(), seen.root());
}

#[tokio::test]
async fn a_run_that_no_node_answers_ends_and_is_repeated() {
    let case = Case::new(&["a", "b"]);
    // As many as one round after another can ask in that time, and more.
    (0..1000).for_each(|_| case.node.fail(Fault::NoReceipt(Failure::Away)));
    let old = case.read("a");
    let report = case.run(Options::default()).await;
    assert!(matches!(report.stopped, Some(Stopped::Nodes(_))), "{:?}", report.stopped);
    assert_eq!(case.read("a"), old);
    case.node.faults.lock().unwrap().clear();
    assert_eq!(case.run(Options::default()).await.refreshed.len(), 2);
}

#[tokio::test]
async fn without_its_memory_a_run_replaces_nothing() {
    let case = Case::new(&["a"]);
    let (old, memory) = (case.read("a"), Arc::new(case.memory()));
    let refresher = Arc::new(refresher(&[&case.node], None));
    let state = memory.evidence().with_file_name("newest.lock");
    fs::create_dir(&state).unwrap();
    let run = Run { refresher, memory, observer: Arc::new(Deaf) };
    let report = run.run(find(&[case.file("a")]).unwrap(), Options::default()).await;
    assert!(matches!(report.stopped, Some(Stopped::Memory(_))), "{:?}", report.stopped);
    assert_eq!(case.read("a"), old);
}

#[tokio::test]
async fn the_useless_proof_of_a_node_that_did_not_show_the_log_is_no_fork() {
    let (short, long) = (ledger(&["a"]), ledger(&["a", "b"]));
    let seen = || Some(known(&short, "a").log);
    let node = FakeNode::of(long, "node");
    let liar = node.another("liar");
    // The node that showed the log is away when it shall prove it, and the liar proves nothing.
    let log = known(&node.ledger.lock().unwrap(), "b").log;
    (0..10_000).for_each(|_| node.fail(Fault::NoProof(Failure::Away)));
    (0..10_000).for_each(|_| liar.fail(Fault::BadProof));
    let error = refresher(&[&node, &liar], seen()).take(&log, "node").await.unwrap_err();
    assert!(matches!(error, FetchError::Nodes(_)), "{error:?}");
    // Of the node that showed it, it says that it cannot show how its log came to be.
    let error = refresher(&[&node, &liar], seen()).take(&log, "liar").await.unwrap_err();
    assert!(
        matches!(&error, FetchError::Fork(fork) if fork.conflict.is_none() && fork.node == "liar"),
        "{error:?}"
    );
    // And where all that were asked prove nothing, it is one, too.
    node.faults.lock().unwrap().clear();
    (0..10_000).for_each(|_| node.fail(Fault::BadProof));
    let error = refresher(&[&node, &liar], seen()).take(&log, "another").await.unwrap_err();
    assert!(matches!(error, FetchError::Fork(_)), "{error:?}");
}
