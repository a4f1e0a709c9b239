//! Decoded batches of the pool, so that a block is built and checked without decoding them again.

use std::{collections::HashMap, sync::Arc};

use markstein_proto::{Batch, BatchId};

/// Memory of the batches that are kept decoded, about.
const BYTES_MAX: usize = 32 * 1024 * 1024;

/// As many batches as fit. What is in stays until it is decided: blocks take the oldest batches, so making room for the
/// newest would throw out just those that are needed next.
#[derive(Debug)]
pub(super) struct BatchCache {
    batches: HashMap<BatchId, Arc<Batch>>,
    bytes: usize,
    bytes_max: usize,
}

impl Default for BatchCache {
    fn default() -> Self {
        Self { batches: HashMap::new(), bytes: 0, bytes_max: BYTES_MAX }
    }
}

/// What a decoded batch takes, about: its bytes, which its parts stand on, and the parts.
fn weight(batch: &Batch) -> usize {
    batch.bytes().len() + size_of_val(batch.records())
}

impl BatchCache {
    pub(super) fn get(&self, id: &BatchId) -> Option<Arc<Batch>> {
        self.batches.get(id).cloned()
    }

    /// Keeps a batch that is not here yet, if there is room.
    pub(super) fn insert(&mut self, id: BatchId, batch: Arc<Batch>) {
        let weight = weight(&batch);
        if self.bytes + weight <= self.bytes_max && !self.batches.contains_key(&id) {
            self.bytes += weight;
            self.batches.insert(id, batch);
        }
    }

    pub(super) fn remove(&mut self, id: &BatchId) {
        if let Some(batch) = self.batches.remove(id) {
            self.bytes -= weight(&batch);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use markstein_proto::{Anchor, Commitment, Hash, IssuerId, LedgerId, Record, SecretKey, TimeMs};

    use super::*;

    fn batch(number: u8) -> Arc<Batch> {
        let anchor = Anchor {
            commitment: Commitment(Hash([number; 32])),
            public: false,
            document_type: 1,
            valid_until: None,
            supersedes: None,
        };
        let (ledger, key) = (LedgerId(Hash([0; 32])), SecretKey::from_seed(&[1; 32]));
        let issuer = IssuerId::new("a").unwrap();
        Arc::new(Batch::sign(ledger, &issuer, &key, TimeMs(1), &[Record::Anchor(anchor)]).unwrap())
    }

    #[test]
    fn what_is_in_stays_and_what_goes_makes_room() {
        let (one, two, three) = (batch(1), batch(2), batch(3));
        let mut cache = BatchCache { bytes_max: 2 * weight(&one), ..BatchCache::default() };
        for batch in [&one, &two, &one, &three] {
            cache.insert(batch.id(), batch.clone());
        }
        assert!(Arc::ptr_eq(&cache.get(&one.id()).unwrap(), &one));
        assert!(cache.get(&two.id()).is_some() && cache.get(&three.id()).is_none());
        cache.remove(&one.id());
        cache.remove(&one.id());
        cache.insert(three.id(), three.clone());
        assert!(cache.get(&one.id()).is_none() && cache.get(&three.id()).is_some());
        assert_eq!(cache.bytes, 2 * weight(&one));
    }
}
