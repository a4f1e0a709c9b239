//! The nodes that are audited: who can be asked for what, and who sent something else than was signed.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use markstein_proto::note::NOTE_MAX;
use tokio::{sync::Semaphore, time::Instant};

use super::tile::TileFault;
use crate::{
    connect::{ConnectError, Connection},
    http::{Answer, Away, Site},
    retry::Patience,
};

/// Requests under way at one node.
pub const AT_ONCE: usize = 8;
/// How often a node is asked for its checkpoint before it is taken for away, and the time between.
const CHECKPOINT_TRIES: u32 = 3;
const CHECKPOINT_PAUSE: Duration = Duration::from_millis(500);

/// Hears what the work waits for.
pub trait Observer: Send + Sync {
    /// Leaves up to here are about to be read; so many are read already.
    fn begins(&self, size: u64, read: u64);
    /// So many leaves are read.
    fn read(&self, leaves: u64);
    /// No node has what is wanted; they are asked again.
    fn waits(&self, why: &str, delay: Duration);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Observer for Deaf {
    fn begins(&self, _: u64, _: u64) {}
    fn read(&self, _: u64) {}
    fn waits(&self, _: &str, _: Duration) {}
}

/// Who may be asked.
#[derive(Clone, Copy, Debug)]
pub enum Source {
    /// Any node whose checkpoint covers this many leaves, this one first.
    Covering {
        /// How many.
        leaves: u64,
        /// Counts which node is asked first, so that all have something to do.
        turn: u64,
    },
    /// This node.
    Only(usize),
}

/// Why something cannot be had from anybody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// All that should have it sent something else.
    #[error("no node has what the authorities signed: {0}")]
    Nobody(String),
    /// Nobody answered for too long.
    #[error("gave up after {} s: {last}", total.as_secs())]
    TimedOut {
        /// How long it was tried.
        total: Duration,
        /// The last failure.
        last: Away,
    },
}

/// A node sent something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Number of the node.
    pub node: usize,
    /// What it sent.
    pub path: String,
    /// What is wrong with it.
    pub why: TileFault,
}

/// All nodes.
pub struct Nodes {
    members: Vec<Member>,
    patience: Patience,
    received: AtomicU64,
    accused: Mutex<Vec<Accusation>>,
    observer: Arc<dyn Observer>,
}

struct Member {
    site: Site,
    /// Leaves that its checkpoint covers; none where it has none that counts.
    covers: AtomicU64,
    /// Sent something wrong since it was asked for its checkpoint, and is asked no more.
    lied: AtomicBool,
    slots: Semaphore,
}

