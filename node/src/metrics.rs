//! Prometheus metrics: what an operator watches for years.

use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64},
    time::Duration,
};

use markstein_proto::Header;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use crate::{diagnosis::Diagnosis, network_view::Snapshot, pool::PoolSize};

/// What may be the matter with an authority, for as long as it is (`Reason::word`).
const REASONS: [&str; 4] = ["missing", "not_voting", "skewed", "lagging"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

/// All metrics of a node.
pub struct Metrics {
    registry: Registry,
    height: Gauge<i64, AtomicI64>,
    log_size: Gauge<i64, AtomicI64>,
    block_time: Gauge<i64, AtomicI64>,
    pool_batches: Gauge<i64, AtomicI64>,
    pool_bytes: Gauge<i64, AtomicI64>,
    pool_waiting: Gauge<i64, AtomicI64>,
    batches: Counter<u64, AtomicU64>,
    records: Counter<u64, AtomicU64>,
    submissions: Family<ReasonLabel, Counter>,
    receipts: Counter<u64, AtomicU64>,
    block_seconds: Histogram,
    paused_seconds: Gauge<f64, AtomicU64>,
    quorum: Gauge<i64, AtomicI64>,
    taking_part: Gauge<i64, AtomicI64>,
    /// One for each of [`REASONS`].
    hindered: [Gauge<i64, AtomicI64>; REASONS.len()],
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("markstein");
        let mut gauge = |name, help| {
            let gauge = Gauge::<i64, AtomicI64>::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let height = gauge("height", "Height of the newest final block");
        let log_size = gauge("log_size", "Leaves of the log");
        let block_time = gauge("block_time_ms", "Time of the newest final block, ms since 1970");
        let pool_batches = gauge("pool_batches", "Accepted batches that are not decided yet");
        let pool_bytes = gauge("pool_bytes", "Their bytes");
        let pool_waiting = gauge("pool_waiting", "Those of them that wait for something of their own");
        let quorum = gauge("quorum", "Authorities that must agree");
        let taking_part = gauge("authorities_taking_part", "Authorities that are heard and vote");
        let mut counter = |name, help| {
            let counter = Counter::<u64, AtomicU64>::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let batches = counter("batches", "Batches made final since the start");
        let records = counter("records", "Records made final since the start");
        let receipts = counter("receipts", "Receipts served since the start");
        let submissions = Family::<ReasonLabel, Counter>::default();
        registry.register("submissions", "Submissions by what was said of them", submissions.clone());
        let hindered = Family::<ReasonLabel, Gauge<i64, AtomicI64>>::default();
        let help = "Authorities that something is the matter with, as this node sees it";
        registry.register("authorities_hindered", help, hindered.clone());
        let hindered =
            REASONS.map(|reason| hindered.get_or_create(&ReasonLabel { reason: reason.to_owned() }).clone());
        let paused_seconds = Gauge::<f64, AtomicU64>::default();
        let help = "For how long nothing has become final although something waits, 0 while finality goes on";
        registry.register("finality_paused_seconds", help, paused_seconds.clone());
        let block_seconds = Histogram::new(exponential_buckets(0.0005, 2.0, 14));
        let help = "From cutting a block to its finality, of blocks that this node saw become final live";
        registry.register("block_seconds", help, block_seconds.clone());
        Self {
            registry,
            height,
            log_size,
            block_time,
            pool_batches,
            pool_bytes,
            pool_waiting,
            batches,
            records,
            submissions,
            receipts,
            block_seconds,
            paused_seconds,
            quorum,
            taking_part,
            hindered,
        }
    }
}

fn clamp(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Metrics {
    /// The newest block, also at the start.
    pub fn tip(&self, header_height: u64, log_size: u64, time_ms: u64) {
        self.height.set(clamp(header_height));
        self.log_size.set(clamp(log_size));
        self.block_time.set(clamp(time_ms));
    }

    /// A block became final.
    pub fn block(&self, header: &Header, batches: usize, records: usize) {
        self.tip(header.height.0, header.size_before.0 + 1, header.time.0);
        self.batches.inc_by(batches as u64);
        self.records.inc_by(records as u64);
    }

    /// This node saw a block become final when that happened, so long after the time in its header.
    pub fn live(&self, took: Duration) {
        self.block_seconds.observe(took.as_secs_f64());
    }

    /// A submission was answered: `ACCEPTED`, `DECIDED`, or the reason it was not taken for.
    pub fn submission(&self, reason: &str) {
        self.submissions.get_or_create(&ReasonLabel { reason: reason.to_owned() }).inc();
    }

    /// Receipts were served.
    pub fn receipts(&self, count: u64) {
        self.receipts.inc_by(count);
    }

    /// How finality stands.
    pub fn finality(&self, snapshot: &Snapshot, diagnosis: &Diagnosis) {
        let paused = snapshot.waiting_ms.filter(|_| diagnosis.is_paused()).unwrap_or(0);
        self.paused_seconds.set(Duration::from_millis(paused).as_secs_f64());
        self.quorum.set(clamp(snapshot.quorum as u64));
        self.taking_part.set(clamp(diagnosis.taking_part as u64));
        for (reason, gauge) in REASONS.into_iter().zip(&self.hindered) {
            gauge.set(clamp(diagnosis.count(reason) as u64));
        }
    }

    /// All metrics in the OpenMetrics text format.
    #[must_use]
    pub fn render(&self, pool: PoolSize, waiting: usize) -> String {
        self.pool_waiting.set(clamp(waiting as u64));
        self.pool_batches.set(clamp(pool.batches as u64));
        self.pool_bytes.set(clamp(pool.bytes as u64));
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing into a string does not fail");
        out
    }
}
