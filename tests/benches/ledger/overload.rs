//! Four authorities that are offered three times as much as they can take, by senders that heed what they are told:
//! whether blocks go on, how much of the peak is left, and how soon all is done afterwards.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use markstein_client::{api::batch_state::State, time::now};
use markstein_tests::{
    cluster::Cluster,
    craft::{Paper, Signer},
    grpc::{Api, retry_after},
    random::Random,
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use crate::{
    Bench, say,
    stats::{Human, Times, grouped},
};

const AUTHORITIES: usize = 4;
/// Times of the measured peak.
const TIMES: f64 = 3.0;
const PAUSE_MAX: Duration = Duration::from_secs(2);
const ACCEPTED_LEAST: f64 = 0.8;
const LATENCY_MAX: Duration = Duration::from_secs(3);
const DRAIN_MAX: Duration = Duration::from_secs(3);
/// What is not so by then counts as having taken so long.
const GIVE_UP: Duration = Duration::from_secs(60);
/// Submissions to one node that have no answer yet; one that is due beyond them is not sent.
const UNANSWERED_MAX: usize = 256;
/// A sender that has nothing made any more, or no hint when to come again.
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Of what is accepted, so many a second are waited for.
const WATCHED_A_SECOND: f64 = 100.0;
const LOOKS_EVERY: Duration = Duration::from_millis(20);
/// More than the peak is made beforehand, so that the making takes no time from the nodes.
const MADE: f64 = 1.25;

/// Records of a batch, and how many batches are under way where the peak is measured.
const SIZES: [(usize, usize); 3] = [(1, 64), (100, 32), (2_000, 16)];

/// Each size of batches through one node, and through all.
pub(crate) fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    let folder = bench.folder("overload")?;
    for (records, at_once) in SIZES {
        for nodes in [1, AUTHORITIES] {
            let through = if nodes == 1 { "one node" } else { "all" };
            let name = format!("{records}-{nodes}");
            let cluster = Cluster::prepare(&folder.join(name), AUTHORITIES, 0)?;
            let run = Run {
                records,
                at_once,
                nodes,
                what: format!("batches of {} through {through}", grouped(records)),
            };
            run.measure(bench, cluster)?;
        }
    }
    Ok(())
}

struct Run {
    records: usize,
    at_once: usize,
    nodes: usize,
    what: String,
}

impl Run {
    fn measure(&self, bench: &mut Bench, mut cluster: Cluster) -> anyhow::Result<()> {
        cluster.start_all()?;
        let signer = Signer::read(&cluster.issuer_key())?;
        let apis = bench.runtime.block_on(connect(&cluster))?;
        say(&format!("the peak with {}", self.what));
        let peak = bench.runtime.block_on(self.peak(&apis, &signer, bench.scale.peak))?;
        bench.runtime.block_on(drained(&apis));

        let batches = peak / self.records as f64; // a second
        let time = bench.scale.overload;
        let count = (batches * time.as_secs_f64() * MADE) as usize + UNANSWERED_MAX * self.nodes;
        say(&format!("making {} batches", grouped(count)));
        let made = made(&signer, self.records, count, 11)?;
        say(&format!("three times the peak with {}", self.what));
        let looks = Looks::start(bench, &apis);
        let start = Instant::now();
        let offered = bench.runtime.block_on(self.offer(&apis, made, batches * TIMES, time));
        let (ended, lasted) = (Instant::now(), start.elapsed());
        let drain = bench.runtime.block_on(async { timeout(GIVE_UP, drained(&apis)).await });
        let drain = drain.map_or(GIVE_UP, |()| ended.elapsed());
        let (pause, of_one) = looks.end();
        let latencies = bench.runtime.block_on(offered.latencies());
        self.judge(bench, &offered, &Outcome { peak, lasted, pause, of_one, drain, latencies });
        Ok(())
    }

    fn judge(&self, bench: &mut Bench, offered: &Offered, outcome: &Outcome) {
        let Outcome { peak, lasted, pause, of_one, drain, latencies } = outcome;
        let figure = |what: &str| format!("3 x the peak, {}: {what}", self.what);
        let table = &mut bench.table;
        table.judged(
            figure("longest pause of finality"),
            Human(*pause).to_string(),
            format!("{} on one node", Human(*of_one)),
            Human(PAUSE_MAX).to_string(),
            *pause <= PAUSE_MAX,
        );
        let [accepted, told, unsent] =
            [&offered.accepted, &offered.told, &offered.unsent].map(|it| it.load(Ordering::SeqCst));
        let part = (accepted * self.records) as f64 / lasted.as_secs_f64() / peak;
        table.judged(
            figure("accepted"),
            format!("{part:.2} of the peak; {told} told to wait, {unsent} not sent"),
            format!("peak {} records/s", grouped(*peak as usize)),
            format!("{ACCEPTED_LEAST} of the peak"),
            part >= ACCEPTED_LEAST,
        );
        table.judged(
            figure("accepted until final"),
            latencies.latency(),
            offered.errors(),
            format!("p99 within {}", Human(LATENCY_MAX)),
            latencies.percentile(99) <= LATENCY_MAX,
        );
        table.judged(
            figure("drained after the end"),
            if *drain >= GIVE_UP { format!("not in {}", Human(*drain)) } else { Human(*drain).to_string() },
            "",
            Human(DRAIN_MAX).to_string(),
            *drain <= DRAIN_MAX,
        );
    }

