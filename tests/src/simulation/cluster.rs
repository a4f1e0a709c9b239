//! The cluster: nodes, their clock, and what happens to them in which order. One thread, no time of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use markstein_node::{
    driver::{Audience, DriverError, Event as DriverEvent},
    messages::Message,
    peer::{Misbehaviour, Peer},
    pool::PoolFailure,
    work,
};
use markstein_proto::{Batch, Hash};
use sha2::{Digest, Sha256};

use crate::random::Random;
use crate::simulation::{
    busy::{Machines, Part},
    clients::Clients,
    invariants::Watch,
    issuers::Senders,
    network::{Network, Way},
    node::{Node, Said, World},
    signing::Seed,
    traitors::{Lie, Traitor},
};

/// Time from block 0 to the begin, so that clocks that are behind are not before it.
const BEFORE: u64 = 600_000;

pub enum Event {
    Deliver {
        from: usize,
        to: usize,
        bytes: Arc<Vec<u8>>,
        way: Way,
    },
    Wake {
        node: usize,
    },
    Restart {
        node: usize,
    },
    Submit {
        batch: usize,
    },
    /// Every second: who is connected, and a look at everything.
    Second,
    Chaos,
    /// Traitors speak unasked.
    Beside,
    /// A part of a node has done what it was busy with.
    Free {
        node: usize,
        part: Part,
        life: u64,
    },
    /// Somebody who may write acts.
    Act {
        issuer: usize,
    },
    /// What it hands in comes to a node.
    Hand {
        issuer: usize,
        node: usize,
        batch: Arc<Batch>,
    },
}

/// Bytes of a message that the trace covers: whatever differs later in a longer one shows in what follows from it.
const TRACED_MAX: usize = 256;

pub struct Cluster {
    pub world: World,
    /// Authorities, then observers, then twins.
    pub nodes: Vec<Node>,
    pub random: Random,
    pub now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    next: u64,
    pub network: Network,
    pub watch: Watch,
    pub clients: Clients,
    /// What nodes are busy with, where work takes time.
    pub machines: Option<Machines>,
    /// Who writes there.
    pub senders: Senders,
    pub traitors: BTreeMap<usize, Box<dyn Traitor>>,
    /// Who was named by an honest node, and for what.
    pub named: BTreeMap<(usize, &'static str), u64>,
    /// Nodes that never run.
    pub absent: BTreeSet<usize>,
    /// Nodes whose disk is damaged, and that stopped because of it.
    pub broken: BTreeSet<usize>,
    /// Nodes of which nothing is demanded at the end.
    pub excused: BTreeSet<usize>,
    /// Nodes whose clocks are beyond all bounds, or were.
    pub mistimed: Vec<usize>,
    pub healed: bool,
    /// The longest time between two faults.
    pub pause: u64,
    /// Events so far, and a hash over all of them in their order.
    pub steps: u64,
    trace: Sha256,
}

impl Cluster {
    pub fn new(seed: impl Into<Seed>, n: usize, observers: usize) -> Self {
        let seed = seed.into();
        Self::of(seed.number, World::new(n, observers, seed))
    }

    /// A cluster of a world, of which nothing runs yet.
    pub fn of(number: u64, world: World) -> Self {
        let (n, observers) = (world.n, world.observers);
        let mut random = Random::new(number ^ (n as u64) << 56);
        let nodes: Vec<Node> =
            (0..n + observers).map(|_| Node::new(&world, random.below(4001) as i64 - 2000)).collect();
        let mut cluster = Self {
            watch: Watch::new(&world.genesis, nodes.len()),
            world,
            nodes,
            random,
            now: BEFORE,
            queue: BTreeMap::new(),
            next: 0,
            network: Network::new(),
            clients: Clients::default(),
            machines: None,
            senders: Senders::default(),
            traitors: BTreeMap::new(),
            named: BTreeMap::new(),
            absent: BTreeSet::new(),
            broken: BTreeSet::new(),
            excused: BTreeSet::new(),
            mistimed: Vec::new(),
            healed: false,
            pause: 3000,
            steps: 0,
            trace: Sha256::new(),
        };
        cluster.at(0, Event::Second);
        cluster
    }

