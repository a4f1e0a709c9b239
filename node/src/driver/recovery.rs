//! A starting authority asks its peers what it said before, and votes only when enough have answered.

use std::collections::BTreeSet;

use markstein_consensus::Input;
use markstein_proto::{
    LogSize, View,
    consensus::{CheckedCertificate, CheckedVote},
};

use super::{Driver, DriverError};
use crate::{
    ledger::{State, cosigned_size},
    messages::{MEMORY_VOTES_MAX, Message},
    peer::Peer,
    repair::catch_up_to,
    storage::{
        Db, Durability, Read, StorageError,
        tables::{Meta, MetaKey},
    },
};

/// How far the asking is.
#[derive(Debug)]
pub(super) struct Recovery {
    /// Answers needed: q - 1.
    needed: usize,
    answered: BTreeSet<u32>,
    /// View of the highest finalization that was told, or up to which this node was final before a repair.
    highest: View,
    /// Smallest log that may be cosigned. Only a repaired node ever has a smaller one.
    cosigned: LogSize,
    /// A repair set the ledger back: what was voted up to `highest` is in no journal any more.
    repaired: bool,
    done: bool,
}

impl Recovery {
    pub(super) fn load(db: &Db, needed: usize) -> Result<Self, StorageError> {
        let repaired = db.get::<Meta>(&MetaKey::CatchUpTo)?.map(catch_up_to).transpose()?;
        if let Some(view) = repaired.filter(|view| *view > View(0)) {
            tracing::info!(%view, "repaired: this node follows, and votes again once this view is final here");
        }
        Ok(Self {
            needed,
            answered: BTreeSet::new(),
            highest: repaired.unwrap_or(View(0)),
            cosigned: cosigned_size(db)?,
            repaired: repaired.is_some(),
            done: false,
        })
    }

    /// Answers that are still missing.
    pub(super) fn missing(&self) -> usize {
        if self.done { 0 } else { self.needed.saturating_sub(self.answered.len()) }
    }
}

impl Driver {
    /// Asks all who have not answered.
    pub(super) fn ask_memory(&self) {
        if self.recovery.missing() == 0 {
            return;
        }
        let others = (0..self.set.authorities().len() as u32).filter(|number| Some(*number) != self.me);
        for number in others.filter(|number| !self.recovery.answered.contains(number)) {
            self.outbox.send(Peer::Authority(number), Message::AskMemory);
        }
    }

    /// Answers at once, also while this node waits itself; but not in the middle of a catch-up that a restart interrupted,
    /// nor before a repaired node is back where it was:
    /// without a finalization it cannot say which views are decided, and would seem to say that none are.
    pub(super) fn tell_memory(&self, to: Peer) {
        let finalization = self.engine.finalization().map(|certificate| certificate.get().clone());
        let unsure = finalization.is_none() && self.engine.last_final().view > View(0);
        if unsure || (self.recovery.repaired && !self.is_back()) {
            return;
        }
        let votes = self.engine.votes_of(self.number_of(to)).take(MEMORY_VOTES_MAX);
        let votes = votes.map(|vote| vote.get().clone()).collect();
        self.outbox.send(to, Message::Memory { finalization, votes });
    }

    pub(super) fn on_memory(
        &mut self,
        peer: Peer,
        finalization: Option<CheckedCertificate>,
        votes: Vec<CheckedVote>,
    ) -> Result<(), DriverError> {
        let from = self.number_of(peer);
        if let Peer::Authority(number) = peer {
            let told = finalization.as_ref().map_or(View(0), CheckedCertificate::view);
            self.recovery.highest = self.recovery.highest.max(told);
            self.recovery.answered.insert(number);
        }
        if let Some(certificate) = finalization {
            self.input(Input::Certificate(from, certificate))?;
        }
        votes.into_iter().try_for_each(|vote| self.input(Input::Vote(from, vote)))
    }

    /// Whether the ledger is where the others say, and where this node itself was before a repair.
    fn is_back(&self) -> bool {
        self.engine.last_final().view >= self.recovery.highest
            && self.state.tip().size >= self.recovery.cosigned
    }

    /// Votes from now on where enough have answered and the ledger is where they are.
    pub(super) fn run_recovery(&mut self) -> Result<(), DriverError> {
        if self.recovery.done || self.recovery.missing() > 0 || !self.is_back() {
            return Ok(());
        }
        if self.recovery.repaired {
            // Synced with the blocks below it: from here on this is a node like any other, also after a crash.
            self.recorded.delete::<Meta>(&MetaKey::CatchUpTo);
            self.db.commit(std::mem::take(&mut self.recorded), Durability::Synced)?;
            self.recovery.repaired = false;
        }
        self.recovery.done = true;
        self.input(Input::Admitted)?;
        if self.engine.is_voting() {
            tracing::info!(answers = self.recovery.answered.len(), view = %self.engine.view(), "voting");
        }
        self.cosign_newest()
    }
}
