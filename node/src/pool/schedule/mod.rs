//! Which pooled batches may go into a block now, which are to be looked at, and which wait for what: a plain structure.
//!
//! A batch that changes no status is *ready* from the start. One that changes a status is looked at on final state
//! first, and again whenever its issuer's statuses changed; a few of an issuer are ready at a time, so that a change
//! costs a few looks, whatever its pool holds. What is refused for now *waits* for what would let it in, and costs nothing
//! until that comes about. Looks are the pool's thread's (see [`super::look`]); whoever builds a block takes what is ready.

#[cfg(test)]
mod tests;
mod wait;

use std::collections::{BTreeMap, BTreeSet};

use markstein_proto::{BATCH_AGE_MAX_MS, CHANGE_SETTLED_MS, IssuerId, LeafIndex, TimeMs, status::Status};

pub use wait::{Cause, Wait};

pub(super) use wait::Found;

use super::cost::{BLOCK_COST_MAX, TURN_COST};
use crate::{ledger::BatchRefusal, refusal::RefusedReason};

/// Batches of one issuer that change statuses and are ready at a time.
const READY_CHANGES_MAX: usize = 8;

/// What is known of a batch that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing: it was in the store.
    Never,
    /// It may stand in the next block, on a final state when its issuer's statuses had changed so often.
    Good(u64),
    /// It may not.
    Refused,
}

/// A batch that comes.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) issuer: IssuerId,
    pub(super) cost: u64,
    /// Whether it changes statuses.
    pub(super) changes: bool,
    pub(super) created_at: TimeMs,
    pub(super) seen: Seen,
}

/// Where a batch is.
#[derive(Clone, Debug)]
enum Place {
    Ready,
    Queued,
    Waiting(Wait),
    Hopeless,
}

/// What is kept of a batch here.
#[derive(Clone, Debug)]
struct Item {
    issuer: IssuerId,
    cost: u64,
    changes: bool,
    /// With a final block later than this it is too old.
    expires: TimeMs,
    place: Place,
}

impl Item {
    /// The ages at which it may be refused.
    fn ages(&self) -> [TimeMs; 2] {
        let settled = self.expires.0.saturating_sub(BATCH_AGE_MAX_MS).saturating_add(CHANGE_SETTLED_MS);
        [TimeMs(settled), self.expires]
    }
}

/// The batches of one issuer, by their numbers.
#[derive(Debug, Default)]
struct Queue {
    /// Ready, and change no status.
    plain: BTreeSet<u64>,
    /// Ready, and change statuses.
    changing: BTreeSet<u64>,
    /// To be looked at.
    queued: BTreeSet<u64>,
    /// Steps of all these.
    backlog: u64,
    /// Batches that wait.
    waiting: usize,
}

/// All batches of the pool.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    items: BTreeMap<u64, Item>,
    queues: BTreeMap<IssuerId, Queue>,
    /// Waiting batches by the record whose status they wait for.
    by_target: BTreeMap<LeafIndex, BTreeSet<u64>>,
    /// Waiting batches by the time after which they are decided.
    by_time: BTreeSet<(TimeMs, u64)>,
    /// Waiting batches that wait for a block.
    by_block: BTreeSet<u64>,
    /// Waiting batches that wait for a leaf of the log.
    by_leaf: BTreeSet<(LeafIndex, u64)>,
    /// Waiting batches that wait for a time.
    by_clock: BTreeSet<(TimeMs, u64)>,
    /// The time of the newest final block.
    tip: TimeMs,
    /// All batches by the next age at which what is ready may have become what is not.
    by_age: BTreeSet<(TimeMs, u64)>,
    hopeless: Vec<(u64, RefusedReason)>,
    /// How often the statuses of an issuer's records changed since the start.
    changes: BTreeMap<IssuerId, u64>,
    backlog: u64,
    ready: usize,
    queued: usize,
    /// The issuer whose turn it was last, at looks and at blocks.
    looked: Option<IssuerId>,
    served: Option<IssuerId>,
}

impl Schedule {
    /// A batch came. One that was just found good is not looked at again where nothing changed since.
    pub(super) fn insert(&mut self, number: u64, arrival: Arrival) {
        let Arrival { issuer, cost, changes, created_at, seen } = arrival;
        let is_ready = match seen {
            Seen::Refused => false,
            _ if !changes => true,
            Seen::Never => false,
            Seen::Good(seen) => seen == self.changes_of(&issuer) && self.has_room(&issuer),
        };
        let after = |span: u64| TimeMs(created_at.0.saturating_add(span));
        let expires = after(BATCH_AGE_MAX_MS);
        let first = if changes { after(CHANGE_SETTLED_MS) } else { expires };
        self.by_age.insert((first, number));
        self.items.insert(number, Item { issuer, cost, changes, expires, place: Place::Hopeless });
        self.put(number, if is_ready { Place::Ready } else { Place::Queued });
    }