    pub fn at(&mut self, delay: u64, event: Event) {
        self.next += 1;
        self.queue.insert((self.now + delay, self.next), event);
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    pub fn any_node(&mut self) -> usize {
        self.random.below(self.nodes.len() as u64) as usize
    }

    pub fn is_honest(&self, node: usize) -> bool {
        !self.traitors.contains_key(&node)
    }

    /// Runs until nothing happens before `until`, or `done`, which is asked every second.
    pub fn run(&mut self, until: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        while let Some(next) = self.queue.first_entry() {
            let (at, _) = *next.key();
            if at > until {
                break;
            }
            let event = next.remove();
            self.now = self.now.max(at);
            if matches!(event, Event::Wake { node } if self.nodes[node].wake != Some(at)) {
                continue; // another time was planned since
            }
            self.note(&event);
            let is_second = matches!(event, Event::Second);
            self.step(event);
            if is_second && done(self) {
                return true;
            }
        }
        self.now = self.now.max(until);
        done(self)
    }

    /// Counts an event, and adds it to the trace: time, place, length and what is said, of what is long its beginning.
    fn note(&mut self, event: &Event) {
        let (kind, a, b, bytes): (u8, usize, usize, &[u8]) = match event {
            Event::Deliver { from, to, bytes, way } => (u8::from(*way == Way::Gossip), *from, *to, bytes),
            Event::Wake { node } => (2, *node, 0, &[]),
            Event::Restart { node } => (3, *node, 0, &[]),
            Event::Submit { batch } => (4, *batch, 0, &[]),
            Event::Second => (5, 0, 0, &[]),
            Event::Chaos => (6, 0, 0, &[]),
            Event::Beside => (7, 0, 0, &[]),
            Event::Free { node, part, .. } => (8, *node, part.number(), &[]),
            Event::Act { issuer } => (9, *issuer, 0, &[]),
            Event::Hand { issuer, node, batch } => (10, *issuer, *node, &batch.id().0.0),
        };
        let place = [self.now, a as u64, b as u64, bytes.len() as u64].map(u64::to_be_bytes);
        self.steps += 1;
        self.trace.update([kind]);
        self.trace.update(place.as_flattened());
        self.trace.update(&bytes[..bytes.len().min(TRACED_MAX)]);
    }

    /// The hash over all events so far.
    pub fn trace(&self) -> Hash {
        Hash(self.trace.clone().finalize().into())
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, bytes, way } if self.machines.is_some() => {
                self.arrive(from, to, bytes, way);
            }
            Event::Deliver { from, to, bytes, way: Way::Gossip } => self.deliver_batch(from, to, &bytes),
            Event::Deliver { from, to, bytes, .. } => self.deliver(from, to, &bytes),
            Event::Wake { node } => {
                self.nodes[node].wake = None;
                self.watch.busy.woken(node, self.now);
                self.drive(node, DriverEvent::Tick);
            }
            Event::Restart { node } => self.start(node),
            Event::Submit { batch } => self.submit(batch),
            Event::Second => self.second(),
            Event::Chaos => self.shake(),
            Event::Beside => self.speak_beside(),
            Event::Free { node, part, life } => self.go_on(node, part, life),
            Event::Act { issuer } => self.act(issuer),
            Event::Hand { issuer, node, batch } => self.hand(issuer, node, batch),
        }
    }

