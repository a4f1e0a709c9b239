//! What the tests are made of: keys from fixed seeds, documents, and a ledger in memory. No clock, no randomness.

mod ledger;
pub mod wire;

pub use ledger::{Ledger, Part};

use markstein_proto::{
    Anchor, Authority, AuthorityId, AuthoritySet, Commitment, DocumentDigest, DocumentType, DocumentTypeName,
    EpochId, Genesis, Hash, IssuerGrant, IssuerId, IssuerKey, LeafIndex, Parameters, Reason, Record, Salt,
    SecretKey, StatusChange, TimeMs, status::Status,
};

/// Origin of every test ledger.
pub const ORIGIN: &str = "neustadt.example/markstein";
/// Time of block 0: 2026-01-01T00:00:00Z.
pub const START_MS: u64 = 1_767_225_600_000;
/// One hour in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;
/// May anchor types 1 and 2.
pub const PERMITS: &str = "permits.neustadt.example";
/// May anchor type 2.
pub const REGISTRY: &str = "registry.neustadt.example";
/// May anchor type 1, with a key that is good from one hour to ten hours after the start.
pub const EXPIRING: &str = "expiring.neustadt.example";

/// The seed of a test key: SHA-256("markstein test key" 00 owner 00 purpose).
pub fn seed(owner: &str, purpose: &str) -> [u8; 32] {
    Hash::of(&[b"markstein test key\0", owner.as_bytes(), b"\0", purpose.as_bytes()]).0
}

pub fn secret(owner: &str, purpose: &str) -> SecretKey {
    SecretKey::from_seed(&seed(owner, purpose))
}

pub fn issuer_id(issuer: &str) -> IssuerId {
    IssuerId::new(issuer).unwrap()
}

pub fn authority(id: &str) -> Authority {
    let key = |purpose| secret(id, purpose).public();
    Authority {
        id: AuthorityId::new(id).unwrap(),
        name: format!("Authority {id}"),
        consensus_key: key("consensus"),
        cosigner_key: key("cosigner"),
        log_key: key("log"),
        governance_key: key("governance"),
        network_key: key("network"),
    }
}

/// The set of an epoch with the authorities `a<number>`.
pub fn authority_set(epoch: u64, numbers: impl IntoIterator<Item = u32>) -> AuthoritySet {
    let authorities = numbers.into_iter().map(|n| authority(&format!("a{n}"))).collect();
    AuthoritySet::new(EpochId(epoch), authorities).unwrap()
}

pub fn grant(issuer: &str, document_types: &[u32]) -> IssuerGrant {
    let good = (issuer == EXPIRING).then_some((START_MS + HOUR_MS, START_MS + 10 * HOUR_MS));
    IssuerGrant {
        issuer: issuer_id(issuer),
        name: format!("Office {issuer}"),
        keys: vec![IssuerKey {
            key: secret(issuer, "issuer").public(),
            not_before: TimeMs(good.map_or(0, |(from, _)| from)),
            not_after: good.map(|(_, until)| TimeMs(until)),
        }],
        document_types: document_types.to_vec(),
    }
}

/// The genesis with authorities `a0` to `a<n-1>`.
pub fn genesis(authorities: u32) -> Genesis {
    let document_type = |code, name: &str| DocumentType { code, name: DocumentTypeName::new(name).unwrap() };
    Genesis {
        origin: ORIGIN.into(),
        nonce: [7; 32],
        time: TimeMs(START_MS),
        authorities: authority_set(0, 0..authorities),
        grants: vec![grant(PERMITS, &[1, 2]), grant(REGISTRY, &[2]), grant(EXPIRING, &[1])],
        parameters: Parameters {
            document_types: vec![document_type(1, "building-permit"), document_type(2, "register-entry")],
            recosign_interval_ms: 60_000,
        },
    }
    .check()
    .unwrap()
}

/// The bytes of a test document.
pub fn document(number: u64) -> Vec<u8> {
    format!("Decision number {number} of the city of Neustadt.\n").into_bytes()
}

pub fn digest(number: u64) -> DocumentDigest {
    DocumentDigest(Hash::of(&[&document(number)]))
}

pub fn salt(number: u64) -> Salt {
    Salt(Hash::of(&[b"markstein test salt\0", &number.to_be_bytes()]).0)
}

/// The record that anchors a document with its own salt.
pub fn anchor(number: u64, document_type: u32) -> Record {
    Record::Anchor(Anchor {
        commitment: Commitment::of(&salt(number), &digest(number)),
        public: false,
        document_type,
        valid_until: None,
        supersedes: None,
    })
}

/// The record that anchors a document in place of the one at an index.
pub fn successor(number: u64, document_type: u32, supersedes: u64) -> Record {
    let Record::Anchor(anchor) = anchor(number, document_type) else { panic!("it makes anchors") };
    Record::Anchor(Anchor { supersedes: Some(LeafIndex(supersedes)), ..anchor })
}

/// The record that changes the status of the one at an index.
pub fn change(target: u64, from: Status, to: Status, reason: Reason) -> Record {
    Record::StatusChange(StatusChange::new(LeafIndex(target), from, to, reason).unwrap())
}

pub fn public_anchor(number: u64, document_type: u32) -> Record {
    Record::Anchor(Anchor {
        commitment: Commitment::of(&Salt::PUBLIC, &digest(number)),
        public: true,
        document_type,
        valid_until: Some(TimeMs(START_MS + 365 * 24 * HOUR_MS)),
        supersedes: None,
    })
}

/// Repeatable test cases: Knuth's MMIX generator, of which the high bits are good enough.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    pub fn u64(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(4),
            1 => self.below(1 << 20),
            2 => u64::MAX - 1 - self.below(100),
            _ => self.below(1 << 31) << 31 | self.below(1 << 31),
        }
    }

    pub fn hash(&mut self) -> Hash {
        Hash::of(&[&self.u64().to_be_bytes(), &self.below(1 << 30).to_be_bytes()])
    }

    pub fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}
