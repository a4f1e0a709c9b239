//! Four authorities: how long an author waits, how many blocks there are in a minute, what they say with nothing to do,
//! and how soon they are back after all were killed at once.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use markstein_client::{api::batch_state::State, time::now};
use markstein_tests::{
    cluster::Cluster,
    craft::{Paper, Signer},
    devnet::Devnet,
    grpc::Api,
    process::LOOK_AGAIN,
    random::Random,
};

use crate::{
    Bench,
    ceilings::four_writers,
    check, say, single,
    stats::{Human, Times, megabytes, rate},
};

const AUTHORITIES: usize = 4;
/// Writes that the target allows: proposal, notarize, finalize.
const SYNCED_WRITES: u32 = 3;
const ALLOWANCE: Duration = Duration::from_millis(5);
const AIM: Duration = Duration::from_millis(3);
/// The slowest hundredth may take this many times the median.
const TAIL: u32 = 5;
const BLOCKS_TIME: Duration = Duration::from_secs(60);
const RESTART_TIME: Duration = Duration::from_secs(5);
/// Bytes a second on the link of two nodes, both directions together.
const SILENCE_MAX: f64 = 2000.0;

/// One document on an idle network, then blocks of one record each.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let folder = bench.folder("network")?;
    say("starting four authorities");
    let devnet = Devnet::start_with(&folder.join("ledger"), AUTHORITIES, 0)?;
    say("four writers that sync at once");
    let before = four_writers(&folder, bench.scale.singles)?;
    say("anchoring single documents with four authorities");
    let singles = single::anchor(bench, &devnet, "network/single")?;
    let after = four_writers(&folder, bench.scale.singles)?;
    let write = before.median().max(after.median());
    let (target, aim) = (write * SYNCED_WRITES + ALLOWANCE, write * SYNCED_WRITES + AIM);
    let written = format!("four at once sync {} and {}", Human(before.median()), Human(after.median()));
    bench.table.judged(
        "four authorities: one document, journal synced to verified receipt",
        singles.receipts.latency(),
        written.clone(),
        format!("p50 within 3 synced writes + 5 ms = {} (aim {})", Human(target), Human(aim)),
        singles.receipts.median() <= target,
    );
    let tail = singles.receipts.median() * TAIL;
    bench.table.judged(
        "four authorities: its p99",
        Human(singles.receipts.percentile(99)).to_string(),
        written,
        format!("within 5 times the p50 = {}", Human(tail)),
        singles.receipts.percentile(99) <= tail,
    );
    bench.table.open("of it until the batch is final", singles.finals.latency(), "");
    blocks(bench, &devnet)
}

/// Blocks of one record, one after the other, each submitted when the one before is acknowledged.
fn blocks(bench: &mut Bench, devnet: &Devnet) -> anyhow::Result<()> {
    let count = if bench.scale.singles >= 100 { 1000 } else { 100 };
    say(&format!("{count} blocks of one record"));
    let (signer, mut random) = (Signer::read(&devnet.issuer_key())?, Random::new(2));
    let urls: Vec<String> = devnet.nodes().iter().map(|node| node.grpc.clone()).collect();
    let (time, from, to) = bench.runtime.block_on(async {
        let mut apis = Vec::new();
        for url in &urls {
            apis.push(Api::connect(url).await?);
        }
        let from = apis[0].status().await?.height;
        let (start, mut to) = (Instant::now(), from);
        for number in 0..count {
            let submission = signer.submission(now(), vec![Paper::random(&mut random)])?;
            let answer = apis[number % apis.len()].submit_and_wait(submission.bytes()).await?;
            let Some(State::Final(place)) = answer.state else { anyhow::bail!("{answer:?}") };
            to = to.max(place.height);
        }
        anyhow::Ok((start.elapsed(), from, to))
    })?;
    check(to >= from + count as u64, || format!("{count} batches are in blocks {from} to {to}"))?;
    let target = BLOCKS_TIME * u32::try_from(count)? / 1000;
    bench.table.judged(
        format!("four authorities: {count} blocks of one record"),
        format!("{}, {:.0} a second", Human(time), rate(count, time)),
        "one after the other",
        format!("{}", Human(target)),
        time < target,
    );
    Ok(())
}

