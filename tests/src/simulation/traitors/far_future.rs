//! Votes for views that nobody will reach, rightly signed.

use markstein_node::messages::Message;
use markstein_proto::{Hash, consensus::Ballot};

use super::{Lie, Traitor};

pub struct FarFuture;

impl Traitor for FarFuture {
    fn name(&self) -> &'static str {
        "far future"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["far_future"]
    }

    fn beside(&mut self, lie: &mut Lie<'_>) -> Vec<Vec<u8>> {
        let block = Hash(lie.bytes(32).try_into().unwrap());
        let ballots = [Ballot::Nullify, Ballot::Notarize(block), Ballot::Finalize(block)];
        let mut views = vec![u64::MAX, u64::MAX - 1, lie.view + 1_000_000];
        views.extend((0..5).map(|_| lie.view + 100 + lie.random.below(1000)));
        let pairs = views.iter().flat_map(|view| ballots.map(|ballot| (*view, ballot)));
        pairs.map(|(view, ballot)| Message::Vote(lie.vote(view, ballot)).encode()).collect()
    }
}
