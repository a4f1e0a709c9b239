//! What an operator asks: who voted what, since when a view lasts, and since when nothing became final.

use markstein_proto::{
    Hash, View,
    consensus::{Ballot, CheckedCertificate},
};

use super::Engine;
use crate::{AuthorityNumber, leader, slot::Slot};

/// What one authority voted in one view, as far as it is known here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Votes {
    /// The block it voted to notarize.
    pub notarize: Option<Hash>,
    /// Whether it voted to nullify the view.
    pub nullify: bool,
    /// The block it voted to finalize.
    pub finalize: Option<Hash>,
}

impl Votes {
    /// Whether there is none.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.notarize.is_none() && !self.nullify && self.finalize.is_none()
    }
}

/// One view above the final one, as it is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewVotes {
    /// The view.
    pub view: View,
    /// Whose turn it is.
    pub leader: AuthorityNumber,
    /// Blocks that its leader proposed, two at most: a second one is a contradiction.
    pub proposed: Vec<Hash>,
    /// What each authority voted, by its number.
    pub votes: Vec<Votes>,
    /// The block that a quorum notarized.
    pub notarized: Option<Hash>,
    /// Whether a quorum nullified the view.
    pub nullified: bool,
}

impl Engine {
    /// The tick at which the current view was entered.
    #[must_use]
    pub const fn entered(&self) -> u64 {
        self.timers.entered
    }

    /// The tick since which there is something to write or to finish and nothing became final; `None` while idle.
    #[must_use]
    pub const fn waiting_since(&self) -> Option<u64> {
        self.waiting
    }

    /// The newest views above the final one, the current one first, `max` at most.
    #[must_use]
    pub fn views(&self, max: usize) -> Vec<ViewVotes> {
        let above = (self.last_final.view.0 + 1..=self.view.0).rev().take(max);
        above.map(|number| self.votes_in(View(number))).collect()
    }

    fn votes_in(&self, view: View) -> ViewVotes {
        let (nothing, block) = (Slot::default(), |c: &CheckedCertificate| c.subject().ballot.block());
        let slot = self.slots.get(&view).unwrap_or(&nothing);
        let votes = |number| {
            let mut votes = Votes::default();
            for vote in slot.votes_of(number) {
                match vote.subject().ballot {
                    Ballot::Notarize(block) => votes.notarize = Some(block),
                    Ballot::Nullify => votes.nullify = true,
                    Ballot::Finalize(block) => votes.finalize = Some(block),
                }
            }
            votes
        };
        ViewVotes {
            view,
            leader: leader(view, self.authorities),
            proposed: slot.proposals.clone(),
            votes: (0..self.authorities).map(votes).collect(),
            notarized: slot.parent_certificate().and_then(block),
            nullified: slot.nullification.is_some(),
        }
    }

    /// Notes since when something waits. That a leader had nothing to put into a block just now ends no wait: only
    /// finality does, or that nothing is left.
    pub(super) fn note_waiting(&mut self, is_told_empty: bool) {
        if self.pool || self.has_unfinished() {
            self.waiting.get_or_insert(self.now.tick);
        } else if is_told_empty {
            self.waiting = None;
        }
    }
}
