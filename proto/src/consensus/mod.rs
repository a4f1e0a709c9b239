//! Votes, certificates and proposals of the consensus engine, and their one verifier.
//!
//! A vote covers ledger, epoch, view, kind and block, so it is good for nothing else. What was verified is a type of
//! its own ([`CheckedVote`], [`CheckedCertificate`]): the engine takes no other.

mod verify;

pub use verify::{Ed25519, Scheme, Verifier, VoteError};

use alloc::vec::Vec;

use prost::Message;

use crate::{
    AUTHORITIES_MAX, BatchId, EpochId, Hash, Header, LedgerId, Sign, Signature, View,
    codec::{self, CountBound, DecodeError},
    domain,
    leaf::Leaf,
    wire,
};

/// Longest certificate, in bytes.
pub const CERTIFICATE_MAX: usize = 8 * 1024;
/// Longest proposal, in bytes: the names of its batches, and the certificates that justify it.
pub const PROPOSAL_MAX: usize = 1024 * 1024;
/// Most batches of a block. A voter gathers those it lacks before its turn's time is over, so what a leader may name is
/// bounded in number and not only in bytes.
pub const PROPOSAL_BATCHES_MAX: usize = 4096;
/// Most nullifications a proposal carries; more are pulled by range.
pub const PROPOSAL_NULLIFICATIONS_MAX: usize = 64;

/// For errors.
const SIGNATURES: &str = "signatures of a certificate";

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ballot {
    /// This block is valid and the first I saw in its view.
    Notarize(Hash),
    /// This view took too long.
    Nullify,
    /// I saw this block notarized, and did not nullify its view before.
    Finalize(Hash),
}

impl Ballot {
    /// The block it is for.
    #[must_use]
    pub const fn block(&self) -> Option<Hash> {
        match self {
            Self::Notarize(block) | Self::Finalize(block) => Some(*block),
            Self::Nullify => None,
        }
    }

    const fn tag(&self) -> &'static [u8] {
        match self {
            Self::Notarize(_) => domain::VOTE_NOTARIZE,
            Self::Nullify => domain::VOTE_NULLIFY,
            Self::Finalize(_) => domain::VOTE_FINALIZE,
        }
    }

    const fn kind(&self) -> wire::VoteKind {
        match self {
            Self::Notarize(_) => wire::VoteKind::Notarize,
            Self::Nullify => wire::VoteKind::Nullify,
            Self::Finalize(_) => wire::VoteKind::Finalize,
        }
    }

    fn from_wire(kind: i32, block: &[u8]) -> Result<Self, DecodeError> {
        let block = |make: fn(Hash) -> Self| codec::hash("block of a vote", block).map(make);
        match wire::VoteKind::try_from(kind) {
            Ok(wire::VoteKind::Notarize) => block(Self::Notarize),
            Ok(wire::VoteKind::Finalize) => block(Self::Finalize),
            Ok(wire::VoteKind::Nullify) => Ok(Self::Nullify),
            _ => Err(DecodeError::Value { what: "kind of a vote", rule: "must be one of the three" }),
        }
    }

    fn block_bytes(&self) -> Vec<u8> {
        self.block().map_or_else(Vec::new, |hash| hash.0.to_vec())
    }
}

/// What is voted on: a ballot in a view of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// The epoch.
    pub epoch: EpochId,
    /// The view, from 1.
    pub view: View,
    /// What is said.
    pub ballot: Ballot,
}

impl Subject {
    /// The bytes a vote signs: tag of its kind ‖ ledger id ‖ epoch ‖ view ‖ block id, 32 zero bytes where there is
    /// none.
    #[must_use]
    pub fn signing_bytes(&self, ledger: &LedgerId) -> Vec<u8> {
        let block = self.ballot.block().unwrap_or(Hash::ZERO);
        let (epoch, view) = (self.epoch.0.to_be_bytes(), self.view.0.to_be_bytes());
        [self.ballot.tag(), &ledger.0.0, &epoch, &view, &block.0].concat()
    }
}

/// A vote as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What is voted.
    pub subject: Subject,
    /// Number of the authority in the epoch's set.
    pub signer: u32,
    /// Its signature.
    pub signature: Signature,
}

/// A certificate as received: votes of a quorum on one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What was voted.
    pub subject: Subject,
    /// Signers ascending, each with its signature.
    pub signatures: Vec<(u32, Signature)>,
}

