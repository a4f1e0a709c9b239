//! Canonical encoding: one message, one sequence of bytes.
//!
//! A decoder bounds the length and the number of elements before anything is allocated, decodes, encodes again and
//! compares. Unknown fields, trailing bytes, another order of fields, longer varints than needed and explicit
//! defaults all differ from the second encoding and are refused.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

use crate::{KeyError, KeyId, Signature, hash::Hash};

/// Why bytes are not the canonical form of a message of this ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than the format allows.
    #[error("{what} may have {max} bytes at most, this one has {got}")]
    TooLong {
        /// The message.
        what: &'static str,
        /// Bytes allowed.
        max: usize,
        /// Bytes received.
        got: usize,
    },
    /// More (or fewer) elements than the format allows.
    #[error("{what}: {got} elements, allowed are {min} to {max}")]
    Count {
        /// The repeated field.
        what: &'static str,
        /// Fewest allowed.
        min: usize,
        /// Most allowed.
        max: usize,
        /// Elements found.
        got: usize,
    },
    /// No protobuf message of this type.
    #[error("these bytes are no {0}: truncated, or of another type")]
    Malformed(&'static str),
    /// Decodes, but is not the one canonical encoding.
    #[error("{0} is not in canonical form: unknown field, explicit default, wrong order or trailing bytes")]
    NotCanonical(&'static str),
    /// Written by a later release.
    #[error("{what} has format version {found}, this release knows version 1: use a newer release")]
    UnknownVersion {
        /// The message.
        what: &'static str,
        /// Its version.
        found: u32,
    },
    /// A required submessage or oneof is absent.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field of fixed length has another one.
    #[error("{what} has {want} bytes, this one has {got}")]
    Length {
        /// The field.
        what: &'static str,
        /// Bytes it must have.
        want: usize,
        /// Bytes it has.
        got: usize,
    },
    /// A value outside what the format allows.
    #[error("{what}: {rule}")]
    Value {
        /// The field.
        what: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// A public key that is none, or a weak one.
    #[error("{what}: {source}")]
    Key {
        /// The field.
        what: &'static str,
        /// What is wrong with it.
        source: KeyError,
    },
    /// A leaf of another kind than the place calls for.
    #[error("expected a {want} leaf, found a {found} leaf")]
    WrongKind {
        /// Kind called for.
        want: &'static str,
        /// Kind found.
        found: &'static str,
    },
}

/// A repeated message field inside a message, and how many elements it may have.
#[derive(Clone, Copy, Debug)]
pub struct CountBound {
    /// Its name, for errors.
    pub what: &'static str,
    /// Field numbers from the outermost message inwards; the last one is the repeated field.
    pub path: &'static [u32],
    /// Elements it may have.
    pub max: usize,
}

/// Decodes `bytes` without yet comparing: bounds first.
///
/// # Errors
/// [`DecodeError`] where there are more bytes or elements than allowed, or no such message.
pub fn decode_bounded<M: Message + Default>(
    what: &'static str,
    bytes: &[u8],
    max: usize,
    counts: &[CountBound],
) -> Result<M, DecodeError> {
    require_bounds(what, bytes, max, counts)?;
    M::decode(bytes).map_err(|_| DecodeError::Malformed(what))
}

/// Refuses what is longer than `max`, or has more elements than allowed.
pub(crate) fn require_bounds(
    what: &'static str,
    bytes: &[u8],
    max: usize,
    counts: &[CountBound],
) -> Result<(), DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::TooLong { what, max, got: bytes.len() });
    }
    for bound in counts {
        let got = count(bytes, bound.path).ok_or(DecodeError::Malformed(what))?;
        if got > bound.max {
            return Err(DecodeError::Count { what: bound.what, min: 0, max: bound.max, got });
        }
    }
    Ok(())
}

/// Refuses `bytes` where they are not what `message` encodes to.
pub(crate) fn require_canonical<M: Message>(
    what: &'static str,
    bytes: &[u8],
    message: &M,
) -> Result<(), DecodeError> {
    if message.encoded_len() == bytes.len() && message.encode_to_vec() == bytes {
        Ok(())
    } else {
        Err(DecodeError::NotCanonical(what))
    }
}

