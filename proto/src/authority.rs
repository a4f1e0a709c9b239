//! Authorities and the sets they form, one set an epoch.

use alloc::{collections::BTreeSet, format, string::String, vec::Vec};

use prost::Message;

use crate::{
    AuthorityId, EpochId, Hash, PublicKey,
    codec::{self, CountBound, DecodeError},
    domain,
    note::{Algorithm, KeyName, Vkey},
    wire,
};

/// Most authorities of a set.
pub const AUTHORITIES_MAX: usize = 64;
/// Longest encoded authority set, in bytes.
pub const AUTHORITY_SET_MAX: usize = 64 * 1024;

const COUNTS: &[CountBound] = &[CountBound { what: "authorities", path: &[2], max: AUTHORITIES_MAX }];

/// One authority and its public keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Names it for ever.
    pub id: AuthorityId,
    /// Its name for people.
    pub name: String,
    /// Signs votes and proposals.
    pub consensus_key: PublicKey,
    /// Signs C2SP cosignature/v1 lines.
    pub cosigner_key: PublicKey,
    /// Signs C2SP log lines, whose key name is the origin.
    pub log_key: PublicKey,
    /// Signs batches of the authorities; kept offline.
    pub governance_key: PublicKey,
    /// libp2p identity.
    pub network_key: PublicKey,
}

impl Authority {
    fn keys(&self) -> [&PublicKey; 5] {
        [&self.consensus_key, &self.cosigner_key, &self.log_key, &self.governance_key, &self.network_key]
    }

    pub(crate) fn from_wire(authority: &wire::Authority) -> Result<Self, DecodeError> {
        let key = |what, bytes: &[u8]| {
            PublicKey::from_bytes(bytes).map_err(|source| DecodeError::Key { what, source })
        };
        Ok(Self {
            id: AuthorityId::new(&authority.authority_id)?,
            name: codec::display_name("name of an authority", &authority.name)?,
            consensus_key: key("consensus key of an authority", &authority.consensus_key)?,
            cosigner_key: key("cosigner key of an authority", &authority.cosigner_key)?,
            log_key: key("log key of an authority", &authority.log_key)?,
            governance_key: key("governance key of an authority", &authority.governance_key)?,
            network_key: key("network key of an authority", &authority.network_key)?,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::Authority {
        wire::Authority {
            authority_id: self.id.as_str().into(),
            name: self.name.clone(),
            consensus_key: self.consensus_key.to_bytes().to_vec(),
            cosigner_key: self.cosigner_key.to_bytes().to_vec(),
            log_key: self.log_key.to_bytes().to_vec(),
            governance_key: self.governance_key.to_bytes().to_vec(),
            network_key: self.network_key.to_bytes().to_vec(),
        }
    }
}

/// Who decides during one epoch: 1 to 64 authorities, ids and all keys distinct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySet {
    epoch: EpochId,
    authorities: Vec<Authority>,
}

impl AuthoritySet {
    /// Checks and takes a set.
    ///
    /// # Errors
    /// [`DecodeError`] where it is empty, too large, or has an id or a key twice.
    pub fn new(epoch: EpochId, authorities: Vec<Authority>) -> Result<Self, DecodeError> {
        codec::require_count("authorities", authorities.len(), 1, AUTHORITIES_MAX)?;
        let ids: BTreeSet<&AuthorityId> = authorities.iter().map(|a| &a.id).collect();
        if ids.len() != authorities.len() {
            return Err(DecodeError::Value { what: "authority ids", rule: "must all be different" });
        }
        let keys: BTreeSet<[u8; 32]> =
            authorities.iter().flat_map(|a| a.keys().map(PublicKey::to_bytes)).collect();
        if keys.len() != authorities.len() * 5 {
            return Err(DecodeError::Value {
                what: "keys of the authorities",
                rule: "must all be different, each used for one purpose of one authority",
            });
        }
        Ok(Self { epoch, authorities })
    }

    /// Decodes a canonical set.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: wire::AuthoritySet =
            codec::decode_bounded("authority set", bytes, AUTHORITY_SET_MAX, COUNTS)?;
        codec::require_canonical("authority set", bytes, &message)?;
        let authorities = message.authorities.iter().map(Authority::from_wire).collect::<Result<_, _>>()?;
        Self::new(EpochId(message.epoch), authorities)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::AuthoritySet {
            epoch: self.epoch.0,
            authorities: self.authorities.iter().map(Authority::to_wire).collect(),
        }
        .encode_to_vec()
    }

    /// Hash named by the headers: SHA-256([`domain::AUTHORITY_SET`] ‖ canonical bytes).
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(&[domain::AUTHORITY_SET, &self.encode()])
    }

    /// The epoch this set decides.
    #[must_use]
    pub const fn epoch(&self) -> EpochId {
        self.epoch
    }

    /// The authorities, in the order in which they lead.
    #[must_use]
    pub fn authorities(&self) -> &[Authority] {
        &self.authorities
    }

    /// How many may fail or lie: f = floor((n - 1) / 3).
    #[must_use]
    pub fn faults(&self) -> usize {
        (self.authorities.len() - 1) / 3
    }

    /// How many must agree: q = n - f.
    #[must_use]
    pub fn quorum(&self) -> usize {
        self.authorities.len() - self.faults()
    }
}

impl AuthoritySet {
    /// The verifier keys of the set's cosignatures; key names are `<origin>/<authority id>`.
    #[must_use]
    pub fn cosigners(&self, origin: &str) -> Vec<Vkey> {
        self.authorities.iter().map(|a| a.cosigner(origin)).collect()
    }
}

impl Authority {
    /// The verifier key of this authority's cosignatures.
    #[must_use]
    pub fn cosigner(&self, origin: &str) -> Vkey {
        let name =
            KeyName::new(&format!("{origin}/{}", self.id)).expect("origins and ids are valid key names");
        Vkey::new(name, Algorithm::CosignatureV1, self.cosigner_key)
    }

    /// The verifier key of this authority's log lines; the key name is the origin itself.
    #[must_use]
    pub fn log_vkey(&self, origin: &str) -> Vkey {
        let name = KeyName::new(origin).expect("origins are valid key names");
        Vkey::new(name, Algorithm::Ed25519, self.log_key)
    }
}
