//! What a reader of a peer's stream does with a message, in this order. It takes the next one when all of it is done.
//!
//! This is the order of `Ingress::take` in `node/src/ingress.rs`, written down a second time because that one runs on tasks
//! that no simulation steers. Whoever changes one of the two changes the other.

use markstein_node::messages::Message;

/// One thing that a reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Do {
    /// Takes one of the peer's places, or waits for one.
    Place,
    /// Verifies the message.
    Inspect,
    /// Answers it from the store.
    Answer,
    /// Puts it into the mailbox of consensus, or waits for room there; its place goes with it.
    Put,
    /// Offers the batch to the pool, and waits for what becomes of it.
    Await,
}

/// Batches up to this length are decoded where they come in, in bytes.
const DECODED_AT_ONCE: u64 = 4096;

/// The order, for a message that has so many bytes.
pub fn order(message: &Message, bytes: u64) -> &'static [Do] {
    use Do::{Answer, Await, Inspect, Place, Put};
    match message {
        Message::AskRange(_)
        | Message::AskBodies { .. }
        | Message::AskBatches(_)
        | Message::AskPooled(_)
        | Message::Pooled(_) => &[Place, Answer, Put],
        Message::PoolBatch(_) if bytes > DECODED_AT_ONCE => &[Place, Inspect, Await, Put],
        Message::PoolBatch(_) => &[Inspect, Await, Put],
        Message::Batch(_) if bytes > DECODED_AT_ONCE => &[Place, Inspect, Put],
        Message::BlockBatches { .. } | Message::Range(_) => &[Place, Inspect, Put],
        Message::Proposal(proposal) if proposal.batches.len() + proposal.nullifications.len() > 32 => {
            &[Place, Inspect, Put]
        }
        Message::Block(body) if body.batches.len() > 32 => &[Place, Inspect, Put],
        Message::Memory { votes, .. } if votes.len() > 32 => &[Place, Inspect, Put],
        _ => &[Inspect, Put],
    }
}
