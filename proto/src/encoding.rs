//! Base64 as it stands in notes and receipts: standard alphabet, padded, canonical (RFC 4648 section 4).
//!
//! Bytes have exactly one text: padding is required, and bits after the last byte must be zero, or a changed
//! character could go unnoticed. Every decoder knows its bound and looks at the length of the text before it
//! allocates. The modules `serde_*` are for fields, `#[serde(with = "crate::encoding::serde_hash")]`.

use alloc::{string::String, vec::Vec};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{Hash, HashFromSliceError};

/// Why a text is not the base64 that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Base64Error {
    /// More bytes than this field may have.
    #[error("the base64 text is too long: at most {0} bytes are allowed here")]
    TooLong(usize),
    /// A foreign character, missing padding, or non-zero bits after the last byte.
    #[error("this is not canonical base64 (standard alphabet, padded)")]
    NotCanonical,
    /// Decodes, but not to a hash.
    #[error(transparent)]
    Hash(#[from] HashFromSliceError),
}

/// The one base64 text of these bytes.
#[must_use]
pub fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes canonical base64 of at most `max` bytes.
///
/// # Errors
/// See [`Base64Error`]; a text too long for `max` bytes is refused before anything is allocated.
pub fn base64_decode(text: &str, max: usize) -> Result<Vec<u8>, Base64Error> {
    if text.len().div_ceil(4) > max.div_ceil(3) {
        return Err(Base64Error::TooLong(max));
    }
    let bytes = STANDARD.decode(text).map_err(|_| Base64Error::NotCanonical)?;
    if bytes.len() > max { Err(Base64Error::TooLong(max)) } else { Ok(bytes) }
}

/// Decodes the canonical base64 of a hash, 44 characters.
///
/// # Errors
/// See [`Base64Error`].
pub fn base64_hash(text: &str) -> Result<Hash, Base64Error> {
    Ok(Hash::try_from(base64_decode(text, 32)?.as_slice())?)
}

/// Bytes as base64, at most [`serde_bytes::MAX`] of them.
pub mod serde_bytes {
    use super::{Vec, base64_decode, base64_encode};
    use serde::{Deserializer, Serializer};

    /// The size of the largest leaf, 16 KiB: nothing longer stands in one field.
    pub const MAX: usize = 16 * 1024;

    /// Writes the bytes as a string.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64_encode(bytes))
    }

    /// Reads the bytes from a string.
    ///
    /// # Errors
    /// Where the value is no string, or no canonical base64 of at most [`MAX`] bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let decode = |text: &str| base64_decode(text, MAX);
        deserializer.deserialize_str(super::Text { decode, expecting: "a base64 string" })
    }
}

/// A hash as base64.
pub mod serde_hash {
    use super::{Hash, base64_encode, base64_hash};
    use serde::{Deserializer, Serializer};

    /// Writes the hash as a string.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&base64_encode(hash.as_bytes()))
    }

    /// Reads the hash from a string.
    ///
    /// # Errors
    /// Where the value is no string, or no canonical base64 of 32 bytes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        deserializer
            .deserialize_str(super::Text { decode: base64_hash, expecting: "a base64 string of 32 bytes" })
    }
}

/// A list of hashes, each as base64, at most [`serde_hashes::MAX`] of them.
pub mod serde_hashes {
    use core::fmt;

    use super::{Hash, Vec, base64_encode, serde_hash};
    use serde::{
        Deserialize, Deserializer, Serializer,
        de::{Error, SeqAccess, Visitor},
    };

    /// Far more than the longest proof: 64 hashes prove a leaf of the largest log there can be.
    pub const MAX: usize = 16_384;

    /// Writes the hashes as a list of strings.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(hashes: &[Hash], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(hashes.iter().map(|hash| base64_encode(hash.as_bytes())))
    }

    /// Reads the hashes from a list of strings.
    ///
    /// # Errors
    /// Where the value is no list of at most [`MAX`] canonical hashes.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Hash>, D::Error> {
        deserializer.deserialize_seq(List)
    }

    /// One hash of the list.
    struct Item(Hash);

    impl<'de> Deserialize<'de> for Item {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            serde_hash::deserialize(deserializer).map(Self)
        }
    }

    struct List;

    impl<'de> Visitor<'de> for List {
        type Value = Vec<Hash>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MAX} base64 hashes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut hashes = Vec::new();
            while let Some(Item(hash)) = list.next_element()? {
                if hashes.len() == MAX {
                    return Err(A::Error::invalid_length(MAX + 1, &self));
                }
                hashes.push(hash);
            }
            Ok(hashes)
        }
    }
}

