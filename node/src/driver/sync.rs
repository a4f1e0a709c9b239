//! Catch-up: ranges of blocks, verified backwards from a finalization, from whoever has them.
//!
//! Headers first: they must lead from this node's newest final block to a block with a verified finalization. Then
//! the batches of each, which must give exactly that header when they are executed. So nothing a peer says is believed;
//! verified headers stay when the peer that gives the batches is left for another; and what is stored is stored block
//! by block, so an interrupted catch-up goes on where it was.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use markstein_consensus::Input;
use markstein_proto::{
    Batch, Header, Height, View,
    consensus::{Ballot, CheckedCertificate},
};

use super::{Driver, DriverError, blocks::difference, final_block, mutant::Mutant};
use crate::{
    ledger::{ExecuteError, ExecutedBlock, FinalState, State, Turn, execute},
    messages::Message,
    network_view::CatchUp,
    peer::{Misbehaviour, Peer},
    storage::{Durability, Writes},
};

/// A peer that gives nothing for this long is left for another. Doubled each time nobody gave anything, since the link
/// may be slow and the next block large; back to this with every block.
const PATIENCE: u64 = 2_000;
/// See [`PATIENCE`].
const PATIENCE_MAX: u64 = 64_000;
/// A peer is held to its pace only after this long.
const TURN_MIN: u64 = 4_000;
/// A peer is left for another that gave, or may give, this many times as much.
const FASTER: u64 = 4;
/// Blocks asked for and not here yet.
const WINDOW_MAX: u64 = 32;
/// As many of them as have about this many bytes, two at least.
const WINDOW_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a block before any came.
const BLOCK_GUESS: u64 = 1024 * 1024;
/// Pause between two lines of the log on how far it is.
const SAY_EVERY: u64 = 5_000;

/// A catch-up, under way or not.
#[derive(Debug)]
pub(super) struct Sync {
    stage: Stage,
    /// View of the finalization that is to be reached.
    target: View,
    patience: u64,
    /// Bytes per second of each peer's last turn, until the aim is reached.
    rates: BTreeMap<Peer, u64>,
    /// Peers of one rate are asked in turn.
    turn: usize,
    /// Where it began, for people.
    began: Option<Began>,
}

#[derive(Clone, Copy, Debug)]
struct Began {
    height: Height,
    tick: u64,
    said: u64,
}

#[derive(Debug)]
enum Stage {
    Idle,
    /// A range of headers is asked for.
    Asking {
        peer: Peer,
        until: u64,
    },
    Fetching(Box<Fetching>),
}

/// Verified headers whose batches are still to come.
#[derive(Debug)]
struct Fetching {
    headers: VecDeque<Header>,
    /// On the last of them.
    certificate: CheckedCertificate,
    peer: Peer,
    /// Batches were asked for up to this height.
    asked: Height,
    until: u64,
    since: u64,
    /// What this peer gave since then.
    blocks: u64,
    bytes: u64,
    /// Batches of asked blocks that came before those of a lower one, [`WINDOW_BYTES`] of them at most.
    early: BTreeMap<Height, Vec<Arc<Batch>>>,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            stage: Stage::Idle,
            target: View(0),
            patience: PATIENCE,
            rates: BTreeMap::new(),
            turn: 0,
            began: None,
        }
    }
}

impl Sync {
    pub(super) fn next_tick(&self) -> Option<u64> {
        match &self.stage {
            Stage::Idle => None,
            Stage::Asking { until, .. } => Some(*until),
            Stage::Fetching(fetching) => Some(fetching.until),
        }
    }

    /// Whether blocks are on their way.
    pub(super) const fn is_under_way(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// How far it is, for people: none where nothing is to be caught up.
    pub(super) fn progress(&self, highest: Height) -> Option<CatchUp> {
        let began = self.began.filter(|_| self.is_under_way())?;
        let last = match &self.stage {
            Stage::Fetching(fetching) => fetching.headers.back().map(|header| header.height),
            Stage::Idle | Stage::Asking { .. } => None,
        };
        Some(CatchUp { from: began.height, to: last.unwrap_or(Height(0)).max(highest) })
    }

    fn is_from(&self, peer: Peer) -> bool {
        match &self.stage {
            Stage::Idle => false,
            Stage::Asking { peer: asked, .. } => *asked == peer,
            Stage::Fetching(fetching) => fetching.peer == peer,
        }
    }

    /// Notes the pace of a peer whose turn ends.
    fn end_turn(&mut self, tick: u64) {
        match &self.stage {
            Stage::Idle => {}
            Stage::Asking { peer, .. } => {
                self.rates.insert(*peer, 0);
            }
            Stage::Fetching(fetching) => {
                self.rates.insert(fetching.peer, fetching.rate(tick));
            }
        }
    }

    /// The fastest of them: authorities of whom nothing is known first, and observers of whom nothing is known only
    /// where nobody else gave anything.
    fn choose(&mut self, candidates: &[Peer]) -> Option<Peer> {
        let unknown = |peer: &Peer| if matches!(peer, Peer::Authority(_)) { u64::MAX } else { 1 };
        let rate = |peer: &Peer| self.rates.get(peer).copied().unwrap_or_else(|| unknown(peer));
        let best = candidates.iter().map(rate).max()?;
        let fastest: Vec<Peer> = candidates.iter().filter(|peer| rate(peer) == best).copied().collect();
        self.turn += 1;
        fastest.get(self.turn % fastest.len()).copied()
    }
}

impl Fetching {
    /// Bytes per second.
    fn rate(&self, tick: u64) -> u64 {
        self.bytes.saturating_mul(1000) / tick.saturating_sub(self.since).max(1)
    }

