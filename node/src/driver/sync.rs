//! Catch-up: ranges of blocks, verified backwards from a finalization, from whoever has them.
//!
//! Headers first: they must lead from this node's newest final block to a block with a verified finalization. Then
//! the batches of each, which must give exactly that header when they are executed. So nothing a peer says is believed,
//! and what is stored is stored block by block: an interrupted catch-up goes on where it was.

use std::{collections::VecDeque, sync::Arc};

use markstein_consensus::Input;
use markstein_proto::{
    Batch, Header, Height, View,
    consensus::{Ballot, CheckedCertificate},
};

use super::{Driver, DriverError, blocks::difference, final_block};
use crate::{
    ledger::{ExecuteError, ExecutedBlock, FinalState, State, Turn, execute},
    messages::Message,
    peer::{Misbehaviour, Peer},
    storage::{Durability, Writes},
};

/// A peer that does not answer within this time is given up for another.
const PATIENCE: u64 = 2_000;
/// Blocks whose batches are asked for at once.
const BODIES_AT_ONCE: u32 = 16;

/// A catch-up under way.
#[derive(Debug, Default)]
pub(super) struct Sync {
    run: Option<Run>,
    /// View of the finalization that is to be reached.
    target: View,
    /// Peers are asked in turn.
    turn: usize,
}

#[derive(Debug)]
struct Run {
    peer: Peer,
    until: u64,
    /// Verified headers whose batches are still to come, and the finalization on the last.
    range: Option<(VecDeque<Header>, CheckedCertificate)>,
    /// Batches were asked for up to this height.
    asked: Height,
}

impl Sync {
    pub(super) fn next_tick(&self) -> Option<u64> {
        self.run.as_ref().map(|run| run.until)
    }

    /// Whether blocks are on their way.
    pub(super) const fn is_under_way(&self) -> bool {
        self.run.is_some()
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

    fn ask_range(&mut self) {
        self.sync.run = None;
        let above = self.state.tip().height;
        let candidates = self.peers.above(above);
        let Some(peer) = candidates.get(self.sync.turn % candidates.len().max(1)).copied() else { return };
        self.sync.turn += 1;
        self.sync.run = Some(Run { peer, until: self.now.tick + PATIENCE, range: None, asked: above });
        self.outbox.send(peer, Message::AskRange(above));
    }

    /// Asks another peer where one does not answer; ends a catch-up whose aim was reached in another way.
    pub(super) fn run_sync(&mut self) {
        let Some(run) = &self.sync.run else { return };
        let aim = run.range.as_ref().map_or(self.sync.target, |(_, certificate)| certificate.view());
        if aim <= self.engine.last_final().view {
            self.sync.run = None;
        } else if run.until <= self.now.tick {
            tracing::info!(peer = %run.peer, "catch-up: no answer, asking another");
            self.ask_range();
        }
    }

    pub(super) fn on_range(
        &mut self,
        peer: Peer,
        above: Height,
        finalization: CheckedCertificate,
        headers: Vec<Header>,
    ) {
        let Some(run) = self.sync.run.as_mut().filter(|run| run.peer == peer && run.range.is_none()) else {
            return;
        };
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
        if !linked || !is_final {
            let what = Misbehaviour::new("bad_range", "headers that do not lead to their finalization");
            self.outbox.misbehaved(peer, what);
            return self.ask_range();
        }
        run.until = self.now.tick + PATIENCE;
        run.range = Some((headers.into(), finalization));
        self.ask_bodies();
    }

    fn ask_bodies(&mut self) {
        let Some(run) = &mut self.sync.run else { return };
        let Some((headers, _)) = &run.range else { return };
        let Some(last) = headers.back() else { return };
        let first = run.asked.next();
        let count = (last.height.0 + 1).saturating_sub(first.0).min(u64::from(BODIES_AT_ONCE)) as u32;
        if count > 0 {
            run.asked = Height(first.0 + u64::from(count) - 1);
            self.outbox.send(run.peer, Message::AskBodies { first, count });
        }
    }

    pub(super) fn on_block_batches(
        &mut self,
        peer: Peer,
        height: Height,
        batches: Vec<Arc<Batch>>,
    ) -> Result<(), DriverError> {
        let Some((header, certificate)) = self.next_of_range(peer, height) else { return Ok(()) };
        if header.parent != self.state.tip().block_id {
            return Err(DriverError::Diverged { block: header.block_id() });
        }
        let Some(block) = self.replay(&header, batches)? else {
            let what = Misbehaviour::new("bad_batches", format!("not the batches of block {height}"));
            self.outbox.misbehaved(peer, what);
            self.ask_range();
            return Ok(());
        };
        let Some(certificate) = certificate else {
            self.store(&block, Writes::new(), Durability::Unsynced)?;
            if self.sync.run.as_ref().is_some_and(|run| run.asked == height) {
                self.ask_bodies();
            }
            return Ok(());
        };
        self.sync.run = None;
        let writes = self.closing_writes(&block, &certificate)?;
        self.store(&block, writes, Durability::Synced)?;
        self.after_finality(&certificate);
        self.input(Input::Synced(final_block(&self.state), Box::new(certificate)))?;
        self.tell_pool()?;
        if self.sync.is_under_way() { Ok(()) } else { self.cosign_newest() }
    }

    /// The header that these batches should give, taken off the range; with the last one, the range's finalization.
    fn next_of_range(&mut self, peer: Peer, height: Height) -> Option<(Header, Option<CheckedCertificate>)> {
        let tip = self.state.tip().height;
        let run = self.sync.run.as_mut().filter(|run| run.peer == peer)?;
        let (headers, certificate) = run.range.as_mut()?;
        while headers.front().is_some_and(|header| header.height <= tip) {
            headers.pop_front(); // final by itself since
        }
        if headers.front().is_none_or(|header| header.height != height) {
            return None;
        }
        let header = headers.pop_front()?;
        run.until = self.now.tick + PATIENCE;
        Some((header, headers.is_empty().then(|| certificate.clone())))
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
            Ok(block) if block.header == *header => Ok(Some(block)),
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

/// Whether these are the batches that the header's log root covers.
fn leads_to(state: &FinalState, batches: &[Arc<Batch>], header: &Header) -> bool {
    let mut frontier = state.frontier().clone();
    batches.iter().flat_map(|batch| batch.leaf_hashes()).for_each(|hash| frontier.push(hash));
    frontier.size() == header.size_before.0 && frontier.root() == header.root_before
}
