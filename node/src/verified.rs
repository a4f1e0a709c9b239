//! Signatures that were found valid a moment ago are not verified again.
//!
//! A vote comes alone first, and then in the certificates of every peer; a cosignature is verified when it comes, and
//! counted several times; a batch is checked on admission, when a block is built and when it is executed. Only what was
//! valid is remembered, by a hash over key, signature and message together, so that the answer is that of a verification
//! anew.

use std::{
    collections::HashSet,
    fmt::Debug,
    sync::{Arc, Mutex, PoisonError},
};

use markstein_proto::{AuthoritySet, Hash, PublicKey, Signature, consensus::Scheme};

use crate::work::{self, Step};

/// Signatures remembered in each of two generations.
const GENERATION: usize = 4096;

/// What a signature is checked with. [`Strict`] is the one there is; a test of whole ledgers brings a cheaper one, which
/// it hands to each part by itself: no setting of a node leads to another.
pub trait Signatures: Debug + Send + Sync {
    /// Whether `signature` is that of `key` on `message`.
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool;
}

/// Ed25519, verified strictly: [`PublicKey::verify`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Strict;

impl Signatures for Strict {
    fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        key.verify(message, signature).is_ok()
    }
}

/// Verifies signatures, and remembers the newest valid ones, some thousands.
#[derive(Debug)]
pub struct Verified {
    signatures: Arc<dyn Signatures>,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Default for Verified {
    /// With [`Strict`].
    fn default() -> Self {
        Self::with(Arc::new(Strict))
    }
}

impl Verified {
    /// One that asks these.
    #[must_use]
    pub fn with(signatures: Arc<dyn Signatures>) -> Self {
        Self { signatures, generations: Mutex::default() }
    }

    /// Another one that asks the same, and remembers nothing yet.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::with(Arc::clone(&self.signatures))
    }

    /// Whether `signature` is that of `key` on `message`.
    #[must_use]
    pub fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
        let name = Hash::of(&[&key.to_bytes(), &signature.0, message]).0; // key and signature have fixed lengths
        self.knows(&name) || {
            work::charge(Step::Signature, 1);
            let valid = self.signatures.verify(key, message, signature);
            if valid {
                self.remember(name);
            }
            valid
        }
    }

    fn knows(&self, name: &[u8; 32]) -> bool {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.contains(name) || generations.old.contains(name)
    }

    fn remember(&self, name: [u8; 32]) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(name);
    }
}

/// The consensus keys of an authority set, each signature of theirs looked at once.
#[derive(Debug)]
pub struct Voters {
    set: AuthoritySet,
    verified: Verified,
}

impl Voters {
    /// Those of `set`, verified with `verified`.
    #[must_use]
    pub const fn new(set: AuthoritySet, verified: Verified) -> Self {
        Self { set, verified }
    }
}

impl Scheme for Voters {
    fn verify(&self, signer: u32, message: &[u8], signature: &Signature) -> bool {
        let authority = self.set.authorities().get(signer as usize);
        authority.is_some_and(|a| self.verified.verify(&a.consensus_key, message, signature))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use markstein_proto::SecretKey;

    use super::*;

    /// Counts how often it is asked.
    #[derive(Debug, Default)]
    struct Counted(AtomicUsize);

    impl Counted {
        fn asked(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Signatures for Counted {
        fn verify(&self, key: &PublicKey, message: &[u8], signature: &Signature) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            Strict.verify(key, message, signature)
        }
    }

    #[test]
    fn what_was_valid_is_asked_once_and_what_was_not_each_time() {
        let counted = Arc::new(Counted::default());
        let verified = Verified::with(counted.clone());
        let (key, other) = (SecretKey::from_seed(&[1; 32]), SecretKey::from_seed(&[2; 32]));
        let (good, bad) = (key.sign(b"ab"), Signature([7; 64]));
        for _ in 0..2 {
            assert!(!verified.verify(&key.public(), b"ab", &bad));
        }
        assert!(verified.verify(&key.public(), b"ab", &good));
        assert_eq!(counted.asked(), 3);
        assert!(verified.verify(&key.public(), b"ab", &good), "it was valid");
        assert_eq!(counted.asked(), 3);
        assert!(!verified.verify(&key.public(), b"abc", &good));
        assert!(!verified.verify(&other.public(), b"ab", &good));
        assert!(!verified.verify(&key.public(), b"ab", &bad));
        assert_eq!(counted.asked(), 6);
        assert!(verified.another().verify(&key.public(), b"ab", &good));
        assert_eq!(counted.asked(), 7, "another one remembers nothing, and asks the same");
    }

    #[test]
    fn it_forgets_the_oldest() {
        let verified = Verified::default();
        let name = |n: usize| Hash::of(&[&n.to_be_bytes()]).0;
        (0..3 * GENERATION).for_each(|n| verified.remember(name(n)));
        assert!(!verified.knows(&name(0)), "forgotten");
        assert!(verified.knows(&name(3 * GENERATION - 1)));
        let generations = verified.generations.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }
}
