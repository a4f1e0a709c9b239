//! Issuers at their worst, on machines whose work takes time: an honest issuer's batches become final all the same.
//!
//! There are no faults in these runs. Batches are smaller than they could be, and each record costs as much more
//! ([`Costs::scale`]): what takes a machine 15 ms takes the simulation half of one.

use markstein_node::pool::PoolLimits;

use crate::simulation::{
    busy::{Costs, Machines},
    cluster::Cluster,
    invariants::{Fair, Stalled},
    issuers::{Backlog, Colliding, Dear, Divided, Honest, Issuer},
    node::World,
    scenarios::Outcome,
    signing::Seed,
    support::genesis_with,
};

/// An honest batch is final within this time, in milliseconds.
const BOUND: u64 = 2_000;
/// The same after all nodes were started anew.
const BOUND_AFTER_START: u64 = 5_000;
/// The ledger does not stand still for longer.
const PAUSE_MAX: u64 = 2_000;
/// Each record stands for so many.
const SCALE: u64 = 10;
/// Changes of a hostile batch: as 10,000.
const CHANGES: u64 = 1_000;
/// Records of a good batch of a backlog: as 2,000.
const RECORDS: u64 = 200;
/// When the honest issuer begins, and the others.
const HONEST_FROM: u64 = 1_000;
const HOSTILE_FROM: u64 = 1_500;
/// Pause between two honest batches.
const PAUSE: u64 = 250;
/// Of one issuer a pool takes as much as a real one does, in batches of this scale.
const LIMITS: PoolLimits = PoolLimits {
    bytes_max: (256 << 20) / SCALE as usize,
    batches_per_issuer_max: 10_000,
    bytes_per_issuer_max: (64 << 20) / SCALE as usize,
};

/// How an issuer is hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hostile {
    /// Nobody is.
    Nobody,
    /// Batches of many changes of which the last collides: as many as halted a ledger, and then some more each second.
    Colliding,
    /// The same, and then all nodes are started anew.
    Restart,
    /// A flood of dear and refused batches.
    Dear,
    /// Pools that differ.
    Divided,
    /// A huge backlog.
    Backlog,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Nobody, Self::Colliding, Self::Restart, Self::Dear, Self::Divided, Self::Backlog];

    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Colliding => "colliding",
            Self::Restart => "restart",
            Self::Dear => "dear",
            Self::Divided => "divided",
            Self::Backlog => "backlog",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    fn issuer(self, until: u64) -> Option<Box<dyn Issuer>> {
        Some(match self {
            Self::Nobody => return None,
            Self::Colliding => Box::new(Colliding::new(CHANGES, 80, 6, 1_000)),
            Self::Restart => Box::new(Colliding::new(CHANGES, 240, 1, 0)),
            Self::Dear => Box::new(Dear::new(CHANGES, 15, until)),
            Self::Divided => Box::new(Divided::new(CHANGES, 40)),
            Self::Backlog => Box::new(Backlog::new(RECORDS, 4, until)),
        })
    }

    const fn limits(self) -> PoolLimits {
        match self {
            Self::Divided => PoolLimits { batches_per_issuer_max: 40, ..LIMITS },
            _ => LIMITS,
        }
    }
}

/// Four authorities, an honest issuer, and a hostile one for so many milliseconds.
pub fn hostile_issuer(seed: impl Into<Seed>, hostile: Hostile, span: u64) -> Outcome {
    let seed = seed.into();
    let world = World::of(genesis_with(4, 1), hostile.limits(), 0, seed);
    let mut cluster = Cluster::of(seed.number, world);
    cluster.machines = Some(Machines::new(Costs { scale: SCALE }, 4));
    cluster.network.delay = 3;
    cluster.watch.fair = Fair::within(BOUND);
    cluster.watch.stalled = Stalled::within(PAUSE_MAX, 4);
    cluster.start_all();
    let until = cluster.now + span;
    cluster.admit_issuer(Box::new(Honest { pause: PAUSE, until, made: 0 }), HONEST_FROM);
    if let Some(issuer) = hostile.issuer(until) {
        cluster.admit_issuer(issuer, HOSTILE_FROM);
    }
    if hostile == Hostile::Restart {
        cluster.watch.fair = Fair::within(u64::MAX);
        cluster.watch.stalled = Stalled::default();
        cluster.run(cluster.now + span / 2, |_| false);
        (0..4).for_each(|node| cluster.crash(node));
        cluster.run(cluster.now + 1_000, |_| false);
        cluster.watch.fair.begin_anew(cluster.now, BOUND_AFTER_START);
        cluster.start_all();
    }
    cluster.run(until + BOUND_AFTER_START, |_| false);
    cluster.watch.fair.check(cluster.now + BOUND_AFTER_START);
    Outcome::of(&cluster)
}
