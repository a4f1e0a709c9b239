//! `genesis.toml`: the genesis as people write and compare it.
//!
//! The ledger id is the hash of the canonical message made from this file, so comments, line ends and the order of
//! keys do not matter. Keys are lower-case hex; document types are named, not numbered.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    AUTHORITIES_MAX, Authority, AuthorityId, AuthoritySet, DocumentType, DocumentTypeName, EpochId, Genesis,
    IssuerGrant, IssuerId, IssuerKey, Parameters, PublicKey, TimeMs,
    codec::{self, DecodeError},
    genesis::{GENESIS_MAX, GRANTS_MAX},
    record::{DOCUMENT_TYPES_MAX, ISSUER_KEYS_MAX},
};

/// Longest genesis file, in bytes. The text of a genesis is longer than its canonical bytes: hex digits and names of
/// entries take up to four times their space.
pub const GENESIS_FILE_MAX: usize = 8 * GENESIS_MAX;

/// Why a text is no genesis file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisFileError {
    /// Larger than any genesis.
    #[error("a genesis file has {GENESIS_FILE_MAX} bytes at most, this one has {0}")]
    TooLong(usize),
    /// Not TOML, an unknown or missing key, or a value of another type.
    #[error("{0}")]
    Toml(String),
    /// A key or nonce that is not the right number of hex digits.
    #[error("{what} must be {digits} hex digits, not {found:?}")]
    Hex {
        /// The entry.
        what: String,
        /// Digits it must have.
        digits: usize,
        /// Beginning of what stands there.
        found: String,
    },
    /// An issuer's document type that is not in `parameters.document_types`.
    #[error(
        "issuer {issuer} names the document type {name:?}, which parameters.document_types does not list"
    )]
    UnknownDocumentType {
        /// The issuer.
        issuer: String,
        /// The name.
        name: String,
    },
    /// Written by a later release.
    #[error("this genesis file has version {0}, this release knows version 1: use a newer release")]
    UnknownVersion(u32),
    /// The values do not make a genesis.
    #[error(transparent)]
    Invalid(#[from] DecodeError),
}

/// The file as it stands in TOML.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenesisFile {
    version: u32,
    origin: String,
    nonce: String,
    time_ms: u64,
    parameters: ParametersEntry,
    authorities: Vec<AuthorityEntry>,
    issuers: Vec<IssuerEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParametersEntry {
    recosign_interval_ms: u64,
    document_types: Vec<DocumentTypeEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DocumentTypeEntry {
    code: u32,
    name: String,
}

/// An authority's public half, as it hands it to those who write the genesis. Keys are 64 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityEntry {
    /// Slug.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// See [`Authority::consensus_key`].
    pub consensus_key: String,
    /// See [`Authority::cosigner_key`].
    pub cosigner_key: String,
    /// See [`Authority::log_key`].
    pub log_key: String,
    /// See [`Authority::governance_key`].
    pub governance_key: String,
    /// See [`Authority::network_key`].
    pub network_key: String,
}

/// An issuer and its public keys, as it hands them to the authorities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerEntry {
    /// Slug.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Names of document types; may be left empty for the authorities to fill in.
    #[serde(default)]
    pub document_types: Vec<String>,
    /// Signing keys.
    pub keys: Vec<IssuerKeyEntry>,
}

/// One signing key of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerKeyEntry {
    /// 64 hex digits.
    pub public_key: String,
    /// First moment it is good.
    #[serde(default)]
    pub not_before_ms: u64,
    /// Last moment it is good, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after_ms: Option<u64>,
}

macro_rules! entry_text {
    ($name:ident) => {
        impl $name {
            /// Reads the entry from a TOML text of its own.
            ///
            /// # Errors
            /// [`GenesisFileError::Toml`] with the place.
            pub fn from_toml(text: &str) -> Result<Self, GenesisFileError> {
                from_toml(text)
            }

            /// The entry as a TOML text of its own.
            #[must_use]
            pub fn to_toml(&self) -> String {
                to_toml(self)
            }
        }
    };
}
entry_text!(AuthorityEntry);
entry_text!(IssuerEntry);

impl Genesis {
    /// Reads and checks a `genesis.toml`.
    ///
    /// # Errors
    /// See [`GenesisFileError`].
    pub fn from_toml(text: &str) -> Result<Self, GenesisFileError> {
        let file: GenesisFile = from_toml(text)?;
        if file.version != 1 {
            return Err(GenesisFileError::UnknownVersion(file.version));
        }
        require_at_most("authorities", file.authorities.len(), AUTHORITIES_MAX)?;
        require_at_most("grants", file.issuers.len(), GRANTS_MAX)?;
        let parameters = file.parameters.check()?;
        let authorities =
            file.authorities.iter().map(AuthorityEntry::check).collect::<Result<Vec<_>, _>>()?;
        let grants =
            file.issuers.iter().map(|i| i.check(&parameters)).collect::<Result<Vec<IssuerGrant>, _>>()?;
        let genesis = Self {
            origin: file.origin,
            nonce: hex32("nonce", &file.nonce)?,
            time: TimeMs(file.time_ms),
            authorities: AuthoritySet::new(EpochId(0), authorities)?,
            grants,
            parameters,
        };
        Ok(genesis.check()?)
    }

