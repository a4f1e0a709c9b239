//! What reaches a node where nothing takes time: as `Ingress` and the pool's thread do it, all at once.

use std::sync::Arc;

use markstein_node::{
    driver::{Checked, DriverError, Event as DriverEvent, answer},
    messages::Message,
    peer::Misbehaviour,
    pool::{Admitted, Origin, SubmitError, Verdict},
};
use markstein_proto::Batch;

use crate::simulation::{cluster::Cluster, network::Way};

impl Cluster {
    /// As `Ingress` does it: questions are answered from the store, the rest is inspected and goes to the driver, and
    /// batches to the pool, too.
    pub fn deliver(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let peer = self.world.peer(from);
        let Some(live) = &self.nodes[to].live else { return };
        let message = match Message::decode(bytes) {
            Ok(message) => self.overheard(to, message),
            Err(error) => return self.accuse(to, from, &Misbehaviour::new("undecodable", error)),
        };
        let now = live.set_clock(self.now).clock;
        let answers = match answer(&live.db, &live.pool, peer, now, &message) {
            Ok(answers) => answers,
            Err(error) => {
                self.survives(to, Err(DriverError::Storage(error)), 0);
                return;
            }
        };
        let checked = live.inspector.inspect(peer, message);
        for answer in answers.into_iter().flatten() {
            self.send(to, &[from], &answer);
        }
        match checked {
            Err(what) => self.accuse(to, from, &what),
            Ok(checked) => {
                let batch = match &checked {
                    Checked::PoolBatch(batch) => Some(Arc::clone(batch)),
                    _ => None,
                };
                self.drive(to, DriverEvent::From(peer, checked));
                if let Some(batch) = batch {
                    self.admit(to, &batch, Origin::Gossip);
                }
            }
        }
    }

    pub fn deliver_batch(&mut self, from: usize, to: usize, bytes: &Arc<Vec<u8>>) {
        if self.nodes[to].live.is_none() {
            return;
        }
        let batch = match Batch::decode(bytes.to_vec()) {
            Ok(batch) => Arc::new(batch),
            Err(error) => return self.accuse(to, from, &Misbehaviour::new("malformed_batch", error)),
        };
        self.drive(to, DriverEvent::From(self.world.peer(from), Checked::Heard));
        match self.admit(to, &batch, Origin::Gossip) {
            Some((_, Verdict::New)) => self.flood(to, Some(from), bytes),
            Some((_, Verdict::Bad(refusal))) => {
                self.accuse(to, from, &Misbehaviour::new("inadmissible_batch", refusal));
            }
            _ => {}
        }
    }

    pub fn flood(&mut self, from: usize, but: Option<usize>, bytes: &Arc<Vec<u8>>) {
        let is_told = |to: usize| self.traitors.get(&from).is_none_or(|traitor| traitor.floods(to));
        let others = (0..self.nodes.len()).filter(|to| *to != from && Some(*to) != but && is_told(*to));
        let others: Vec<usize> = others.collect();
        others.into_iter().for_each(|to| self.transmit(from, to, bytes, Way::Gossip));
    }

    /// Offers a batch to a node's pool; `None` where the node is down, or falls.
    pub fn admit(
        &mut self,
        node: usize,
        batch: &Arc<Batch>,
        origin: Origin,
    ) -> Option<(Result<Admitted, SubmitError>, Verdict)> {
        let live = self.nodes[node].live.as_ref()?;
        live.set_clock(self.now);
        let answer = live.admission.admit(&[(Arc::clone(batch), origin)]).pop()?;
        let verdict = live.admission.verdict(batch, answer.clone());
        for (batch, origin) in live.take_news() {
            if origin == Origin::Submitted {
                self.flood(node, None, &Arc::new(batch.bytes().to_vec()));
            }
            self.drive(node, DriverEvent::Pooled);
        }
        if let Err(SubmitError::Storage(error)) = answer {
            if self.nodes[node].live.is_some() {
                self.survives(node, Err(DriverError::Storage(error)), 0);
            }
            return None;
        }
        self.nodes[node].live.as_ref().map(|_| (answer, verdict))
    }

    /// What the pool's thread does between submissions.
    pub fn look_into_pool(&mut self, node: usize) {
        let Some(live) = self.nodes[node].live.as_ref() else { return };
        live.set_clock(self.now);
        match live.look_into_pool() {
            Ok(true) => self.drive(node, DriverEvent::Pooled),
            Ok(false) => {}
            Err(failure) => drop(self.survives(node, Err(DriverError::Pool(failure)), 0)),
        }
    }
}
