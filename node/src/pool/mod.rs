//! The pool: batches that this node has accepted and that are not decided yet.
//!
//! Accepted means durable on this node's disk. The pool is bounded in bytes and per issuer; when it is full it says
//! so, and nothing accepted is ever dropped silently.

mod actor;
mod index;

pub use actor::{Pool, PoolFailure, SubmitError, Submitted, Wake, WakeSender, start};
pub use index::{PendingBatch, PoolFull, PoolLimits, PoolSize};
