//! Which batches are in the log, as long as they could come again.
//!
//! A batch names the time it was made, and stands in a block at most 24 hours from it. One that is older cannot come
//! again, so it is forgotten. Of each id 16 bytes are kept: to make two batches with the same 16 is beyond anybody.

use std::collections::{BTreeMap, HashSet};

use markstein_proto::{BATCH_AGE_MAX_MS, BatchId, TimeMs};

/// Batches are forgotten by the hour.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// The first bytes of a batch id.
pub(super) type Mark = [u8; 16];

/// Batches of the last days, by the hour they were made in.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(BTreeMap<u64, HashSet<Mark>>);

impl Seen {
    /// Takes up a batch; false where it was there already.
    pub(super) fn insert(&mut self, batch: &BatchId, created_at: TimeMs) -> bool {
        let mut mark = Mark::default();
        mark.copy_from_slice(&batch.0.0[..16]);
        self.0.entry(created_at.0 / HOUR_MS).or_default().insert(mark)
    }

    /// Forgets what can stand in no block after this time.
    pub(super) fn forget_before(&mut self, time: TimeMs) {
        let oldest = time.0.saturating_sub(BATCH_AGE_MAX_MS) / HOUR_MS;
        while self.0.first_key_value().is_some_and(|(hour, _)| *hour < oldest) {
            self.0.pop_first();
        }
    }

    /// All of it, to be kept.
    pub(super) fn hours(&self) -> impl Iterator<Item = (u64, &HashSet<Mark>)> {
        self.0.iter().map(|(hour, marks)| (*hour, marks))
    }

    /// As it was kept.
    pub(super) fn restore(hours: impl IntoIterator<Item = (u64, HashSet<Mark>)>) -> Self {
        Self(hours.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    #[test]
    fn a_batch_is_known_for_as_long_as_it_could_come_again() {
        let (mut seen, id) = (Seen::default(), |n: u8| BatchId(Hash([n; 32])));
        let made = TimeMs(100 * HOUR_MS + 17);
        assert!(seen.insert(&id(1), made) && seen.insert(&id(2), made));
        assert!(!seen.insert(&id(1), made));
        seen.forget_before(TimeMs(made.0 + BATCH_AGE_MAX_MS));
        assert!(!seen.insert(&id(1), made), "at this very moment it could");
        seen.forget_before(TimeMs(made.0 + BATCH_AGE_MAX_MS + HOUR_MS));
        assert_eq!(seen.hours().count(), 0);
    }
}
