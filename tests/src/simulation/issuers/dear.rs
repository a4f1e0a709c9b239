//! A flood of batches that are dear to look at and refused: many changes, of which the last one cannot be.
//!
//! Each takes the pool's thread as long as the largest good batch does, and brings nothing about.

use std::sync::Arc;

use markstein_proto::{Batch, BatchId, status::Status};

use super::{Desk, Issuer, change, colliding::colliding};

pub struct Dear {
    /// Changes of a batch.
    pub changes: u64,
    /// Pause between two batches to each node.
    pub pause: u64,
    /// When it ends.
    pub until: u64,
    targets: Option<BatchId>,
    /// What it hands in, again and again.
    batches: Vec<Arc<Batch>>,
}

impl Dear {
    pub const fn new(changes: u64, pause: u64, until: u64) -> Self {
        Self { changes, pause, until, targets: None, batches: Vec::new() }
    }
}

impl Issuer for Dear {
    fn act(&mut self, desk: &mut Desk<'_>) -> Option<u64> {
        let Some(id) = self.targets else {
            let batch = desk.batch(0, &desk.anchors(0..self.changes / 2 + 1));
            self.targets = Some(batch.id());
            desk.hand(0, 0, batch);
            return Some(500);
        };
        let Some(head) = desk.place(&id) else { return Some(100) };
        let (first, last) = (head.0 + 1, head.0 + 1 + self.changes / 2);
        if self.batches.is_empty() {
            let nodes = desk.world.n as u64;
            let made = (0..nodes).map(|number| colliding(desk, first, self.changes, last, number));
            self.batches = made.collect();
            let batch = desk.batch(0, &[change(last, Status::Valid, Status::Suspended)]);
            desk.hand(0, 0, batch);
            return Some(1000);
        }
        for (node, batch) in self.batches.clone().into_iter().enumerate() {
            desk.hand(0, node, batch);
        }
        (desk.now < self.until).then_some(self.pause)
    }
}
