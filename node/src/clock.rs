//! The clock, as a thing that is handed in: nothing below the node's assembly reads the time by itself.

use std::{
    fmt::Debug,
    time::{SystemTime, UNIX_EPOCH},
};

use markstein_proto::TimeMs;

/// Tells the time.
pub trait Clock: Debug + Send + Sync {
    /// Now.
    fn now(&self) -> TimeMs;
}

/// The computer's own clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimeMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimeMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
