//! A load generator: submissions on a fixed schedule or as many as the nodes take, every receipt verified.
//!
//! *Open loop* (a rate): submission i is due at a time that no answer moves, and latencies count from that time. A
//! node that stalls for a second therefore shows in every submission that was due in that second, as it would have
//! for the people behind them. *Closed loop* (peak): a fixed number of submissions is under way, the next one begins
//! where one ends; that finds the rate which nodes sustain, and its latencies count from the sending.
//!
//! Records are random commitments, made and signed ahead of their time. They are real records: what this writes into
//! a ledger stays there.

mod record;
mod report;
mod run;
mod schedule;
mod submissions;
mod targets;
#[cfg(test)]
mod tests;
mod way;
mod world;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use markstein_proto::{DecodeError, receipt::TrustRoot};

pub use report::{Latency, NodeReport, Report};
pub use run::run;
pub use schedule::{Rate, Schedule};
pub use submissions::Issuer;
pub use targets::connections;
pub use world::{ThisMachine, World};

use crate::node::NodeError;

/// Submissions under way in a closed loop, unless somebody says otherwise.
const PEAK_IN_FLIGHT: usize = 64;
/// And at most in an open loop, as far as their documents are few enough for the memory.
const RATE_IN_FLIGHT: usize = 4096;
const DOCUMENTS_IN_FLIGHT: usize = 500_000;
/// A last component of a word in an origin that says: made for trying things.
const TEST_WORDS: [&str; 3] = ["devnet", "test", "testnet"];

/// How nodes are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    /// Open loop, at a rate of documents.
    Rate(Rate),
    /// Closed loop, as fast as it goes.
    Peak,
}

/// A run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How nodes are loaded.
    pub load: Load,
    /// Documents of each submission, 1 to 10,000.
    pub batch: usize,
    /// Before anything is measured.
    pub warmup: Duration,
    /// How long is measured.
    pub measured: Duration,
    /// Most submissions under way at a time. In an open loop one that is due beyond them is not sent at all, and
    /// counted.
    pub in_flight: usize,
}

/// What a run needs beside its options.
pub struct Setting<N, W> {
    /// Nodes, each with its [`connections`].
    pub nodes: Vec<Vec<N>>,
    /// What receipts are verified against.
    pub trust: TrustRoot,
    /// Who writes.
    pub issuer: Issuer,
    /// Time and processors.
    pub world: W,
    /// Hears what happens, from any thread.
    pub listener: Arc<Listener>,
}

/// Hears what happens.
pub type Listener = dyn Fn(&Event<'_>) + Send + Sync;

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The first submission is due now.
    Begun,
    /// A submission is under way.
    Sent,
    /// A submission has all its receipts, and they are verified.
    Done,
    /// A submission came to nothing.
    Failed,
    /// A node does not answer; its share goes to the others.
    Away(&'a NodeError),
    /// A node answers again.
    Back(&'a str),
    /// Somebody ended the run: no more are sent, and those under way get a moment.
    Ending,
}

/// How a run is ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// It is not.
    No,
    /// Nothing more is sent, and what is under way gets a moment.
    Soon,
    /// At once.
    Now,
}

/// Why there is no run.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Nothing to measure.
    #[error(
        "at this rate no submission is due in the measured time: measure longer, raise the rate, or make batches smaller"
    )]
    NothingDue,
    /// The records make no batch.
    #[error("a batch cannot be signed: {0}")]
    Sign(#[from] DecodeError),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
}

impl Load {
    /// How many submissions may be under way where nobody says otherwise.
    #[must_use]
    pub fn in_flight(self, batch: usize) -> usize {
        match self {
            Self::Peak => PEAK_IN_FLIGHT,
            Self::Rate(_) => (DOCUMENTS_IN_FLIGHT / batch.max(1)).clamp(PEAK_IN_FLIGHT, RATE_IN_FLIGHT),
        }
    }
}

/// Whether a ledger of this origin says of itself that it is for trying things: one of the words of the origin is
/// `devnet`, `test` or `testnet`, perhaps with a number.
#[must_use]
pub fn is_for_tests(origin: &str) -> bool {
    let words = origin.split(|c: char| !c.is_ascii_alphanumeric());
    words
        .map(|word| word.trim_end_matches(|c: char| c.is_ascii_digit()))
        .any(|word| TEST_WORDS.contains(&word))
}

/// What all submissions of a run share.
struct Shared<N, W> {
    targets: targets::Targets<N>,
    trust: Arc<TrustRoot>,
    world: W,
    recorder: Mutex<record::Recorder>,
    listener: Arc<Listener>,
}
