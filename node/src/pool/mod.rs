//! The pool: batches that wait for their decision, submitted to this node or passed on by others.
//!
//! *Accepted* means durable on this node's disk. What others pass on is written too, and durable with the next sync,
//! which a vote for a block that holds it waits for. The pool is bounded in bytes and per issuer; when it is full it says
//! so, and nothing accepted is ever dropped silently.

mod actor;
mod admission;
mod cache;
mod contents;
mod handle;
mod index;

pub use actor::{Mailbox, open, start};
pub use admission::{Admission, Admitted, Announce, Answer, Origin, SubmitError, Verdict};
pub use contents::{PoolFailure, Removal};
pub use handle::{Pool, Submitted};
pub use index::{PendingBatch, PoolFull, PoolLimits, PoolSize};