    /// Keeps what was asked for and came too early, as far as there is room.
    fn keep(&mut self, height: Height, batches: Vec<Arc<Batch>>) {
        let kept: u64 = self.early.values().map(|batches| size(batches)).sum();
        if height <= self.asked && kept + size(&batches) <= WINDOW_BYTES {
            self.early.insert(height, batches);
        }
    }

    /// The next blocks to ask for, from a height on, as many as there is room for.
    fn ask(&mut self, from: Height) -> Vec<Message> {
        let average = self.bytes.checked_div(self.blocks).unwrap_or(BLOCK_GUESS).max(1);
        let window = (WINDOW_BYTES / average).clamp(2, WINDOW_MAX);
        let last = self.headers.back().map_or(Height(0), |header| header.height);
        let end = (from.0 + window - 1).min(last.0);
        // One by one: whoever answers builds one block at a time.
        let messages =
            (self.asked.0 + 1..=end).map(|height| Message::AskBodies { first: Height(height), count: 1 });
        let messages = messages.collect();
        self.asked = Height(end.max(self.asked.0));
        messages
    }
}

impl Driver {
    /// The engine knows a finalization whose chain is not here.
    pub(super) fn start_sync(&mut self, certificate: &CheckedCertificate) {
        self.sync.target = self.sync.target.max(certificate.view());
        if !self.sync.is_under_way() {
            self.ask_range();
        }
    }

    /// Asks a peer for the headers above this node's newest block.
    fn ask_range(&mut self) {
        let (tick, above) = (self.now.tick, self.state.tip().height);
        self.sync.end_turn(tick);
        self.sync.stage = Stage::Idle;
        let candidates = self.peers.above(above);
        let Some(peer) = self.sync.choose(&candidates) else { return };
        let began = Began { height: above, tick, said: tick };
        self.sync.began.get_or_insert(began);
        self.sync.stage = Stage::Asking { peer, until: tick + self.sync.patience };
        self.outbox.send(peer, Message::AskRange(above));
    }

    /// Lets another peer give the batches of the headers that are verified.
    fn change_peer(&mut self) {
        let (tick, tip) = (self.now.tick, self.state.tip().height);
        self.sync.end_turn(tick);
        let candidates = self.peers.above(tip);
        let chosen = self.sync.choose(&candidates);
        let patience = self.sync.patience;
        match (&mut self.sync.stage, chosen) {
            (Stage::Fetching(fetching), Some(peer)) => {
                tracing::info!(from = %fetching.peer, %peer, "catch-up: going on with another peer");
                (fetching.peer, fetching.asked) = (peer, tip);
                (fetching.since, fetching.until) = (tick, tick + patience);
                (fetching.blocks, fetching.bytes) = (0, 0);
                fetching.early.clear();
                self.ask_bodies();
            }
            (stage, _) => *stage = Stage::Idle, // the engine asks again
        }
    }

    /// Leaves a peer that gives nothing, or too little, for another; ends a catch-up whose aim was reached in another
    /// way.
    pub(super) fn run_sync(&mut self) {
        let tick = self.now.tick;
        let (aim, until) = match &self.sync.stage {
            Stage::Idle => return,
            Stage::Asking { until, .. } => (self.sync.target, *until),
            Stage::Fetching(fetching) => (fetching.certificate.view(), fetching.until),
        };
        if aim <= self.engine.last_final().view {
            self.end_sync();
        } else if until <= tick {
            let candidates = self.peers.above(self.state.tip().height);
            if candidates.iter().all(|peer| self.sync.rates.contains_key(peer) || self.sync.is_from(*peer)) {
                self.sync.patience = (self.sync.patience * 2).min(PATIENCE_MAX);
            }
            match &self.sync.stage {
                Stage::Fetching(_) => self.change_peer(),
                Stage::Idle | Stage::Asking { .. } => self.ask_range(),
            }
        } else if self.is_too_slow() {
            self.change_peer();
        }
    }

