//! The engine's effects, run in the order in which they come.

use markstein_consensus::{Effect, Evidence, Fact, Input, Recipient, Send};
use markstein_proto::consensus::Vote;

use super::{Audience, Driver, DriverError, mutant::Mutant};
use crate::{
    messages::Message,
    peer::{Misbehaviour, Peer},
    storage::{
        Durability,
        tables::{Evidence as EvidenceTable, Meta, MetaKey},
    },
};

/// Pairs of votes that are kept of one authority: the first ones, more prove nothing more.
const EVIDENCE_MAX: usize = 64;

impl Driver {
    /// Tells the engine something and does what it wants then. What running an effect has to say to the engine waits
    /// in `answers` until the effects before it are done.
    pub(super) fn input(&mut self, input: Input) -> Result<(), DriverError> {
        self.answers.push_back(input);
        while let Some(input) = self.answers.pop_front() {
            self.engine.handle(self.now, input);
            while let Some(effect) = self.engine.poll_effect() {
                self.run(effect)?;
            }
        }
        Ok(())
    }

    fn run(&mut self, effect: Effect) -> Result<(), DriverError> {
        match effect {
            Effect::Commit { facts, then } => {
                for fact in &facts {
                    self.keep_batches_of(fact)?;
                    self.journal.append(fact, &mut self.recorded);
                }
                let writes = std::mem::take(&mut self.recorded);
                if self.breaks(Mutant::SendFirst) {
                    then.iter().for_each(|send| self.send(send.clone()));
                }
                let durability =
                    if self.breaks(Mutant::Unsynced) { Durability::Unsynced } else { Durability::Synced };
                let result = self.db.commit(writes, durability);
                if !self.breaks(Mutant::IgnoreFailure) {
                    result?;
                }
                if !self.breaks(Mutant::SendFirst) {
                    then.into_iter().for_each(|send| self.send(send));
                }
            }
            Effect::Record(fact) => {
                if let Fact::Certified(certificate) = &fact {
                    self.inspector.know(certificate);
                }
                self.journal.append(&fact, &mut self.recorded);
            }
            Effect::Send(send) => self.send(send),
            Effect::Gossip(certificate) => self.tell_soon(certificate),
            Effect::Build { view, parent, batches } if self.has_built => {
                self.to_build = Some((view, parent, batches));
            }
            Effect::Build { view, parent, batches } => return self.build(view, parent, batches),
            Effect::Check(block) => return self.check(block),
            Effect::Fetch(block) => self.outbox.broadcast(Audience::Authorities, Message::AskBlock(block)),
            Effect::Sync(certificate) => self.start_sync(&certificate),
            Effect::Finalized { blocks, certificate } => return self.finalized(&blocks, &certificate),
            Effect::Evidence(evidence) => self.keep_evidence(&evidence)?,
            Effect::Amnesia(vote) => self.forget_voting(vote.get())?,
            Effect::Diverged(divergence) => return Err(DriverError::Diverged { block: divergence.block }),
        }
        Ok(())
    }

    fn send(&self, Send { to, message }: Send) {
        use markstein_consensus::Message as Said;
        let (message, audience) = match message {
            Said::Proposal(proposal) => {
                (Message::Proposal(Box::new(proposal.get().clone())), Audience::Authorities)
            }
            Said::Vote(vote) => (Message::Vote(vote.get().clone()), Audience::Authorities),
            Said::Certificate(certificate) => {
                (Message::Certificate(certificate.get().clone()), Audience::All)
            }
        };
        match to {
            Recipient::All => self.outbox.broadcast(audience, message),
            Recipient::One(number) => self.outbox.send(self.peer_of(number), message),
        }
    }

    /// Facts that nothing was said after still reach the disk soon.
    pub(super) fn flush(&mut self) -> Result<(), DriverError> {
        if !self.recorded.is_empty() {
            self.db.commit(std::mem::take(&mut self.recorded), Durability::Unsynced)?;
        }
        Ok(())
    }

    fn keep_evidence(&mut self, evidence: &Evidence) -> Result<(), DriverError> {
        let (first, second) = (evidence.first.get(), evidence.second.get());
        let view = first.subject.view;
        tracing::error!(
            authority = first.signer, %view, "caught: two votes in one view that no honest authority casts"
        );
        let what = Misbehaviour::new("equivocation", format!("two votes in view {view}"));
        self.outbox.misbehaved(Peer::Authority(first.signer), what);
        let kept = self.evidence.entry(first.signer).or_default();
        if *kept >= EVIDENCE_MAX {
            return Ok(());
        }
        *kept += 1;
        let bytes = Message::Memory { finalization: None, votes: vec![first.clone(), second.clone()] };
        self.recorded.put::<EvidenceTable>(&(view, first.signer), &bytes.encode());
        Ok(())
    }

    /// A vote of this node's own that its journal does not know: it must never vote again with these keys.
    fn forget_voting(&mut self, vote: &Vote) -> Result<(), DriverError> {
        tracing::error!(
            view = %vote.subject.view,
            "this node's key signed a vote that its journal does not know: the journal was lost or rolled back, or \
             another node runs with the same keys. This node neither votes nor cosigns any more; it follows as an \
             observer. The way back: make new keys, and have the other authorities put them in place of these"
        );
        self.recorded.put::<Meta>(&MetaKey::Amnesia, &vote.encode());
        self.db.commit(std::mem::take(&mut self.recorded), Durability::Synced)?;
        self.checkpoints.stop();
        self.peers.forgot(false);
        Ok(())
    }
}
