//! Anchors a document now and then, at one node after the other, and comes again where it is told to.

use std::sync::Arc;

use markstein_proto::Batch;

use super::{Desk, Issuer, Told};

pub struct Honest {
    /// Pause between two batches.
    pub pause: u64,
    /// When it ends.
    pub until: u64,
    pub made: u64,
}

impl Issuer for Honest {
    fn act(&mut self, desk: &mut Desk<'_>) -> Option<u64> {
        if desk.now >= self.until {
            return None;
        }
        let batch = desk.batch(0, &desk.anchors(self.made..self.made + 1));
        desk.hand(0, self.made as usize % desk.world.n, batch);
        self.made += 1;
        Some(self.pause)
    }

    fn told(&mut self, desk: &mut Desk<'_>, node: usize, batch: &Arc<Batch>, told: &Told) {
        match told {
            Told::Accepted => {}
            Told::Later(hint) => desk.hand(*hint, node, Arc::clone(batch)),
            Told::Refused(why) => panic!("node {node} refuses an honest batch: {why}"),
        }
    }

    fn is_honest(&self) -> bool {
        true
    }
}
