//! Rule 6: finalizations, and the chain below them.

use markstein_proto::{Hash, View, consensus::CheckedCertificate};

use super::{Engine, FinalBlock, blocks::Check};
use crate::{Effect, Verdict};

impl Engine {
    /// Makes final what the highest finalization covers, once its whole chain is known and valid here.
    pub(super) fn try_finalize(&mut self) {
        let highest = self.slots.values().rev().find_map(|slot| slot.finalization.clone());
        let Some(certificate) = highest.filter(|c| c.view() > self.last_final.view) else { return };
        let tip = certificate.subject().ballot.block().expect("finalizations are on blocks");
        let Some(chain) = self.chain_to(tip) else { return self.ask_for_sync(&certificate) };
        let unchecked = chain
            .iter()
            .find(|id| self.blocks.get(id).is_none_or(|known| known.check != Check::Done(Verdict::Valid)));
        match unchecked.copied() {
            Some(id) => self.request_check(id),
            None => self.finalize(chain, certificate),
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

    /// The chain is not known: its tip first, which may be all; a whole range where the gap is longer.
    fn ask_for_sync(&mut self, certificate: &CheckedCertificate) {
        if self.syncing.is_none_or(|view| view < certificate.view()) {
            self.syncing = Some(certificate.view());
            self.effects.push_back(Effect::Sync(certificate.clone()));
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
        self.try_finalize();
    }

    fn move_to(&mut self, last: FinalBlock, finalization: CheckedCertificate) {
        self.last_final = last;
        self.finalization = Some(finalization);
        self.syncing = None;
        self.slots.retain(|view, _| *view > last.view);
        self.blocks.prune(last.view);
        if self.view <= last.view {
            self.enter(View(last.view.0 + 1));
        }
    }
}