impl Nodes {
    /// These nodes; nothing is sent yet.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn new(
        urls: &[String],
        connection: Connection<'_>,
        patience: Patience,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ConnectError> {
        let member = |url: &String| {
            Ok(Member {
                site: Site::new(url, connection)?,
                covers: AtomicU64::new(0),
                lied: AtomicBool::new(false),
                slots: Semaphore::new(AT_ONCE),
            })
        };
        let members = urls.iter().map(member).collect::<Result<_, _>>()?;
        let (received, accused) = (AtomicU64::new(0), Mutex::default());
        Ok(Self { members, patience, received, accused, observer })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// URL of a node.
    #[must_use]
    pub fn url(&self, node: usize) -> &str {
        self.members[node].site.url()
    }

    /// Who hears of the work.
    #[must_use]
    pub fn observer(&self) -> &dyn Observer {
        &*self.observer
    }

    /// Bytes that came from all nodes so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Who sent something wrong since this was asked last; each node once.
    #[must_use]
    pub fn take_accused(&self) -> Vec<Accusation> {
        std::mem::take(&mut *self.accused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says what a node can be asked for from now on, until it lies.
    pub fn covers(&self, node: usize, leaves: u64) {
        self.members[node].covers.store(leaves, Ordering::Relaxed);
        self.members[node].lied.store(false, Ordering::Relaxed);
    }

    /// Whether a node is still asked for anything.
    #[must_use]
    pub fn is_asked(&self, node: usize) -> bool {
        let member = &self.members[node];
        member.covers.load(Ordering::Relaxed) > 0 && !member.lied.load(Ordering::Relaxed)
    }

    /// A node sent something wrong: it is asked no more.
    pub fn accuse(&self, node: usize, path: &str, why: TileFault) {
        if !self.members[node].lied.swap(true, Ordering::Relaxed) {
            let accusation = Accusation { node, path: path.into(), why };
            self.accused.lock().unwrap_or_else(PoisonError::into_inner).push(accusation);
        }
    }

    /// The newest checkpoint of a node, as it serves it.
    ///
    /// # Errors
    /// [`Away`] where it does not answer, or has none.
    pub async fn checkpoint(&self, node: usize) -> Result<Vec<u8>, Away> {
        let mut tries = 1;
        loop {
            let answered = self.ask(node, "checkpoint", NOTE_MAX).await;
            let failure = match answered {
                Ok(answer) if answer.code == 200 => return Ok(answer.body),
                Ok(answer) => self.away(node, &answer),
                Err(away) => away,
            };
            if tries == CHECKPOINT_TRIES {
                return Err(failure);
            }
            tries += 1;
            tokio::time::sleep(CHECKPOINT_PAUSE).await;
        }
    }

    /// Something that a node has and `check` finds to be what was signed. Who sends something else is accused, and the
    /// next is asked; where none answers all are asked again, for as long as there is patience.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn fetch<T>(
        &self,
        path: &str,
        max: usize,
        from: Source,
        check: impl Fn(Vec<u8>) -> Result<T, TileFault>,
    ) -> Result<T, Unavailable> {
        let until = Instant::now().checked_add(self.patience.total); // none where the clock never gets there
        let mut delay = self.patience.first_delay;
        loop {
            let (mut last, mut asked_for) = (None, Duration::ZERO);
            for node in self.candidates(from) {
                match self.ask(node, path, max).await {
                    Ok(Answer { code: 200, body, .. }) => match check(body) {
                        Ok(good) => return Ok(good),
                        Err(why) => self.accuse(node, path, why),
                    },
                    Ok(answer) if matches!(answer.code, 404 | 410) => {
                        self.accuse(node, path, TileFault::Missing(answer.code));
                    }
                    Ok(answer) => {
                        asked_for = asked_for.max(answer.retry_after.unwrap_or_default());
                        last = Some(self.away(node, &answer));
                    }
                    Err(away) => last = Some(away),
                }
            }
            let Some(last) = last else { return Err(Unavailable::Nobody(path.into())) };
            let pause = delay.max(asked_for);
            if until.is_some_and(|until| Instant::now() + pause > until) {
                return Err(Unavailable::TimedOut { total: self.patience.total, last });
            }
            self.observer.waits(&last.to_string(), pause);
            tokio::time::sleep(pause).await;
            delay = (2 * delay).min(self.patience.longest_delay);
        }
    }

    fn candidates(&self, from: Source) -> Vec<usize> {
        let count = self.members.len();
        match from {
            Source::Only(node) => vec![node].into_iter().filter(|node| self.is_asked(*node)).collect(),
            Source::Covering { leaves, turn } => {
                let first = (turn % count as u64) as usize;
                let covers = |node: &usize| self.members[*node].covers.load(Ordering::Relaxed) >= leaves;
                let all = (0..count).map(|i| (first + i) % count);
                all.filter(covers).filter(|node| self.is_asked(*node)).collect()
            }
        }
    }

    async fn ask(&self, node: usize, path: &str, max: usize) -> Result<Answer, Away> {
        let member = &self.members[node];
        let _slot = member.slots.acquire().await.expect("it is never closed");
        let answer = member.site.get(path, max).await?;
        self.received.fetch_add(answer.body.len() as u64, Ordering::Relaxed);
        Ok(answer)
    }

    fn away(&self, node: usize, answer: &Answer) -> Away {
        let why = match answer.code {
            404 => "has no checkpoint: is this the URL of a Markstein node?".into(),
            503 => "has nothing to serve now (HTTP 503): it starts, or no checkpoint has a quorum yet".into(),
            code => format!("answers HTTP {code}"),
        };
        Away { url: self.url(node).into(), why }
    }
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.site)).finish()
    }
}