/// What goes over the machine's loopback, headers and all, while four authorities have nothing to do.
pub(crate) fn silence(bench: &mut Bench) -> anyhow::Result<()> {
    let folder = bench.folder("silence")?;
    let devnet = Devnet::start_with(&folder.join("ledger"), AUTHORITIES, 0)?;
    say("listening to four authorities with nothing to do");
    thread::sleep(Duration::from_secs(5)); // what is left to say after the start
    let (start, before) = (Instant::now(), loopback()?);
    thread::sleep(Duration::from_secs(if bench.scale.singles >= 100 { 60 } else { 10 }));
    let (time, after) = (start.elapsed(), loopback()?);
    let links = AUTHORITIES * (AUTHORITIES - 1) / 2;
    let per_link = (after - before) as f64 / time.as_secs_f64() / links as f64;
    drop(devnet);
    bench.table.judged(
        "four authorities with nothing to do, each link",
        format!("{:.2} KB/s with all headers", per_link / 1000.0),
        format!("{:.2} MB on loopback in {}", megabytes(after - before), Human(time)),
        "2 KB/s",
        per_link < SILENCE_MAX,
    );
    Ok(())
}

/// Bytes that came in over loopback since the machine started.
fn loopback() -> anyhow::Result<u64> {
    let all = fs::read_to_string("/proc/net/dev")?;
    let line =
        all.lines().find_map(|line| line.trim().strip_prefix("lo:")).context("there is no loopback")?;
    Ok(line.split_whitespace().next().context("it has counters")?.parse()?)
}

/// All are killed at once after a submission was acknowledged, and started again: until the next one is.
pub(crate) fn restart(bench: &mut Bench) -> anyhow::Result<()> {
    say("killing four authorities at once");
    let folder = bench.folder("restart")?;
    let mut cluster = Cluster::prepare(&folder.join("ledger"), AUTHORITIES, 0)?;
    let (signer, mut random) = (Signer::read(&cluster.issuer_key())?, Random::new(3));
    cluster.start_all()?;
    let mut times = Vec::new();
    for _ in 0..(bench.scale.singles / 20).max(3) {
        for _ in 0..20 {
            anchored(bench, &cluster, &signer, &mut random)?;
        }
        (0..AUTHORITIES).try_for_each(|node| cluster.kill(node))?;
        let start = Instant::now();
        (0..AUTHORITIES).try_for_each(|node| cluster.start(node))?;
        anchored(bench, &cluster, &signer, &mut random)?;
        times.push(start.elapsed());
    }
    let times = Times::of(times);
    bench.table.judged(
        "four authorities, all killed: start to the first new receipt",
        times.spread(),
        "processes start, ask each other, agree",
        "5 s",
        times.percentile(100) < RESTART_TIME,
    );
    Ok(())
}

/// Anchors one record with whichever node takes it first.
fn anchored(bench: &Bench, cluster: &Cluster, signer: &Signer, random: &mut Random) -> anyhow::Result<()> {
    let submission = signer.submission(now(), vec![Paper::random(random)])?;
    loop {
        for node in 0..AUTHORITIES {
            let Ok(url) = cluster.url(node) else { continue };
            let answer = bench.runtime.block_on(async {
                let api = Api::connect(&url).await.ok()?;
                api.submit_and_wait(submission.bytes()).await.ok()?.state
            });
            match answer {
                Some(State::Final(_)) => return Ok(()),
                Some(other) => anyhow::bail!("{other:?}"),
                None => {}
            }
        }
        thread::sleep(LOOK_AGAIN);
    }
}
