//! Batches that a block names and this node does not have: asked for, waited for, and given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use markstein_consensus::{Input, Verdict};
use markstein_proto::{Batch, BatchId, Hash, Header, View};

use super::{Audience, Driver, DriverError};
use crate::{
    ledger::BLOCK_BYTES_MAX,
    messages::{ASKED_BATCHES_MAX, Message},
    peer::{Misbehaviour, Peer},
};

/// A block of whose batches none came for this long names batches that may not exist.
const GIVE_UP: u64 = 5_000;
/// No block is waited for any longer than this, however its batches trickle in.
const GIVE_UP_AT_LAST: u64 = 10_000;
/// Pause before what is missing is asked for again, of everybody.
const ASK_AGAIN: u64 = 250;
/// A batch that is on its way by gossip is given this time before it is asked for.
const PATIENCE: u64 = 5;
/// Batches that are asked for and still under way when the next ones are asked for.
const UNDER_WAY_MIN: usize = ASKED_BATCHES_MAX / 4;
/// Proposed blocks whose senders are remembered.
const PROPOSED_MAX: usize = 1024;

/// Blocks that wait for batches.
#[derive(Debug, Default)]
pub(super) struct Gather {
    waiting: BTreeMap<Hash, Waiting>,
    /// Blocks that came from their own leaders: view, and what stands for the list of batches they came with.
    proposed: BTreeMap<Hash, (View, Hash)>,
    /// The pool has new batches since the waiting blocks were looked at.
    pooled: bool,
    /// A waiting block is complete, or has its next batches to ask for.
    progress: bool,
}

#[derive(Debug)]
struct Waiting {
    header: Header,
    found: Vec<Option<Arc<Batch>>>,
    /// Bytes of those found.
    bytes: usize,
    /// What is missing, and its places in the block.
    missing: BTreeMap<(BatchId, Hash), Vec<usize>>,
    /// Of these the pool holds another version than the block names; it never changes that.
    otherwise: BTreeSet<BatchId>,
    /// The last one asked for in this round, and how many are under way.
    asked: Option<(BatchId, Hash)>,
    under_way: usize,
    ask_at: u64,
    /// Who is asked first; then everybody.
    first: Option<Peer>,
    until: u64,
    until_at_last: u64,
}

impl Waiting {
    /// Takes a batch that is missing. False where it is not.
    fn take(&mut self, named: &(BatchId, Hash), batch: &Arc<Batch>, tick: u64) -> bool {
        let Some(places) = self.missing.remove(named) else { return false };
        for place in places {
            self.bytes += batch.bytes().len();
            self.found[place] = Some(Arc::clone(batch));
        }
        self.under_way = self.under_way.saturating_sub(1);
        self.until = (tick + GIVE_UP).min(self.until_at_last);
        if self.asked.is_some() {
            self.ask_at = tick + ASK_AGAIN;
        }
        true
    }

    /// Whether somebody else than its proposer was asked for what is missing.
    fn was_asked_of_all(&self) -> bool {
        self.asked.is_some() && self.first.is_none()
    }

    /// Whether its check can be answered: all is here, or more than a block may have.
    fn is_decided(&self) -> bool {
        self.missing.is_empty() || self.bytes > BLOCK_BYTES_MAX
    }

    /// Whether more may be asked for before the next round.
    fn wants_more(&self) -> bool {
        self.under_way < UNDER_WAY_MIN && self.asked.is_some_and(|asked| self.after(asked).next().is_some())
    }

    fn after(&self, asked: (BatchId, Hash)) -> impl Iterator<Item = (BatchId, Hash)> + '_ {
        use std::ops::Bound::{Excluded, Unbounded};
        self.missing.range((Excluded(asked), Unbounded)).map(|(named, _)| *named)
    }

    /// The next ones to ask for, from the beginning again where a round begins.
    fn next(&mut self, begins: bool) -> Vec<(BatchId, Hash)> {
        let named: Vec<(BatchId, Hash)> = match self.asked.filter(|_| !begins) {
            Some(asked) => self.after(asked).take(ASKED_BATCHES_MAX).collect(),
            None => self.missing.keys().take(ASKED_BATCHES_MAX).copied().collect(),
        };
        self.under_way = named.len() + if begins { 0 } else { self.under_way };
        self.asked = named.last().copied().or(self.asked);
        named
    }
}

impl Gather {
    pub(super) fn start(
        &mut self,
        block: Hash,
        header: Header,
        batches: &[(BatchId, Hash)],
        found: Vec<Option<Arc<Batch>>>,
        first: Peer,
        tick: u64,
    ) {
        let mut missing: BTreeMap<(BatchId, Hash), Vec<usize>> = BTreeMap::new();
        for (place, named) in batches.iter().enumerate().filter(|(place, _)| found[*place].is_none()) {
            missing.entry(*named).or_default().push(place);
        }
        let bytes = found.iter().flatten().map(|batch| batch.bytes().len()).sum();
        self.waiting.insert(
            block,
            Waiting {
                header,
                found,
                bytes,
                missing,
                otherwise: BTreeSet::new(),
                asked: None,
                under_way: 0,
                ask_at: tick + PATIENCE,
                first: Some(first),
                until: tick + GIVE_UP,
                until_at_last: tick + GIVE_UP_AT_LAST,
            },
        );
        self.pooled = true; // something may have come in between
    }

    /// A block is not waited for, or anew with another list.
    pub(super) fn forget(&mut self, block: &Hash) {
        self.waiting.remove(block);
    }

