//! One of many who write more than the ledger can take, and heed what they are told. What was accepted of theirs is final soon.

use std::sync::Arc;

use markstein_proto::Batch;

use super::{Desk, Issuer, Told};

pub struct Crowd {
    /// Records of a batch.
    pub records: u64,
    /// Pause between two batches.
    pub pause: u64,
    /// When it ends.
    pub until: u64,
    /// Batches it has made, and those that a node has not accepted yet.
    made: u64,
    open: u64,
}

/// Batches that nobody accepted yet: with more it makes no new ones.
const OPEN_MAX: u64 = 64;

impl Crowd {
    pub const fn new(records: u64, pause: u64, until: u64) -> Self {
        Self { records, pause, until, made: 0, open: 0 }
    }
}

impl Issuer for Crowd {
    fn act(&mut self, desk: &mut Desk<'_>) -> Option<u64> {
        if desk.now >= self.until {
            return None;
        }
        if self.open < OPEN_MAX {
            let first = self.made * self.records;
            let batch = desk.batch(0, &desk.anchors(first..first + self.records));
            desk.hand(0, self.made as usize % desk.world.n, batch);
            (self.made, self.open) = (self.made + 1, self.open + 1);
        }
        Some(self.pause)
    }

    fn told(&mut self, desk: &mut Desk<'_>, node: usize, batch: &Arc<Batch>, told: &Told) {
        match told {
            Told::Accepted => {
                self.open -= 1;
                desk.is_accepted(batch, node);
            }
            Told::Later(hint) if desk.now < self.until => desk.hand(*hint, node, Arc::clone(batch)),
            Told::Later(_) => self.open -= 1,
            Told::Refused(why) => panic!("node {node} refuses a good batch: {why}"),
        }
    }
}
