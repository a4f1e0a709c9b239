//! Blocks above the final one: their bodies, what execution said of them, and those that are missing.

use std::collections::{BTreeMap, VecDeque};

use markstein_proto::{
    BatchId, Hash, Header, View,
    consensus::{CheckedCertificate, CheckedProposal},
};

use super::Engine;
use crate::{AuthorityNumber, Body, Divergence, Effect, Verdict, mutant::Mutant, slot::Slot};

/// Missing blocks that are asked for at a time, half of them the lowest and half the newest: a node that is far behind hears
/// of a great many, and is brought forward by a range, not by these.
const WANTED_MAX: usize = 16;

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
    /// When its check was asked for.
    since: u64,
    /// As proposed, where it came so: what a leader sends again.
    pub(super) proposal: Option<CheckedProposal>,
    /// Who gave it; this node itself where it voted for it.
    source: AuthorityNumber,
}

/// A block that is asked for until it comes.
#[derive(Clone, Copy, Debug)]
struct Wish {
    /// About where it lies: its own view, or the one below that of a child.
    view: View,
    /// The tick at which it is asked for again.
    at: u64,
}

/// All known blocks above the final one, and the ids of those that are wanted.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks {
    known: BTreeMap<Hash, Known>,
    /// Wanted blocks.
    wanted: BTreeMap<Hash, Wish>,
    /// Blocks that this node voted for once and whose batches it did not find: looked for again at this tick.
    reopen: BTreeMap<Hash, u64>,
    /// Whose body of a certified block did not do here, and until which tick no other is taken from them.
    refused: BTreeMap<Hash, BTreeMap<AuthorityNumber, u64>>,
    diverged: bool,
}

impl Blocks {
    pub(super) fn get(&self, block: &Hash) -> Option<&Known> {
        self.known.get(block)
    }

    pub(super) fn body(&self, block: &Hash) -> Option<(&Header, &[(BatchId, Hash)])> {
        self.known.get(block).map(|known| (&known.body.header, known.body.batches.as_slice()))
    }

    pub(super) fn insert(&mut self, body: Body, proposal: Option<CheckedProposal>, source: AuthorityNumber) {
        let id = body.header.block_id();
        self.wanted.remove(&id);
        let fits = |known: &Known| proposal.as_ref().is_some_and(|p| p.get().batches == known.body.batches);
        let known = self.known.entry(id).or_insert(Known {
            body,
            check: Check::Open,
            since: 0,
            proposal: None,
            source,
        });
        if known.proposal.is_none() && fits(known) {
            known.proposal = proposal;
        }
    }

    /// Forgets a proposed block that is of no use any more.
    pub(super) fn forget(&mut self, block: &Hash) {
        self.known.remove(block);
    }

    /// Marks a block that this node's own execution made.
    pub(super) fn set_valid(&mut self, block: &Hash) {
        if let Some(known) = self.known.get_mut(block) {
            known.check = Check::Done(Verdict::Valid);
        }
    }

    pub(super) fn next_retry(&self) -> Option<u64> {
        self.wanted.values().map(|wish| wish.at).chain(self.reopen.values().copied()).min()
    }

    /// Makes room for a wish; `false` where it lies between those that are asked for, and has to wait for one of them.
    fn make_room(&mut self, view: View) -> bool {
        if self.wanted.len() < WANTED_MAX {
            return true;
        }
        let mut wishes: Vec<(View, Hash)> = self.wanted.iter().map(|(id, wish)| (wish.view, *id)).collect();
        wishes.sort_unstable();
        let (lowest, newest) = (wishes[WANTED_MAX / 2 - 1], wishes[wishes.len() - WANTED_MAX / 2]);
        let gives_way = if view < lowest.0 {
            lowest.1
        } else if view > newest.0 {
            newest.1
        } else {
            return false;
        };
        self.wanted.remove(&gives_way);
        true
    }

    /// Forgets everything at or below the final view.
    pub(super) fn prune(&mut self, view: View) {
        self.known.retain(|_, known| known.body.header.view > view);
        self.wanted.clear();
        self.reopen.clear();
        self.refused.clear();
    }

