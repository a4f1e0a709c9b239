//! Work takes time: the threads of a node, what they are busy with, and what waits meanwhile.
//!
//! Steps are counted where they are done ([`markstein_node::work`]), [`costs`] makes nanoseconds of them, and a [`Thread`]
//! that works is not free before they have passed. What a thread did is visible when it begins, and what it says leaves
//! when it had done as much. Queues are those of the real node with their bounds: mailboxes, places, permits, streams.

mod consensus;
mod costs;
mod lanes;
mod order;
mod pool;
mod readers;
mod thread;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use markstein_node::work::Steps;
use markstein_proto::Hash;

use crate::simulation::{cluster::Cluster, network::Way};

pub use costs::Costs;
pub use pool::{Request, Source};
use thread::MS;
pub use thread::Thread;

/// All machines, and what is between them.
pub struct Machines {
    pub costs: Costs,
    pub lanes: lanes::Lanes,
    nodes: Vec<Machine>,
    /// When what is said now leaves, in nanoseconds.
    departs: u64,
    /// What is sent now is a batch: each of its bytes stands for several.
    heavy: bool,
}

/// What one node is busy with.
#[derive(Default)]
struct Machine {
    /// How often it was started.
    life: u64,
    consensus: consensus::Consensus,
    pool: pool::PoolThread,
    readers: BTreeMap<(usize, Way), readers::Reader>,
    /// Places that each peer has taken, by stream.
    places: BTreeMap<(usize, Way), usize>,
    /// Batches that gossip brought, and how many of each peer are looked at.
    seen: HashSet<Hash>,
    judged: BTreeMap<usize, usize>,
}

/// A part of a node that has done something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The pool's thread.
    Pool,
    /// The pool's thread has told consensus of new batches.
    News,
    /// Who reads a stream of a peer.
    Reader(usize, Way),
}

impl Part {
    /// For the trace.
    pub const fn number(self) -> usize {
        match self {
            Self::Pool => 0,
            Self::News => 1,
            Self::Reader(from, way) => 2 + 4 * from + way as usize,
        }
    }
}

impl Machines {
    pub fn new(costs: Costs, nodes: usize) -> Self {
        Self {
            costs,
            lanes: lanes::Lanes::default(),
            nodes: (0..nodes).map(|_| Machine::default()).collect(),
            departs: 0,
            heavy: false,
        }
    }
}

impl Cluster {
    fn machines(&mut self) -> &mut Machines {
        self.machines.as_mut().expect("work takes time in this run")
    }

    fn machine(&mut self, node: usize) -> &mut Machine {
        &mut self.machines().nodes[node]
    }

    /// A node was started, which took it so many steps.
    pub fn boot(&mut self, node: usize, spent: Steps) {
        let now = self.now;
        let Some(machines) = &mut self.machines else { return };
        let cost = machines.costs.of(spent);
        let machine = &mut machines.nodes[node];
        *machine = Machine { life: machine.life + 1, ..Machine::default() };
        machine.consensus.thread.work(now, cost);
        machine.pool.thread.work(now, cost);
    }

    /// The millisecond in which consensus of a node is free.
    pub fn busy_until(&self, node: usize) -> u64 {
        self.machines.as_ref().map_or(0, |machines| machines.nodes[node].consensus.thread.free_ms())
    }

    /// Two nodes are connected now, or not any more: nothing is on its way between them.
    pub fn hang_up(&mut self, one: usize, other: usize, _: bool) {
        let Some(machines) = &mut self.machines else { return };
        machines.lanes.hang_up(one, other);
        for (at, from) in [(one, other), (other, one)] {
            for way in Way::STREAMS {
                if let Some(reader) = machines.nodes[at].readers.get_mut(&(from, way)) {
                    reader.hang_up();
                }
            }
        }
    }

    /// After how long something that is sent now arrives; nothing does where its queue is full.
    pub fn under_way(&mut self, from: usize, to: usize, bytes: usize, way: Way, latency: u64) -> Option<u64> {
        let now = self.now;
        let Some(machines) = &mut self.machines else { return Some(latency) };
        let stands_for = if machines.heavy || way == Way::Gossip { machines.costs.scale } else { 1 };
        let at = machines.departs.max(now * MS);
        let arrives = machines.lanes.send((from, to, way), bytes as u64 * stands_for, at, latency)?;
        Some(arrives.saturating_sub(now).max(1))
    }

    /// Looks at what must come to be in time.
    pub fn check_time(&mut self) {
        if self.machines.is_none() {
            return;
        }
        let up = self.nodes.iter().take(self.world.n).filter(|node| node.live.is_some()).count();
        let is_up = up >= self.world.n - self.world.faulty_max() && self.network.cut.is_empty();
        self.watch.tick(is_up, self.now);
    }

    /// Looks at how much the threads of all nodes work.
    pub fn check_rest(&mut self) {
        let Some(machines) = &self.machines else { return };
        for (node, machine) in machines.nodes.iter().enumerate() {
            let mut look = |name: String, worked| self.watch.rested.look(node, name, worked, self.now);
            look("consensus".into(), machine.consensus.thread.worked);
            look("pool".into(), machine.pool.thread.worked);
            for ((from, way), reader) in &machine.readers {
                look(format!("the reader of {way:?} from node {from}"), reader.worked());
            }
        }
    }

    /// Whether what is sent now is a batch.
    pub const fn weigh(&mut self, heavy: bool) {
        if let Some(machines) = &mut self.machines {
            machines.heavy = heavy;
        }
    }

    /// Says something with what is said leaving at this time.
    fn at_time(&mut self, departs: u64, say: impl FnOnce(&mut Self)) {
        self.machines().departs = departs;
        say(self);
        self.machines().departs = 0;
    }

    /// Something arrives at a node.
    pub fn arrive(&mut self, from: usize, to: usize, bytes: Arc<Vec<u8>>, way: Way) {
        if self.nodes[to].live.is_none() {
            return;
        }
        if way == Way::Gossip {
            self.machines().lanes.read((from, to, way));
            return self.take_gossip(from, to, &bytes);
        }
        let now = self.now;
        self.machine(to).readers.entry((from, way)).or_default().arrived(now, bytes);
        self.run_reader(to, from, way);
    }

    /// A part of a node goes on with what it does.
    pub fn go_on(&mut self, node: usize, part: Part, life: u64) {
        if self.machine(node).life != life || self.nodes[node].live.is_none() {
            return;
        }
        match part {
            Part::Pool => {
                self.machine(node).pool.planned = None;
                self.run_pool(node);
            }
            Part::News => self.mail(node, markstein_node::driver::Event::Pooled),
            Part::Reader(from, way) => self.woken_reader(node, from, way),
        }
    }

    /// Has a part of a node go on at a time in milliseconds.
    fn free_at(&mut self, node: usize, part: Part, ms: u64) {
        let (life, now) = (self.machine(node).life, self.now);
        let event = crate::simulation::cluster::Event::Free { node, part, life };
        self.at(ms.saturating_sub(now), event);
    }
}
