//! Votes and certificates: counting them, and casting this node's own.

use markstein_proto::{
    View,
    consensus::{Ballot, CheckedCertificate, CheckedProposal, CheckedVote, Subject, Vote},
};

use super::{Engine, PROPOSALS_AHEAD};
use crate::{
    AuthorityNumber, Effect, Fact, Message, Recipient, Send, Voting, leader, mutant::Mutant, slot::Slot,
};

/// Certificates that a peer is given at once where it votes in a view that others have left.
const TOLD_MAX: usize = 64;

impl Engine {
    pub(super) fn on_vote(&mut self, from: AuthorityNumber, vote: &CheckedVote) {
        let view = vote.subject().view;
        self.hear(from);
        if vote.get().signer == self.me.0 {
            return self.check_memory(vote);
        }
        if view <= self.last_final.view {
            return if !self.is_late(from, vote) {
                self.tell_finalization(from)
            };
        }
        if view < self.view && vote.subject().ballot == Ballot::Nullify {
            self.tell_since(from, view);
        }
        self.wake_for(view);
        self.count(vote);
    }

    /// Whether this is a vote for the newest final block that was on its way when the others had a quorum: once each is no
    /// question. Who says it again lacks the finalization.
    fn is_late(&mut self, from: AuthorityNumber, vote: &CheckedVote) -> bool {
        let Subject { view, ballot, .. } = vote.subject();
        let kind = match ballot {
            Ballot::Notarize(block) if block == self.last_final.id => 0,
            Ballot::Finalize(block) if block == self.last_final.id => 1,
            Ballot::Notarize(_) | Ballot::Finalize(_) | Ballot::Nullify => return false,
        };
        view == self.last_final.view && self.late.insert((from, kind))
    }

    /// A vote with this node's own key: known from the journal, or cast by somebody who has the key.
    fn check_memory(&mut self, vote: &CheckedVote) {
        let Subject { view, ballot, .. } = vote.subject();
        if view <= self.last_final.view {
            return;
        }
        let own = self.slots.get_mut(&view).and_then(|slot| slot.own.slot(&ballot).clone());
        if own.is_some_and(|own| own.subject() == vote.subject()) || self.breaks(Mutant::IgnoreClaims) {
            return;
        }
        match self.voting {
            Voting::Now => self.end_voting(vote),
            // It may lie below what the ledger is about to be brought to, and then it binds nobody.
            Voting::Later => {
                let newest = self.claim.as_ref().map_or(View(0), |claim| claim.subject().view);
                if view > newest {
                    self.claim = Some(vote.clone());
                }
            }
            Voting::Never => {}
        }
    }

    fn end_voting(&mut self, vote: &CheckedVote) {
        self.voting = Voting::Never;
        self.effects.push_back(Effect::Amnesia(vote.clone()));
    }

    /// The peers have told what this node said before they lost sight of it, and the ledger is where they are.
    pub(super) fn on_admitted(&mut self) {
        if self.voting != Voting::Later {
            return;
        }
        let last = self.last_final.view;
        if let Some(claim) = self.claim.take_if(|claim| claim.subject().view > last) {
            return self.end_voting(&claim);
        }
        self.claim = None;
        self.voting = Voting::Now;
        self.enter(self.view); // its timeout begins anew
        self.count_own_votes_again();
    }

    /// Counts a vote; a quorum makes a certificate, which is gossiped when it is formed.
    fn count(&mut self, vote: &CheckedVote) {
        let Subject { view, ballot, .. } = vote.subject();
        if view.0 > self.view.0.saturating_add(self.views_ahead()) && vote.get().signer != self.me.0 {
            return;
        }
        let quorum = self.quorum();
        let overwrites = self.breaks(Mutant::OverwriteVotes);
        let slot = self.slot(view);
        if overwrites {
            slot.uncount(vote);
        }
        let evidence = slot.count(vote);
        let certificate = slot.certificate(&ballot, quorum);
        if let Some(evidence) = evidence {
            self.effects.push_back(Effect::Evidence(Box::new(evidence)));
        }
        if let Some(certificate) = certificate {
            self.keep_certificate(&certificate, true);
        }
    }

