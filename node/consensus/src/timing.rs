//! How long the engine waits for what, in milliseconds.

/// The spans of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// First timeout of a view.
    pub view_timeout: u64,
    /// Longest timeout of a view; also the longest pause between two re-sends.
    pub view_timeout_max: u64,
    /// A leader finishes an unfinalised block with an empty one after this time.
    pub finish_after: u64,
    /// A leader not heard for this long is nullified on entry.
    pub skip_after: u64,
    /// A block's time may be this far ahead of a voter's clock.
    pub clock_skew_max: u64,
    /// A block's time may be this far behind a voter's clock. Above `view_timeout_max`: an honest block is never
    /// too old.
    pub proposal_age_max: u64,
    /// Pause before a missing block is asked for again.
    pub fetch_retry: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            view_timeout: 1_000,
            view_timeout_max: 16_000,
            finish_after: 20,
            skip_after: 5_000,
            clock_skew_max: 5_000,
            proposal_age_max: 30_000,
            fetch_retry: 200,
        }
    }
}

impl Timing {
    /// Timeout of a view with this many views since the final one: doubles with each, up to the longest.
    #[must_use]
    pub fn timeout(&self, unfinalised: u64) -> u64 {
        let doubled = u32::try_from(unfinalised).ok().and_then(|n| 1_u64.checked_shl(n));
        doubled
            .and_then(|factor| self.view_timeout.checked_mul(factor))
            .map_or(self.view_timeout_max, |t| t.min(self.view_timeout_max))
    }
}
