//! What is in the pool, in order: a plain structure without a store, a clock or a lock.

use std::collections::{BTreeMap, HashMap};

use markstein_proto::{BatchId, IssuerId, TimeMs};

use super::cache::BatchCache;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingBatch {
    /// Which.
    pub id: BatchId,
    /// Its bytes.
    pub bytes: usize,
    /// Its records.
    pub records: usize,
    /// When its author made it, by the author's clock.
    pub created_at: TimeMs,
    /// Whether it changes a status, so that another change may come first.
    pub changes_status: bool,
}

/// A batch in the pool; its bytes are in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: BatchId,
    pub(super) issuer: IssuerId,
    pub(super) bytes: usize,
    pub(super) records: usize,
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
}

/// The pool's contents by order of acceptance.
#[derive(Debug)]
pub(super) struct PoolIndex {
    /// Those that are kept decoded.
    pub(super) cache: BatchCache,
    limits: PoolLimits,
    next: u64,
    /// Entries with smaller numbers are durable.
    synced: u64,
    entries: BTreeMap<u64, Entry>,
    sequences: HashMap<BatchId, u64>,
    issuers: HashMap<IssuerId, PoolSize>,
    total: PoolSize,
}

impl PoolIndex {
    pub(super) fn new(limits: PoolLimits) -> Self {
        Self {
            cache: BatchCache::default(),
            limits,
            next: 0,
            synced: 0,
            entries: BTreeMap::new(),
            sequences: HashMap::new(),
            issuers: HashMap::new(),
            total: PoolSize::default(),
        }
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

    pub(super) fn insert(&mut self, sequence: u64, entry: Entry) {
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

    /// All entries, oldest first.
    pub(super) fn pending(&self) -> Vec<PendingBatch> {
        let pending = |e: &Entry| PendingBatch {
            id: e.id,
            bytes: e.bytes,
            records: e.records,
            created_at: e.created_at,
            changes_status: e.changes_status,
        };
        self.entries.values().map(pending).collect()
    }

    /// At most `limit` entries from number `cursor` on, and where to go on: at 0 after the last one.
    pub(super) fn ids(&self, cursor: u64, limit: usize) -> (Vec<BatchId>, u64) {
        let mut rest = self.entries.range(cursor..);
        let ids = rest.by_ref().take(limit).map(|(_, entry)| entry.id).collect();
        (ids, rest.next().map_or(0, |(sequence, _)| *sequence))
    }
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
        Entry { id, issuer, bytes, records: 10, created_at: TimeMs(1), changes_status: false }
    }

    #[test]
    fn the_pool_is_bounded_in_bytes_and_per_issuer() {
        let mut index = PoolIndex::new(LIMITS);
        assert_eq!(index.check_room(&entry(1, "a", 71), &[]), Err(PoolFull::Issuer));
        index.insert(0, entry(1, "a", 40));
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
            index.insert(u64::from(number), entry(number, "a", 10));
        }
        assert_eq!(index.pending().len(), 4);
        assert_eq!(index.remove(&entry(0, "a", 10).id), Some(0));
        assert_eq!(index.remove(&entry(0, "a", 10).id), None);
        assert_eq!(index.pending()[0].id, entry(1, "a", 10).id, "oldest first");
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
        let id = |number| entry(number, "a", 10).id;
        assert_eq!(index.ids(0, 3), (vec![], 0));
        (0..7).for_each(|number| index.insert(u64::from(number), entry(number, "a", 10)));
        assert_eq!(index.ids(0, 3), (vec![id(0), id(1), id(2)], 3));
        index.remove(&id(3));
        index.remove(&id(1));
        assert_eq!(index.ids(3, 3), (vec![id(4), id(5), id(6)], 0));
        assert_eq!(index.ids(0, 3), (vec![id(0), id(2), id(4)], 5));
        assert_eq!(index.ids(9, 3), (vec![], 0), "what it pointed at is gone");
    }

    #[test]
    fn what_came_after_a_sync_is_not_durable() {
        let mut index = PoolIndex::new(LIMITS);
        index.insert(0, entry(0, "a", 10));
        assert!(index.is_unsynced(&entry(0, "a", 10).id));
        index.synced();
        index.insert(1, entry(1, "a", 10));
        assert!(!index.is_unsynced(&entry(0, "a", 10).id) && index.is_unsynced(&entry(1, "a", 10).id));
        assert!(!index.is_unsynced(&entry(2, "a", 10).id), "it is not here");
    }
}