    /// How many bodies, wishes and refusals are kept.
    pub(super) fn len(&self) -> usize {
        self.known.len() + self.wanted.len() + self.refused.len()
    }
}

impl Engine {
    /// Whether a block is final or was found valid here, so that a child can be executed on it.
    pub(super) fn is_valid(&self, block: &Hash) -> bool {
        *block == self.last_final.id
            || self.blocks.get(block).is_some_and(|known| known.check == Check::Done(Verdict::Valid))
    }

    /// A body that this node vouches for: valid here, or voted for before a restart.
    pub(super) fn vouched(&self, block: &Hash) -> bool {
        let own = |known: &Known| known.source == self.me || known.check == Check::Done(Verdict::Valid);
        self.blocks.get(block).is_some_and(own)
    }

    /// Sees to it that every certified block gets checked.
    pub(super) fn check_certified(&mut self) {
        let certified = self.slots.values().filter_map(|slot| slot.parent_certificate());
        let of = |c: &CheckedCertificate| c.subject().ballot.block().map(|block| (c.view(), block));
        let mut blocks: VecDeque<(View, Hash)> = certified.filter_map(of).collect();
        // From both ends, so that none is asked for that gives way to a later one at once.
        while let Some((view, block)) = blocks.pop_front() {
            self.request_check(view, block);
            blocks.pop_back().into_iter().for_each(|(view, block)| self.request_check(view, block));
        }
    }

    /// Sees to it that the block of a view gets checked: its ancestors first, what is missing fetched. What is asked for
    /// is certified, or proposed on a certified parent.
    pub(super) fn request_check(&mut self, view: View, block: Hash) {
        let (mut view, mut block) = (view, block);
        loop {
            if self.is_valid(&block) {
                return;
            }
            let Some(known) = self.blocks.known.get_mut(&block) else { return self.want(view, block) };
            match known.check {
                Check::Open => {}
                Check::Running => return,
                Check::Done(_) => return self.refuse(block),
            }
            let (parent, below) = (known.body.header.parent, known.body.header.view.0.saturating_sub(1));
            if self.is_valid(&parent) {
                let tick = self.now.tick;
                if let Some(known) = self.blocks.known.get_mut(&block) {
                    (known.check, known.since) = (Check::Running, tick);
                }
                return self.effects.push_back(Effect::Check(block));
            }
            (view, block) = (View(below), parent);
        }
    }

    /// The body of a certified block did not do here. A quorum holds the block for valid, so the list of batches is
    /// wrong, and somebody else has the right one; an honest peer gives only what was valid at its place, so where
    /// more than f gave one that is not valid here, or this node itself voted for it once, it is this node.
    fn refuse(&mut self, block: Hash) {
        let faulty = if self.breaks(Mutant::TrustLists) { 0 } else { (self.authorities as usize - 1) / 3 };
        let Some(known) = self.blocks.known.get_mut(&block) else { return };
        let (source, view) = (known.source, known.body.header.view);
        let wrong = known.check == Check::Done(Verdict::Invalid);
        if source == self.me && !wrong {
            // Its batches are in this node's store: a later check finds them.
            let at = self.now.tick + self.timing.fetch_retry;
            self.blocks.reopen.entry(block).or_insert(at);
            return;
        }
        let until = if wrong { u64::MAX } else { self.now.tick + self.timing.view_timeout_max };
        let refused = self.blocks.refused.entry(block).or_default();
        if wrong {
            refused.retain(|_, until| *until == u64::MAX); // whose list gave way to this one has another turn
        }
        refused.insert(source, until);
        let many = refused.values().filter(|until| **until == u64::MAX).count() > faulty;
        if wrong && (source == self.me || many) {
            if !std::mem::replace(&mut self.blocks.diverged, true) {
                self.effects.push_back(Effect::Diverged(Divergence { block, view }));
            }
        } else {
            self.blocks.known.remove(&block);
            self.want(view, block);
        }
    }

