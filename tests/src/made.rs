//! Logs made leaf by leaf, as made-up authorities sign them: honest ones, and any others.
//!
//! A node would make none but the honest ones. Here a quorum of authorities may have agreed on whatever a test wants.

use markstein_proto::{
    Authority, AuthorityId, AuthoritySet, Batch, DocumentType, DocumentTypeName, EpochId, Genesis, Hash,
    Header, IssuerGrant, IssuerId, IssuerKey, Leaf, LeafIndex, LogSize, Parameters, SecretKey, TimeMs, View,
    log::{self, Frontier},
    note::{Checkpoint, KeyName, NoteSignature, SignedCheckpoint, sign_cosignature, sign_ed25519},
    receipt::TrustRoot,
    status::{CHUNK_STATUSES, Chunk, Status, all_valid_root},
};

use crate::craft::Signer;

/// Time of block 0.
pub const START: TimeMs = TimeMs(1_790_000_000_000);
/// Time between blocks.
const STEP_MS: u64 = 1000;

/// A log, and the keys of all who have to do with it.
#[derive(Clone, Debug)]
pub struct MadeLog {
    trust: TrustRoot,
    leaves: Vec<Vec<u8>>,
    frontier: Frontier,
    tip: Header,
    /// Of every leaf whose status was changed; short, or tests are slow.
    statuses: Vec<(u64, Status)>,
}

/// Key number `number` of authority or issuer number `owner`.
fn key(owner: u8, number: u8) -> SecretKey {
    let mut seed = [number; 32];
    seed[0] = owner;
    SecretKey::from_seed(&seed)
}

const COSIGNER: u8 = 2;
const LOG: u8 = 3;
/// Above the numbers of the authorities.
const ISSUERS: u8 = 200;

impl MadeLog {
    /// A new ledger with so many authorities and two issuers: `permits.example`, which may anchor documents of type 1, and
    /// `registry.example`, which may anchor those of types 1 and 2.
    #[must_use]
    pub fn new(authorities: u8) -> Self {
        let genesis = genesis(authorities);
        let tip = genesis.header();
        let mut log = Self {
            leaves: Vec::new(),
            frontier: Frontier::new(),
            tip: tip.clone(),
            statuses: Vec::new(),
            trust: TrustRoot::new(genesis),
        };
        let batch = log.trust.genesis().batch();
        log.push_batch(&batch);
        log.push(Leaf::Header(tip).encode());
        log
    }

    /// The trust root.
    #[must_use]
    pub const fn trust(&self) -> &TrustRoot {
        &self.trust
    }

    /// Issuer 0 or 1.
    #[must_use]
    pub fn signer(&self, number: u8) -> Signer {
        let grant = &self.trust.genesis().grants[usize::from(number)];
        Signer { ledger: self.trust.ledger_id(), issuer: grant.issuer.clone(), key: key(ISSUERS + number, 1) }
    }

    /// All leaves.
    #[must_use]
    pub fn leaves(&self) -> &[Vec<u8>] {
        &self.leaves
    }

    /// How many there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root over all of them.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The newest header.
    #[must_use]
    pub const fn tip(&self) -> &Header {
        &self.tip
    }

    /// The time that the next block has.
    #[must_use]
    pub const fn next_time(&self) -> TimeMs {
        TimeMs(self.tip.time.0 + STEP_MS)
    }

    /// Adds a leaf, whatever it is.
    pub fn push(&mut self, leaf: Vec<u8>) {
        self.frontier.push(log::leaf_hash(&leaf));
        self.leaves.push(leaf);
    }

    /// Adds the leaves of a batch.
    pub fn push_batch(&mut self, batch: &Batch) {
        self.push(batch.head_leaf().to_vec());
        batch.records().iter().for_each(|record| self.push(record.bytes.to_vec()));
    }

    /// An honest block of these batches. Changes of a status count, whether they are allowed or not.
    pub fn block(&mut self, batches: &[Batch]) {
        for batch in batches {
            let first = self.size() + 1;
            self.push_batch(batch);
            for step in batch.records().iter().filter_map(|record| record.record.status_step()) {
                let target = step.target().0;
                let known = self.statuses.iter().position(|(leaf, _)| *leaf == target);
                let before = known.map_or(Status::Valid, |at| self.statuses.remove(at).1);
                let after = step.applied_to(before).unwrap_or(before);
                if target < first {
                    self.statuses.push((target, after));
                }
            }
        }
        self.close(|_| ());
    }

