//! What is on its way between two nodes: bounded queues that are emptied at a link's rate, and as fast as the reader reads.
//!
//! The bounds are those of `node/src/network/limits.rs`. What is in a reader's or a system's buffer counts as in the queue
//! still: the queue here is all that was sent and is not read yet.

use std::collections::{BTreeMap, VecDeque};

use super::thread::MS;
use crate::simulation::network::Way;

/// A byte on one of the streams, or by gossip: half a gigabit a second for each.
const NS_A_BYTE: u64 = 16;

/// Frames and bytes that wait for one peer.
const fn bounds(way: Way) -> (usize, u64) {
    const MIB: u64 = 1024 * 1024;
    match way {
        Way::Urgent => (2048, 32 * MIB),
        Way::Blocks => (8192, 32 * MIB),
        Way::Bulk => (4096, 64 * MIB),
        Way::Gossip => (512, 64 * MIB),
    }
}

#[derive(Default)]
pub struct Lanes {
    lanes: BTreeMap<(usize, usize, Way), Lane>,
    /// Frames that were dropped because their queue was full, by way.
    pub dropped: BTreeMap<Way, u64>,
}

#[derive(Default)]
struct Lane {
    /// Lengths of what is sent and not read yet.
    frames: VecDeque<u64>,
    bytes: u64,
    /// When the last of it is on the wire, in nanoseconds.
    sent_at: u64,
    /// When the last of it arrives: one stream keeps its order.
    arrives: u64,
}

impl Lanes {
    /// Sends a frame of so many bytes at a time in nanoseconds, which takes `latency` milliseconds on the wire; tells when
    /// it arrives, in milliseconds.
    pub fn send(&mut self, on: (usize, usize, Way), bytes: u64, at: u64, latency: u64) -> Option<u64> {
        let (lane, (frames_max, bytes_max)) = (self.lanes.entry(on).or_default(), bounds(on.2));
        if lane.frames.len() >= frames_max || lane.bytes + bytes > bytes_max {
            *self.dropped.entry(on.2).or_default() += 1;
            return None;
        }
        lane.frames.push_back(bytes);
        lane.bytes += bytes;
        lane.sent_at = lane.sent_at.max(at) + bytes * NS_A_BYTE;
        lane.arrives = lane.arrives.max(lane.sent_at / MS + latency);
        Some(lane.arrives)
    }

    /// The next frame was read; tells its length.
    pub fn read(&mut self, on: (usize, usize, Way)) -> u64 {
        let Some(lane) = self.lanes.get_mut(&on) else { return 0 };
        let bytes = lane.frames.pop_front().unwrap_or_default();
        lane.bytes -= bytes;
        bytes
    }

    /// The connection of two nodes is gone, and what was on its way on it.
    pub fn hang_up(&mut self, one: usize, other: usize) {
        self.lanes.retain(|(from, to, _), _| (*from, *to) != (one, other) && (*from, *to) != (other, one));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: (usize, usize, Way) = (0, 1, Way::Urgent);

    #[test]
    fn a_frame_waits_for_those_before_it_and_a_full_queue_drops() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.send(ON, 1_000_000, 0, 2), Some(18), "16 ms on the wire, and 2 under way");
        assert_eq!(lanes.send(ON, 10, 5 * MS, 1), Some(18), "not before the one before it");
        assert_eq!(lanes.send((0, 1, Way::Bulk), 10, 5 * MS, 1), Some(6), "the other stream is free");
        for _ in 0..2046 {
            assert!(lanes.send(ON, 10, 20 * MS, 1).is_some());
        }
        assert_eq!((lanes.send(ON, 10, 20 * MS, 1), lanes.dropped[&Way::Urgent]), (None, 1));
        assert_eq!((lanes.read(ON), lanes.read(ON)), (1_000_000, 10));
        assert!(lanes.send(ON, 10, 20 * MS, 1).is_some());
        lanes.hang_up(1, 0);
        assert_eq!(lanes.read(ON), 0);
    }
}