    /// After a restart own votes count as before; one of them may have been the last of a quorum. A notarization may
    /// have reached the disk without the finalize vote that was to follow.
    pub(super) fn count_own_votes_again(&mut self) {
        let quorum = self.quorum();
        let formed: Vec<CheckedCertificate> = self
            .slots
            .values()
            .flat_map(|slot| {
                slot.own.all().filter_map(|vote| slot.certificate(&vote.subject().ballot, quorum))
            })
            .collect();
        formed.iter().for_each(|certificate| self.keep_certificate(certificate, true));
        let notarized: Vec<CheckedCertificate> =
            self.slots.values().filter_map(|slot| slot.notarization.clone()).collect();
        notarized.iter().for_each(|certificate| self.vote_finalize(certificate.view(), certificate));
    }

    pub(super) fn on_certificate(&mut self, from: AuthorityNumber, certificate: &CheckedCertificate) {
        self.hear(from);
        if certificate.view() <= self.last_final.view {
            let news = Some(certificate.subject()) != self.finalization.as_ref().map(|c| c.subject());
            return if news {
                self.tell_finalization(from)
            };
        }
        self.keep_certificate(certificate, false);
    }

    /// Keeps a certificate and does what follows: rules 4 to 6.
    fn keep_certificate(&mut self, certificate: &CheckedCertificate, formed: bool) {
        let Subject { view, ballot, .. } = certificate.subject();
        if view <= self.last_final.view {
            return;
        }
        if let Some(own) = certificate.vote_of(self.me.0) {
            self.check_memory(&own);
        }
        let nullified = self.slot(view).own.nullify.is_some() && matches!(ballot, Ballot::Notarize(_));
        if nullified && self.breaks(Mutant::DeafAfterNullify) {
            return;
        }
        if !self.slot(view).keep(certificate) {
            return;
        }
        if !self.is_thin() {
            self.effects.push_back(Effect::Record(Fact::Certified(certificate.clone())));
        }
        if formed && !self.breaks(Mutant::NoCertificateGossip) {
            self.effects.push_back(Effect::Gossip(certificate.clone()));
        }
        match ballot {
            Ballot::Notarize(block) => {
                self.request_check(view, block);
                self.vote_finalize(view, certificate);
            }
            Ballot::Finalize(_) | Ballot::Nullify => {} // settle() goes on
        }
    }

    pub(super) fn on_proposal(&mut self, from: AuthorityNumber, proposal: &CheckedProposal) {
        self.hear(from);
        for certificate in proposal.certificates() {
            self.keep_certificate(&certificate, false);
        }
        self.advance();
        let header = &proposal.get().header;
        let view = header.view;
        if view <= self.last_final.view {
            return self.tell_finalization(from);
        }
        let by_leader = AuthorityNumber(header.proposer) == leader(view, self.authorities);
        if !by_leader || header.epoch != self.epoch || view.0 > self.view.0.saturating_add(self.views_ahead())
        {
            return;
        }
        self.wake_for(view);
        let near = view.0 <= self.view.0 + PROPOSALS_AHEAD;
        if near && from.0 == header.proposer && self.slot(view).propose(proposal.get().block_id()) {
            self.learn(proposal, from);
            self.check_certified();
        }
        let vote = proposal.vote();
        if AuthorityNumber(vote.get().signer) == self.me {
            self.check_memory(&vote)
        } else {
            self.count(&vote)
        }
    }

    /// Rule 4: a finalize vote for a notarized block, where this node did not nullify its view. It is synced with
    /// the notarization.
    fn vote_finalize(&mut self, view: View, notarization: &CheckedCertificate) {
        let own = self.slots.get(&view).map(|slot| &slot.own);
        let broken = self.breaks(Mutant::FinalizeAfterNullify);
        if own.is_some_and(|own| own.nullify.is_some() && !broken || own.finalize.is_some()) {
            return;
        }
        if let Some(block) = notarization.subject().ballot.block() {
            self.cast(view, Ballot::Finalize(block), vec![Fact::Certified(notarization.clone())]);
        }
    }

