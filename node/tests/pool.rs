//! The pool between callers, other nodes and blocks: what comes in, when it is durable, and how it leaves.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::FutureExt;
use markstein_node::{
    clock::Clock,
    finality::finality,
    ledger::{BatchRefusal, FinalState, Rules, State, Turn, execute, finalize},
    pool::{
        self, Admission, Admitted, Announce, Answer, Mailbox, Origin, Pool, PoolFailure, PoolFull,
        PoolLimits, SubmitError, Submitted, Verdict,
    },
    shutdown::StopSignal,
    storage::{
        Backend, Db, Durability, MemoryStore, Pair, Read, ReadBytes, Scan, StorageError, WriteFailure,
        WriteSet, Writes,
        tables::{Batches, Outcome, Outcomes, Pool as PoolTable},
    },
};
use markstein_proto::{
    AuthorError, Batch, BatchId, EpochId, Genesis, IssuerId, LeafIndex, LedgerId, Record, TimeMs,
};
use support::{DAY, LIMITS, START, anchor, batch, genesis, issuer, key, new_db, random::Random, signed};

/// A store that notes each commit: how many writes, and whether it was synced.
#[derive(Debug)]
struct Noting {
    store: Arc<MemoryStore>,
    commits: Mutex<Vec<(usize, Durability)>>,
}

impl ReadBytes for Noting {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.get(table, key)
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError> {
        self.store.scan(table, scan)
    }
}

impl Backend for Noting {
    fn commit(&self, writes: WriteSet, durability: Durability) -> Result<(), StorageError> {
        self.commits.lock().unwrap().push((writes.ops.len(), durability));
        self.store.commit(writes, durability)
    }

    fn snapshot(&self) -> Box<dyn ReadBytes + '_> {
        self.store.snapshot()
    }
}

type Hook = Box<dyn FnOnce() + Send>;

/// A clock set by hand that does something when it is next read.
#[derive(Default)]
struct Hooked {
    now: Mutex<u64>,
    next: Mutex<Option<Hook>>,
}

impl std::fmt::Debug for Hooked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hooked")
    }
}

impl Clock for Hooked {
    fn now(&self) -> TimeMs {
        let hook = self.next.lock().unwrap().take();
        if let Some(hook) = hook {
            hook();
        }
        TimeMs(*self.now.lock().unwrap())
    }
}

/// Notes what is announced, and how many commits a power cut would have lost then.
#[derive(Debug)]
struct Heard {
    store: Arc<MemoryStore>,
    batches: Mutex<Vec<(BatchId, Origin, usize)>>,
}

impl Announce for Heard {
    fn pooled(&self, batch: &Arc<Batch>, origin: Origin) {
        self.batches.lock().unwrap().push((batch.id(), origin, self.store.unsynced()));
    }

    fn looked(&self) {}
}

/// A pool without a thread, on a store that can lose its power.
struct Bench {
    store: Arc<MemoryStore>,
    noting: Arc<Noting>,
    db: Db,
    clock: Arc<Hooked>,
    heard: Arc<Heard>,
    pool: Pool,
    admission: Admission,
    mailbox: Mailbox,
}

impl Bench {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        new_db(store.clone());
        Self::open(store, LIMITS)
    }

    fn open(store: Arc<MemoryStore>, limits: PoolLimits) -> Self {
        let noting = Arc::new(Noting { store: store.clone(), commits: Mutex::default() });
        let db = Db::new(noting.clone());
        let state = FinalState::load(&db).unwrap();
        let clock = Arc::new(Hooked { now: Mutex::new(START + 1000), next: Mutex::default() });
        let heard = Arc::new(Heard { store: store.clone(), batches: Mutex::default() });
        let (_, reader) = finality(state, None, StopSignal::new());
        let (pool, admission, mailbox) =
            pool::open(&db, Rules::new(&genesis()), limits, reader, clock.clone(), heard.clone()).unwrap();
        Self { store, noting, db, clock, heard, pool, admission, mailbox }
    }

    /// Loses what was not synced but for `kept` commits, and starts again.
    fn crash(self, kept: usize) -> Self {
        self.store.crash_keeping(kept);
        Self::open(self.store, LIMITS)
    }

    fn admit(&self, group: &[(&Arc<Batch>, Origin)]) -> Vec<Answer> {
        self.admission.admit(&group.iter().map(|(b, origin)| (Arc::clone(b), *origin)).collect::<Vec<_>>())
    }

    fn gossip(&self, batch: &Arc<Batch>) -> Verdict {
        let answer = self.admit(&[(batch, Origin::Gossip)]).remove(0);
        self.admission.verdict(batch, answer)
    }

    fn commits(&self) -> Vec<(usize, Durability)> {
        std::mem::take(&mut self.noting.commits.lock().unwrap())
    }

    fn heard(&self) -> Vec<(BatchId, Origin, usize)> {
        std::mem::take(&mut self.heard.batches.lock().unwrap())
    }
}

