//! A small ledger: its genesis, keys from fixed seeds, documents and batches by number.

use std::sync::{LazyLock, OnceLock};

use markstein_node::pool::PoolLimits;
use markstein_proto::{
    Anchor, Authority, AuthorityId, AuthoritySet, Commitment, DocumentDigest, DocumentType, DocumentTypeName,
    EpochId, Genesis, Hash, IssuerGrant, IssuerId, IssuerKey, Parameters, Salt, SecretKey, TimeMs,
};

/// Time of block 0.
pub const START: u64 = 1_790_000_000_000;
pub const HOUR: u64 = 3_600_000;

pub const LIMITS: PoolLimits =
    PoolLimits { bytes_max: 64 << 20, batches_per_issuer_max: 1000, bytes_per_issuer_max: 64 << 20 };

/// The issuer's key.
pub const ISSUER_KEY: u8 = 11;

/// All keys there are: to derive a public one takes as long as a hundred steps.
static KEYS: LazyLock<Vec<SecretKey>> =
    LazyLock::new(|| (0..=u8::MAX).map(|seed| SecretKey::from_seed(&[seed; 32])).collect());

pub fn key(seed: u8) -> SecretKey {
    KEYS[usize::from(seed)].clone()
}

pub fn issuer() -> IssuerId {
    IssuerId::new("bauaufsicht.neustadt.example").unwrap()
}

/// Most authorities: a key has a byte for its number.
const AUTHORITIES_MAX: usize = 12;

/// Checked once for each number of authorities: that takes as long as some hundred steps.
static GENESES: [OnceLock<Genesis>; AUTHORITIES_MAX + 1] = [const { OnceLock::new() }; AUTHORITIES_MAX + 1];

/// With `count` authorities: number i has the keys 20 i + 1 to 20 i + 5, in the order of its fields.
pub fn genesis_of(count: u8) -> Genesis {
    GENESES[usize::from(count)].get_or_init(|| make_genesis(count)).clone()
}

/// Issuers beside the first one that may be admitted.
pub const OTHERS_MAX: u8 = 9;

/// The id of one of the other issuers, from 0.
pub fn other_issuer(number: u8) -> IssuerId {
    IssuerId::new(&format!("amt-{number}.example")).unwrap()
}

/// Number of the key of one of the other issuers.
pub const fn other_key(number: u8) -> u8 {
    assert!(number < OTHERS_MAX, "the next keys are an authority's");
    ISSUER_KEY + 1 + number
}

/// The same with so many issuers more.
pub fn genesis_with(count: u8, others: u8) -> Genesis {
    let mut genesis = genesis_of(count);
    for number in 0..others {
        genesis.grants.push(grant(other_issuer(number), other_key(number)));
    }
    genesis.check().unwrap()
}

fn grant(issuer: IssuerId, key_number: u8) -> IssuerGrant {
    let issuer_key = IssuerKey { key: key(key_number).public(), not_before: TimeMs(START), not_after: None };
    let name = format!("Amt {issuer}");
    IssuerGrant { issuer, name, keys: vec![issuer_key], document_types: vec![1] }
}

fn make_genesis(count: u8) -> Genesis {
    let authority = |number: u8| Authority {
        id: AuthorityId::new(&format!("stadt-{number}")).unwrap(),
        name: format!("Stadt {number}"),
        consensus_key: key(20 * number + 1).public(),
        cosigner_key: key(20 * number + 2).public(),
        log_key: key(20 * number + 3).public(),
        governance_key: key(20 * number + 4).public(),
        network_key: key(20 * number + 5).public(),
    };
    let issuer_key = IssuerKey { key: key(ISSUER_KEY).public(), not_before: TimeMs(START), not_after: None };
    let grant = IssuerGrant {
        issuer: issuer(),
        name: "Bauaufsicht Neustadt".into(),
        keys: vec![issuer_key],
        document_types: vec![1],
    };
    let permit = DocumentType { code: 1, name: DocumentTypeName::new("building-permit").unwrap() };
    Genesis {
        origin: "neustadt.example/permits".into(),
        nonce: [7; 32],
        time: TimeMs(START),
        authorities: AuthoritySet::new(EpochId(0), (0..count).map(authority).collect()).unwrap(),
        grants: vec![grant],
        parameters: Parameters { document_types: vec![permit], recosign_interval_ms: 60_000 },
    }
    .check()
    .unwrap()
}

pub fn document(number: u64) -> DocumentDigest {
    DocumentDigest(Hash::of(&[&number.to_be_bytes()]))
}

pub fn salt(number: u64) -> Salt {
    Salt(Hash::of(&[b"salt", &number.to_be_bytes()]).0)
}

pub fn anchor(number: u64) -> Anchor {
    Anchor {
        commitment: Commitment::of(&salt(number), &document(number)),
        public: false,
        document_type: 1,
        valid_until: None,
        supersedes: None,
    }
}
