//! A node's disk: writes reach it in order, and a crash loses some of the last ones that were not synced.

use markstein_consensus::{Body, Fact, FinalBlock};
use markstein_proto::consensus::CheckedCertificate;

use super::blocks::{final_block, genesis_block};

#[derive(Clone, Default)]
pub struct Stored {
    pub facts: Vec<Fact>,
    pub chain: Vec<Body>,
    pub finalization: Option<CheckedCertificate>,
}

#[derive(Clone)]
pub enum Write {
    Facts(Vec<Fact>),
    Final(Vec<Body>, CheckedCertificate),
}

#[derive(Clone, Default)]
pub struct Disk {
    /// What the running node sees.
    pub live: Stored,
    synced: Stored,
    pending: Vec<Write>,
}

impl Stored {
    pub fn last_final(&self) -> FinalBlock {
        self.chain.last().map_or_else(genesis_block, |body| final_block(&body.header))
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::Facts(facts) => self.facts.extend(facts),
            Write::Final(bodies, certificate) => {
                self.chain.extend(bodies);
                self.finalization = Some(certificate);
                let last = self.last_final().view;
                self.facts.retain(|fact| fact.view() > last);
            }
        }
    }
}

impl Disk {
    pub fn write(&mut self, write: Write) {
        self.live.apply(write.clone());
        self.pending.push(write);
    }

    pub fn sync(&mut self) {
        std::mem::take(&mut self.pending).into_iter().for_each(|write| self.synced.apply(write));
    }

    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// A power cut: of the pending writes the first `kept` had reached the disk.
    pub fn crash(&mut self, kept: usize) {
        let writes = std::mem::take(&mut self.pending);
        writes.into_iter().take(kept).for_each(|write| self.synced.apply(write));
        self.live = self.synced.clone();
    }
}
