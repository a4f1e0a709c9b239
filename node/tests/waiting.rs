//! What waits in the pool: it costs nothing, is told with its reason, comes back when it may, and ends in time.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use markstein_node::{
    driver::Event,
    ledger::{BatchRefusal, Rules, check_batch},
    messages::Offer,
    peer::Peer,
    pool::{BACKLOG_MIN, Cause, PoolFull, PoolLimits, SubmitError, Submitted, cost},
    storage::{
        MemoryStore, Read,
        tables::{Dropped, Outcome, Outcomes},
    },
};
use markstein_proto::{
    Batch, CHANGE_SETTLED_MS, LeafIndex, Reason, Record, StatusChange, TimeMs, status::Status,
};
use support::{DAY, LIMITS, Ledger, START, batch, genesis, issuer, signed};

/// Where the first record of the first block after the genesis stands.
const TARGET: LeafIndex = LeafIndex(4);

fn change(created_at: u64, from: Status, to: Status) -> Arc<Batch> {
    let change = StatusChange::new(TARGET, from, to, Reason::UnderReview).unwrap();
    signed(created_at, 11, &[Record::StatusChange(change)])
}

fn suspend(created_at: u64) -> Arc<Batch> {
    change(created_at, Status::Valid, Status::Suspended)
}

fn reinstate(created_at: u64) -> Arc<Batch> {
    change(created_at, Status::Suspended, Status::Valid)
}

impl Ledger {
    fn outcome(&self, batch: &Batch) -> Option<Outcome> {
        self.db.get::<Outcomes>(&batch.id().0).unwrap()
    }

    fn is_final(&self, batch: &Batch) -> bool {
        matches!(self.outcome(batch), Some(Outcome::Final { .. }))
    }
}

/// One record, and two changes of it that were both taken; the first is final.
async fn race() -> (Ledger, Arc<Batch>, Arc<Batch>) {
    let mut ledger = Ledger::new();
    ledger.pool.submit(batch(START, 0..1)).await.unwrap();
    assert!(ledger.cut());
    let (first, second) = (suspend(START + 1), suspend(START + 2));
    ledger.pool.submit(first.clone()).await.unwrap();
    ledger.pool.submit(second.clone()).await.unwrap();
    ledger.until(|ledger| ledger.is_final(&first));
    let waits_for_status = |ledger: &Ledger| {
        let cause = ledger.pool.wait_of(&second.id()).map(|wait| wait.cause);
        cause == Some(Cause::Status { target: TARGET, wants: Status::Valid })
    };
    ledger.until(waits_for_status);
    (ledger, first, second)
}

#[tokio::test]
async fn a_change_that_lost_a_race_waits_and_nothing_else_does() {
    let (mut ledger, _, second) = race().await;
    let now = TimeMs(START + 1_000);
    assert!(!ledger.pool.has_admissible(now));
    ledger.after(60_000, Event::Tick).unwrap();
    assert_eq!(ledger.driver.engine().waiting_since(), None, "nothing is held up");
    let wait = ledger.pool.wait_of(&second.id()).unwrap();
    assert_eq!(wait.why.reason(), "STATUS_OTHER");
    assert_eq!(wait.decided_after, TimeMs(START + 2 + CHANGE_SETTLED_MS));
    assert!(ledger.pool.offers(0, 10).0.is_empty(), "others have no use for it");
    let other = batch(START, 1..2);
    ledger.pool.submit(other.clone()).await.unwrap();
    assert!(ledger.cut() && ledger.is_final(&other));
}

#[tokio::test]
async fn it_comes_back_when_what_it_waits_for_comes_about() {
    let (mut ledger, _, second) = race().await;
    let third = reinstate(START + 3);
    ledger.pool.submit(third.clone()).await.unwrap();
    ledger.until(|ledger| ledger.is_final(&third) && ledger.is_final(&second));
}

#[tokio::test]
async fn it_is_refused_ten_minutes_after_it_was_made_by_an_empty_block() {
    let (mut ledger, _, second) = race().await;
    ledger.clock.set(START + 2 + CHANGE_SETTLED_MS);
    ledger.after(1_000, Event::Tick).unwrap();
    assert_eq!(ledger.outcome(&second), None, "to the millisecond");
    ledger.clock.set(START + 2 + CHANGE_SETTLED_MS + 1);
    ledger.until(|ledger| ledger.outcome(&second).is_some());
    assert!(matches!(ledger.outcome(&second), Some(Outcome::Refused { reason: 4, .. })));
}

