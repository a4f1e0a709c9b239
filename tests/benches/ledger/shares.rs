//! Four authorities, and issuers that fill their shares of the pools with the worst batches there are: how long another
//! issuer waits meanwhile, and how soon the ledger is back after a restart of all.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use markstein_client::{api::batch_state::State, time::now};
use markstein_tests::{
    cluster::{Cluster, url_in},
    craft::{Paper, Signer},
    grpc::{Api, reason, retry_after},
    hostile::{Hostile, pour},
    offices,
    process::LOOK_AGAIN,
    random::Random,
};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};
use tonic::Status;

use crate::{
    Bench, say,
    stats::{Human, Times, megabytes},
};

const AUTHORITIES: usize = 4;
/// The p99 while batches wait, in times of the idle p50.
const SLOWER: u32 = 10;
const WHILE_MORE_COME: Duration = Duration::from_millis(200);
const FIRST_BLOCK: Duration = Duration::from_secs(5);
/// What has not become final by then counts as having taken so long.
const GIVE_UP: Duration = Duration::from_secs(30);
/// Batches that collide on one anchor; they are under way at one time.
const GROUP: usize = 8;
/// Different batches of those that keep coming, of either kind.
const MORE: usize = 96;
const LOOKS_EVERY: Duration = Duration::from_millis(200);

/// One hostile issuer, then four.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    attacked(bench, 1)?;
    attacked(bench, 4)
}

fn attacked(bench: &mut Bench, issuers: usize) -> anyhow::Result<()> {
    let folder = bench.folder(&format!("shares/{issuers}"))?;
    let mut cluster = Cluster::prepare(&folder.join("ledger"), AUTHORITIES, 0)?;
    let ids: Vec<String> = (0..issuers).map(|number| format!("mallory-{number}.example")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let offices = offices::admit(&cluster, &ids)?;
    say(&format!("four authorities, hostile issuers: {issuers}"));
    cluster.start_all()?;
    let apis = bench.runtime.block_on(connect(&cluster))?;
    let mut honest = Honest { signer: Signer::read(&cluster.issuer_key())?, random: Random::new(7) };
    let mut hostile = Vec::new();
    for (number, signer) in offices.into_iter().enumerate() {
        let mut one = Hostile::new(signer, Random::new(number as u64));
        bench.runtime.block_on(one.settle(&apis[number % AUTHORITIES]))?;
        hostile.push(one);
    }
    let who = if issuers == 1 { "one issuer".to_owned() } else { format!("{issuers} issuers") };

    let idle = Times::of(bench.runtime.block_on(honest.anchor_many(&apis, bench.scale.singles))?);
    bench.table.open(format!("{who} to be hostile: another's anchor, before"), idle.latency(), "");

    say("filling the shares");
    let more = more(&mut hostile)?;
    let looks = Looks::start(bench, &apis);
    let filling = fill(&apis, &mut hostile, bench.scale.dear * issuers);
    let _ = bench.runtime.block_on(async { timeout(bench.scale.filling, filling).await });
    let waiting = bench.runtime.block_on(waiting(&apis))?;

    say("anchoring while they wait");
    let times = bench.runtime.block_on(honest.anchor_for(&apis, bench.scale.attacked))?;
    let target = idle.median() * SLOWER;
    judge(bench, format!("{who} with batches that wait: another's anchor"), &times, &waiting, target);

    say("anchoring while more keep coming");
    let stop = Arc::new(AtomicBool::new(false));
    let coming = bench.runtime.spawn(keep_coming(apis.clone(), more, Arc::clone(&stop)));
    let times = bench.runtime.block_on(honest.anchor_for(&apis, bench.scale.attacked))?;
    stop.store(true, Ordering::SeqCst);
    let came = bench.runtime.block_on(async { timeout(GIVE_UP, coming).await });
    let came = came.map_or_else(|_| "those under way have no answer".into(), Result::unwrap_or_default);
    judge(bench, format!("{who} while more keep coming: another's anchor"), &times, &came, WHILE_MORE_COME);

    let (looked, not_serving, why) = looks.end();
    bench.table.judged(
        format!("{who}: nodes that say NOT SERVING"),
        format!("{not_serving} of {looked} looks"),
        why,
        "never",
        not_serving == 0,
    );
    restarted(bench, &mut cluster, &mut honest, &who)
}

fn judge(bench: &mut Bench, figure: String, times: &Times, beside: &str, target: Duration) {
    let p99 = times.percentile(99);
    let unbounded = if times.percentile(100) >= GIVE_UP { ", given up" } else { "" };
    let measured = format!("{}, max {}{unbounded}", times.latency(), Human(times.percentile(100)));
    bench.table.judged(figure, measured, beside, format!("p99 within {}", Human(target)), p99 <= target);
}

async fn connect(cluster: &Cluster) -> anyhow::Result<Vec<Api>> {
    let mut apis = Vec::new();
    for node in 0..AUTHORITIES {
        apis.push(Api::connect(&cluster.url(node)?).await?);
    }
    Ok(apis)
}

/// An issuer that wants its documents anchored.
struct Honest {
    signer: Signer,
    random: Random,
}

impl Honest {
    fn batch(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(self.signer.submission(now(), vec![Paper::random(&mut self.random)])?.bytes())
    }

    /// So many, one after the other, through each node in turn.
    async fn anchor_many(&mut self, apis: &[Api], count: usize) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::new();
        for number in 0..count {
            times.push(self.anchor(&apis[number % apis.len()]).await?);
        }
        Ok(times)
    }

    /// The same for so long.
    async fn anchor_for(&mut self, apis: &[Api], length: Duration) -> anyhow::Result<Times> {
        let (start, mut times) = (Instant::now(), Vec::new());
        while start.elapsed() < length {
            times.push(self.anchor(&apis[times.len() % apis.len()]).await?);
        }
        Ok(Times::of(times))
    }

    /// From the first try until it is final; when it is told to come again it does.
    async fn anchor(&mut self, api: &Api) -> anyhow::Result<Duration> {
        let (start, batch) = (Instant::now(), self.batch()?);
        let anchored = async {
            loop {
                match api.submit_and_wait(batch.clone()).await {
                    Ok(answer) if matches!(answer.state, Some(State::Final(_))) => return Ok(()),
                    Ok(other) => bail!("a good batch came to {other:?}"),
                    Err(status) => {
                        let hint = retry_after(&status).with_context(|| format!("a good batch: {status}"))?;
                        sleep(hint).await;
                    }
                }
            }
        };
        match timeout(GIVE_UP, anchored).await {
            Ok(outcome) => outcome.map(|()| start.elapsed()),
            Err(_) => Ok(GIVE_UP),
        }
    }
}