/// Makes a block of batches final, in the versions given.
fn decide(db: &Db, pool: &Pool, batches: Vec<Arc<Batch>>) {
    let state = FinalState::load(db).unwrap();
    let tip = state.tip();
    let time = TimeMs(tip.time.0 + 1);
    let turn = Turn { epoch: EpochId(0), view: tip.view.next(), proposer: 0, time };
    // Executed with versions that verify, stored with those given: of one id there are many valid ones, but it takes
    // more than this library to make them.
    let valid = batches.iter().map(|b| resigned(b)).collect();
    let mut block = execute(&state, &Rules::new(&genesis()), turn, valid).unwrap();
    for ((_, placed), version) in block.batches.iter_mut().zip(&batches) {
        placed.clone_from(version);
    }
    let mut writes = finalize::writes(db, &block).unwrap();
    let removal = pool.plan_removal(batches.iter().map(|b| b.id()), &mut writes);
    db.commit(writes, Durability::Synced).unwrap();
    removal.finish();
    pool.finalized(&block, None);
}

fn resigned(batch: &Batch) -> Arc<Batch> {
    let records: Vec<Record> = batch.records().iter().map(|leaf| leaf.record.clone()).collect();
    signed(batch.head().created_at.0, 11, &records)
}

/// The same batch with another signature: same id, other bytes.
fn other_version(batch: &Batch) -> Arc<Batch> {
    let signature = batch.head().signatures[0].1.0;
    let mut bytes = batch.bytes().to_vec();
    let at = bytes.windows(64).position(|window| window == signature).unwrap();
    bytes[at] ^= 1;
    let other = Arc::new(Batch::decode(bytes).unwrap());
    assert_eq!(other.id(), batch.id());
    other
}

const UNSYNCED: Durability = Durability::Unsynced;
const SYNCED: Durability = Durability::Synced;

#[test]
fn a_submission_is_written_announced_synced_and_only_then_answered() {
    let mut bench = Bench::new();
    let (one, two) = (batch(START, 0..3), batch(START, 3..4));
    let group = [(&one, Origin::Submitted), (&two, Origin::Gossip), (&one, Origin::Gossip)];
    assert_eq!(bench.admit(&group), [Ok(Admitted::New), Ok(Admitted::New), Ok(Admitted::Known)]);
    assert_eq!(bench.commits(), [(4, UNSYNCED), (0, SYNCED)], "one sync for the group");
    let heard = bench.heard();
    assert_eq!(heard, [(one.id(), Origin::Submitted, 1), (two.id(), Origin::Gossip, 1)], "before the sync");
    bench = bench.crash(0);
    assert!(bench.pool.contains(&one.id()) && bench.pool.contains(&two.id()));
    assert_eq!(bench.heard(), [], "what is loaded is not announced");
}

#[test]
fn gossip_is_durable_with_the_next_sync_of_anybody() {
    let mut bench = Bench::new();
    let (one, two) = (batch(START, 0..3), batch(START, 3..4));
    assert_eq!(bench.gossip(&one), Verdict::New);
    assert_eq!(bench.gossip(&one), Verdict::Known);
    assert_eq!(bench.commits(), [(2, UNSYNCED)]);
    assert_eq!(bench.heard(), [(one.id(), Origin::Gossip, 1)]);
    assert!(bench.pool.contains(&one.id()));
    bench = bench.crash(0);
    assert!(!bench.pool.contains(&one.id()) && bench.db.get::<Batches>(&one.id().0).unwrap().is_none());
    assert_eq!(bench.gossip(&one), Verdict::New, "it can come again");
    bench.db.commit(Writes::new(), Durability::Synced).unwrap(); // a vote's
    assert_eq!(bench.gossip(&two), Verdict::New);
    bench = bench.crash(0);
    assert!(bench.pool.contains(&one.id()) && !bench.pool.contains(&two.id()));
}

