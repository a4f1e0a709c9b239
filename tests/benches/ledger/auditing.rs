//! Auditing a whole ledger: how fast on one core, and how much memory it takes.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use markstein_client::audit::{places::Places, replay::Replay, tile::Bundle};
use markstein_tests::{
    craft::Paper,
    made::MadeLog,
    process::LOOK_AGAIN,
    random::Random,
    tile_server::{Files, TileServer},
};
use rayon::ThreadPoolBuilder;
use serde_json::Value;

use crate::{
    Bench, check, say,
    stats::{Human, grouped, rate},
};

/// Records a second, on one core.
const TARGET: usize = 100_000;
/// Records of a batch; a batch is a signature.
const BATCH: usize = 1000;
const BATCHES_OF_A_BLOCK: usize = 5;
const BUNDLE: usize = 256;

/// On a made-up ledger: what an auditor computes, and the whole command.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let records = bench.scale.audited;
    say(&format!("making ledgers of up to {} records", grouped(records)));
    let large = made(records, BATCH)?;
    core(bench, &large, records, BATCH)?;
    let singles = made(records / 50, 1)?;
    core(bench, &singles, records / 50, 1)?;
    drop(singles);
    let small = made(records / 5, BATCH)?;
    command(bench, &small, records / 5)?;
    command(bench, &large, records)
}

fn made(records: usize, batch: usize) -> anyhow::Result<MadeLog> {
    let (mut log, mut random) = (MadeLog::new(4), Random::new(7));
    let batches = BATCHES_OF_A_BLOCK * (BATCH / batch).min(100);
    for _ in 0..records / batch / batches {
        let signer = log.signer(0);
        let papers = |random: &mut Random| (0..batch).map(|_| Paper::random(random)).collect();
        let made = (0..batches).map(|_| Ok(signer.submission(log.next_time(), papers(&mut random))?.batch));
        let made = made.collect::<anyhow::Result<Vec<_>>>()?;
        log.block(&made);
    }
    Ok(log)
}

/// From bundles in memory to a log found good: taking apart, hashing, decoding, every root, header and signature.
fn core(bench: &mut Bench, log: &MadeLog, records: usize, batch: usize) -> anyhow::Result<()> {
    say("auditing on one core");
    let framed = |leaves: &[Vec<u8>]| -> Vec<u8> {
        let length = |leaf: &Vec<u8>| u16::try_from(leaf.len()).unwrap_or(u16::MAX).to_be_bytes();
        leaves.iter().flat_map(|leaf| [&length(leaf)[..], leaf].concat()).collect()
    };
    let bundles: Vec<(u16, Vec<u8>)> =
        log.leaves().chunks(BUNDLE).map(|leaves| (leaves.len() as u16, framed(leaves))).collect();
    let one = ThreadPoolBuilder::new().num_threads(1).build()?;
    let start = Instant::now();
    let (counts, root) = one.install(|| {
        let mut replay = Replay::new(log.trust(), Places::in_memory());
        for (width, bytes) in bundles {
            let bundle = Bundle::read(bytes, width)?;
            let _ = std::hint::black_box(bundle.root()); // that it is what was signed
            for (leaf, hash) in bundle.leaves() {
                replay.leaf(leaf, hash)?;
            }
        }
        anyhow::Ok((replay.counts(), replay.root()))
    })?;
    let time = start.elapsed();
    check(counts.records == records as u64 && root == log.root(), || format!("{counts:?}"))?;
    let per_second = rate(records, time);
    let figure = format!("auditing {} records in batches of {batch}, one core", grouped(records));
    let measured = format!("{} records/s", grouped(per_second as usize));
    let signatures = bench.ceilings.of(0, 1) / u32::try_from(batch)?;
    let ceiling = format!("signatures alone {}/s", grouped(rate(1, signatures) as usize));
    if batch == BATCH {
        let target = format!("{} records/s", grouped(TARGET));
        bench.table.judged(figure, measured, ceiling, target, per_second >= TARGET as f64);
    } else {
        bench.table.open(figure, measured, ceiling);
    }
    Ok(())
}

/// `markstein audit` of a node on this machine, download and all.
fn command(bench: &mut Bench, log: &MadeLog, records: usize) -> anyhow::Result<()> {
    say("auditing with the command");
    let folder = bench.folder(&format!("auditing/{records}"))?;
    let genesis = folder.join("genesis.toml");
    fs::write(&genesis, log.trust().genesis().to_toml())?;
    let node = TileServer::honest(Files::of(log, log.checkpoint(0..4)));
    let state = folder.join("state");
    let paths = [&genesis, &state].map(|path| path.to_string_lossy().into_owned());
    let url = node.url();
    let arguments = ["audit", "--json", "--genesis", &paths[0], "--state", &paths[1], "--node", &url];
    let start = Instant::now();
    let mut child =
        bench.client.command(arguments).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut peak = 0;
    while child.try_wait()?.is_none() {
        peak = peak.max(peak_of(child.id()).unwrap_or_default());
        std::thread::sleep(LOOK_AGAIN);
    }
    let time = start.elapsed();
    let output = child.wait_with_output()?;
    let report: Value = serde_json::from_slice(&output.stdout).context("the report")?;
    check(report["exit_code"] == 0 && report["audited"]["records"] == records, || report.to_string())?;
    let seconds = report["this_run"]["seconds"].as_f64().context("its seconds")?;
    bench.table.open(
        format!("markstein audit of {} records, download and all", grouped(records)),
        format!(
            "{} records/s, {} in all, peak {} MiB",
            grouped(rate(records, Duration::from_secs_f64(seconds)) as usize),
            Human(time),
            peak / 1024
        ),
        "",
    );
    Ok(())
}

/// The most memory that a process has had, in KiB.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
