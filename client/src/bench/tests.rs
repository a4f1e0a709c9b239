//! Whole runs on a clock that stands still until nobody has anything to do.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use markstein_proto::{Batch, BatchId, TimeMs, receipt::Receipt};
use prost::bytes::Bytes;
use tokio::{
    sync::{oneshot, watch},
    task::yield_now,
};

use super::*;
use crate::{
    node::{Failure, Node, Outcome, ReceiptStream, Steps, Taken},
    testing::{FakeNode, NOW, issuer},
};

/// More turns than any chain of tasks here takes before all of them wait for time to pass.
const TURNS: usize = 60;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A world whose time passes only in [`FakeWorld::drive`].
#[derive(Clone, Default)]
struct FakeWorld(Arc<Mutex<Time>>);

#[derive(Default)]
struct Time {
    now: Duration,
    sleepers: BTreeMap<(Duration, u64), oneshot::Sender<()>>,
    count: u64,
    /// What it takes to make submissions.
    making: Duration,
}

impl FakeWorld {
    /// Runs to the end; whenever all wait, it is at once the time that the first of them waits for.
    async fn drive<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        let work = tokio::spawn(work);
        loop {
            for _ in 0..TURNS {
                yield_now().await;
            }
            if work.is_finished() {
                return work.await.unwrap();
            }
            let mut time = self.0.lock().unwrap();
            time.sleepers.retain(|_, sleeper| !sleeper.is_closed());
            let ((at, _), sleeper) = time.sleepers.pop_first().expect("somebody waits for time to pass");
            time.now = at;
            sleeper.send(()).unwrap();
        }
    }
}

impl World for FakeWorld {
    fn now(&self) -> Duration {
        self.0.lock().unwrap().now
    }

    fn time_of_day(&self) -> TimeMs {
        NOW
    }

    async fn sleep_until(&self, at: Duration) {
        let sleeping = {
            let mut time = self.0.lock().unwrap();
            if at <= time.now {
                return;
            }
            let (sleeper, sleeping) = oneshot::channel();
            time.count += 1;
            let place = (at, time.count);
            time.sleepers.insert(place, sleeper);
            sleeping
        };
        sleeping.await.unwrap();
    }

    async fn compute_aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let done = self.now() + self.0.lock().unwrap().making;
        self.sleep_until(done).await;
        work()
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        work()
    }
}