    /// The header over all leaves since the last one, changed before it is added.
    pub fn close(&mut self, change: impl FnOnce(&mut Header)) {
        let authorities = self.trust.genesis().authorities.authorities().len() as u64;
        let view = View(self.tip.view.0 + 1);
        let mut header = Header {
            height: self.tip.height.next(),
            view,
            parent: self.tip.block_id(),
            time: self.next_time(),
            proposer: ((view.0 - 1) % authorities) as u32,
            first_index: LeafIndex(self.tip.size_before.0 + 1),
            size_before: LogSize(self.size()),
            root_before: self.frontier.root(),
            status_root: self.status_root(),
            ..self.tip.clone()
        };
        change(&mut header);
        self.push(Leaf::Header(header.clone()).encode());
        self.tip = header;
    }

    fn status_root(&self) -> Hash {
        if self.statuses.is_empty() {
            return all_valid_root(LogSize(self.size()));
        }
        let mut chunks = vec![Chunk::ZERO; self.size().div_ceil(CHUNK_STATUSES) as usize];
        for (leaf, status) in &self.statuses {
            chunks[(leaf / CHUNK_STATUSES) as usize].set((leaf % CHUNK_STATUSES) as u8, *status);
        }
        log::root_of(chunks.iter().map(|chunk| log::leaf_hash(&chunk.0)))
    }

    /// The signed checkpoint of the log as it is, by these authorities, one second after its newest block.
    #[must_use]
    pub fn checkpoint(&self, signers: std::ops::Range<u8>) -> String {
        let lines = signers.flat_map(|number| self.lines_of(number));
        self.note(lines.collect())
    }

    /// The same with these lines.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn note(&self, lines: Vec<NoteSignature>) -> String {
        SignedCheckpoint::with_signatures(self.unsigned(), lines).expect("some lines, and few").to_string()
    }

    fn unsigned(&self) -> Checkpoint {
        let origin = &self.trust.genesis().origin;
        Checkpoint::new(origin, LogSize(self.size()), self.frontier.root()).expect("an origin of a genesis")
    }

    /// The two lines of an authority, or of somebody with a number of his own.
    #[must_use]
    pub fn lines_of(&self, number: u8) -> [NoteSignature; 2] {
        [self.cosignature_of(number, TimeMs(self.tip.time.0 + 1000)), self.log_line_of(number)]
    }

    /// A cosignature of this time.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn cosignature_of(&self, number: u8, time: TimeMs) -> NoteSignature {
        let name = KeyName::new(&format!("{}/stadt-{number}", self.trust.genesis().origin));
        let (name, text) = (name.expect("a name"), self.unsigned().to_text());
        sign_cosignature(&key(number, COSIGNER), &name, &text, time.0 / 1000).expect("a checkpoint")
    }

    /// A line of the log.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn log_line_of(&self, number: u8) -> NoteSignature {
        let name = KeyName::new(&self.trust.genesis().origin).expect("a name");
        sign_ed25519(&name, &key(number, LOG), &self.unsigned().to_text()).expect("a checkpoint")
    }
}

fn genesis(count: u8) -> Genesis {
    let authority = |owner: u8| {
        let [consensus_key, cosigner_key, log_key, governance_key, network_key] =
            [1, COSIGNER, LOG, 4, 5].map(|number| key(owner, number).public());
        let id = AuthorityId::new(&format!("stadt-{owner}")).expect("an id");
        let name = format!("Stadt {owner}");
        Authority { id, name, consensus_key, cosigner_key, log_key, governance_key, network_key }
    };
    let grant = |owner: u8, id: &str, name: &str, types: Vec<u32>| IssuerGrant {
        issuer: IssuerId::new(id).expect("an id"),
        name: name.into(),
        keys: vec![IssuerKey { key: key(owner, 1).public(), not_before: START, not_after: None }],
        document_types: types,
    };
    let kind = |code, name| DocumentType { code, name: DocumentTypeName::new(name).expect("a name") };
    let authorities = AuthoritySet::new(EpochId(0), (0..count).map(authority).collect());
    let genesis = Genesis {
        origin: "neustadt.example/test".into(),
        nonce: [7; 32],
        time: START,
        authorities: authorities.expect("different keys"),
        grants: vec![
            grant(ISSUERS, "permits.example", "Bauaufsicht Neustadt", vec![1]),
            grant(ISSUERS + 1, "registry.example", "Standesamt Neustadt", vec![1, 2]),
        ],
        parameters: Parameters {
            document_types: vec![kind(1, "building-permit"), kind(2, "certificate")],
            recosign_interval_ms: 60_000,
        },
    };
    genesis.check().expect("a good genesis")
}
