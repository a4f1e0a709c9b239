//! Issuers at their worst, on machines whose work takes time: an honest issuer's batches become final all the same.
//!
//! There are no faults in these runs. Batches are smaller than they could be, and each record costs as much more
//! ([`Costs::scale`]): what takes a machine 15 ms takes the simulation half of one.

use markstein_node::pool::PoolLimits;

use crate::simulation::{
    busy::{Costs, Machines},
    cluster::Cluster,
    invariants::{Fair, Rested, Stalled},
    issuers::{Backlog, Colliding, Crowd, Dear, Divided, Honest, Issuer},
    node::World,
    scenarios::Outcome,
    signing::Seed,
    support::genesis_with,
};

/// An honest batch is final within this time, in milliseconds.
const BOUND: u64 = 2_000;
/// The same after all nodes were started anew.
const BOUND_AFTER_START: u64 = 5_000;
/// Where all write more than is taken: from when it was accepted.
const BOUND_OF_A_CROWD: u64 = 3_000;
/// What follows when the hostile ones have ended.
const REST: u64 = 8_000;
/// Issuers with a backlog.
const BACKLOGS: usize = 3;
/// Issuers of a crowd, and the pause of each between two batches: together 240,000 records a second.
const CROWD: usize = 6;
const CROWD_PAUSE: u64 = 50;
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
    /// Huge backlogs.
    Backlog,
    /// The same, and each node takes so little of one issuer that it has its fill of what is handed to it.
    Full,
    /// Nobody is, and six issuers write three times as much as the ledger takes.
    Crowd,
}

impl Hostile {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Colliding,
        Self::Restart,
        Self::Dear,
        Self::Divided,
        Self::Backlog,
        Self::Full,
        Self::Crowd,
    ];

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
            Self::Full => "full",
            Self::Crowd => "crowd",
        }
    }

    /// The one with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Who writes beside the honest issuer until a time.
    fn issuers(self, until: u64) -> Vec<Box<dyn Issuer>> {
        match self {
            Self::Nobody => Vec::new(),
            Self::Colliding => vec![Box::new(Colliding::new(CHANGES, 80, 6, 1_000))],
            Self::Restart => vec![Box::new(Colliding::new(CHANGES, 240, 1, 0))],
            Self::Dear => vec![Box::new(Dear::new(CHANGES, 15, until))],
            Self::Divided => vec![Box::new(Divided::new(CHANGES, 40))],
            Self::Backlog | Self::Full => {
                let one = |_| Box::new(Backlog::new(RECORDS, 4, until)) as Box<dyn Issuer>;
                (0..BACKLOGS).map(one).collect()
            }
            Self::Crowd => {
                let one = |_| Box::new(Crowd::new(RECORDS, CROWD_PAUSE, until)) as Box<dyn Issuer>;
                (0..CROWD).map(one).collect()
            }
        }
    }

    const fn limits(self) -> PoolLimits {
        match self {
            Self::Divided | Self::Full => PoolLimits { batches_per_issuer_max: 40, ..LIMITS },
            _ => LIMITS,
        }
    }
}

/// Four authorities, an honest issuer, and hostile ones for so many milliseconds. Then they rest, and so do the nodes.
pub fn hostile_issuer(seed: impl Into<Seed>, hostile: Hostile, span: u64) -> Outcome {
    let seed = seed.into();
    let others = hostile.issuers(0).len() as u8;
    let world = World::of(genesis_with(4, others), hostile.limits(), 0, seed);
    let mut cluster = Cluster::of(seed.number, world);
    cluster.machines = Some(Machines::new(Costs { scale: SCALE }, 4));
    cluster.network.delay = 3;
    cluster.start_all();
    let (until, end) = (cluster.now + span, cluster.now + span + REST);
    cluster.watch.fair = Fair::within(if hostile == Hostile::Crowd { BOUND_OF_A_CROWD } else { BOUND });
    cluster.watch.stalled = Stalled::within(PAUSE_MAX, 4);
    cluster.watch.rested = Rested::from(until + REST / 2);
    cluster.admit_issuer(Box::new(Honest { pause: PAUSE, until: end - BOUND, made: 0 }), HONEST_FROM);
    for issuer in hostile.issuers(until) {
        cluster.admit_issuer(issuer, HOSTILE_FROM);
    }
    if hostile == Hostile::Restart {
        cluster.run(cluster.now + span / 2, |_| false);
        restart_all(&mut cluster);
    }
    cluster.run(end + BOUND, |_| false);
    cluster.watch.fair.check(cluster.now + BOUND_AFTER_START);
    Outcome::of(&cluster)
}

/// All nodes lose their power, and come back.
fn restart_all(cluster: &mut Cluster) {
    (0..4).for_each(|node| cluster.crash(node));
    let back = cluster.now + 1_000;
    cluster.watch.fair.begin_anew(back, BOUND_AFTER_START);
    cluster.watch.stalled = Stalled::default();
    cluster.run(back, |_| false);
    cluster.watch.stalled = Stalled::within(BOUND_AFTER_START, 4);
    cluster.start_all();
}