    /// The newest final block is of time `time`: what was ready and came to an age at which it may be refused is to be looked
    /// at.
    pub(super) fn age(&mut self, time: TimeMs) {
        self.tip = time;
        while let Some((age, number)) = self.by_age.first().copied().filter(|(age, _)| *age < time) {
            self.by_age.remove(&(age, number));
            let Some(item) = self.items.get(&number) else { continue };
            if age < item.expires {
                self.by_age.insert((item.expires, number));
            }
            if matches!(item.place, Place::Ready) {
                self.put(number, Place::Queued);
            }
        }
    }

    /// A batch goes.
    pub(super) fn remove(&mut self, number: u64) {
        self.lift(number);
        let Some(item) = self.items.remove(&number) else { return };
        for age in item.ages() {
            self.by_age.remove(&(age, number));
        }
        self.hopeless.retain(|(at, _)| *at != number);
        if self.queues.get(&item.issuer).is_some_and(Queue::is_empty) {
            self.queues.remove(&item.issuer);
        }
    }

    /// How often the statuses of an issuer's records changed since the start.
    pub(super) fn changes_of(&self, issuer: &IssuerId) -> u64 {
        self.changes.get(issuer).copied().unwrap_or(0)
    }

    /// Steps of what is ready or to be looked at: all of it, and an issuer's.
    pub(super) fn backlog(&self, issuer: &IssuerId) -> (u64, u64) {
        (self.backlog, self.queues.get(issuer).map_or(0, |queue| queue.backlog))
    }

    /// Issuers that have something ready or to be looked at, `issuer` among them.
    pub(super) fn active_with(&self, issuer: &IssuerId) -> u64 {
        let others = self.queues.iter().filter(|(id, queue)| *id != issuer && queue.backlog > 0);
        1 + others.count() as u64
    }

    /// Whether anything may go into a block.
    pub(super) const fn has_ready(&self) -> bool {
        self.ready > 0
    }

    /// Whether anything is to be looked at, as far as the windows of its issuers have room.
    pub(super) fn has_queued(&self) -> bool {
        self.queued > 0 && self.queues.iter().any(|(issuer, queue)| queue.looks() && self.has_room(issuer))
    }

    /// Whether a batch may be told of to others: those that wait are of no use to them.
    pub(super) fn is_of_use(&self, number: u64) -> bool {
        self.items.get(&number).is_some_and(|item| matches!(item.place, Place::Ready | Place::Queued))
    }

    /// Why a batch waits.
    pub(super) fn wait_of(&self, number: u64) -> Option<&Wait> {
        match &self.items.get(&number)?.place {
            Place::Waiting(wait) => Some(wait),
            _ => None,
        }
    }

    /// Batches that wait.
    pub(super) fn waiting(&self) -> usize {
        self.by_time.len()
    }

    /// Whether a waiting batch would be decided by a final block of time `now`, while the newest one is of time `tip`.
    pub(super) fn is_due(&self, tip: TimeMs, now: TimeMs) -> bool {
        let after_tip = self.by_time.range((tip, 0)..).next();
        after_tip.is_some_and(|(time, _)| *time < now)
    }

    /// The next batch to look at: issuers have their turns.
    pub(super) fn next_queued(&mut self) -> Option<u64> {
        let has = |(issuer, queue): (&IssuerId, &Queue)| {
            let first = queue.queued.first().copied().filter(|_| self.has_room(issuer))?;
            Some((issuer.clone(), first))
        };
        let (issuer, number) = after(&self.queues, self.looked.as_ref()).find_map(has)?;
        self.looked = Some(issuer);
        Some(number)
    }

    /// What a look found that began when the issuer's statuses had changed `seen` times, on a final block of time `tip`.
    /// Where they changed since, or time passed by what was found, the batch is to be looked at again.
    pub(super) fn place(&mut self, number: u64, seen: u64, tip: TimeMs, found: Found) {
        let Some(item) = self.items.get(&number) else { return };
        if !matches!(item.place, Place::Queued) || self.changes_of(&item.issuer) != seen {
            return;
        }
        let passed = |age: TimeMs| tip <= age && age < self.tip;
        let is_late = match &found {
            Found::Ready => item.ages().into_iter().any(passed),
            Found::Waits(wait) => {
                wait.decided_after < self.tip || self.tip != tip && wait.cause.is_of_blocks()
            }
            Found::Hopeless(_) => false,
        };
        if is_late {
            return;
        }
        match found {
            Found::Ready => self.put(number, Place::Ready),
            Found::Waits(wait) => self.put(number, Place::Waiting(wait)),
            Found::Hopeless(reason) => {
                self.put(number, Place::Hopeless);
                self.hopeless.push((number, reason));
            }
        }
    }

