//! How much is done: all of it, or a short round.

use std::{env, time::Duration};

use anyhow::bail;

/// Counts and sizes of one round.
pub(crate) struct Scale {
    /// Single documents, after the warm-up.
    pub(crate) singles: usize,
    /// Documents of one large run of `anchor`.
    pub(crate) documents: usize,
    /// How often that is repeated.
    pub(crate) runs: usize,
    /// Bytes of the one large document.
    pub(crate) large: u64,
    /// Records of the grown ledger.
    pub(crate) records: usize,
    /// Records of the ledger that is audited.
    pub(crate) audited: usize,
    /// Requests of a kind.
    pub(crate) requests: usize,
    /// How long an idle node is watched.
    pub(crate) idle: Duration,
    /// Batches with which a hostile issuer fills its share of the pools.
    pub(crate) dear: usize,
    /// How long it goes on with that at most.
    pub(crate) filling: Duration,
    /// How long others are measured meanwhile, each time.
    pub(crate) attacked: Duration,
    /// How long the peak is measured.
    pub(crate) peak: Duration,
    /// How long more than the peak is offered.
    pub(crate) overload: Duration,
}

impl Scale {
    /// As `MARKSTEIN_BENCH` has it: `short`, or nothing.
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        match env::var("MARKSTEIN_BENCH").as_deref() {
            Ok("short") => Ok(Self {
                singles: 50,
                documents: 1_000,
                runs: 1,
                large: 500_000_000,
                records: 20_000,
                audited: 100_000,
                requests: 500,
                idle: Duration::from_secs(3),
                dear: 120,
                filling: Duration::from_secs(60),
                attacked: Duration::from_secs(10),
                peak: Duration::from_secs(4),
                overload: Duration::from_secs(10),
            }),
            Ok("") | Err(env::VarError::NotPresent) => Ok(Self {
                singles: 300,
                documents: 10_000,
                runs: 5,
                large: 5_000_000_000,
                records: 200_000,
                audited: 1_000_000,
                requests: 4_000,
                idle: Duration::from_secs(10),
                dear: 447,
                filling: Duration::from_secs(400),
                attacked: Duration::from_secs(60),
                peak: Duration::from_secs(10),
                overload: Duration::from_secs(60),
            }),
            other => bail!("MARKSTEIN_BENCH is {other:?}: set it to \"short\" or not at all"),
        }
    }
}
