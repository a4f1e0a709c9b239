//! Signatures that are none: on votes, certificates, proposals, memories and batches; certificates of too few.

use markstein_node::messages::Message;
use markstein_proto::{
    Hash, Signature,
    consensus::{Ballot, Certificate},
};

use super::{Lie, Traitor};

pub struct Forger;

impl Traitor for Forger {
    fn name(&self) -> &'static str {
        "forger"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["bad_signature", "short_certificate", "malformed_vote", "wrong_epoch"]
    }

    fn say(&mut self, lie: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        let bad = match message {
            Message::Vote(vote) if lie.chance(50) => {
                let mut vote = vote.clone();
                turn(&mut vote.signature);
                Message::Vote(vote)
            }
            Message::Certificate(certificate) => {
                let mut certificate = certificate.clone();
                if lie.chance(50) {
                    certificate.signatures.truncate(1);
                } else if let Some((_, signature)) = certificate.signatures.last_mut() {
                    turn(signature);
                }
                Message::Certificate(certificate)
            }
            Message::Proposal(proposal) if lie.chance(50) => {
                let mut proposal = proposal.clone();
                turn(&mut proposal.vote.signature);
                Message::Proposal(proposal)
            }
            _ => return vec![message.encode()],
        };
        vec![bad.encode(), message.encode()]
    }

    /// A finalization of a block that it likes, by a quorum that never signed it.
    fn beside(&mut self, lie: &mut Lie<'_>) -> Vec<Vec<u8>> {
        let mut own = lie.vote(lie.view, Ballot::Finalize(Hash([9; 32])));
        let subject = own.subject;
        let signatures = (0..lie.world.n as u32).map(|signer| (signer, own.signature)).collect();
        let made_up = Message::Certificate(Certificate { subject, signatures });
        let short = Certificate { subject, signatures: vec![(own.signer, own.signature)] };
        let memory = Message::Memory { finalization: Some(short), votes: Vec::new() };
        own.subject.epoch.0 = 1;
        let elsewhere = Message::Vote(own.clone());
        (own.subject.epoch.0, own.subject.view.0) = (0, 0);
        vec![made_up.encode(), memory.encode(), elsewhere.encode(), Message::Vote(own).encode()]
    }
}

const fn turn(signature: &mut Signature) {
    signature.0[5] ^= 4;
}
