//! Once all faults have ended, no more than so many views pass without a final block: on every node, at every moment.
//! Views are counted, not time, since an idle network changes none.
//!
//! The bound is n + f + 2. In Simplex one view is enough for a final block where its leader is honest and all honest
//! nodes are in step with it: they are in the view before it times out, vote, and have what the block names. To be in
//! step, who comes back asks what it said before, and gets what it missed; both take a few delays, a view without a
//! certificate at least a timeout that grows from view to view, so it ends within a few views, and a round of all n
//! leaders is allowed for it. Then at most f views in a row have faulty leaders, the next one gives a block, and the
//! view after it is entered before that block is final.

use markstein_proto::View;

use crate::simulation::node::Live;

#[derive(Default)]
pub struct Progress {
    /// The highest view when all faults had ended, and how many views may pass from there.
    healed: Option<(View, u64)>,
    /// The most that did.
    pub most: u64,
}

impl Progress {
    /// All faults have ended, and this is the highest view of any node.
    pub fn healed(&mut self, view: View, authorities: usize, faults: usize) {
        self.healed = Some((view, (authorities + faults + 2) as u64));
    }

    pub fn look(&mut self, node: usize, live: &Live, now: u64) {
        let engine = live.driver.engine();
        self.count(node, engine.view(), engine.last_final().view, now);
    }

    fn count(&mut self, node: usize, view: View, last_final: View, now: u64) {
        let Some((healed, views_max)) = self.healed else { return };
        let passed = view.0.saturating_sub(last_final.max(healed).0);
        self.most = self.most.max(passed);
        assert!(passed <= views_max, "at {now}: {passed} views, and nothing becomes final on node {node}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "8 views, and nothing becomes final")]
    fn views_without_a_final_block_are_seen() {
        let mut progress = Progress::default();
        progress.count(0, View(500), View(1), 0);
        progress.healed(View(500), 4, 1);
        progress.count(0, View(507), View(1), 1);
        progress.count(0, View(557), View(550), 2);
        progress.count(0, View(508), View(1), 3);
    }
}