    fn end_sync(&mut self) {
        self.sync.stage = Stage::Idle;
        if self.sync.target > self.engine.last_final().view {
            return; // the next range follows
        }
        self.sync.rates.clear();
        if let Some(began) = self.sync.began.take() {
            let height = self.state.tip().height;
            let (blocks, ms) = (height.0.saturating_sub(began.height.0), self.now.tick - began.tick);
            tracing::info!(%height, blocks, ms, "catch-up: done");
        }
    }

    /// Whether another peer gave, or may give, much more.
    fn is_too_slow(&self) -> bool {
        let Stage::Fetching(fetching) = &self.sync.stage else { return false };
        if self.now.tick < fetching.since + TURN_MIN {
            return false;
        }
        let rate = fetching.rate(self.now.tick);
        let others = self.peers.above(self.state.tip().height).into_iter().filter(|p| *p != fetching.peer);
        let faster = |peer| match self.sync.rates.get(&peer) {
            Some(other) => *other > rate.saturating_mul(FASTER),
            None => rate < WINDOW_BYTES / FASTER, // it may be much faster, unless this is fast enough
        };
        others.into_iter().any(faster)
    }

    pub(super) fn on_range(
        &mut self,
        peer: Peer,
        above: Height,
        finalization: CheckedCertificate,
        headers: Vec<Header>,
    ) {
        if !matches!(self.sync.stage, Stage::Asking { peer: asked, .. } if asked == peer) {
            return;
        }
        let tip = self.state.tip();
        if above != tip.height {
            return; // this node went on by itself since
        }
        let (mut parent, mut height) = (tip.block_id, tip.height);
        let linked = headers.iter().all(|header| {
            let follows =
                header.parent == parent && header.height == height.next() && header.epoch == tip.epoch;
            (parent, height) = (header.block_id(), header.height);
            follows
        });
        let is_final = finalization.subject().ballot == Ballot::Finalize(parent);
        if (!linked || !is_final) && !self.breaks(Mutant::AnyRange) {
            let what = Misbehaviour::new("bad_range", "headers that do not lead to their finalization");
            self.outbox.misbehaved(peer, what);
            return self.ask_range();
        }
        let tick = self.now.tick;
        self.sync.stage = Stage::Fetching(Box::new(Fetching {
            headers: headers.into(),
            certificate: finalization,
            peer,
            asked: tip.height,
            until: tick + self.sync.patience,
            since: tick,
            blocks: 0,
            bytes: 0,
            early: BTreeMap::new(),
        }));
        self.ask_bodies();
    }

    /// Asks for as many blocks as there is room for.
    fn ask_bodies(&mut self) {
        let from = self.state.tip().height.next();
        let Stage::Fetching(fetching) = &mut self.sync.stage else { return };
        let peer = fetching.peer;
        fetching.ask(from).into_iter().for_each(|message| self.outbox.send(peer, message));
    }

    pub(super) fn on_block_batches(
        &mut self,
        peer: Peer,
        height: Height,
        batches: Vec<Arc<Batch>>,
    ) -> Result<(), DriverError> {
        let mut next = Some((height, batches));
        while let Some((height, batches)) = next {
            self.on_next_batches(peer, height, batches)?;
            next = self.next_early(peer);
        }
        Ok(())
    }

    /// What came early and is the next one by now.
    fn next_early(&mut self, peer: Peer) -> Option<(Height, Vec<Arc<Batch>>)> {
        let next = self.state.tip().height.next();
        let Stage::Fetching(fetching) = &mut self.sync.stage else { return None };
        fetching.early.retain(|height, _| *height >= next);
        fetching.early.remove_entry(&next).filter(|_| fetching.peer == peer)
    }

