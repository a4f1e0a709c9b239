//! The clients: they submit to every node all the while, and remember each answer.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::bail;
use markstein_client::{
    api::{Final, batch_state::State},
    time::now,
};
use markstein_proto::receipt::TrustRoot;
use markstein_tests::{
    cluster::url_in,
    craft::{Paper, Signer, Submission},
    grpc::Api,
    random::Random,
};
use tokio::{
    runtime::Handle,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::book::Book;

/// A node that does not connect or answer within these is left alone for a moment; what it accepted stays in the book.
const CONNECT_MAX: Duration = Duration::from_secs(2);
const SUBMIT_MAX: Duration = Duration::from_secs(5);
const FINAL_MAX: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Between two submissions of one client.
const PAUSE_WAITING: Duration = Duration::from_millis(60);
const PAUSE_ONLY_ACCEPTED: Duration = Duration::from_millis(500);
/// Large batches, to fill what a store has reserved on a disk.
const LARGE_RECORDS: usize = 8000;
const LARGE_MAX: usize = 24;
/// Longer than any of the bounds above together.
const END_MAX: Duration = Duration::from_secs(60);

/// What each client has.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Of the nodes, in their order.
    pub folders: Vec<PathBuf>,
    /// Who submits.
    pub signer: Signer,
    /// What receipts are checked against.
    pub trust: Arc<TrustRoot>,
    /// Where all is written down.
    pub book: Book,
}

/// All clients.
pub struct Load {
    desk: Desk,
    runtime: Handle,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<()>,
    random: Random,
}

impl Load {
    /// Starts two clients for each node: one waits for its receipts, the other does not.
    pub fn start(desk: Desk, seed: u64, runtime: &Handle) -> Self {
        let mut load = Self {
            desk,
            runtime: runtime.clone(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
            random: Random::new(seed),
        };
        for node in 0..load.desk.folders.len() {
            for waits in [true, false] {
                let (desk, stop) = (load.desk.clone(), Arc::clone(&load.stop));
                let random = Random::new(load.random.next());
                load.tasks.spawn_on(client(desk, node, waits, random, stop), &load.runtime);
            }
        }
        load
    }

    /// Submits large batches to a node until it turns one down or there were enough, or until the load ends.
    pub fn flood(&mut self, node: usize) {
        let (desk, stop) = (self.desk.clone(), Arc::clone(&self.stop));
        let mut random = Random::new(self.random.next());
        let flood = async move {
            let Ok(api) = desk.connect(node).await else { return };
            for _ in 0..LARGE_MAX {
                if stop.load(Ordering::SeqCst)
                    || desk.submit(&api, node, LARGE_RECORDS, &mut random).await.is_err()
                {
                    return;
                }
            }
        };
        self.tasks.spawn_on(flood, &self.runtime);
    }

    /// Stops all clients.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        let all = async {
            while let Some(ended) = self.tasks.join_next().await {
                ended?;
            }
            anyhow::Ok(())
        };
        self.runtime.block_on(async { timeout(END_MAX, all).await })?
    }
}

async fn client(desk: Desk, node: usize, waits: bool, mut random: Random, stop: Arc<AtomicBool>) {
    let goes_on = || !stop.load(Ordering::SeqCst);
    while goes_on() {
        let Ok(api) = desk.connect(node).await else {
            sleep(TRY_AGAIN).await;
            continue;
        };
        while goes_on() {
            let records = 1 + random.below(3) as usize;
            let Ok((number, submission)) = desk.submit(&api, node, records, &mut random).await else { break };
            if waits {
                // What does not become final in time stays accepted; the end shows what became of it.
                let _ = timeout(FINAL_MAX, desk.acknowledge(&api, node, number, &submission)).await;
            }
            sleep(if waits { PAUSE_WAITING } else { PAUSE_ONLY_ACCEPTED }).await;
        }
        sleep(TRY_AGAIN).await;
    }
}

impl Desk {
    /// Its address may be another after each start.
    async fn connect(&self, node: usize) -> anyhow::Result<Api> {
        timeout(CONNECT_MAX, Api::connect(&url_in(&self.folders[node])?)).await?
    }

    async fn submit(
        &self,
        api: &Api,
        node: usize,
        records: usize,
        random: &mut Random,
    ) -> anyhow::Result<(usize, Submission)> {
        let papers = (0..records).map(|_| Paper::random(random)).collect();
        let submission = self.signer.submission(now(), papers)?;
        let number = self.book.sending(node, &submission);
        let state = timeout(SUBMIT_MAX, api.submit(submission.bytes())).await??;
        match state.state {
            Some(State::Accepted(_) | State::Final(_)) => self.book.accepted(number),
            other => bail!("a new batch came to {other:?}"),
        }
        Ok((number, submission))
    }

    /// Waits until it is final, and takes its receipts.
    async fn acknowledge(
        &self,
        api: &Api,
        node: usize,
        number: usize,
        submission: &Submission,
    ) -> anyhow::Result<()> {
        let mut states = api.watch(&[submission.id()]).await?;
        let place = loop {
            match states.message().await?.and_then(|state| state.state) {
                Some(State::Final(place)) => break place,
                Some(State::Accepted(_)) => {}
                Some(State::Unknown(_)) => {
                    let what = format!("it accepted {} and does not know it", submission.id());
                    self.book.broken(node, &what);
                    bail!(what);
                }
                other => bail!("the node says {other:?}"),
            }
        };
        let mut receipts = api.receipts(submission.id()).await?;
        if let Err(why) = verify_all(&self.trust, submission, &place, &mut receipts) {
            self.book.broken(node, &format!("receipts of {}: {why:#}", submission.id()));
            return Err(why);
        }
        self.book.acknowledged(number, place, receipts);
        Ok(())
    }
}

/// Gives each receipt its salt, and checks that it verifies and stands where its batch is said to.
pub fn verify_all(
    trust: &TrustRoot,
    submission: &Submission,
    place: &Final,
    receipts: &mut [markstein_proto::receipt::Receipt],
) -> anyhow::Result<()> {
    if receipts.len() != submission.papers.len() {
        bail!("{} receipts for {} records", receipts.len(), submission.papers.len());
    }
    for (position, (receipt, paper)) in receipts.iter_mut().zip(&submission.papers).enumerate() {
        if receipt.record.index.0 != place.head_index + 1 + position as u64 {
            bail!("the receipt of record {position} names index {}", receipt.record.index.0);
        }
        receipt.salt = Some(paper.salt);
        receipt.verify(trust, &paper.digest)?;
    }
    Ok(())
}