#[test]
fn what_came_by_gossip_is_synced_when_it_is_submitted_too() {
    let mut bench = Bench::new();
    let one = batch(START, 0..3);
    assert_eq!(bench.gossip(&one), Verdict::New);
    assert_eq!(bench.admit(&[(&one, Origin::Submitted)]), [Ok(Admitted::Known)]);
    assert_eq!(bench.admit(&[(&one, Origin::Submitted)]), [Ok(Admitted::Known)]);
    assert_eq!(bench.commits(), [(2, UNSYNCED), (0, SYNCED)], "once is enough");
    bench = bench.crash(0);
    assert!(bench.pool.contains(&one.id()), "accepted means durable");
    assert_eq!(bench.admit(&[(&one, Origin::Submitted)]), [Ok(Admitted::Known)]);
    assert_eq!(bench.commits(), [], "what was loaded is durable");
}

#[test]
fn gossip_is_judged_by_whose_fault_it_is() {
    let bench = Bench::new();
    let record = |record| vec![Record::Anchor(record)];
    let sign = |ledger: LedgerId, issuer: &str, seed: u8, records: &[Record]| {
        Arc::new(
            Batch::sign(ledger, &IssuerId::new(issuer).unwrap(), &key(seed), TimeMs(START), records).unwrap(),
        )
    };
    let (here, name) = (genesis().ledger_id(), issuer().to_string());
    let elsewhere = Genesis { nonce: [8; 32], ..genesis() }.ledger_id();
    let typed = |document_type| record(markstein_proto::Anchor { document_type, ..anchor(1) });
    let grant = vec![Record::IssuerGrant(genesis().grants[0].clone())];
    let decided = batch(START, 50..51);
    decide(&bench.db, &bench.pool, vec![decided.clone()]);
    bench.commits();
    let bad = Verdict::Bad;
    let cases = [
        (sign(elsewhere, &name, 11, &record(anchor(1))), bad(BatchRefusal::AnotherLedger(elsewhere))),
        (Arc::new(genesis().batch()), Verdict::Known), // it is in block 0
        (
            sign(here, "stranger.example", 11, &record(anchor(1))),
            bad(BatchRefusal::UnknownIssuer(IssuerId::new("stranger.example").unwrap())),
        ),
        (sign(here, &name, 11, &grant), bad(BatchRefusal::RecordKind)),
        (sign(here, &name, 11, &typed(4)), bad(BatchRefusal::UnregisteredType(4))),
        (sign(here, &name, 11, &typed(3)), bad(BatchRefusal::OutOfScope(3))),
        (sign(here, &name, 12, &record(anchor(1))), bad(BatchRefusal::Author(AuthorError::KeyNotValid))),
        (other_version(&batch(START, 1..2)), bad(BatchRefusal::Author(AuthorError::BadSignature))),
        (batch(START + 2 * DAY, 1..2), Verdict::NotNow),
        (decided, Verdict::Known),
    ];
    for (batch, verdict) in cases {
        assert_eq!(bench.gossip(&batch), verdict);
    }
    *bench.clock.now.lock().unwrap() = START + 8 * DAY;
    let late = signed(START + 7 * DAY, 10, &record(anchor(1)));
    assert_eq!(bench.gossip(&late), Verdict::NotNow, "a key that ended: its clock may differ");
    let expired = batch(START, 1..2);
    assert_eq!(bench.gossip(&expired), Verdict::NotNow);
    assert_eq!(
        bench.admit(&[(&expired, Origin::Submitted)]),
        [Ok(Admitted::New)],
        "its issuer must hear of it"
    );
    assert_eq!(bench.pool.size().batches, 1);
    assert_eq!(bench.commits(), [(2, UNSYNCED), (0, SYNCED)], "what is not taken leaves no trace");
}

#[test]
fn a_full_pool_takes_no_gossip_and_says_so_to_callers() {
    let store = Arc::new(MemoryStore::new());
    new_db(store.clone());
    let bench = Bench::open(store, PoolLimits { batches_per_issuer_max: 3, ..LIMITS });
    let batches: Vec<_> = (0..6).map(|n| batch(START, n..n + 1)).collect();
    assert_eq!(bench.gossip(&batches[0]), Verdict::New);
    let group: Vec<_> = batches.iter().map(|b| (b, Origin::Submitted)).collect();
    let full = || Err(SubmitError::Full(PoolFull::Issuer));
    let answers = bench.admit(&group);
    assert_eq!(
        answers,
        [Ok(Admitted::Known), Ok(Admitted::New), Ok(Admitted::New), full(), full(), full()],
        "those of one group count"
    );
    assert_eq!(bench.gossip(&batches[3]), Verdict::NotNow);
    decide(&bench.db, &bench.pool, vec![batches[0].clone()]);
    assert_eq!(bench.gossip(&batches[3]), Verdict::New);
}

