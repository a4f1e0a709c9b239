//! How fast batches become final, measured while some wait, and how much may wait because of it: about a second's worth.
//!
//! What is accepted beyond that waits all the same, and keeps those who agree on blocks busy with passing it on.

/// Steps that may wait where nothing was measured yet, or where less was: a second of a slow machine, and room for one
/// batch of the largest kind.
pub const BACKLOG_MIN: u64 = 64 * 1024;
/// Time whose finality may wait, in milliseconds.
const BACKLOG_MS: u64 = 1_000;
/// Busy time after which what was measured counts half, in milliseconds.
const HALF_LIFE_MS: u64 = 2_000;
/// A pause longer than this is a stall and not a rate, in milliseconds.
const PAUSE_MAX_MS: u64 = 2_000;
/// Shortest and longest hint when to come again, in milliseconds.
const HINT_MS: (u64, u64) = (50, 10_000);

/// Steps that became final in the time in which something waited.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    steps: u64,
    busy_ms: u64,
    /// The tick of the newest final block, where something was left to do then.
    busy_since: Option<u64>,
}

impl Rate {
    /// A block with so many steps became final at `tick`; `left` says whether more waits.
    pub fn note(&mut self, steps: u64, tick: u64, left: bool) {
        if let Some(since) = self.busy_since {
            self.steps += steps;
            self.busy_ms += tick.saturating_sub(since).min(PAUSE_MAX_MS);
        }
        while self.busy_ms > 2 * HALF_LIFE_MS {
            (self.steps, self.busy_ms) = (self.steps / 2, self.busy_ms / 2);
        }
        self.busy_since = left.then_some(tick);
    }

    /// Nothing waits: what comes next begins a new busy time.
    pub const fn idle(&mut self) {
        self.busy_since = None;
    }

    /// Steps in a second, `None` where less than a tenth of a second was measured.
    #[must_use]
    pub const fn per_second(&self) -> Option<u64> {
        if self.busy_ms < 100 { None } else { Some(self.steps * 1_000 / self.busy_ms) }
    }

    /// Steps that may wait.
    #[must_use]
    pub fn backlog_max(&self) -> u64 {
        self.per_second().map_or(BACKLOG_MIN, |rate| (rate * BACKLOG_MS / 1_000).max(BACKLOG_MIN))
    }

    /// When so many steps will have become final, in milliseconds.
    #[must_use]
    pub fn hint_ms(&self, steps: u64) -> u64 {
        let rate = self.per_second().unwrap_or(BACKLOG_MIN).max(1);
        (steps.saturating_mul(1_000) / rate).clamp(HINT_MS.0, HINT_MS.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_measured_only_while_something_waits() {
        let mut rate = Rate::default();
        assert_eq!((rate.per_second(), rate.backlog_max()), (None, BACKLOG_MIN));
        rate.note(1_000_000, 10, true);
        assert_eq!(rate.per_second(), None, "nobody knows since when it waited");
        rate.note(100_000, 510, true);
        assert_eq!(rate.per_second(), Some(200_000));
        assert_eq!(rate.backlog_max(), 200_000);
        rate.note(100_000, 1_010, false);
        rate.note(5, 900_000, true);
        assert_eq!(rate.per_second(), Some(200_000), "idle time says nothing");
    }

    #[test]
    fn a_rate_follows_what_changes() {
        let mut rate = Rate::default();
        (0..100).for_each(|second| rate.note(300_000, second * 1_000, true));
        let before = rate.per_second().unwrap_or(0);
        assert!((300_000..301_000).contains(&before), "{before}");
        (100..110).for_each(|second| rate.note(100_000, second * 1_000, true));
        let now = rate.per_second().unwrap_or(0);
        assert!((100_000..110_000).contains(&now), "{now}");
    }

    #[test]
    fn a_hint_is_what_waits_over_the_rate() {
        let mut rate = Rate::default();
        rate.note(0, 0, true);
        rate.note(100_000, 1_000, true);
        assert_eq!(rate.hint_ms(30_000), 300);
        assert_eq!((rate.hint_ms(0), rate.hint_ms(u64::MAX)), HINT_MS);
    }
}
