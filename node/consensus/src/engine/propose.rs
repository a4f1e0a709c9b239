//! Rules 1 and 2: a leader's block, and the vote for it.

use markstein_proto::{
    Hash, View,
    consensus::{Ballot, CheckedCertificate, CheckedProposal, PROPOSAL_NULLIFICATIONS_MAX, Proposal},
};

use super::{Engine, blocks::Check};
use crate::{AuthorityNumber, Body, Effect, Fact, Message, Verdict, leader, mutant::Mutant};

/// A leader puts no batches on more unfinalised blocks with batches than this.
const UNFINALISED_BATCH_BLOCKS_MAX: usize = 8;
/// After this many views without a final block a leader proposes an empty one, so that what is kept of each view does
/// not grow without end where somebody keeps an idle network changing views.
const UNFINALISED_VIEWS_MAX: u64 = 32;

/// A block to build on, and what shows that it may be built on.
pub(super) struct Parent {
    pub(super) block: Hash,
    certificate: Option<CheckedCertificate>,
    nullifications: Vec<CheckedCertificate>,
}

impl Engine {
    /// The highest notarized block, all views between it and the current one being nullified.
    pub(super) fn parent(&self) -> Option<Parent> {
        let mut nullifications = Vec::new();
        for number in (self.last_final.view.0 + 1..self.view.0).rev() {
            let slot = self.slots.get(&View(number))?;
            if let Some(certificate) = slot.parent_certificate() {
                let block = certificate.subject().ballot.block().expect("these certificates are on blocks");
                nullifications.reverse();
                return Some(Parent { block, certificate: Some(certificate.clone()), nullifications });
            }
            nullifications.push(slot.nullification.clone()?);
        }
        if self.finalization.is_none() && self.last_final.view > View(0) {
            return None; // in the middle of a catch-up: nothing shows others that this block is final
        }
        nullifications.reverse();
        Some(Parent { block: self.last_final.id, certificate: self.finalization.clone(), nullifications })
    }

    /// Rule 1: asks for a block to propose, where this node leads and there is a reason to.
    pub(super) fn try_propose(&mut self) {
        let view = self.view;
        if !self.may_propose(view) || self.building == Some(view) {
            return;
        }
        let Some(parent) = self.parent() else { return };
        let room = self.unfinalised_batch_blocks() < UNFINALISED_BATCH_BLOCKS_MAX;
        let batches = self.pool && (room || self.breaks(Mutant::NoBlockLimit));
        let finish = self.is_to_finish() && self.now.tick >= self.finish_at();
        if !batches && !finish {
            return;
        }
        if self.is_valid(&parent.block) {
            self.building = Some(view);
            self.pool_again = false;
            self.effects.push_back(Effect::Build { view, parent: parent.block, batches });
        } else {
            self.request_check(View(view.0 - 1), parent.block);
        }
    }

    pub(super) fn may_propose(&self, view: View) -> bool {
        let free = self.slots.get(&view).is_none_or(|slot| {
            slot.own.notarize.is_none() && slot.own.nullify.is_none() && !slot.is_decided()
        });
        self.is_voting() && free && view.0 > 0 && leader(view, self.authorities) == self.me
    }

    /// The block that was asked for: proposed with the leader's own vote, once both are durable.
    pub(super) fn on_built(&mut self, view: View, body: Option<Box<Body>>) {
        if self.building != Some(view) {
            return;
        }
        self.building = None;
        let Some(body) = body else {
            self.pool = self.pool_again; // nothing admissible after all, unless something came since
            self.timers.declined = self.now.tick + self.timing.fetch_retry;
            return;
        };
        let Some(parent) = self.parent() else { return };
        let Body { header, batches } = *body;
        if view != self.view || !self.may_propose(view) || header.parent != parent.block {
            return; // too late
        }
        assert!(header.view == view && header.proposer == self.me.0, "the block is built for this turn");
        let Some(vote) = self.sign(view, Ballot::Notarize(header.block_id())) else { return };
        let skip = parent.nullifications.len().saturating_sub(PROPOSAL_NULLIFICATIONS_MAX);
        let shown = |certificate: &CheckedCertificate| {
            (!self.breaks(Mutant::NoProof)).then(|| certificate.get().clone())
        };
        let proposal = CheckedProposal::own(Proposal {
            header,
            batches,
            vote: vote.get().clone(),
            parent: parent.certificate.as_ref().and_then(shown),
            nullifications: parent.nullifications.iter().skip(skip).filter_map(shown).collect(),
        });
        let id = proposal.get().block_id();
        self.learn(&proposal, self.me);
        self.blocks.set_valid(&id); // this node's own execution made it
        self.slot(view).propose(id);
        self.commit(
            &vote,
            vec![Fact::Block(Box::new(proposal.clone()))],
            Message::Proposal(Box::new(proposal)),
        );
        self.advance();
    }