/// A group of an issuer's batches that collide, of which one may become final.
fn group(issuer: &mut Hostile) -> anyhow::Result<Vec<Vec<u8>>> {
    issuer.turn();
    (0..GROUP).map(|_| Ok(issuer.colliding()?.bytes())).collect()
}

/// What keeps coming: such that wait, and such that are refused after all the work.
fn more(hostile: &mut [Hostile]) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut batches, issuers) = (Vec::new(), hostile.len());
    for number in 0..MORE / GROUP {
        let issuer = &mut hostile[number % issuers];
        let group = group(issuer)?;
        for dear in group {
            batches.extend([issuer.refused()?.bytes(), dear]);
        }
    }
    Ok(batches)
}

/// Submits one group after the other until this many batches wait in all pools.
async fn fill(apis: &[Api], hostile: &mut [Hostile], count: usize) -> anyhow::Result<()> {
    loop {
        for issuer in hostile.iter_mut() {
            pour(apis, group(issuer)?).await;
        }
        let mut least = u64::MAX;
        for api in apis {
            least = least.min(api.status().await?.pool_batches);
        }
        if least >= count as u64 {
            return Ok(());
        }
    }
}

/// What each node has in its pool.
async fn waiting(apis: &[Api]) -> anyhow::Result<String> {
    let mut words = Vec::new();
    for api in apis {
        let status = api.status().await?;
        words.push(format!("{} ({:.0} MB)", status.pool_batches, megabytes(status.pool_bytes)));
    }
    Ok(format!("waiting: {}", words.join(", ")))
}

