//! A one-authority ledger in memory, with keys from fixed seeds and a clock set by hand.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::sync::{
    Arc, Mutex,
    mpsc::{Receiver, sync_channel},
};

use markstein_node::{
    chain::Chain,
    clock::Clock,
    finality::{Finality, finality},
    ledger::{Cosigner, FinalState, Rules, init},
    pool::{self, Pool, PoolLimits, Wake, WakeSender},
    shutdown::StopSignal,
    storage::{Db, MemoryStore},
};
use markstein_proto::{
    Anchor, Authority, AuthorityId, AuthoritySet, Batch, Commitment, DocumentDigest, DocumentType,
    DocumentTypeName, EpochId, Genesis, Hash, IssuerGrant, IssuerId, IssuerKey, Parameters, Record, Salt,
    SecretKey, TimeMs, View, receipt::TrustRoot,
};

/// Time of block 0.
pub const START: u64 = 1_790_000_000_000;
pub const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;

pub const LIMITS: PoolLimits =
    PoolLimits { bytes_max: 64 << 20, batches_per_issuer_max: 1000, bytes_per_issuer_max: 64 << 20 };

#[derive(Debug)]
pub struct ManualClock(Mutex<u64>);

impl ManualClock {
    pub fn set(&self, now: u64) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> TimeMs {
        TimeMs(*self.0.lock().unwrap())
    }
}

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

pub fn issuer() -> IssuerId {
    IssuerId::new("bauaufsicht.neustadt.example").unwrap()
}

/// Issuer key 10 from the start for a week, key 11 for ever; document types 1 and 2 of three registered ones.
pub fn genesis() -> Genesis {
    let authority = Authority {
        id: AuthorityId::new("neustadt").unwrap(),
        name: "Stadt Neustadt".into(),
        consensus_key: key(1).public(),
        cosigner_key: key(2).public(),
        log_key: key(3).public(),
        governance_key: key(4).public(),
        network_key: key(5).public(),
    };
    let issuer_key = |seed, not_after: Option<u64>| IssuerKey {
        key: key(seed).public(),
        not_before: TimeMs(START),
        not_after: not_after.map(TimeMs),
    };
    let grant = IssuerGrant {
        issuer: issuer(),
        name: "Bauaufsicht Neustadt".into(),
        keys: vec![issuer_key(10, Some(START + 7 * DAY)), issuer_key(11, None)],
        document_types: vec![1, 2],
    };
    let types = [(1, "building-permit"), (2, "certificate"), (3, "youth-welfare-decision")];
    let document_types =
        types.map(|(code, name)| DocumentType { code, name: DocumentTypeName::new(name).unwrap() }).to_vec();
    Genesis {
        origin: "neustadt.example/permits".into(),
        nonce: [7; 32],
        time: TimeMs(START),
        authorities: AuthoritySet::new(EpochId(0), vec![authority]).unwrap(),
        grants: vec![grant],
        parameters: Parameters { document_types, recosign_interval_ms: 60_000 },
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
    }
}

/// A batch of the records `numbers`, signed by issuer key 11.
pub fn batch(created_at: u64, numbers: std::ops::Range<u64>) -> Arc<Batch> {
    let records: Vec<Record> = numbers.map(|n| Record::Anchor(anchor(n))).collect();
    signed(created_at, 11, &records)
}

pub fn signed(created_at: u64, seed: u8, records: &[Record]) -> Arc<Batch> {
    let ledger = genesis().ledger_id();
    Arc::new(Batch::sign(ledger, &issuer(), &key(seed), TimeMs(created_at), records).unwrap())
}

/// A running ledger over a store that can crash.
pub struct Ledger {
    pub store: Arc<MemoryStore>,
    pub db: Db,
    pub clock: Arc<ManualClock>,
    pub trust: TrustRoot,
    pub finality: Finality,
    pub pool: Pool,
    pub chain: Chain,
    pub wakes: Receiver<Wake>,
}

impl Ledger {
    pub fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        init(&Db::new(store.clone()), &genesis()).unwrap();
        Self::open(store, START + 1000)
    }

    /// As after a start: everything comes from the store.
    pub fn open(store: Arc<MemoryStore>, now: u64) -> Self {
        Self::with_limits(store, now, LIMITS)
    }

    pub fn with_limits(store: Arc<MemoryStore>, now: u64, limits: PoolLimits) -> Self {
        let genesis = genesis();
        let db = Db::new(store.clone());
        let state = FinalState::load(&db).unwrap();
        let clock = Arc::new(ManualClock(Mutex::new(now)));
        let (publisher, finality) = finality(state.clone(), StopSignal::new());
        let (wake, wakes) = sync_channel(4);
        let rules = Rules::new(&genesis);
        let (pool, _) =
            pool::start(&db, rules.clone(), limits, finality.clone(), clock.clone(), WakeSender(wake))
                .unwrap();
        let cosigner = Cosigner::new(&genesis.origin, &genesis.authorities, 0, key(2), key(3));
        let chain = Chain::new(rules, state, pool.clone(), cosigner, clock.clone(), publisher);
        Self { store, db, clock, trust: TrustRoot::new(genesis), finality, pool, chain, wakes }
    }

    /// Loses what was not synced and starts again.
    pub fn crash(self) -> Self {
        let now = self.clock.now().0;
        self.store.crash();
        self.store.reopen();
        Self::open(Arc::clone(&self.store), now)
    }

    /// One block of what is in the pool; `false` where there is nothing.
    pub fn cut(&mut self) -> bool {
        let view = View(self.chain.state().tip_view().0 + 1);
        let Some(block) = self.chain.build(view, 0).unwrap() else { return false };
        self.chain.finalize(&block).unwrap();
        true
    }
}

/// Reads the view of a state without naming its trait in every test.
pub trait TipView {
    fn tip_view(&self) -> View;
}

impl TipView for FinalState {
    fn tip_view(&self) -> View {
        markstein_node::ledger::State::tip(self).view
    }
}
