//! No final block is of the future, nor of long ago: a quorum holds somebody honest with a good clock, who voted for it
//! within the bounds on both sides of that clock.

use std::collections::BTreeMap;

use markstein_node::messages::Message;
use markstein_proto::{
    Hash, TimeMs,
    consensus::{Ballot, Subject},
};

use crate::simulation::support::START;

/// How far a good clock may be off, and a block ahead of it.
const AHEAD_MAX: u64 = 2_000 + 5_000;
/// How far a block may be behind such a clock, and ten seconds that may lie between a vote's signature and the moment in
/// which it is first said, where the power goes in between.
const BEHIND_MAX: u64 = 2_000 + 30_000 + 10_000;

#[derive(Default)]
pub struct Dated {
    /// When somebody honest first said a vote to notarize each block.
    voted: BTreeMap<Hash, u64>,
}

impl Dated {
    pub fn said(&mut self, message: &Message, now: u64) {
        let subject = match message {
            Message::Vote(vote) => vote.subject,
            Message::Proposal(proposal) => proposal.vote.subject,
            _ => return,
        };
        if let Subject { ballot: Ballot::Notarize(block), .. } = subject {
            self.voted.entry(block).or_insert(now);
        }
    }

    /// A block that nobody had before.
    pub fn look(&self, block: &Hash, time: TimeMs, now: u64) {
        let ahead = time.0.saturating_sub(START + now);
        assert!(ahead <= AHEAD_MAX, "at {now}: a block {ahead} ms ahead is final");
        if let Some(voted) = self.voted.get(block) {
            let behind = (START + voted).saturating_sub(time.0);
            assert!(behind <= BEHIND_MAX, "a block {behind} ms older than the first vote for it is final");
        }
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::{EpochId, Signature, View, consensus::Vote};

    use super::*;

    fn voted_at(now: u64) -> Dated {
        let subject = Subject { epoch: EpochId(0), view: View(3), ballot: Ballot::Notarize(Hash([1; 32])) };
        let vote = Vote { subject, signer: 1, signature: Signature([0; 64]) };
        let mut dated = Dated::default();
        dated.said(&Message::Vote(vote), now);
        dated
    }

    #[test]
    fn a_block_of_its_time_is_fine() {
        voted_at(60_000).look(&Hash([1; 32]), TimeMs(START + 30_000), 90_000);
    }

    #[test]
    #[should_panic(expected = "8000 ms ahead is final")]
    fn a_block_of_the_future_is_seen() {
        voted_at(1).look(&Hash([1; 32]), TimeMs(START + 9_000), 1_000);
    }

    #[test]
    #[should_panic(expected = "59000 ms older than the first vote")]
    fn a_block_of_long_ago_is_seen() {
        voted_at(60_000).look(&Hash([1; 32]), TimeMs(START + 1_000), 61_000);
    }
}
