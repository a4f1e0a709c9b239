//! Records: anchors, issuer grants and changes of a status.

use alloc::{string::String, vec::Vec};

use crate::{
    Hash, IssuerId, KeyId, LeafIndex, PublicKey, StatusChange, TimeMs,
    codec::{self, DecodeError},
    domain,
    leaf::Leaf,
    status::StatusStep,
    wire,
};

/// Most keys of an issuer.
pub(crate) const ISSUER_KEYS_MAX: usize = 16;
/// Most document types, registered or of an issuer.
pub(crate) const DOCUMENT_TYPES_MAX: usize = 256;

/// One statement of an author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// "This document is ours."
    Anchor(Anchor),
    /// The authorities admit an issuer.
    IssuerGrant(IssuerGrant),
    /// An anchor is withdrawn, for good or for now, or in force again.
    StatusChange(StatusChange),
}

/// The anchored hash of a document and what is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// See [`Commitment`].
    pub commitment: Commitment,
    /// Made with the all-zero salt, so anybody who has the document can look it up.
    pub public: bool,
    /// Registered code, from 1.
    pub document_type: u32,
    /// The document itself says that it ends then.
    pub valid_until: Option<TimeMs>,
    /// The earlier anchor that this one replaces, in this same record.
    pub supersedes: Option<LeafIndex>,
}

/// Admits an issuer, or replaces what was granted to it before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerGrant {
    /// Names it for ever.
    pub issuer: IssuerId,
    /// Its name for people.
    pub name: String,
    /// Its signing keys, 1 to 16, ascending by their bytes.
    pub keys: Vec<IssuerKey>,
    /// Codes of the kinds of documents it may anchor, ascending, 1 to 256.
    pub document_types: Vec<u32>,
}

/// A signing key and the span in which it is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerKey {
    /// The key.
    pub key: PublicKey,
    /// First moment it is good, by the time of the block.
    pub not_before: TimeMs,
    /// Last moment it is good; `None` means until the grant is replaced.
    pub not_after: Option<TimeMs>,
}

/// SHA-256 of a document's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentDigest(pub Hash);

/// 32 random bytes that hide a document's hash. Destroying it is the erasure path; all zero means public.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

/// Salted hash of a document: SHA-256([`domain::COMMITMENT`] ‖ salt ‖ SHA-256(document)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commitment(pub Hash);

impl Salt {
    /// The salt of public records.
    pub const PUBLIC: Self = Self([0; 32]);
}

impl core::fmt::Debug for Salt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Salt(…)") // it is the one secret of a record
    }
}

impl Commitment {
    /// Computes the commitment of a document.
    #[must_use]
    pub fn of(salt: &Salt, document: &DocumentDigest) -> Self {
        Self(Hash::of(&[domain::COMMITMENT, &salt.0, &document.0.0]))
    }
}

impl Record {
    /// The canonical leaf of this record.
    #[must_use]
    pub fn to_leaf(&self) -> Vec<u8> {
        Leaf::Record(self.clone()).encode()
    }

    /// What this record does to the status of an earlier one, if anything.
    #[must_use]
    pub fn status_step(&self) -> Option<StatusStep> {
        match self {
            Self::Anchor(anchor) => anchor.supersedes.map(StatusStep::Supersede),
            Self::StatusChange(change) => Some(StatusStep::Change(*change)),
            Self::IssuerGrant(_) => None,
        }
    }

    pub(crate) fn from_wire(record: &wire::Record) -> Result<Self, DecodeError> {
        use wire::record::Kind;
        codec::require_version("record", record.version)?; // first: a later release may have other kinds
        match record.kind.as_ref().ok_or(DecodeError::Missing("kind of the record"))? {
            Kind::Anchor(anchor) => Anchor::from_wire(anchor).map(Self::Anchor),
            Kind::IssuerGrant(grant) => IssuerGrant::from_wire(grant).map(Self::IssuerGrant),
            Kind::StatusChange(change) => StatusChange::from_wire(change).map(Self::StatusChange),
        }
    }

