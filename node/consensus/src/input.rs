//! What the engine is told.

use markstein_proto::{
    BatchId, Hash, Header, TimeMs, View,
    consensus::{CheckedCertificate, CheckedProposal, CheckedVote},
};

use crate::{AuthorityNumber, FinalBlock};

/// The time of an input, twice: timers run on a clock that never jumps, blocks carry the other one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only runs forward.
    pub tick: u64,
    /// The computer's clock.
    pub clock: TimeMs,
}

/// Header and batches of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The header.
    pub header: Header,
    /// The batches in order, each with the leaf hash of its signed head.
    pub batches: Vec<(BatchId, Hash)>,
}

/// What execution said of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All its batches are at hand, and re-execution on its parent's state gives exactly its header.
    Valid,
    /// It does not.
    Invalid,
}

/// One input.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A leader's proposal, from whoever sent it.
    Proposal(AuthorityNumber, Box<CheckedProposal>),
    /// A vote.
    Vote(CheckedVote),
    /// A certificate, from whoever sent it.
    Certificate(AuthorityNumber, CheckedCertificate),
    /// The body of a block that was fetched. Known by its own id, whoever sent it.
    Fetched(Box<Body>),
    /// The answer to [`crate::Effect::Check`].
    Checked(Hash, Verdict),
    /// The answer to [`crate::Effect::Build`]; `None` where there is nothing admissible.
    Built(View, Option<Box<Body>>),
    /// An authenticated frame of an authority, whatever was in it.
    Heard(AuthorityNumber),
    /// Whether the pool holds anything admissible.
    Pool(bool),
    /// The ledger was brought to a later final block by a range of blocks under a verified finalization.
    Synced(FinalBlock, Box<CheckedCertificate>),
}
