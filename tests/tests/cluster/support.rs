//! What the tests share: a ledger of four authorities with a client, submissions, and the comparison of logs.

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use markstein_client::{
    api::{Final, StatusResponse, batch_state::State},
    time::now,
};
use markstein_proto::{Leaf, receipt::TrustRoot};
use markstein_tests::{
    client::Client,
    cluster::Cluster,
    craft::{Paper, Signer, Submission},
    grpc::{Api, retry_after},
    offices::admit,
    random::Random,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const AUTHORITIES: usize = 4;

/// What has not come about by then never will.
pub const PATIENCE: Duration = Duration::from_secs(180);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A ledger of four authorities, a client, and a folder for both.
pub struct Net {
    pub cluster: Cluster, // dropped before its folder
    pub client: Client,
    pub signer: Signer,
    pub trust: TrustRoot,
    pub random: Random,
    pub runtime: Runtime,
    pub folder: TempDir,
}

impl Net {
    /// All of it, nothing running yet.
    pub fn prepare(observers: usize) -> Self {
        Self::prepare_with(observers, &[]).0
    }

    /// The same with further issuers beside the devnet's own.
    pub fn prepare_with(observers: usize, offices: &[&str]) -> (Self, Vec<Signer>) {
        let folder = tempfile::tempdir().unwrap();
        let cluster = Cluster::prepare(&folder.path().join("ledger"), AUTHORITIES, observers).unwrap();
        let offices = if offices.is_empty() { Vec::new() } else { admit(&cluster, offices).unwrap() };
        let seed = seed();
        eprintln!("MARKSTEIN_SEED={seed}");
        let net = Self {
            client: Client::new(&folder.path().join("state")).unwrap(),
            signer: Signer::read(&cluster.issuer_key()).unwrap(),
            trust: cluster.trust().unwrap(),
            random: Random::new(seed),
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap(),
            cluster,
            folder,
        };
        (net, offices)
    }

    /// All of it, running.
    pub fn start(observers: usize) -> Self {
        let mut net = Self::prepare(observers);
        net.cluster.start_all().unwrap();
        net
    }

    /// A connection to a node as it is now.
    pub fn api(&self, node: usize) -> Api {
        let url = self.cluster.url(node).unwrap();
        self.runtime.block_on(Api::connect(&url)).unwrap()
    }

    /// A batch of one to three records.
    pub fn submission(&mut self) -> Submission {
        let papers = (0..=self.random.below(3)).map(|_| Paper::random(&mut self.random)).collect();
        self.signer.submission(now(), papers).unwrap()
    }

    /// Submits to a node that takes it, if need be when it said to come again.
    pub fn submit(&self, node: usize, submission: &Submission) -> State {
        let api = self.api(node);
        let taken = || match self.runtime.block_on(api.submit(submission.bytes())) {
            Ok(state) => state.state,
            Err(status) => {
                thread::sleep(retry_after(&status).unwrap_or_else(|| panic!("{status:?}")));
                None
            }
        };
        wait_for(|| format!("node {node} takes {}", submission.id()), taken)
    }

    /// Submits a new batch to a node and waits until it is final.
    pub fn anchor(&mut self, node: usize) -> (Submission, Final) {
        let submission = self.submission();
        self.submit(node, &submission);
        let place = self.wait_final(node, &submission);
        (submission, place)
    }

    /// What a node says of a batch that it may not know.
    pub fn state(&self, node: usize, submission: &Submission) -> State {
        self.runtime.block_on(self.api(node).state(submission.id())).unwrap()
    }

    /// Waits until a node says that a batch is final; it is not submitted again.
    pub fn wait_final(&self, node: usize, submission: &Submission) -> Final {
        let what = || format!("node {node} has batch {}: {:?}", submission.id(), self.cluster.status(node));
        wait_for(what, || match self.state(node, submission) {
            State::Final(place) => Some(place),
            State::Refused(refused) => panic!("{refused:?}"),
            State::Accepted(_) | State::Unknown(_) | State::Dropped(_) => None,
        })
    }

    /// Checks that a batch is final at this place on every node that runs, and that its receipts verify from one.
    pub fn assert_recorded(&mut self, all: &[(Submission, Final)]) {
        let from = self.running()[0];
        for node in self.running() {
            for (submission, place) in all {
                assert_eq!(&self.wait_final(node, submission), place, "node {node}");
            }
        }
        let api = self.api(from);
        for (submission, place) in all {
            self.runtime.block_on(assert_receipts(&api, &self.trust, submission, place));
        }
    }

    /// Numbers of the nodes that run.
    pub fn running(&self) -> Vec<usize> {
        (0..self.cluster.len()).filter(|node| self.cluster.is_running(*node)).collect()
    }

    /// Waits until an authority votes.
    pub fn wait_votes(&mut self, node: usize) {
        self.cluster.wait_status(node, "votes", |status| status.voting).unwrap();
    }

    /// Checks that the logs of these nodes, leaf by leaf, and their blocks are the same; waits for those that are
    /// behind, and gives the log.
    pub fn assert_same_logs(&self, nodes: &[usize]) -> Vec<Leaf> {
        let apis: Vec<Api> = nodes.iter().map(|node| self.api(*node)).collect();
        let log = wait_for(
            || format!("the logs of {nodes:?} have one length"),
            || {
                let logs = apis.iter().map(|api| self.runtime.block_on(api.log()).unwrap());
                let logs: Vec<Vec<Leaf>> = logs.collect();
                for (node, log) in nodes.iter().zip(&logs) {
                    let common = log.len().min(logs[0].len());
                    let other = (0..common).find(|i| log[*i] != logs[0][*i]);
                    assert_eq!(other, None, "leaf of node {node} that differs from node {}'s", nodes[0]);
                }
                logs.iter().all(|log| log.len() == logs[0].len()).then(|| logs[0].clone())
            },
        );
        let heights = log.iter().filter(|leaf| matches!(leaf, Leaf::Header(_))).count() as u64;
        for height in 0..heights {
            let block = |api: &Api| self.runtime.block_on(api.block(height)).unwrap();
            let first = block(&apis[0]);
            apis[1..].iter().for_each(|api| assert_eq!(block(api), first, "block {height}"));
        }
        assert_no_batch_is_in_twice(&log);
        log
    }

    /// A document with chance in it, below the folder.
    pub fn document(&mut self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, self.random.bytes(40)).unwrap();
        path
    }
}

