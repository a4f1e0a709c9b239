//! Batches of many changes of which the last one collides.
//!
//! Each suspends and reinstates its issuer's own records, and then suspends one that all of a wave suspend. They come at
//! once, while none is final yet, and all are admissible; one becomes final, and each other one waits for a status that
//! does not come back. To find that out its changes are looked at, all of them.

use markstein_proto::{Batch, BatchId, Record, status::Status};
use std::sync::Arc;

use super::{Desk, Issuer, change};

pub struct Colliding {
    /// Changes of a batch.
    pub changes: u64,
    /// Batches of a wave, and waves.
    pub batches: u64,
    pub waves: u64,
    /// Pause between two waves.
    pub pause: u64,
    targets: Option<BatchId>,
    done: u64,
}

impl Colliding {
    pub const fn new(changes: u64, batches: u64, waves: u64, pause: u64) -> Self {
        Self { changes, batches, waves, pause, targets: None, done: 0 }
    }
}

/// Suspends and reinstates as many records as make so many changes, the first one standing at `first`.
pub fn back_and_forth(first: u64, changes: u64) -> Vec<Record> {
    (first..first + changes / 2)
        .flat_map(|target| {
            [
                change(target, Status::Valid, Status::Suspended),
                change(target, Status::Suspended, Status::Valid),
            ]
        })
        .collect()
}

/// Batch number `number` that collides at `last` with all others.
pub fn colliding(desk: &Desk<'_>, first: u64, changes: u64, last: u64, number: u64) -> Arc<Batch> {
    let mut records = back_and_forth(first, changes - 1);
    records.push(change(last, Status::Valid, Status::Suspended));
    desk.batch(number, &records) // another time is another batch
}

impl Issuer for Colliding {
    fn act(&mut self, desk: &mut Desk<'_>) -> Option<u64> {
        let Some(id) = self.targets else {
            let batch = desk.batch(0, &desk.anchors(0..self.changes / 2 + self.waves));
            self.targets = Some(batch.id());
            desk.hand(0, 0, batch);
            return Some(500);
        };
        let Some(head) = desk.place(&id) else { return Some(100) };
        let first = head.0 + 1;
        let last = first + self.changes / 2 + self.done;
        for number in 0..self.batches {
            let batch = colliding(desk, first, self.changes, last, number);
            desk.hand(0, number as usize % desk.world.n, batch);
        }
        self.done += 1;
        (self.done < self.waves).then_some(self.pause)
    }
}
