//! A one-authority ledger in memory, with keys from fixed seeds and a clock set by hand.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

pub mod random;

use std::sync::{Arc, Mutex};

use markstein_consensus::{Now, Timing};

use markstein_node::{
    clock::Clock,
    driver::{Audience, Driver, DriverError, Event, Hands, Inspector, Outbox, Parts},
    finality::{Finality, finality},
    ledger::{Cosigner, FinalState, Rules, State, counted_checkpoint, init},
    messages::Message,
    metrics::Metrics,
    network_view::NetworkView,
    peer::{Misbehaviour, Peer},
    pool::{self, Announce, Origin, Pool, PoolLimits},
    shutdown::StopSignal,
    storage::{Db, Direction, MemoryStore, Pair, Read, Scan, tables::TABLES},
    verified::Verified,
};
use markstein_proto::{
    Anchor, Authority, AuthorityId, AuthoritySet, Batch, Commitment, DocumentDigest, DocumentType,
    DocumentTypeName, EpochId, Genesis, Hash, IssuerGrant, IssuerId, IssuerKey, Parameters, Record, Salt,
    SecretKey, TimeMs, receipt::TrustRoot,
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
    genesis_of(1)
}

/// The same with `count` authorities: number i has the keys 20 i + 1 to 20 i + 5, in the order of its fields.
pub fn genesis_of(count: u8) -> Genesis {
    let first = ("neustadt".to_owned(), "Stadt Neustadt".to_owned());
    let name = |number: u8| match number {
        0 => first.clone(),
        _ => (format!("stadt-{number}"), format!("Stadt {number}")),
    };
    let authority = |number: u8| Authority {
        id: AuthorityId::new(&name(number).0).unwrap(),
        name: name(number).1,
        consensus_key: key(20 * number + 1).public(),
        cosigner_key: key(20 * number + 2).public(),
        log_key: key(20 * number + 3).public(),
        governance_key: key(20 * number + 4).public(),
        network_key: key(20 * number + 5).public(),
    };
    let issuer_key = |seed, not_after: Option<u64>| IssuerKey {
        key: key(seed).public(),
        not_before: TimeMs(START),
        not_after: not_after.map(TimeMs),
    };
    let mut keys = vec![issuer_key(10, Some(START + 7 * DAY)), issuer_key(11, None)];
    keys.sort_unstable_by_key(|key| key.key.to_bytes());
    let grant = IssuerGrant {
        issuer: issuer(),
        name: "Bauaufsicht Neustadt".into(),
        keys,
        document_types: vec![1, 2],
    };
    let types = [(1, "building-permit"), (2, "certificate"), (3, "youth-welfare-decision")];
    let document_types =
        types.map(|(code, name)| DocumentType { code, name: DocumentTypeName::new(name).unwrap() }).to_vec();
    Genesis {
        origin: "neustadt.example/permits".into(),
        nonce: [7; 32],
        time: TimeMs(START),
        authorities: AuthoritySet::new(EpochId(0), (0..count).map(authority).collect()).unwrap(),
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
        supersedes: None,
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

/// A store with block 0.
pub fn new_db(store: Arc<MemoryStore>) -> Db {
    new_db_of(store, &genesis())
}

/// A store with block 0 of another ledger.
pub fn new_db_of(store: Arc<MemoryStore>, genesis: &Genesis) -> Db {
    let db = Db::new(store);
    init(&db, genesis).unwrap();
    db
}

/// Everything in a store.
pub fn dump(db: &Db) -> Vec<(&'static str, Vec<Pair>)> {
    let all = || Scan { from: Vec::new(), to: None, direction: Direction::Forward, limit: usize::MAX };
    TABLES.iter().map(|table| (table.name, db.bytes().scan(table.name, &all()).unwrap())).collect()
}

/// Nobody to talk to.
struct Alone;

impl Outbox for Alone {
    fn send(&self, _: Peer, _: Message) {}
    fn broadcast(&self, _: Audience, _: Message) {}
    fn misbehaved(&self, peer: Peer, what: Misbehaviour) {
        panic!("{peer} cannot misbehave, there is nobody: {what}");
    }
}

/// Counts what came into the pool.
#[derive(Debug, Default)]
pub struct Counter(Mutex<usize>);

impl Announce for Counter {
    fn pooled(&self, _: &Arc<Batch>, _: Origin) {
        *self.0.lock().unwrap() += 1;
    }

    fn looked(&self) {}
}

/// A running ledger over a store that can crash.
pub struct Ledger {
    pub store: Arc<MemoryStore>,
    pub db: Db,
    pub clock: Arc<ManualClock>,
    pub trust: TrustRoot,
    pub finality: Finality,
    pub pool: Pool,
    pub driver: Driver,
    pub announced: Arc<Counter>,
    tick: u64,
}

impl Ledger {
    pub fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        init(&Db::new(store.clone()), &genesis()).unwrap();
        let mut ledger = Self::open(store, START + 1000);
        ledger.after(0, Event::Tick).unwrap();
        ledger
    }

    /// As after a start: everything comes from the store. What the journal has beyond it follows with the first event.
    pub fn open(store: Arc<MemoryStore>, now: u64) -> Self {
        Self::with_limits(store, now, LIMITS)
    }

    pub fn with_limits(store: Arc<MemoryStore>, now: u64, limits: PoolLimits) -> Self {
        let genesis = genesis();
        let db = Db::new(store.clone());
        let state = FinalState::load(&db).unwrap();
        let clock = Arc::new(ManualClock(Mutex::new(now)));
        let checkpoint = counted_checkpoint(&db, &state, &genesis.origin, &Verified::default()).unwrap();
        let (publisher, finality) = finality(state.clone(), checkpoint, StopSignal::new());
        let announced = Arc::new(Counter::default());
        let rules = Rules::new(&genesis);
        let (pool, _) = pool::start(
            &db,
            rules.clone(),
            limits,
            finality.clone(),
            clock.clone(),
            Arc::<Counter>::clone(&announced),
        )
        .unwrap();
        let cosigner = Cosigner::new(&genesis.origin, &genesis.authorities, 0, key(2), key(3));
        let parts = Parts {
            ledger: genesis.ledger_id(),
            origin: genesis.origin.clone(),
            rules,
            state,
            pool: pool.clone(),
            publisher,
            hands: Some(Hands { number: 0, consensus: Box::new(key(1)), cosigner }),
            outbox: Box::new(Alone),
            inspector: Arc::new(Inspector::new(genesis.ledger_id(), &genesis.authorities, Some(0))),
            view: NetworkView::default(),
            metrics: Arc::new(Metrics::default()),
            timing: Timing::default(),
            recosign: genesis.parameters.recosign_interval_ms,
            run: 0,
        };
        let driver = Driver::start(parts, Now { tick: 0, clock: TimeMs(now) }).unwrap();
        Self { store, db, clock, trust: TrustRoot::new(genesis), finality, pool, driver, announced, tick: 0 }
    }

    /// Loses what was not synced and starts again.
    pub fn crash(self) -> Self {
        let now = self.clock.now().0;
        self.store.crash();
        self.store.reopen();
        Self::open(Arc::clone(&self.store), now)
    }

    /// Lets seconds go by until something is so: the pool's thread looks at what waits, and the driver decides.
    pub fn until(&mut self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            self.after(1_000, Event::Tick).unwrap();
            std::thread::yield_now();
        }
    }

    /// Goes on until nothing is in the pool.
    pub fn until_empty(&mut self) {
        self.until(|ledger| ledger.pool.size().batches == 0);
    }

    /// The newest final state.
    pub fn state(&self) -> &FinalState {
        self.driver.state()
    }

    /// Lets some time pass that the clock on the wall does not tell, and has an event handled.
    pub fn after(&mut self, ms: u64, event: Event) -> Result<(), DriverError> {
        self.tick += ms;
        self.driver.handle(Now { tick: self.tick, clock: self.clock.now() }, event)
    }

    /// One block of what is in the pool; `false` where there is nothing.
    pub fn cut(&mut self) -> bool {
        let before = State::tip(self.state()).height;
        self.after(0, Event::Pooled).unwrap();
        State::tip(self.state()).height > before
    }

    /// Cosigns the newest checkpoint again, as after a silent interval.
    pub fn cosign_again(&mut self) {
        self.after(60_000, Event::Tick).unwrap();
    }

    /// How many batches were announced.
    pub fn announced(&self) -> usize {
        *self.announced.0.lock().unwrap()
    }
}
