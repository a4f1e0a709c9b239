//! How fast a node that has only the genesis gets a ledger from one other, and how long nothing becomes final after an
//! authority was killed.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;
use markstein_client::{api::batch_state::State, time::now};
use markstein_tests::{
    cluster::Cluster,
    craft::{Paper, Signer},
    grpc::Api,
    process::LOOK_AGAIN,
    random::Random,
};

use crate::{
    Bench, check, say,
    stats::{Human, Times, grouped, rate},
};

/// Records a second, whatever the size of the blocks.
const CAUGHT_UP: f64 = 20_000.0;
/// Records of a block that is large, of one that is small, and of the smallest.
const LARGE: usize = 10_000;
const SMALL: usize = 100;
const SMALLEST: usize = 1;
/// Blocks of one record.
const SMALLEST_BLOCKS: usize = 2_000;

const AUTHORITIES: usize = 4;
/// The configuration's first timeout of a view: what an authority that says nothing costs, each time it leads.
const VIEW_TIMEOUT: Duration = Duration::from_secs(1);
/// After this long the others do not wait for it any more, so what is anchored meanwhile meets all there is.
const NOTICED: Duration = Duration::from_secs(6);

/// An observer without data gets everything from the one authority there is.
pub(crate) fn catch_up(bench: &mut Bench) -> anyhow::Result<()> {
    let records = bench.scale.records;
    for (name, blocks, each) in [
        ("large", records / LARGE, LARGE),
        ("small", records / SMALL, SMALL),
        ("smallest", SMALLEST_BLOCKS * records / 200_000, SMALLEST),
    ] {
        let time = caught_up(bench, name, blocks, each)?;
        let figure =
            format!("catch-up from one node: {} blocks of {} records", grouped(blocks), grouped(each));
        let per_second = rate(blocks * each, time);
        let measured = format!(
            "{} records/s, {} blocks/s, {}",
            grouped(per_second as usize),
            grouped(rate(blocks, time) as usize),
            Human(time)
        );
        if each == SMALLEST {
            bench.table.open(figure, measured, "");
        } else {
            let target = format!("{} records/s", grouped(CAUGHT_UP as usize));
            bench.table.judged(figure, measured, "its start included", target, per_second >= CAUGHT_UP);
        }
    }
    Ok(())
}

