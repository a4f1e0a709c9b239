//! Every bound of the network in one place, and the token buckets that pace a peer.

use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;

/// Messages that wait for one peer on the urgent stream.
pub(super) const URGENT_FRAMES_MAX: usize = 2048;
/// Their bytes.
pub(super) const URGENT_BYTES_MAX: usize = 32 * MIB;
/// Messages that wait for one peer on the stream of batches of blocks.
pub(super) const BLOCKS_FRAMES_MAX: usize = 8192;
/// Their bytes.
pub(super) const BLOCKS_BYTES_MAX: usize = 32 * MIB;
/// Messages that wait for one peer on the bulk stream.
pub(super) const BULK_FRAMES_MAX: usize = 4096;
/// Their bytes.
pub(super) const BULK_BYTES_MAX: usize = 64 * MIB;

/// How long a stop waits at most for peers to read what was written to them and to close.
pub(super) const LINGER_MAX: Duration = Duration::from_secs(5);

/// Units of work taken from one peer in a second, in the long run: most messages are one.
pub(super) const WORK_PER_SECOND: u32 = 5_000;
/// Those taken at once.
pub(super) const WORK_BURST: u32 = 20_000;
/// Bytes taken from one peer in a second, in the long run.
pub(super) const BYTES_PER_SECOND: u32 = 64 * MIB as u32;
/// Those taken at once.
pub(super) const BYTES_BURST: u32 = 128 * MIB as u32;

/// Batches that wait to be published.
pub(super) const OUTBOX_BATCHES_MAX: usize = 1024;
/// Their bytes.
pub(super) const OUTBOX_BYTES_MAX: usize = 64 * MIB;
/// Batches published in a second, in the long run, and at once. Gossipsub drops what its queues do not hold, and its
/// memory of what it has seen keeps it from saying the same again, so it is never given more than it can pass on.
pub(super) const PUBLISH_PER_SECOND: u32 = 4_000;
/// Those published at once: half of [`GOSSIP_QUEUE_MAX`], for what others sent is passed on through the same queue.
pub(super) const PUBLISH_BURST: u32 = 256;
/// Batches in gossipsub's queue to one peer; each is a copy, and a peer that does not read leaves them there.
pub(super) const GOSSIP_QUEUE_MAX: usize = 512;
/// Longest batch that is gossiped whole, in bytes. Of a longer one its id is told at once, and who lacks it asks for it:
/// so what waits for a peer that does not read is 32 MiB, and nobody is sent a large batch twice.
pub const GOSSIPED_BATCH_MAX: usize = 64 * 1024;
/// Longest message of gossipsub: a batch and what is around it.
pub(super) const GOSSIP_MESSAGE_MAX: usize = GOSSIPED_BATCH_MAX + 8 * 1024;
/// Batches taken from one peer by gossip in a second, in the long run, and at once.
pub(super) const GOSSIP_PER_SECOND: u32 = 5_000;
/// Those taken at once.
pub(super) const GOSSIP_BURST: u32 = 20_000;
/// Packets and messages of gossip that are looked at for one peer in a second, in the long run, duplicates included: those
/// of [`GOSSIP_PER_SECOND`] from four others that it passes on.
pub(super) const GOSSIP_SEEN_PER_SECOND: u32 = 4 * GOSSIP_PER_SECOND;
/// Those looked at at once.
pub(super) const GOSSIP_SEEN_BURST: u32 = 4 * GOSSIP_BURST;
/// Batches of one peer whose verdict is awaited.
pub(super) const VERDICTS_MAX: usize = 1024;
/// Their bytes.
pub(super) const VERDICT_BYTES_MAX: usize = 16 * MIB;

/// Misbehaviours within [`MISBEHAVIOUR_SPAN`] after which a peer is blocked.
pub(super) const MISBEHAVIOURS_MAX: usize = 100;
/// See [`MISBEHAVIOURS_MAX`].
pub(super) const MISBEHAVIOUR_SPAN: Duration = Duration::from_secs(60);
/// How long a peer is blocked. Not for ever: consensus needs even a strange peer sooner or later.
pub(super) const BLOCKED_FOR: Duration = Duration::from_secs(10);
/// A peer of another ledger keeps its connections for so long, to find out as well: its own question may not have been answered yet.
pub(super) const PARTING: Duration = Duration::from_secs(1);
/// A line that could repeat is logged at most once in this time.
pub(super) const LOG_EVERY: Duration = Duration::from_secs(60);

