//! What a node costs that has nothing to do.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{Bench, say, stats::megabytes, watched};

/// After work, a store tidies up; that is not idleness yet.
const SETTLE: Duration = Duration::from_secs(3);
const PROCESSOR_MAX: f64 = 1.0;
const MEMORY_MAX: u64 = 150_000_000;

/// Watches the node; `when` says in which state it is.
pub(crate) fn measure(bench: &mut Bench, when: &str) -> anyhow::Result<()> {
    say(&format!("watching an idle node, {when}"));
    let pid = bench.devnet.node().pid;
    thread::sleep(SETTLE);
    let (start, before) = (Instant::now(), watched::processor_time(pid)?);
    thread::sleep(bench.scale.idle);
    let share = (watched::processor_time(pid)? - before) / start.elapsed().as_secs_f64() * 100.0;
    let (memory, peak) = (watched::memory(pid, "VmRSS")?, watched::memory(pid, "VmHWM")?);
    let over = format!("over {} s", bench.scale.idle.as_secs());
    bench.table.judged(
        format!("idle node, {when}: processor"),
        format!("{share:.1} % of a core"),
        over,
        "below 1 %",
        share < PROCESSOR_MAX,
    );
    bench.table.judged(
        format!("idle node, {when}: memory"),
        format!("{:.0} MB", megabytes(memory)),
        format!("(its peak so far {:.0} MB)", megabytes(peak)),
        "below 150 MB",
        memory < MEMORY_MAX,
    );
    Ok(())
}
