//! Pools that differ, and stay so: each node is given other batches that wait, as many as it takes of one issuer.
//!
//! So each node tells the others of batches that they have no room for.

use markstein_proto::BatchId;

use super::{Desk, Issuer, colliding::colliding};

pub struct Divided {
    /// Changes of a batch.
    pub changes: u64,
    /// Batches that each node is given.
    pub batches: u64,
    targets: Option<BatchId>,
}

impl Divided {
    pub const fn new(changes: u64, batches: u64) -> Self {
        Self { changes, batches, targets: None }
    }
}

impl Issuer for Divided {
    fn act(&mut self, desk: &mut Desk<'_>) -> Option<u64> {
        let Some(id) = self.targets else {
            let batch = desk.batch(0, &desk.anchors(0..self.changes / 2 + 1));
            self.targets = Some(batch.id());
            desk.hand(0, 0, batch);
            return Some(500);
        };
        let Some(head) = desk.place(&id) else { return Some(100) };
        let (first, last, nodes) = (head.0 + 1, head.0 + 1 + self.changes / 2, desk.world.n as u64);
        for number in 0..self.batches * nodes {
            let batch = colliding(desk, first, self.changes, last, number);
            desk.hand(0, (number % nodes) as usize, batch);
        }
        None
    }
}
