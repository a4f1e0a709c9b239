//! A thread's time: what it does takes a while, and the next thing begins then.

/// Nanoseconds of a millisecond: events happen in milliseconds, work is counted in nanoseconds.
pub const MS: u64 = 1_000_000;

/// One thread, or a task that does one thing after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Thread {
    free_at: u64,
    /// Nanoseconds that it worked, in all.
    pub worked: u64,
}

impl Thread {
    /// Whether it begins something new before this millisecond ends.
    pub const fn is_free(&self, now: u64) -> bool {
        self.free_at < (now + 1) * MS
    }

    /// The millisecond in which it is free.
    pub const fn free_ms(&self) -> u64 {
        self.free_at / MS
    }

    /// It works for so many nanoseconds, as soon as it is free; tells when that begins and ends.
    pub fn work(&mut self, now: u64, ns: u64) -> (u64, u64) {
        let begin = self.free_at.max(now * MS);
        self.free_at = begin + ns;
        self.worked += ns;
        (begin, self.free_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_into_a_millisecond_is_done_in_it_and_the_rest_waits() {
        let mut thread = Thread::default();
        assert!(thread.is_free(5));
        assert_eq!(thread.work(5, MS / 2), (5 * MS, 5 * MS + MS / 2));
        assert!(thread.is_free(5), "half of it is left");
        assert_eq!(thread.work(5, 3 * MS), (5 * MS + MS / 2, 8 * MS + MS / 2));
        assert!(!thread.is_free(7) && thread.is_free(8));
        assert_eq!(thread.free_ms(), 8);
    }
}