/// Submits these over and over; tells what became of them.
async fn keep_coming(apis: Vec<Api>, batches: Vec<Vec<u8>>, stop: Arc<AtomicBool>) -> String {
    let (mut taken, mut down) = (0, 0);
    for round in batches.chunks(2 * GROUP).cycle() {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let poured = pour(&apis, round.to_vec()).await;
        taken += poured.taken.len();
        down += poured.turned_down.values().sum::<usize>();
    }
    format!("{taken} more were taken, {down} turned down")
}

/// Looks at all nodes all the time, whether they say that they serve.
struct Looks {
    task: JoinHandle<()>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    looks: AtomicUsize,
    not_serving: AtomicUsize,
    why: Mutex<String>,
}

impl Looks {
    fn start(bench: &Bench, apis: &[Api]) -> Self {
        let (apis, seen) = (apis.to_vec(), Arc::new(Seen::default()));
        let all = Arc::clone(&seen);
        let task = bench.runtime.spawn(async move {
            loop {
                for api in &apis {
                    let Ok(status) = api.status().await else { continue };
                    all.looks.fetch_add(1, Ordering::SeqCst);
                    if !status.serving {
                        all.not_serving.fetch_add(1, Ordering::SeqCst);
                        let why = status.conditions.into_iter().next().unwrap_or_default();
                        *all.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
                    }
                }
                sleep(LOOKS_EVERY).await;
            }
        });
        Self { task, seen }
    }

    fn end(self) -> (usize, usize, String) {
        self.task.abort();
        let why = self.seen.why.lock().unwrap_or_else(PoisonError::into_inner);
        let why = why.chars().take(60).collect();
        (self.seen.looks.load(Ordering::SeqCst), self.seen.not_serving.load(Ordering::SeqCst), why)
    }
}

/// All are killed with what waits in their pools, and started again: until the next anchor is final.
fn restarted(bench: &mut Bench, cluster: &mut Cluster, honest: &mut Honest, who: &str) -> anyhow::Result<()> {
    say("restarting all");
    (0..AUTHORITIES).try_for_each(|node| cluster.kill(node))?;
    let (start, batch) = (Instant::now(), honest.batch()?);
    (0..AUTHORITIES).try_for_each(|node| cluster.start(node))?;
    let folders: Vec<_> = (0..AUTHORITIES).map(|node| cluster.node_dir(node).to_owned()).collect();
    let told = Arc::new(Mutex::new(String::new()));
    let last = Arc::clone(&told);
    let is_final = bench.runtime.block_on(async {
        let mut tries = JoinSet::new();
        for folder in folders {
            let (batch, told) = (batch.clone(), Arc::clone(&told));
            tries.spawn(async move {
                loop {
                    let Ok(url) = url_in(&folder) else {
                        sleep(LOOK_AGAIN).await;
                        continue;
                    };
                    let answer = match Api::connect(&url).await {
                        Ok(api) => api.submit_and_wait(batch.clone()).await,
                        Err(_) => Err(Status::unavailable("it does not listen yet")),
                    };
                    match answer {
                        Ok(answer) if matches!(answer.state, Some(State::Final(_))) => return,
                        Ok(answer) => say(&format!("a good batch came to {answer:?}")),
                        Err(status) => {
                            *told.lock().unwrap_or_else(PoisonError::into_inner) = reason(&status).to_owned();
                            sleep(retry_after(&status).unwrap_or(LOOK_AGAIN * 4)).await;
                        }
                    }
                }
            });
        }
        timeout(GIVE_UP, tries.join_next()).await.is_ok()
    });
    let time = start.elapsed();
    bench.table.judged(
        format!("{who}: first block after a restart of all"),
        if is_final { Human(time).to_string() } else { format!("none in {}", Human(GIVE_UP)) },
        match last.lock().unwrap_or_else(PoisonError::into_inner).as_str() {
            "" => "processes start, ask each other, agree".to_owned(),
            word => format!("told {word} last"),
        },
        Human(FIRST_BLOCK).to_string(),
        is_final && time <= FIRST_BLOCK,
    );
    Ok(())
}