    /// Records a second that become final with a fixed number of batches under way.
    async fn peak(&self, apis: &[Api], signer: &Signer, time: Duration) -> anyhow::Result<f64> {
        let (start, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for number in 0..self.at_once {
            let api = apis[number % self.nodes].clone();
            let (signer, done, records) = (signer.clone(), Arc::clone(&done), self.records);
            let mut random = Random::new(100 + number as u64);
            tasks.spawn(async move {
                while start.elapsed() < time {
                    let batch = batch(&signer, records, &mut random)?;
                    match api.submit_and_wait(batch).await {
                        Ok(answer) if matches!(answer.state, Some(State::Final(_))) => {
                            if start.elapsed() < time {
                                done.fetch_add(1, Ordering::SeqCst);
                            }
                        }
                        Ok(other) => anyhow::bail!("a good batch came to {other:?}"),
                        Err(status) => {
                            sleep(retry_after(&status).with_context(|| status.to_string())?).await;
                        }
                    }
                }
                Ok(())
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok((done.load(Ordering::SeqCst) * self.records) as f64 / time.as_secs_f64())
    }

    /// Offers so many batches a second, spread over the nodes, for so long.
    async fn offer(
        &self,
        apis: &[Api],
        made: VecDeque<Vec<u8>>,
        a_second: f64,
        time: Duration,
    ) -> Arc<Offered> {
        let offered = Arc::new(Offered { made: Mutex::new(made), ..Offered::default() });
        let every = Duration::from_secs_f64(self.nodes as f64 / a_second.max(1.0));
        let watch_one_in = (a_second / TIMES / WATCHED_A_SECOND).ceil().max(1.0) as usize;
        let mut senders = JoinSet::new();
        for api in &apis[..self.nodes] {
            let (api, offered) = (api.clone(), Arc::clone(&offered));
            senders.spawn(async move { Sender::new(api, offered, watch_one_in).send(every, time).await });
        }
        while senders.join_next().await.is_some() {}
        offered
    }
}

/// What was measured.
struct Outcome {
    /// Records a second.
    peak: f64,
    /// How long it was offered, answers included.
    lasted: Duration,
    pause: Duration,
    of_one: Duration,
    drain: Duration,
    latencies: Times,
}

/// What was offered, and what became of it.
#[derive(Default)]
struct Offered {
    made: Mutex<VecDeque<Vec<u8>>>,
    sent: AtomicUsize,
    accepted: AtomicUsize,
    told: AtomicUsize,
    unsent: AtomicUsize,
    failed: Mutex<Option<String>>,
    watched: Mutex<JoinSet<Duration>>,
}

impl Offered {
    fn next(&self) -> Option<Vec<u8>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn give_back(&self, batch: Vec<u8>) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push_front(batch);
    }

    /// From the sending until final, of those that were waited for.
    async fn latencies(&self) -> Times {
        let mut watched = std::mem::take(&mut *self.watched.lock().unwrap_or_else(PoisonError::into_inner));
        let mut times = Vec::new();
        while let Some(time) = watched.join_next().await {
            times.extend(time);
        }
        Times::of(if times.is_empty() { vec![GIVE_UP] } else { times })
    }

    fn errors(&self) -> String {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }
}

/// The sender for one node. Where the node tells it to come again, it sends nothing until then; what would have been due
/// meanwhile is not made up for.
struct Sender {
    api: Api,
    offered: Arc<Offered>,
    watch_one_in: usize,
    /// Until when it holds back.
    hold: Arc<Mutex<Instant>>,
    places: Arc<Semaphore>,
}

impl Sender {
    fn new(api: Api, offered: Arc<Offered>, watch_one_in: usize) -> Self {
        let (hold, places) = (Arc::new(Mutex::new(Instant::now())), Arc::new(Semaphore::new(UNANSWERED_MAX)));
        Self { api, offered, watch_one_in, hold, places }
    }

    async fn send(self, every: Duration, time: Duration) {
        let start = Instant::now();
        let mut due = start;
        while due < start + time {
            sleep_until(due.into()).await;
            let hold = *self.hold.lock().unwrap_or_else(PoisonError::into_inner);
            if hold > due {
                let missed = (hold - due).as_secs_f64() / every.as_secs_f64();
                self.offered.unsent.fetch_add(missed as usize, Ordering::SeqCst);
                due = hold;
                continue;
            }
            due += every;
            let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
                self.offered.unsent.fetch_add(1, Ordering::SeqCst);
                continue;
            };
            let Some(batch) = self.offered.next() else {
                due += TRY_AGAIN;
                continue;
            };
            let (api, offered, hold) = (self.api.clone(), Arc::clone(&self.offered), Arc::clone(&self.hold));
            let number = self.offered.sent.fetch_add(1, Ordering::SeqCst);
            let is_watched = number.is_multiple_of(self.watch_one_in);
            tokio::spawn(async move {
                let sent = Instant::now();
                let answer = api.submit(batch.clone()).await;
                drop(place);
                match answer {
                    Ok(answer) => {
                        offered.accepted.fetch_add(1, Ordering::SeqCst);
                        if is_watched {
                            let watch = watch(api, answer.batch_id, sent);
                            offered.watched.lock().unwrap_or_else(PoisonError::into_inner).spawn(watch);
                        }
                    }
                    Err(status) => {
                        offered.told.fetch_add(1, Ordering::SeqCst);
                        let hint = retry_after(&status);
                        if hint.is_none() {
                            let mut failed = offered.failed.lock().unwrap_or_else(PoisonError::into_inner);
                            *failed = Some(status.message().chars().take(60).collect());
                        }
                        offered.give_back(batch);
                        let until = Instant::now() + hint.unwrap_or(TRY_AGAIN);
                        let mut hold = hold.lock().unwrap_or_else(PoisonError::into_inner);
                        *hold = until.max(*hold);
                    }
                }
            });
        }
        // Those that have no answer yet.
        let _ = timeout(GIVE_UP, self.places.acquire_many(UNANSWERED_MAX as u32)).await;
    }
}

/// From the sending until the node says that it is final.
async fn watch(api: Api, batch: Vec<u8>, sent: Instant) -> Duration {
    let is_final = async {
        let id = markstein_proto::BatchId(markstein_proto::Hash::try_from(batch.as_slice()).ok()?);
        let mut states = api.watch(&[id]).await.ok()?;
        loop {
            if let Some(State::Final(_)) = states.message().await.ok()??.state {
                return Some(sent.elapsed());
            }
        }
    };
    timeout(GIVE_UP, is_final).await.ok().flatten().unwrap_or(GIVE_UP)
}

async fn connect(cluster: &Cluster) -> anyhow::Result<Vec<Api>> {
    let mut apis = Vec::new();
    for node in 0..AUTHORITIES {
        apis.push(Api::connect(&cluster.url(node)?).await?);
    }
    Ok(apis)
}

fn batch(signer: &Signer, records: usize, random: &mut Random) -> anyhow::Result<Vec<u8>> {
    let papers = (0..records).map(|_| Paper::random(random)).collect();
    Ok(signer.submission(now(), papers)?.bytes())
}

fn made(signer: &Signer, records: usize, count: usize, seed: u64) -> anyhow::Result<VecDeque<Vec<u8>>> {
    let mut random = Random::new(seed);
    (0..count).map(|_| batch(signer, records, &mut random)).collect()
}

/// Until no pool has anything left.
async fn drained(apis: &[Api]) {
    for api in apis {
        while !matches!(api.status().await, Ok(status) if status.pool_batches == 0) {
            sleep(LOOKS_EVERY).await;
        }
    }
}

/// Looks at the heights of all nodes all the time.
struct Looks {
    stop: Arc<AtomicBool>,
    /// For each node: when it was seen to be higher than before.
    rises: Vec<tokio::task::JoinHandle<Vec<(Instant, u64)>>>,
    runtime: tokio::runtime::Handle,
}

impl Looks {
    fn start(bench: &Bench, apis: &[Api]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let look = |api: &Api| {
            let (api, stop) = (api.clone(), Arc::clone(&stop));
            bench.runtime.spawn(async move {
                let (mut rises, mut height) = (Vec::new(), None);
                while !stop.load(Ordering::SeqCst) {
                    if let Ok(status) = api.status().await
                        && height.replace(status.height) != Some(status.height)
                    {
                        rises.push((Instant::now(), status.height));
                    }
                    sleep(LOOKS_EVERY).await;
                }
                rises
            })
        };
        let rises = apis.iter().map(look).collect();
        Self { stop, rises, runtime: bench.runtime.handle().clone() }
    }

    /// The longest time without a new block anywhere, and on one node.
    fn end(self) -> (Duration, Duration) {
        self.stop.store(true, Ordering::SeqCst);
        let mut nodes: Vec<Vec<(Instant, u64)>> =
            self.rises.into_iter().filter_map(|rises| self.runtime.block_on(rises).ok()).collect();
        // All is drained now, or will not be: a pause that has not ended counts.
        nodes.iter_mut().for_each(|rises| rises.push((Instant::now(), u64::MAX)));
        let longest = |rises: &[(Instant, u64)]| {
            rises.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(GIVE_UP)
        };
        let of_one = nodes.iter().map(|rises| longest(rises)).max().unwrap_or(GIVE_UP);
        let mut all: Vec<(Instant, u64)> = nodes.concat();
        all.sort_unstable();
        let mut highest = 0;
        all.retain(|(_, height)| {
            let is_new = *height > highest;
            highest = highest.max(*height);
            is_new
        });
        (longest(&all), of_one)
    }
}
