//! Rule 6: finalizations, and the chain below them.

use markstein_proto::{Hash, View, consensus::CheckedCertificate};

use super::{Engine, FinalBlock};
use crate::Effect;

impl Engine {
    /// Makes final what the highest finalization covers whose whole chain is known and valid here. Where the chain of
    /// one is not, it is asked for.
    pub(super) fn try_finalize(&mut self) {
        let certificates: Vec<CheckedCertificate> =
            self.slots.values().rev().filter_map(|slot| slot.finalization.clone()).collect();
        for certificate in certificates {
            let tip = certificate.subject().ballot.block().expect("finalizations are on blocks");
            match self.chain_to(tip) {
                Some(chain) => match chain.iter().find(|id| !self.is_valid(id)).copied() {
                    Some(id) => self.request_check(certificate.view(), id),
                    None => return self.finalize(chain, certificate),
                },
                None => self.ask_for_sync(&certificate),
            }
        }
    }

    /// The blocks from the final one, exclusive, to `tip`, oldest first; `None` where one is unknown.
    fn chain_to(&self, tip: Hash) -> Option<Vec<Hash>> {
        let mut chain = Vec::new();
        let mut id = tip;
        while id != self.last_final.id {
            let (header, _) = self.blocks.body(&id)?;
            assert!(
                header.height > self.last_final.height,
                "a finalised chain leads to our final block: more than f authorities are faulty"
            );
            chain.push(id);
            id = header.parent;
        }
        chain.reverse();
        Some(chain)
    }

    /// The chain is not known: asks for the range, and again until it comes.
    fn ask_for_sync(&mut self, certificate: &CheckedCertificate) {
        if self.syncing.is_none_or(|(view, _)| view < certificate.view()) {
            self.syncing = Some((certificate.view(), self.now.tick + self.timing.view_timeout));
            self.effects.push_back(Effect::Sync(certificate.clone()));
        }
    }

    /// The range did not come, or the chain became known in another way.
    pub(super) fn retry_sync(&mut self) {
        if self.syncing.is_some_and(|(_, at)| at <= self.now.tick) {
            self.syncing = None;
            self.try_finalize();
        }
    }

    fn finalize(&mut self, blocks: Vec<Hash>, certificate: CheckedCertificate) {
        let tip = blocks.last().expect("the chain above the final block is not empty");
        let (header, _) = self.blocks.body(tip).expect("chain_to() found it");
        let last = FinalBlock { id: *tip, view: header.view, height: header.height, time: header.time };
        self.effects.push_back(Effect::Finalized { blocks, certificate: certificate.clone() });
        self.move_to(last, certificate);
    }

    /// The driver brought the ledger to a later final block.
    pub(super) fn on_synced(&mut self, block: FinalBlock, certificate: &CheckedCertificate) {
        self.syncing = None;
        if block.view > self.last_final.view && block.height > self.last_final.height {
            self.move_to(block, certificate.clone());
        }
    }

    fn move_to(&mut self, last: FinalBlock, finalization: CheckedCertificate) {
        self.last_final = last;
        self.finalization = Some(finalization);
        self.syncing = None;
        self.late.clear();
        self.waiting = None;
        self.slots.retain(|view, _| *view > last.view);
        self.blocks.prune(last.view);
        if self.view <= last.view {
            self.enter(View(last.view.0 + 1));
        }
        self.shorten_timeout();
        self.check_certified();
    }
}
