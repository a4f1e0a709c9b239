//! What a step costs, in nanoseconds of a simulated machine, and from where the number comes.
//!
//! The reference machine has two cores of 2020 or so; each number is what was measured there, rounded. They need not be
//! right: an invariant that holds at these and breaks at twice as much is worth little, so bounds are far from them.

use markstein_node::work::{Step, Steps};

/// Handling one event beside all that is counted: engine, queues, a heartbeat's bookkeeping. A cluster's simulation takes
/// 4 us a step with everything in it; the real thread wakes up for each.
const EVENT: u64 = 10_000;
/// Reading one message from a stream and handing it on: two wake-ups.
const MESSAGE: u64 = 10_000;
/// Reading a byte of it: decryption, copying, decoding.
const MESSAGE_BYTE: u64 = 2;
/// A key read from RocksDB where its block is cached.
const READ: u64 = 1_000;
/// Reads for each change of a status: the author of its target, and every second time the chunk.
const READS_A_CHANGE: u64 = 1_500;

/// The table.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// Each record stands for so many: there are fewer of them, and each costs more.
    pub scale: u64,
}

impl Costs {
    /// What a step takes.
    pub const fn step(&self, step: Step) -> u64 {
        match step {
            // A binary search and a comparison: 10,000 in 0.3 ms.
            Step::Record => 30 * self.scale,
            // 13 to 17 ms for a look at 10,000 changes, nearly all of it reads. Those that were made are charged as such;
            // those that each of them stands for are charged here.
            Step::Change => 100 * self.scale + READS_A_CHANGE * (self.scale - 1),
            // Ed25519, verified strictly: 28,000 a second.
            Step::Signature => 36_000,
            // A batch of 10,000 changes, 150 KB, is decoded, compared with its canonical form and hashed in 2 to 4 ms.
            Step::Byte => 20 * self.scale,
            // A leaf completes one node of the log: SHA-256 of 64 bytes, 8 million a second, and the bookkeeping.
            Step::Leaf => 300 * self.scale,
            Step::Read => READ,
            Step::ReadByte => 1,
            // A record's share of a block's write: tiles, indexes.
            Step::Write => 1_000,
            Step::WrittenByte => 3,
            // 0.3 ms on a quiet disk, 4 to 5 where others use it.
            Step::Sync => 1_000_000,
            // A clone of what the index keeps of it.
            Step::Entry => 50,
        }
    }

    /// What all of these take.
    pub fn of(&self, steps: Steps) -> u64 {
        steps.weighed(|step| self.step(step))
    }

    /// What it takes to handle an event that made these steps.
    pub fn event(&self, steps: Steps) -> u64 {
        EVENT + self.of(steps)
    }

    /// What it takes to read a message of so many bytes.
    pub const fn message(&self, bytes: u64) -> u64 {
        MESSAGE + MESSAGE_BYTE * bytes
    }
}