    pub fn start_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }

    pub fn start(&mut self, node: usize) {
        let is_out = self.absent.contains(&node) || self.broken.contains(&node);
        if self.nodes[node].live.is_some() || is_out || !self.is_startable(node) {
            return;
        }
        let before = work::done();
        let started = self.nodes[node].start(&self.world, node, self.now);
        self.boot(node, work::done() - before);
        self.watch.restarted(node);
        if self.survives(node, started, 0) {
            self.look(node);
            self.plan(node);
            self.relink(node);
        }
    }

    /// The power of a node goes. Of what it did not sync, the disk has a part.
    pub fn crash(&mut self, node: usize) {
        let state = &mut self.nodes[node];
        (state.live, state.wake) = (None, None);
        let kept = self.random.below(state.disk.unsynced() as u64 + 1) as usize;
        state.disk.crash(kept);
        self.relink(node);
    }

    /// Whether a node goes on; an error means that its disk failed, and there the power went. What it said last may
    /// then be lost, but for the first `sent` things.
    pub fn survives(&mut self, node: usize, result: Result<(), DriverError>, sent: usize) -> bool {
        let Err(error) = result else { return true };
        if self.is_broken_by(node, &error) {
            return false;
        }
        let is_disk = matches!(error, DriverError::Storage(_) | DriverError::Pool(PoolFailure::Storage(_)));
        let told = self.nodes[node].disk.has_failed() && is_disk;
        assert!(told, "node {node} ends: {error}, after {sent} messages");
        self.crash(node);
        let delay = 1 + self.random.below(2000);
        self.at(delay, Event::Restart { node });
        false
    }

    /// Hands a driver an event and does what it says then.
    pub fn drive(&mut self, node: usize, event: DriverEvent) {
        let now = self.now;
        if self.machines.is_some() {
            return self.mail(node, event);
        }
        let Some(live) = self.nodes[node].live.as_mut() else { return };
        let result = live.handle(now, event);
        let mut said = live.take_said();
        if result.is_err() {
            said.truncate(self.random.below(said.len() as u64 + 1) as usize);
        }
        let sent = said.len();
        said.into_iter().for_each(|(said, _)| self.say(node, said));
        if self.survives(node, result, sent) {
            self.look(node);
            self.plan(node);
            self.look_into_pool(node);
        }
    }

    /// Checks what must always hold, on what this node has now.
    pub fn look(&mut self, node: usize) {
        // What is damaged can be read by nobody, and what matters of it is what the node says.
        let is_whole = self.nodes[node].disk.harm().is_none();
        if let Some(live) = self.nodes[node].live.as_ref().filter(|_| is_whole) {
            self.watch.look(node, live, &self.clients, self.now);
            if !self.excused.contains(&node) {
                self.watch.progress.look(node, live, self.now);
            }
        }
    }

    pub fn plan(&mut self, node: usize) {
        let Some(live) = &self.nodes[node].live else { return };
        let at = live.next_tick().max(self.now).max(self.busy_until(node));
        if self.nodes[node].wake.is_none_or(|wake| at < wake) {
            self.nodes[node].wake = Some(at);
            self.at(at - self.now, Event::Wake { node });
        }
    }

    pub fn say(&mut self, node: usize, said: Said) {
        let (message, to): (Message, Vec<usize>) = match said {
            Said::Accused(peer, what) => return self.accuse(node, self.world.node(peer), &what),
            Said::To(peer, message) => (message, self.world.nodes(peer)),
            Said::Many(audience, message) => {
                let is_meant = |to: &usize| match (audience, self.world.peer(*to)) {
                    (Audience::All, _)
                    | (Audience::Authorities, Peer::Authority(_))
                    | (Audience::Observers, Peer::Observer(_)) => *to != node,
                    _ => false,
                };
                (message, (0..self.nodes.len()).filter(is_meant).collect())
            }
        };
        self.send(node, &to, &message);
    }

    /// Sends a message that a node's own code made; a traitor says what it likes instead.
    pub fn send(&mut self, node: usize, to: &[usize], message: &Message) {
        if self.is_honest(node) {
            self.watch.said(node, message, self.now);
            let bytes = Arc::new(message.encode());
            self.count(node, to, message);
            self.weigh(matches!(
                message,
                Message::Batch(_) | Message::PoolBatch(_) | Message::BlockBatches { .. }
            ));
            to.iter().for_each(|to| self.transmit(node, *to, &bytes, self.world.way_of(message)));
            return;
        }
        for to in to {
            for bytes in self.lie(node, |traitor, lie| traitor.say(lie, *to, message)) {
                self.transmit(node, *to, &Arc::new(bytes), self.world.way_of(message));
            }
        }
    }

    fn count(&mut self, node: usize, to: &[usize], message: &Message) {
        if !matches!(message, Message::Heartbeat(_) | Message::Cosignature(_)) {
            let linked = to.iter().filter(|to| self.network.is_linked(node, **to)).count() as u64;
            *self.network.busy.entry(message.kind()).or_default() += linked;
        }
    }

    pub fn transmit(&mut self, from: usize, to: usize, bytes: &Arc<Vec<u8>>, way: Way) {
        for delay in self.network.arrivals(from, to, bytes.len(), &mut self.random).into_iter().flatten() {
            let Some(delay) = self.under_way(from, to, bytes.len(), way, delay) else { continue };
            self.at(delay, Event::Deliver { from, to, bytes: Arc::clone(bytes), way });
        }
    }

    /// Lets a traitor make something up.
    fn lie<T>(&mut self, node: usize, make: impl FnOnce(&mut dyn Traitor, &mut Lie<'_>) -> T) -> T {
        let mut traitor = self.traitors.remove(&node).expect("it is one");
        let live = self.nodes[node].live.as_ref();
        let mut lie = Lie {
            world: &self.world,
            me: node,
            now: self.now,
            random: &mut self.random,
            db: live.map(|live| &live.db),
            view: live.map_or(0, |live| live.driver.engine().view().0),
        };
        let made = make(&mut *traitor, &mut lie);
        self.traitors.insert(node, traitor);
        made
    }

    fn speak_beside(&mut self) {
        let liars: Vec<usize> = self.traitors.keys().copied().collect();
        for node in liars.into_iter().filter(|node| self.nodes[*node].live.is_some()).collect::<Vec<_>>() {
            for bytes in self.lie(node, |traitor, lie| traitor.beside(lie)) {
                let bytes = Arc::new(bytes);
                (0..self.nodes.len())
                    .filter(|to| *to != node)
                    .for_each(|to| self.transmit(node, to, &bytes, Way::Urgent));
            }
        }
        let delay = 100 + self.random.below(400);
        self.at(delay, Event::Beside);
    }

    /// Only those who lie are ever named, but for what is said to be excusable.
    pub fn accuse(&mut self, by: usize, peer: usize, what: &Misbehaviour) {
        if !self.is_honest(by) {
            return;
        }
        let innocent = self.is_honest(peer) && !what.excusable;
        assert!(!innocent, "at {}: node {by} names the honest node {peer}: {what}", self.now);
        *self.named.entry((peer, what.kind)).or_default() += 1;
    }

    fn second(&mut self) {
        self.remind_twins();
        (0..self.nodes.len()).for_each(|node| self.relink(node));
        for (number, node) in self.nodes.iter().enumerate() {
            if let Some(live) = node.live.as_ref().filter(|_| node.disk.harm().is_none()) {
                self.watch.look_closely(number, live, node.disk.written(), &self.clients);
            }
        }
        if self.chance(30) {
            let node = self.any_node();
            self.check_a_receipt(node);
        }
        self.check_due_receipts();
        self.check_time();
        self.check_rest();
        self.at(1000, Event::Second);
    }

    /// Tells both ends where a connection came or went.
    fn relink(&mut self, node: usize) {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let up = self.nodes[node].live.is_some() && self.nodes[other].live.is_some();
            let Some(up) = self.network.relink(node, other, up) else { continue };
            self.hang_up(node, other, up);
            for (at, other) in [(node, other), (other, node)] {
                let peer = self.world.peer(other);
                let same = self.world.nodes(peer);
                if same.iter().any(|twin| *twin != other && self.network.is_linked(at, *twin)) {
                    continue; // it speaks to the other one as well, and knows of one peer
                }
                let event = if up { DriverEvent::Connected(peer) } else { DriverEvent::Disconnected(peer) };
                self.drive(at, event);
            }
        }
    }

    pub fn describe(&self) -> String {
        let line = |(number, node): (usize, &Node)| match &node.live {
            None => format!("node {number}: down\n"),
            Some(live) => format!("node {number}: pool {:?} {:?}\n", live.pool.size(), live.driver),
        };
        let traitors: Vec<_> = self.traitors.iter().map(|(node, t)| (*node, t.name())).collect();
        let nodes: String = self.nodes.iter().enumerate().map(line).collect();
        format!("at {}, traitors {traitors:?}, network busy with {:?}\n{nodes}", self.now, self.network.busy)
    }
}
