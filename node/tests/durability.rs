//! Accepted means durable, final means for ever, whatever the disk and the power do.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use markstein_node::{
    driver::Event,
    finality::Snapshot,
    ledger::{BatchRefusal, FinalState, InitError, State, init, receipt, record_of_batch},
    pool::{PoolLimits, SubmitError, Submitted},
    storage::{
        Db, Durability, MemoryStore, Read, StorageError, WriteFailure, Writes,
        tables::{Cosignatures, Headers, Heights, Outcome, Outcomes, Tiles},
    },
};
use markstein_proto::{
    AuthorError, Batch, LeafIndex, Record,
    receipt::{Receipt, Verified},
    status::Status,
};
use support::{DAY, LIMITS, Ledger, START, anchor, batch, document, genesis, salt, signed};

fn receipt_of(ledger: &Ledger, batch: &Batch, position: u32) -> Receipt {
    let Snapshot { view, checkpoint, .. } = ledger.finality.snapshot().unwrap();
    let index = record_of_batch(&view, &batch.id(), position).unwrap();
    receipt(&view, checkpoint.as_deref(), index).unwrap()
}

fn verify(ledger: &Ledger, batch: &Batch, position: u32, number: u64) -> Verified {
    let mut receipt = receipt_of(ledger, batch, position);
    receipt.salt = Some(salt(number));
    let read_back = Receipt::from_json(receipt.to_json().as_bytes()).unwrap();
    read_back.verify(&ledger.trust, &document(number)).unwrap()
}

#[tokio::test]
async fn a_submission_becomes_final_and_its_receipt_verifies() {
    let mut ledger = Ledger::new();
    let one = batch(START, 0..5);
    assert_eq!(ledger.pool.submit(one.clone()).await.unwrap(), Submitted::Accepted);
    assert_eq!(ledger.announced(), 1);
    assert!(ledger.cut());
    for number in 0..5 {
        let verified = verify(&ledger, &one, number as u32, number);
        assert_eq!(verified.issuer_name, "Bauaufsicht Neustadt");
        assert_eq!(verified.status, Status::Valid);
        assert_eq!((verified.vouchers.len(), verified.quorum), (1, 1));
        assert_eq!(verified.anchored_at.0, START + 1000);
    }
    assert_eq!(ledger.pool.size().batches, 0);
    assert!(!ledger.cut(), "nothing is left to write");
}

#[tokio::test]
async fn receipts_verify_at_every_size_of_the_log() {
    let mut ledger = Ledger::new();
    let mut batches: Vec<(Arc<Batch>, u64)> = Vec::new();
    for number in 0..40 {
        let first = number * 100;
        let one = batch(START, first..first + 1 + number * 7 % 23);
        ledger.pool.submit(one.clone()).await.unwrap();
        assert!(ledger.cut());
        batches.push((one, first));
        for (one, first) in &batches {
            let last = one.records().len() as u64 - 1;
            verify(&ledger, one, last as u32, first + last);
        }
    }
    let reloaded = FinalState::load(&ledger.db).unwrap();
    assert_eq!(reloaded.tip(), ledger.state().tip());
    assert_eq!(reloaded.frontier(), ledger.state().frontier());
}

#[tokio::test]
async fn what_is_accepted_survives_a_crash_and_what_is_final_stays_where_it_is() {
    let mut ledger = Ledger::new();
    let (one, two) = (batch(START, 0..3), batch(START, 3..4));
    ledger.pool.submit(one.clone()).await.unwrap();
    ledger = ledger.crash();
    assert!(ledger.pool.contains(&one.id()), "accepted means durable");
    ledger.cut();
    ledger.pool.submit(two.clone()).await.unwrap();
    ledger.cut();
    let before = receipt_of(&ledger, &one, 0);
    ledger = ledger.crash();
    ledger.after(0, Event::Tick).unwrap(); // what the journal holds is final again
    assert_eq!(receipt_of(&ledger, &one, 0), before);
    verify(&ledger, &two, 0, 3);
    assert!(!ledger.cut(), "nothing is written twice");
}

#[tokio::test]
async fn submitting_again_returns_the_first_outcome() {
    let mut ledger = Ledger::new();
    let one = batch(START, 0..3);
    ledger.pool.submit(one.clone()).await.unwrap();
    assert_eq!(ledger.pool.submit(one.clone()).await.unwrap(), Submitted::Accepted);
    ledger.cut();
    let outcome = ledger.db.get::<Outcomes>(&one.id().0).unwrap().unwrap();
    assert!(matches!(outcome, Outcome::Final { .. }));
    assert_eq!(ledger.pool.submit(one).await.unwrap(), Submitted::Decided(outcome));
}