/// Checks the receipts that a node gives for a batch: each verifies, and its record stands where the batch was said to.
pub async fn assert_receipts(api: &Api, trust: &TrustRoot, submission: &Submission, place: &Final) {
    let receipts = api.receipts(submission.id()).await.unwrap();
    assert_eq!(receipts.len(), submission.papers.len());
    for (position, (mut receipt, paper)) in receipts.into_iter().zip(&submission.papers).enumerate() {
        assert_eq!(receipt.record.index.0, place.head_index + 1 + position as u64);
        receipt.salt = Some(paper.salt);
        receipt.verify(trust, &paper.digest).unwrap();
    }
}

fn assert_no_batch_is_in_twice(log: &[Leaf]) {
    let heads = log.iter().filter_map(|leaf| match leaf {
        Leaf::BatchHead(head) => Some(head.id()),
        Leaf::Record(_) | Leaf::Header(_) => None,
    });
    let mut seen = BTreeSet::new();
    heads.for_each(|id| assert!(seen.insert(id), "batch {id} is in the log twice"));
}

/// Waits until something is so.
pub fn wait_for<T>(what: impl Fn() -> String, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < until, "not so after {PATIENCE:?}: {}", what());
        thread::sleep(LOOK_AGAIN);
    }
}

/// Ids of the authorities that a node misses.
pub fn missing(status: &StatusResponse) -> Vec<String> {
    status.authorities.iter().filter(|a| !a.connected).map(|a| a.authority_id.clone()).collect()
}

/// The id of an authority.
pub fn id(node: usize) -> String {
    format!("authority-{node}.devnet.example")
}

/// How often a test repeats what chance has a part in.
pub fn repeats(default: usize) -> usize {
    env::var("MARKSTEIN_REPEATS").map_or(default, |text| text.parse().unwrap())
}

/// Given, or another one in each run.
fn seed() -> u64 {
    env::var("MARKSTEIN_SEED").map_or_else(|_| now().0, |text| text.parse().unwrap())
}