    /// Asks for a block, and again until it comes, unless enough is asked for.
    fn want(&mut self, view: View, block: Hash) {
        let needed = block != self.last_final.id && !self.blocks.wanted.contains_key(&block);
        let has_other = |slot: &Slot| !slot.proposals.is_empty() && !slot.proposals.contains(&block);
        if self.breaks(Mutant::OneHalf) && self.slots.get(&view).is_some_and(has_other) {
            return;
        }
        if needed && self.blocks.make_room(view) {
            self.ask(view, block);
        }
    }

    fn ask(&mut self, view: View, block: Hash) {
        let at = self.now.tick + self.timing.fetch_retry;
        self.blocks.wanted.insert(block, Wish { view, at });
        self.effects.push_back(Effect::Fetch(block));
    }

    pub(super) fn retry_fetches(&mut self) {
        if self.breaks(Mutant::NoFetchRetry) {
            self.blocks.wanted.values_mut().for_each(|wish| wish.at = u64::MAX);
        }
        let (tick, retry) = (self.now.tick, self.now.tick + self.timing.fetch_retry);
        let due: Vec<Hash> =
            self.blocks.reopen.iter().filter(|(_, at)| **at <= tick).map(|(block, _)| *block).collect();
        for block in due {
            self.blocks.reopen.remove(&block);
            if let Some(known) = self.blocks.known.get_mut(&block) {
                known.check = Check::Open;
            }
            self.check_certified();
        }
        self.suspect();
        for (block, wish) in &mut self.blocks.wanted {
            if wish.at <= tick {
                wish.at = retry;
                self.effects.push_back(Effect::Fetch(*block));
            }
        }
    }

    /// A certified block whose check takes long may have come with a wrong list of batches: another authority is asked for
    /// it as well.
    fn suspect(&mut self) {
        let (tick, patience) = (self.now.tick, self.timing.view_timeout);
        let late: Vec<(View, Hash)> = self
            .suspicious()
            .filter(|(_, _, since)| tick >= since + patience)
            .map(|(view, block, _)| (view, block))
            .collect();
        late.into_iter().for_each(|(view, block)| self.ask(view, block));
    }

    /// Certified blocks that others gave and that are being checked, and since when; those not wanted already.
    fn suspicious(&self) -> impl Iterator<Item = (View, Hash, u64)> + '_ {
        let certified = self.slots.values().filter_map(|slot| slot.parent_certificate());
        certified.filter_map(|certificate| {
            let block = certificate.subject().ballot.block()?;
            let known = self.blocks.known.get(&block)?;
            let waits = known.check == Check::Running && known.source != self.me;
            (waits && !self.blocks.wanted.contains_key(&block)).then_some((
                certificate.view(),
                block,
                known.since,
            ))
        })
    }

    /// When the next check takes long.
    pub(super) fn next_suspicion(&self) -> Option<u64> {
        self.suspicious().map(|(_, _, since)| since + self.timing.view_timeout).min()
    }

    /// A body came; it counts only where it was asked for, and as the block that its own header says.
    pub(super) fn on_fetched(&mut self, from: AuthorityNumber, body: &Body) {
        self.hear(from);
        let id = body.header.block_id();
        let refused = self.blocks.refused.get(&id).and_then(|refused| refused.get(&from));
        let wanted =
            self.blocks.wanted.contains_key(&id) && refused.is_none_or(|until| *until <= self.now.tick);
        if !wanted || body.header.view <= self.last_final.view {
            return;
        }
        if let Some(known) = self.blocks.known.get(&id) {
            if known.check != Check::Running || known.source == from || known.body.batches == body.batches {
                return;
            }
            // The list that is here has had its time. Each authority has one turn, so f of them hold it up f times.
            let until = self.now.tick + self.timing.view_timeout_max;
            self.blocks.refused.entry(id).or_default().insert(known.source, until);
            self.blocks.known.remove(&id);
        }
        self.blocks.insert(body.clone(), None, from);
        self.check_certified();
    }

    pub(super) fn on_checked(&mut self, block: Hash, verdict: Verdict) {
        let Some(known) = self.blocks.known.get_mut(&block) else { return };
        if known.check != Check::Running {
            return; // of a body that was refused since
        }
        known.check = Check::Done(verdict);
        if verdict == Verdict::Valid {
            self.blocks.wanted.remove(&block);
        }
        self.check_certified();
    }
}