#[tokio::test]
async fn what_outwaits_its_24_hours_is_refused_for_good() {
    let mut ledger = Ledger::new();
    let one = batch(START, 0..3);
    ledger.pool.submit(one.clone()).await.unwrap();
    ledger.clock.set(START + DAY + 1);
    assert!(ledger.cut(), "an empty block carries the time forward");
    assert!(ledger.pool.contains(&one.id()), "refused is decided on what is final only");
    ledger.until_empty();
    assert!(!ledger.cut());
    let outcome = ledger.db.get::<Outcomes>(&one.id().0).unwrap().unwrap();
    assert!(matches!(outcome, Outcome::Refused { reason: 1, .. }));
    ledger = ledger.crash();
    assert_eq!(ledger.pool.submit(one).await.unwrap(), Submitted::Decided(outcome));
}

#[tokio::test]
async fn a_full_pool_says_so_and_loses_nothing() {
    let store = Arc::new(MemoryStore::new());
    init(&Db::new(store.clone()), &genesis()).unwrap();
    let limits = PoolLimits { batches_per_issuer_max: 2, ..LIMITS };
    let mut ledger = Ledger::with_limits(store, START, limits);
    let batches: Vec<_> = (0..3).map(|n| batch(START, n..n + 1)).collect();
    ledger.pool.submit(batches[0].clone()).await.unwrap();
    ledger.pool.submit(batches[1].clone()).await.unwrap();
    assert!(matches!(ledger.pool.submit(batches[2].clone()).await, Err(SubmitError::Full(_))));
    ledger.cut();
    assert_eq!(ledger.pool.submit(batches[2].clone()).await.unwrap(), Submitted::Accepted);
    ledger.cut();
    for (number, batch) in batches.iter().enumerate() {
        verify(&ledger, batch, 0, number as u64);
    }
}

#[tokio::test]
async fn a_full_disk_accepts_nothing_and_loses_nothing() {
    let mut ledger = Ledger::new();
    let (one, two) = (batch(START, 0..1), batch(START, 1..2));
    ledger.pool.submit(one.clone()).await.unwrap();
    ledger.cut();
    ledger.store.fail_after(0, WriteFailure::NoSpace);
    let refused = ledger.pool.submit(two.clone()).await;
    assert!(matches!(refused, Err(SubmitError::Storage(StorageError::NoSpace { .. }))), "{refused:?}");
    ledger = ledger.crash();
    ledger.after(0, Event::Tick).unwrap();
    assert!(!ledger.pool.contains(&two.id()));
    verify(&ledger, &one, 0, 0);
    ledger.pool.submit(two.clone()).await.unwrap();
    ledger.cut();
    verify(&ledger, &two, 0, 1);
}

#[tokio::test]
async fn a_block_that_could_not_be_written_leaves_no_trace() {
    let ledger = Ledger::new();
    let one = batch(START, 0..3);
    ledger.pool.submit(one.clone()).await.unwrap();
    let mut ledger = ledger;
    let before = ledger.state().tip().clone();
    ledger.store.fail_after(0, WriteFailure::Broken);
    assert!(ledger.after(0, Event::Pooled).is_err());
    ledger = ledger.crash();
    assert_eq!(ledger.state().tip(), &before);
    assert!(ledger.pool.contains(&one.id()));
    assert!(ledger.cut());
    verify(&ledger, &one, 2, 2);
}

#[tokio::test]
async fn cosigning_again_renews_the_as_of_time_and_never_goes_back() {
    let mut ledger = Ledger::new();
    let one = batch(START, 0..1);
    ledger.pool.submit(one.clone()).await.unwrap();
    ledger.cut();
    let first = verify(&ledger, &one, 0, 0);
    ledger.clock.set(START + 500_000);
    ledger.cosign_again();
    let second = verify(&ledger, &one, 0, 0);
    assert_eq!(second.as_of_s, (START + 500_000) / 1000);
    assert!(first.as_of_s < second.as_of_s);
    assert_eq!(ledger.db.range::<Cosignatures>(..).count(), 1, "older ones are pruned");
}

#[test]
fn block_zero_is_written_once() {
    let store = Arc::new(MemoryStore::new());
    let db = Db::new(store);
    init(&db, &genesis()).unwrap();
    assert!(matches!(init(&db, &genesis()), Err(InitError::NotEmpty)));
}

