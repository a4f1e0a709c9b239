//! Blocks above the final one: their bodies, what execution said of them, and those that are missing.

use std::collections::BTreeMap;

use markstein_proto::{BatchId, Hash, Header, View, consensus::CheckedProposal};

use super::Engine;
use crate::{Body, Divergence, Effect, Verdict};

/// How far a block is with its check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Not asked for.
    Open,
    /// Asked for.
    Running,
    /// Answered.
    Done(Verdict),
}

/// A block above the final one.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) body: Body,
    pub(super) check: Check,
    /// As proposed, where it came so: what a leader sends again.
    pub(super) proposal: Option<CheckedProposal>,
}

/// All known blocks above the final one, and the ids of those that are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    known: BTreeMap<Hash, Known>,
    /// Wanted blocks and the tick at which they are asked for again.
    wanted: BTreeMap<Hash, u64>,
}

impl Blocks {
    pub(super) fn get(&self, block: &Hash) -> Option<&Known> {
        self.known.get(block)
    }

    pub(super) fn body(&self, block: &Hash) -> Option<(&Header, &[(BatchId, Hash)])> {
        self.known.get(block).map(|known| (&known.body.header, known.body.batches.as_slice()))
    }

    pub(super) fn insert(&mut self, body: Body, proposal: Option<CheckedProposal>) {
        let id = body.header.block_id();
        self.wanted.remove(&id);
        let known = self.known.entry(id).or_insert(Known { body, check: Check::Open, proposal: None });
        known.proposal = known.proposal.take().or(proposal);
    }

    /// Marks a block that this node's own execution made.
    pub(super) fn set_valid(&mut self, block: &Hash) {
        if let Some(known) = self.known.get_mut(block) {
            known.check = Check::Done(Verdict::Valid);
        }
    }

    pub(super) fn next_retry(&self) -> Option<u64> {
        self.wanted.values().min().copied()
    }

    /// Forgets everything at or below the final view.
    pub(super) fn prune(&mut self, view: View) {
        self.known.retain(|_, known| known.body.header.view > view);
        self.wanted.clear();
    }
}

impl Engine {
    /// Whether a block is final or was found valid here, so that a child can be executed on it.
    pub(super) fn is_valid(&self, block: &Hash) -> bool {
        *block == self.last_final.id
            || self.blocks.get(block).is_some_and(|known| known.check == Check::Done(Verdict::Valid))
    }

    /// Sees to it that a block gets checked: its ancestors first, what is missing fetched.
    pub(super) fn request_check(&mut self, block: Hash) {
        let mut block = block;
        loop {
            if self.is_valid(&block) {
                return;
            }
            let Some(known) = self.blocks.known.get_mut(&block) else { return self.want(block) };
            if known.check != Check::Open {
                return;
            }
            let parent = known.body.header.parent;
            if self.is_valid(&parent) {
                if let Some(known) = self.blocks.known.get_mut(&block) {
                    known.check = Check::Running;
                }
                return self.effects.push_back(Effect::Check(block));
            }
            block = parent;
        }
    }

    /// Asks for a block, and again until it comes.
    pub(super) fn want(&mut self, block: Hash) {
        let retry = self.now.tick + self.timing.fetch_retry;
        if block != self.last_final.id && self.blocks.wanted.insert(block, retry).is_none() {
            self.effects.push_back(Effect::Fetch(block));
        } else if let Some(at) = self.blocks.wanted.get_mut(&block) {
            *at = (*at).min(retry);
        }
    }

    pub(super) fn retry_fetches(&mut self) {
        let (tick, retry) = (self.now.tick, self.now.tick + self.timing.fetch_retry);
        for (block, at) in &mut self.blocks.wanted {
            if *at <= tick {
                *at = retry;
                self.effects.push_back(Effect::Fetch(*block));
            }
        }
    }

    /// A body came; it counts only where it was asked for, and as the block that its own header says.
    pub(super) fn on_fetched(&mut self, body: &Body) {
        let id = body.header.block_id();
        if self.blocks.wanted.contains_key(&id) && body.header.view > self.last_final.view {
            self.blocks.insert(body.clone(), None);
            self.try_finalize();
        }
    }

    pub(super) fn on_checked(&mut self, block: Hash, verdict: Verdict) {
        let Some(known) = self.blocks.known.get_mut(&block) else { return };
        known.check = Check::Done(verdict);
        let view = known.body.header.view;
        let certified = self.slots.get(&view).and_then(|s| s.parent_certificate());
        if verdict == Verdict::Invalid && certified.is_some_and(|c| c.subject().ballot.block() == Some(block))
        {
            self.effects.push_back(Effect::Diverged(Divergence { block, view }));
        }
        self.try_finalize();
    }
}