/// Visits a string in place, so that its length is checked before it is copied.
struct Text<F> {
    decode: F,
    expecting: &'static str,
}

impl<T, F: Fn(&str) -> Result<T, Base64Error>> serde::de::Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.decode)(text).map_err(E::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alloc::{format, string::ToString, vec};

    use super::*;

    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Fields {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        #[serde(with = "serde_hash")]
        hash: Hash,
        #[serde(with = "serde_hashes")]
        hashes: Vec<Hash>,
    }

    #[test]
    fn rfc_4648_section_10() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
        ];
        for (plain, text) in vectors {
            assert_eq!(base64_encode(plain.as_bytes()), text);
            assert_eq!(base64_decode(text, 8).unwrap(), plain.as_bytes());
        }
    }

    #[test]
    fn only_the_canonical_text_decodes() {
        for text in [
            "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v====", "Zm9v\n", " Zm9v", "Zm-_", "Zm9vY", "====",
            "Zg==Zg==",
        ] {
            assert_eq!(base64_decode(text, 64), Err(Base64Error::NotCanonical), "{text:?}");
        }
    }

    #[test]
    fn bounds_hold() {
        for length in 0..40 {
            let text = base64_encode(&vec![7; length]);
            assert_eq!(base64_decode(&text, length).unwrap().len(), length);
            for max in 0..length {
                assert_eq!(base64_decode(&text, max), Err(Base64Error::TooLong(max)));
            }
        }
        assert_eq!(base64_hash(&base64_encode(&[1; 31])), Err(Base64Error::Hash(HashFromSliceError(31))));
        assert_eq!(base64_hash(&base64_encode(&[1; 33])), Err(Base64Error::TooLong(32)));
        assert_eq!(base64_hash(&base64_encode(&[1; 32])), Ok(Hash([1; 32])));
    }

    #[test]
    fn fields_go_through_json_and_back() {
        let fields =
            Fields { bytes: vec![1, 2], hash: Hash([3; 32]), hashes: vec![Hash([4; 32]), Hash::ZERO] };
        let json = serde_json::to_string(&fields).unwrap();
        assert_eq!(serde_json::from_str::<Fields>(&json).unwrap(), fields);
        assert!(json.starts_with(r#"{"bytes":"AQI=","hash":"AwMD"#), "{json}");
        // An escape makes the parser hand over a copy, not a slice of its input.
        let escaped = json.replace("AQI=", "AQI\\u003d");
        assert_eq!(serde_json::from_str::<Fields>(&escaped).unwrap(), fields);
        assert!(serde_json::from_str::<Fields>(&json.replace("AQI=", "AQI")).is_err());
        assert!(serde_json::from_str::<Fields>(&json.replace("\"AQI=\"", "[1,2]")).is_err());
    }

    #[test]
    fn fields_are_bounded() {
        let hash = base64_encode(&[0; 32]);
        let json = |bytes: usize, hashes: usize| {
            let list = vec![format!("\"{hash}\""); hashes].join(",");
            format!(r#"{{"bytes":"{}","hash":"{hash}","hashes":[{list}]}}"#, base64_encode(&vec![0; bytes]))
        };
        assert!(serde_json::from_str::<Fields>(&json(serde_bytes::MAX, serde_hashes::MAX)).is_ok());
        let error = serde_json::from_str::<Fields>(&json(serde_bytes::MAX + 1, 0)).unwrap_err().to_string();
        assert!(error.contains("too long"), "{error}");
        let error = serde_json::from_str::<Fields>(&json(0, serde_hashes::MAX + 1)).unwrap_err().to_string();
        assert!(error.contains("at most 16384"), "{error}");
    }
}