#[test]
fn a_store_that_fails_takes_nothing_and_says_so_to_all() {
    for (successes, written) in [(0, false), (1, true)] {
        let mut bench = Bench::new();
        let (one, two) = (batch(START, 0..3), batch(START, 3..4));
        assert_eq!(bench.gossip(&one), Verdict::New);
        bench.store.fail_after(successes, WriteFailure::NoSpace);
        let answers = bench.admit(&[
            (&one, Origin::Submitted),
            (&two, Origin::Gossip),
            (&batch(START + 2 * DAY, 4..5), Origin::Gossip),
        ]);
        let failed =
            |answer: &Answer| matches!(answer, Err(SubmitError::Storage(StorageError::NoSpace { .. })));
        assert!(failed(&answers[0]) && failed(&answers[1]), "{answers:?}");
        assert_eq!(answers[2], Err(BatchRefusal::FromTheFuture.into()));
        assert_eq!(bench.pool.contains(&two.id()), written);
        bench = bench.crash(0);
        assert_eq!(bench.pool.size().batches, 0);
    }
}

#[tokio::test]
async fn the_thread_answers_and_ends_when_its_store_fails() {
    let bench = Bench::new();
    let (mailbox, admission) = (bench.mailbox, bench.admission);
    let thread = std::thread::spawn(move || mailbox.serve(&admission));
    let (one, two) = (batch(START, 0..3), batch(START, 3..4));
    assert_eq!(bench.pool.gossip(one.clone()).await, Verdict::New);
    assert_eq!(bench.pool.submit(one.clone()).await, Ok(Submitted::Accepted));
    let unknown = signed(START, 12, &[Record::Anchor(anchor(1))]);
    let refusal = BatchRefusal::Author(AuthorError::KeyNotValid);
    assert_eq!(bench.pool.gossip(unknown.clone()).await, Verdict::Bad(refusal.clone()));
    assert_eq!(bench.pool.submit(unknown).await, Err(SubmitError::Refused(refusal)));
    bench.store.fail_after(0, WriteFailure::Broken);
    assert_eq!(bench.pool.gossip(two.clone()).await, Verdict::NotNow, "never the peer's fault");
    assert!(matches!(thread.join().unwrap(), Err(PoolFailure::Storage(_))));
    assert_eq!(bench.pool.submit(two.clone()).await, Err(SubmitError::Stopping));
    assert_eq!(bench.pool.gossip(two).await, Verdict::NotNow);
}

#[tokio::test]
async fn gossip_leaves_room_for_submissions() {
    let bench = Bench::new(); // nobody serves its mailbox
    let one = batch(START, 0..1);
    let waiting: Vec<_> = (0..500)
        .map(|_| {
            let (pool, one) = (bench.pool.clone(), one.clone());
            let mut offered = Box::pin(async move { pool.gossip(one).await });
            assert_eq!((&mut offered).now_or_never(), None);
            offered
        })
        .collect();
    drop(waiting); // nobody waits any more, and still their batches are there
    let (pool, again) = (bench.pool.clone(), one.clone());
    assert_eq!(Box::pin(async move { pool.gossip(again).await }).now_or_never(), None, "it waits its turn");
    let submit = || Box::pin(bench.pool.submit(one.clone())).now_or_never();
    let taken = (0..).take_while(|_| submit().is_none()).count();
    assert_eq!(taken, 1024 - 64);
    assert_eq!(submit(), Some(Err(SubmitError::Busy)));
}

#[test]
fn decoded_batches_are_kept_until_they_are_decided() {
    let mut bench = Bench::new();
    let (one, other) = (batch(START, 0..3), other_version(&batch(START, 0..3)));
    let held = |bench: &Bench| bench.pool.batch(&bench.db, &one.id()).unwrap();
    assert!(held(&bench).is_none());
    assert_eq!(bench.admit(&[(&one, Origin::Submitted)]), [Ok(Admitted::New)]);
    assert!(Arc::ptr_eq(&held(&bench).unwrap(), &one));
    bench = bench.crash(0);
    assert_eq!(held(&bench).unwrap(), one);
    assert!(Arc::ptr_eq(&held(&bench).unwrap(), &held(&bench).unwrap()));
    decide(&bench.db, &bench.pool, vec![other.clone()]);
    assert_eq!(held(&bench).unwrap(), other, "now it is the version in the ledger");
}