#[tokio::test]
async fn a_damaged_tail_is_found_at_the_start() {
    let mut ledger = Ledger::new();
    ledger.pool.submit(batch(START, 0..3)).await.unwrap();
    ledger.cut();
    let (_, index) = ledger.db.last::<Heights>().unwrap().unwrap();
    let damage = |change: &dyn Fn(&mut Writes)| {
        let store = Arc::new(MemoryStore::new());
        init(&Db::new(store.clone()), &genesis()).unwrap();
        let db = Db::new(store);
        let mut writes = Writes::new();
        for entry in ledger.db.range::<Tiles>(..) {
            let (key, value) = entry.unwrap();
            writes.put::<Tiles>(&key, &value);
        }
        let header = ledger.db.get::<Headers>(&index).unwrap().unwrap();
        writes.put::<Headers>(&index, &header).put::<Heights>(&markstein_proto::Height(1), &index);
        change(&mut writes);
        db.commit(writes, Durability::Synced).unwrap();
        FinalState::load(&db)
    };
    assert!(damage(&|_| {}).is_ok());
    let wrong_tile = damage(&|writes| {
        let mut tile = ledger.db.get::<Tiles>(&(0, 0)).unwrap().unwrap();
        tile[32] ^= 1;
        writes.put::<Tiles>(&(0, 0), &tile);
    });
    assert!(wrong_tile.unwrap_err().is_corruption());
    let no_header = damage(&|writes| {
        writes.delete::<Headers>(&index);
    });
    assert!(no_header.unwrap_err().is_corruption());
    let another = damage(&|writes| {
        writes.put::<Headers>(&index, &ledger.db.get::<Headers>(&LeafIndex(2)).unwrap().unwrap());
    });
    assert!(another.unwrap_err().is_corruption());
}

#[tokio::test]
async fn a_batch_that_comes_after_its_24_hours_is_decided_and_not_only_turned_away() {
    let mut ledger = Ledger::new();
    ledger.clock.set(START + 2 * DAY);
    let late = batch(START, 0..1);
    assert_eq!(ledger.pool.submit(late.clone()).await.unwrap(), Submitted::Accepted);
    assert!(ledger.cut());
    ledger.until_empty();
    let outcome = ledger.db.get::<Outcomes>(&late.id().0).unwrap();
    assert!(matches!(outcome, Some(Outcome::Refused { reason: 1, .. })), "{outcome:?}");
    let signed_again = batch(START + 2 * DAY, 0..1);
    ledger.pool.submit(signed_again.clone()).await.unwrap();
    assert!(ledger.cut());
    verify(&ledger, &signed_again, 0, 0);
}

#[tokio::test]
async fn batches_that_are_refused_hold_up_nobody() {
    let mut ledger = Ledger::new();
    let old: Vec<_> = (0..6).map(|n| batch(START, n * 9000..(n + 1) * 9000)).collect();
    for batch in &old {
        ledger.pool.submit(batch.clone()).await.unwrap(); // more than a block holds
    }
    ledger.clock.set(START + DAY + 1);
    let new = batch(START + DAY, 90_000..90_001);
    ledger.pool.submit(new.clone()).await.unwrap();
    assert!(ledger.cut());
    verify(&ledger, &new, 0, 90_000);
    ledger.until_empty();
}

#[tokio::test]
async fn a_clock_that_went_back_makes_batches_wait_and_loses_none() {
    let mut ledger = Ledger::new();
    ledger.clock.set(START + 3 * DAY);
    ledger.pool.submit(batch(START + 3 * DAY, 0..1)).await.unwrap();
    assert!(ledger.cut());
    let as_of = verify(&ledger, &batch(START + 3 * DAY, 0..1), 0, 0).as_of_s;
    ledger.clock.set(START + DAY); // the clock was two days ahead, and is set right
    // No block is ever dated before the newest one: what is a day older than that can never be in one, and is told so.
    let too_old = batch(START + DAY, 1..2);
    assert_eq!(ledger.pool.submit(too_old.clone()).await.unwrap(), Submitted::Accepted);
    let waits = batch(START + 2 * DAY, 2..3);
    assert_eq!(ledger.pool.submit(waits.clone()).await.unwrap(), Submitted::Accepted);
    assert!(!ledger.cut());
    let outcome = |ledger: &Ledger| ledger.db.get::<Outcomes>(&too_old.id().0).unwrap();
    ledger.until(|ledger| outcome(ledger).is_some());
    assert!(matches!(outcome(&ledger), Some(Outcome::Refused { reason: 1, .. })));
    assert!(ledger.pool.contains(&waits.id()));
    ledger.cosign_again();
    assert!(ledger.pool.contains(&waits.id()));
    let later = verify(&ledger, &batch(START + 3 * DAY, 0..1), 0, 0).as_of_s;
    assert_eq!(later, as_of, "the as-of time never goes back");
}

