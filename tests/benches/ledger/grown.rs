//! A ledger that has grown: what it takes to write and to read, and to start again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use markstein_client::{
    api::{
        GetReceiptRequest, RecordOfBatch, batch_state::State, get_receipt_request::Record,
        verification_client::VerificationClient,
    },
    time::now,
};
use markstein_proto::receipt::Receipt;
use markstein_tests::{
    craft::{Paper, Signer, Submission},
    grpc::Api,
    random::Random,
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::{
    Bench, check, idle, say,
    stats::{Human, Times, grouped, rate},
};

/// Records of a large batch.
const BATCH: usize = 10_000;
/// Clients that submit at once, and the connections they share.
const CLIENTS: usize = 64;
const CONNECTIONS: usize = 8;
/// Signature checks of a submission: before the pool takes it, and before it goes into a block.
const CHECKS: usize = 2;
const RESTARTS: usize = 5;

/// All of it, in the order in which the ledger grows.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let mut random = Random::new(3);
    let half = bench.scale.records / 2;
    let mut batches = grow(bench, half, &mut random)?;
    idle::measure(bench, &format!("after {} records more", grouped(half)))?;
    batches.extend(grow(bench, half, &mut random)?);
    receipts(bench, &batches, &mut random)?;
    small_batches(bench, &mut random)?;
    restarts(bench)
}

/// Large batches one after the other.
fn grow(bench: &mut Bench, records: usize, random: &mut Random) -> anyhow::Result<Vec<Submission>> {
    say(&format!("writing {} records", grouped(records)));
    let signer = Signer::read(&bench.devnet.issuer_key())?;
    let (mut batches, mut time) = (Vec::new(), Duration::ZERO);
    bench.runtime.block_on(async {
        let api = Api::connect(bench.devnet.url()).await?;
        for _ in 0..records / BATCH {
            let papers = (0..BATCH).map(|_| Paper::random(random)).collect();
            let batch = signer.submission(now(), papers)?;
            let start = Instant::now();
            submit(&api, &batch).await?;
            time += start.elapsed();
            batches.push(batch);
        }
        anyhow::Ok(())
    })?;
    let each = time / u32::try_from(batches.len())?;
    bench.table.open(
        format!("{} records in batches of {}", grouped(records), grouped(BATCH)),
        format!("{} records/s, {} a batch", grouped(rate(records, time) as usize), Human(each)),
        "",
    );
    Ok(batches)
}

async fn submit(api: &Api, submission: &Submission) -> anyhow::Result<()> {
    match api.submit_and_wait(submission.bytes()).await?.state {
        Some(State::Final(_)) => Ok(()),
        other => bail!("a good batch came to {other:?}"),
    }
}

/// Receipts of any records whatever, one at a time.
fn receipts(bench: &mut Bench, batches: &[Submission], random: &mut Random) -> anyhow::Result<()> {
    say("asking for receipts");
    let trust = bench.devnet.trust()?;
    let mut times = Vec::new();
    bench.runtime.block_on(async {
        let channel = Channel::from_shared(bench.devnet.url().to_owned())?.connect().await?;
        let mut client = VerificationClient::new(channel);
        for number in 0..20 + bench.scale.requests {
            let batch = &batches[random.below(batches.len() as u64) as usize];
            let position = random.below(batch.papers.len() as u64) as usize;
            let record =
                RecordOfBatch { batch_id: batch.id().0.0.to_vec(), position: u32::try_from(position)? };
            let start = Instant::now();
            let answer =
                client.get_receipt(GetReceiptRequest { record: Some(Record::OfBatch(record)) }).await?;
            let time = start.elapsed();
            let mut receipt = Receipt::from_json(&answer.into_inner().receipt)?;
            let paper = &batch.papers[position];
            receipt.salt = Some(paper.salt);
            receipt.verify(&trust, &paper.digest)?;
            if number >= 20 {
                times.push(time);
            }
        }
        anyhow::Ok(())
    })?;
    bench.table.open(
        format!("GetReceipt, any of {} records", grouped(batches.iter().map(|b| b.papers.len()).sum())),
        Times::of(times).latency(),
        "",
    );
    Ok(())
}

/// Many clients with one record each, again and again.
fn small_batches(bench: &mut Bench, random: &mut Random) -> anyhow::Result<()> {
    say("submitting small batches at once");
    let signer = Signer::read(&bench.devnet.issuer_key())?;
    let count = 4 * bench.scale.requests;
    let made = (0..count).map(|_| signer.submission(now(), vec![Paper::random(random)]));
    let made: Arc<Vec<Submission>> = Arc::new(made.collect::<anyhow::Result<_>>()?);
    let url = bench.devnet.url().to_owned();
    let (total, times) = bench.runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Api::connect(&url).await?);
        }
        let (next, mut clients, start) = (Arc::new(AtomicUsize::new(0)), JoinSet::new(), Instant::now());
        for number in 0..CLIENTS {
            let (api, made, next) = (connections[number % CONNECTIONS].clone(), made.clone(), next.clone());
            clients.spawn(async move {
                let mut times = Vec::new();
                while let Some(submission) = made.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    submit(&api, submission).await?;
                    times.push(start.elapsed());
                }
                anyhow::Ok(times)
            });
        }
        let mut times = Vec::new();
        while let Some(client) = clients.join_next().await {
            times.extend(client??);
        }
        anyhow::Ok((start.elapsed(), times))
    })?;
    check(times.len() == count, || format!("{} of {count} submissions", times.len()))?;
    bench.table.open(
        format!("batches of one record, {CLIENTS} clients at once"),
        format!("{} final/s, each {}", grouped(rate(count, total) as usize), Times::of(times).latency()),
        format!("signatures {}/s on a core", grouped(rate(1, bench.ceilings.of(0, CHECKS)) as usize)),
    );
    Ok(())
}

/// Until a submission would succeed: after an orderly stop, and after SIGKILL.
fn restarts(bench: &mut Bench) -> anyhow::Result<()> {
    say("stopping, killing and starting");
    let (mut stopped, mut started, mut recovered) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RESTARTS {
        let start = Instant::now();
        let status = bench.devnet.stop().context("stopping")?;
        check(status.success(), || format!("the devnet stopped with {status}"))?;
        stopped.push(start.elapsed());
        started.push(restart(bench)?);
    }
    for _ in 0..RESTARTS {
        bench.devnet.kill()?;
        recovered.push(restart(bench)?);
    }
    bench.table.open("stop of the grown ledger", Times::of(stopped).spread(), "");
    bench.table.open("start after it", Times::of(started).spread(), "");
    bench.table.open("start after SIGKILL", Times::of(recovered).spread(), "");
    Ok(())
}

fn restart(bench: &mut Bench) -> anyhow::Result<Duration> {
    let start = Instant::now();
    bench.devnet.restart()?;
    Ok(start.elapsed())
}
