//! Work is bounded by what it brings about: once nobody hands in anything but an honest issuer, no thread of a node works for
//! more than a small part of the time, whatever waits in its pool.

use std::collections::BTreeMap;

/// Milliseconds of each second.
const BUSY_MAX: u64 = 200;

#[derive(Default)]
pub struct Rested {
    /// From when on it is demanded.
    from: Option<u64>,
    /// When each thread was looked at, and what it had worked, in nanoseconds.
    threads: BTreeMap<(usize, String), (u64, u64)>,
    /// The most of a second that one worked, in milliseconds.
    pub most: u64,
}

impl Rested {
    /// Demanded from this time on.
    pub fn from(from: u64) -> Self {
        Self { from: Some(from), ..Self::default() }
    }

    /// What a thread has worked until now, in nanoseconds; looked at about every second.
    pub fn look(&mut self, node: usize, thread: String, worked: u64, now: u64) {
        let Some(from) = self.from else { return };
        let before = self.threads.insert((node, thread.clone()), (now, worked));
        let Some((then, done)) = before.filter(|(then, _)| *then >= from && *then < now) else { return };
        let busy = worked.saturating_sub(done) / 1000 / (now - then); // nanoseconds a millisecond are a thousandth of ms a second
        self.most = self.most.max(busy);
        assert!(
            busy <= BUSY_MAX,
            "at {now}: {thread} of node {node} works for {busy} ms of a second, and nobody asks for anything"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_little_work_is_none() {
        let mut rested = Rested::from(1_000);
        rested.look(0, "pool".into(), SECOND, 500);
        rested.look(0, "pool".into(), 2 * SECOND, 1_500);
        rested.look(0, "pool".into(), 2 * SECOND + SECOND / 10, 2_500);
        assert_eq!(rested.most, 100);
    }

    #[test]
    #[should_panic(expected = "pool of node 0 works for 300 ms of a second")]
    fn work_for_nothing_is_seen() {
        let mut rested = Rested::from(0);
        rested.look(0, "pool".into(), 0, 1_000);
        rested.look(0, "pool".into(), 6 * SECOND / 10, 3_000);
    }
}