/// From the start of the observer's process until it has all blocks.
fn caught_up(bench: &Bench, name: &str, blocks: usize, each: usize) -> anyhow::Result<Duration> {
    let folder = bench.folder(&format!("catch-up/{name}"))?;
    let mut cluster = Cluster::prepare(&folder.join("ledger"), 1, 1)?;
    let (signer, mut random) = (Signer::read(&cluster.issuer_key())?, Random::new(4));
    cluster.start(0)?;
    cluster.wait_ready(0)?;
    say(&format!("{} blocks of {} records to catch up with", grouped(blocks), grouped(each)));
    let url = cluster.url(0)?;
    let (height, size) = bench.runtime.block_on(async {
        let api = Api::connect(&url).await?;
        for _ in 0..blocks {
            let papers = (0..each).map(|_| Paper::random(&mut random)).collect();
            let answer = api.submit_and_wait(signer.submission(now(), papers)?.bytes()).await?;
            ensure!(matches!(answer.state, Some(State::Final(_))), "a good batch came to {answer:?}");
        }
        let status = api.status().await?;
        anyhow::Ok((status.height, status.log_size))
    })?;
    check(height >= blocks as u64, || format!("{blocks} batches are in {height} blocks"))?;
    let start = Instant::now();
    cluster.start(1)?;
    cluster.wait_answers(1)?;
    let url = cluster.url(1)?;
    bench.runtime.block_on(async {
        let api = Api::connect(&url).await?;
        loop {
            let status = api.status().await?;
            if status.height >= height {
                ensure!(status.log_size >= size, "another log: {status:?}");
                return Ok(start.elapsed());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    })
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// Whose turn it is, with nothing going on.
    Leader,
    /// Whose turn is next, with nothing going on.
    Next,
    /// Whoever it is, in the middle of it all.
    Any,
}

/// One authority is killed while documents are anchored one after the other: the longest time between two receipts.
pub(crate) fn pause(bench: &mut Bench) -> anyhow::Result<()> {
    let folder = bench.folder("pause")?;
    let mut cluster = Cluster::prepare(&folder.join("ledger"), AUTHORITIES, 0)?;
    let (signer, mut random) = (Signer::read(&cluster.issuer_key())?, Random::new(5));
    cluster.start_all()?;
    let mut pauses = Vec::new();
    for _ in 0..(bench.scale.singles / 60).max(1) {
        for whom in [Victim::Leader, Victim::Next, Victim::Any] {
            say(&format!("killing one of four authorities: {whom:?}"));
            pauses.push(killed(bench, &mut cluster, &signer, &mut random, whom)?);
        }
    }
    let times = Times::of(pauses);
    let target = VIEW_TIMEOUT * 2;
    bench.table.judged(
        "one of four authorities killed: longest time between two receipts",
        times.spread(),
        format!("the view's timeout is {}", Human(VIEW_TIMEOUT)),
        format!("below 2 timeouts = {}", Human(target)),
        times.percentile(100) < target,
    );
    Ok(())
}

fn killed(
    bench: &Bench,
    cluster: &mut Cluster,
    signer: &Signer,
    random: &mut Random,
    whom: Victim,
) -> anyhow::Result<Duration> {
    for node in 0..AUTHORITIES {
        cluster.wait_status(node, "votes and serves", |status| status.serving && status.voting)?;
    }
    let warm_up = 20 + random.below(20) as usize;
    anchor(bench, cluster, signer, random, 0, warm_up)?;
    // With nothing to do the view stays: its leader is the one that everybody will wait for.
    let view = idle_view(cluster)?;
    let victim = match whom {
        Victim::Leader => usize::try_from((view - 1) % AUTHORITIES as u64)?,
        Victim::Next => usize::try_from(view % AUTHORITIES as u64)?,
        Victim::Any => random.below(AUTHORITIES as u64) as usize,
    };
    let through = (victim + 1) % AUTHORITIES;
    if matches!(whom, Victim::Any) {
        let some = 1 + random.below(20) as usize;
        anchor(bench, cluster, signer, random, through, some)?;
    }
    let mut last = Instant::now();
    let (killed, mut longest) = (last, Duration::ZERO);
    cluster.kill(victim)?;
    while killed.elapsed() < NOTICED {
        anchor(bench, cluster, signer, random, through, 1)?;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    cluster.start(victim)?;
    Ok(longest)
}

/// The view in which all are, once they stay there.
fn idle_view(cluster: &Cluster) -> anyhow::Result<u64> {
    let mut before = 0;
    loop {
        let views = (0..AUTHORITIES).map(|node| Ok(cluster.status(node)?.view));
        let views = views.collect::<anyhow::Result<Vec<u64>>>()?;
        let first = views[0];
        if first > 0 && first == before && views.iter().all(|view| *view == first) {
            return Ok(first);
        }
        before = first;
        thread::sleep(LOOK_AGAIN * 10);
    }
}

/// Anchors so many documents one after the other through one node.
fn anchor(
    bench: &Bench,
    cluster: &Cluster,
    signer: &Signer,
    random: &mut Random,
    through: usize,
    count: usize,
) -> anyhow::Result<()> {
    let url = cluster.url(through)?;
    bench.runtime.block_on(async {
        let api = Api::connect(&url).await?;
        for _ in 0..count {
            let submission = signer.submission(now(), vec![Paper::random(random)])?;
            let answer = api.submit_and_wait(submission.bytes()).await?;
            ensure!(matches!(answer.state, Some(State::Final(_))), "a good batch came to {answer:?}");
        }
        Ok(())
    })
}