/// What a node does with one submission.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// It takes it at once.
    Take,
    /// It is not there.
    Away,
    /// It takes it, and is gone before its receipts.
    AwayLater,
    /// It says no, with this word.
    Deny(Failure, &'static str),
    /// The ledger refuses it.
    Refuse(&'static str),
    /// It sends a receipt that somebody changed.
    Forge,
    /// It breaks off after the first receipt.
    CutShort,
    /// It never comes to a decision.
    Hang,
}

type Script = dyn Fn(u64, Duration) -> Deed + Send + Sync;

/// A node on a fake clock that takes 2 ms for a submission and stalls when it is told.
#[derive(Clone)]
struct Scripted {
    inner: FakeNode,
    world: FakeWorld,
    /// It answers nothing in this time.
    stall: std::ops::Range<Duration>,
    script: Arc<Script>,
    asked: Arc<AtomicU64>,
    deeds: Arc<Mutex<BTreeMap<BatchId, Deed>>>,
}

impl Scripted {
    fn new(world: &FakeWorld, script: impl Fn(u64, Duration) -> Deed + Send + Sync + 'static) -> Self {
        Self {
            inner: FakeNode::new(),
            world: world.clone(),
            stall: Duration::ZERO..Duration::ZERO,
            script: Arc::new(script),
            asked: Arc::default(),
            deeds: Arc::default(),
        }
    }

    fn another(&self, name: &str, script: impl Fn(u64, Duration) -> Deed + Send + Sync + 'static) -> Self {
        let inner = self.inner.another(name);
        Self { inner, script: Arc::new(script), asked: Arc::default(), deeds: Arc::default(), ..self.clone() }
    }

    async fn answer(&self, time: Duration) {
        if self.stall.contains(&self.world.now()) {
            self.world.sleep_until(self.stall.end).await;
        }
        self.world.sleep_until(self.world.now() + time).await;
    }

    fn deed(&self, batch: BatchId) -> Deed {
        self.deeds.lock().unwrap()[&batch]
    }

    fn error(&self, kind: Failure, reason: &str) -> NodeError {
        let error = NodeError::new(self.name(), kind, "as the script says");
        NodeError { reason: reason.into(), ..error }
    }
}

impl Node for Scripted {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn genesis(&self) -> Result<Vec<u8>, NodeError> {
        self.inner.genesis().await
    }

    async fn submit(&self, batch: Bytes) -> Result<Outcome, NodeError> {
        self.inner.submit(batch).await
    }

    async fn receipts(&self, batch: BatchId, first: u32) -> Result<ReceiptStream, NodeError> {
        let receipts = self.inner.ledger.lock().unwrap().receipts(batch);
        let deed = self.deed(batch);
        let send = |(i, receipt): (usize, &Receipt)| match (deed, i) {
            (Deed::CutShort, 1..) => Err(self.error(Failure::Away, "")),
            (Deed::Forge, 3) => Ok(forged(receipt.clone())),
            _ => Ok(receipt.to_json().into_bytes()),
        };
        let items: Vec<_> = receipts.iter().enumerate().skip(first as usize).map(send).collect();
        Ok(Box::pin(tokio_stream::iter(items)))
    }
}

impl Steps for Scripted {
    async fn accept(&self, batch: Bytes) -> Result<Taken, NodeError> {
        let batch = Batch::decode(batch).unwrap();
        let id = batch.id();
        let deed = (self.script)(self.asked.fetch_add(1, Ordering::SeqCst), self.world.now());
        self.deeds.lock().unwrap().insert(id, deed);
        self.answer(millis(1)).await;
        match deed {
            Deed::Away => return Err(self.error(Failure::Away, "")),
            Deed::Deny(kind, reason) => return Err(self.error(kind, reason)),
            _ => {}
        }
        // Not by its `submit`, which lets real time pass.
        self.inner.submitted.lock().unwrap().push(id);
        self.inner.ledger.lock().unwrap().append(&batch, NOW);
        Ok(Taken::Accepted)
    }

    async fn decided(&self, batch: BatchId) -> Result<Outcome, NodeError> {
        self.answer(millis(1)).await;
        match self.deed(batch) {
            Deed::AwayLater => Err(self.error(Failure::Away, "STOPPING")),
            Deed::Refuse(reason) => Ok(Outcome::Refused { reason: reason.into(), message: "no".into() }),
            Deed::Hang => std::future::pending().await,
            _ => Ok(Outcome::Final),
        }
    }

    async fn receipt(&self, batch: BatchId, position: u32) -> Result<Vec<u8>, NodeError> {
        let receipt = self.inner.ledger.lock().unwrap().receipts(batch).remove(position as usize);
        let is_forged = matches!(self.deed(batch), Deed::Forge);
        Ok(if is_forged { forged(receipt) } else { receipt.to_json().into_bytes() })
    }
}

/// Reads like a receipt, and says another time than the authorities signed.
fn forged(mut receipt: Receipt) -> Vec<u8> {
    let header = receipt.latest_header.bytes.len() - 1;
    receipt.latest_header.bytes[header] ^= 1;
    receipt.to_json().into_bytes()
}

fn at_rate(rate: &str, batch: usize, seconds: u64) -> Options {
    let load = Load::Rate(rate.parse().unwrap());
    Options {
        load,
        batch,
        warmup: Duration::ZERO,
        measured: Duration::from_secs(seconds),
        in_flight: load.in_flight(batch),
    }
}

async fn bench_until(
    options: Options,
    nodes: Vec<Scripted>,
    end: watch::Receiver<End>,
) -> (Report, Vec<String>) {
    let world = nodes[0].world.clone();
    let trust = nodes[0].inner.ledger.lock().unwrap().trust().clone();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = heard.clone();
    let issuer = Issuer { ledger: trust.ledger_id(), key: issuer(), document_type: 1 };
    let setting = Setting {
        nodes: nodes.into_iter().map(|node| vec![node.clone(); connections(options.in_flight)]).collect(),
        trust,
        issuer,
        world: world.clone(),
        listener: Arc::new(move |event: &Event<'_>| match event {
            Event::Away(error) => notes.lock().unwrap().push(format!("{} away", error.node)),
            Event::Back(node) => notes.lock().unwrap().push(format!("{node} back")),
            _ => {}
        }),
    };
    let report = world.drive(run(options, setting, end)).await.unwrap();
    let heard = heard.lock().unwrap().clone();
    (report, heard)
}

