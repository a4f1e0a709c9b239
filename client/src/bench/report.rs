//! What a run came to, as plain numbers.

use std::{collections::BTreeMap, time::Duration};

use super::Load;

/// What a run came to. Latencies and rates are of the measured time; all else of the whole run, warm-up included.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it was loaded.
    pub load: Load,
    /// Documents of a submission.
    pub batch: usize,
    /// The time before the measured one.
    pub warmup: Duration,
    /// The measured time; shorter than asked for where the run was ended early.
    pub measured: Duration,
    /// Whether somebody ended it early.
    pub interrupted: bool,
    /// Most submissions that could be under way at a time.
    pub in_flight: usize,
    /// Submissions that were sent to a node.
    pub sent: u64,
    /// Submissions all of whose receipts were verified.
    pub completed: u64,
    /// The same, of those that came to their end within the measured time.
    pub completed_in_time: u64,
    /// Submissions that were due and never sent: too many were under way, or they could not be made fast enough.
    pub not_sent: u64,
    /// Submissions that went to another node, because one was away.
    pub moved: u64,
    /// Submissions that a node or the ledger turned down, by the word for it.
    pub refusals: BTreeMap<String, u64>,
    /// Submissions that came to nothing for another reason, by its kind.
    pub errors: BTreeMap<&'static str, u64>,
    /// How late submissions were sent, through no fault of a node.
    pub late: Latency,
    /// Until a node had the submission on its disk.
    pub accepted: Latency,
    /// Until the receipt of the submission's first record was verified.
    pub receipt: Latency,
    /// Until the receipts of all of its records were.
    pub all_receipts: Latency,
    /// Receipts that verified.
    pub receipts_verified: u64,
    /// Receipts that did not.
    pub receipts_not_verified: u64,
    /// What is wrong with the first of them.
    pub not_verified: Vec<String>,
    /// One for each node.
    pub nodes: Vec<NodeReport>,
}

/// What one node did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Submissions sent to it.
    pub sent: u64,
    /// Submissions it said it has on its disk.
    pub accepted: u64,
    /// Verified receipts it sent.
    pub receipts: u64,
    /// Submissions it did not answer.
    pub away: u64,
    /// Its last failure, in words.
    pub failure: Option<String>,
}

/// A distribution of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Of how many.
    pub count: u64,
    /// Half of them were no longer.
    pub p50: Duration,
    /// Nine of ten.
    pub p90: Duration,
    /// 99 of 100.
    pub p99: Duration,
    /// None was longer.
    pub max: Duration,
}

impl Report {
    /// Submissions completed per second of the measured time.
    #[must_use]
    pub fn submissions_per_second(&self) -> f64 {
        let seconds = self.measured.as_secs_f64();
        if seconds > 0.0 { self.completed_in_time as f64 / seconds } else { 0.0 }
    }

    /// Documents that got their verified receipts, per second of the measured time.
    #[must_use]
    pub fn documents_per_second(&self) -> f64 {
        self.submissions_per_second() * self.batch as f64
    }

    /// Submissions without all of their receipts, for whatever reason.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.not_sent + self.refusals.values().sum::<u64>() + self.errors.values().sum::<u64>()
    }

    /// 1 where a receipt did not verify, 2 where something else could not be done or nothing was, 0 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match (self.receipts_not_verified, self.missing(), self.completed) {
            (0, 0, 1..) => 0,
            (0, ..) => 2,
            _ => 1,
        }
    }
}
