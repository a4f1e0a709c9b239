//! One sender's huge backlog: good batches, as many as every node takes, always.

use std::sync::Arc;

use markstein_proto::Batch;

use super::{Desk, Issuer, Told};

pub struct Backlog {
    /// Records of a batch.
    pub records: u64,
    /// Batches that each node has to look at at once.
    pub at_once: u64,
    /// When it ends.
    pub until: u64,
    made: u64,
}

impl Backlog {
    pub const fn new(records: u64, at_once: u64, until: u64) -> Self {
        Self { records, at_once, until, made: 0 }
    }

    fn next(&mut self, desk: &mut Desk<'_>, delay: u64, node: usize) {
        let first = self.made * self.records;
        let batch = desk.batch(0, &desk.anchors(first..first + self.records));
        self.made += 1;
        desk.hand(delay, node, batch);
    }
}

impl Issuer for Backlog {
    fn act(&mut self, desk: &mut Desk<'_>) -> Option<u64> {
        for node in 0..desk.world.n {
            (0..self.at_once).for_each(|_| self.next(desk, 0, node));
        }
        None
    }

    fn told(&mut self, desk: &mut Desk<'_>, node: usize, batch: &Arc<Batch>, told: &Told) {
        if desk.now >= self.until {
            return;
        }
        match told {
            Told::Later(hint) => desk.hand((hint / 5).max(20), node, Arc::clone(batch)), // sooner than it is told to
            Told::Accepted | Told::Refused(_) => self.next(desk, 0, node),
        }
    }
}
