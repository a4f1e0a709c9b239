//! The cluster: nodes, clock, event queue and network.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use markstein_consensus::{
    AuthorityNumber, Body, Effect, Engine, Input, Message, Now, Recipient, Send, Setup, Timing, Verdict,
};
use markstein_proto::{
    EpochId, Hash, TimeMs,
    consensus::{CheckedCertificate, Subject},
};

use super::{Disk, KeyedSigner, Random, START, Traitor, verifier};

pub struct Node {
    pub engine: Option<Engine>,
    pub disk: Disk,
    /// Numbers of the batches it knows of and that are not in its chain.
    pub pool: BTreeSet<u64>,
    /// Blocks above the final one that were checked here.
    pub bodies: BTreeMap<Hash, Body>,
    pub skew: i64,
    /// The authority that it is; twins are the same one.
    pub identity: u32,
    pub traitor: Option<Traitor>,
    /// When it is woken next.
    wake: Option<u64>,
}

pub enum Event {
    Deliver { from: u32, to: usize, message: Message },
    Fetch { from: usize, to: usize, block: Hash },
    Body { from: u32, to: usize, body: Body },
    Checked { node: usize, block: Hash, verdict: Verdict },
    Sync { node: usize, certificate: CheckedCertificate },
    Restart { node: usize },
    Wake { node: usize },
    Submit { batch: u64 },
    Ping,
    Chaos,
}

pub struct Cluster {
    pub n: u32,
    /// The first n are the authorities; second twins follow.
    pub nodes: Vec<Node>,
    pub random: Random,
    pub now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    next_event: u64,
    /// Percent of messages lost, and duplicated; longest delay.
    pub loss: u64,
    pub duplicates: u64,
    pub delay: u64,
    /// Pairs that cannot talk.
    pub cut: BTreeSet<(usize, usize)>,
    pub healed: bool,
    pub down: BTreeSet<usize>,
    /// What honest nodes finalised, by height.
    pub finalised: BTreeMap<u64, Hash>,
    /// What honest nodes voted, over crashes.
    pub votes: BTreeMap<(usize, u64, u8), Subject>,
    /// When a block was first sent.
    pub proposed: BTreeMap<Hash, u64>,
    pub evidence: usize,
    pub steps: u64,
    pub submitted: u64,
    #[cfg(feature = "mutants")]
    pub mutant: markstein_consensus::Mutant,
}

impl Cluster {
    pub fn new(seed: u64, n: u32, traitors: &[Traitor]) -> Self {
        let mut cluster = Self {
            n,
            nodes: Vec::new(),
            random: Random::new(seed),
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_event: 0,
            loss: 0,
            duplicates: 0,
            delay: 20,
            cut: BTreeSet::new(),
            healed: false,
            down: BTreeSet::new(),
            finalised: BTreeMap::new(),
            votes: BTreeMap::new(),
            proposed: BTreeMap::new(),
            evidence: 0,
            steps: 0,
            submitted: 0,
            #[cfg(feature = "mutants")]
            mutant: markstein_consensus::Mutant::None,
        };
        let traitor = |identity: u32| traitors.get(identity as usize).copied();
        let twins = (0..n).filter(|identity| traitor(*identity) == Some(Traitor::Twins));
        for identity in (0..n).chain(twins) {
            let skew = cluster.random.below(4001) as i64 - 2000;
            cluster.nodes.push(Node {
                engine: None,
                disk: Disk::default(),
                pool: BTreeSet::new(),
                bodies: BTreeMap::new(),
                skew,
                identity,
                traitor: traitor(identity),
                wake: None,
            });
        }
        cluster.at(1, Event::Ping);
        cluster
    }

    pub fn at(&mut self, delay: u64, event: Event) {
        let id = self.next_event;
        self.next_event += 1;
        self.events.insert(id, event);
        self.queue.push(Reverse((self.now + delay, id)));
    }

    pub fn submit(&mut self, delay: u64) {
        let batch = self.submitted;
        self.submitted += 1;
        self.at(delay, Event::Submit { batch });
    }

    pub fn honest(&self, node: usize) -> bool {
        self.nodes[node].traitor.is_none()
    }

    pub fn start_all(&mut self) {
        (0..self.nodes.len()).for_each(|node| self.start(node));
    }

    pub fn start(&mut self, node: usize) {
        let (now, state) = (self.time(node), &self.nodes[node]);
        let setup = Setup {
            epoch: EpochId(0),
            authorities: self.n,
            me: AuthorityNumber(state.identity),
            voting: markstein_consensus::Voting::Now,
            timing: Timing::default(),
            signer: Box::new(KeyedSigner(state.identity)),
            last_final: state.disk.live.last_final(),
            finalization: state.disk.live.finalization.clone(),
        };
        let facts = state.disk.live.facts.clone();
        #[cfg(not(feature = "mutants"))]
        let engine = Engine::new(setup, facts, now);
        #[cfg(feature = "mutants")]
        let engine = Engine::with_mutant(setup, facts, now, self.mutant);
        let state = &mut self.nodes[node];
        state.engine = Some(engine);
        state.wake = None;
        let admissible = !state.pool.is_empty();
        self.drive(node, Input::Pool(admissible));
    }

    pub fn crash(&mut self, node: usize) {
        let pending = self.nodes[node].disk.pending() as u64;
        let kept = self.random.below(pending + 1) as usize;
        let state = &mut self.nodes[node];
        state.engine = None;
        state.disk.crash(kept);
        state.bodies.clear();
        self.down.insert(node);
    }

    pub fn restart(&mut self, node: usize) {
        if self.down.remove(&node) {
            self.start(node);
        }
    }

