//! Notes of a run while it lasts, in bounded memory.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use hdrhistogram::Histogram;

use super::{
    Options,
    report::{Latency, NodeReport, Report},
};
use crate::text::safe;

/// Longest time that is told apart from longer ones, in microseconds: an hour.
const LONGEST_US: u64 = 3_600_000_000;
/// Different reasons of refusals that are told apart, and their length: they are a node's words.
const REASONS_MAX: usize = 32;
const REASON_LENGTH_MAX: usize = 64;
/// What any further ones are counted under.
const OTHER: &str = "OTHER";
/// Bad receipts that are described.
const DESCRIBED: usize = 5;

/// Times of one kind.
pub(super) struct Latencies {
    histogram: Histogram<u64>,
    max: Duration,
}

impl Latencies {
    pub fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("these bounds are sound");
        Self { histogram, max: Duration::ZERO }
    }

    pub fn record(&mut self, time: Duration) {
        self.histogram.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        self.max = self.max.max(time);
    }

    pub fn read(&self) -> Latency {
        // A bucket is read as its upper end, which can lie beyond all that is in it.
        let at = |q| Duration::from_micros(self.histogram.value_at_quantile(q)).min(self.max);
        let count = self.histogram.len();
        if count == 0 {
            return Latency::default();
        }
        Latency { count, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: self.max }
    }
}

/// All that is noted. Times are those of the run's world.
pub(super) struct Recorder {
    /// The measured time.
    window: Range<Duration>,
    sent: u64,
    completed: u64,
    completed_in_time: u64,
    not_sent: u64,
    moved: u64,
    refusals: BTreeMap<String, u64>,
    errors: BTreeMap<&'static str, u64>,
    late: Latencies,
    accepted: Latencies,
    receipt: Latencies,
    all_receipts: Latencies,
    receipts_verified: u64,
    receipts_not_verified: u64,
    not_verified: Vec<String>,
    nodes: Vec<NodeReport>,
}

impl Recorder {
    pub fn new(nodes: Vec<String>) -> Self {
        Self {
            window: Duration::ZERO..Duration::ZERO,
            sent: 0,
            completed: 0,
            completed_in_time: 0,
            not_sent: 0,
            moved: 0,
            refusals: BTreeMap::new(),
            errors: BTreeMap::new(),
            late: Latencies::new(),
            accepted: Latencies::new(),
            receipt: Latencies::new(),
            all_receipts: Latencies::new(),
            receipts_verified: 0,
            receipts_not_verified: 0,
            not_verified: Vec::new(),
            nodes: nodes.into_iter().map(|name| NodeReport { name, ..NodeReport::default() }).collect(),
        }
    }

    /// From when to when is measured.
    pub fn measure(&mut self, window: Range<Duration>) {
        self.window = window;
    }

    /// The run was ended: what comes to its end from now on did not in the measured time.
    pub fn ended(&mut self, at: Duration) {
        self.window.end = self.window.end.min(at);
    }

    /// A submission that was due at this time is under way.
    pub fn begun(&mut self, due: Duration, now: Duration) {
        self.sent += 1;
        if self.is_measured(due) {
            self.late.record(now.saturating_sub(due));
        }
    }

    pub fn not_sent(&mut self, submissions: u64) {
        self.not_sent += submissions;
    }

    /// A submission goes to this node.
    pub fn sent_to(&mut self, node: usize) {
        self.nodes[node].sent += 1;
    }

    /// A node has it on its disk; `due` where it is the first one.
    pub fn accepted(&mut self, node: usize, due: Option<Duration>, now: Duration) {
        self.nodes[node].accepted += 1;
        if let Some(due) = due.filter(|due| self.is_measured(*due)) {
            self.accepted.record(now.saturating_sub(due));
        }
    }

    /// A submission has this many more verified receipts, from this node.
    pub fn receipts(&mut self, node: usize, count: usize) {
        self.nodes[node].receipts += count as u64;
        self.receipts_verified += count as u64;
    }

    /// A submission has the receipt of its first record.
    pub fn first_receipt(&mut self, due: Duration, now: Duration) {
        if self.is_measured(due) {
            self.receipt.record(now.saturating_sub(due));
        }
    }

    /// A submission has all its receipts.
    pub fn completed(&mut self, due: Duration, now: Duration) {
        self.completed += 1;
        self.completed_in_time += u64::from(self.window.contains(&now));
        if self.is_measured(due) {
            self.all_receipts.record(now.saturating_sub(due));
        }
    }

    /// A node did not answer.
    pub fn away(&mut self, node: usize, failure: &str) {
        self.nodes[node].away += 1;
        self.failure(node, failure);
    }

    /// A node failed in whatever way.
    pub fn failure(&mut self, node: usize, failure: &str) {
        self.nodes[node].failure = Some(failure.to_owned());
    }

    pub fn moved(&mut self) {
        self.moved += 1;
    }

    /// A submission was turned down.
    pub fn refused(&mut self, reason: &str) {
        let known = self.refusals.contains_key(reason);
        let fits = reason.len() <= REASON_LENGTH_MAX && self.refusals.len() < REASONS_MAX;
        let word = if known || fits { safe(reason) } else { OTHER.to_owned() };
        *self.refusals.entry(word).or_default() += 1;
    }

    /// A submission came to nothing.
    pub fn failed(&mut self, kind: &'static str, submissions: u64) {
        if submissions > 0 {
            *self.errors.entry(kind).or_default() += submissions;
        }
    }