    pub(crate) fn to_wire(&self) -> wire::Record {
        use wire::record::Kind;
        let kind = match self {
            Self::Anchor(anchor) => Kind::Anchor(anchor.to_wire()),
            Self::IssuerGrant(grant) => Kind::IssuerGrant(grant.to_wire()),
            Self::StatusChange(change) => Kind::StatusChange(change.to_wire()),
        };
        wire::Record { version: 1, kind: Some(kind) }
    }
}

impl Anchor {
    fn from_wire(anchor: &wire::Anchor) -> Result<Self, DecodeError> {
        if anchor.document_type == 0 {
            return Err(DecodeError::Value { what: "document type", rule: "must be a code from 1" });
        }
        Ok(Self {
            commitment: Commitment(codec::hash("commitment", &anchor.commitment)?),
            public: anchor.public,
            document_type: anchor.document_type,
            valid_until: anchor.valid_until_ms.map(TimeMs),
            supersedes: anchor.supersedes.map(LeafIndex),
        })
    }

    fn to_wire(&self) -> wire::Anchor {
        wire::Anchor {
            commitment: self.commitment.0.0.to_vec(),
            public: self.public,
            document_type: self.document_type,
            valid_until_ms: self.valid_until.map(|t| t.0),
            supersedes: self.supersedes.map(|index| index.0),
        }
    }
}

impl IssuerGrant {
    /// The key with this id, where it is good at `time`.
    #[must_use]
    pub fn key_at(&self, id: KeyId, time: TimeMs) -> Option<&PublicKey> {
        self.keys
            .iter()
            .find(|k| k.key.id() == id && k.not_before <= time && k.not_after.is_none_or(|end| time <= end))
            .map(|k| &k.key)
    }

    /// Whether this issuer may anchor documents of this type.
    #[must_use]
    pub fn covers(&self, document_type: u32) -> bool {
        self.document_types.binary_search(&document_type).is_ok()
    }

    pub(crate) fn from_wire(grant: &wire::IssuerGrant) -> Result<Self, DecodeError> {
        codec::require_count("keys of an issuer", grant.keys.len(), 1, ISSUER_KEYS_MAX)?;
        let types = grant.document_types.len();
        codec::require_count("document types of an issuer", types, 1, DOCUMENT_TYPES_MAX)?;
        codec::require_ascending("document types of an issuer", &grant.document_types)?;
        if grant.document_types[0] == 0 {
            return Err(DecodeError::Value { what: "document type", rule: "must be a code from 1" });
        }
        let keys = grant.keys.iter().map(IssuerKey::from_wire).collect::<Result<Vec<_>, _>>()?;
        codec::require_ascending("keys of an issuer", keys.iter().map(|k| k.key.to_bytes()))?;
        Ok(Self {
            issuer: IssuerId::new(&grant.issuer_id)?,
            name: codec::display_name("name of an issuer", &grant.name)?,
            keys,
            document_types: grant.document_types.clone(),
        })
    }

    pub(crate) fn to_wire(&self) -> wire::IssuerGrant {
        wire::IssuerGrant {
            issuer_id: self.issuer.as_str().into(),
            name: self.name.clone(),
            keys: self.keys.iter().map(IssuerKey::to_wire).collect(),
            document_types: self.document_types.clone(),
        }
    }
}

impl IssuerKey {
    fn from_wire(key: &wire::IssuerKey) -> Result<Self, DecodeError> {
        let what = "public key of an issuer";
        if key.not_after_ms.is_some_and(|end| end < key.not_before_ms) {
            return Err(DecodeError::Value { what, rule: "must not end before it begins" });
        }
        Ok(Self {
            key: PublicKey::from_bytes(&key.public_key)
                .map_err(|source| DecodeError::Key { what, source })?,
            not_before: TimeMs(key.not_before_ms),
            not_after: key.not_after_ms.map(TimeMs),
        })
    }

    fn to_wire(&self) -> wire::IssuerKey {
        wire::IssuerKey {
            public_key: self.key.to_bytes().to_vec(),
            not_before_ms: self.not_before.0,
            not_after_ms: self.not_after.map(|t| t.0),
        }
    }
}