/// How often the field at `path` occurs, `None` where the bytes are no protobuf.
fn count(mut bytes: &[u8], path: &[u32]) -> Option<usize> {
    let (field, inner) = path.split_first()?;
    let mut total = 0;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes).ok()?;
        if tag != *field || wire_type != WireType::LengthDelimited {
            skip_field(wire_type, tag, &mut bytes, DecodeContext::default()).ok()?;
            continue;
        }
        let length = usize::try_from(decode_varint(&mut bytes).ok()?).ok()?;
        let value = bytes.get(..length)?;
        bytes = &bytes[length..];
        total += if inner.is_empty() { 1 } else { count(value, inner)? };
    }
    Some(total)
}

/// The number of a field that has a length, and that length; what has it stands next. `None` where that is no such field.
pub(crate) fn delimited(bytes: &mut &[u8]) -> Option<(u32, usize)> {
    let (field, WireType::LengthDelimited) = decode_key(bytes).ok()? else { return None };
    Some((field, usize::try_from(decode_varint(bytes).ok()?).ok()?))
}

/// A 32-byte field.
pub(crate) fn hash(what: &'static str, bytes: &[u8]) -> Result<Hash, DecodeError> {
    Hash::try_from(bytes).map_err(|e| DecodeError::Length { what, want: 32, got: e.0 })
}

/// A 16-byte key id.
pub(crate) fn key_id(what: &'static str, bytes: &[u8]) -> Result<KeyId, DecodeError> {
    KeyId::try_from(bytes).map_err(|got| DecodeError::Length { what, want: 16, got })
}

/// A 64-byte signature.
pub(crate) fn signature(what: &'static str, bytes: &[u8]) -> Result<Signature, DecodeError> {
    Signature::try_from(bytes).map_err(|got| DecodeError::Length { what, want: 64, got })
}

/// Refuses another number of elements than allowed.
pub(crate) fn require_count(
    what: &'static str,
    got: usize,
    min: usize,
    max: usize,
) -> Result<(), DecodeError> {
    if (min..=max).contains(&got) { Ok(()) } else { Err(DecodeError::Count { what, min, max, got }) }
}

/// Refuses a version other than 1.
pub(crate) fn require_version(what: &'static str, found: u32) -> Result<(), DecodeError> {
    if found == 1 { Ok(()) } else { Err(DecodeError::UnknownVersion { what, found }) }
}

/// Refuses a sequence that is not strictly ascending, which also refuses anything twice.
pub(crate) fn require_ascending<T: Ord>(
    what: &'static str,
    items: impl IntoIterator<Item = T>,
) -> Result<(), DecodeError> {
    let items: Vec<T> = items.into_iter().collect();
    if items.windows(2).all(|pair| pair[0] < pair[1]) {
        Ok(())
    } else {
        Err(DecodeError::Value { what, rule: "must be in ascending order without repetition" })
    }
}

/// Refuses a list that holds anything twice.
///
/// # Errors
/// [`DecodeError::Value`] of `what`.
pub fn require_different<T: Ord>(
    what: &'static str,
    items: impl IntoIterator<Item = T>,
) -> Result<(), DecodeError> {
    let mut seen = BTreeSet::new();
    if items.into_iter().all(|item| seen.insert(item)) {
        Ok(())
    } else {
        Err(DecodeError::Value { what, rule: "must all be different" })
    }
}

/// Checks and takes a name for people: 1 to 200 bytes of UTF-8 without control, direction and invisible characters.
///
/// # Errors
/// [`DecodeError::Value`] where it is none.
pub fn display_name(what: &'static str, name: &str) -> Result<String, DecodeError> {
    if name.is_empty() || name.len() > 200 || name.trim() != name || name.chars().any(is_deceptive) {
        return Err(DecodeError::Value {
            what,
            rule: "must have 1 to 200 bytes, no control, direction or invisible characters, no blanks at its ends",
        });
    }
    Ok(name.into())
}

/// Control characters, separators of lines, those that turn the direction of writing, and those that nobody sees:
/// what a name for people may not have, and a program never shows as it is.
#[must_use]
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
                | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
        )
}
