//! An issuer that means harm, beside the clients: it submits what holds up others if anything does, and nobody asks what
//! becomes of it. What becomes of the others is demanded as ever.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use markstein_tests::{
    cluster::url_in,
    craft::Signer,
    grpc::Api,
    hostile::{Hostile, pour},
    random::Random,
};
use tokio::{
    runtime::Handle,
    sync::Mutex,
    time::{sleep, timeout},
};

use crate::plan::Attack;

const CONNECT_MAX: Duration = Duration::from_secs(2);
/// A round of submissions that nodes leave unanswered for longer is given up.
const ROUND_MAX: Duration = Duration::from_secs(10);
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// Batches of one round.
const ROUND: usize = 8;
/// Rounds of colliding batches in one attack: what waits stays, and a run has several attacks.
const COLLIDING_ROUNDS: usize = 6;
/// Records of the batches of a backlog, and rounds of them.
const BACKLOG_RECORDS: usize = 8000;
const BACKLOG_ROUNDS: usize = 3;

/// The issuer.
pub struct Offender {
    folders: Vec<PathBuf>,
    runtime: Handle,
    hostile: Arc<Mutex<Hostile>>,
    attack: Option<Arc<Underway>>,
}

/// One attack.
#[derive(Debug, Default)]
struct Underway {
    stop: AtomicBool,
    taken: AtomicUsize,
    turned_down: AtomicUsize,
}

impl Offender {
    /// The issuer with this key. `folders` are those of the nodes.
    pub fn new(folders: Vec<PathBuf>, signer: Signer, seed: u64, runtime: &Handle) -> Self {
        let hostile = Arc::new(Mutex::new(Hostile::new(signer, Random::new(!seed))));
        Self { folders, runtime: runtime.clone(), hostile, attack: None }
    }

    /// Begins an attack.
    pub fn begin(&mut self, attack: Attack) {
        let underway = Arc::new(Underway::default());
        let (folders, hostile) = (self.folders.clone(), Arc::clone(&self.hostile));
        self.attack = Some(Arc::clone(&underway));
        self.runtime.spawn(async move {
            let mut hostile = hostile.lock().await;
            // It fails only with the nodes, which are then shown to have failed by others.
            let _ = underway.go(attack, &folders, &mut hostile).await;
        });
    }

    /// Ends it; tells how much of it the nodes took.
    pub fn end(&mut self) -> String {
        let Some(underway) = self.attack.take() else { return String::new() };
        underway.stop.store(true, Ordering::SeqCst);
        let [taken, down] =
            [&underway.taken, &underway.turned_down].map(|count| count.load(Ordering::SeqCst));
        format!("{taken} batches taken, {down} turned down")
    }
}

impl Drop for Offender {
    fn drop(&mut self) {
        self.end();
    }
}

impl Underway {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    async fn go(&self, attack: Attack, folders: &[PathBuf], hostile: &mut Hostile) -> anyhow::Result<()> {
        while self.goes_on() && !hostile.is_settled() {
            let settled = match reachable(folders).await.first() {
                Some(api) => matches!(timeout(ROUND_MAX, hostile.settle(api)).await, Ok(Ok(()))),
                None => false,
            };
            if !settled {
                sleep(TRY_AGAIN).await;
            }
        }
        let mut rounds = 0;
        while self.goes_on() && rounds < most_rounds(attack) {
            rounds += 1;
            let round = (0..ROUND).map(|_| match attack {
                Attack::Collide => hostile.colliding(),
                Attack::Refuse => hostile.refused(),
                Attack::Flood => hostile.anchors(1),
                Attack::Backlog(_) => hostile.anchors(BACKLOG_RECORDS),
            });
            let round = round.map(|made| Ok(made?.bytes())).collect::<anyhow::Result<Vec<_>>>()?;
            hostile.turn();
            let apis = match attack {
                Attack::Backlog(node) => reachable(&folders[node..=node]).await,
                _ => reachable(folders).await,
            };
            if apis.is_empty() {
                sleep(TRY_AGAIN).await;
                continue;
            }
            if let Ok(poured) = timeout(ROUND_MAX, pour(&apis, round)).await {
                self.taken.fetch_add(poured.taken.len(), Ordering::SeqCst);
                self.turned_down.fetch_add(poured.turned_down.values().sum(), Ordering::SeqCst);
            }
        }
        Ok(())
    }
}

const fn most_rounds(attack: Attack) -> usize {
    match attack {
        Attack::Collide => COLLIDING_ROUNDS,
        Attack::Backlog(_) => BACKLOG_ROUNDS,
        Attack::Flood | Attack::Refuse => usize::MAX,
    }
}

/// Connections to the nodes that can be reached now.
async fn reachable(folders: &[PathBuf]) -> Vec<Api> {
    let mut apis = Vec::new();
    for folder in folders {
        let connection = async { Api::connect(&url_in(folder)?).await };
        if let Ok(Ok(api)) = timeout(CONNECT_MAX, connection).await {
            apis.push(api);
        }
    }
    apis
}
