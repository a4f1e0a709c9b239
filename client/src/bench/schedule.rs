//! When submissions are due: a fixed schedule that no answer moves.

use std::{num::NonZeroU64, str::FromStr, time::Duration};

const THOUSANDTHS: u64 = 1000;
/// Thousandths of a nanosecond in a second: what a rate in thousandths divides.
const UNITS_PER_SECOND: u128 = 1_000_000_000 * THOUSANDTHS as u128;
const RATE_MAX: u64 = 1_000_000;

/// Documents per second, to a thousandth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(NonZeroU64);

impl Rate {
    /// As a number.
    #[must_use]
    pub fn documents_per_second(self) -> f64 {
        self.0.get() as f64 / THOUSANDTHS as f64
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let thousandths = || {
            let part: u64 = format!("{part:0<3}").parse().ok()?;
            whole.parse::<u64>().ok()?.checked_mul(THOUSANDTHS)?.checked_add(part)
        };
        let rate = if digits(whole) && digits(part) && part.len() <= 3 { thousandths() } else { None };
        let rate = rate.filter(|rate| *rate <= RATE_MAX * THOUSANDTHS).and_then(NonZeroU64::new);
        rate.map(Self).ok_or_else(|| {
            format!("write documents per second, such as 50 or 0.5: more than 0, at most {RATE_MAX}")
        })
    }
}

/// Submission i is due at i / (rate / batch) after the beginning, as long as that is before the end.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    rate: Rate,
    batch: u64,
    length: Duration,
}

impl Schedule {
    /// Submissions of `batch` documents each, at this rate of documents, for this time.
    #[must_use]
    pub const fn new(rate: Rate, batch: u64, length: Duration) -> Self {
        Self { rate, batch, length }
    }

    /// When this submission is due, counted from the beginning. Each is computed by itself, so errors never add up.
    #[must_use]
    pub fn due(&self, submission: u64) -> Duration {
        let units = u128::from(submission) * u128::from(self.batch) * UNITS_PER_SECOND;
        let nanos = units / u128::from(self.rate.0.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How many submissions are due before `time`, counted from the beginning.
    #[must_use]
    pub fn due_before(&self, time: Duration) -> u64 {
        let submissions = (time.as_nanos() * u128::from(self.rate.0.get()))
            .div_ceil(u128::from(self.batch) * UNITS_PER_SECOND);
        u64::try_from(submissions).unwrap_or(u64::MAX)
    }

    /// How many submissions there are in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.due_before(self.length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn schedule(rate: &str, batch: u64, seconds: u64) -> Schedule {
        Schedule::new(rate.parse().unwrap(), batch, Duration::from_secs(seconds))
    }

    #[test]
    fn rates_count_documents() {
        let hundred = schedule("100", 1, 10);
        assert_eq!((hundred.due(0), hundred.due(1)), (Duration::ZERO, Duration::from_millis(10)));
        assert_eq!((hundred.count(), hundred.due(999)), (1000, Duration::from_millis(9990)));
        let batches = schedule("100", 50, 10);
        assert_eq!((batches.count(), batches.due(1)), (20, Duration::from_millis(500)));
        assert_eq!(batches.due_before(Duration::from_secs(2)), 4, "the one due at 2 s is not before it");
        let slow = schedule("0.5", 1, 3);
        assert_eq!((slow.count(), slow.due(1)), (2, Duration::from_secs(2)));
        assert_eq!(schedule("1", 10_000, 60).count(), 1, "the first is always due at once");
    }

    #[test]
    fn errors_do_not_add_up() {
        let thirds = schedule("3", 1, 86_400);
        assert_eq!(thirds.count(), 3 * 86_400);
        assert_eq!(thirds.due(3 * 86_399), Duration::from_secs(86_399));
        assert_eq!(thirds.due(1), Duration::from_nanos(333_333_333));
        for number in 0..1000 {
            assert!(thirds.due(number) < thirds.due(number + 1));
            assert_eq!(thirds.due_before(thirds.due(number) + Duration::from_nanos(1)), number + 1);
        }
    }

    #[test]
    fn the_extremes_do_not_overflow() {
        let much = schedule("1000000", 1, 86_400);
        assert_eq!(much.count(), 86_400_000_000);
        assert_eq!(much.due(much.count()), Duration::from_secs(86_400));
        assert_eq!(schedule("0.001", 10_000, 86_400).due(u64::MAX), Duration::from_nanos(u64::MAX));
        assert_eq!(schedule("0.001", 1, 86_400).count(), 87);
    }

    #[test]
    fn a_rate_is_a_plain_number() {
        for (text, rate) in [("1", 1.0), ("0.5", 0.5), ("12.345", 12.345), ("1000000", 1e6), ("007", 7.0)] {
            assert_eq!(text.parse::<Rate>().unwrap().documents_per_second(), rate);
        }
        for text in
            ["", "0", "0.0", "0.0001", ".", "1.", ".5", "-1", "+1", "1e3", "1000000.001", "nan", "1_0"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text:?}");
        }
    }
}