#[test]
fn removing_what_is_not_there_changes_nothing() {
    let bench = Bench::new();
    let (one, two) = (batch(START, 0..3), batch(START, 3..4));
    assert_eq!(bench.gossip(&one), Verdict::New);
    let mut writes = Writes::new();
    bench.pool.plan_removal([two.id()], &mut writes).finish();
    assert!(writes.is_empty());
    let removal = bench.pool.plan_removal([one.id(), two.id()], &mut writes);
    assert_eq!(writes.len(), 1);
    drop(removal); // the commit failed
    assert!(bench.pool.contains(&one.id()));
    bench.pool.plan_removal([one.id(), one.id(), two.id()], &mut writes).finish();
    assert_eq!(bench.pool.size(), pool::PoolSize::default());
}

#[test]
fn a_batch_that_becomes_final_while_it_is_checked_does_not_come_in() {
    let bench = Bench::new();
    let (one, two) = (batch(START, 0..3), batch(START, 3..4));
    let in_block = other_version(&one);
    // `one` passed its checks when the clock is read for `two`.
    let hooked = (bench.clock.clone(), bench.db.clone(), bench.pool.clone(), in_block.clone());
    bench.clock.next.lock().unwrap().replace(Box::new(move || {
        let (clock, db, pool, in_block) = hooked;
        clock.next.lock().unwrap().replace(Box::new(move || decide(&db, &pool, vec![in_block])));
    }));
    let answers = bench.admit(&[(&one, Origin::Gossip), (&two, Origin::Submitted)]);
    assert!(
        matches!(answers[0], Ok(Admitted::Decided(Outcome::Final { head_index: LeafIndex(3), .. }))),
        "{answers:?}"
    );
    assert_eq!(answers[1], Ok(Admitted::New));
    assert_eq!(bench.db.get::<Batches>(&one.id().0).unwrap().unwrap(), in_block.bytes().to_vec());
    assert!(!bench.pool.contains(&one.id()) && bench.pool.contains(&two.id()));
    assert_eq!(bench.db.range::<PoolTable>(..).count(), 1);
    assert_eq!(bench.heard().len(), 1);

    // The same where it becomes final before its own check.
    let three = batch(START, 5..6);
    let (db, pool, in_block) = (bench.db.clone(), bench.pool.clone(), three.clone());
    bench.clock.next.lock().unwrap().replace(Box::new(move || decide(&db, &pool, vec![in_block])));
    assert_eq!(bench.gossip(&three), Verdict::Known);
    assert!(!bench.pool.contains(&three.id()));
}

#[test]
fn a_decision_waits_while_a_batch_is_written() {
    let bench = Bench::new();
    let one = batch(START, 0..3);
    let in_block = other_version(&one);
    let (db, pool, version) = (bench.db.clone(), bench.pool.clone(), in_block.clone());
    let decider = Arc::new(Mutex::new(None));
    let started = decider.clone();
    let while_written = move || {
        let (decided, wait) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            decide(&db, &pool, vec![version]);
            let _ = decided.send(());
        });
        // However long this waits: the block is stored behind the batch.
        assert!(wait.recv_timeout(std::time::Duration::from_millis(100)).is_err());
        started.lock().unwrap().replace(thread);
    };
    // The clock is read first for the check, and again for the entry, when the outcome was looked at.
    let clock = bench.clock.clone();
    bench.clock.next.lock().unwrap().replace(Box::new(move || {
        clock.next.lock().unwrap().replace(Box::new(while_written));
    }));
    assert_eq!(bench.gossip(&one), Verdict::New);
    decider.lock().unwrap().take().unwrap().join().unwrap();
    assert!(!bench.pool.contains(&one.id()));
    assert_eq!(bench.db.range::<PoolTable>(..).count(), 0);
    assert_eq!(bench.db.get::<Batches>(&one.id().0).unwrap().unwrap(), in_block.bytes().to_vec());
}