    /// A receipt does not prove what it should.
    pub fn not_verified(&mut self, node: usize, why: &str) {
        self.receipts_not_verified += 1;
        self.failure(node, why);
        if self.not_verified.len() < DESCRIBED {
            self.not_verified.push(format!("{} {why}", self.nodes[node].name));
        }
    }

    pub fn report(&self, options: &Options, interrupted: bool) -> Report {
        Report {
            load: options.load,
            batch: options.batch,
            warmup: options.warmup,
            measured: self.window.end.saturating_sub(self.window.start),
            interrupted,
            in_flight: options.in_flight,
            sent: self.sent,
            completed: self.completed,
            completed_in_time: self.completed_in_time,
            not_sent: self.not_sent,
            moved: self.moved,
            refusals: self.refusals.clone(),
            errors: self.errors.clone(),
            late: self.late.read(),
            accepted: self.accepted.read(),
            receipt: self.receipt.read(),
            all_receipts: self.all_receipts.read(),
            receipts_verified: self.receipts_verified,
            receipts_not_verified: self.receipts_not_verified,
            not_verified: self.not_verified.clone(),
            nodes: self.nodes.clone(),
        }
    }

    fn is_measured(&self, due: Duration) -> bool {
        due >= self.window.start && due < self.window.end
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::bench::Load;

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn options() -> Options {
        let load = Load::Rate("10".parse().unwrap());
        Options { load, batch: 5, warmup: millis(100), measured: millis(1000), in_flight: 8 }
    }

    #[test]
    fn percentiles() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.read(), Latency::default());
        (1..=1000).for_each(|n| latencies.record(millis(n)));
        let read = latencies.read();
        assert_eq!((read.count, read.max), (1000, millis(1000)));
        for (found, exact) in [(read.p50, 500), (read.p90, 900), (read.p99, 990)] {
            assert!(found >= millis(exact) && found <= millis(exact).mul_f64(1.001), "{found:?} {exact}");
        }
        let mut one = Latencies::new();
        one.record(Duration::from_micros(1_234_567));
        assert_eq!((one.read().p50, one.read().p99), (one.read().max, Duration::from_micros(1_234_567)));
        one.record(Duration::MAX);
        assert_eq!(one.read().max, Duration::MAX, "longer than the histogram goes");
    }

    #[test]
    fn the_warm_up_counts_for_receipts_but_not_for_times() {
        let mut recorder = Recorder::new(vec!["n".into()]);
        recorder.measure(millis(100)..millis(1100));
        for (due, done) in [(0, 50), (99, 150), (100, 160), (1000, 1099), (1099, 1300)] {
            recorder.begun(millis(due), millis(due));
            recorder.accepted(0, Some(millis(due)), millis(due + 1));
            recorder.first_receipt(millis(due), millis(done));
            recorder.receipts(0, 5);
            recorder.completed(millis(due), millis(done));
        }
        let report = recorder.report(&options(), false);
        assert_eq!((report.sent, report.completed, report.receipts_verified), (5, 5, 25));
        assert_eq!((report.receipt.count, report.accepted.count, report.all_receipts.count), (3, 3, 3));
        assert_eq!((report.receipt.max, report.completed_in_time), (millis(201), 3));
        assert_eq!((report.submissions_per_second(), report.documents_per_second()), (3.0, 15.0));
        assert_eq!(report.exit_code(), 0);
        recorder.ended(millis(600));
        let report = recorder.report(&options(), true);
        assert_eq!(report.measured, millis(500));
        recorder.ended(millis(50));
        assert_eq!(recorder.report(&options(), true).documents_per_second(), 0.0, "ended in the warm-up");
    }

    #[test]
    fn exit_codes() {
        let mut recorder = Recorder::new(vec!["n".into()]);
        recorder.measure(Duration::ZERO..millis(1000));
        assert_eq!(recorder.report(&options(), true).exit_code(), 2, "nothing was done");
        recorder.completed(Duration::ZERO, millis(1));
        assert_eq!(recorder.report(&options(), true).exit_code(), 0);
        recorder.moved();
        recorder.away(0, "away");
        assert_eq!(recorder.report(&options(), true).exit_code(), 0, "others did it");
        recorder.failed("away", 0);
        assert_eq!(recorder.report(&options(), true).exit_code(), 0);
        recorder.not_sent(1);
        assert_eq!(recorder.report(&options(), true).exit_code(), 2);
        recorder.not_verified(0, "sent rubbish");
        let report = recorder.report(&options(), true);
        assert_eq!((report.exit_code(), &report.not_verified[..]), (1, &["n sent rubbish".to_owned()][..]));
    }

    #[test]
    fn a_node_cannot_fill_the_memory_with_words() {
        let mut recorder = Recorder::new(vec!["n".into()]);
        (0..1000).for_each(|n| recorder.refused(&format!("WORD_{n}")));
        recorder.refused(&"LONG".repeat(1000));
        recorder.refused("WORD_1");
        (0..1000).for_each(|n| recorder.not_verified(0, &format!("sent {n}")));
        let report = recorder.report(&options(), false);
        assert_eq!((report.refusals.len(), report.not_verified.len()), (REASONS_MAX + 1, DESCRIBED));
        assert_eq!((report.refusals[OTHER], report.refusals["WORD_1"]), (1000 - 32 + 1, 2));
        assert_eq!((report.missing(), report.receipts_not_verified), (1002, 1000));
    }
}
