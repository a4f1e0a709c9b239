//! The genesis: the trust root, and block 0 that follows from it.

use alloc::{collections::BTreeSet, string::String, vec::Vec};

use prost::Message;

use crate::{
    AUTHORITIES_MAX, Authority, AuthoritySet, Batch, DocumentTypeName, EpochId, Hash, Header, Height,
    IssuerGrant, LeafIndex, LogSize, Record, TimeMs, View,
    codec::{self, CountBound, DecodeError},
    domain,
    leaf::Leaf,
    log,
    record::{DOCUMENT_TYPES_MAX, ISSUER_KEYS_MAX},
    status, wire,
};

/// Longest encoded genesis, in bytes.
pub const GENESIS_MAX: usize = 512 * 1024;

/// Most grants of a genesis.
pub(crate) const GRANTS_MAX: usize = 1000;

const COUNTS: &[CountBound] = &[
    CountBound { what: "authorities", path: &[5], max: AUTHORITIES_MAX },
    CountBound { what: "grants", path: &[6], max: GRANTS_MAX },
    CountBound { what: "keys of the issuers", path: &[6, 3], max: GRANTS_MAX * ISSUER_KEYS_MAX },
    CountBound { what: "document types", path: &[7, 1], max: DOCUMENT_TYPES_MAX },
];

/// Names a ledger: SHA-256([`domain::LEDGER_ID`] ‖ canonical genesis).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub Hash);

impl core::fmt::Display for LedgerId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// A registered kind of document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentType {
    /// The code records carry, from 1.
    pub code: u32,
    /// What people type.
    pub name: DocumentTypeName,
}

/// What every node must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Registered kinds of documents, codes ascending.
    pub document_types: Vec<DocumentType>,
    /// While nothing is written, authorities cosign anew after this time; 1 s to 1 day.
    pub recosign_interval_ms: u64,
}

/// The trust root of a ledger, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// C2SP checkpoint origin.
    pub origin: String,
    /// 32 random bytes.
    pub nonce: [u8; 32],
    /// Time of block 0.
    pub time: TimeMs,
    /// The set of epoch 0.
    pub authorities: AuthoritySet,
    /// Who may write from the start.
    pub grants: Vec<IssuerGrant>,
    /// What every node must agree on.
    pub parameters: Parameters,
}

