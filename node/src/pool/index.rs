//! What is in the pool, in order: a plain structure without a store, a clock or a lock.

use std::collections::{BTreeMap, HashMap};

use markstein_proto::{BatchId, IssuerId, TimeMs, status::Status};

use super::{
    cache::BatchCache,
    mutant::Mutant,
    rate::Rate,
    schedule::{Arrival, Found, Schedule, Seen, Wait},
};
use crate::{
    ledger::{BatchRefusal, ExecutedBlock},
    messages::Offer,
    refusal::RefusedReason,
    work::{self, Step},
};

/// How much the pool takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Bytes of all batches.
    pub bytes_max: usize,
    /// Batches of one issuer.
    pub batches_per_issuer_max: usize,
    /// Bytes of one issuer's batches.
    pub bytes_per_issuer_max: usize,
}

/// How much is in the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSize {
    /// Batches.
    pub batches: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// What whoever builds a block needs to know of a batch before reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingBatch {
    /// Which.
    pub id: BatchId,
    /// Whose.
    pub issuer: IssuerId,
    /// Its bytes.
    pub bytes: usize,
    /// Its records.
    pub records: usize,
    /// Its steps, see [`super::cost`].
    pub cost: u64,
    /// Whether it changes a status, so that another change may come first.
    pub changes_status: bool,
    /// The authorities that hold it as well, as far as is known: a bit each.
    pub held_by: u64,
}

/// A batch that waits, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingBatch {
    /// Which.
    pub id: BatchId,
    /// Whose.
    pub issuer: IssuerId,
    /// Its bytes.
    pub bytes: usize,
    /// Its records.
    pub records: usize,
    /// When its author made it, by the author's clock.
    pub created_at: TimeMs,
    /// Why it waits and for what; `None` where it does not.
    pub wait: Option<Wait>,
}

/// A batch in the pool; its bytes are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: BatchId,
    pub(super) issuer: IssuerId,
    pub(super) bytes: usize,
    pub(super) records: usize,
    pub(super) cost: u64,
    pub(super) created_at: TimeMs,
    pub(super) changes_status: bool,
}

/// Which bound a batch ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolFull {
    /// The whole pool.
    #[error("this node has as many undecided batches as it takes: submit again in a moment")]
    Bytes,
    /// The issuer's share.
    #[error("this issuer has as many undecided batches as one issuer may have: wait until some are final")]
    Issuer,
    /// As much as becomes final in about a second waits already.
    #[error("as much waits as becomes final in a second: submit again in {retry_ms} ms")]
    Backlog {
        /// When there will be room, about, in milliseconds.
        retry_ms: u64,
    },
}

/// The pool's contents by order of acceptance.
#[derive(Debug)]
pub(super) struct PoolIndex {
    /// Batches were dropped, and nobody who waits for them was told yet.
    pub(super) has_dropped: bool,
    /// Those that are kept decoded.
    pub(super) cache: BatchCache,
    limits: PoolLimits,
    next: u64,
    /// Entries with smaller numbers are durable.
    synced: u64,
    entries: BTreeMap<u64, Entry>,
    sequences: HashMap<BatchId, u64>,
    schedule: Schedule,
    rate: Rate,
    /// The authorities that hold a batch as well: a bit each.
    held_by: HashMap<BatchId, u64>,
    /// The time of the newest final block.
    tip: TimeMs,
    issuers: HashMap<IssuerId, PoolSize>,
    total: PoolSize,
    #[cfg(feature = "mutants")]
    mutant: Mutant,
}

