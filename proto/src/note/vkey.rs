//! Verifier keys: who signs a note, and with which algorithm (C2SP signed-note, "Verifier keys").

use alloc::{borrow::ToOwned, string::String};
use core::{fmt, str::FromStr};

use crate::{
    Hash, KeyError, PublicKey,
    encoding::{Base64Error, base64_decode, base64_encode},
};

/// Longest key name, in bytes of UTF-8.
pub const KEY_NAME_MAX: usize = 256;

/// First four bytes of SHA-256 over name, newline, algorithm byte and key. It tells keys apart, it proves nothing.
pub type KeyHash = [u8; 4];

/// The name of a key, by convention a URL without a scheme: not empty, at most [`KEY_NAME_MAX`] bytes, without
/// spaces, plus signs and control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyName(String);

/// Why a text is no key name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyNameError {
    /// Nothing at all.
    #[error("the key name is empty")]
    Empty,
    /// Longer than [`KEY_NAME_MAX`].
    #[error("the key name has {0} bytes, at most {KEY_NAME_MAX} are allowed")]
    TooLong(usize),
    /// A character that has a meaning in notes or verifier keys, or that cannot be seen.
    #[error("the key name contains {0:?}: spaces, plus signs and control characters are not allowed")]
    Character(char),
}

/// How a key signs, by the type bytes that C2SP signed-note assigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Algorithm {
    /// Ed25519 over the text of a note: a log's own line.
    Ed25519 = 0x01,
    /// Ed25519 over a time and the text of a checkpoint (C2SP tlog-cosignature): an authority's line.
    CosignatureV1 = 0x04,
}

/// A verifier key: `name+hash+base64(algorithm || key)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vkey {
    name: KeyName,
    key_hash: KeyHash,
    algorithm: Algorithm,
    key: PublicKey,
}