/// A leader's block as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The header, with its canonical leaf's hash as block id.
    pub header: Header,
    /// The batches in order, each with the leaf hash of its signed head.
    pub batches: Vec<(BatchId, Hash)>,
    /// The leader's own notarize vote on it.
    pub vote: Vote,
    /// Notarization or finalization of the parent; `None` where the parent is the epoch's first.
    pub parent: Option<Certificate>,
    /// Nullifications of the views between parent and block.
    pub nullifications: Vec<Certificate>,
}

/// A vote whose signature was verified. Only a [`Verifier`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedVote(Vote);

/// A certificate whose signatures were verified. Only a [`Verifier`], or a quorum of checked votes, makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCertificate(Certificate);

/// A proposal whose vote and certificates were verified. Only a [`Verifier`] makes one. Whether its block is valid is
/// a question to a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedProposal(Proposal);

impl Vote {
    /// Signs a vote with a consensus key.
    #[must_use]
    pub fn sign(ledger: &LedgerId, subject: Subject, signer: u32, key: &(impl Sign + ?Sized)) -> Self {
        Self { subject, signer, signature: key.sign(&subject.signing_bytes(ledger)) }
    }

    /// Decodes a canonical vote.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: wire::Vote = codec::decode_bounded("vote", bytes, 256, &[])?;
        let vote = Self::from_wire(&message)?;
        canonical("vote", bytes, &vote.to_wire())?;
        Ok(vote)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    fn from_wire(vote: &wire::Vote) -> Result<Self, DecodeError> {
        let ballot = Ballot::from_wire(vote.kind, &vote.block)?;
        Ok(Self {
            subject: Subject { epoch: EpochId(vote.epoch), view: View(vote.view), ballot },
            signer: vote.signer,
            signature: codec::signature("signature of a vote", &vote.signature)?,
        })
    }

    fn to_wire(&self) -> wire::Vote {
        let Subject { epoch, view, ballot } = self.subject;
        wire::Vote {
            kind: ballot.kind().into(),
            epoch: epoch.0,
            view: view.0,
            block: ballot.block_bytes(),
            signer: self.signer,
            signature: self.signature.0.to_vec(),
        }
    }
}

impl CheckedVote {
    /// A vote that this node made itself.
    #[must_use]
    pub const fn own(vote: Vote) -> Self {
        Self(vote)
    }

    /// The vote.
    #[must_use]
    pub const fn get(&self) -> &Vote {
        &self.0
    }

    /// What is voted.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        self.0.subject
    }
}

impl Certificate {
    /// Decodes a canonical certificate.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let counts = [CountBound { what: SIGNATURES, path: &[5], max: AUTHORITIES_MAX }];
        let message: wire::Certificate =
            codec::decode_bounded("certificate", bytes, CERTIFICATE_MAX, &counts)?;
        let certificate = Self::from_wire(&message)?;
        canonical("certificate", bytes, &certificate.to_wire())?;
        Ok(certificate)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    fn from_wire(certificate: &wire::Certificate) -> Result<Self, DecodeError> {
        let ballot = Ballot::from_wire(certificate.kind, &certificate.block)?;
        // In a proposal the signatures of all nullifications were counted together.
        codec::require_count(SIGNATURES, certificate.signatures.len(), 0, AUTHORITIES_MAX)?;
        codec::require_ascending(
            "signers of a certificate",
            certificate.signatures.iter().map(|s| s.signer),
        )?;
        let signature =
            |s: &wire::VoteSignature| Ok((s.signer, codec::signature("signature of a vote", &s.signature)?));
        Ok(Self {
            subject: Subject { epoch: EpochId(certificate.epoch), view: View(certificate.view), ballot },
            signatures: certificate.signatures.iter().map(signature).collect::<Result<_, DecodeError>>()?,
        })
    }

    fn to_wire(&self) -> wire::Certificate {
        let Subject { epoch, view, ballot } = self.subject;
        let signature = |(signer, signature): &(u32, Signature)| wire::VoteSignature {
            signer: *signer,
            signature: signature.0.to_vec(),
        };
        wire::Certificate {
            kind: ballot.kind().into(),
            epoch: epoch.0,
            view: view.0,
            block: ballot.block_bytes(),
            signatures: self.signatures.iter().map(signature).collect(),
        }
    }
}

