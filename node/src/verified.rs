//! Signatures that were found valid a moment ago are not verified again.
//!
//! A vote comes alone first, and then in the certificates of every peer; a cosignature is verified when it comes, and
//! counted several times. Only what was valid is remembered, by a hash over key, message and signature together, so that
//! the answer is that of a verification anew.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use markstein_proto::{
    Hash, Signature,
    consensus::{Ed25519, Scheme},
};

/// Signatures remembered in each of two generations.
const GENERATION: usize = 4096;

/// Remembers the newest valid signatures, some thousands.
#[derive(Debug, Default)]
pub struct Verified(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
}

impl Verified {
    /// What `verify` says, which is asked only where these parts were not found valid before. The parts must say all that
    /// the answer depends on, and where each ends.
    ///
    /// # Errors
    /// Those of `verify`.
    pub fn check<E>(&self, parts: &[&[u8]], verify: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let key = Hash::of(parts).0;
        if !self.knows(&key) {
            verify()?;
            self.remember(key);
        }
        Ok(())
    }

    fn knows(&self, key: &[u8; 32]) -> bool {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.contains(key) || generations.old.contains(key)
    }

    fn remember(&self, key: [u8; 32]) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key);
    }
}

/// Ed25519 for votes, each signature looked at once.
#[derive(Debug)]
pub struct Once<S> {
    scheme: S,
    verified: Verified,
}

impl Once<Ed25519> {
    /// Around a scheme.
    #[must_use]
    pub fn new(scheme: Ed25519) -> Self {
        Self { scheme, verified: Verified::default() }
    }
}

impl<S: Scheme> Scheme for Once<S> {
    fn verify(&self, signer: u32, message: &[u8], signature: &Signature) -> bool {
        // The signer stands for its key, which is fixed in an epoch; its number and the signature have fixed lengths.
        let number = signer.to_be_bytes();
        let parts = [number.as_slice(), &signature.0, message];
        let valid = || self.scheme.verify(signer, message, signature).then_some(()).ok_or(());
        self.verified.check(&parts, valid).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn what_was_valid_is_asked_once_and_what_was_not_each_time() {
        let (verified, asked) = (Verified::default(), Cell::new(0));
        let ask = |parts: &[&[u8]], valid: bool| {
            verified.check(parts, || {
                asked.set(asked.get() + 1);
                valid.then_some(()).ok_or("no")
            })
        };
        assert_eq!(ask(&[b"a", b"b"], false), Err("no"));
        assert_eq!(ask(&[b"a", b"b"], true), Ok(()));
        assert_eq!(ask(&[b"a", b"b"], false), Ok(()), "it was valid");
        assert_eq!(asked.get(), 2);
        assert_eq!(ask(&[b"a", b"c"], false), Err("no"));
    }

    #[test]
    fn it_forgets_the_oldest() {
        let verified = Verified::default();
        let number = |n: usize| n.to_be_bytes();
        for n in 0..3 * GENERATION {
            assert_eq!(verified.check::<()>(&[&number(n)], || Ok(())), Ok(()));
        }
        assert_eq!(verified.check(&[&number(0)], || Err("forgotten")), Err("forgotten"));
        assert_eq!(verified.check(&[&number(3 * GENERATION - 1)], || Err("forgotten")), Ok(()));
        let generations = verified.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION);
    }
}
