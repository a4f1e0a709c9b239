//! Turns of issuers, and places of batches under random moves held against a list of them.
#![allow(clippy::unwrap_used)]

use super::*;

fn issuer(name: &str) -> IssuerId {
    IssuerId::new(name).unwrap()
}

/// Made at 1,000,000: it settles and ends long after.
fn arrival(issuer: IssuerId, cost: u64, changes: bool, seen: Seen) -> Arrival {
    Arrival { issuer, cost, changes, created_at: TimeMs(1_000_000), seen }
}

fn refusal() -> BatchRefusal {
    BatchRefusal::Duplicate
}

#[test]
fn every_issuer_has_a_turn_before_one_has_a_second() {
    let mut schedule = Schedule::default();
    for number in 0..1_000 {
        schedule.insert(number, arrival(issuer("a"), 10_032, false, Seen::Never));
    }
    schedule.insert(1_000, arrival(issuer("b"), 33, false, Seen::Never));
    schedule.insert(1_001, arrival(issuer("c"), 33, false, Seen::Never));
    let order = schedule.for_block(|_| false);
    let place = |number: u64| order.iter().position(|it| *it == number).unwrap();
    let turn = (TURN_COST / 10_032 + 1) as usize;
    assert!(place(1_000) <= turn && place(1_001) <= turn + 1, "{:?}", &order[..8]);
    assert!(order.len() < 40, "no more than some that fit into a block: {}", order.len());
    let second = schedule.for_block(|_| false);
    assert_eq!(second[0], 1_000, "another is the first each time");
    let third = schedule.for_block(|_| false);
    assert_eq!(third[0], 1_001);
}

#[test]
fn what_is_in_a_block_already_takes_no_turn() {
    let mut schedule = Schedule::default();
    (0..100).for_each(|number| schedule.insert(number, arrival(issuer("a"), 40_032, false, Seen::Never)));
    assert_eq!(schedule.for_block(|number| number < 50)[0], 50);
}

#[test]
fn an_issuer_has_a_few_changes_ready_and_the_others_are_looked_at_later() {
    let mut schedule = Schedule::default();
    (0..20).for_each(|number| schedule.insert(number, arrival(issuer("a"), 100, true, Seen::Never)));
    assert!(!schedule.has_ready());
    let mut looked = 0;
    while schedule.has_queued() {
        let number = schedule.next_queued().unwrap();
        schedule.place(number, 0, schedule.tip, Found::Ready);
        looked += 1;
    }
    assert_eq!(looked, READY_CHANGES_MAX);
    assert_eq!(schedule.next_queued(), None);
    schedule.finalized(TimeMs(5), 0, &[(LeafIndex(1), Status::Revoked)], [&issuer("a")]);
    assert!(!schedule.has_ready() && schedule.has_queued(), "its statuses changed");
    assert_eq!(schedule.backlog(&issuer("a")), (2_000, 2_000));
}

#[test]
fn a_look_at_an_older_state_counts_for_nothing() {
    let mut schedule = Schedule::default();
    schedule.insert(0, arrival(issuer("a"), 100, true, Seen::Never));
    let number = schedule.next_queued().unwrap();
    schedule.finalized(TimeMs(5), 0, &[(LeafIndex(1), Status::Revoked)], [&issuer("a")]);
    schedule.place(number, 0, schedule.tip, Found::Ready);
    assert!(!schedule.has_ready() && schedule.has_queued());
    schedule.place(number, 1, schedule.tip, Found::Ready);
    assert!(schedule.has_ready());
}

#[test]
fn what_waits_is_woken_by_what_it_waits_for_and_by_nothing_else() {
    let (a, b) = (issuer("a"), issuer("b"));
    let mut schedule = Schedule::default();
    let wants = |target, wants| Cause::Status { target: LeafIndex(target), wants };
    let causes = [wants(7, Status::Valid), wants(7, Status::Suspended), wants(8, Status::Valid), Cause::Time];
    for (number, cause) in (0..).zip(causes) {
        schedule.insert(number, arrival(a.clone(), 100, true, Seen::Never));
        let wait = Wait { cause, why: refusal(), decided_after: TimeMs(1_000 + number) };
        schedule.place(number, 0, schedule.tip, Found::Waits(wait));
    }
    assert_eq!((schedule.waiting(), schedule.has_queued(), schedule.backlog(&a)), (4, false, (0, 0)));
    schedule.finalized(TimeMs(10), 0, &[], [&b]);
    schedule.finalized(
        TimeMs(20),
        0,
        &[(LeafIndex(6), Status::Valid), (LeafIndex(8), Status::Revoked)],
        [&b],
    );
    assert!(!schedule.has_queued());
    schedule.finalized(TimeMs(30), 0, &[(LeafIndex(7), Status::Valid)], [&b]);
    assert_eq!(schedule.next_queued(), Some(0));
    schedule.place(0, 0, schedule.tip, Found::Hopeless(RefusedReason::StatusConflict));
    assert_eq!(schedule.take_hopeless(), [(0, RefusedReason::StatusConflict)]);
    assert!(!schedule.has_queued() && schedule.take_hopeless().is_empty());
    assert!(!schedule.is_due(TimeMs(30), TimeMs(1_001)) && schedule.is_due(TimeMs(30), TimeMs(1_002)));
    schedule.finalized(TimeMs(1_002), 0, &[], [&b]);
    assert_eq!(schedule.next_queued(), Some(1), "time decides it");
    assert_eq!(schedule.waiting(), 2);
}