/// Comings and goings of a peer that are logged in a second, in the long run.
pub(super) const COMINGS_PER_SECOND: u32 = 1;
/// Those logged at once.
pub(super) const COMINGS_BURST: u32 = 20;

/// First pause between two dials of a peer; doubled each time.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two dials of a peer.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(3);
/// Longest pause for [`LIVELY_FOR`] after a connection that was good: the peer is likely to come back.
pub(super) const BACKOFF_LIVELY_MAX: Duration = Duration::from_millis(500);
/// See [`BACKOFF_LIVELY_MAX`].
pub(super) const LIVELY_FOR: Duration = Duration::from_secs(600);
/// A connected peer of which nothing comes for this long is dialled beside the connections there are: three times what
/// lies between two heartbeats. Packets that were lost are sent again by TCP after pauses that double, so a new connection
/// is up long before an old one speaks again.
pub(super) const SILENT_AFTER: Duration = Duration::from_secs(3);
/// A connection younger than this is not doubted: so a peer that is slow is not dialled over and over.
pub(super) const DOUBTED_AFTER: Duration = Duration::from_secs(5);
/// Pause between two looks at who is silent.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time for a name to be resolved or an address file to be read.
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Addresses of one name that are tried.
pub(super) const ADDRESSES_MAX: usize = 8;
/// Time for a connection's handshake.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a stream's negotiation.
pub(super) const STREAM_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections of one peer: an old one that is dead without knowing it, two dials at once, and one to spare.
pub(super) const CONNECTIONS_PER_PEER_MAX: u32 = 4;
/// Connections in their handshake. Strangers can have half of these, for their keys are known only after it.
pub(super) const PENDING_MAX: usize = 512;
/// Those of strangers from one network: while less than half of their places are taken, than three quarters, and of the
/// last quarter.
pub(super) const PENDING_PER_NETWORK: [usize; 3] = [16, 4, 1];

/// A ping's distance from the last one: below [`SILENT_AFTER`], so a peer whose driver is busy is not taken for silent.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(2);
/// A connection whose ping has no answer for this long is closed. Long, since a ping waits behind what is on its way.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for the writers to empty their queues at a stop.
pub const FLUSH_TIMEOUT: Duration = Duration::from_millis(200);

/// Tokens that come back at a steady rate. What is taken beyond what is there is a debt, and has to be waited for.
#[derive(Debug)]
pub(super) struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full one.
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, tokens: burst, at: now }
    }

    /// Takes tokens; the caller goes on after this time, zero where enough were there.
    pub(super) fn take(&mut self, tokens: f64, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst) - tokens;
        self.at = now.max(self.at);
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(-self.tokens / self.per_second)
    }

    /// Takes one token if it is there.
    pub(super) fn try_take(&mut self, now: Instant) -> bool {
        if self.take(0.0, now).is_zero() && self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return true;
        }
        false
    }
}

/// Lets one line in [`LOG_EVERY`] through.
#[derive(Debug, Default)]
pub(super) struct LogGate {
    last: Option<Instant>,
    held_back: u64,
}

impl LogGate {
    /// How often it happened since the last line, if a line is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<u64> {
        self.held_back += 1;
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < LOG_EVERY) {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, 100, start);
        assert_eq!(bucket.take(100.0, start), Duration::ZERO);
        assert_eq!(bucket.take(10.0, start), Duration::from_secs(1));
        assert_eq!(bucket.take(10.0, start + Duration::from_secs(2)), Duration::ZERO);
        assert_eq!(bucket.take(101.0, start + Duration::from_secs(3600)), Duration::from_millis(100));
        let mut bucket = TokenBucket::new(10, 2, start);
        assert_eq!([(); 3].map(|()| bucket.try_take(start)), [true, true, false]);
        assert!(bucket.try_take(start + Duration::from_millis(100)), "a refusal costs nothing");
    }

    #[test]
    fn a_line_comes_at_once_and_then_once_a_minute_with_the_number() {
        let start = Instant::now();
        let mut gate = LogGate::default();
        assert_eq!(gate.due(start), Some(1));
        assert_eq!(gate.due(start + Duration::from_secs(1)), None);
        assert_eq!(gate.due(start + LOG_EVERY), Some(2));
    }
}
