//! Other valid signatures on one batch: same id, other bytes.
//!
//! Ed25519 signers draw the nonce from key and message, so that one signer gives one signature. Who does it otherwise
//! makes as many as he likes, and all of them verify.

use std::sync::Arc;

use curve25519_dalek::{
    edwards::EdwardsPoint,
    scalar::{Scalar, clamp_integer},
};
use markstein_proto::{Batch, SecretKey, Signature};
use sha2::{Digest, Sha512};

/// A signature of `key` on `message` with a nonce drawn from this number.
pub fn sign(key: &SecretKey, nonce: u64, message: &[u8]) -> Signature {
    let mut half = [0; 32];
    half.copy_from_slice(&hash(&[&*key.seed()])[..32]);
    let secret = Scalar::from_bytes_mod_order(clamp_integer(half));
    let chosen = Scalar::from_bytes_mod_order_wide(&hash(&[b"nonce", &nonce.to_be_bytes(), message]));
    let point = EdwardsPoint::mul_base(&chosen).compress();
    let challenge = hash(&[point.as_bytes(), &key.public().to_bytes(), message]);
    let proof = Scalar::from_bytes_mod_order_wide(&challenge) * secret + chosen;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(point.as_bytes());
    signature[32..].copy_from_slice(&proof.to_bytes());
    Signature(signature)
}

/// The batch with this signature in the place of its own.
pub fn with_signature(batch: &Batch, signature: &Signature) -> Arc<Batch> {
    let old = batch.head().signatures[0].1.0;
    let mut bytes = batch.bytes().to_vec();
    let at = bytes.windows(64).position(|window| window == old).unwrap();
    bytes[at..at + 64].copy_from_slice(&signature.0);
    Arc::new(Batch::decode(bytes).unwrap())
}

fn hash(parts: &[&[u8]]) -> [u8; 64] {
    parts.iter().fold(Sha512::new(), |hash, part| hash.chain_update(part)).finalize().into()
}
