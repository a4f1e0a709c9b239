//! Answers a node that asks what it said before with a certificate that makes nothing final, so that it waits for what
//! never comes, and votes no more from then on, so that the vote of that node is needed.

use markstein_node::messages::Message;
use markstein_proto::consensus::{Ballot, Certificate};

use super::{Lie, Traitor};

#[derive(Default)]
pub struct Misreminder {
    /// The newest nullification that it heard of.
    nullification: Option<Certificate>,
    has_lied: bool,
}

impl Traitor for Misreminder {
    fn name(&self) -> &'static str {
        "misreminder"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["no_finalization"]
    }

    fn say(&mut self, _: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        match message {
            Message::Certificate(certificate) if certificate.subject.ballot == Ballot::Nullify => {
                self.nullification = Some(certificate.clone());
                vec![message.encode()]
            }
            Message::Memory { votes, .. } => {
                let Some(nullification) = self.nullification.clone() else { return vec![message.encode()] };
                self.has_lied = true;
                let lied = Message::Memory { finalization: Some(nullification), votes: votes.clone() };
                vec![lied.encode()]
            }
            Message::Vote(_) | Message::Proposal(_) if self.has_lied => Vec::new(),
            _ => vec![message.encode()],
        }
    }
}
