//! One simulated node: the real driver, pool and inspector, on a store in memory.

use std::{
    mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use markstein_consensus::{Now, Timing};
use markstein_node::{
    clock::Clock,
    driver::{Audience, Driver, DriverError, Event, Hands, Inspector, Outbox, Parts},
    finality::{Finality, finality},
    ledger::{Cosigner, FinalState, Rules, counted_checkpoint, init},
    messages::Message,
    metrics::Metrics,
    network_view::NetworkView,
    peer::{Misbehaviour, Peer},
    pool::{self, Admission, Announce, Origin, Pool, PoolFailure, PoolLimits},
    shutdown::StopSignal,
    storage::Db,
    verified::Verified,
    work::{self, Steps},
};
#[cfg(feature = "mutants")]
use markstein_node::{driver::Mutant, verified::Signatures};
use markstein_proto::{Batch, Genesis, LedgerId, Sign, TimeMs, receipt::TrustRoot};
#[cfg(feature = "mutants")]
use markstein_proto::{PublicKey, Signature};

#[cfg(feature = "mutants")]
use crate::simulation::unbound;
use crate::simulation::{
    disk::Disk,
    network::Way,
    signing::{Seed, Signing},
    support::{LIMITS, START, genesis_of},
};

/// What all nodes share.
pub struct World {
    pub genesis: Genesis,
    pub ledger: LedgerId,
    pub trust: TrustRoot,
    pub rules: Rules,
    pub signing: Signing,
    /// What pools take.
    pub limits: PoolLimits,
    /// A disk with block 0 and nothing else, as each node starts with.
    blank: Arc<Disk>,
    /// The rule that all nodes break.
    #[cfg(feature = "mutants")]
    pub mutant: Mutant,
    /// Authorities; observers come after them, and twins after those.
    pub n: usize,
    pub observers: usize,
    /// The authorities whose keys a second node has, in the order of these nodes.
    pub twinned: Vec<usize>,
}

impl World {
    pub fn new(n: usize, observers: usize, seed: Seed) -> Self {
        Self::of(genesis_of(u8::try_from(n).unwrap()), LIMITS, observers, seed)
    }

    /// With the authorities and issuers of this genesis.
    pub fn of(genesis: Genesis, limits: PoolLimits, observers: usize, seed: Seed) -> Self {
        let (n, signing) = (genesis.authorities.authorities().len(), seed.signing);
        let (ledger, rules) = (genesis.ledger_id(), Rules::with_signatures(&genesis, signing.verified()));
        let blank = Arc::new(Disk::new());
        init(&Db::new(blank.clone()), &genesis).unwrap();
        Self {
            limits,
            blank,
            trust: TrustRoot::new(genesis.clone()),
            genesis,
            ledger,
            rules,
            signing,
            #[cfg(feature = "mutants")]
            mutant: seed.mutant,
            n,
            observers,
            twinned: Vec::new(),
        }
    }

    /// The stream that a message takes.
    pub const fn way_of(&self, message: &Message) -> Way {
        #[cfg(feature = "mutants")]
        if matches!(self.mutant, Mutant::UrgentBatches | Mutant::UrgentVerdicts) {
            return Way::Urgent;
        }
        Way::of(message)
    }

    /// Whether a reader of the urgent stream waits for what becomes of a batch.
    pub const fn waits_for_verdicts(&self) -> bool {
        #[cfg(feature = "mutants")]
        if matches!(self.mutant, Mutant::UrgentBatches) {
            return false;
        }
        true
    }

    /// f: how many authorities may be faulty.
    pub const fn faulty_max(&self) -> usize {
        (self.n - 1) / 3
    }

    /// As whom a node speaks.
    pub fn peer(&self, node: usize) -> Peer {
        match node.checked_sub(self.n) {
            None => Peer::Authority(node as u32),
            Some(number) if number < self.observers => Peer::Observer(number as u32),
            Some(number) => Peer::Authority(self.twinned[number - self.observers] as u32),
        }
    }

    /// The node that speaks as this peer; of twins, the first.
    pub const fn node(&self, peer: Peer) -> usize {
        match peer {
            Peer::Authority(number) => number as usize,
            Peer::Observer(number) => self.n + number as usize,
        }
    }

    /// All nodes that speak as this peer.
    pub fn nodes(&self, peer: Peer) -> Vec<usize> {
        let (first, twins) = (self.node(peer), self.twinned.iter().enumerate());
        let second =
            twins.filter(|(_, of)| **of == first).map(|(number, _)| self.n + self.observers + number);
        std::iter::once(first).chain(second).collect()
    }

    /// The key number `field` of an authority, counted from 1 in the order of its fields.
    pub fn key(&self, node: usize, field: u8) -> Box<dyn Sign> {
        let key = self.signing.key(20 * u8::try_from(node).unwrap() + field);
        #[cfg(feature = "mutants")]
        let key = unbound::key(key, self.mutant);
        key
    }
}

/// What a driver said, kept until it returns.
pub enum Said {
    To(Peer, Message),
    Many(Audience, Message),
    Accused(Peer, Misbehaviour),
}

/// What came into a pool.
pub type News = Vec<(Arc<Batch>, Origin)>;

/// What was said, each with what its thread had done by then.
#[derive(Default)]
struct Mouth(Mutex<Vec<(Said, Steps)>>);

impl Mouth {
    fn say(&self, said: Said) {
        self.0.lock().unwrap().push((said, work::done()));
    }
}

struct Voice(Arc<Mouth>);

impl Outbox for Voice {
    fn send(&self, to: Peer, message: Message) {
        self.0.say(Said::To(to, message));
    }

    fn broadcast(&self, to: Audience, message: Message) {
        self.0.say(Said::Many(to, message));
    }

    fn misbehaved(&self, peer: Peer, what: Misbehaviour) {
        self.0.say(Said::Accused(peer, what));
    }
}

#[derive(Debug, Default)]
struct Herald(Mutex<News>, AtomicBool);

impl Announce for Herald {
    fn pooled(&self, batch: &Arc<Batch>, origin: Origin) {
        self.0.lock().unwrap().push((Arc::clone(batch), origin));
    }

    fn looked(&self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct SimClock(AtomicU64);

impl Clock for SimClock {
    fn now(&self) -> TimeMs {
        TimeMs(self.0.load(Ordering::Relaxed))
    }
}

pub struct Node {
    pub disk: Arc<Disk>,
    pub live: Option<Live>,
    /// Its clock minus the true time.
    pub skew: i64,
    /// When it is woken next.
    pub wake: Option<u64>,
}

/// A node that runs.
pub struct Live {
    pub driver: Driver,
    pub admission: Admission,
    pub pool: Pool,
    pub finality: Finality,
    pub inspector: Arc<Inspector>,
    pub db: Db,
    /// What it tells of the authorities.
    pub view: NetworkView,
    _mailbox: pool::Mailbox,
    clock: Arc<SimClock>,
    mouth: Arc<Mouth>,
    herald: Arc<Herald>,
    started: u64,
    skew: i64,
}

impl Node {
    pub fn new(world: &World, skew: i64) -> Self {
        Self { disk: Arc::new(world.blank.copy()), live: None, skew, wake: None }
    }

    /// Starts it on what its disk holds.
    pub fn start(&mut self, world: &World, number: usize, now: u64) -> Result<(), DriverError> {
        let (db, genesis) = (Db::new(self.disk.clone()), &world.genesis);
        let state = FinalState::load_beside(&db, Some(&genesis.authorities))?;
        let clock = Arc::new(SimClock::default());
        let checkpoint = counted_checkpoint(&db, &state, &genesis.origin, world.rules.verified())?;
        let (publisher, finality) = finality(state.clone(), checkpoint, StopSignal::new());
        let herald = Arc::new(Herald::default());
        let (pool, admission, mailbox) = pool::open(
            &db,
            world.rules.clone(),
            world.limits,
            finality.clone(),
            Arc::<SimClock>::clone(&clock),
            Arc::<Herald>::clone(&herald),
        )?;
        #[cfg(feature = "mutants")]
        if let Mutant::Pool(rule) = world.mutant {
            pool.break_rule(rule);
        }
        let me = match world.peer(number) {
            Peer::Authority(number) => Some(number),
            Peer::Observer(_) => None,
        };
        let (set, verified) = (&genesis.authorities, verified(world));
        let inspector = Arc::new(Inspector::with_signatures(world.ledger, set, me, verified));
        let (mouth, view) = (Arc::new(Mouth::default()), NetworkView::default());
        let parts = Parts {
            ledger: world.ledger,
            origin: genesis.origin.clone(),
            rules: world.rules.clone(),
            state,
            pool: pool.clone(),
            publisher,
            hands: me.map(|number| hands(world, number)),
            outbox: Box::new(Voice(Arc::clone(&mouth))),
            inspector: Arc::clone(&inspector),
            view: view.clone(),
            metrics: Arc::new(Metrics::default()),
            timing: Timing::default(),
            recosign: genesis.parameters.recosign_interval_ms,
            run: now << 8 | number as u64, // nobody starts twice in a millisecond
        };
        let at = Now { tick: 0, clock: clock_of(now, self.skew) };
        clock.0.store(at.clock.0, Ordering::Relaxed);
        let driver = started(world, parts, at)?;
        self.live = Some(Live {
            driver,
            admission,
            pool,
            finality,
            inspector,
            db,
            view,
            _mailbox: mailbox,
            clock,
            mouth,
            herald,
            started: now,
            skew: self.skew,
        });
        Ok(())
    }
}

impl Live {
    pub fn handle(&mut self, now: u64, event: Event) -> Result<(), DriverError> {
        let at = self.set_clock(now);
        self.driver.handle(at, event)
    }

    /// Sets the clock that the pool reads, too.
    pub fn set_clock(&self, now: u64) -> Now {
        let clock = clock_of(now, self.skew);
        self.clock.0.store(clock.0, Ordering::Relaxed);
        Now { tick: now - self.started, clock }
    }

    /// When it wants to be woken, in the simulation's time.
    pub fn next_tick(&self) -> u64 {
        self.started + self.driver.next_tick()
    }

    pub fn take_said(&self) -> Vec<(Said, Steps)> {
        mem::take(&mut self.mouth.0.lock().unwrap())
    }

    /// Does the looks that the pool's thread has to do; true where the driver is to be told.
    pub fn look_into_pool(&self) -> Result<bool, PoolFailure> {
        while self.admission.has_queued() {
            self.admission.look()?;
        }
        Ok(self.take_looked())
    }

    /// Whether the pool's thread looked at something since this was asked last.
    pub fn take_looked(&self) -> bool {
        self.herald.1.swap(false, Ordering::Relaxed)
    }

    pub fn take_news(&self) -> News {
        mem::take(&mut self.herald.0.lock().unwrap())
    }
}

#[cfg(not(feature = "mutants"))]
fn started(_: &World, parts: Parts, now: Now) -> Result<Driver, DriverError> {
    Driver::start(parts, now)
}

#[cfg(feature = "mutants")]
fn started(world: &World, parts: Parts, now: Now) -> Result<Driver, DriverError> {
    Driver::with_mutant(parts, now, world.mutant)
}

#[cfg(not(feature = "mutants"))]
fn verified(world: &World) -> Verified {
    world.signing.verified()
}

#[cfg(feature = "mutants")]
fn verified(world: &World) -> Verified {
    match world.mutant {
        Mutant::AnySignature => anything(),
        mutant => unbound::verified(world.signing, mutant),
    }
}

/// Takes every signature for good.
#[cfg(feature = "mutants")]
fn anything() -> Verified {
    #[derive(Debug)]
    struct Anything;
    impl Signatures for Anything {
        fn verify(&self, _: &PublicKey, _: &[u8], _: &Signature) -> bool {
            true
        }
    }
    Verified::with(Arc::new(Anything))
}

fn clock_of(now: u64, skew: i64) -> TimeMs {
    TimeMs((START + now).saturating_add_signed(skew))
}

fn hands(world: &World, number: u32) -> Hands {
    let (genesis, node) = (&world.genesis, number as usize);
    let (set, keys) = (&genesis.authorities, (world.key(node, 2), world.key(node, 3)));
    let cosigner = Cosigner::with_signatures(&genesis.origin, set, number, keys, world.signing.verified());
    Hands { number, consensus: world.key(node, 1), cosigner }
}