impl Genesis {
    /// Checks a genesis put together from parts.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn check(self) -> Result<Self, DecodeError> {
        Self::decode(&self.encode())
    }

    /// Decodes and checks the canonical bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: wire::Genesis = codec::decode_bounded("genesis", bytes, GENESIS_MAX, COUNTS)?;
        codec::require_version("genesis", message.version)?;
        codec::require_canonical("genesis", bytes, &message)?;
        let genesis = Self::from_wire(&message)?;
        genesis.check_grants()?;
        Ok(genesis)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::Genesis {
            version: 1,
            origin: self.origin.clone(),
            nonce: self.nonce.to_vec(),
            time_ms: self.time.0,
            authorities: self.authorities.authorities().iter().map(Authority::to_wire).collect(),
            grants: self.grants.iter().map(IssuerGrant::to_wire).collect(),
            parameters: Some(self.parameters.to_wire()),
        }
        .encode_to_vec()
    }

    /// The ledger id.
    #[must_use]
    pub fn ledger_id(&self) -> LedgerId {
        LedgerId(Hash::of(&[domain::LEDGER_ID, &self.encode()]))
    }

    /// The batch of block 0: the grants, author `genesis`, no signature.
    #[must_use]
    pub fn batch(&self) -> Batch {
        let records: Vec<Record> = self.grants.iter().cloned().map(Record::IssuerGrant).collect();
        Batch::genesis(self.ledger_id(), self.time, &records)
            .expect("decode() let at most 1,000 different grants of half a MiB through")
    }

    /// The header of block 0, over the leaves of [`Genesis::batch`].
    #[must_use]
    pub fn header(&self) -> Header {
        let hashes: Vec<Hash> = self.batch().leaf_hashes().collect();
        let size = LogSize(hashes.len() as u64);
        Header {
            epoch: EpochId(0),
            height: Height(0),
            view: View(0),
            parent: Hash::ZERO,
            time: self.time,
            proposer: 0,
            first_index: LeafIndex(0),
            size_before: size,
            root_before: log::root_of(&hashes),
            status_root: status::all_valid_root(size),
            authority_set: self.authorities.hash(),
        }
    }

    /// The id of block 0.
    #[must_use]
    pub fn block_id(&self) -> Hash {
        Leaf::Header(self.header()).hash()
    }

    /// The name of a document type's code.
    #[must_use]
    pub fn document_type(&self, code: u32) -> Option<&DocumentTypeName> {
        self.parameters.document_types.iter().find(|t| t.code == code).map(|t| &t.name)
    }

    fn from_wire(message: &wire::Genesis) -> Result<Self, DecodeError> {
        let authorities = message.authorities.iter().map(Authority::from_wire).collect::<Result<_, _>>()?;
        let parameters = message.parameters.as_ref().ok_or(DecodeError::Missing("parameters"))?;
        let nonce = codec::hash("nonce", &message.nonce)?.0;
        codec::require_count("grants", message.grants.len(), 1, GRANTS_MAX)?;
        Ok(Self {
            origin: check_origin(&message.origin)?,
            nonce,
            time: TimeMs(message.time_ms),
            authorities: AuthoritySet::new(EpochId(0), authorities)?,
            grants: message.grants.iter().map(IssuerGrant::from_wire).collect::<Result<_, _>>()?,
            parameters: Parameters::from_wire(parameters)?,
        })
    }

    fn check_grants(&self) -> Result<(), DecodeError> {
        let issuers: BTreeSet<_> = self.grants.iter().map(|g| &g.issuer).collect();
        if issuers.len() != self.grants.len() {
            return Err(DecodeError::Value { what: "grants", rule: "must be one for each issuer" });
        }
        let codes = self.grants.iter().flat_map(|g| &g.document_types);
        if codes.into_iter().any(|code| self.document_type(*code).is_none()) {
            return Err(DecodeError::Value {
                what: "document types of a grant",
                rule: "must be registered in the parameters",
            });
        }
        if self.grants.iter().any(|g| Record::IssuerGrant(g.clone()).to_leaf().len() > crate::LEAF_MAX) {
            return Err(DecodeError::Value { what: "a grant", rule: "must fit into a leaf of 16 KiB" });
        }
        Ok(())
    }
}

impl Parameters {
    fn from_wire(parameters: &wire::Parameters) -> Result<Self, DecodeError> {
        let types = &parameters.document_types;
        codec::require_count("document types", types.len(), 1, DOCUMENT_TYPES_MAX)?;
        codec::require_ascending("codes of the document types", types.iter().map(|t| t.code))?;
        let names: BTreeSet<&str> = types.iter().map(|t| t.name.as_str()).collect();
        if types[0].code == 0 || names.len() != types.len() {
            return Err(DecodeError::Value {
                what: "document types",
                rule: "must have codes from 1 and different names",
            });
        }
        if !(1000..=86_400_000).contains(&parameters.recosign_interval_ms) {
            return Err(DecodeError::Value { what: "recosign interval", rule: "must be 1 s to 1 day" });
        }
        let document_types = types
            .iter()
            .map(|t| Ok(DocumentType { code: t.code, name: DocumentTypeName::new(&t.name)? }))
            .collect::<Result<_, DecodeError>>()?;
        Ok(Self { document_types, recosign_interval_ms: parameters.recosign_interval_ms })
    }

    fn to_wire(&self) -> wire::Parameters {
        let document_type =
            |t: &DocumentType| wire::DocumentType { code: t.code, name: t.name.as_str().into() };
        wire::Parameters {
            document_types: self.document_types.iter().map(document_type).collect(),
            recosign_interval_ms: self.recosign_interval_ms,
        }
    }
}

/// A C2SP origin as this ledger allows it: a schema-less URL of 1 to 128 of `a-z 0-9 . - /`.
fn check_origin(origin: &str) -> Result<String, DecodeError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'/');
    let good = !origin.is_empty()
        && origin.len() <= 128
        && origin.bytes().all(allowed)
        && !origin.starts_with('/')
        && !origin.ends_with('/');
    if good {
        Ok(origin.into())
    } else {
        Err(DecodeError::Value {
            what: "origin",
            rule: "must have 1 to 128 of a-z, 0-9, '.', '-' and '/', like neustadt.example/permits",
        })
    }
}
