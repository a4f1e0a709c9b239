//! The one verifier of votes, certificates and proposals.

use super::{Ballot, Certificate, CheckedCertificate, CheckedProposal, CheckedVote, Proposal, Subject, Vote};
use crate::{AuthoritySet, EpochId, LedgerId, Signature};

/// Why a vote or certificate does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// Of another epoch than the verifier's.
    #[error("the vote is of another epoch")]
    Epoch,
    /// View 0 is never voted on.
    #[error("the vote is on view 0")]
    View,
    /// No such authority.
    #[error("the vote is of authority {0}, which the epoch does not have")]
    Signer(u32),
    /// Not its signature.
    #[error("the signature of authority {0} is not valid")]
    Signature(u32),
    /// Fewer signers than a quorum.
    #[error("the certificate has {have} signers, a quorum is {need}")]
    Quorum {
        /// Distinct signers.
        have: usize,
        /// Needed.
        need: usize,
    },
    /// A proposal whose vote is not its leader's on this block.
    #[error("the proposal does not carry its leader's vote on it")]
    Leader,
}

/// Signs and verifies votes. Simulations use stand-ins; what is real is [`Ed25519`].
pub trait Scheme {
    /// Whether `signature` is `signer`'s over `message`.
    fn verify(&self, signer: u32, message: &[u8], signature: &Signature) -> bool;
}

/// Strict Ed25519 with the consensus keys of an authority set.
#[derive(Clone, Debug)]
pub struct Ed25519(pub AuthoritySet);

impl Scheme for Ed25519 {
    fn verify(&self, signer: u32, message: &[u8], signature: &Signature) -> bool {
        let authority = self.0.authorities().get(signer as usize);
        authority.is_some_and(|a| a.consensus_key.verify(message, signature).is_ok())
    }
}

/// Verifies the votes of one epoch.
#[derive(Clone, Debug)]
pub struct Verifier<S> {
    ledger: LedgerId,
    epoch: EpochId,
    authorities: u32,
    scheme: S,
}

impl Verifier<Ed25519> {
    /// The verifier of an authority set's epoch.
    #[must_use]
    pub fn of(ledger: LedgerId, set: &AuthoritySet) -> Self {
        let authorities = u32::try_from(set.authorities().len()).expect("a set has 64 authorities at most");
        Self { ledger, epoch: set.epoch(), authorities, scheme: Ed25519(set.clone()) }
    }
}

impl<S: Scheme> Verifier<S> {
    /// A verifier with another scheme: one that remembers, or a stand-in for simulations.
    #[must_use]
    pub const fn with_scheme(ledger: LedgerId, epoch: EpochId, authorities: u32, scheme: S) -> Self {
        Self { ledger, epoch, authorities, scheme }
    }

    /// q = n - f.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        (self.authorities - (self.authorities - 1) / 3) as usize
    }

    /// Checks a vote.
    ///
    /// # Errors
    /// See [`VoteError`].
    pub fn vote(&self, vote: Vote) -> Result<CheckedVote, VoteError> {
        self.subject(&vote.subject)?;
        self.signature(vote.signer, &vote.subject.signing_bytes(&self.ledger), &vote.signature)?;
        Ok(CheckedVote(vote))
    }

    /// Checks a certificate: every signature in it, and that there is a quorum of distinct signers.
    ///
    /// # Errors
    /// See [`VoteError`].
    pub fn certificate(&self, certificate: Certificate) -> Result<CheckedCertificate, VoteError> {
        self.subject(&certificate.subject)?;
        let distinct = certificate.signatures.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let have = if distinct { certificate.signatures.len() } else { 0 };
        if have < self.quorum() {
            return Err(VoteError::Quorum { have, need: self.quorum() });
        }
        let message = certificate.subject.signing_bytes(&self.ledger);
        for (signer, signature) in &certificate.signatures {
            self.signature(*signer, &message, signature)?;
        }
        Ok(CheckedCertificate(certificate))
    }

    /// Checks a proposal: that it carries its proposer's notarize vote on its own block, and its certificates.
    ///
    /// # Errors
    /// See [`VoteError`].
    pub fn proposal(&self, proposal: Proposal) -> Result<CheckedProposal, VoteError> {
        let Proposal { header, vote, parent, nullifications, .. } = &proposal;
        let ballot = Ballot::Notarize(header.block_id());
        let own = Subject { epoch: header.epoch, view: header.view, ballot };
        if vote.subject != own || vote.signer != header.proposer {
            return Err(VoteError::Leader);
        }
        self.vote(vote.clone())?;
        for certificate in parent.iter().chain(nullifications) {
            self.certificate(certificate.clone())?;
        }
        Ok(CheckedProposal(proposal))
    }

    fn subject(&self, subject: &Subject) -> Result<(), VoteError> {
        if subject.epoch != self.epoch {
            Err(VoteError::Epoch)
        } else if subject.view.0 == 0 {
            Err(VoteError::View)
        } else {
            Ok(())
        }
    }

    fn signature(&self, signer: u32, message: &[u8], signature: &Signature) -> Result<(), VoteError> {
        if signer >= self.authorities {
            Err(VoteError::Signer(signer))
        } else if self.scheme.verify(signer, message, signature) {
            Ok(())
        } else {
            Err(VoteError::Signature(signer))
        }
    }
}
