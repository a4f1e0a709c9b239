//! A whole folder of receipts, some at a time. Each receipt is by itself: a run that was ended is ended where it stood,
//! and the same command goes on.

use std::{path::PathBuf, sync::Arc, time::Duration};

use markstein_proto::{LeafIndex, LogSize, TimeMs, receipt::NotVerified, status::Status};
use rayon::prelude::*;
use tokio::task::{JoinSet, spawn_blocking};

use super::{FetchError, Fork, Found, Fresh, Known, Refresher, Replacement, replace};
use crate::{
    memory::{Memory, MemoryError},
    node::Reader,
    observer::{Event, Observer},
    receipts,
    retry::RetryError,
    scan::Unreadable,
    verify::as_of,
};

/// Receipts that are read, fetched and then replaced together.
const GROUP: usize = 512;
/// Receipts asked for at a time: a node lets 128 requests of one connection run.
const IN_FLIGHT: usize = 16;

/// What to do with a folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Leave receipts alone whose status is younger than this.
    pub older_than: Option<Duration>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// Receipts with a newer one in their place.
    pub refreshed: Vec<Changed>,
    /// How many were as new as the nodes have them.
    pub unchanged: usize,
    /// How many were young enough.
    pub skipped: usize,
    /// Receipts that do not verify themselves, and so cannot be renewed.
    pub not_genuine: Vec<Unreadable>,
    /// What could not be refreshed, and why.
    pub failed: Vec<Unreadable>,
    /// Why the run ended early; the same command goes on.
    pub stopped: Option<Stopped>,
}

/// Why a run ended early.
#[derive(Debug)]
pub enum Stopped {
    /// A node showed another log: nothing that came with it is taken.
    Fork {
        /// The two logs.
        fork: Box<Fork>,
        /// The receipt that was to be refreshed; none where another run remembered the other log meanwhile.
        receipt: Option<PathBuf>,
    },
    /// No node answers.
    Nodes(RetryError),
    /// The newest log seen cannot be kept, and without that nothing is replaced.
    Memory(MemoryError),
}

/// A receipt before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its file.
    pub path: PathBuf,
    /// Its record.
    pub index: LeafIndex,
    /// The as-of times.
    pub as_of: (TimeMs, TimeMs),
    /// The statuses.
    pub status: (Status, Status),
    /// The size of the log.
    pub log_size: LogSize,
}

/// All that a run needs.
pub struct Run<N> {
    /// Who asks.
    pub refresher: Arc<Refresher<N>>,
    /// What lasts.
    pub memory: Arc<Memory>,
    /// Who listens.
    pub observer: Arc<dyn Observer>,
}

/// A receipt file on its way.
struct Item {
    path: PathBuf,
    old: Vec<u8>,
    known: Known,
}

/// What a receipt file turned out to be.
enum Looked {
    Item(Box<Item>),
    Young,
    NotGenuine(Unreadable),
    Unreadable(Unreadable),
}

impl<N: Reader> Run<N> {
    /// Refreshes what was found.
    pub async fn run(&self, found: Found, options: Options) -> Report {
        let mut report = Report { failed: found.unreadable, ..Report::default() };
        self.observer.event(&Event::Refreshing { receipts: found.receipts.len() });
        for group in found.receipts.chunks(GROUP) {
            if let Err(stopped) = self.group(group, options, &mut report).await {
                report.stopped = Some(stopped);
                break;
            }
        }
        report
    }

    async fn group(&self, paths: &[PathBuf], options: Options, report: &mut Report) -> Result<(), Stopped> {
        let (refresher, paths) = (self.refresher.clone(), paths.to_vec());
        let look = move || -> Vec<Looked> {
            paths.into_par_iter().map(|path| look(&refresher, path, options)).collect()
        };
        let mut waiting = Vec::new();
        for looked in unwind(spawn_blocking(look).await) {
            match looked {
                Looked::Item(item) => waiting.push(*item),
                Looked::Young => report.skipped += 1,
                Looked::NotGenuine(it) => report.not_genuine.push(it),
                Looked::Unreadable(it) => report.failed.push(it),
            }
        }
        let (fetched, stopped) = self.fetch(waiting, report).await;
        // A fork taints what came with it. That no node answers any more does not.
        if let Some(fork @ Stopped::Fork { .. }) = stopped {
            return Err(fork);
        }
        self.remember().await?;
        self.replace(fetched, report).await;
        stopped.map_or(Ok(()), Err)
    }

