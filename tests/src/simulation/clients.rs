//! Those who submit batches: to one node or several, in one version or several, in time or too late.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use markstein_node::{
    ledger::{BatchRefusal, ReceiptFailure, batch_receipts},
    pool::{Admitted, Origin, SubmitError},
    verified::Signatures,
};
use markstein_proto::{
    Anchor, Batch, BatchId, LeafIndex, Reason, Record, StatusChange, receipt::Receipt, status::Status,
};

use crate::simulation::{
    cluster::{Cluster, Event},
    support::{HOUR, ISSUER_KEY, START, document, salt},
};

#[derive(Default)]
pub struct Clients {
    pub submissions: Vec<Submission>,
    /// What issuers hand in where work takes time.
    pub others: HashMap<BatchId, Arc<Batch>>,
    /// Anchors that somebody suspends, each once.
    suspended: BTreeSet<u64>,
    /// And whose suspension somebody ends.
    lifted: BTreeSet<u64>,
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
    /// How many documents it anchors; its last record may be a change of a status.
    pub documents: u64,
    /// Whether it changes a status, once it was submitted: it may come too late, after another change of the same.
    pub changes: Option<bool>,
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
        let batch = batch_of(self, made, first..first + records, None);
        let id = batch.id();
        self.clients.submissions.push(Submission {
            batch,
            id,
            first,
            given,
            accepted: BTreeSet::new(),
            late,
            documents: records,
            changes: None,
        });
        self.at(delay, Event::Submit { batch: number });
    }

    /// In one of two, a change of an anchor that is final: of one with an even place revoked or superseded, whatever others
    /// do with it meanwhile; of the others suspended, and then revoked or valid again. So whatever is done last, each change
    /// comes to be final, or cannot ever any more.
    fn change_of_a_status(&mut self, document: u64) -> Option<Record> {
        let anchors = self.watch.validity.anchors();
        if anchors.is_empty() || !self.chance(50) {
            return None;
        }
        let (target, status) = anchors[self.random.below(anchors.len() as u64) as usize];
        let change = |from, to| {
            let change = StatusChange::new(LeafIndex(target), from, to, Reason::Other).unwrap();
            Some(Record::StatusChange(change))
        };
        match (target % 2, status) {
            (0, _) if self.chance(50) => change(Status::Valid, Status::Revoked),
            (0, _) => {
                let supersedes = Some(LeafIndex(target));
                Some(Record::Anchor(Anchor { supersedes, ..crate::simulation::support::anchor(document) }))
            }
            (_, Status::Valid) if self.clients.suspended.insert(target) => {
                change(Status::Valid, Status::Suspended)
            }
            (_, Status::Suspended) if self.clients.lifted.insert(target) => {
                let to = if self.chance(50) { Status::Valid } else { Status::Revoked };
                change(Status::Suspended, to)
            }
            _ => None,
        }
    }

    /// What is known of the ledger when a batch is submitted first decides on the change in it.
    fn add_change(&mut self, number: usize) {
        let Submission { batch, first, documents, .. } = &self.clients.submissions[number];
        let (made, first, documents) = (batch.head().created_at.0, *first, *documents);
        let change = self.change_of_a_status(first + documents);
        let one_more = u64::from(matches!(change, Some(Record::Anchor(_))));
        let changes = change.is_some();
        let batch = batch_of(self, made, first..first + documents, change);
        let submission = &mut self.clients.submissions[number];
        submission.id = batch.id();
        submission.batch = batch;
        submission.documents = documents + one_more;
        submission.changes = Some(changes);
    }

    pub fn submit(&mut self, number: usize) {
        if self.clients.submissions[number].changes.is_none() {
            self.add_change(number);
        }
        let Submission { batch, given, .. } = &self.clients.submissions[number];
        let (batch, given) = (Arc::clone(batch), given.clone());
        for (node, nonce) in given {
            let version = self.world.signing.version(&batch, ISSUER_KEY, nonce);
            let answer = self.admit(node, &version, Origin::Submitted);
            match answer {
                Some((Ok(Admitted::New | Admitted::Known), _)) => {
                    self.clients.submissions[number].accepted.insert(node);
                }
                // The node may know less of the ledger than whoever made it, or more.
                Some((Err(SubmitError::Refused(why)), _))
                    if matches!(
                        why,
                        BatchRefusal::NoTarget(_)
                            | BatchRefusal::Status { .. }
                            | BatchRefusal::ChangedSince(_)
                    ) =>
                {
                    assert_eq!(self.clients.submissions[number].changes, Some(true), "node {node}: {why}");
                }
                // Others were accepted before, and nothing is final for long.
                Some((Err(SubmitError::Full(_)), _)) => {}
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
        let position = number % one.documents as usize;
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

fn batch_of(
    cluster: &Cluster,
    made: u64,
    numbers: std::ops::Range<u64>,
    change: Option<Record>,
) -> Arc<Batch> {
    let anchors = numbers.map(|n| Record::Anchor(crate::simulation::support::anchor(n)));
    let records: Vec<_> = anchors.chain(change).collect();
    let issuer = crate::simulation::support::issuer();
    let (key, made) = (cluster.world.signing.key(ISSUER_KEY), markstein_proto::TimeMs(made));
    Arc::new(Batch::sign(cluster.world.ledger, &issuer, &*key, made, &records).unwrap())
}
