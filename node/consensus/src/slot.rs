//! One view: the votes and certificates seen in it, and this node's own votes.

use std::collections::{BTreeMap, BTreeSet};

use markstein_proto::{
    Hash,
    consensus::{Ballot, CheckedCertificate, CheckedVote},
};

/// Two votes of one authority in one view that no honest node casts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The first seen.
    pub first: CheckedVote,
    /// The second.
    pub second: CheckedVote,
}

/// What is known of one view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot {
    notarize: BTreeMap<u32, CheckedVote>,
    nullify: BTreeMap<u32, CheckedVote>,
    finalize: BTreeMap<u32, CheckedVote>,
    pub(crate) notarization: Option<CheckedCertificate>,
    pub(crate) nullification: Option<CheckedCertificate>,
    pub(crate) finalization: Option<CheckedCertificate>,
    /// Blocks the leader proposed, first one first; two at most.
    pub(crate) proposals: Vec<Hash>,
    /// This node's own votes.
    pub(crate) own: Own,
    /// Who was caught, and with which kind of vote: told once.
    caught: BTreeSet<(u32, u8)>,
}

/// What this node voted in a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) notarize: Option<CheckedVote>,
    pub(crate) nullify: Option<CheckedVote>,
    pub(crate) finalize: Option<CheckedVote>,
}

impl Own {
    pub(crate) fn slot(&mut self, ballot: &Ballot) -> &mut Option<CheckedVote> {
        match ballot {
            Ballot::Notarize(_) => &mut self.notarize,
            Ballot::Nullify => &mut self.nullify,
            Ballot::Finalize(_) => &mut self.finalize,
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &CheckedVote> {
        self.notarize.iter().chain(&self.nullify).chain(&self.finalize)
    }
}

impl Slot {
    /// Counts a vote, the first of its kind and signer only. Tells of a pair that no honest node casts.
    pub(crate) fn count(&mut self, vote: &CheckedVote) -> Option<Evidence> {
        let kind = match vote.subject().ballot {
            Ballot::Notarize(_) => 0,
            Ballot::Nullify => 1,
            Ballot::Finalize(_) => 2,
        };
        self.compare(vote).filter(|_| self.caught.insert((vote.get().signer, kind)))
    }

    /// Forgets the vote of this kind and signer.
    pub(crate) fn uncount(&mut self, vote: &CheckedVote) {
        let votes = match vote.subject().ballot {
            Ballot::Notarize(_) => &mut self.notarize,
            Ballot::Nullify => &mut self.nullify,
            Ballot::Finalize(_) => &mut self.finalize,
        };
        votes.remove(&vote.get().signer);
    }

    fn compare(&mut self, vote: &CheckedVote) -> Option<Evidence> {
        let signer = vote.get().signer;
        let evidence = |first: &CheckedVote| Some(Evidence { first: first.clone(), second: vote.clone() });
        let votes = match vote.subject().ballot {
            Ballot::Notarize(_) => &mut self.notarize,
            Ballot::Nullify => &mut self.nullify,
            Ballot::Finalize(_) => &mut self.finalize,
        };
        if let Some(first) = votes.get(&signer) {
            return if first.subject() == vote.subject() { None } else { evidence(first) };
        }
        votes.insert(signer, vote.clone());
        match vote.subject().ballot {
            Ballot::Notarize(_) => None,
            Ballot::Nullify => self.finalize.get(&signer).and_then(evidence),
            Ballot::Finalize(_) => self.nullify.get(&signer).and_then(evidence),
        }
    }

    /// The certificate that this vote's subject has the votes for, where there is none of its kind yet.
    pub(crate) fn certificate(&self, ballot: &Ballot, quorum: usize) -> Option<CheckedCertificate> {
        let (votes, have) = match ballot {
            Ballot::Notarize(_) => (&self.notarize, &self.notarization),
            Ballot::Nullify => (&self.nullify, &self.nullification),
            Ballot::Finalize(_) => (&self.finalize, &self.finalization),
        };
        if have.is_some() {
            return None;
        }
        let equal = votes.values().filter(|v| v.subject().ballot == *ballot);
        CheckedCertificate::from_votes(equal, quorum)
    }

    /// Takes a proposal of the leader's, two at most; `false` where it is here already or one too many.
    pub(crate) fn propose(&mut self, block: Hash) -> bool {
        let room = self.proposals.len() < 2 && !self.proposals.contains(&block);
        if room {
            self.proposals.push(block);
        }
        room
    }

    /// Votes of one signer, those included that are known from a certificate only.
    pub(crate) fn votes_of(&self, signer: u32) -> impl Iterator<Item = CheckedVote> {
        let pair = |votes: &BTreeMap<u32, CheckedVote>, certificate: &Option<CheckedCertificate>| {
            let counted = votes.get(&signer).cloned();
            let certified = certificate.as_ref().and_then(|c| c.vote_of(signer));
            let other = certified.filter(|vote| counted.as_ref() != Some(vote));
            counted.into_iter().chain(other)
        };
        pair(&self.notarize, &self.notarization)
            .chain(pair(&self.nullify, &self.nullification))
            .chain(pair(&self.finalize, &self.finalization))
    }

    /// Whether nobody said anything in this view.
    pub(crate) fn is_silent(&self) -> bool {
        self.notarize.is_empty() && self.nullify.is_empty() && self.finalize.is_empty()
    }

    /// Own votes that no certificate here contains or makes needless.
    pub(crate) fn uncertified_own(&self) -> impl Iterator<Item = &CheckedVote> {
        let notarize = self.own.notarize.iter().filter(|_| self.notarization.is_none());
        let nullify = self.own.nullify.iter().filter(|_| self.nullification.is_none());
        let finalize = self.own.finalize.iter().filter(|_| self.finalization.is_none());
        notarize.chain(nullify).chain(finalize)
    }

    /// Keeps a certificate; `false` where one of its kind is here already.
    pub(crate) fn keep(&mut self, certificate: &CheckedCertificate) -> bool {
        let place = match certificate.subject().ballot {
            Ballot::Notarize(_) => &mut self.notarization,
            Ballot::Nullify => &mut self.nullification,
            Ballot::Finalize(_) => &mut self.finalization,
        };
        if place.is_some() {
            return false;
        }
        *place = Some(certificate.clone());
        true
    }

    /// Whether any certificate lets a node leave this view.
    pub(crate) const fn is_decided(&self) -> bool {
        self.notarization.is_some() || self.nullification.is_some() || self.finalization.is_some()
    }

    /// The certificate that lets a block be a parent: finalization, else notarization.
    pub(crate) fn parent_certificate(&self) -> Option<&CheckedCertificate> {
        self.finalization.as_ref().or(self.notarization.as_ref())
    }
}
