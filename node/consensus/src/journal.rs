//! The journal: what this node promised, and what it needs to keep the promise, as typed facts.

use markstein_proto::{
    View,
    consensus::{CheckedCertificate, CheckedProposal, CheckedVote},
};

/// One entry of the journal. Replayed in the order written, they give the engine back its memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A vote of this node's own.
    Voted(CheckedVote),
    /// A block this node voted for or proposed, with what justifies it. Its batches are synced with it.
    Block(Box<CheckedProposal>),
    /// A certificate.
    Certified(CheckedCertificate),
}

impl Fact {
    /// The view it is about; facts at or below the final view may be dropped.
    #[must_use]
    pub const fn view(&self) -> View {
        match self {
            Self::Voted(vote) => vote.subject().view,
            Self::Block(proposal) => proposal.get().header.view,
            Self::Certified(certificate) => certificate.view(),
        }
    }
}
