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
    /// It does not. A body's list of batches is covered by its header only through re-execution, so this may also
    /// mean that whoever gave the body gave a wrong list.
    Invalid,
    /// A batch that it names could not be had from anyone for some seconds: the list may be made up.
    Missing,
}

/// One input.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A proposal, from whoever sent it. Its block is taken from its leader only: nobody signs the list of batches, so
    /// whoever passes a proposal on could change it.
    Proposal(AuthorityNumber, Box<CheckedProposal>),
    /// A vote, from whoever sent it.
    Vote(AuthorityNumber, CheckedVote),
    /// A certificate, from whoever sent it.
    Certificate(AuthorityNumber, CheckedCertificate),
    /// The body of a block that was fetched, from whoever sent it. Known by its own id, never by a claim.
    Fetched(AuthorityNumber, Box<Body>),
    /// The answer to [`crate::Effect::Check`].
    Checked(Hash, Verdict),
    /// The answer to [`crate::Effect::Build`]; `None` where there is nothing admissible.
    Built(View, Option<Box<Body>>),
    /// An authenticated frame of an authority, whatever was in it.
    Heard(AuthorityNumber),
    /// Whether the pool holds anything admissible. Said when it changes, and after every final block.
    Pool(bool),
    /// The ledger was brought to a later final block by a range of blocks under a verified finalization.
    Synced(FinalBlock, Box<CheckedCertificate>),
    /// A node that waited ([`crate::Voting::Later`]) has heard from enough peers what it said before, and its ledger is at
    /// the newest finalization they know.
    Admitted,
}
