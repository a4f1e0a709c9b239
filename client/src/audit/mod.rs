//! Audits a whole ledger from what its nodes serve as C2SP tlog-tiles, trusting the genesis alone.
//!
//! [`replay`] reads the log leaf by leaf and finds for itself what every header says; it shares the formats and the maths
//! of trees with the nodes, and nothing else, so a mistake in how nodes execute blocks is found here. [`tree`] makes sure
//! that what is read is what the authorities signed, piece by piece, so that it is known which node sent something else.
//! [`checkpoint`] says which checkpoints count, [`auditor`] leads through all of it and compares the nodes, [`state`] keeps
//! what was audited. [`webhook`] tells others.

pub mod auditor;
pub mod checkpoint;
pub mod nodes;
pub mod places;
pub mod replay;
pub mod report;
mod rules;
mod seen;
pub mod state;
mod statuses;
pub mod tile;
pub mod tree;
pub mod webhook;
pub mod wrong;
