//! What nodes say to each other, as typed values; `proto/schema/markstein/network/v1/network.proto` has the bytes.
//!
//! Decoding checks form and bounds, not signatures: whoever takes a message in verifies it.

mod convert;
#[cfg(test)]
mod tests;
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications)]
mod wire {
    include!(concat!(env!("OUT_DIR"), "/markstein.network.v1.rs"));
}

use markstein_consensus::Body;
use markstein_proto::{
    BatchId, DecodeError, Hash, Header, Height, IssuerId, LogSize, TimeMs, View,
    consensus::{Certificate, Proposal, Vote},
};

use crate::release::Release;

/// Longest message: a block's batches and what is around them.
pub const MESSAGE_MAX: usize = 6 * 1024 * 1024;
/// Batches asked for at once.
pub const ASKED_BATCHES_MAX: usize = 256;
/// Headers of a range.
pub const RANGE_HEADERS_MAX: usize = 1024;
/// Blocks whose batches are asked for at once.
pub const ASKED_BODIES_MAX: u32 = 64;
/// Offers of a [`Message::Pooled`].
pub const POOLED_MAX: usize = 1024;
/// Votes of a [`Message::Memory`].
pub const MEMORY_VOTES_MAX: usize = 512;
/// Longest lines of a cosignature, in bytes.
pub const LINES_MAX: usize = 2048;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A vote.
    Vote(Vote),
    /// A certificate.
    Certificate(Certificate),
    /// A leader's block.
    Proposal(Box<Proposal>),
    /// An authority's lines on a checkpoint.
    Cosignature(CosignatureLines),
    /// Said every second.
    Heartbeat(Heartbeat),
    /// What did I say before I was started?
    AskMemory,
    /// The answer.
    Memory {
        /// The newest finalization, none before the epoch's first block.
        finalization: Option<Certificate>,
        /// The asker's votes above it.
        votes: Vec<Vote>,
    },
    /// An unfinalised block is asked for.
    AskBlock(Hash),
    /// One that the sender vouches for.
    Block(Box<Body>),
    /// The batches of a block are asked for, each in the version with this leaf hash of its signed head.
    AskBatches(Vec<(BatchId, Hash)>),
    /// One batch of a block, canonical bytes.
    Batch(Vec<u8>),
    /// The chain above a height is asked for.
    AskRange(Height),
    /// Headers above a height, up to one with its finalization.
    Range(Box<Range>),
    /// Batches of final blocks are asked for: of `count` blocks from height `first` on.
    AskBodies {
        /// Height of the first.
        first: Height,
        /// How many blocks.
        count: u32,
    },
    /// The batches of one final block, canonical bytes each.
    BlockBatches {
        /// Its height.
        height: Height,
        /// Its batches in order.
        batches: Vec<Vec<u8>>,
    },
    /// Batches of the sender's pool that may go into a block.
    Pooled(Vec<Offer>),
    /// Batches of the other's pool are asked for.
    AskPooled(Vec<BatchId>),
    /// One batch of the sender's pool, canonical bytes.
    PoolBatch(Vec<u8>),
}

/// A batch that another node may ask for, as it is told of: its issuer and length, so that nobody asks for what
/// there is no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub id: BatchId,
    /// Whose.
    pub issuer: IssuerId,
    /// Its bytes.
    pub bytes: usize,
}

/// The lines of one authority on one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CosignatureLines {
    /// Size of the log.
    pub size: LogSize,
    /// The authority's number in its set.
    pub authority: u32,
    /// Cosignature line and log line.
    pub lines: String,
}

/// How a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Newest final block.
    pub height: Height,
    /// The view it is in.
    pub view: View,
    /// Its clock.
    pub clock: TimeMs,
    /// Newest checkpoint it cosigned.
    pub cosigned: LogSize,
    /// Whether it votes now.
    pub voting: bool,
    /// Drawn at its start.
    pub run: u64,
    /// The release it runs, where it says so.
    pub release: Option<Release>,
}

/// A part of the chain, verified backwards from its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// The height asked for.
    pub above: Height,
    /// Finalization of the last header's block.
    pub finalization: Certificate,
    /// Headers, each the parent of the next; at least one.
    pub headers: Vec<Header>,
}

/// Which stream of a peer a message takes, with a queue and a reader of its own: a vote never waits behind a batch, and a
/// batch of a block never behind one of the pool or a range of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Votes, proposals and whatever else is small and everybody waits for. Nothing on it is answered from the disk.
    Urgent,
    /// Batches of blocks that are not final yet.
    Blocks,
    /// Batches of the pool, and ranges of blocks.
    Bulk,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Blocks, Self::Bulk];
}

impl Message {
    /// Its queue.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::AskBatches(_) | Self::Batch(_) => Class::Blocks,
            Self::AskRange(_)
            | Self::Range(_)
            | Self::AskBodies { .. }
            | Self::BlockBatches { .. }
            | Self::Pooled(_)
            | Self::AskPooled(_)
            | Self::PoolBatch(_) => Class::Bulk,
            Self::Vote(_)
            | Self::Certificate(_)
            | Self::Proposal(_)
            | Self::Cosignature(_)
            | Self::Heartbeat(_)
            | Self::AskMemory
            | Self::Memory { .. }
            | Self::AskBlock(_)
            | Self::Block(_) => Class::Urgent,
        }
    }

    /// How much work it makes for whoever takes it in, in signatures to verify and look-ups in the store.
    #[must_use]
    pub fn work(&self) -> usize {
        match self {
            Self::Proposal(proposal) => 2 + proposal.nullifications.len(),
            Self::Memory { votes, .. } => 1 + votes.len(),
            Self::AskBatches(asked) => asked.len().max(1),
            Self::AskPooled(ids) => ids.len().max(1),
            Self::Pooled(offers) => offers.len().div_ceil(8).max(1),
            Self::AskBodies { count, .. } => (*count as usize).max(1),
            Self::Range(_) | Self::BlockBatches { .. } => 0, // asked for, and held up by their bytes
            _ => 1,
        }
    }

    /// A word for logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Vote(_) => "vote",
            Self::Certificate(_) => "certificate",
            Self::Proposal(_) => "proposal",
            Self::Cosignature(_) => "cosignature",
            Self::Heartbeat(_) => "heartbeat",
            Self::AskMemory => "ask_memory",
            Self::Memory { .. } => "memory",
            Self::AskBlock(_) => "ask_block",
            Self::Block(_) => "block",
            Self::AskBatches(_) => "ask_batches",
            Self::Batch(_) => "batch",
            Self::AskRange(_) => "ask_range",
            Self::Range(_) => "range",
            Self::AskBodies { .. } => "ask_bodies",
            Self::BlockBatches { .. } => "block_batches",
            Self::Pooled(_) => "pooled",
            Self::AskPooled(_) => "ask_pooled",
            Self::PoolBatch(_) => "pool_batch",
        }
    }

    /// The bytes, without the length before them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        convert::encode(self)
    }

    /// The message these bytes are.
    ///
    /// # Errors
    /// [`DecodeError`] where they are none, or something in it is out of its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        convert::decode(bytes)
    }
}