#[tokio::test]
async fn what_one_node_refused_no_later_block_may_hold() {
    let (mut ledger, _, second) = race().await;
    ledger.clock.set(START + 2 + CHANGE_SETTLED_MS + 1);
    ledger.until(|ledger| ledger.outcome(&second).is_some());
    let third = reinstate(START + 2 + CHANGE_SETTLED_MS);
    ledger.pool.submit(third.clone()).await.unwrap();
    ledger.until(|ledger| ledger.is_final(&third));
    // The status is again what the second change expects; it comes too late all the same, on this state and any later one.
    let rules = Rules::new(&genesis());
    for later in [1, DAY - 1 - CHANGE_SETTLED_MS] {
        let time = TimeMs(START + 2 + CHANGE_SETTLED_MS + later);
        let checked = check_batch(ledger.state(), &rules, &second, time).unwrap();
        assert_eq!(checked, Err(BatchRefusal::ChangedSince(TARGET)));
    }
}

#[tokio::test]
async fn a_change_that_nobody_overtook_is_good_for_a_day() {
    let mut ledger = Ledger::new();
    ledger.pool.submit(batch(START, 0..1)).await.unwrap();
    assert!(ledger.cut());
    let late = suspend(START + 1);
    ledger.clock.set(START + 1 + DAY);
    ledger.pool.submit(late.clone()).await.unwrap();
    ledger.until(|ledger| ledger.is_final(&late));
}

#[tokio::test]
async fn about_a_second_of_work_may_wait_and_the_hint_says_when_there_is_room() {
    let ledger = Ledger::new();
    let each = cost::cost(9_000, 0);
    let fit = BACKLOG_MIN / each;
    for number in 0..fit {
        let taken = ledger.pool.submit(batch(START, number * 9_000..(number + 1) * 9_000)).await;
        assert_eq!(taken, Ok(Submitted::Accepted), "{number}");
    }
    let more = batch(START, 90_000..99_000);
    let refused = ledger.pool.submit(more.clone()).await.unwrap_err();
    assert!(matches!(refused, SubmitError::Full(PoolFull::Backlog { retry_ms: 50.. })), "{refused:?}");
    ledger.pool.gossip(more.clone()).await;
    assert!(ledger.pool.contains(&more.id()), "another node told its issuer that it is accepted");
}

#[tokio::test]
async fn what_an_operator_drops_is_not_decided_and_not_taken_again() {
    let mut ledger = Ledger::new();
    let (one, two) = (batch(START, 0..1), batch(START, 1..2));
    ledger.pool.submit(one.clone()).await.unwrap();
    ledger.pool.submit(two.clone()).await.unwrap();
    let dropped = ledger.pool.drop_batches(&ledger.db, &[one.id(), one.id()], TimeMs(START)).unwrap();
    assert_eq!(dropped.first(), Some(&one.id()));
    assert!(ledger.cut() && ledger.is_final(&two) && ledger.outcome(&one).is_none());
    assert_eq!(ledger.pool.submit(one.clone()).await, Err(SubmitError::Dropped));
    ledger.pool.gossip(one.clone()).await;
    let ledger = ledger.crash();
    assert!(!ledger.pool.contains(&one.id()) && ledger.outcome(&one).is_none());
    assert_eq!(ledger.pool.submit(one.clone()).await, Err(SubmitError::Dropped), "after a restart as well");
}

#[tokio::test]
async fn lower_bounds_take_effect_at_the_next_start() {
    let mut ledger = Ledger::new();
    let batches: Vec<_> = (0..5).map(|number| batch(START, number..number + 1)).collect();
    for batch in &batches {
        ledger.pool.submit(batch.clone()).await.unwrap();
    }
    let bytes = 3 * batches[0].bytes().len();
    let limits = PoolLimits { bytes_max: bytes, bytes_per_issuer_max: bytes, ..LIMITS };
    let store: Arc<MemoryStore> = Arc::clone(&ledger.store);
    drop(ledger);
    ledger = Ledger::with_limits(store, START, limits);
    let is_here = |batch: &&Arc<Batch>| ledger.pool.contains(&batch.id());
    assert_eq!(batches.iter().filter(is_here).count(), 3);
    assert!(batches.iter().take(3).all(|batch| is_here(&batch)), "the oldest stay");
    let is_told = |batch: &Arc<Batch>| ledger.db.contains::<Dropped>(&batch.id().0).unwrap();
    assert!(batches.iter().skip(3).all(is_told));
    assert!(ledger.cut());
}

#[tokio::test]
async fn a_batch_that_was_not_taken_is_not_asked_for_while_the_reason_lasts() {
    let (ledger, _, _) = race().await;
    let (late, peer) = (suspend(START + 9), Peer::Authority(1));
    let offer = Offer { id: late.id(), issuer: issuer(), bytes: late.bytes().len() };
    let ask =
        |ledger: &Ledger| ledger.pool.ask_for(peer, std::slice::from_ref(&offer), TimeMs(START + 1_000));
    assert_eq!(ask(&ledger), [late.id()]);
    ledger.pool.gossip(late.clone()).await;
    assert_eq!(ask(&ledger), [], "the status is another");
    let mut ledger = ledger;
    let third = reinstate(START + 10);
    ledger.pool.submit(third.clone()).await.unwrap();
    ledger.until(|ledger| ledger.is_final(&third));
    assert_eq!(ask(&ledger), [late.id()], "it changed since");
}