impl PoolIndex {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            has_dropped: false,
            cache: BatchCache::default(),
            limits,
            next: 0,
            synced: 0,
            entries: BTreeMap::new(),
            sequences: HashMap::new(),
            schedule: Schedule::default(),
            rate: Rate::default(),
            held_by: HashMap::new(),
            tip: TimeMs(0),
            issuers: HashMap::new(),
            total: PoolSize::default(),
            #[cfg(feature = "mutants")]
            mutant: Mutant::None,
        }
    }

    #[cfg(feature = "mutants")]
    pub(super) const fn break_rule(&mut self, rule: Mutant) {
        self.mutant = rule;
    }

    #[cfg(feature = "mutants")]
    pub(super) fn breaks(&self, rule: Mutant) -> bool {
        self.mutant == rule
    }

    /// Whether what is accepted does not depend on what becomes final.
    pub(super) fn accepts_all(&self) -> bool {
        self.breaks(Mutant::AcceptAll) || self.breaks(Mutant::NoTurns)
    }

    #[cfg(not(feature = "mutants"))]
    #[allow(clippy::unused_self)] // with the feature it is a question to the index
    pub(super) const fn breaks(&self, _: Mutant) -> bool {
        false
    }

    /// The number the next entry gets.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    pub(super) const fn size(&self) -> PoolSize {
        self.total
    }

    pub(super) fn contains(&self, id: &BatchId) -> bool {
        self.sequences.contains_key(id)
    }

    /// Whether another entry fits beside those here and `reserved` ones on their way.
    pub(super) fn check_room(&self, entry: &Entry, reserved: &[Entry]) -> Result<(), PoolFull> {
        let all: usize = reserved.iter().map(|e| e.bytes).sum();
        if self.total.bytes + all + entry.bytes > self.limits.bytes_max {
            return Err(PoolFull::Bytes);
        }
        let own = reserved.iter().filter(|e| e.issuer == entry.issuer);
        let (batches, bytes) = own.fold((0, 0), |(n, bytes), e| (n + 1, bytes + e.bytes));
        let held = self.issuers.get(&entry.issuer).copied().unwrap_or_default();
        let fits = held.batches + batches < self.limits.batches_per_issuer_max
            && held.bytes + bytes + entry.bytes <= self.limits.bytes_per_issuer_max;
        if fits { Ok(()) } else { Err(PoolFull::Issuer) }
    }

    /// Whether a submission fits into what becomes final in about a second, beside `reserved` ones. Where others wait as
    /// well, each issuer has an equal part of that, whatever the others hold.
    pub(super) fn check_backlog(&self, entry: &Entry, reserved: &[Entry]) -> Result<(), PoolFull> {
        let max = self.rate.backlog_max();
        let cost = |of_issuer: bool| -> u64 {
            reserved.iter().filter(|e| !of_issuer || e.issuer == entry.issuer).map(|e| e.cost).sum()
        };
        let (all, own) = self.schedule.backlog(&entry.issuer);
        let (all, own) = (all + cost(false), own + cost(true));
        let share = max / self.schedule.active_with(&entry.issuer);
        if all + entry.cost <= max || own == 0 || own + entry.cost <= share {
            return Ok(());
        }
        let over = (all + entry.cost - max).max(own + entry.cost - share.min(own + entry.cost));
        Err(PoolFull::Backlog { retry_ms: self.rate.hint_ms(over) })
    }

    /// When there will be room again, about, in milliseconds.
    pub(super) fn hint_ms(&self, issuer: &IssuerId) -> u64 {
        self.rate.hint_ms(self.schedule.backlog(issuer).0)
    }

    /// Whether another node's batch of this size would be taken, as far as room goes.
    pub(super) fn has_room_for(&self, offer: &Offer, on_the_way: usize) -> bool {
        let held = self.issuers.get(&offer.issuer).copied().unwrap_or_default();
        self.total.bytes + on_the_way + offer.bytes <= self.limits.bytes_max
            && held.batches < self.limits.batches_per_issuer_max
            && held.bytes + offer.bytes <= self.limits.bytes_per_issuer_max
    }

    /// How often the statuses of an issuer's records changed since the start.
    pub(super) fn changes_of(&self, issuer: &IssuerId) -> u64 {
        self.schedule.changes_of(issuer)
    }

    /// Takes a batch in.
    pub(super) fn insert(&mut self, sequence: u64, entry: Entry, seen: Seen) {
        let arrival = Arrival {
            issuer: entry.issuer.clone(),
            cost: entry.cost,
            changes: entry.changes_status,
            created_at: entry.created_at,
            seen,
        };
        self.schedule.insert(sequence, arrival);
        self.next = self.next.max(sequence + 1);
        let held = self.issuers.entry(entry.issuer.clone()).or_default();
        for size in [held, &mut self.total] {
            size.batches += 1;
            size.bytes += entry.bytes;
        }
        self.sequences.insert(entry.id, sequence);
        self.entries.insert(sequence, entry);
    }

    /// All that is here is durable.
    pub(super) const fn synced(&mut self) {
        self.synced = self.next;
    }

    /// Whether a batch is here and may be lost with the power.
    pub(super) fn is_unsynced(&self, id: &BatchId) -> bool {
        self.sequences.get(id).is_some_and(|sequence| *sequence >= self.synced)
    }

    /// Takes a batch out; tells its number.
    pub(super) fn remove(&mut self, id: &BatchId) -> Option<u64> {
        self.cache.remove(id);
        let sequence = self.sequences.remove(id)?;
        self.schedule.remove(sequence);
        self.held_by.remove(id);
        let entry = self.entries.remove(&sequence)?;
        if let Some(held) = self.issuers.get_mut(&entry.issuer) {
            held.batches -= 1;
            held.bytes -= entry.bytes;
            if held.batches == 0 {
                self.issuers.remove(&entry.issuer);
            }
        }
        self.total.batches -= 1;
        self.total.bytes -= entry.bytes;
        Some(sequence)
    }

    pub(super) fn sequence(&self, id: &BatchId) -> Option<u64> {
        self.sequences.get(id).copied()
    }

    /// What may go into a block, in fair order, without what `is_in` one already.
    pub(super) fn for_block(&mut self, is_in: impl Fn(&BatchId) -> bool) -> Vec<PendingBatch> {
        let in_order = self.breaks(Mutant::NoTurns);
        let Self { schedule, entries, held_by, .. } = self;
        let is_in = |id: &BatchId| {
            work::charge(Step::Entry, 1);
            is_in(id)
        };
        let mut numbers = schedule.for_block(|number| entries.get(&number).is_none_or(|e| is_in(&e.id)));
        if in_order {
            numbers.sort_unstable();
        }
        let pending = |number: u64| {
            let e = entries.get(&number)?;
            Some(PendingBatch {
                id: e.id,
                issuer: e.issuer.clone(),
                bytes: e.bytes,
                records: e.records,
                cost: e.cost,
                changes_status: e.changes_status,
                held_by: held_by.get(&e.id).copied().unwrap_or(0),
            })
        };
        numbers.into_iter().filter_map(pending).collect()
    }

    /// Whether there is something to put into a block whose time is `now`: a ready batch, or one that only time decides.
    pub(super) fn has_admissible(&self, now: TimeMs) -> bool {
        self.schedule.has_ready() || self.is_due(now)
    }

    /// Whether a block of time `now`, were it empty, would decide a waiting batch.
    pub(super) fn is_due(&self, now: TimeMs) -> bool {
        self.schedule.is_due(self.tip, now)
    }

    pub(super) fn has_queued(&self) -> bool {
        self.schedule.has_queued()
    }

    /// The next batch to look at, and how often its issuer's statuses had changed.
    pub(super) fn next_queued(&mut self) -> Option<(BatchId, u64)> {
        let number = self.schedule.next_queued()?;
        let entry = self.entries.get(&number)?;
        Some((entry.id, self.schedule.changes_of(&entry.issuer)))
    }

    /// What a look at a batch found.
    pub(super) fn place(&mut self, id: &BatchId, seen: u64, tip: TimeMs, found: Found) {
        if let Some(number) = self.sequence(id) {
            self.schedule.place(number, seen, tip, found);
        }
    }

    /// A batch could not stand in a block that was built.
    pub(super) fn set_aside(&mut self, id: &BatchId, why: BatchRefusal, decided_after: TimeMs) {
        if let Some(number) = self.sequence(id) {
            self.schedule.set_aside(number, why, decided_after);
        }
    }

    /// What waits for a block is looked at again, and what waits for a time up to `now`.
    pub(super) fn settle(&mut self, now: TimeMs) {
        if self.breaks(Mutant::LookAgain) {
            self.schedule.look_again();
        }
        self.schedule.settle(now);
    }

    /// A block became final, and its batches have left. `live` is the tick where this node saw it become final.
    pub(super) fn finalized(&mut self, block: &ExecutedBlock, live: Option<u64>) {
        self.tip = block.header.time;
        let changed: &[(_, Status)] = &block.changed;
        let changing = block.batches.iter().filter(|_| !changed.is_empty());
        let issuers = changing.filter(|(_, batch)| super::cost::changes_in(batch) > 0);
        let issuers: std::collections::BTreeSet<&IssuerId> =
            issuers.filter_map(|(_, batch)| super::contents::issuer_of(batch)).collect();
        self.schedule.finalized(block.header.time, block.frontier.size(), changed, issuers);
        if let Some(tick) = live {
            let steps: u64 = block.batches.iter().map(|(_, batch)| super::cost::cost_of(batch)).sum();
            if steps > 0 {
                self.rate.note(steps, tick, self.schedule.has_ready());
            }
        }
        if !self.schedule.has_ready() {
            self.rate.idle();
        }
    }

    /// All that is in the store is here, and the newest final block is of this time.
    pub(super) fn begin_at(&mut self, tip: TimeMs) {
        self.tip = tip;
        self.schedule.age(tip);
    }

    /// What was found hopeless since this was asked last.
    pub(super) fn take_hopeless(&mut self) -> Vec<(BatchId, RefusedReason)> {
        let ids = self.schedule.take_hopeless().into_iter();
        ids.filter_map(|(number, reason)| Some((self.entries.get(&number)?.id, reason))).collect()
    }

    /// An authority holds a batch.
    pub(super) fn note_holder(&mut self, id: &BatchId, authority: u32) {
        if authority < u64::BITS && self.sequences.contains_key(id) {
            *self.held_by.entry(*id).or_default() |= 1 << authority;
        }
    }

    /// Why a batch waits; `None` where it does not, or is not here.
    pub(super) fn wait_of(&self, id: &BatchId) -> Option<Wait> {
        self.schedule.wait_of(self.sequence(id)?).cloned()
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.schedule.waiting()
    }

    /// At most `limit` batches from number `cursor` on, for people, and where to go on: at 0 after the last one.
    pub(super) fn list(&self, cursor: u64, limit: usize) -> (Vec<WaitingBatch>, u64) {
        let mut rest = self.entries.range(cursor..);
        let told = |(number, e): (&u64, &Entry)| WaitingBatch {
            id: e.id,
            issuer: e.issuer.clone(),
            bytes: e.bytes,
            records: e.records,
            created_at: e.created_at,
            wait: self.schedule.wait_of(*number).cloned(),
        };
        let list = rest.by_ref().take(limit).map(told).collect();
        (list, rest.next().map_or(0, |(number, _)| *number))
    }

    /// The newest batches beyond the bounds, where they were lowered: those of the issuers that hold most first.
    pub(super) fn beyond(&self) -> Vec<BatchId> {
        let (mut total, mut held) = (self.total, self.issuers.clone());
        let mut beyond = Vec::new();
        for entry in self.entries.values().rev() {
            let Some(own) = held.get_mut(&entry.issuer) else { continue };
            let is_over = own.bytes > self.limits.bytes_per_issuer_max
                || own.batches > self.limits.batches_per_issuer_max
                || total.bytes > self.limits.bytes_max;
            if is_over {
                beyond.push(entry.id);
                for size in [own, &mut total] {
                    size.batches -= 1;
                    size.bytes -= entry.bytes;
                }
            }
        }
        beyond
    }

    /// At most `limit` offers from number `cursor` on of what others may have use for, and where to go on: at 0 after the
    /// last one.
    pub(super) fn offers(&self, cursor: u64, limit: usize) -> (Vec<Offer>, u64) {
        let is_of_use = |(number, _): &(&u64, &Entry)| {
            work::charge(Step::Entry, 1);
            self.schedule.is_of_use(**number) || self.breaks(Mutant::ForgetNotNow)
        };
        let mut rest = self.entries.range(cursor..).filter(is_of_use);
        let offers = rest.by_ref().take(limit).map(|(_, entry)| offer(entry)).collect();
        (offers, rest.next().map_or(0, |(sequence, _)| *sequence))
    }
}