async fn bench(options: Options, nodes: Vec<Scripted>) -> Report {
    bench_until(options, nodes, watch::channel(End::No).1).await.0
}

#[tokio::test]
async fn a_good_run_has_every_receipt_verified() {
    let world = FakeWorld::default();
    let node = Scripted::new(&world, |_, _| Deed::Take);
    let options = Options { warmup: millis(500), ..at_rate("100", 10, 2) };
    let report = bench(options, vec![node.clone(), node.another("second", |_, _| Deed::Take)]).await;
    assert_eq!((report.sent, report.completed, report.receipts_verified), (25, 25, 250));
    assert_eq!((report.exit_code(), report.missing(), report.moved), (0, 0, 0));
    assert_eq!((report.documents_per_second(), report.submissions_per_second()), (100.0, 10.0));
    assert_eq!((report.receipt.count, report.receipt.p50, report.receipt.max), (20, millis(2), millis(2)));
    assert_eq!((report.accepted.p99, report.all_receipts.p99), (millis(1), millis(2)));
    assert_eq!(report.late.max, Duration::ZERO);
    assert_eq!(report.nodes.iter().map(|n| (n.sent, n.receipts)).collect::<Vec<_>>(), [(13, 130), (12, 120)]);
    let ledger = node.inner.ledger.lock().unwrap();
    assert_eq!((ledger.anchored.len(), ledger.anchored.values().max()), (250, Some(&1)));
}

#[tokio::test]
async fn a_stall_shows_in_all_that_was_due_while_it_lasted() {
    let world = FakeWorld::default();
    let mut node = Scripted::new(&world, |_, _| Deed::Take);
    node.stall = millis(2000)..millis(3000);
    let report = bench(at_rate("100", 1, 4), vec![node]).await;
    assert_eq!((report.completed, report.exit_code()), (400, 0));
    // 100 of 400 were due in the stall, and waited from 1 s down to nothing.
    assert_eq!((report.receipt.p50, report.receipt.max), (millis(2), millis(1002)));
    let near = |found: Duration, exact: u64| found.abs_diff(millis(exact)) < millis(15);
    assert!(near(report.receipt.p90, 600), "{:?}", report.receipt);
    assert!(near(report.receipt.p99, 960), "{:?}", report.receipt);
    assert!(near(report.accepted.p99, 960), "{:?}", report.accepted);
    assert_eq!(report.late.max, Duration::ZERO, "none of them was sent late");
}

#[tokio::test]
async fn what_is_made_too_slowly_counts_from_when_it_was_due() {
    let world = FakeWorld::default();
    world.0.lock().unwrap().making = millis(200);
    let node = Scripted::new(&world, |_, _| Deed::Take);
    // Ten submissions, due every 100 ms and made every 200 ms.
    let report = bench(at_rate("640", 64, 1), vec![node]).await;
    assert_eq!((report.completed, report.not_sent, report.exit_code()), (10, 0, 0));
    assert_eq!((report.late.count, report.late.max), (10, millis(900)));
    assert_eq!((report.accepted.max, report.receipt.max), (millis(901), millis(902)));
    assert!(report.receipt.p50.abs_diff(millis(402)) < millis(2), "{:?}", report.receipt);
}

#[tokio::test]
async fn what_finds_no_room_is_not_sent_and_counted() {
    let world = FakeWorld::default();
    let mut node = Scripted::new(&world, |_, _| Deed::Take);
    node.stall = millis(2000)..millis(3000);
    let options = Options { in_flight: 10, ..at_rate("100", 1, 4) };
    let report = bench(options, vec![node.clone()]).await;
    // One that was taken just before the stall may still be under way when it begins.
    assert!((89..=91).contains(&report.not_sent), "{}", report.not_sent);
    assert_eq!((report.sent, report.completed), (400 - report.not_sent, report.sent));
    assert_eq!((report.exit_code(), report.missing()), (2, report.not_sent));
    assert_eq!(node.inner.submitted.lock().unwrap().len() as u64, report.sent);
}

