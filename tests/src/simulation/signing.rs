//! What the keys of a run sign with: Ed25519, or keyed hashes in its place, which cost next to nothing.
//!
//! A stand-in is SHA-256 over the key's secret, a nonce and the message, and then that nonce. Only who has the secret makes
//! one, every nonce gives another that is valid too, and who turns a bit in any part has none. Its judge knows all secrets:
//! that is why it is of no use outside of a test, and why nothing but this folder knows it.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

#[cfg(feature = "mutants")]
use markstein_node::driver::Mutant;
use markstein_node::verified::{Signatures, Strict, Verified};
use markstein_proto::{Batch, Hash, PublicKey, SecretKey, Sign, Signature};

use crate::simulation::{support::key, variant};

/// Every so many seeds one has real signatures.
const REAL_EVERY: u64 = 10;
/// Before all that is hashed.
const TAG: &[u8] = b"stand-in for a signature";

/// What decides a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    /// From where all chance comes.
    pub number: u64,
    /// What is signed with.
    pub signing: Signing,
    /// The rule that all nodes break.
    #[cfg(feature = "mutants")]
    pub mutant: Mutant,
}

/// What a run signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Ed25519.
    Real,
    /// Keyed hashes.
    StandIns,
}

impl Seed {
    /// With real signatures, whatever the number.
    #[must_use]
    pub const fn real(number: u64) -> Self {
        Self {
            number,
            signing: Signing::Real,
            #[cfg(feature = "mutants")]
            mutant: Mutant::None,
        }
    }

    /// With stand-ins, whatever the number.
    #[must_use]
    pub const fn stand_ins(number: u64) -> Self {
        Self { signing: Signing::StandIns, ..Self::real(number) }
    }

    /// The same with real signatures.
    pub(super) const fn with_real_signatures(self) -> Self {
        Self { signing: Signing::Real, ..self }
    }

    /// The same with a rule that all nodes break.
    #[cfg(feature = "mutants")]
    #[must_use]
    pub fn breaking(self, mutant: Mutant) -> Self {
        Self { mutant, ..self }
    }
}

impl From<u64> for Seed {
    /// The seed chooses what it is signed with.
    fn from(number: u64) -> Self {
        let signing = if number.is_multiple_of(REAL_EVERY) { Signing::Real } else { Signing::StandIns };
        Self { signing, ..Self::real(number) }
    }
}

impl Signing {
    /// In a word or two.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Real => "Ed25519",
            Self::StandIns => "stand-ins",
        }
    }

    /// The key with this number, to sign with.
    pub(super) fn key(self, number: u8) -> Box<dyn Sign> {
        match self {
            Self::Real => Box::new(key(number)),
            Self::StandIns => Box::new(StandIn { key: key(number), nonce: 0 }),
        }
    }

    /// Checks what those keys sign, and remembers it.
    pub(super) fn verified(self) -> Verified {
        Verified::with(Arc::new(self))
    }

    /// The batch as key number `number`, which signed it, might have signed it otherwise; with nonce 0 as it is.
    pub(super) fn version(self, batch: &Arc<Batch>, number: u8, nonce: u64) -> Arc<Batch> {
        if nonce == 0 {
            return Arc::clone(batch);
        }
        let message = batch.head().signing_bytes();
        let signature = match self {
            Self::Real => variant::sign(&key(number), nonce, &message),
            Self::StandIns => StandIn { key: key(number), nonce }.sign(&message),
        };
        variant::with_signature(batch, &signature)
    }
}

impl Signatures for Signing {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        match self {
            Self::Real => Strict.verify(key, message, signature),
            Self::StandIns => SECRETS.get(&key.to_bytes()).is_some_and(|secret| {
                let nonce = signature.0.last_chunk().expect("64 bytes end with 32");
                stand_in(secret, nonce, message) == *signature
            }),
        }
    }
}

/// Signs with keyed hashes in the name of a real key.
#[derive(Debug)]
struct StandIn {
    key: SecretKey,
    nonce: u64,
}