fn offer(entry: &Entry) -> Offer {
    Offer { id: entry.id, issuer: entry.issuer.clone(), bytes: entry.bytes }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use markstein_proto::Hash;

    use super::*;

    const LIMITS: PoolLimits =
        PoolLimits { bytes_max: 100, batches_per_issuer_max: 2, bytes_per_issuer_max: 70 };

    fn entry(number: u8, issuer: &str, bytes: usize) -> Entry {
        let (id, issuer) = (BatchId(Hash([number; 32])), IssuerId::new(issuer).unwrap());
        Entry { id, issuer, bytes, records: 10, cost: 42, created_at: TimeMs(1), changes_status: false }
    }

    #[test]
    fn the_pool_is_bounded_in_bytes_and_per_issuer() {
        let mut index = PoolIndex::new(LIMITS);
        assert_eq!(index.check_room(&entry(1, "a", 71), &[]), Err(PoolFull::Issuer));
        index.insert(0, entry(1, "a", 40), Seen::Never);
        assert_eq!(index.check_room(&entry(2, "a", 31), &[]), Err(PoolFull::Issuer));
        assert_eq!(index.check_room(&entry(2, "a", 30), &[]), Ok(()));
        assert_eq!(index.check_room(&entry(2, "a", 20), &[entry(3, "a", 1)]), Err(PoolFull::Issuer));
        assert_eq!(index.check_room(&entry(2, "b", 60), &[]), Ok(()));
        assert_eq!(index.check_room(&entry(2, "b", 60), &[entry(3, "c", 1)]), Err(PoolFull::Bytes));
    }

    #[test]
    fn what_is_removed_makes_room_and_order_stays() {
        let mut index = PoolIndex::new(LIMITS);
        for number in 0..4 {
            index.insert(u64::from(number), entry(number, "a", 10), Seen::Never);
        }
        assert_eq!(index.list(0, 9).0.len(), 4);
        assert_eq!(index.remove(&entry(0, "a", 10).id), Some(0));
        assert_eq!(index.remove(&entry(0, "a", 10).id), None);
        assert_eq!(index.list(0, 9).0[0].id, entry(1, "a", 10).id, "oldest first");
        assert_eq!(index.size(), PoolSize { batches: 3, bytes: 30 });
        for number in 1..4 {
            index.remove(&entry(number, "a", 10).id);
        }
        assert!(index.issuers.is_empty());
        assert_eq!(index.next(), 4, "numbers are not used again");
    }

    #[test]
    fn a_window_wanders_over_the_pool_and_begins_again() {
        let mut index = PoolIndex::new(PoolLimits { batches_per_issuer_max: 9, ..LIMITS });
        let id = |number| offer(&entry(number, "a", 10));
        assert_eq!(index.offers(0, 3), (vec![], 0));
        (0..7).for_each(|number| index.insert(u64::from(number), entry(number, "a", 10), Seen::Never));
        assert_eq!(index.offers(0, 3), (vec![id(0), id(1), id(2)], 3));
        index.remove(&id(3).id);
        index.remove(&id(1).id);
        assert_eq!(index.offers(3, 3), (vec![id(4), id(5), id(6)], 0));
        assert_eq!(index.offers(0, 3), (vec![id(0), id(2), id(4)], 5));
        assert_eq!(index.offers(9, 3), (vec![], 0), "what it pointed at is gone");
    }

    #[test]
    fn what_came_after_a_sync_is_not_durable() {
        let mut index = PoolIndex::new(LIMITS);
        index.insert(0, entry(0, "a", 10), Seen::Never);
        assert!(index.is_unsynced(&entry(0, "a", 10).id));
        index.synced();
        index.insert(1, entry(1, "a", 10), Seen::Never);
        assert!(!index.is_unsynced(&entry(0, "a", 10).id) && index.is_unsynced(&entry(1, "a", 10).id));
        assert!(!index.is_unsynced(&entry(2, "a", 10).id), "it is not here");
    }
}
