//! Stand-in signatures: a keyed hash.

use markstein_consensus::VoteSigner;
use markstein_proto::{
    EpochId, Hash, LedgerId, Signature, View,
    consensus::{Ballot, CheckedCertificate, CheckedVote, Scheme, Subject, Verifier, Vote},
};

pub const LEDGER: LedgerId = LedgerId(Hash([9; 32]));

#[derive(Clone, Copy, Debug)]
pub struct Keyed;

pub fn keyed(signer: u32, message: &[u8]) -> Signature {
    let half = Hash::of(&[b"stand-in", &signer.to_be_bytes(), message]).0;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&half);
    Signature(bytes)
}

impl Scheme for Keyed {
    fn verify(&self, signer: u32, message: &[u8], signature: &Signature) -> bool {
        keyed(signer, message) == *signature
    }
}

pub struct KeyedSigner(pub u32);

impl VoteSigner for KeyedSigner {
    fn sign(&self, subject: &Subject) -> Signature {
        keyed(self.0, &subject.signing_bytes(&LEDGER))
    }
}

pub fn verifier(n: u32) -> Verifier<Keyed> {
    Verifier::with_scheme(LEDGER, EpochId(0), n, Keyed)
}

pub fn vote(signer: u32, view: u64, ballot: Ballot) -> CheckedVote {
    let subject = Subject { epoch: EpochId(0), view: View(view), ballot };
    CheckedVote::own(Vote { subject, signer, signature: KeyedSigner(signer).sign(&subject) })
}

/// The certificate of these signers.
pub fn certificate(signers: &[u32], view: u64, ballot: Ballot) -> CheckedCertificate {
    let votes: Vec<CheckedVote> = signers.iter().map(|signer| vote(*signer, view, ballot)).collect();
    CheckedCertificate::from_votes(&votes, signers.len()).unwrap()
}