/// Why a text is no verifier key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VkeyError {
    /// Not of the form `name+hash+key`.
    #[error("a verifier key has the form name+hash+key, with a hash of 8 lower-case hex digits")]
    Form,
    /// The name part.
    #[error(transparent)]
    Name(#[from] KeyNameError),
    /// The key part is not base64.
    #[error("the key of the verifier key: {0}")]
    Base64(#[from] Base64Error),
    /// The key part has no bytes, so not even a type.
    #[error("the verifier key contains no key")]
    NoKey,
    /// A type byte other than 0x01 and 0x04.
    #[error("the verifier key is of type {0:#04x}; known are 0x01 (Ed25519) and 0x04 (cosignature/v1)")]
    Algorithm(u8),
    /// The key itself.
    #[error("the key of the verifier key: {0}")]
    Key(#[from] KeyError),
    /// The hash is not that of name and key: one of the three was changed or mistyped.
    #[error("the hash in the verifier key does not belong to its name and key")]
    Hash,
}

impl KeyName {
    /// Checks a key name.
    ///
    /// # Errors
    /// See [`KeyNameError`].
    pub fn new(name: &str) -> Result<Self, KeyNameError> {
        if name.is_empty() {
            return Err(KeyNameError::Empty);
        }
        if name.len() > KEY_NAME_MAX {
            return Err(KeyNameError::TooLong(name.len()));
        }
        match name.chars().find(|&c| c.is_whitespace() || c.is_control() || c == '+') {
            Some(character) => Err(KeyNameError::Character(character)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Algorithm {
    /// The algorithm with this type byte.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Ed25519),
            0x04 => Some(Self::CosignatureV1),
            _ => None,
        }
    }

    /// The type byte.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

impl Vkey {
    /// The verifier key of a public key under a name.
    #[must_use]
    pub fn new(name: KeyName, algorithm: Algorithm, key: PublicKey) -> Self {
        let hash = Hash::of(&[name.as_str().as_bytes(), b"\n", &[algorithm.byte()], &key.to_bytes()]);
        let [a, b, c, d, ..] = hash.0;
        Self { name, key_hash: [a, b, c, d], algorithm, key }
    }

    /// Reads `name+hash+base64(algorithm || key)`.
    ///
    /// # Errors
    /// See [`VkeyError`].
    pub fn parse(text: &str) -> Result<Self, VkeyError> {
        // The base64 at the end may contain plus signs itself.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VkeyError::Form);
        };
        let name = KeyName::new(name)?;
        let key_hash = parse_key_hash(hash).ok_or(VkeyError::Form)?;
        let bytes = base64_decode(key, 1 + 32)?;
        let (&byte, key) = bytes.split_first().ok_or(VkeyError::NoKey)?;
        let algorithm = Algorithm::from_byte(byte).ok_or(VkeyError::Algorithm(byte))?;
        let vkey = Self::new(name, algorithm, PublicKey::from_bytes(key)?);
        if vkey.key_hash == key_hash { Ok(vkey) } else { Err(VkeyError::Hash) }
    }

    /// Whose key it is.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// Names the key together with its name in a signature line.
    #[must_use]
    pub fn key_hash(&self) -> KeyHash {
        self.key_hash
    }

    /// How it signs.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// Eight lower-case hex digits: upper case would be a second text of the same key.
fn parse_key_hash(text: &str) -> Option<KeyHash> {
    let mut hash = [0; 4];
    hex::decode_to_slice(text, &mut hash).ok()?;
    (!text.bytes().any(|byte| byte.is_ascii_uppercase())).then_some(hash)
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl FromStr for Vkey {
    type Err = VkeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Vkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut key = [self.algorithm.byte(); 33];
        key[1..].copy_from_slice(&self.key.to_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.key_hash), base64_encode(&key))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloc::{format, string::ToString};

    use super::*;
    use crate::SecretKey;

    fn key() -> PublicKey {
        SecretKey::from_seed(&[7; 32]).public()
    }

    #[test]
    fn both_types_go_to_text_and_back() {
        for algorithm in [Algorithm::Ed25519, Algorithm::CosignatureV1] {
            let vkey = Vkey::new(KeyName::new("example.com/a").unwrap(), algorithm, key());
            assert_eq!(Vkey::parse(&vkey.to_string()).unwrap(), vkey);
        }
        let [log, witness] = [Algorithm::Ed25519, Algorithm::CosignatureV1]
            .map(|algorithm| Vkey::new(KeyName::new("a").unwrap(), algorithm, key()).key_hash());
        assert_ne!(log, witness, "the type byte is hashed");
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(KeyName::new(""), Err(KeyNameError::Empty));
        for (name, character) in [
            ("a b", ' '),
            ("a+b", '+'),
            ("a\nb", '\n'),
            ("a\u{a0}", '\u{a0}'),
            ("\u{2003}a", '\u{2003}'),
            ("\u{7f}", '\u{7f}'),
        ] {
            assert_eq!(KeyName::new(name), Err(KeyNameError::Character(character)));
        }
        assert!(KeyName::new(&"ü".repeat(128)).is_ok());
        assert_eq!(KeyName::new(&format!("{}a", "ü".repeat(128))), Err(KeyNameError::TooLong(257)));
    }

    #[test]
    fn bad_verifier_keys_say_what_is_wrong() {
        let good = Vkey::new(KeyName::new("a").unwrap(), Algorithm::Ed25519, key()).to_string();
        let (hash, base64) = (&good[2..10], &good[11..]);
        let cases = [
            (String::new(), VkeyError::Form),
            ("a".to_owned(), VkeyError::Form),
            (format!("a+{hash}"), VkeyError::Form),
            (format!("a+{}+{base64}", &hash[1..]), VkeyError::Form),
            (format!("a+0{hash}+{base64}"), VkeyError::Form),
            (format!("a+{}+{base64}", hash.to_uppercase()), VkeyError::Form),
            (format!("a+zzzzzzzz+{base64}"), VkeyError::Form),
            (format!("+{hash}+{base64}"), VkeyError::Name(KeyNameError::Empty)),
            (format!("b+{hash}+{base64}"), VkeyError::Hash),
            (format!("a+00000000+{base64}"), VkeyError::Hash),
            (format!("a+{hash}+"), VkeyError::NoKey),
            (format!("a+{hash}+{base64} "), VkeyError::Base64(Base64Error::TooLong(33))),
            (
                format!("a+{hash}+{}", base64.trim_end_matches(|c| c != 'A')),
                VkeyError::Base64(Base64Error::NotCanonical),
            ),
            (format!("a+{hash}+{}", base64_encode(&[2; 33])), VkeyError::Algorithm(2)),
            (format!("a+{hash}+{}", base64_encode(&[1; 32])), VkeyError::Key(KeyError::Length(31))),
            (format!("a+{hash}+{}", base64_encode(&[1; 34])), VkeyError::Base64(Base64Error::TooLong(33))),
        ];
        assert!(
            hash.bytes().any(|byte| byte.is_ascii_lowercase()),
            "or the case of upper case tests nothing"
        );
        for (text, error) in cases {
            assert_eq!(Vkey::parse(&text).unwrap_err(), error, "{text}");
        }
        let mut weak = [0; 33];
        weak[..2].copy_from_slice(&[1, 1]);
        assert_eq!(
            Vkey::parse(&format!("a+{hash}+{}", base64_encode(&weak))),
            Err(VkeyError::Key(KeyError::Weak)),
            "the neutral element is nobody's key"
        );
    }
}
