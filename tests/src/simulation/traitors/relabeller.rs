//! Votes that were signed as something else: on another view, of another kind, in another epoch, on another ledger whose
//! authorities have the same keys.

use markstein_node::messages::Message;
use markstein_proto::{
    EpochId, Hash, LedgerId, View,
    consensus::{Ballot, Certificate, Subject, Vote},
};

use super::{Lie, Traitor};

/// How many certificates it keeps.
const REMEMBERED: usize = 16;

#[derive(Default)]
pub struct Relabeller(Vec<Certificate>);

impl Traitor for Relabeller {
    fn name(&self) -> &'static str {
        "relabeller"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["bad_signature"]
    }

    fn say(&mut self, _: &mut Lie<'_>, _: usize, message: &Message) -> Vec<Vec<u8>> {
        if let Message::Certificate(certificate) = message {
            self.0.push(certificate.clone());
            let old = self.0.len().saturating_sub(REMEMBERED);
            self.0.drain(..old);
        }
        vec![message.encode()]
    }

    fn beside(&mut self, lie: &mut Lie<'_>) -> Vec<Vec<u8>> {
        let subject = Subject { epoch: EpochId(0), view: View(lie.view), ballot: Ballot::Nullify };
        let mut said = vec![
            of_everybody(lie, LedgerId(Hash([7; 32])), subject, subject),
            of_everybody(lie, lie.world.ledger, Subject { epoch: EpochId(1), ..subject }, subject),
        ];
        for Certificate { subject, signatures } in &self.0 {
            let here = Subject { view: View(lie.view), ..*subject };
            let decides = match subject.ballot {
                Ballot::Notarize(block) => Subject { ballot: Ballot::Finalize(block), ..*subject },
                Ballot::Nullify | Ballot::Finalize(_) => here,
            };
            let relabelled = |subject| Certificate { subject, signatures: signatures.clone() };
            said.extend([here, decides].into_iter().filter(|other| other != subject).map(relabelled));
        }
        said.into_iter().map(|certificate| Message::Certificate(certificate).encode()).collect()
    }
}

/// What all authorities signed of one subject on some ledger, as if it were of another.
fn of_everybody(lie: &Lie<'_>, ledger: LedgerId, signed: Subject, subject: Subject) -> Certificate {
    let sign = |signer: usize| {
        let key = lie.world.key(signer, 1);
        (signer as u32, Vote::sign(&ledger, signed, signer as u32, &*key).signature)
    };
    Certificate { subject, signatures: (0..lie.world.n).map(sign).collect() }
}
