//! Votes one thing to some and another to others.

use markstein_node::messages::Message;
use markstein_proto::{
    Hash,
    consensus::{Ballot, Vote},
};

use super::{Lie, Traitor};

pub struct Equivocator;

impl Traitor for Equivocator {
    fn name(&self) -> &'static str {
        "equivocator"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["equivocation"]
    }

    fn say(&mut self, lie: &mut Lie<'_>, to: usize, message: &Message) -> Vec<Vec<u8>> {
        let Message::Vote(Vote { subject, signer, .. }) = message else { return vec![message.encode()] };
        if *signer as usize != lie.me || (to.is_multiple_of(2) && lie.chance(90)) {
            return vec![message.encode()];
        }
        let view = subject.view.0;
        let other = match subject.ballot {
            Ballot::Notarize(_) => Ballot::Notarize(Hash([8; 32])),
            // The very thing that would lose a final block.
            Ballot::Finalize(_) => Ballot::Nullify,
            Ballot::Nullify => Ballot::Finalize(Hash([8; 32])),
        };
        let mut said = vec![Message::Vote(lie.vote(view, other)).encode()];
        if lie.chance(30) {
            said.push(message.encode());
        }
        said
    }
}