    fn on_next_batches(
        &mut self,
        peer: Peer,
        height: Height,
        batches: Vec<Arc<Batch>>,
    ) -> Result<(), DriverError> {
        if self.sync.is_from(peer)
            && let Stage::Fetching(fetching) = &mut self.sync.stage
            && height > self.state.tip().height.next()
        {
            fetching.keep(height, batches);
            return Ok(());
        }
        let Some((header, certificate)) = self.next_of_range(peer, height, size(&batches)) else {
            return Ok(());
        };
        if header.parent != self.state.tip().block_id {
            return Err(DriverError::Diverged { block: header.block_id() });
        }
        let Some(block) = self.replay(&header, batches)? else {
            let what = Misbehaviour::new("bad_batches", format!("not the batches of block {height}"));
            self.outbox.misbehaved(peer, what);
            if let Stage::Fetching(fetching) = &mut self.sync.stage {
                fetching.headers.push_front(header);
                fetching.bytes = 0; // a liar is the slowest of all
            }
            self.change_peer();
            return Ok(());
        };
        let Some(certificate) = certificate else {
            self.store(&block, Writes::new(), Durability::Unsynced, false)?;
            self.note(&block, None);
            self.say_progress();
            self.ask_bodies();
            return Ok(());
        };
        self.sync.end_turn(self.now.tick);
        self.sync.stage = Stage::Idle;
        let writes = self.closing_writes(&block, &certificate)?;
        self.store(&block, writes, Durability::Synced, false)?;
        self.note(&block, None);
        self.after_finality(&certificate);
        self.input(Input::Synced(final_block(&self.state), Box::new(certificate)))?;
        if self.sync.target <= self.engine.last_final().view {
            self.end_sync();
        } else if !self.sync.is_under_way() {
            self.ask_range();
        }
        self.tell_pool()?;
        if self.sync.is_under_way() { Ok(()) } else { self.cosign_newest() }
    }

    /// The header that these batches should give, taken off the range; with the last one, the range's finalization.
    fn next_of_range(
        &mut self,
        peer: Peer,
        height: Height,
        bytes: u64,
    ) -> Option<(Header, Option<CheckedCertificate>)> {
        let (tip, tick) = (self.state.tip().height, self.now.tick);
        if !self.sync.is_from(peer) {
            return None;
        }
        let Stage::Fetching(fetching) = &mut self.sync.stage else { return None };
        while fetching.headers.front().is_some_and(|header| header.height <= tip) {
            fetching.headers.pop_front(); // final by itself since
        }
        if fetching.headers.front().is_none_or(|header| header.height != height) {
            return None;
        }
        let header = fetching.headers.pop_front()?;
        self.sync.patience = PATIENCE;
        fetching.until = tick + PATIENCE;
        (fetching.blocks, fetching.bytes) = (fetching.blocks + 1, fetching.bytes + bytes);
        Some((header, fetching.headers.is_empty().then(|| fetching.certificate.clone())))
    }

    fn say_progress(&mut self) {
        let (tick, height) = (self.now.tick, self.state.tip().height);
        let Some(progress) = self.sync.progress(self.peers.highest()) else { return };
        let Some(began) = self.sync.began.as_mut().filter(|began| tick >= began.said + SAY_EVERY) else {
            return;
        };
        began.said = tick;
        let per_second = (height.0 - began.height.0) * 1000 / (tick - began.tick).max(1);
        tracing::info!(%height, from = %progress.from, to = %progress.to, per_second, "catch-up: under way");
    }

    /// Executes a final block's batches; `None` where they are not its batches.
    fn replay(
        &self,
        header: &Header,
        batches: Vec<Arc<Batch>>,
    ) -> Result<Option<ExecutedBlock>, DriverError> {
        let turn =
            Turn { epoch: header.epoch, view: header.view, proposer: header.proposer, time: header.time };
        let named = batches.clone();
        match execute(&self.state, &self.rules, turn, batches) {
            Ok(block) if block.header == *header || self.breaks(Mutant::AnyBatches) => Ok(Some(block)),
            Ok(block) if block.header.root_before != header.root_before => Ok(None),
            Ok(block) => {
                let difference = difference(header, &block.header);
                tracing::error!(height = %header.height, "this node executes a final block otherwise than the quorum: {difference}");
                Err(DriverError::Diverged { block: header.block_id() })
            }
            // Made-up batches may be invalid here; the right ones are not.
            Err(ExecuteError::Invalid(reason)) if leads_to(&self.state, &named, header) => {
                tracing::error!(height = %header.height, "a final block is invalid by this node's rules: {reason}");
                Err(DriverError::Diverged { block: header.block_id() })
            }
            Err(ExecuteError::Invalid(_)) => Ok(None),
            Err(ExecuteError::Storage(error)) => Err(error.into()),
        }
    }
}

/// Bytes of batches.
fn size(batches: &[Arc<Batch>]) -> u64 {
    batches.iter().map(|batch| batch.bytes().len() as u64).sum()
}

/// Whether these are the batches that the header's log root covers.
fn leads_to(state: &FinalState, batches: &[Arc<Batch>], header: &Header) -> bool {
    let mut frontier = state.frontier().clone();
    batches.iter().flat_map(|batch| batch.leaf_hashes()).for_each(|hash| frontier.push(hash));
    frontier.size() == header.size_before.0 && frontier.root() == header.root_before
}
