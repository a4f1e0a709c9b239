//! Other valid signatures on one batch: same id, other bytes.
//!
//! Ed25519 signers draw the nonce from key and message, so that one signer gives one signature. Who does it otherwise
//! makes as many as he likes, and all of them verify.

use std::sync::Arc;

use curve25519_dalek::{
    edwards::EdwardsPoint,
    scalar::{Scalar, clamp_integer},
};
use markstein_proto::{Batch, SecretKey};
use sha2::{Digest, Sha512};

/// The batch as its issuer might have signed it, with nonce number `nonce`; number 0 is what `key` signs by itself.
pub fn variant(batch: &Batch, key: &SecretKey, nonce: u64) -> Arc<Batch> {
    if nonce == 0 {
        return Arc::new(batch.clone());
    }
    let message = batch.head().signing_bytes();
    let mut half = [0; 32];
    half.copy_from_slice(&hash(&[&*key.seed()])[..32]);
    let secret = Scalar::from_bytes_mod_order(clamp_integer(half));
    let chosen = Scalar::from_bytes_mod_order_wide(&hash(&[b"nonce", &nonce.to_be_bytes(), &message]));
    let point = EdwardsPoint::mul_base(&chosen).compress();
    let challenge = hash(&[point.as_bytes(), &key.public().to_bytes(), &message]);
    let proof = Scalar::from_bytes_mod_order_wide(&challenge) * secret + chosen;
    let signature = [*point.as_bytes(), proof.to_bytes()].concat();
    let old = batch.head().signatures[0].1.0;
    let mut bytes = batch.bytes().to_vec();
    let at = bytes.windows(64).position(|window| window == old).unwrap();
    bytes[at..at + 64].copy_from_slice(&signature);
    Arc::new(Batch::decode(bytes).unwrap())
}

fn hash(parts: &[&[u8]]) -> [u8; 64] {
    parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part)).finalize().into()
}

#[cfg(test)]
mod tests {
    use markstein_proto::{Record, TimeMs};

    use super::*;
    use crate::simulation::support::{ISSUER_KEY, START, anchor, genesis_of, issuer, key};

    #[test]
    fn other_signatures_on_one_batch_are_valid_too() {
        let (key, genesis) = (key(ISSUER_KEY), genesis_of(1));
        let records = [Record::Anchor(anchor(0)), Record::Anchor(anchor(1))];
        let batch = Batch::sign(genesis.ledger_id(), &issuer(), &key, TimeMs(START), &records).unwrap();
        for nonce in 1..4 {
            let other = variant(&batch, &key, nonce);
            assert_eq!(other.id(), batch.id());
            assert_ne!(other.bytes(), batch.bytes());
            other.head().verify_author(&genesis.grants[0], genesis.time).unwrap();
        }
    }
}
