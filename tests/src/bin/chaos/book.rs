//! What the clients submitted, and what the nodes said of it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use markstein_client::api::Final;
use markstein_proto::receipt::Receipt;
use markstein_tests::craft::Submission;

/// Shared by all clients.
#[derive(Clone, Debug, Default)]
pub struct Book(Arc<Mutex<Pages>>);

/// The entries, and what no node may ever say.
#[derive(Debug, Default)]
pub struct Pages {
    /// In the order of submission.
    pub entries: Vec<Entry>,
    /// Answers that break a promise.
    pub broken: Vec<String>,
    /// The damaged node, which promises nothing any more.
    pub lost: Option<usize>,
}

/// One submission.
#[derive(Debug)]
pub struct Entry {
    /// The batch and its papers.
    pub submission: Submission,
    /// The node it went to.
    pub node: usize,
    /// When.
    pub sent: Instant,
    /// The node said that it is durable.
    pub accepted: bool,
    /// All its receipts came and verified.
    pub acknowledged: Option<Acknowledged>,
}

/// The end of a submission.
#[derive(Debug)]
pub struct Acknowledged {
    /// When.
    pub at: Instant,
    /// Where it stands.
    pub place: Final,
    /// One for each record, with the salt.
    pub receipts: Vec<Receipt>,
}

impl Book {
    /// For reading and writing; nobody waits while holding it.
    pub fn open(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a submission before it is sent; gives its number.
    pub fn sending(&self, node: usize, submission: &Submission) -> usize {
        let mut pages = self.open();
        pages.entries.push(Entry {
            submission: submission.clone(),
            node,
            sent: Instant::now(),
            accepted: false,
            acknowledged: None,
        });
        pages.entries.len() - 1
    }

    /// A node took it.
    pub fn accepted(&self, number: usize) {
        self.open().entries[number].accepted = true;
    }

    /// It is final, and each of its records has a receipt that verifies.
    pub fn acknowledged(&self, number: usize, place: Final, receipts: Vec<Receipt>) {
        let at = Instant::now();
        self.open().entries[number].acknowledged = Some(Acknowledged { at, place, receipts });
    }

    /// A node said what it must never say.
    pub fn broken(&self, node: usize, what: &str) {
        let mut pages = self.open();
        if pages.lost != Some(node) {
            pages.broken.push(format!("node {node}: {what}"));
        }
    }

    /// Whether something was acknowledged by each of these nodes that was submitted to it after this moment.
    pub fn all_acknowledged_since(&self, nodes: &[usize], moment: Instant) -> bool {
        let pages = self.open();
        let since = pages.entries.iter().rev().take_while(|entry| entry.sent >= moment);
        let done: Vec<usize> =
            since.filter(|entry| entry.acknowledged.is_some()).map(|entry| entry.node).collect();
        nodes.iter().all(|node| done.contains(node))
    }

    /// The longest time between two acknowledgements within this span; both its ends count as one.
    pub fn longest_pause(&self, from: Instant, to: Instant) -> Duration {
        let pages = self.open();
        let mut times: Vec<Instant> =
            pages.entries.iter().filter_map(|entry| Some(entry.acknowledged.as_ref()?.at)).collect();
        times.retain(|at| (from..to).contains(at));
        times.extend([from, to]);
        times.sort_unstable();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }
}