    /// A ready batch could not stand in a block that was built: it waits until that is settled, and is looked at then.
    pub(super) fn set_aside(&mut self, number: u64, why: BatchRefusal, decided_after: TimeMs) {
        if self.items.get(&number).is_some_and(|item| matches!(item.place, Place::Ready)) {
            self.put(number, Place::Waiting(Wait { cause: Cause::Block, why, decided_after }));
        }
    }

    /// What waits for a block to be settled is to be looked at, and what waits for a time up to `now`.
    pub(super) fn settle(&mut self, now: TimeMs) {
        let come: Vec<u64> = self.by_clock.range(..=(now, u64::MAX)).map(|(_, number)| *number).collect();
        come.into_iter().for_each(|number| self.put(number, Place::Queued));
        std::mem::take(&mut self.by_block).into_iter().for_each(|number| self.put(number, Place::Queued));
    }

    /// All that waits is to be looked at.
    pub(super) fn look_again(&mut self) {
        let waits: Vec<u64> = self.by_time.iter().map(|(_, number)| *number).collect();
        waits.into_iter().for_each(|number| self.put(number, Place::Queued));
    }

    /// A block of time `time` became final, with which the log has `size` leaves, and which changed these statuses,
    /// ascending, of these issuers' records.
    pub(super) fn finalized<'a>(
        &mut self,
        time: TimeMs,
        size: u64,
        changed: &[(LeafIndex, Status)],
        issuers: impl IntoIterator<Item = &'a IssuerId>,
    ) {
        for issuer in issuers {
            *self.changes.entry(issuer.clone()).or_default() += 1;
            let ready = self.queues.get(issuer).map(|queue| queue.changing.clone()).unwrap_or_default();
            ready.into_iter().for_each(|number| self.put(number, Place::Queued));
        }
        for number in self.woken_by(changed) {
            self.put(number, Place::Queued);
        }
        let due: Vec<u64> = self.by_time.range(..(time, 0)).map(|(_, number)| *number).collect();
        due.into_iter().for_each(|number| self.put(number, Place::Queued));
        let reached: Vec<u64> =
            self.by_leaf.range(..(LeafIndex(size), 0)).map(|(_, number)| *number).collect();
        reached.into_iter().for_each(|number| self.put(number, Place::Queued));
        self.age(time);
        self.settle(TimeMs(0));
    }

    fn woken_by(&self, changed: &[(LeafIndex, Status)]) -> Vec<u64> {
        let mut woken = Vec::new();
        let mut wake = |target: &LeafIndex, status: Status, waiting: &BTreeSet<u64>| {
            let is_meant = |number: &&u64| {
                let cause = self.wait_of(**number).map(|wait| wait.cause);
                matches!(cause, Some(Cause::Status { wants, .. }) if wants == status)
            };
            debug_assert!(!waiting.is_empty(), "nobody waits for {target:?}");
            woken.extend(waiting.iter().filter(is_meant).copied());
        };
        if changed.len() < self.by_target.len() {
            for (target, status) in changed {
                if let Some(waiting) = self.by_target.get(target) {
                    wake(target, *status, waiting);
                }
            }
        } else {
            for (target, waiting) in &self.by_target {
                if let Ok(at) = changed.binary_search_by_key(target, |(target, _)| *target) {
                    wake(target, changed[at].1, waiting);
                }
            }
        }
        woken
    }

    /// What was found hopeless, once.
    pub(super) fn take_hopeless(&mut self) -> Vec<(u64, RefusedReason)> {
        std::mem::take(&mut self.hopeless)
    }

    /// What may go into a block, in the order in which it should: issuers take turns of [`TURN_COST`] steps each, and
    /// another is the first each time. About twice as much as fits, for some of it may not stand in this block; what is in
    /// a block already is passed over.
    pub(super) fn for_block(&mut self, is_in: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut rest: Vec<_> = after(&self.queues, self.served.as_ref())
            .map(|(issuer, queue)| (issuer, queue.in_order().filter(|number| !is_in(*number)).peekable()))
            .collect();
        let first =
            rest.iter_mut().find_map(|(issuer, queue)| queue.peek().is_some().then(|| (*issuer).clone()));
        let (mut taken, mut total, mut last) = (Vec::new(), 0, None);
        let (mut round, mut round_of_last) = (0, 0);
        while total < 2 * BLOCK_COST_MAX && !rest.is_empty() {
            rest.retain_mut(|(issuer, queue)| {
                if total >= 2 * BLOCK_COST_MAX {
                    return true;
                }
                let mut turn = 0;
                while turn < TURN_COST
                    && let Some(number) = queue.next()
                {
                    turn += self.items[&number].cost;
                    taken.push(number);
                }
                total += turn;
                // Whoever comes after the last one that this block has room for is the first in the next.
                if total >= BLOCK_COST_MAX && last.is_none() {
                    (last, round_of_last) = (Some((*issuer).clone()), round);
                }
                queue.peek().is_some()
            });
            round += 1;
        }
        drop(rest);
        // Where each had a turn in this block, another is the first in the next.
        let next = if round_of_last == 0 { last.or(first) } else { first };
        self.served = next.or_else(|| self.served.take());
        taken
    }

    fn has_room(&self, issuer: &IssuerId) -> bool {
        self.queues.get(issuer).is_none_or(|queue| queue.changing.len() < READY_CHANGES_MAX)
    }

    fn put(&mut self, number: u64, place: Place) {
        self.lift(number);
        let Some(item) = self.items.get_mut(&number) else { return };
        let queue = self.queues.entry(item.issuer.clone()).or_default();
        match &place {
            Place::Ready | Place::Queued => {
                queue.backlog += item.cost;
                self.backlog += item.cost;
                let (count, set) = match (&place, item.changes) {
                    (Place::Queued, _) => (&mut self.queued, &mut queue.queued),
                    (_, false) => (&mut self.ready, &mut queue.plain),
                    (_, true) => (&mut self.ready, &mut queue.changing),
                };
                *count += 1;
                set.insert(number);
            }
            Place::Waiting(wait) => {
                queue.waiting += 1;
                self.by_time.insert((wait.decided_after, number));
                match wait.cause {
                    Cause::Status { target, .. } => {
                        self.by_target.entry(target).or_default().insert(number);
                    }
                    Cause::Block => {
                        self.by_block.insert(number);
                    }
                    Cause::Leaf(leaf) => {
                        self.by_leaf.insert((leaf, number));
                    }
                    Cause::Until(time) => {
                        self.by_clock.insert((time, number));
                    }
                    Cause::Time => {}
                }
            }
            Place::Hopeless => {}
        }
        item.place = place;
    }

    /// Takes a batch out of where it is.
    fn lift(&mut self, number: u64) {
        let Some(item) = self.items.get_mut(&number) else { return };
        let Some(queue) = self.queues.get_mut(&item.issuer) else { return };
        match std::mem::replace(&mut item.place, Place::Hopeless) {
            Place::Hopeless => {}
            Place::Waiting(wait) => {
                queue.waiting -= 1;
                self.by_time.remove(&(wait.decided_after, number));
                self.by_block.remove(&number);
                match wait.cause {
                    Cause::Status { target, .. } => {
                        let is_last = self.by_target.get_mut(&target).is_some_and(|waiting| {
                            waiting.remove(&number);
                            waiting.is_empty()
                        });
                        if is_last {
                            self.by_target.remove(&target);
                        }
                    }
                    Cause::Leaf(leaf) => drop(self.by_leaf.remove(&(leaf, number))),
                    Cause::Until(time) => drop(self.by_clock.remove(&(time, number))),
                    Cause::Block | Cause::Time => {}
                }
            }
            place @ (Place::Ready | Place::Queued) => {
                queue.backlog -= item.cost;
                self.backlog -= item.cost;
                let (count, set) = match (place, item.changes) {
                    (Place::Queued, _) => (&mut self.queued, &mut queue.queued),
                    (_, false) => (&mut self.ready, &mut queue.plain),
                    (_, true) => (&mut self.ready, &mut queue.changing),
                };
                *count -= 1;
                set.remove(&number);
            }
        }
    }
}

impl Queue {
    fn looks(&self) -> bool {
        !self.queued.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.backlog == 0 && self.waiting == 0
    }

    /// What is ready, oldest first.
    fn in_order(&self) -> impl Iterator<Item = u64> + '_ {
        let (mut plain, mut changing) = (self.plain.iter().peekable(), self.changing.iter().peekable());
        std::iter::from_fn(move || match (plain.peek(), changing.peek()) {
            (Some(a), Some(b)) if a < b => plain.next().copied(),
            (_, Some(_)) => changing.next().copied(),
            (_, None) => plain.next().copied(),
        })
    }
}

/// All issuers once, beginning after one.
fn after<'a>(
    queues: &'a BTreeMap<IssuerId, Queue>,
    last: Option<&IssuerId>,
) -> impl Iterator<Item = (&'a IssuerId, &'a Queue)> + use<'a> {
    use std::ops::Bound::{Excluded, Unbounded};
    let (later, earlier) = match last {
        Some(last) => (queues.range((Excluded(last), Unbounded)), Some(queues.range(..=last))),
        None => (queues.range::<IssuerId, _>(..), None),
    };
    later.chain(earlier.into_iter().flatten())
}
