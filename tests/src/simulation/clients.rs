//! Those who submit batches: to one node or several, in one version or several, in time or too late.

use std::{collections::BTreeSet, sync::Arc};

use markstein_node::{
    ledger::{ReceiptFailure, batch_receipts},
    pool::{Admitted, Origin},
    verified::Signatures,
};
use markstein_proto::{Batch, BatchId, receipt::Receipt};

use crate::simulation::{
    cluster::{Cluster, Event},
    support::{HOUR, ISSUER_KEY, START, document, salt},
};

#[derive(Default)]
pub struct Clients {
    pub submissions: Vec<Submission>,
}

/// A batch and what was done with it.
pub struct Submission {
    pub batch: Arc<Batch>,
    pub id: BatchId,
    /// Number of its first document.
    pub first: u64,
    /// Nodes it is given to, each with the nonce of its version.
    pub given: Vec<(usize, u64)>,
    /// Nodes that said *accepted*.
    pub accepted: BTreeSet<usize>,
    /// Made too long ago.
    pub late: bool,
}

impl Cluster {
    /// Plans a submission.
    pub fn plan_submission(&mut self, delay: u64) {
        let all = self.nodes.len() as u64;
        let count = match self.random.below(4) {
            0 => all,
            1 => 1 + self.random.below(all),
            _ => 1,
        };
        let versions = if self.chance(50) { count } else { 1 };
        let start = self.random.below(all);
        let given = (0..count).map(|i| (((start + i) % all) as usize, i % versions)).collect();
        self.plan_submission_to(given, delay);
    }

    /// Plans a submission to these nodes, to each its version.
    pub fn plan_submission_to(&mut self, given: Vec<(usize, u64)>, delay: u64) {
        let number = self.clients.submissions.len();
        let late = self.chance(8);
        let made = START + self.now + delay - if late { 25 * HOUR } else { 0 };
        let (first, records) = (1000 * number as u64, 1 + self.random.below(3));
        let batch = batch_of(self, made, first..first + records);
        let id = batch.id();
        self.clients.submissions.push(Submission {
            batch,
            id,
            first,
            given,
            accepted: BTreeSet::new(),
            late,
        });
        self.at(delay, Event::Submit { batch: number });
    }

    pub fn submit(&mut self, number: usize) {
        let Submission { batch, given, .. } = &self.clients.submissions[number];
        let (batch, given) = (Arc::clone(batch), given.clone());
        for (node, nonce) in given {
            let version = self.world.signing.version(&batch, ISSUER_KEY, nonce);
            let answer = self.admit(node, &version, Origin::Submitted);
            match answer {
                Some((Ok(Admitted::New | Admitted::Known), _)) => {
                    self.clients.submissions[number].accepted.insert(node);
                }
                Some((Err(error), _)) if self.is_honest(node) => {
                    panic!("node {node} turns away a good batch: {error}")
                }
                _ => {}
            }
        }
    }

    /// A receipt of a batch that a node's newest checkpoint covers, made there and verified as by a citizen.
    pub fn check_a_receipt(&mut self, node: usize) {
        let all = self.clients.submissions.len() as u64;
        if all > 0 {
            let number = self.random.below(all) as usize;
            self.check_receipt(node, number);
        }
    }

    /// A receipt of each batch that has none yet, from a node whose newest checkpoint covers it.
    pub fn check_due_receipts(&mut self) {
        for number in 0..self.clients.submissions.len() {
            let id = self.clients.submissions[number].id;
            if self.watch.receipts.is_due(&id, &self.watch.once)
                && (0..self.nodes.len()).any(|node| self.check_receipt(node, number))
            {
                self.watch.receipts.verified(id);
            }
        }
    }

    /// Whether the node has a receipt for the batch; it verifies then.
    pub fn check_receipt(&self, node: usize, number: usize) -> bool {
        let (Some(live), one) = (&self.nodes[node].live, &self.clients.submissions[number]) else {
            return false;
        };
        if self.nodes[node].disk.harm().is_some() {
            return false;
        }
        let snapshot = live.finality.snapshot().unwrap();
        let receipts = match batch_receipts(&snapshot.view, snapshot.checkpoint.as_deref(), &one.id) {
            Ok(receipts) => receipts,
            Err(ReceiptFailure::NoCheckpoint | ReceiptFailure::Lookup(_)) => return false,
        };
        let position = number % receipts.len();
        let mut receipt = receipts.receipt(&snapshot.view, position).unwrap();
        receipt.salt = Some(salt(one.first + position as u64));
        let read_back = Receipt::from_json(receipt.to_json().as_bytes()).unwrap();
        let document = document(one.first + position as u64);
        let signing = self.world.signing;
        let verified =
            read_back.verify_with(&self.world.trust, &document, &|k, m, s| signing.verify(k, m, s));
        verified.unwrap_or_else(|e| panic!("a receipt of node {node} does not verify: {e}"));
        true
    }
}

fn batch_of(cluster: &Cluster, made: u64, numbers: std::ops::Range<u64>) -> Arc<Batch> {
    let records: Vec<_> =
        numbers.map(|n| markstein_proto::Record::Anchor(crate::simulation::support::anchor(n))).collect();
    let issuer = crate::simulation::support::issuer();
    let (key, made) = (cluster.world.signing.key(ISSUER_KEY), markstein_proto::TimeMs(made));
    Arc::new(Batch::sign(cluster.world.ledger, &issuer, &*key, made, &records).unwrap())
}