#[test]
fn blocks_and_gossip_of_the_same_batches_at_the_same_time() {
    let bench = Bench::new();
    let batches: Vec<_> = (0..200).map(|n| batch(START, n * 5..n * 5 + 1 + n % 5)).collect();
    let versions: Vec<_> = batches.iter().map(|b| other_version(b)).collect();
    let done = AtomicBool::new(false);
    let (admission, done) = (&bench.admission, &done);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                for group in batches.chunks(7) {
                    let group: Vec<_> = group.iter().map(|b| (b.clone(), Origin::Gossip)).collect();
                    admission.admit(&group);
                }
            }
        });
        for group in versions.chunks(3) {
            decide(&bench.db, &bench.pool, group.to_vec());
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(bench.pool.size(), pool::PoolSize::default());
    assert_eq!(bench.db.range::<PoolTable>(..).count(), 0);
    for version in &versions {
        let stored = bench.db.get::<Batches>(&version.id().0).unwrap().unwrap();
        assert_eq!(stored, version.bytes().to_vec(), "the version in the ledger");
    }
}

/// What must hold of store and handle at any moment between two calls.
fn assert_sound(bench: &Bench, seed: u64) -> BTreeSet<BatchId> {
    let entries: Vec<_> = bench.db.range::<PoolTable>(..).map(|e| BatchId(e.unwrap().1.batch_id)).collect();
    let ids: BTreeSet<BatchId> = entries.iter().copied().collect();
    assert_eq!(ids.len(), entries.len(), "seed {seed}: no batch twice");
    for id in &ids {
        assert!(bench.db.get::<Outcomes>(&id.0).unwrap().is_none(), "seed {seed}: pooled and decided");
        assert_eq!(bench.pool.batch(&bench.db, id).unwrap().unwrap().id(), *id);
    }
    let pending: Vec<BatchId> = bench.pool.list(0, usize::MAX).0.iter().map(|p| p.id).collect();
    assert_eq!(pending, entries, "seed {seed}: the handle says what the store says, in order");
    let (offers, next) = bench.pool.offers(0, usize::MAX);
    assert_eq!((offers.iter().map(|offer| offer.id).collect::<Vec<_>>(), next), (entries, 0));
    ids
}

#[test]
fn accepted_is_kept_and_decided_is_gone_whatever_comes_and_whenever_the_power_goes() {
    for seed in 0..40 {
        let (mut bench, mut random) = (Bench::new(), Random::new(seed));
        let batches: Vec<_> = (0..40).map(|n| batch(START, n..n + 1)).collect();
        let (mut accepted, mut decided) = (BTreeSet::new(), BTreeMap::new());
        for _ in 0..60 {
            let mut some = || {
                let count = 1 + random.below(4);
                (0..count).map(|_| &batches[random.below(40) as usize]).collect::<Vec<_>>()
            };
            let chosen = some();
            match random.below(8) {
                0 => {
                    let unsynced = bench.store.unsynced() as u64;
                    bench = bench.crash(random.below(unsynced + 1) as usize);
                }
                1 | 2 => {
                    let mut fresh: Vec<Arc<Batch>> =
                        chosen.into_iter().filter(|b| !decided.contains_key(&b.id())).cloned().collect();
                    fresh.sort_by_key(|b| b.id());
                    fresh.dedup_by_key(|b| b.id());
                    let versions: Vec<_> = fresh
                        .iter()
                        .map(|b| if random.below(2) == 0 { b.clone() } else { other_version(b) })
                        .collect();
                    decided.extend(versions.iter().map(|b| (b.id(), b.bytes().to_vec())));
                    decide(&bench.db, &bench.pool, versions);
                }
                _ => {
                    let group: Vec<_> = chosen
                        .into_iter()
                        .map(|b| (b, [Origin::Submitted, Origin::Gossip][random.below(2) as usize]))
                        .collect();
                    for ((batch, origin), answer) in group.iter().zip(bench.admit(&group)) {
                        let is_decided = decided.contains_key(&batch.id());
                        match answer.unwrap() {
                            Admitted::Decided(_) => assert!(is_decided, "seed {seed}"),
                            Admitted::New | Admitted::Known => {
                                assert!(!is_decided && bench.pool.contains(&batch.id()), "seed {seed}");
                                if *origin == Origin::Submitted {
                                    accepted.insert(batch.id());
                                }
                            }
                        }
                    }
                }
            }
            accepted.retain(|id| !decided.contains_key(id));
            let pooled = assert_sound(&bench, seed);
            assert!(accepted.is_subset(&pooled), "seed {seed}: nothing accepted is lost");
            for (id, bytes) in &decided {
                assert_eq!(bench.db.get::<Batches>(&id.0).unwrap().as_ref(), Some(bytes), "seed {seed}");
            }
        }
    }
}