    /// Rule 2: votes for the first valid proposal of the current view.
    pub(super) fn try_notarize(&mut self) {
        let view = self.view;
        let Some(slot) = self.slots.get(&view) else { return };
        let voted = slot.own.notarize.as_ref().and_then(|vote| vote.subject().ballot.block());
        let is_done = voted.is_some() && !self.breaks(Mutant::VoteEach);
        if !self.is_voting() || is_done || slot.own.nullify.is_some() {
            return;
        }
        for id in slot.proposals.clone().into_iter().filter(|id| Some(*id) != voted) {
            if self.is_acceptable(&id) {
                let known = self.blocks.get(&id).and_then(|known| known.proposal.clone());
                let proposal = known.expect("is_acceptable() found it");
                self.cast(view, Ballot::Notarize(id), vec![Fact::Block(Box::new(proposal))]);
                return self.advance();
            }
        }
    }

    /// Whether a proposed block may be voted for now; asks for what is missing to tell.
    fn is_acceptable(&mut self, id: &Hash) -> bool {
        let Some(known) = self.blocks.get(id).filter(|known| known.proposal.is_some()) else { return false };
        let (header, check) = (known.body.header.clone(), known.check);
        if !self.may_follow(&header.parent, header.view) {
            return false;
        }
        match check {
            Check::Done(Verdict::Valid) => self.is_timely(header.time.0),
            Check::Done(Verdict::Invalid | Verdict::Missing) => false,
            Check::Open | Check::Running => {
                self.request_check(header.view, *id);
                false
            }
        }
    }

    /// The parent rule: the parent is notarized in some p < v, a checked nullification is at hand for every view
    /// between, and p is at least this node's own final view.
    fn may_follow(&self, parent: &Hash, view: View) -> bool {
        if self.breaks(Mutant::AnyParent) {
            return self.is_valid(parent);
        }
        for number in (self.last_final.view.0 + 1..view.0).rev() {
            let Some(slot) = self.slots.get(&View(number)) else { return false };
            let of = |c: &CheckedCertificate| c.subject().ballot.block() == Some(*parent);
            if slot.notarization.as_ref().is_some_and(of) || slot.finalization.as_ref().is_some_and(of) {
                return true;
            }
            if slot.nullification.is_none() {
                return false;
            }
        }
        *parent == self.last_final.id
    }

    /// The clock bounds: when voting, never in catch-up.
    fn is_timely(&self, time: u64) -> bool {
        let clock = self.now.clock.0;
        let (any, any_skew, any_age) =
            (self.breaks(Mutant::AnyTime), self.breaks(Mutant::AnySkew), self.breaks(Mutant::AnyAge));
        (any || any_skew || time <= clock.saturating_add(self.timing.clock_skew_max))
            && (any || any_age || time >= clock.saturating_sub(self.timing.proposal_age_max))
    }

    /// Notarized blocks with batches above the final one; one whose body is unknown counts.
    pub(super) fn unfinalised_batch_blocks(&self) -> usize {
        let notarized = self.slots.values().filter_map(|slot| slot.parent_certificate());
        notarized
            .filter_map(|certificate| certificate.subject().ballot.block())
            .filter(|id| self.blocks.get(id).is_none_or(|known| !known.body.batches.is_empty()))
            .count()
    }

    /// Whether there is a notarized block with batches that is not final, or one that this node voted finalize for before
    /// it was started.
    pub(super) fn has_unfinished(&self) -> bool {
        self.unfinalised_batch_blocks() > 0 || self.owed > self.last_final.view
    }

    /// Whether an empty block has a purpose.
    pub(super) fn is_to_finish(&self) -> bool {
        let unfinished = self.has_unfinished() && !self.breaks(Mutant::NoFinish);
        unfinished || self.unfinalised_views() >= UNFINALISED_VIEWS_MAX
    }

    /// Views left since the final one.
    pub(super) const fn unfinalised_views(&self) -> u64 {
        self.view.0 - 1 - self.last_final.view.0
    }

    /// Whether `who` leads a view.
    pub(super) fn leads(&self, who: AuthorityNumber, view: View) -> bool {
        leader(view, self.authorities) == who
    }
}
