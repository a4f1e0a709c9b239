//! What the driver is told, and the door through which it speaks.

use std::sync::Arc;

use markstein_consensus::Body;
use markstein_proto::{
    Batch, Hash, Header, Height,
    consensus::{CheckedCertificate, CheckedProposal, CheckedVote, Subject},
};

use crate::{
    messages::{CosignatureLines, Heartbeat, Message},
    peer::{Misbehaviour, Peer},
};

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// Something came into the pool.
    Pooled,
    /// A peer can be spoken to.
    Connected(Peer),
    /// A peer cannot be spoken to any more.
    Disconnected(Peer),
    /// A peer said something; what it signed is verified.
    From(Peer, Checked),
}

/// A message whose signatures are verified, so far as they can be without the ledger's state.
#[derive(Debug)]
pub enum Checked {
    /// Nothing new, but a sign of life.
    Heard,
    /// A vote or certificate on what is certified here already: no news, but the peer knows it.
    Echo {
        /// On what.
        subject: Subject,
        /// Whether the peer sent the certificate; else its vote.
        certificate: bool,
    },
    /// A vote of the peer's own.
    Vote(CheckedVote),
    /// A certificate.
    Certificate(CheckedCertificate),
    /// A leader's block.
    Proposal(Box<CheckedProposal>),
    /// Lines on a checkpoint; verified where its root is known.
    Cosignature(CosignatureLines),
    /// How the peer is.
    Heartbeat(Heartbeat),
    /// The peer asks for its own votes.
    AskMemory,
    /// This node's own votes, as the peer remembers them.
    Memory {
        /// The newest finalization.
        finalization: Option<CheckedCertificate>,
        /// Votes of this node above it.
        votes: Vec<CheckedVote>,
    },
    /// The peer asks for an unfinalised block.
    AskBlock(Hash),
    /// An unfinalised block.
    Block(Box<Body>),
    /// A batch that may have been asked for, for a block.
    Batch(Arc<Batch>),
    /// A batch of the peer's pool: for this node's pool, not for the driver.
    PoolBatch(Arc<Batch>),
    /// A part of the chain.
    Range {
        /// Above this height.
        above: Height,
        /// Finalization of the last header's block.
        finalization: CheckedCertificate,
        /// Headers in order.
        headers: Vec<Header>,
    },
    /// The batches of a final block.
    BlockBatches {
        /// Its height.
        height: Height,
        /// Batches in order.
        batches: Vec<Arc<Batch>>,
    },
}

/// Who hears what is said to many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Authorities only.
    Authorities,
    /// Observers only.
    Observers,
    /// Both.
    All,
}

/// The way to the other nodes. Nothing here waits: what cannot be taken is dropped, and said again by whoever needs it.
pub trait Outbox: Send {
    /// To one.
    fn send(&self, to: Peer, message: Message);
    /// To many.
    fn broadcast(&self, to: Audience, message: Message);
    /// A peer did what no honest one does.
    fn misbehaved(&self, peer: Peer, what: Misbehaviour);
}
