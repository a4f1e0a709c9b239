//! Batches that a block names and this node does not have: asked for, waited for, and given up.

use std::{collections::BTreeMap, sync::Arc};

use markstein_consensus::{Input, Verdict};
use markstein_proto::{Batch, BatchId, Hash, Header, View};

use super::{Audience, Driver, DriverError, blocks::head_hash};
use crate::{
    ledger::BLOCK_BYTES_MAX,
    messages::{ASKED_BATCHES_MAX, Message},
    peer::Peer,
};

/// A block whose batches do not come within this time names batches that may not exist.
const GIVE_UP: u64 = 5_000;
/// Pause before what is missing is asked for again, of everybody.
const ASK_AGAIN: u64 = 250;
/// A batch that is on its way by gossip is given this time before it is asked for.
const PATIENCE: u64 = 5;
/// Proposed blocks whose senders are remembered.
const PROPOSED_MAX: usize = 1024;

/// Blocks that wait for batches.
#[derive(Debug, Default)]
pub(super) struct Gather {
    waiting: BTreeMap<Hash, Waiting>,
    taken: BTreeMap<(BatchId, Hash), Arc<Batch>>,
    /// Blocks that came from their own leaders, and their views.
    proposed: BTreeMap<Hash, View>,
    /// Something came since the waiting blocks were looked at.
    news: bool,
}

#[derive(Debug)]
struct Waiting {
    header: Header,
    batches: Vec<(BatchId, Hash)>,
    found: Vec<Option<Arc<Batch>>>,
    ask_at: u64,
    /// Who is asked first; then everybody.
    first: Option<Peer>,
    until: u64,
}

impl Waiting {
    fn missing(&self) -> impl Iterator<Item = (BatchId, Hash)> + '_ {
        self.batches.iter().zip(&self.found).filter(|(_, found)| found.is_none()).map(|(named, _)| *named)
    }

    /// More bytes than a block may have: no need to get the rest.
    fn is_too_large(&self) -> bool {
        self.found.iter().flatten().map(|batch| batch.bytes().len()).sum::<usize>() > BLOCK_BYTES_MAX
    }
}

impl Gather {
    pub(super) fn start(
        &mut self,
        block: Hash,
        header: Header,
        batches: Vec<(BatchId, Hash)>,
        found: Vec<Option<Arc<Batch>>>,
        first: Peer,
        tick: u64,
    ) {
        let (ask_at, until) = (tick + PATIENCE, tick + GIVE_UP);
        self.waiting.insert(block, Waiting { header, batches, found, ask_at, first: Some(first), until });
    }

    /// Takes a batch that a block waits for; others are not kept.
    pub(super) fn take(&mut self, batch: Arc<Batch>) {
        let named = (batch.id(), head_hash(&batch));
        if self.waiting.values().any(|waiting| waiting.missing().any(|missing| missing == named)) {
            self.taken.insert(named, batch);
            self.news = true;
        }
    }

    pub(super) fn taken(&self, id: &BatchId, head: &Hash) -> Option<Arc<Batch>> {
        self.taken.get(&(*id, *head)).cloned()
    }

    /// The pool has new batches: one of them may be waited for.
    pub(super) fn look_again(&mut self) {
        self.news |= !self.waiting.is_empty();
    }

    pub(super) fn proposed(&mut self, block: Hash, view: View) {
        if self.proposed.len() < PROPOSED_MAX {
            self.proposed.insert(block, view);
        }
    }

    pub(super) fn is_proposed(&self, block: &Hash) -> bool {
        self.proposed.contains_key(block)
    }

    /// Forgets what is decided.
    pub(super) fn prune(&mut self, view: View) {
        self.waiting.retain(|_, waiting| waiting.header.view > view);
        self.proposed.retain(|_, at| *at > view);
        if self.waiting.is_empty() {
            self.taken.clear();
        }
    }

    pub(super) fn next_tick(&self) -> Option<u64> {
        self.waiting.values().map(|waiting| waiting.ask_at.min(waiting.until)).min()
    }
}

impl Driver {
    /// Judges blocks whose batches are there, gives up those whose time is over, and asks for what is missing.
    pub(super) fn run_gather(&mut self) -> Result<(), DriverError> {
        let tick = self.now.tick;
        if self.gather.waiting.is_empty()
            || !self.gather.news && self.gather.next_tick().is_some_and(|at| at > tick)
        {
            return Ok(());
        }
        self.gather.news = false;
        for (block, mut waiting) in std::mem::take(&mut self.gather.waiting) {
            for (named, found) in waiting.batches.iter().zip(&mut waiting.found) {
                if found.is_none() {
                    *found = self.find_batch(&named.0, &named.1)?;
                }
            }
            let complete = waiting.found.iter().all(Option::is_some);
            if complete || waiting.is_too_large() {
                let verdict = if complete {
                    self.judge(&waiting.header, waiting.found.into_iter().flatten().collect())?
                } else {
                    Verdict::Invalid
                };
                self.input(Input::Checked(block, verdict))?;
            } else if waiting.until <= tick {
                tracing::warn!(
                    %block, view = %waiting.header.view, proposer = waiting.header.proposer,
                    missing = waiting.missing().count(), "a block names batches that nobody gives"
                );
                self.input(Input::Checked(block, Verdict::Missing))?;
            } else {
                if waiting.ask_at <= tick {
                    self.ask(&mut waiting);
                }
                self.gather.waiting.insert(block, waiting);
            }
        }
        if self.gather.waiting.is_empty() {
            self.gather.taken.clear();
        }
        Ok(())
    }

    fn ask(&self, waiting: &mut Waiting) {
        waiting.ask_at = self.now.tick + ASK_AGAIN;
        let named = waiting.missing().take(ASKED_BATCHES_MAX).map(|(id, head)| (id, Some(head))).collect();
        let message = Message::AskBatches(named);
        match waiting.first.take().filter(|peer| self.me.is_none_or(|me| *peer != Peer::Authority(me))) {
            Some(peer) => self.outbox.send(peer, message),
            None => self.outbox.broadcast(Audience::Authorities, message),
        }
    }
}
