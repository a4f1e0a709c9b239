//! Other people's votes: true ones taken from certificates, as its own messages and as memories.

use markstein_node::messages::Message;
use markstein_proto::consensus::{Certificate, Vote};

use super::{Lie, Traitor};

#[derive(Default)]
pub struct Messenger(Option<Certificate>);

impl Traitor for Messenger {
    fn name(&self) -> &'static str {
        "messenger"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["foreign_vote"]
    }

    fn say(&mut self, _: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        if let Message::Certificate(certificate) = message {
            self.0 = Some(certificate.clone());
        }
        vec![message.encode()]
    }

    fn beside(&mut self, lie: &mut Lie<'_>) -> Vec<Vec<u8>> {
        let Some(Certificate { subject, signatures }) = &self.0 else { return Vec::new() };
        let vote = |(signer, signature): &(u32, _)| Vote {
            subject: *subject,
            signer: *signer,
            signature: *signature,
        };
        let others: Vec<Vote> = signatures.iter().map(vote).filter(|v| v.signer as usize != lie.me).collect();
        let memory = Message::Memory { finalization: None, votes: others.clone() };
        others.into_iter().map(Message::Vote).chain([memory]).map(|message| message.encode()).collect()
    }
}