    /// Takes a batch that a block waits for; others are not kept.
    pub(super) fn take(&mut self, batch: &Arc<Batch>, tick: u64) {
        if self.waiting.is_empty() {
            return;
        }
        let named = (batch.id(), batch.head_hash());
        for waiting in self.waiting.values_mut() {
            if waiting.take(&named, batch, tick) {
                self.progress |= waiting.is_decided() || waiting.wants_more();
            }
        }
    }

    /// The pool has new batches: one of them may be waited for.
    pub(super) fn look_again(&mut self) {
        self.pooled |= !self.waiting.is_empty();
    }

    pub(super) fn proposed(&mut self, block: Hash, view: View, batches: &[(BatchId, Hash)]) {
        if self.proposed.len() < PROPOSED_MAX {
            self.proposed.insert(block, (view, list_hash(batches)));
        }
    }

    /// Whether a block came from its leader with this list: others may have given it with another.
    pub(super) fn is_proposed(&self, block: &Hash, batches: &[(BatchId, Hash)]) -> bool {
        self.proposed.get(block).is_some_and(|(_, list)| *list == list_hash(batches))
    }

    /// Forgets what is decided. Gives the headers of blocks whose batches everybody was asked for in vain.
    pub(super) fn prune(&mut self, view: View) -> Vec<Header> {
        let (kept, decided): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, waiting)| waiting.header.view > view);
        self.waiting = kept;
        let in_vain = decided
            .into_iter()
            .filter(|(block, waiting)| self.proposed.contains_key(block) && waiting.was_asked_of_all());
        let in_vain = in_vain.map(|(_, waiting)| waiting.header).collect();
        self.proposed.retain(|_, (at, _)| *at > view);
        in_vain
    }

    pub(super) fn next_tick(&self) -> Option<u64> {
        self.waiting.values().map(|waiting| waiting.ask_at.min(waiting.until)).min()
    }

    fn is_due(&self, tick: u64) -> bool {
        let timed = || self.next_tick().is_some_and(|at| at <= tick);
        !self.waiting.is_empty() && (self.pooled || self.progress || timed())
    }
}

impl Driver {
    /// Judges blocks whose batches are there, gives up those whose time is over, and asks for what is missing.
    pub(super) fn run_gather(&mut self) -> Result<(), DriverError> {
        let tick = self.now.tick;
        if !self.gather.is_due(tick) {
            return Ok(());
        }
        self.gather.progress = false;
        let pooled = std::mem::take(&mut self.gather.pooled);
        for (block, mut waiting) in std::mem::take(&mut self.gather.waiting) {
            if pooled {
                self.look_into_pool(&mut waiting)?;
            }
            if waiting.is_decided() {
                let verdict = if waiting.missing.is_empty() {
                    self.judge(&waiting.header, waiting.found.into_iter().flatten().collect())?
                } else {
                    Verdict::Invalid
                };
                self.input(Input::Checked(block, verdict))?;
            } else if waiting.until <= tick {
                tracing::warn!(
                    %block, view = %waiting.header.view, proposer = waiting.header.proposer,
                    missing = waiting.missing.len(), "a block names batches that nobody gives"
                );
                if self.is_as_proposed(&block) {
                    self.name_missing(&waiting.header);
                }
                self.input(Input::Checked(block, Verdict::Missing))?;
            } else {
                self.ask(&mut waiting);
                self.gather.waiting.insert(block, waiting);
            }
        }
        Ok(())
    }

    /// Whether the list of batches of a block is the one that its leader sent.
    pub(super) fn is_as_proposed(&self, block: &Hash) -> bool {
        self.engine.body(block).is_some_and(|(_, batches)| self.gather.is_proposed(block, batches))
    }

    pub(super) fn name_missing(&self, header: &Header) {
        let what = format!("a block in view {} names batches that nobody gives", header.view);
        self.outbox
            .misbehaved(Peer::Authority(header.proposer), Misbehaviour::excusable("missing_batches", what));
    }

    fn look_into_pool(&self, waiting: &mut Waiting) -> Result<(), DriverError> {
        let here = |id: &BatchId| !waiting.otherwise.contains(id) && self.pool.contains(id);
        let pooled: Vec<(BatchId, Hash)> =
            waiting.missing.keys().filter(|(id, _)| here(id)).copied().collect();
        for named in pooled {
            match self.pool.batch(&self.db, &named.0)? {
                Some(batch) if batch.head_hash() == named.1 => {
                    waiting.take(&named, &batch, self.now.tick);
                }
                Some(_) => {
                    waiting.otherwise.insert(named.0);
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Asks for what is missing, a part at a time: of the proposer first, of everybody when nothing more comes.
    fn ask(&self, waiting: &mut Waiting) {
        let begins = waiting.ask_at <= self.now.tick;
        if !begins && !waiting.wants_more() {
            return;
        }
        if begins && waiting.asked.is_some() {
            waiting.first = None; // it was asked before, and nothing more comes
        }
        waiting.ask_at = self.now.tick + ASK_AGAIN;
        let message = Message::AskBatches(waiting.next(begins));
        match waiting.first.filter(|peer| self.me.is_none_or(|me| *peer != Peer::Authority(me))) {
            Some(peer) => self.outbox.send(peer, message),
            None => self.outbox.broadcast(Audience::Authorities, message),
        }
    }
}

/// What stands for a list of batches.
fn list_hash(batches: &[(BatchId, Hash)]) -> Hash {
    let bytes: Vec<&[u8]> =
        batches.iter().flat_map(|(id, head)| [id.0.0.as_slice(), head.0.as_slice()]).collect();
    Hash::of(&bytes)
}
