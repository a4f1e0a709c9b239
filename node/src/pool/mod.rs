//! The pool: batches that wait for their decision, submitted to this node or passed on by others.
//!
//! *Accepted* means durable on this node's disk. What others pass on is written too, and durable with the next sync,
//! which a vote for a block that holds it waits for. The pool is bounded in bytes and per issuer; when it is full it says
//! so, and nothing accepted is ever dropped silently.

mod actor;
mod admission;
mod cache;
mod contents;
pub mod cost;
mod exchange;
mod handle;
mod inbox;
mod index;
mod look;
mod mutant;
mod rate;
mod schedule;

pub use actor::{Mailbox, open, start};
pub use admission::{Admission, Admitted, Announce, Answer, Origin, SubmitError, Verdict};
pub use contents::{PoolFailure, Removal};
pub use exchange::{DECLINED_MAX, WINDOW_BATCHES, WINDOW_BYTES, WINDOW_ISSUER_BYTES, WINDOWS_BYTES};
pub use handle::{Pool, Submitted};
pub use inbox::{INBOX_COST_MAX, INBOX_MAX, Inbox};
pub use index::{PendingBatch, PoolFull, PoolLimits, PoolSize, WaitingBatch};
pub(crate) use look::decided_after;
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use rate::BACKLOG_MIN;
pub use schedule::{Cause, Wait};
