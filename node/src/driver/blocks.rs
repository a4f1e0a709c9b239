//! Unfinalised blocks: the state at each, the check of a block, and what is durable with a vote for it.

use std::sync::Arc;

use markstein_consensus::{Fact, Input, Verdict};
use markstein_proto::{Batch, BatchId, Hash, Header, Leaf, TimeMs, consensus::CheckedProposal};

use super::{Driver, DriverError, mutant::Mutant};
use crate::{
    ledger::{BLOCK_BYTES_MAX, BatchRefusal, Branch, ExecuteError, InvalidBlock, State, Turn, execute},
    messages::Message,
    peer::{Misbehaviour, Peer},
    storage::{
        Read, StorageError, Writes,
        tables::{Batches, ProposedBatches},
    },
    work::{self, Step},
};

/// Views ahead of this node's whose proposals are looked at: as many as the engine keeps.
const PROPOSALS_NAMED: u64 = 8;

impl Driver {
    /// The state after a block that is final or was found valid here.
    pub(super) fn branch(&self, block: &Hash) -> Option<Branch> {
        let (mut chain, mut id) = (Vec::new(), *block);
        while id != self.state.tip().block_id {
            let executed = self.executed.get(&id)?;
            chain.push(Arc::clone(executed));
            id = executed.header.parent;
        }
        Some(
            chain
                .into_iter()
                .rev()
                .fold(Branch::new(self.state.clone()), |branch, block| branch.extend(block)),
        )
    }

    /// The engine wants to know whether a block is valid: its batches are gathered first. What may not be in it is not
    /// read: what its parent's ledger holds, and more than a block's bytes.
    pub(super) fn check(&mut self, block: Hash) -> Result<(), DriverError> {
        self.gather.forget(&block);
        let Some((header, batches)) = self.engine.body(&block) else { return Ok(()) };
        let (header, batches) = (header.clone(), batches.to_vec());
        // Where a catch-up has stored blocks that the engine does not know of yet, it may ask for one of them, or for one
        // beside them. There is no answer: it will hear of the range's end, and forgets them then.
        let Some(parent) = self.branch(&header.parent) else { return Ok(()) };
        let (mut found, mut bytes) = (Vec::with_capacity(batches.len()), 0);
        for (id, head) in &batches {
            if parent.contains(id)? {
                return self.refuse_block(
                    block,
                    &header,
                    &InvalidBlock::Batch { id: *id, refusal: BatchRefusal::Duplicate },
                );
            }
            let batch = self.find_batch(id, head)?;
            bytes += batch.as_ref().map_or(0, |batch| batch.bytes().len());
            if bytes > BLOCK_BYTES_MAX {
                return self.refuse_block(block, &header, &InvalidBlock::TooLarge);
            }
            found.push(batch);
        }
        if found.iter().all(Option::is_some) {
            let found = found.into_iter().flatten().collect();
            let verdict = self.judge(&header, found)?;
            self.answers.push_back(Input::Checked(block, verdict));
        } else {
            let first = Peer::Authority(header.proposer);
            self.gather.start(block, header, &batches, found, first, self.now.tick);
        }
        Ok(())
    }

    fn refuse_block(
        &mut self,
        block: Hash,
        header: &Header,
        reason: &InvalidBlock,
    ) -> Result<(), DriverError> {
        self.name_invalid(header, &reason.to_string());
        self.answers.push_back(Input::Checked(block, Verdict::Invalid));
        Ok(())
    }

    /// The version of a batch that a block names, from wherever it is.
    pub(super) fn find_batch(&self, id: &BatchId, head: &Hash) -> Result<Option<Arc<Batch>>, DriverError> {
        let is_named = |batch: &Arc<Batch>| batch.head_hash() == *head;
        if self.pool.contains(id)
            && let Some(batch) = self.pool.batch(&self.db, id)?.filter(is_named)
        {
            return Ok(Some(batch));
        }
        if let Some(bytes) = self.db.get::<ProposedBatches>(&(id.0, *head))? {
            return Ok(Some(Arc::new(stored(id, bytes)?)));
        }
        let Some(bytes) = self.db.get::<Batches>(&id.0)? else { return Ok(None) };
        Ok(Some(Arc::new(stored(id, bytes)?)).filter(is_named))
    }

    /// Executes a block on its parent and compares.
    pub(super) fn judge(
        &mut self,
        header: &Header,
        batches: Vec<Arc<Batch>>,
    ) -> Result<Verdict, DriverError> {
        let Some(parent) = self.branch(&header.parent) else {
            return Ok(Verdict::Missing); // its parent is not valid here any more: it is asked again if it matters
        };
        let earliest = if self.breaks(Mutant::BeforeParent) { parent.tip().time.0 + 1 } else { 0 };
        let time = TimeMs(header.time.0.max(earliest));
        let turn = Turn { epoch: header.epoch, view: header.view, proposer: header.proposer, time };
        let reason = match execute(&parent, &self.rules, turn, batches) {
            Ok(block) if block.header == *header => {
                self.executed.insert(header.block_id(), Arc::new(block));
                return Ok(Verdict::Valid);
            }
            Ok(mut block) if self.breaks(Mutant::AnyHeader) || time != header.time => {
                block.header_leaf = Leaf::Header(header.clone()).encode();
                block.header = header.clone();
                self.executed.insert(header.block_id(), Arc::new(block));
                return Ok(Verdict::Valid);
            }
            Ok(block) => difference(header, &block.header).to_owned(),
            Err(ExecuteError::Invalid(reason)) => reason.to_string(),
            Err(ExecuteError::Storage(error)) => return Err(error.into()),
        };
        self.name_invalid(header, &reason);
        Ok(Verdict::Invalid)
    }