    pub fn time(&self, node: usize) -> Now {
        let clock = (START + self.now).saturating_add_signed(self.nodes[node].skew);
        Now { tick: self.now, clock: TimeMs(clock) }
    }

    /// Runs until nothing happens before `until`, or `done`.
    pub fn run(&mut self, until: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        while let Some(Reverse((at, id))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = self.now.max(at);
            if let Some(event) = self.events.remove(&id) {
                self.steps += u64::from(!matches!(event, Event::Ping));
                self.step(event);
                if done(self) {
                    return true;
                }
            }
        }
        self.now = self.now.max(until);
        done(self)
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => self.deliver(from, to, message),
            Event::Fetch { from, to, block } => self.give(from, to, block),
            Event::Body { from, to, body } => {
                self.drive(to, Input::Fetched(AuthorityNumber(from), Box::new(body)))
            }
            Event::Checked { node, block, verdict } => self.drive(node, Input::Checked(block, verdict)),
            Event::Sync { node, certificate } => self.sync(node, &certificate),
            Event::Restart { node } => self.restart(node),
            Event::Wake { node } => {
                self.nodes[node].wake = None;
                self.drive(node, Input::Tick);
            }
            Event::Submit { batch } => {
                for node in 0..self.nodes.len() {
                    let chain = &self.nodes[node].disk.live.chain;
                    if !chain.iter().any(|body| body.batches.contains(&super::batch(batch))) {
                        self.nodes[node].pool.insert(batch);
                        self.drive(node, Input::Pool(true));
                    }
                }
            }
            Event::Ping => self.ping(),
            Event::Chaos => self.shake(),
        }
    }

    fn deliver(&mut self, from: u32, to: usize, message: Message) {
        let (sender, verifier, me) = (AuthorityNumber(from), verifier(self.n), self.nodes[to].identity);
        let input = match message {
            // twins do not betray each other
            Message::Vote(vote) if vote.get().signer == me && !self.honest(to) => return,
            Message::Vote(vote) => Input::Vote(sender, verifier.vote(vote.get().clone()).unwrap()),
            Message::Certificate(c) => {
                Input::Certificate(sender, verifier.certificate(c.get().clone()).unwrap())
            }
            Message::Proposal(p) => {
                Input::Proposal(sender, Box::new(verifier.proposal(p.get().clone()).unwrap()))
            }
        };
        self.drive(to, input);
    }

    /// Every node hears the nodes that it is connected to.
    fn ping(&mut self) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let silent = self.nodes[from].traitor == Some(Traitor::Silent);
                if from != to && !silent && !self.down.contains(&from) && !self.cut.contains(&(from, to)) {
                    let identity = AuthorityNumber(self.nodes[from].identity);
                    self.drive(to, Input::Heard(identity));
                }
            }
        }
        self.at(1000, Event::Ping);
    }

    pub fn drive(&mut self, node: usize, input: Input) {
        let now = self.time(node);
        let Some(engine) = self.nodes[node].engine.as_mut() else { return };
        engine.handle(now, input);
        let effects: Vec<Effect> = std::iter::from_fn(|| engine.poll_effect()).collect();
        let mut follow = Vec::new();
        for effect in effects {
            self.run_effect(node, effect, &mut follow);
            if self.nodes[node].engine.is_none() {
                return; // it crashed half way
            }
        }
        follow.into_iter().for_each(|input| self.drive(node, input));
        let next =
            self.nodes[node].engine.as_ref().and_then(Engine::next_tick).map(|at| at.max(self.now + 1));
        if let Some(at) = next.filter(|at| self.nodes[node].wake.is_none_or(|wake| *at < wake)) {
            self.nodes[node].wake = Some(at);
            self.at(at - self.now, Event::Wake { node });
        }
    }

    pub fn send(&mut self, node: usize, send: &Send) {
        let me = self.nodes[node].identity;
        if let Message::Proposal(p) = &send.message {
            self.proposed.entry(p.get().block_id()).or_insert(self.now);
        }
        for to in 0..self.nodes.len() {
            let identity = self.nodes[to].identity;
            let meant = match send.to {
                Recipient::All => identity != me,
                Recipient::One(one) => identity == one.0,
            };
            if !meant || self.cut.contains(&(node, to)) || self.random.chance(self.loss) {
                continue;
            }
            let said = match self.nodes[node].traitor {
                Some(traitor) => {
                    let last = self.nodes[node].disk.live.last_final();
                    traitor.say((me, identity), &last, send.message.clone(), &mut self.random)
                }
                None => vec![send.message.clone()],
            };
            for message in said {
                if let Message::Proposal(p) = &message {
                    self.proposed.entry(p.get().block_id()).or_insert(self.now);
                }
                for _ in 0..1 + u64::from(self.random.chance(self.duplicates)) {
                    let delay = self.random.below(self.delay) + 1;
                    self.at(delay, Event::Deliver { from: me, to, message: message.clone() });
                }
            }
        }
    }

    /// Whether every honest node has every batch.
    pub fn all_final(&self) -> bool {
        self.nodes.iter().filter(|node| node.traitor.is_none()).all(|node| {
            let count: usize = node.disk.live.chain.iter().map(|b| b.batches.len()).sum();
            count as u64 == self.submitted
        })
    }

    pub fn describe(&self) -> String {
        let line = |(i, node): (usize, &Node)| {
            let (height, pool) = (node.disk.live.chain.len(), &node.pool);
            format!("node {i} {:?}: height {height} pool {pool:?} {:?}\n", node.traitor, node.engine)
        };
        self.nodes.iter().enumerate().map(line).collect()
    }
}