#[test]
fn what_collides_with_a_block_is_looked_at_once_that_is_settled() {
    let mut schedule = Schedule::default();
    schedule.insert(0, arrival(issuer("a"), 100, false, Seen::Never));
    schedule.set_aside(0, refusal(), TimeMs(1_000));
    assert!(!schedule.has_ready() && !schedule.has_queued());
    schedule.settle(TimeMs(0));
    assert_eq!(schedule.next_queued(), Some(0));
}

/// Sums and sets stay what the places of the single batches say, whatever happens in whichever order.
#[test]
fn places_and_sums_agree() {
    let names = ["a", "b", "c"].map(issuer);
    for seed in 0..200_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (mut schedule, mut next, mut time) = (Schedule::default(), 0, 0);
        for _ in 0..300 {
            let any = random(next + 1);
            let who = names[random(3) as usize].clone();
            match random(7) {
                0 | 1 => {
                    let seen = [Seen::Never, Seen::Refused, Seen::Good(random(3))][random(3) as usize];
                    schedule.insert(next, arrival(who, 32 + random(100), random(2) == 0, seen));
                    next += 1;
                }
                2 => schedule.remove(any),
                3 => {
                    if let Some(number) = schedule.next_queued() {
                        let target = LeafIndex(random(4));
                        let wait = Wait {
                            cause: [
                                Cause::Time,
                                Cause::Status { target, wants: Status::Valid },
                                Cause::Leaf(target),
                                Cause::Until(TimeMs(time + random(30))),
                            ][random(4) as usize],
                            why: refusal(),
                            decided_after: TimeMs(time + random(50)),
                        };
                        let seen = schedule.changes_of(&schedule.items[&number].issuer.clone());
                        let found =
                            [Found::Ready, Found::Waits(wait), Found::Hopeless(RefusedReason::Expired)];
                        schedule.place(number, seen, schedule.tip, found[random(3) as usize].clone());
                    }
                }
                4 => schedule.set_aside(any, refusal(), TimeMs(time + random(50))),
                5 => {
                    time += 1 + random(20);
                    schedule.finalized(TimeMs(time), 0, &[(LeafIndex(random(4)), Status::Valid)], [&who]);
                }
                _ => schedule.settle(TimeMs(time)),
            }
            check(&schedule);
        }
    }
}

fn check(schedule: &Schedule) {
    let count = |is: &dyn Fn(&Place) -> bool| schedule.items.values().filter(|it| is(&it.place)).count();
    assert_eq!(schedule.ready, count(&|place| matches!(place, Place::Ready)));
    assert_eq!(schedule.queued, count(&|place| matches!(place, Place::Queued)));
    assert_eq!(schedule.waiting(), count(&|place| matches!(place, Place::Waiting(_))));
    let active = schedule.items.values().filter(|it| matches!(it.place, Place::Ready | Place::Queued));
    assert_eq!(schedule.backlog, active.map(|item| item.cost).sum::<u64>());
    let sets = schedule.queues.values().map(|q| q.plain.len() + q.changing.len() + q.queued.len());
    assert_eq!(sets.sum::<usize>(), schedule.ready + schedule.queued);
    let waits = schedule.by_target.values().map(BTreeSet::len).sum::<usize>()
        + schedule.by_block.len()
        + schedule.by_leaf.len()
        + schedule.by_clock.len();
    let is_waited_for = |place: &Place| matches!(place, Place::Waiting(wait) if wait.cause != Cause::Time);
    assert_eq!(waits, count(&is_waited_for));
    assert!(schedule.queues.values().all(|queue| queue.changing.len() <= READY_CHANGES_MAX));
}

#[test]
fn what_is_ready_is_looked_at_when_it_comes_to_an_age() {
    let made = 1_000_000;
    let mut schedule = Schedule::default();
    schedule.insert(0, arrival(issuer("a"), 100, false, Seen::Good(0)));
    schedule.insert(1, arrival(issuer("b"), 100, true, Seen::Good(0)));
    schedule.insert(2, arrival(issuer("c"), 100, false, Seen::Refused));
    assert_eq!(schedule.next_queued(), Some(2), "it was refused");
    schedule.remove(2);
    schedule.age(TimeMs(made + CHANGE_SETTLED_MS));
    assert!(!schedule.has_queued());
    schedule.age(TimeMs(made + CHANGE_SETTLED_MS + 1));
    assert_eq!(schedule.next_queued(), Some(1));
    schedule.place(1, 0, schedule.tip, Found::Ready);
    schedule.age(TimeMs(made + BATCH_AGE_MAX_MS));
    assert!(!schedule.has_queued());
    schedule.age(TimeMs(made + BATCH_AGE_MAX_MS + 1));
    assert_eq!(schedule.queued, 2);
    schedule.remove(0);
    schedule.remove(1);
    assert!(schedule.by_age.is_empty());
}