impl CheckedCertificate {
    /// The certificate that `votes` make: all on one subject, of at least `quorum` distinct signers.
    #[must_use]
    pub fn from_votes<'a>(votes: impl IntoIterator<Item = &'a CheckedVote>, quorum: usize) -> Option<Self> {
        let mut votes: Vec<&Vote> = votes.into_iter().map(|v| &v.0).collect();
        votes.sort_by_key(|v| v.signer);
        votes.dedup_by_key(|v| v.signer);
        let subject = votes.first()?.subject;
        let equal = votes.iter().all(|v| v.subject == subject);
        let signatures = votes.iter().map(|v| (v.signer, v.signature)).collect();
        (equal && votes.len() >= quorum).then_some(Self(Certificate { subject, signatures }))
    }

    /// A certificate that was checked before it was written to this node's own journal.
    #[must_use]
    pub const fn from_journal(certificate: Certificate) -> Self {
        Self(certificate)
    }

    /// The certificate.
    #[must_use]
    pub const fn get(&self) -> &Certificate {
        &self.0
    }

    /// The vote of `signer` that stands in it.
    #[must_use]
    pub fn vote_of(&self, signer: u32) -> Option<CheckedVote> {
        let (_, signature) = self.0.signatures.iter().find(|(number, _)| *number == signer)?;
        Some(CheckedVote(Vote { subject: self.0.subject, signer, signature: *signature }))
    }

    /// What was voted.
    #[must_use]
    pub const fn subject(&self) -> Subject {
        self.0.subject
    }

    /// The view.
    #[must_use]
    pub const fn view(&self) -> View {
        self.0.subject.view
    }
}

impl CheckedProposal {
    /// A proposal that this node made itself, or read from its own journal.
    #[must_use]
    pub const fn own(proposal: Proposal) -> Self {
        Self(proposal)
    }

    /// The proposal.
    #[must_use]
    pub const fn get(&self) -> &Proposal {
        &self.0
    }

    /// The leader's vote on it.
    #[must_use]
    pub fn vote(&self) -> CheckedVote {
        CheckedVote(self.0.vote.clone())
    }

    /// The certificates that justify it: of the parent, and of the views between.
    pub fn certificates(&self) -> impl Iterator<Item = CheckedCertificate> + '_ {
        self.0.parent.iter().chain(&self.0.nullifications).cloned().map(CheckedCertificate)
    }
}

impl Proposal {
    /// The block's id.
    #[must_use]
    pub fn block_id(&self) -> Hash {
        self.header.block_id()
    }

    /// Decodes a canonical proposal.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let counts = [
            CountBound { what: "batches of a proposal", path: &[2], max: PROPOSAL_BATCHES_MAX },
            CountBound { what: "nullifications", path: &[5], max: PROPOSAL_NULLIFICATIONS_MAX },
            CountBound {
                what: "signatures of nullifications",
                path: &[5, 5],
                max: PROPOSAL_NULLIFICATIONS_MAX * AUTHORITIES_MAX,
            },
            CountBound { what: SIGNATURES, path: &[4, 5], max: AUTHORITIES_MAX },
        ];
        let message: wire::Proposal = codec::decode_bounded("proposal", bytes, PROPOSAL_MAX, &counts)?;
        let batch = |b: &wire::BatchRef| {
            let id = BatchId(codec::hash("batch id", &b.batch_id)?);
            Ok((id, codec::hash("leaf hash of a batch head", &b.head_hash)?))
        };
        let proposal = Self {
            header: Leaf::decode(&message.header)?.into_header()?,
            batches: message.batches.iter().map(batch).collect::<Result<_, DecodeError>>()?,
            vote: Vote::from_wire(message.vote.as_ref().ok_or(DecodeError::Missing("vote of a proposal"))?)?,
            parent: message.parent.as_ref().map(Certificate::from_wire).transpose()?,
            nullifications: message
                .nullifications
                .iter()
                .map(Certificate::from_wire)
                .collect::<Result<_, _>>()?,
        };
        codec::require_different("batches of a proposal", proposal.batches.iter().map(|(id, _)| *id))?;
        codec::require_ascending("nullifications", proposal.nullifications.iter().map(|c| c.subject.view))?;
        canonical("proposal", bytes, &proposal.to_wire())?;
        Ok(proposal)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    fn to_wire(&self) -> wire::Proposal {
        let batch = |(id, head): &(BatchId, Hash)| wire::BatchRef {
            batch_id: id.0.0.to_vec(),
            head_hash: head.0.to_vec(),
        };
        wire::Proposal {
            header: Leaf::Header(self.header.clone()).encode(),
            batches: self.batches.iter().map(batch).collect(),
            vote: Some(self.vote.to_wire()),
            parent: self.parent.as_ref().map(Certificate::to_wire),
            nullifications: self.nullifications.iter().map(Certificate::to_wire).collect(),
        }
    }
}

/// Refuses bytes that are not what the checked value encodes to: also a block id in a nullify vote, say.
fn canonical<M: Message>(what: &'static str, bytes: &[u8], message: &M) -> Result<(), DecodeError> {
    codec::require_canonical(what, bytes, message)
}