    /// Rule 3: a nullify vote, never beside a finalize vote.
    pub(super) fn vote_nullify(&mut self, view: View) {
        let broken = self.breaks(Mutant::NullifyAfterFinalize);
        let own = &self.slot(view).own;
        if own.nullify.is_none() && (own.finalize.is_none() || broken) {
            self.cast(view, Ballot::Nullify, Vec::new());
        }
    }

    /// Signs a vote of this node, has it made durable with the facts it rests on, sent then, and counted.
    pub(super) fn cast(&mut self, view: View, ballot: Ballot, facts: Vec<Fact>) {
        let Some(vote) = self.sign(view, ballot) else { return };
        self.commit(&vote, facts, Message::Vote(vote.clone()));
    }

    /// This node's vote, `None` where it does not vote.
    pub(super) fn sign(&self, view: View, ballot: Ballot) -> Option<CheckedVote> {
        if !self.is_voting() {
            return None;
        }
        let subject = Subject { epoch: self.epoch, view, ballot };
        let signature = self.signer.sign(&subject);
        Some(CheckedVote::own(Vote { subject, signer: self.me.0, signature }))
    }

    /// Durable before sent: the vote and the facts it rests on, and then `message`.
    pub(super) fn commit(&mut self, vote: &CheckedVote, mut facts: Vec<Fact>, message: Message) {
        let subject = vote.subject();
        let broken = self.breaks(Mutant::VoteEach);
        let own = self.slot(subject.view).own.slot(&subject.ballot);
        assert!(own.is_none() || broken, "one vote of a kind in a view");
        *own = Some(vote.clone());
        let own = &self.slot(subject.view).own;
        let both = own.nullify.is_some() && own.finalize.is_some();
        let broken = self.breaks(Mutant::FinalizeAfterNullify) || self.breaks(Mutant::NullifyAfterFinalize);
        assert!(!both || broken, "never nullify and finalize in one view");
        facts.push(Fact::Voted(vote.clone()));
        let lost = |fact: &Fact| match fact {
            Fact::Voted(_) => self.breaks(Mutant::ForgetVotes),
            Fact::Block(_) => self.breaks(Mutant::ThinNotarize),
            Fact::Certified(_) => self.is_thin(),
        };
        facts.retain(|fact| !lost(fact));
        self.effects.push_back(Effect::Commit { facts, then: vec![Send { to: Recipient::All, message }] });
        self.count(vote);
    }

    fn is_thin(&self) -> bool {
        self.breaks(Mutant::ThinFinalize) || self.breaks(Mutant::NullifyAfterFinalize)
    }

    /// Answers a message at or below the final view with the newest finalization, once a while for each sender.
    fn tell_finalization(&mut self, to: AuthorityNumber) {
        if let Some(finalization) = self.finalization.clone()
            && !self.breaks(Mutant::NoLateAnswer)
            && self.may_tell(to)
        {
            self.tell(to, finalization);
        }
    }

    /// Answers who wants to leave a view that this node left long ago with what lets it: this node may sleep in the view it
    /// is in, and would say nothing.
    fn tell_since(&mut self, to: AuthorityNumber, view: View) {
        if self.breaks(Mutant::NoCertificateGossip) || !self.may_tell(to) {
            return;
        }
        let certificate = |slot: &Slot| slot.parent_certificate().or(slot.nullification.as_ref()).cloned();
        let certificates: Vec<CheckedCertificate> = self
            .slots
            .range(view..self.view)
            .filter_map(|(_, slot)| certificate(slot))
            .take(TOLD_MAX)
            .collect();
        certificates.into_iter().for_each(|certificate| self.tell(to, certificate));
    }

    fn tell(&mut self, to: AuthorityNumber, certificate: CheckedCertificate) {
        let message = Message::Certificate(certificate);
        self.effects.push_back(Effect::Send(Send { to: Recipient::One(to), message }));
    }

    /// Whether an authority may be told something in answer now: once a while for each.
    fn may_tell(&mut self, to: AuthorityNumber) -> bool {
        let (pause, tick) = (self.timing.fetch_retry, self.now.tick);
        let Some(told) = self.told.get_mut(to.0 as usize) else { return false };
        if to == self.me || told.is_some_and(|at| tick < at + pause) {
            return false;
        }
        *told = Some(tick);
        true
    }
}