#[tokio::test]
async fn the_as_of_time_does_not_go_back_with_a_new_block_either() {
    let mut ledger = Ledger::new();
    ledger.clock.set(START + 500_000);
    ledger.cosign_again();
    let one = batch(START, 0..1);
    ledger.pool.submit(one.clone()).await.unwrap();
    ledger.clock.set(START + 10_000); // far behind the cosignature that others have seen
    assert!(!ledger.cut());
    ledger.clock.set(START + 496_000); // within the tolerated skew
    assert!(ledger.cut());
    let verified = verify(&ledger, &one, 0, 0);
    assert_eq!(verified.as_of_s, (START + 500_000) / 1000);
    assert!(
        verified.anchored_at.0 >= START + 500_000,
        "what was signed as of then did not know of this record"
    );
}

#[tokio::test]
async fn a_key_that_ended_writes_nothing_not_even_what_is_refused() {
    let ledger = Ledger::new();
    ledger.clock.set(START + 9 * DAY); // key 10 ended after 7 days
    let back_dated = signed(START + DAY, 10, &[Record::Anchor(anchor(1))]);
    let refused = ledger.pool.submit(back_dated).await;
    let expected = BatchRefusal::Author(AuthorError::KeyNotValid);
    assert_eq!(refused, Err(SubmitError::Refused(expected)));
    assert_eq!(ledger.pool.size().batches, 0);
}

#[tokio::test]
async fn between_two_blocks_there_is_time_to_stop() {
    let mut ledger = Ledger::new();
    for number in 0..6 {
        let first = number * 9000; // more than a block holds
        ledger.pool.submit(batch(START, first..first + 9000)).await.unwrap();
    }
    assert!(ledger.cut());
    assert_eq!(ledger.pool.size().batches, 1, "one block was cut");
    assert_eq!(ledger.driver.next_tick(), 0, "and the next one is due at once");
    ledger.after(0, Event::Tick).unwrap();
    assert_eq!(ledger.pool.size().batches, 0);
}

#[tokio::test]
async fn receipts_read_while_blocks_are_cut_all_verify() {
    let mut ledger = Ledger::new();
    let one = batch(START, 0..300);
    ledger.pool.submit(one.clone()).await.unwrap();
    assert!(ledger.cut());
    let done = AtomicBool::new(false);
    let read = AtomicUsize::new(0);
    let (finality, trust) = (ledger.finality.clone(), ledger.trust.clone());
    std::thread::scope(|scope| {
        for reader in 0..3_u64 {
            let (finality, trust, one, done, read) = (finality.clone(), &trust, &one, &done, &read);
            scope.spawn(move || {
                let (mut size, mut as_of_s) = (0, 0);
                for number in (reader * 100..300).cycle() {
                    let Snapshot { view, checkpoint, .. } = finality.snapshot().unwrap();
                    let index = record_of_batch(&view, &one.id(), number as u32).unwrap();
                    let mut receipt = receipt(&view, checkpoint.as_deref(), index).unwrap();
                    receipt.salt = Some(salt(number));
                    let verified = receipt.verify(trust, &document(number)).unwrap();
                    let next = receipt.latest_header.index.0;
                    assert!(next >= size && verified.as_of_s >= as_of_s, "nothing goes back");
                    (size, as_of_s) = (next, verified.as_of_s);
                    read.fetch_add(1, Ordering::Relaxed);
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        let runtime = tokio::runtime::Handle::current();
        for number in 0..150 {
            let first = 1000 + number * 7;
            let next = batch(START, first..first + 1 + number % 7);
            std::thread::scope(|scope| {
                scope.spawn(|| runtime.block_on(ledger.pool.submit(next)).unwrap());
            });
            ledger.clock.set(START + 2000 + number * 1500);
            assert!(ledger.cut());
            if number % 3 == 0 {
                ledger.clock.set(START + 3000 + number * 1500);
                ledger.cosign_again();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(read.load(Ordering::Relaxed) >= 3);
}
