//! What the tests share: a ledger with a client, submissions under load, and the questions asked of a log.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use markstein_client::{api::batch_state::State, time::now};
use markstein_proto::{BatchId, Hash, Leaf, Record, log, receipt::TrustRoot};
use markstein_tests::{
    client::{Client, Run},
    craft::{Paper, Signer, Submission},
    devnet::Devnet,
    grpc::Api,
    random::Random,
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch, task::JoinSet};

/// A running ledger, a client, and a folder for both.
pub struct Ledger {
    pub devnet: Devnet, // dropped before its folder
    pub client: Client,
    pub folder: TempDir,
}

impl Ledger {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let devnet = Devnet::start(&folder.path().join("ledger")).unwrap();
        let client = Client::new(&folder.path().join("state")).unwrap();
        Self { devnet, client, folder }
    }

    /// A folder of its own below this one.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub fn signer(&self) -> Signer {
        Signer::read(&self.devnet.issuer_key()).unwrap()
    }

    /// `markstein anchor` with the devnet's key, type `decision`, and whatever else.
    pub fn anchor(&self, more: &[&str]) -> Run {
        self.client.run(self.anchor_arguments(more)).unwrap()
    }

    pub fn anchor_arguments(&self, more: &[&str]) -> Vec<String> {
        let key = self.devnet.issuer_key();
        let fixed =
            ["anchor", "--node", self.devnet.url(), "--key", key.to_str().unwrap(), "--type", "decision"];
        fixed.iter().chain(more).map(ToString::to_string).collect()
    }

    /// `markstein verify` with the devnet's genesis.
    pub fn verify(&self, more: &[&str]) -> Run {
        let genesis = self.devnet.genesis();
        let fixed = ["verify", "--genesis", genesis.to_str().unwrap()];
        self.client.run(fixed.iter().chain(more)).unwrap()
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Batches of one to three records each.
pub fn submissions(signer: &Signer, random: &mut Random, count: usize) -> Vec<Submission> {
    let made = (0..count).map(|_| {
        let papers = (0..=random.below(3)).map(|_| Paper::random(random)).collect();
        signer.submission(now(), papers).unwrap()
    });
    made.collect()
}

/// Many submissions at once, until all are acknowledged or the node is gone.
pub struct Load {
    waiting: Arc<Mutex<VecDeque<Submission>>>,
    tasks: JoinSet<Vec<Submission>>,
    acknowledged: watch::Receiver<usize>,
}

/// What a load came to.
pub struct Done {
    pub acknowledged: Vec<Submission>,
    /// Never sent, or sent without an answer: whether the node has them is not known.
    pub open: Vec<Submission>,
}

impl Load {
    /// Starts `width` tasks. Each waits for *accepted* and for *final* in turn: a node may be killed between the two.
    pub async fn start(url: &str, submissions: Vec<Submission>, width: usize) -> Self {
        let api = Api::connect(url).await.unwrap();
        let waiting = Arc::new(Mutex::new(VecDeque::from(submissions)));
        let (count, acknowledged) = watch::channel(0);
        let count = Arc::new(count);
        let mut tasks = JoinSet::new();
        for number in 0..width {
            let (api, waiting, count) = (api.clone(), waiting.clone(), count.clone());
            tasks.spawn(async move {
                let mut done = Vec::new();
                loop {
                    let Some(submission) = waiting.lock().unwrap().pop_front() else { return done };
                    let answer = match (number + done.len()) % 2 {
                        0 => api.submit(submission.bytes()).await,
                        _ => api.submit_and_wait(submission.bytes()).await,
                    };
                    match answer.map(|state| state.state) {
                        Ok(Some(State::Accepted(_) | State::Final(_))) => {
                            done.push(submission);
                            count.send_modify(|count| *count += 1);
                        }
                        Ok(other) => panic!("a good batch came to {other:?}"),
                        Err(_) => {
                            waiting.lock().unwrap().push_back(submission);
                            return done;
                        }
                    }
                }
            });
        }
        Self { waiting, tasks, acknowledged }
    }

    /// Completes once this many are acknowledged, or all tasks ended.
    pub async fn acknowledged(&mut self, count: usize) {
        let _ = self.acknowledged.wait_for(|now| *now >= count).await;
    }

    /// Waits for all tasks to end: nothing is left to send, or the node is gone.
    pub async fn end(mut self) -> Done {
        let mut acknowledged = Vec::new();
        while let Some(done) = self.tasks.join_next().await {
            acknowledged.extend(done.unwrap());
        }
        let open = std::mem::take(&mut *self.waiting.lock().unwrap()).into();
        Done { acknowledged, open }
    }
}

/// The batches of a log: each with its records' leaf hashes, in order. No batch stands in it twice.
pub fn batches(leaves: &[Leaf]) -> BTreeMap<BatchId, Vec<Hash>> {
    let mut batches = BTreeMap::new();
    let mut rest = leaves.iter();
    while let Some(leaf) = rest.next() {
        match leaf {
            Leaf::Header(_) => {}
            Leaf::Record(_) => panic!("a record without the head of its batch"),
            Leaf::BatchHead(head) => {
                let count = head.record_count as usize;
                let records: Vec<Hash> = rest.by_ref().take(count).map(Leaf::hash).collect();
                assert_eq!(
                    log::root_of(&records),
                    head.records_root,
                    "the records are those that were signed"
                );
                assert!(
                    batches.insert(head.id(), records).is_none(),
                    "batch {} is in the log twice",
                    head.id()
                );
            }
        }
    }
    batches
}

/// Anchors of a log, the genesis has none.
pub fn anchors(leaves: &[Leaf]) -> usize {
    leaves.iter().filter(|leaf| matches!(leaf, Leaf::Record(Record::Anchor(_)))).count()
}

/// Checks that the node knows each of these without being told again, and that each is final.
pub async fn assert_final(api: &Api, submissions: &[Submission]) {
    let ids: Vec<BatchId> = submissions.iter().map(Submission::id).collect();
    for state in api.decided(&ids).await.unwrap() {
        assert!(matches!(state.state, Some(State::Final(_))), "{state:?}");
    }
}

/// Checks that every submission is in the log once, as it was signed, and that each of its receipts verifies.
pub async fn assert_recorded(api: &Api, trust: &TrustRoot, submissions: &[Submission]) {
    let in_log = batches(&api.log().await.unwrap());
    for submission in submissions {
        let expected: Vec<Hash> = submission.batch.records().iter().map(|record| record.hash).collect();
        assert_eq!(in_log.get(&submission.id()), Some(&expected), "batch {}", submission.id());
        assert_receipts(api, trust, submission).await;
    }
}

async fn assert_receipts(api: &Api, trust: &TrustRoot, submission: &Submission) {
    let receipts = api.receipts(submission.id()).await.unwrap();
    assert_eq!(receipts.len(), submission.papers.len());
    for (mut receipt, paper) in receipts.into_iter().zip(&submission.papers) {
        receipt.salt = Some(paper.salt);
        receipt.verify(trust, &paper.digest).unwrap();
    }
}
