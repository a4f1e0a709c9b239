//! What must come to be once all faults have ended.

use std::collections::BTreeMap;

use markstein_node::{
    ledger::State,
    storage::{
        Read,
        tables::{Meta, MetaKey, Outcome, Outcomes},
    },
};

use crate::simulation::{cluster::Cluster, node::Live};

/// All is decided within this time after the faults, in milliseconds.
const PATIENCE: u64 = 150_000;
/// What is still under way then ends.
const CALM: u64 = 20_000;
/// A silent interval, and a bit.
const WATCHED: u64 = 70_000;
/// Bytes a second on a link of a network with nothing to do.
const IDLE_MAX: u64 = 2_000;

impl Cluster {
    /// Runs until everything is decided everywhere.
    pub fn demand_progress(&mut self) {
        let until = self.now + PATIENCE;
        assert!(self.run(until, Self::is_settled), "no progress after healing\n{}", self.describe());
        self.demand_all();
    }

    /// Submissions that some node decided to refuse.
    pub fn refused(&self) -> usize {
        let is_refused = |id: &markstein_proto::BatchId| {
            self.demanded().any(|node| {
                let outcome = self.live(node).db.get::<Outcomes>(&id.0).unwrap();
                matches!(outcome, Some(Outcome::Refused { .. }))
            })
        };
        self.clients.submissions.iter().filter(|one| is_refused(&one.id)).count()
    }

    /// The nodes of which something is demanded.
    pub fn demanded(&self) -> impl Iterator<Item = usize> + use<'_> {
        (0..self.nodes.len()).filter(|node| !self.excused.contains(node))
    }

    pub fn live(&self, node: usize) -> &Live {
        self.nodes[node].live.as_ref().expect("all are up")
    }

    /// Whether all nodes are at one height, under a checkpoint, with nothing left to decide.
    fn is_settled(&self) -> bool {
        let height = self.watch.agreement.height();
        self.demanded().all(|node| {
            let Some(live) = &self.nodes[node].live else { return false };
            let tip = live.driver.state().tip();
            let covered = live.finality.checkpoint().is_some_and(|counted| counted.size == tip.size);
            tip.height.0 == height && covered && live.pool.size().batches == 0
        })
    }

    /// What was accepted is final everywhere, in one place, or refused where it was accepted; what was acknowledged is
    /// there; and every node gives receipts.
    fn demand_all(&mut self) {
        let acknowledged = self.watch.acknowledged.size();
        self.check_due_receipts();
        self.watch.receipts.demand_all(&self.watch.once);
        let demanded: Vec<usize> = self.demanded().collect();
        for node in demanded.iter().copied() {
            let live = self.nodes[node].live.as_ref().expect("all are up");
            assert!(
                live.driver.state().tip().size.0 >= acknowledged,
                "node {node} lacks what was acknowledged"
            );
            self.watch.look_closely(node, live, self.nodes[node].disk.written(), &self.clients);
            let forgot = live.db.contains::<Meta>(&MetaKey::Amnesia).unwrap();
            let remembers = node >= self.world.n || self.watch.votes.remembers(node as u32);
            assert!(!(forgot && remembers), "node {node} lacks a vote of its own, and lost no journal");
        }
        for (number, one) in self.clients.submissions.iter().enumerate() {
            let outcome = |node: usize| self.live(node).db.get::<Outcomes>(&one.id.0).unwrap();
            let outcomes: BTreeMap<usize, _> = demanded.iter().map(|node| (*node, outcome(*node))).collect();
            let first_final = outcomes.values().flatten().find(|o| matches!(o, Outcome::Final { .. }));
            if let Some(first) = first_final {
                assert!(outcomes.values().all(|o| o.as_ref() == Some(first)), "batch {number}: {outcomes:?}");
            }
            for node in one.accepted.iter().copied().filter(|node| outcomes.contains_key(node)) {
                let refused = matches!(outcomes[&node], Some(Outcome::Refused { .. }));
                assert!(
                    outcomes[&node].is_some() && (one.late || one.changes == Some(true) || !refused),
                    "batch {number}, accepted by node {node}, is {:?}",
                    outcomes[&node]
                );
            }
        }
        let numbers = 0..self.clients.submissions.len();
        let final_one = numbers
            .rev()
            .find(|number| self.watch.once.height(&self.clients.submissions[*number].id).is_some());
        let node = demanded[self.random.below(demanded.len() as u64) as usize];
        if let Some(number) = final_one {
            assert!(self.check_receipt(node, number), "node {node} has no receipt for batch {number}");
        }
    }

    /// A network with nothing to do says and writes next to nothing.
    pub fn demand_silence(&mut self) {
        self.run(self.now + CALM, |_| false);
        self.network.busy.clear();
        self.network.sent.clear();
        let written: Vec<u64> = self.nodes.iter().map(|node| node.disk.written()).collect();
        let height = self.watch.agreement.height();
        self.run(self.now + WATCHED, |_| false);
        self.network.busy.retain(|_, count| *count > 0);
        assert!(self.network.busy.is_empty(), "an idle network says something\n{}", self.describe());
        for (number, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.disk.written(), written[number], "node {number} is idle and writes");
        }
        assert_eq!(self.watch.agreement.height(), height, "an idle network cuts blocks");
        for (link, bytes) in &self.network.sent {
            let rate = bytes * 1000 / WATCHED;
            assert!(rate < IDLE_MAX, "idle link {link:?} carries {rate} bytes a second");
        }
    }

    /// Whether this node votes.
    pub fn is_voting(&self, node: usize) -> bool {
        self.live(node).driver.engine().is_voting()
    }
}
