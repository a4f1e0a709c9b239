//! Who gives way to whom.
#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// A use that lies idle or does not, and knows whether it was ended.
#[derive(Debug, Default)]
struct Job {
    idle: Option<Duration>,
    ended: AtomicBool,
}

impl Use for Job {
    fn idle(&self, _: Instant) -> Option<Duration> {
        self.idle
    }

    fn give_way(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

impl Job {
    fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

fn busy() -> Arc<Job> {
    Arc::default()
}

fn idle(seconds: u64) -> Arc<Job> {
    Arc::new(Job { idle: Some(Duration::from_secs(seconds)), ..Job::default() })
}

fn at(last: u8) -> Holder {
    Holder::Address(Prefix::of_caller([192, 0, 2, last].into()))
}

fn taken(shares: &Shares, holder: Holder, job: &Arc<Job>) -> Share {
    shares.take(holder, 1, Arc::<Job>::clone(job)).unwrap()
}

#[test]
fn an_address_has_its_share_and_gives_it_back() {
    let shares = Shares::new(10, 2);
    let first = taken(&shares, at(1), &busy());
    let _second = taken(&shares, at(1), &busy());
    assert_eq!(shares.take(at(1), 1, busy()).unwrap_err(), Full::OfOneAddress);
    assert_eq!(shares.take(at(2), 3, busy()).unwrap_err(), Full::OfOneAddress, "more than it may ever have");
    drop(first);
    let _third = taken(&shares, at(1), &busy());
    assert_eq!(shares.used(), 2);
}

#[test]
fn an_address_at_its_share_gives_up_what_lies_idle_longest_and_others_keep_theirs() {
    let shares = Shares::new(10, 3);
    let jobs = [idle(1), idle(5), busy()];
    let held: Vec<Share> = jobs.iter().map(|job| taken(&shares, at(1), job)).collect();
    let others = idle(9);
    let _other = taken(&shares, at(2), &others);
    let _new = taken(&shares, at(1), &busy());
    assert_eq!(jobs.each_ref().map(|job| job.is_ended()), [false, true, false]);
    assert!(!others.is_ended());
    drop(held); // one of them gave way before: it is not given back twice
    assert_eq!(shares.used(), 2);
}

#[test]
fn where_all_is_taken_the_idle_one_of_whoever_holds_most_gives_way() {
    let shares = Shares::new(4, 3);
    let jobs = [idle(1), idle(2), idle(3), idle(9)];
    let holders = [1, 1, 1, 2];
    let _held: Vec<Share> =
        jobs.iter().zip(holders).map(|(job, last)| taken(&shares, at(last), job)).collect();
    let _new = taken(&shares, at(3), &idle(0));
    assert_eq!(jobs.each_ref().map(|job| job.is_ended()), [false, false, true, false]);
}

#[test]
fn many_addresses_with_one_idle_place_each_leave_room_for_a_newcomer() {
    let shares = Shares::new(4, 2);
    let jobs: Vec<_> = (0..4).map(idle).collect();
    let _held: Vec<Share> = jobs.iter().zip(1..).map(|(job, last)| taken(&shares, at(last), job)).collect();
    let _new = taken(&shares, at(9), &idle(0));
    assert!(jobs[3].is_ended(), "it lay idle longest");
    assert_eq!(shares.used(), 4);
}

#[test]
fn where_nothing_lies_idle_the_oldest_of_whoever_holds_most_gives_way_to_one_that_holds_less() {
    let shares = Shares::new(4, 4);
    let jobs: Vec<_> = (0..4).map(|_| busy()).collect();
    let _held: Vec<Share> = jobs.iter().map(|job| taken(&shares, at(1), job)).collect();
    let newcomers: Vec<_> = (0..2).map(|_| busy()).collect();
    let _first = taken(&shares, at(2), &newcomers[0]);
    assert!(jobs[0].is_ended());
    let _second = taken(&shares, at(2), &newcomers[1]);
    assert!(jobs[1].is_ended());
    // Both hold two now: neither takes from the other, or they would do so for ever.
    assert_eq!(shares.take(at(2), 1, busy()).unwrap_err(), Full::InAll);
    assert_eq!(shares.take(at(1), 1, busy()).unwrap_err(), Full::InAll);
    assert!(newcomers.iter().all(|job| !job.is_ended()));
    let _third = taken(&shares, at(3), &busy());
}

#[test]
fn equals_do_not_give_way_to_each_other_while_they_are_in_use() {
    let shares = Shares::new(3, 3);
    let jobs: Vec<_> = (0..3).map(|_| busy()).collect();
    let _held: Vec<Share> = jobs.iter().zip(1..).map(|(job, last)| taken(&shares, at(last), job)).collect();
    assert_eq!(shares.take(at(9), 1, busy()).unwrap_err(), Full::InAll);
    assert!(jobs.iter().all(|job| !job.is_ended()));
}

#[test]
fn a_proxy_is_bound_by_the_whole_only_and_gives_way_to_nobody() {
    let shares = Shares::new(4, 1);
    let proxied = idle(9);
    let _held: Vec<Share> = (0..3).map(|_| taken(&shares, Holder::Proxy, &proxied)).collect();
    let strangers = idle(1);
    let _stranger = taken(&shares, at(1), &strangers);
    let _another = taken(&shares, at(2), &busy());
    assert!(strangers.is_ended() && !proxied.is_ended());
}

#[test]
fn a_share_grows_within_the_bounds() {
    let shares = Shares::new(100, 60);
    let (own, other) = (idle(9), busy());
    let share = shares.take(at(1), 10, Arc::<Job>::clone(&own)).unwrap();
    share.grow(50).unwrap();
    assert_eq!(share.grow(1).unwrap_err(), Full::OfOneAddress, "it does not give way to itself");
    let _other = shares.take(at(2), 40, Arc::<Job>::clone(&other)).unwrap();
    assert!(!own.is_ended());
    assert_eq!(shares.take(at(2), 1, busy()).map(drop), Ok(()), "what lies idle there gives way");
    assert!(own.is_ended() && !other.is_ended());
    drop(share);
    assert_eq!(shares.used(), 40, "the second share of that address is back, and the first was gone");
}

#[test]
fn what_gave_way_gets_nothing_more_and_gives_nothing_back() {
    let shares = Shares::new(2, 2);
    let job = idle(1);
    let share = shares.take(at(1), 2, Arc::<Job>::clone(&job)).unwrap();
    let _new = shares.take(at(2), 2, busy()).unwrap();
    assert!(job.is_ended());
    assert_eq!(share.grow(1).unwrap_err(), Full::InAll);
    drop(share);
    assert_eq!(shares.used(), 2);
}

#[test]
fn whoever_holds_nothing_gets_what_lies_idle_with_many_that_hold_little() {
    let shares = Shares::new(10, 10);
    let jobs: Vec<_> = (0..10).map(idle).collect();
    let _held: Vec<Share> = jobs.iter().zip(1..).map(|(job, last)| taken(&shares, at(last), job)).collect();
    let _new = shares.take(at(99), 4, busy()).unwrap();
    assert_eq!(jobs.iter().filter(|job| job.is_ended()).count(), 4);
    assert!(jobs[6..].iter().all(|job| job.is_ended()), "those that lay idle longest");
    assert_eq!(
        shares.take(at(99), 1, busy()).unwrap_err(),
        Full::InAll,
        "it holds more than any of them now"
    );
}
