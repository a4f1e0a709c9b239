//! No honest authority signs two different votes of a kind in a view, nor finalize and nullify in one, over all its
//! lives. All votes on the wire are looked at: alone, in proposals, in certificates and in memories.

use std::collections::{BTreeMap, BTreeSet};

use markstein_node::messages::Message;
use markstein_proto::consensus::{Ballot, Certificate, Subject, Vote};

#[derive(Default)]
pub struct Votes {
    cast: BTreeMap<(u32, u64, u8), Subject>,
    /// Who may do anything.
    pub traitors: BTreeSet<u32>,
    /// Whose journal was rolled back, and the newest view they voted in before.
    forgot: BTreeMap<u32, u64>,
}

const NULLIFY: u8 = 1;
const FINALIZE: u8 = 2;

impl Votes {
    pub fn said(&mut self, node: usize, message: &Message) {
        match message {
            Message::Vote(vote) => self.vote(node, vote),
            Message::Certificate(certificate) => self.certificate(certificate),
            Message::Proposal(proposal) => {
                self.vote(node, &proposal.vote);
                let certificates = proposal.parent.iter().chain(&proposal.nullifications);
                certificates.for_each(|certificate| self.certificate(certificate));
            }
            Message::Memory { finalization, votes } => {
                finalization.iter().for_each(|certificate| self.certificate(certificate));
                votes.iter().for_each(|vote| self.cast(vote.signer, vote.subject));
            }
            _ => {}
        }
    }

    /// This authority's journal is rolled back: it says nothing new where it voted before. Tells the newest view it
    /// voted in.
    pub fn forget(&mut self, authority: u32) -> u64 {
        let of = (authority, 0, 0)..=(authority, u64::MAX, u8::MAX);
        let newest = self.cast.range(of).next_back().map_or(0, |((_, view, _), _)| *view);
        self.forgot.insert(authority, newest);
        newest
    }

    /// This authority's journal is lost: it says nothing new ever again.
    pub fn silence(&mut self, authority: u32) {
        self.forgot.insert(authority, u64::MAX);
    }

    /// Whether this authority is honest and has the journal of all it said.
    pub fn remembers(&self, authority: u32) -> bool {
        !self.traitors.contains(&authority) && !self.forgot.contains_key(&authority)
    }

    fn vote(&mut self, node: usize, vote: &Vote) {
        assert_eq!(vote.signer as usize, node, "node {node} passes on a vote of another");
        self.cast(vote.signer, vote.subject);
    }

    fn certificate(&mut self, certificate: &Certificate) {
        certificate.signatures.iter().for_each(|(signer, _)| self.cast(*signer, certificate.subject));
    }

    fn cast(&mut self, signer: u32, subject: Subject) {
        if self.traitors.contains(&signer) {
            return;
        }
        let (view, kind) = (subject.view.0, kind(&subject.ballot));
        if let Some(first) = self.cast.get(&(signer, view, kind)) {
            assert_eq!(*first, subject, "authority {signer} voted twice in one view");
            return; // against its other votes it was held when it was new
        }
        let is_free = self.forgot.get(&signer).is_none_or(|newest| view > *newest);
        assert!(is_free, "authority {signer} forgot, and votes again: {subject:?}");
        self.cast.insert((signer, view, kind), subject);
        let has = |kind| self.cast.contains_key(&(signer, view, kind));
        assert!(!(has(NULLIFY) && has(FINALIZE)), "authority {signer} nullified and finalised view {view}");
    }
}

const fn kind(ballot: &Ballot) -> u8 {
    match ballot {
        Ballot::Notarize(_) => 0,
        Ballot::Nullify => NULLIFY,
        Ballot::Finalize(_) => FINALIZE,
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::{EpochId, Hash, View};

    use super::*;

    fn cast(votes: &mut Votes, ballot: Ballot) {
        votes.cast(1, Subject { epoch: EpochId(0), view: View(3), ballot });
    }

    fn cast_both(first: Ballot, second: Ballot) {
        let mut votes = Votes::default();
        cast(&mut votes, first);
        cast(&mut votes, second);
    }

    #[test]
    fn nullify_after_notarize_is_legal() {
        cast_both(Ballot::Notarize(Hash([1; 32])), Ballot::Nullify);
    }

    #[test]
    #[should_panic(expected = "voted twice in one view")]
    fn two_votes_of_a_kind_are_seen() {
        cast_both(Ballot::Notarize(Hash([1; 32])), Ballot::Notarize(Hash([2; 32])));
    }

    #[test]
    #[should_panic(expected = "nullified and finalised view 3")]
    fn finalize_after_nullify_is_seen() {
        cast_both(Ballot::Nullify, Ballot::Finalize(Hash([1; 32])));
    }

    #[test]
    #[should_panic(expected = "forgot, and votes again")]
    fn a_new_vote_with_a_lost_journal_is_seen() {
        let mut votes = Votes::default();
        cast(&mut votes, Ballot::Nullify);
        assert_eq!(votes.forget(1), 3);
        cast(&mut votes, Ballot::Notarize(Hash([1; 32])));
    }
}