    /// The genesis as `genesis.toml`.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let types = self.parameters.document_types.iter();
        let file = GenesisFile {
            version: 1,
            origin: self.origin.clone(),
            nonce: hex::encode(self.nonce),
            time_ms: self.time.0,
            parameters: ParametersEntry {
                recosign_interval_ms: self.parameters.recosign_interval_ms,
                document_types: types
                    .map(|t| DocumentTypeEntry { code: t.code, name: t.name.to_string() })
                    .collect(),
            },
            authorities: self.authorities.authorities().iter().map(AuthorityEntry::from).collect(),
            issuers: self.grants.iter().map(|grant| IssuerEntry::of(grant, self)).collect(),
        };
        format!(
            "# The trust root of a Markstein ledger. Its id is {}.\n\
             # Everybody who verifies needs this file, from a source they trust.\n\n{}",
            self.ledger_id(),
            to_toml(&file)
        )
    }
}

impl ParametersEntry {
    fn check(&self) -> Result<Parameters, GenesisFileError> {
        require_at_most("document types", self.document_types.len(), DOCUMENT_TYPES_MAX)?;
        let document_types = self
            .document_types
            .iter()
            .map(|t| Ok(DocumentType { code: t.code, name: DocumentTypeName::new(&t.name)? }))
            .collect::<Result<_, GenesisFileError>>()?;
        Ok(Parameters { document_types, recosign_interval_ms: self.recosign_interval_ms })
    }
}

impl AuthorityEntry {
    /// Checks the entry.
    ///
    /// # Errors
    /// See [`GenesisFileError`].
    pub fn check(&self) -> Result<Authority, GenesisFileError> {
        let key = |what: &'static str, text: &str| public_key(&self.id, what, text);
        Ok(Authority {
            id: AuthorityId::new(&self.id)?,
            name: self.name.clone(),
            consensus_key: key("consensus_key", &self.consensus_key)?,
            cosigner_key: key("cosigner_key", &self.cosigner_key)?,
            log_key: key("log_key", &self.log_key)?,
            governance_key: key("governance_key", &self.governance_key)?,
            network_key: key("network_key", &self.network_key)?,
        })
    }
}

impl From<&Authority> for AuthorityEntry {
    fn from(authority: &Authority) -> Self {
        let key = |key: &PublicKey| hex::encode(key.to_bytes());
        Self {
            id: authority.id.to_string(),
            name: authority.name.clone(),
            consensus_key: key(&authority.consensus_key),
            cosigner_key: key(&authority.cosigner_key),
            log_key: key(&authority.log_key),
            governance_key: key(&authority.governance_key),
            network_key: key(&authority.network_key),
        }
    }
}

impl IssuerEntry {
    /// Checks the entry against the registered document types.
    ///
    /// # Errors
    /// See [`GenesisFileError`].
    pub fn check(&self, parameters: &Parameters) -> Result<IssuerGrant, GenesisFileError> {
        require_at_most("keys of an issuer", self.keys.len(), ISSUER_KEYS_MAX)?;
        require_at_most("document types of an issuer", self.document_types.len(), DOCUMENT_TYPES_MAX)?;
        let code = |name: &String| {
            parameters.document_types.iter().find(|t| t.name.as_str() == name).map(|t| t.code).ok_or_else(
                || GenesisFileError::UnknownDocumentType { issuer: self.id.clone(), name: name.clone() },
            )
        };
        let mut document_types = self.document_types.iter().map(code).collect::<Result<Vec<_>, _>>()?;
        document_types.sort_unstable();
        let mut keys = self
            .keys
            .iter()
            .map(|k| {
                Ok(IssuerKey {
                    key: public_key(&self.id, "public_key", &k.public_key)?,
                    not_before: TimeMs(k.not_before_ms),
                    not_after: k.not_after_ms.map(TimeMs),
                })
            })
            .collect::<Result<Vec<_>, GenesisFileError>>()?;
        keys.sort_unstable_by_key(|k| k.key.to_bytes());
        Ok(IssuerGrant { issuer: IssuerId::new(&self.id)?, name: self.name.clone(), keys, document_types })
    }

    fn of(grant: &IssuerGrant, genesis: &Genesis) -> Self {
        let key = |k: &IssuerKey| IssuerKeyEntry {
            public_key: hex::encode(k.key.to_bytes()),
            not_before_ms: k.not_before.0,
            not_after_ms: k.not_after.map(|t| t.0),
        };
        let types = grant.document_types.iter();
        Self {
            id: grant.issuer.to_string(),
            name: grant.name.clone(),
            document_types: types
                .filter_map(|code| genesis.document_type(*code).map(ToString::to_string))
                .collect(),
            keys: grant.keys.iter().map(key).collect(),
        }
    }
}

fn from_toml<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, GenesisFileError> {
    if text.len() > GENESIS_FILE_MAX {
        return Err(GenesisFileError::TooLong(text.len()));
    }
    toml::from_str(text).map_err(|e| GenesisFileError::Toml(e.to_string()))
}

/// Lists are bounded before each of their elements is looked up or decoded as a key.
fn require_at_most(what: &'static str, got: usize, max: usize) -> Result<(), DecodeError> {
    codec::require_count(what, got, 0, max)
}

fn to_toml<T: Serialize>(value: &T) -> String {
    toml::to_string(value).expect("strings, numbers and tables always have a TOML form")
}

fn hex32(what: &str, text: &str) -> Result<[u8; 32], GenesisFileError> {
    let mut bytes = [0; 32];
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) if lower => Ok(bytes),
        _ => Err(GenesisFileError::Hex {
            what: what.into(),
            digits: 64,
            found: text.chars().take(12).collect(),
        }),
    }
}

fn public_key(owner: &str, what: &'static str, text: &str) -> Result<PublicKey, GenesisFileError> {
    let bytes = hex32(&format!("{what} of {owner}"), text)?;
    Ok(PublicKey::from_bytes(&bytes).map_err(|source| DecodeError::Key { what, source })?)
}