#[tokio::test]
async fn refusals_are_counted_by_their_word_and_never_tried_again() {
    let world = FakeWorld::default();
    let node = Scripted::new(&world, |number, _| match number % 6 {
        0 => Deed::Deny(Failure::Busy(Duration::ZERO), "POOL_FULL"),
        1 => Deed::Deny(Failure::Denied, "BAD_SIGNATURE"),
        2 => Deed::Refuse("EXPIRED"),
        3 => Deed::Deny(Failure::Busy(Duration::ZERO), ""),
        4 => Deed::Deny(Failure::Faulty, "X"),
        _ => Deed::Take,
    });
    let second = node.another("second", |_, _| Deed::Refuse("KEY_WITHDRAWN"));
    let report = bench(at_rate("20", 1, 3), vec![node, second]).await;
    let refusals: Vec<_> = report.refusals.iter().map(|(word, count)| (word.as_str(), *count)).collect();
    assert_eq!(refusals, [("BAD_SIGNATURE", 5), ("EXPIRED", 5), ("KEY_WITHDRAWN", 30), ("POOL_FULL", 5)]);
    assert_eq!(report.errors, BTreeMap::from([("busy", 5), ("faulty", 5)]));
    assert_eq!((report.completed, report.moved, report.missing(), report.exit_code()), (5, 0, 55, 2));
    assert_eq!(report.nodes.iter().map(|n| n.sent).sum::<u64>(), 60);
}

#[tokio::test]
async fn a_receipt_that_does_not_verify_is_worse_than_anything() {
    for batch in [1, 10] {
        let world = FakeWorld::default();
        let node = Scripted::new(&world, |number, _| match number {
            3 => Deed::Forge,
            4 => Deed::Refuse("EXPIRED"),
            _ => Deed::Take,
        });
        let report = bench(at_rate(&(10 * batch).to_string(), batch, 1), vec![node]).await;
        assert_eq!(
            (report.exit_code(), report.receipts_not_verified, report.completed),
            (1, 1, 8),
            "{batch}"
        );
        assert!(report.not_verified[0].contains("does not verify"), "{:?}", report.not_verified);
        assert_eq!(report.errors, BTreeMap::from([("receipt not verified", 1)]));
    }
}

#[tokio::test]
async fn the_share_of_a_node_that_is_away_goes_to_the_others_and_that_is_told() {
    let world = FakeWorld::default();
    let gone = millis(1000)..millis(2500);
    let first =
        Scripted::new(&world, move |_, now| if gone.contains(&now) { Deed::Away } else { Deed::Take });
    let second = first.another("second", |_, _| Deed::Take);
    let (report, heard) =
        bench_until(at_rate("100", 1, 4), vec![first, second], watch::channel(End::No).1).await;
    assert_eq!((report.completed, report.missing(), report.exit_code()), (400, 0, 0));
    assert_eq!(heard, ["fake away", "fake back"]);
    // It is asked once when it goes, once a second later, and is found again after another second.
    assert_eq!((report.nodes[0].away, report.moved), (2, 2));
    assert_eq!(report.nodes[0].failure.as_deref(), Some("fake: as the script says"));
    assert!(report.nodes[1].sent > report.nodes[0].sent + 150, "{:?}", report.nodes);
    assert_eq!(report.receipt.max, millis(3), "a detour of 1 ms");
}

#[tokio::test]
async fn nodes_that_are_all_away_are_an_error_and_no_endless_loop() {
    let world = FakeWorld::default();
    let node = Scripted::new(&world, |_, _| Deed::Away);
    let second = node.another("second", |_, _| Deed::Away);
    let (report, heard) =
        bench_until(at_rate("100", 1, 2), vec![node, second], watch::channel(End::No).1).await;
    assert_eq!((report.sent, report.completed, report.errors["away"]), (200, 0, 200));
    assert_eq!((report.exit_code(), heard.len()), (2, 2), "{heard:?}");
}

