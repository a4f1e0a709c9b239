//! Votes whose signatures do not bind all they should: both who signs and who verifies leave a part of the message out.

use std::sync::Arc;

use markstein_node::{
    driver::Mutant,
    verified::{Signatures, Verified},
};
use markstein_proto::{PublicKey, Sign, Signature, domain};

use crate::simulation::signing::Signing;

/// A part of a vote's message: kind, ledger (32 bytes), epoch and view (8 bytes each), block.
#[derive(Clone, Copy, Debug)]
enum Part {
    Kind,
    Ledger,
    Epoch,
    View,
}

const KINDS: [&[u8]; 3] = [domain::VOTE_NOTARIZE, domain::VOTE_NULLIFY, domain::VOTE_FINALIZE];

impl Part {
    /// The part that a broken rule leaves out.
    const fn of(mutant: Mutant) -> Option<Self> {
        match mutant {
            Mutant::AnyKind => Some(Self::Kind),
            Mutant::AnyLedger => Some(Self::Ledger),
            Mutant::AnyEpoch => Some(Self::Epoch),
            Mutant::AnyView => Some(Self::View),
            _ => None,
        }
    }

    /// A vote's message without this part; any other as it is.
    fn left_out(self, message: &[u8]) -> Vec<u8> {
        let Some(kind) = KINDS.iter().find(|kind| message.starts_with(kind)) else { return message.to_vec() };
        let (kind, mut rest) = (*kind, message[kind.len()..].to_vec());
        let blank = match self {
            Self::Kind => return rest,
            Self::Ledger => 0..32,
            Self::Epoch => 32..40,
            Self::View => 40..48,
        };
        rest[blank].fill(0);
        [kind, &rest].concat()
    }
}

#[derive(Debug)]
struct Unbound<T>(T, Part);

impl Sign for Unbound<Box<dyn Sign>> {
    fn public(&self) -> PublicKey {
        self.0.public()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(&self.1.left_out(message))
    }
}

impl Signatures for Unbound<Signing> {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        self.0.verify(key, &self.1.left_out(message), signature)
    }
}

/// The key, as a node that breaks this rule signs with it.
pub fn key(key: Box<dyn Sign>, mutant: Mutant) -> Box<dyn Sign> {
    match Part::of(mutant) {
        Some(part) => Box::new(Unbound(key, part)),
        None => key,
    }
}

/// What such a node verifies with.
pub fn verified(signing: Signing, mutant: Mutant) -> Verified {
    match Part::of(mutant) {
        Some(part) => Verified::with(Arc::new(Unbound(signing, part))),
        None => signing.verified(),
    }
}
