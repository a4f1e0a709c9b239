//! Ed25519 keys and signatures (RFC 8032), verified strictly.
//!
//! `verify_strict` is the one way a signature is checked: it refuses small-order keys and non-canonical points, so
//! every machine comes to the same verdict. Batch verification is deliberately absent: on crafted signatures its
//! verdict differs from that of single verification.

use alloc::sync::Arc;
use core::fmt;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::{Hash, domain};

/// Names a public key: the first 16 bytes of SHA-256 over [`domain::KEY_ID`] and the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 16]);

/// A public key that passed [`PublicKey::from_bytes`]: canonical and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

/// A secret key. Zeroised when dropped, never shown.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// Signs for a public key. [`SecretKey`] does; whoever tests whole ledgers may bring a cheaper one.
pub trait Sign: fmt::Debug + Send + Sync {
    /// The public key that its signatures are checked with.
    fn public(&self) -> PublicKey;

    /// Signs raw bytes. Callers put a domain tag first.
    fn sign(&self, message: &[u8]) -> Signature;
}

/// Says whether a signature is a key's signature of a message: what [`PublicKey::verify`] says, or what remembers it.
/// The functions that take one do so for callers that verify the same signatures again and again, and for tests of whole
/// ledgers; all others use those without.
pub type Verdict<'a> = &'a dyn Fn(&PublicKey, &[u8], &Signature) -> bool;

/// A signature as received: 64 bytes, checked only by [`PublicKey::verify`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// Why bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes.
    #[error("a public key has 32 bytes, this one has {0}")]
    Length(usize),
    /// Not the canonical encoding of a point on the curve.
    #[error("these bytes are not an Ed25519 public key")]
    NotAPoint,
    /// A point of small order, for which signatures can be made without a secret key.
    #[error("this public key is weak: anybody could sign for it")]
    Weak,
}

/// The signature is not this key's signature of this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not valid for this key and message")]
pub struct SignatureError;

/// Whether y, the 255 low bits, little endian, is below p = 2^255 - 19.
fn is_below_p(bytes: &[u8; 32]) -> bool {
    bytes[31] & 0x7F != 0x7F || bytes[1..31].iter().any(|byte| *byte != 0xFF) || bytes[0] < 0xED
}

impl PublicKey {
    /// Reads a public key and refuses weak and non-canonical ones.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let array: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Length(bytes.len()))?;
        let key = VerifyingKey::from_bytes(array).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        // Decompression reduces a y of p or more; two encodings of one key would be two key ids. The other non-canonical
        // encodings, a sign for an x of zero, are of small order.
        if !is_below_p(array) {
            return Err(KeyError::NotAPoint);
        }
        Ok(Self(key))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The id of this key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = Hash::of(&[domain::KEY_ID, self.0.as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&hash.0[..16]);
        KeyId(id)
    }

    /// Checks a signature over raw bytes, strictly (RFC 8032 section 5.1.7, cofactorless, no small-order points).
    ///
    /// # Errors
    /// [`SignatureError`] where it is not this key's.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0.verify_strict(message, &signature).map_err(|_| SignatureError)
    }
}

impl SecretKey {
    /// The key with this 32-byte seed (RFC 8032 section 5.1.5). The caller draws it from the system and wipes it.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The seed, for writing a key file; the caller wipes it.
    #[must_use]
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs raw bytes. Callers put a domain tag first.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl Sign for SecretKey {
    fn public(&self) -> PublicKey {
        self.public()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        self.sign(message)
    }
}

impl<S: Sign + ?Sized> Sign for Arc<S> {
    fn public(&self) -> PublicKey {
        (**self).public()
    }

    fn sign(&self, message: &[u8]) -> Signature {
        (**self).sign(message)
    }
}

/// [`PublicKey::verify`] as a [`Verdict`].
pub(crate) fn strictly(key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    key.verify(message, signature).is_ok()
}

impl TryFrom<&[u8]> for KeyId {
    type Error = usize;

    /// Fails with the length where it is not 16.
    fn try_from(bytes: &[u8]) -> Result<Self, usize> {
        bytes.try_into().map(Self).map_err(|_| bytes.len())
    }
}

impl TryFrom<&[u8]> for Signature {
    type Error = usize;

    /// Fails with the length where it is not 64.
    fn try_from(bytes: &[u8]) -> Result<Self, usize> {
        bytes.try_into().map(Self).map_err(|_| bytes.len())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public().id())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}
