//! Strangers at the public port: how long others wait for Submit and the page meanwhile, and what the node's memory
//! comes to.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::Context;
use markstein_client::time::now;
use markstein_tests::{
    craft::{Paper, Signer},
    devnet::Devnet,
    grpc::Api,
    random::Random,
    strangers::{self, address, endless_streams, half_sent, silent_connections},
};

use crate::{
    Bench, check, say,
    stats::{Times, megabytes},
};

/// What the others wait at most, at p99.
const WAIT_MAX: Duration = Duration::from_secs(1);
const MEMORY_MAX: u64 = 256 << 20;
/// Idle connections from so many addresses.
const IDLE: usize = 10_000;
const ADDRESSES: usize = 100;

/// Each attack on a node of its own, so that each has its own peak of memory.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let stranger = address(1);
    for (name, what) in [
        ("quiet", "no strangers"),
        ("streams", "32 connections x 128 endless streams of health"),
        ("connections", "1,024 silent connections of one address"),
        ("half-sent", "256 half-sent submissions"),
        ("idle", "10,000 idle connections of 100 addresses"),
    ] {
        say(&format!("strangers: {what}"));
        let devnet = Devnet::start(&bench.folder(&format!("strangers-{name}"))?)?;
        let url = devnet.url();
        let mut held: Box<dyn std::any::Any> = Box::new(());
        bench.runtime.block_on(async {
            match name {
                "streams" => held = Box::new(endless_streams(url, stranger, 32, 128).await?),
                "connections" => held = Box::new(silent_connections(url, 1024, |_| stranger).await?),
                "half-sent" => held = Box::new(half_sent(url, stranger, 256).await?),
                "idle" => {
                    let of = |number| address(u16::try_from(10 + number % ADDRESSES).unwrap_or(u16::MAX));
                    held = Box::new(silent_connections(url, IDLE, of).await?);
                }
                _ => {}
            }
            anyhow::Ok(())
        })?;
        others(bench, &devnet, what)?;
        drop(held);
    }
    Ok(())
}

/// What callers of another address wait, each with a new connection, while all that is held is held.
fn others(bench: &mut Bench, devnet: &Devnet, what: &str) -> anyhow::Result<()> {
    let count = bench.scale.singles;
    let (signer, mut random) = (Signer::read(&devnet.issuer_key())?, Random::new(7));
    let from = address(2);
    let (mut pages, mut submits) = (Vec::new(), Vec::new());
    bench.runtime.block_on(async {
        for _ in 0..count {
            pages.push(page(devnet.url(), from).await?);
            let batch = signer.submission(now(), vec![Paper::random(&mut random)])?;
            let start = Instant::now();
            let api = Api::connect_from(devnet.url(), from).await?;
            api.submit(batch.bytes()).await.context("a submission of another address")?;
            submits.push(start.elapsed());
        }
        anyhow::Ok(())
    })?;
    let peak = strangers::memory(devnet.node().pid, "VmHWM")?;
    for (of, times) in [("page", Times::of(pages)), ("Submit", Times::of(submits))] {
        bench.table.judged(
            format!("{what}: {of} for another address"),
            times.latency(),
            format!("{count} new connections"),
            "p99 below 1 s",
            times.percentile(99) < WAIT_MAX,
        );
    }
    bench.table.judged(
        format!("{what}: the node's memory, at most"),
        format!("{:.0} MB", megabytes(peak)),
        "",
        "below 256 MiB",
        peak < MEMORY_MAX,
    );
    Ok(())
}

async fn page(url: &str, from: IpAddr) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let answer = strangers::get(url, from, "/").await?;
    check(answer.code == 200, || format!("the page came as {}", answer.code))?;
    Ok(start.elapsed())
}
