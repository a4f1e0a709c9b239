//! Keeps each finalization to itself for a while and says it to those who catch up, between one block and the next: what
//! it says is true, and long past.

use std::collections::VecDeque;

use markstein_node::messages::Message;
use markstein_proto::consensus::{Ballot, Certificate};

use super::{Lie, Traitor};

const KEPT: usize = 40;

#[derive(Default)]
pub struct Latecomer {
    finalizations: VecDeque<Certificate>,
}

impl Traitor for Latecomer {
    fn name(&self) -> &'static str {
        "latecomer"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    fn say(&mut self, lie: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        if let Message::Certificate(certificate) = message
            && matches!(certificate.subject.ballot, Ballot::Finalize(_))
        {
            if self.finalizations.back() != Some(certificate) {
                self.finalizations.push_back(certificate.clone());
            }
            if self.finalizations.len() > KEPT {
                self.finalizations.pop_front();
            }
        }
        let mut said = vec![message.encode()];
        if matches!(message, Message::BlockBatches { .. } | Message::Range(_)) {
            let some = self.finalizations.iter().filter(|_| lie.chance(30));
            said.extend(some.map(|certificate| Message::Certificate(certificate.clone()).encode()));
        }
        said
    }
}
