//! A batch that any node reports as refused is on no chain, and never comes to be.

use std::collections::{BTreeMap, BTreeSet};

use markstein_node::storage::{
    Db, Read,
    tables::{Outcome, Outcomes},
};
use markstein_proto::BatchId;

use super::Once;
use crate::simulation::clients::Clients;

#[derive(Default)]
pub struct Refused {
    by: BTreeMap<BatchId, usize>,
    /// What each node had written, and how much was submitted, when it was looked at last.
    seen: BTreeMap<usize, (u64, usize)>,
    /// Which submissions were decided on each node since it was started; they are not looked at again until its next start.
    decided: BTreeMap<usize, BTreeSet<BatchId>>,
}

impl Refused {
    /// `written` counts the node's commits: where there was none, nothing was refused.
    pub fn look(&mut self, node: usize, db: &Db, written: u64, clients: &Clients, placed: &Once) {
        let now = (written, clients.submissions.len());
        if self.seen.insert(node, now) == Some(now) {
            return self.compare(placed);
        }
        let decided = self.decided.entry(node).or_default();
        for submission in &clients.submissions {
            let id = submission.id;
            if decided.contains(&id) {
                continue;
            }
            let outcome = db.get::<Outcomes>(&id.0).unwrap();
            if matches!(outcome, Some(Outcome::Refused { .. })) {
                self.by.entry(id).or_insert(node);
            }
            if outcome.is_some() {
                decided.insert(id);
            }
        }
        self.compare(placed);
    }

    pub fn restarted(&mut self, node: usize) {
        self.seen.remove(&node);
        self.decided.remove(&node);
    }

    fn compare(&self, placed: &Once) {
        for (id, node) in &self.by {
            let height = placed.height(id);
            assert_eq!(height, None, "batch {id} was refused on node {node}, and is in a block");
        }
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    #[test]
    #[should_panic(expected = "was refused on node 2, and is in a block")]
    fn a_refused_batch_in_a_block_is_seen() {
        let (id, mut placed) = (BatchId(Hash([1; 32])), Once::default());
        placed.place(id, 3);
        let refused = Refused { by: BTreeMap::from([(id, 2)]), ..Refused::default() };
        refused.compare(&placed);
    }
}