#[tokio::test]
async fn what_one_node_began_another_one_ends() {
    let world = FakeWorld::default();
    let first = Scripted::new(&world, |number, _| if number == 0 { Deed::AwayLater } else { Deed::CutShort });
    let second = first.another("second", |_, _| Deed::Take);
    let options = at_rate("50", 10, 2);
    let report = bench(options, vec![first.clone(), second]).await;
    assert_eq!((report.completed, report.receipts_verified, report.exit_code()), (10, 100, 0));
    assert_eq!(report.receipt.count, 10, "the first receipt counts once");
    assert_eq!(report.accepted.count, 10, "and so does the first acceptance");
    assert!(report.moved >= 2, "{}", report.moved);
    assert!(first.inner.ledger.lock().unwrap().anchored.values().all(|count| *count == 1));
}

#[tokio::test]
async fn peak_keeps_the_same_number_under_way_and_finds_the_rate() {
    let world = FakeWorld::default();
    let node = Scripted::new(&world, |_, _| Deed::Take);
    let options = Options { load: Load::Peak, in_flight: 4, warmup: millis(100), ..at_rate("1", 2, 1) };
    let options = Options { measured: millis(200), ..options };
    let report = bench(options, vec![node]).await;
    // Four at a time, 2 ms each.
    assert_eq!((report.submissions_per_second(), report.documents_per_second()), (2000.0, 4000.0));
    assert_eq!((report.receipt.p50, report.receipt.max, report.sent), (millis(2), millis(2), 600));
    assert_eq!((report.completed, report.exit_code()), (600, 0));
}

#[tokio::test]
async fn what_hangs_is_counted_when_the_run_ends() {
    let world = FakeWorld::default();
    let node = Scripted::new(&world, |number, _| if number % 2 == 0 { Deed::Hang } else { Deed::Take });
    let report = bench(at_rate("10", 1, 1), vec![node.clone()]).await;
    assert_eq!((report.completed, report.errors["unfinished"], report.exit_code()), (5, 5, 2));
    assert_eq!(world.now(), Duration::from_secs(1) + Duration::from_secs(30));
}

#[tokio::test]
async fn a_run_that_is_ended_early_reports_what_it_has() {
    for (haste, at, unfinished) in [(End::Soon, 505, 0), (End::Now, 505, 1)] {
        let world = FakeWorld::default();
        let (end, ending) = watch::channel(End::No);
        let node = Scripted::new(&world, move |_, now| {
            if now == millis(at - 5) {
                end.send_replace(haste); // its own submission is under way then
            }
            Deed::Take
        });
        let (report, _) = bench_until(at_rate("100", 1, 60), vec![node], ending).await;
        assert!(report.interrupted);
        assert_eq!(report.measured, millis(500));
        assert_eq!((report.sent, report.completed), (51, 51 - unfinished), "{haste:?}");
        assert_eq!(report.errors.get("unfinished").copied().unwrap_or(0), unfinished);
        assert_eq!(report.documents_per_second(), 100.0);
    }
}

#[tokio::test]
async fn a_run_without_anything_to_measure_is_no_run() {
    let world = FakeWorld::default();
    let node = Scripted::new(&world, |_, _| Deed::Take);
    let trust = node.inner.ledger.lock().unwrap().trust().clone();
    let issuer = Issuer { ledger: trust.ledger_id(), key: issuer(), document_type: 1 };
    let setting = Setting {
        nodes: vec![vec![node.clone()]],
        trust,
        issuer,
        world,
        listener: Arc::new(|_: &Event<'_>| {}),
    };
    let options = Options { warmup: millis(2000), ..at_rate("1", 100, 10) };
    let refused = run(options, setting, watch::channel(End::No).1).await;
    assert!(matches!(refused, Err(BenchError::NothingDue)));
    assert!(node.inner.submitted.lock().unwrap().is_empty());
}

#[test]
fn ledgers_for_tests_say_so_in_their_origin() {
    for origin in
        ["neustadt.example/devnet", "test", "ledger.test/decisions", "a.example/testnet-3", "a/test2"]
    {
        assert!(is_for_tests(origin), "{origin}");
    }
    for origin in
        ["neustadt.example/decisions", "attestation.example/log", "testament.example", "", "a/latest"]
    {
        assert!(!is_for_tests(origin), "{origin}");
    }
}

#[test]
fn less_is_under_way_where_batches_are_large() {
    let rate = Load::Rate("1".parse().unwrap());
    assert_eq!([1, 100, 200, 10_000].map(|batch| rate.in_flight(batch)), [4096, 4096, 2500, 64]);
    assert_eq!(Load::Peak.in_flight(1), 64);
}