    fn name_invalid(&self, header: &Header, reason: &str) {
        let id = header.block_id();
        tracing::warn!(block = %id, view = %header.view, proposer = header.proposer, "invalid block: {reason}");
        if self.is_as_proposed(&id) {
            let what = Misbehaviour::new("invalid_block", format!("view {}: {reason}", header.view));
            self.outbox.misbehaved(Peer::Authority(header.proposer), what);
        }
    }

    /// What can be said of a proposal before its block is checked.
    pub(super) fn look_at_proposal(&mut self, from: Peer, proposal: &CheckedProposal) {
        let header = &proposal.get().header;
        if from != Peer::Authority(header.proposer) || header.view < self.engine.view() {
            return; // an old one that is said again
        }
        let n = self.set.authorities().len() as u32;
        if header.view.0 > self.engine.view().0.saturating_add(PROPOSALS_NAMED) {
            return; // this node is behind, or the sender says so; what is not kept is not judged
        }
        if markstein_consensus::leader(header.view, n).0 != header.proposer {
            let what = format!("a block in view {}, which another leads", header.view);
            return self.outbox.misbehaved(from, Misbehaviour::new("not_leader", what));
        }
        self.gather.proposed(header.block_id(), header.view, &proposal.get().batches);
        let ahead = header.time.0.saturating_sub(self.now.clock.0);
        let behind = self.now.clock.0.saturating_sub(header.time.0);
        if ahead > self.timing.clock_skew_max {
            let what = format!("a block {ahead} ms ahead of this clock: not voted for");
            self.outbox.misbehaved(from, Misbehaviour::excusable("dated_ahead", what));
        } else if behind > self.timing.proposal_age_max {
            let what = format!("a block dated {behind} ms before this clock: not voted for");
            self.outbox.misbehaved(from, Misbehaviour::excusable("dated_behind", what));
        }
        // An honest leader shows why it may build where it does. Whether its parent came here already says nothing of it.
        let parent = &header.parent;
        let certified = proposal.get().parent.as_ref().map(|certificate| certificate.subject);
        let proven = match certified {
            Some(subject) => subject.view < header.view && subject.ballot.block() == Some(*parent),
            None => *parent == self.state.tip().block_id,
        };
        if !proven {
            let what = format!("a block in view {} on {parent}, without a certificate of that", header.view);
            self.outbox.misbehaved(from, Misbehaviour::new("unproven_parent", what));
        }
    }

    /// A block in the journal is durable with its batches. Those in the pool were written before, and the sync of the
    /// vote covers them.
    pub(super) fn keep_batches_of(&mut self, fact: &Fact) -> Result<(), DriverError> {
        let Fact::Block(proposal) = fact else { return Ok(()) };
        if self.breaks(Mutant::ThinBatches) {
            return Ok(());
        }
        let id = proposal.get().block_id();
        let Some(block) = self.executed.get(&id).cloned() else {
            return Err(StorageError::corrupt(
                "journal",
                format!("a vote for block {id}, which was not executed"),
            )
            .into());
        };
        let mut writes = Writes::new();
        for (_, batch) in &block.batches {
            let (batch_id, head) = (batch.id(), batch.head_hash());
            let pooled = self.pool.contains(&batch_id)
                && self.pool.batch(&self.db, &batch_id)?.is_some_and(|pooled| pooled.head_hash() == head);
            if !pooled {
                self.journal.keep_batch(batch_id, head, batch.bytes(), block.header.view, &mut writes);
            }
        }
        self.recorded.append(writes);
        Ok(())
    }

    /// Gives a block that this node vouches for, once a while to each.
    pub(super) fn tell_block(&mut self, to: Peer, block: &Hash) {
        let tick = self.now.tick;
        if let Some((header, batches)) = self.engine.offered(block)
            && self.peers.may_tell_block(to, block, tick, tick + self.timing.fetch_retry / 2)
        {
            let body = markstein_consensus::Body { header: header.clone(), batches: batches.to_vec() };
            self.outbox.send(to, Message::Block(Box::new(body)));
        }
    }
}

fn stored(id: &BatchId, bytes: Vec<u8>) -> Result<Batch, StorageError> {
    work::charge(Step::Byte, bytes.len());
    Batch::decode(bytes).map_err(|e| StorageError::corrupt("batches", format!("batch {id} is damaged: {e}")))
}

/// In which part two headers of one turn differ, for people.
pub(super) fn difference(theirs: &Header, ours: &Header) -> &'static str {
    if theirs.root_before != ours.root_before || theirs.size_before != ours.size_before {
        "its log root is not that of its batches"
    } else if theirs.status_root != ours.status_root {
        "its status root is another"
    } else if theirs.authority_set != ours.authority_set {
        "it names another authority set"
    } else {
        "its header is another"
    }
}