    /// Some at a time; after what ends the run no new one is begun.
    async fn fetch(&self, items: Vec<Item>, report: &mut Report) -> (Vec<(Item, Fresh)>, Option<Stopped>) {
        let (mut waiting, mut running) = (items.into_iter(), JoinSet::new());
        let (mut fetched, mut stopped) = (Vec::new(), None);
        loop {
            while stopped.is_none() && running.len() < IN_FLIGHT {
                let Some(item) = waiting.next() else { break };
                let refresher = self.refresher.clone();
                running.spawn(async move {
                    let fresh = refresher.newest(item.known.verified.index, Some(&item.known)).await;
                    (item, fresh)
                });
            }
            let Some(done) = running.join_next().await else { return (fetched, stopped) };
            match unwind(done) {
                (item, Ok(fresh)) => fetched.push((item, fresh)),
                (item, Err(FetchError::Nodes(e @ RetryError::Denied(_)))) => {
                    report
                        .failed
                        .push(Unreadable { path: item.path, why: format!("was not refreshed: {e}") });
                }
                (_, Err(FetchError::Nodes(e))) => stopped = stopped.or(Some(Stopped::Nodes(e))),
                // A fork is the graver reason.
                (item, Err(FetchError::Fork(fork))) => match stopped {
                    Some(Stopped::Fork { .. }) => {}
                    _ => stopped = Some(Stopped::Fork { fork, receipt: Some(item.path) }),
                },
            }
        }
    }

    /// Before any receipt is replaced: what replaces it rests on a log that must not be forgotten.
    async fn remember(&self) -> Result<(), Stopped> {
        let Some(seen) = self.refresher.seen() else { return Ok(()) };
        let memory = self.memory.clone();
        let (seen, kept) = unwind(
            spawn_blocking(move || {
                let kept = memory.remember(&seen);
                (seen, kept)
            })
            .await,
        );
        kept.map_err(|e| match e {
            MemoryError::Forked(kept) => {
                let conflict = seen.conflict(&kept);
                let fork = Fork::new(conflict, &kept, &seen, Vec::new(), "a node of this run");
                Stopped::Fork { fork: Box::new(fork), receipt: None }
            }
            e => Stopped::Memory(e),
        })
    }

    async fn replace(&self, fetched: Vec<(Item, Fresh)>, report: &mut Report) {
        let is_new = |(item, fresh): &(Item, Fresh)| fresh.log.is_newer_than(&item.known.log);
        let (new, same): (Vec<_>, Vec<_>) = fetched.into_iter().partition(is_new);
        report.unchanged += same.len();
        same.iter().for_each(|(item, _)| self.observer.event(&Event::Receipt(&item.path)));
        let (mut changes, mut replacements) = (Vec::new(), Vec::new());
        for (Item { path, old, known: Known { verified: before, .. } }, fresh) in new {
            let after = fresh.verified;
            changes.push(Changed {
                path: path.clone(),
                index: after.index,
                as_of: (as_of(&before), as_of(&after)),
                status: (before.status, after.status),
                log_size: after.log_size,
            });
            replacements.push(Replacement { path, old, new: fresh.receipt.to_json() });
        }
        let results = unwind(spawn_blocking(move || replace(&replacements)).await);
        for (changed, result) in changes.into_iter().zip(results) {
            match result {
                Ok(()) => {
                    self.observer.event(&Event::Receipt(&changed.path));
                    report.refreshed.push(changed);
                }
                Err(e) => {
                    let why = format!("was not replaced: {e}");
                    report.failed.push(Unreadable { path: changed.path, why });
                }
            }
        }
    }
}

fn look<N: Reader>(refresher: &Refresher<N>, path: PathBuf, Options { older_than }: Options) -> Looked {
    let (old, receipt) = match receipts::read_with_bytes(&path) {
        Ok(read) => read,
        Err(e) => return Looked::Unreadable(Unreadable { path, why: format!("was not refreshed: {e}") }),
    };
    let known = match Known::verify(receipt, refresher.trust()) {
        Ok(known) => known,
        Err(e) => return not_verified(path, &e),
    };
    let age = (refresher.clock)().0.saturating_sub(as_of(&known.verified).0);
    if older_than.is_some_and(|limit| Duration::from_millis(age) <= limit) {
        return Looked::Young;
    }
    Looked::Item(Box::new(Item { path, old, known }))
}

/// A receipt of a later release is no forgery.
fn not_verified(path: PathBuf, why: &NotVerified) -> Looked {
    if why.is_unknown_version() {
        Looked::Unreadable(Unreadable { path, why: format!("was not refreshed: {why}; use a newer release") })
    } else {
        Looked::NotGenuine(Unreadable { path, why: format!("is not genuine: {why}") })
    }
}

/// A panic in a task goes on in its caller; nobody cancels these tasks.
fn unwind<T>(done: Result<T, tokio::task::JoinError>) -> T {
    match done {
        Ok(value) => value,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
