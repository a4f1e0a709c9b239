//! Cosignatures: an authority's statement that, at a time, a checkpoint was the newest it knew (C2SP
//! tlog-cosignature, `cosignature/v1`).
//!
//! The signature in the line is 8 bytes of time, big-endian seconds since 1970-01-01T00:00:00Z, and 64 bytes of
//! Ed25519 over two header lines and the text of the checkpoint. The signed message does not contain the
//! cosigner's name, so one key serves under one name only.

use alloc::{format, string::String};

use super::{Algorithm, KeyName, NoteSignature, Vkey};
use crate::{Sign, Signature, Verdict, key};

/// The latest time the specification allows.
pub const TIME_MAX_S: u64 = i64::MAX as u64;

/// Why a line is not a key's cosignature of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CosignatureError {
    /// The verifier key signs in another way.
    #[error("the verifier key is not of type 0x04 (cosignature/v1)")]
    WrongKeyType,
    /// Name or key hash of the line are not the key's.
    #[error("the line is another key's")]
    OtherKey,
    /// Not 72 bytes.
    #[error("a cosignature has 72 bytes, this one has {0}")]
    Length(usize),
    /// Zero, or past [`TIME_MAX_S`].
    #[error("a cosignature's time is 1 to 2^63 - 1 seconds, this one's is {0}")]
    Time(u64),
    /// Not made by this key for this text and time.
    #[error("it was not made by this key for this checkpoint and time")]
    Signature,
}

/// The message that is signed: two header lines and the text of the checkpoint.
#[must_use]
pub fn cosigned_message(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// Cosigns the text of a checkpoint at a time, in seconds since 1970-01-01T00:00:00Z.
///
/// # Errors
/// [`CosignatureError::Time`] where the time is zero or past [`TIME_MAX_S`].
pub fn sign_cosignature(
    key: &(impl Sign + ?Sized),
    name: &KeyName,
    text: &str,
    time_s: u64,
) -> Result<NoteSignature, CosignatureError> {
    check_time(time_s)?;
    let vkey = Vkey::new(name.clone(), Algorithm::CosignatureV1, key.public());
    let signature = key.sign(cosigned_message(text, time_s).as_bytes());
    let signature = [time_s.to_be_bytes().as_slice(), &signature.0].concat();
    Ok(NoteSignature { name: name.clone(), key_hash: vkey.key_hash(), signature })
}

/// Checks a key's cosignature of a text and returns its time in seconds.
///
/// # Errors
/// Where it is not this key's cosignature of this text, see [`CosignatureError`].
pub fn verify_cosignature(vkey: &Vkey, text: &str, line: &NoteSignature) -> Result<u64, CosignatureError> {
    verify_cosignature_with(vkey, text, line, &key::strictly)
}

/// The same with another [`Verdict`] on the signature.
///
/// # Errors
/// As [`verify_cosignature`].
pub fn verify_cosignature_with(
    vkey: &Vkey,
    text: &str,
    line: &NoteSignature,
    verdict: Verdict<'_>,
) -> Result<u64, CosignatureError> {
    if vkey.algorithm() != Algorithm::CosignatureV1 {
        return Err(CosignatureError::WrongKeyType);
    }
    if !line.is_by(vkey) {
        return Err(CosignatureError::OtherKey);
    }
    let (time_s, signature) = split(&line.signature).ok_or(CosignatureError::Length(line.signature.len()))?;
    check_time(time_s)?;
    let message = cosigned_message(text, time_s);
    if verdict(vkey.key(), message.as_bytes(), &signature) {
        Ok(time_s)
    } else {
        Err(CosignatureError::Signature)
    }
}

fn split(bytes: &[u8]) -> Option<(u64, Signature)> {
    let (time, signature) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*time), Signature::try_from(signature).ok()?))
}

fn check_time(time_s: u64) -> Result<(), CosignatureError> {
    if (1..=TIME_MAX_S).contains(&time_s) { Ok(()) } else { Err(CosignatureError::Time(time_s)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::SecretKey;

    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    const TIME_S: u64 = 1_679_315_147;

    fn key() -> SecretKey {
        SecretKey::from_seed(&[9; 32])
    }

    fn cosigner(algorithm: Algorithm) -> Vkey {
        Vkey::new(KeyName::new("witness.example.com/w1").unwrap(), algorithm, key().public())
    }

    fn line() -> NoteSignature {
        sign_cosignature(&key(), cosigner(Algorithm::CosignatureV1).name(), TEXT, TIME_S).unwrap()
    }

    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        let message = b"cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let line = line();
        assert_eq!(line.signature.len(), 72);
        assert_eq!(line.signature[..8], [0, 0, 0, 0, 0x64, 0x18, 0x50, 0xcb]);
        assert_eq!(line.signature[8..], key().sign(message).0);
        assert_eq!(verify_cosignature(&cosigner(Algorithm::CosignatureV1), TEXT, &line), Ok(TIME_S));
    }

    #[test]
    fn every_part_is_bound() {
        let vkey = cosigner(Algorithm::CosignatureV1);
        let text = TEXT.replace("20852163", "20852164");
        assert_eq!(verify_cosignature(&vkey, &text, &line()), Err(CosignatureError::Signature));
        for byte in 4..72 {
            let mut line = line();
            line.signature[byte] ^= 1;
            assert_eq!(
                verify_cosignature(&vkey, TEXT, &line),
                Err(CosignatureError::Signature),
                "byte {byte}"
            );
        }
        let other =
            Vkey::new(vkey.name().clone(), Algorithm::CosignatureV1, SecretKey::from_seed(&[1; 32]).public());
        assert_eq!(verify_cosignature(&other, TEXT, &line()), Err(CosignatureError::OtherKey));
        let log = cosigner(Algorithm::Ed25519);
        assert_eq!(verify_cosignature(&log, TEXT, &line()), Err(CosignatureError::WrongKeyType));
    }

    #[test]
    fn times_are_bounded_on_both_sides() {
        let vkey = cosigner(Algorithm::CosignatureV1);
        for time_s in [0, TIME_MAX_S + 1, u64::MAX] {
            let refused = Err(CosignatureError::Time(time_s));
            assert_eq!(sign_cosignature(&key(), vkey.name(), TEXT, time_s).map(|_| 0), refused);
            let signature = key().sign(cosigned_message(TEXT, time_s).as_bytes());
            let signature: Vec<u8> = [time_s.to_be_bytes().as_slice(), &signature.0].concat();
            assert_eq!(verify_cosignature(&vkey, TEXT, &NoteSignature { signature, ..line() }), refused);
        }
        let last = sign_cosignature(&key(), vkey.name(), TEXT, TIME_MAX_S).unwrap();
        assert_eq!(verify_cosignature(&vkey, TEXT, &last), Ok(TIME_MAX_S));
    }

    #[test]
    fn lengths_are_exact() {
        let vkey = cosigner(Algorithm::CosignatureV1);
        for length in [0, 7, 8, 64, 71] {
            let mut line = line();
            line.signature.truncate(length);
            assert_eq!(verify_cosignature(&vkey, TEXT, &line), Err(CosignatureError::Length(length)));
        }
        let mut line = line();
        line.signature.push(0);
        assert_eq!(verify_cosignature(&vkey, TEXT, &line), Err(CosignatureError::Length(73)));
    }
}