impl Sign for StandIn {
    fn public(&self) -> PublicKey {
        self.key.public()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&self.nonce.to_be_bytes());
        stand_in(&self.key.seed(), &nonce, message)
    }
}

/// The secret of each key that a simulation has, by the public one.
static SECRETS: LazyLock<HashMap<[u8; 32], [u8; 32]>> = LazyLock::new(|| {
    let pair = |key: SecretKey| (key.public().to_bytes(), *key.seed());
    (0..=u8::MAX).map(|number| pair(key(number))).collect()
});

fn stand_in(secret: &[u8; 32], nonce: &[u8; 32], message: &[u8]) -> Signature {
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&Hash::of(&[TAG, secret, nonce, message]).0);
    signature[32..].copy_from_slice(nonce);
    Signature(signature)
}

#[cfg(test)]
mod tests {
    use markstein_proto::{Record, TimeMs};

    use super::*;
    use crate::simulation::support::{ISSUER_KEY, START, anchor, genesis_of, issuer};

    const BOTH: [Signing; 2] = [Signing::Real, Signing::StandIns];

    #[test]
    fn a_signature_is_good_for_its_key_and_its_message_and_with_every_bit_as_it_is() {
        for signing in BOTH {
            let (signer, other) = (signing.key(1), signing.key(2));
            let signature = signer.sign(b"message");
            assert!(signing.verify(&signer.public(), b"message", &signature));
            assert!(!signing.verify(&other.public(), b"message", &signature), "another key");
            assert!(!signing.verify(&signer.public(), b"massage", &signature), "another message");
            assert!(!signing.verify(&signer.public(), b"message", &Signature([0; 64])), "no signature");
            for bit in 0..512 {
                let mut turned = signature;
                turned.0[bit / 8] ^= 1 << (bit % 8);
                assert!(!signing.verify(&signer.public(), b"message", &turned), "bit {bit} turned");
            }
            assert_eq!(signer.public(), key(1).public());
            assert_eq!(signer.sign(b"message"), signature, "the same each time");
        }
        let nobody = SecretKey::from_seed(&[0x5a, 1].repeat(16).try_into().unwrap());
        let own = StandIn { key: nobody.clone(), nonce: 0 }.sign(b"message");
        assert!(!Signing::StandIns.verify(&nobody.public(), b"message", &own), "a key of no simulation");
    }

    #[test]
    fn neither_kind_passes_for_the_other() {
        for (one, other) in [(Signing::Real, Signing::StandIns), (Signing::StandIns, Signing::Real)] {
            let signer = one.key(1);
            assert!(!other.verify(&signer.public(), b"message", &signer.sign(b"message")));
        }
    }

    #[test]
    fn other_signatures_on_one_batch_are_valid_too() {
        let genesis = genesis_of(1);
        let (grant, records) = (&genesis.grants[0], [Record::Anchor(anchor(0)), Record::Anchor(anchor(1))]);
        for signing in BOTH {
            let (key, ledger) = (signing.key(ISSUER_KEY), genesis.ledger_id());
            let batch = Batch::sign(ledger, &issuer(), &*key, TimeMs(START), &records).unwrap();
            let batch = Arc::new(batch);
            let verdict = |key: &PublicKey, message: &[u8], signature: &Signature| {
                signing.verify(key, message, signature)
            };
            batch.head().verify_author_with(grant, genesis.time, &verdict).unwrap();
            for nonce in 1..4 {
                let other = signing.version(&batch, ISSUER_KEY, nonce);
                assert_eq!(other.id(), batch.id());
                assert_ne!(other.bytes(), batch.bytes());
                other.head().verify_author_with(grant, genesis.time, &verdict).unwrap();
            }
        }
    }

    #[test]
    fn every_tenth_seed_is_real_and_each_can_be() {
        let real = (0..100).filter(|seed| Seed::from(*seed).signing == Signing::Real).count();
        assert_eq!(real, 10);
        assert_eq!(Seed::real(7).signing, Signing::Real);
        assert_eq!(Seed::stand_ins(10).signing, Signing::StandIns);
    }
}
