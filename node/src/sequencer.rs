//! Decides blocks where there is one authority: whatever is in the pool becomes a block at once.
//!
//! It drives [`Chain`] as the consensus engine does with more authorities: build for a view, then finalise.

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use crate::{
    chain::{Chain, ChainError},
    ledger::State,
    metrics::Metrics,
    pool::Wake,
};

/// Batches that are not admissible yet are looked at again after this time.
const RETRY: Duration = Duration::from_secs(1);

/// Cuts blocks until told to stop. `recosign` is how long the ledger may be silent before the newest checkpoint is
/// cosigned again.
///
/// # Errors
/// [`ChainError`], which stops the node.
pub fn run(
    mut chain: Chain,
    wake: &Receiver<Wake>,
    recosign: Duration,
    metrics: &Metrics,
) -> Result<(), ChainError> {
    chain.cosign_again()?; // after a start status is as of now, not as of when the node stopped
    let mut due = Instant::now() + recosign;
    loop {
        let wait = due.saturating_duration_since(Instant::now());
        let wait = if chain.has_pending() { wait.min(RETRY) } else { wait };
        match wake.recv_timeout(wait) {
            Ok(Wake::Pooled) | Err(RecvTimeoutError::Timeout) => {
                while cut(&mut chain, metrics)? {
                    due = Instant::now() + recosign;
                    // What else waits is asked of the pool, so wake-ups may be taken here; a stop may not wait.
                    if wake.try_iter().any(|wake| wake == Wake::Stop) {
                        return Ok(());
                    }
                }
                if Instant::now() >= due {
                    chain.cosign_again()?;
                    due = Instant::now() + recosign;
                }
            }
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Cuts one block, `false` where there is nothing to write.
fn cut(chain: &mut Chain, metrics: &Metrics) -> Result<bool, ChainError> {
    let started = Instant::now();
    let view = chain.state().tip().view.next();
    let Some(block) = chain.build(view, 0)? else { return Ok(false) };
    chain.finalize(&block)?;
    let records = block.batches.iter().map(|(_, batch)| batch.records().len()).sum();
    metrics.block(&block.header, block.batches.len(), records, started.elapsed());
    tracing::info!(
        height = %block.header.height, batches = block.batches.len(), records,
        size = block.frontier.size(), id = %block.header.block_id(), "block final"
    );
    Ok(true)
}
