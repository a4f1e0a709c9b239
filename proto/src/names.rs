//! Names that machines compare: slugs of issuers, authorities, observers and document types.

use alloc::string::String;
use core::fmt;

use crate::codec::DecodeError;

/// Longest slug, in bytes.
pub const SLUG_MAX: usize = 64;

/// 1 to 64 of `a-z 0-9 . -`, the first and the last a letter or digit.
pub(crate) fn is_slug(text: &str) -> bool {
    let bytes = text.as_bytes();
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    bytes.len() <= SLUG_MAX
        && end(bytes.first())
        && end(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'))
}

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a slug: 1 to 64 of `a-z 0-9 . -`, a letter or digit at both ends.
            ///
            /// # Errors
            /// [`DecodeError::Value`] where it is none.
            pub fn new(text: &str) -> Result<Self, DecodeError> {
                if is_slug(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(DecodeError::Value {
                        what: $what,
                        rule: "must have 1 to 64 of a-z, 0-9, '.' and '-', a letter or digit at both ends",
                    })
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

slug!(
    /// Names an issuer for ever; reads like a domain name: `bauaufsicht.neustadt.example`.
    IssuerId,
    "issuer id"
);
slug!(
    /// Names an authority for ever. The core's own identifier: a libp2p peer id never takes its place.
    AuthorityId,
    "authority id"
);
slug!(
    /// Names an observer among the nodes that let it follow; no record and no genesis knows it.
    ObserverName,
    "name of an observer"
);
slug!(
    /// Names a registered kind of document on the command line: `building-permit`.
    DocumentTypeName,
    "document type name"
);
