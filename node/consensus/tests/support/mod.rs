//! A cluster of engines in one thread from one seed: simulated clock, network and disk, stand-in signatures, and
//! execution reduced to "the header hash-links to its parent".
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use markstein_consensus::{
    AuthorityNumber, Body, Effect, Engine, Fact, FinalBlock, Input, Message, Now, Recipient, Send, Setup,
    Timing, Verdict, VoteSigner,
};
use markstein_proto::{
    BatchId, EpochId, Hash, Header, Height, LeafIndex, LedgerId, LogSize, Signature, TimeMs, View,
    consensus::{Ballot, CheckedCertificate, Scheme, Subject, Verifier},
};

pub const LEDGER: LedgerId = LedgerId(Hash([9; 32]));
pub const START: u64 = 1_790_000_000_000;

/// Small, fast, seeded: xorshift64*.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Stand-in signatures: a keyed hash.
#[derive(Clone, Copy, Debug)]
pub struct Keyed;

pub fn keyed(signer: u32, message: &[u8]) -> Signature {
    let half = Hash::of(&[b"stand-in", &signer.to_be_bytes(), message]).0;
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(&half);
    Signature(bytes)
}

impl Scheme for Keyed {
    fn verify(&self, signer: u32, message: &[u8], signature: &Signature) -> bool {
        keyed(signer, message) == *signature
    }
}

pub struct KeyedSigner(pub u32);

impl VoteSigner for KeyedSigner {
    fn sign(&self, subject: &Subject) -> Signature {
        keyed(self.0, &subject.signing_bytes(&LEDGER))
    }
}

pub fn verifier(n: u32) -> Verifier<Keyed> {
    Verifier::with_scheme(LEDGER, EpochId(0), n, Keyed)
}

pub fn genesis_block() -> FinalBlock {
    FinalBlock { id: Hash([1; 32]), view: View(0), height: Height(0), time: TimeMs(START) }
}

/// A block of `batches` on `parent`.
pub fn body(parent: &FinalBlock, view: u64, proposer: u32, time: u64, batches: &[u64]) -> Body {
    let batches: Vec<(BatchId, Hash)> = batches
        .iter()
        .map(|n| (BatchId(Hash::of(&[b"batch", &n.to_be_bytes()])), Hash::of(&[b"head", &n.to_be_bytes()])))
        .collect();
    let content = Hash::of(&batches.iter().flat_map(|b| [b.0.0.as_ref(), b.1.as_ref()]).collect::<Vec<_>>());
    let header = Header {
        epoch: EpochId(0),
        height: parent.height.next(),
        view: View(view),
        parent: parent.id,
        time: TimeMs(time),
        proposer,
        first_index: LeafIndex(0),
        size_before: LogSize(0),
        root_before: Hash::of(&[&parent.id.0, &content.0]),
        status_root: Hash::ZERO,
        authority_set: Hash::ZERO,
    };
    Body { header, batches }
}

pub fn final_block(header: &Header) -> FinalBlock {
    FinalBlock { id: header.block_id(), view: header.view, height: header.height, time: header.time }
}

/// What a node keeps over a crash.
#[derive(Clone, Default)]
pub struct Disk {
    pub synced: Vec<Fact>,
    pub unsynced: Vec<Fact>,
    pub chain: Vec<Body>,
    pub finalization: Option<CheckedCertificate>,
}

pub struct Node {
    pub engine: Option<Engine>,
    pub disk: Disk,
    /// Batches it knows of and that are not in its chain.
    pub pool: BTreeSet<u64>,
    pub bodies: BTreeMap<Hash, Body>,
    pub skew: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    Crashes,
}

enum Event {
    Deliver { from: u32, to: u32, message: Message },
    Fetch { from: u32, to: u32, block: Hash },
    Body { to: u32, body: Body },
    Sync { node: u32, certificate: CheckedCertificate },
    Restart { node: u32 },
    Wake { node: u32 },
    Submit { batch: u64 },
    Chaos,
}

pub struct Cluster {
    pub n: u32,
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
    pub cut: BTreeSet<(u32, u32)>,
    pub healed: bool,
    pub finalised: BTreeMap<u64, Hash>,
    pub votes: BTreeMap<(u32, u64, u8), Subject>,
    pub steps: u64,
    pub submitted: u64,
    pub down: BTreeSet<u32>,
    pub silent: BTreeSet<u32>,
}

fn kind(ballot: &Ballot) -> u8 {
    match ballot {
        Ballot::Notarize(_) => 0,
        Ballot::Nullify => 1,
        Ballot::Finalize(_) => 2,
    }
}

impl Cluster {
    pub fn new(seed: u64, n: u32) -> Self {
        let nodes = (0..n)
            .map(|_| Node {
                engine: None,
                disk: Disk::default(),
                pool: BTreeSet::new(),
                bodies: BTreeMap::new(),
                skew: 0,
            })
            .collect();
        let mut cluster = Self {
            n,
            nodes,
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
            finalised: BTreeMap::new(),
            votes: BTreeMap::new(),
            steps: 0,
            submitted: 0,
            down: BTreeSet::new(),
            silent: BTreeSet::new(),
        };
        for node in 0..n {
            cluster.start(node);
        }
        cluster
    }

    fn at(&mut self, delay: u64, event: Event) {
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

    pub fn chaos(&mut self, delay: u64) {
        self.at(delay, Event::Chaos);
    }

    pub fn start(&mut self, node: u32) {
        let now = self.time(node);
        let disk = &mut self.nodes[node as usize].disk;
        let last_final = disk.chain.last().map_or_else(genesis_block, |b| final_block(&b.header));
        let setup = Setup {
            epoch: EpochId(0),
            authorities: self.n,
            me: AuthorityNumber(node),
            voting: !self.silent.contains(&node),
            timing: Timing::default(),
            signer: Box::new(KeyedSigner(node)),
            last_final,
            finalization: disk.finalization.clone(),
        };
        let engine = Engine::new(setup, disk.synced.clone(), now);
        self.nodes[node as usize].engine = Some(engine);
        let admissible = !self.nodes[node as usize].pool.is_empty();
        self.drive(node, Input::Pool(admissible));
    }

    pub fn crash(&mut self, node: u32) {
        let state = &mut self.nodes[node as usize];
        state.engine = None;
        state.disk.unsynced.clear();
        state.bodies.clear();
        self.down.insert(node);
    }

    pub fn restart(&mut self, node: u32) {
        if self.down.remove(&node) {
            self.start(node);
        }
    }

    fn time(&self, node: u32) -> Now {
        let clock = (START + self.now).saturating_add_signed(self.nodes[node as usize].skew);
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
                self.step(event);
                self.steps += 1;
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
            Event::Deliver { from, to, message } => {
                let from = AuthorityNumber(from);
                let verifier = verifier(self.n);
                let input = match message {
                    Message::Vote(vote) => Input::Vote(verifier.vote(vote.get().clone()).unwrap()),
                    Message::Certificate(c) => {
                        Input::Certificate(from, verifier.certificate(c.get().clone()).unwrap())
                    }
                    Message::Proposal(p) => {
                        Input::Proposal(from, Box::new(verifier.proposal(p.get().clone()).unwrap()))
                    }
                };
                self.drive(to, input);
            }
            Event::Fetch { from, to, block } => {
                let state = &self.nodes[to as usize];
                let found = state
                    .bodies
                    .get(&block)
                    .cloned()
                    .or_else(|| state.disk.chain.iter().find(|b| b.header.block_id() == block).cloned());
                if let (Some(body), true) = (found, state.engine.is_some()) {
                    let delay = self.random.below(self.delay) + 1;
                    self.at(delay, Event::Body { to: from, body });
                }
            }
            Event::Body { to, body } => {
                self.drive(to, Input::Fetched(Box::new(body)));
            }
            Event::Sync { node, certificate } => self.sync(node, &certificate),
            Event::Restart { node } => self.restart(node),
            Event::Wake { node } => self.drive(node, Input::Tick),
            Event::Submit { batch } => {
                for node in 0..self.n {
                    if !self.nodes[node as usize].disk.chain.iter().any(|b| b.batches == batch_refs(batch)) {
                        self.nodes[node as usize].pool.insert(batch);
                        self.drive(node, Input::Pool(true));
                    }
                }
            }
            Event::Chaos => self.shake(),
        }
    }

    fn sync(&mut self, node: u32, certificate: &CheckedCertificate) {
        let target = certificate.subject().ballot.block().unwrap();
        for peer in 0..self.n {
            if peer == node || self.nodes[peer as usize].engine.is_none() || self.cut.contains(&(peer, node))
            {
                continue;
            }
            let chain = &self.nodes[peer as usize].disk.chain;
            let Some(at) = chain.iter().position(|b| b.header.block_id() == target) else { continue };
            let own = self.nodes[node as usize].disk.chain.len();
            if own > at {
                return;
            }
            let range: Vec<Body> = chain[own..=at].to_vec();
            for body in range {
                self.append(node, body);
            }
            self.nodes[node as usize].disk.finalization = Some(certificate.clone());
            let last = final_block(&self.nodes[node as usize].disk.chain.last().unwrap().header);
            return self.drive(node, Input::Synced(last, Box::new(certificate.clone())));
        }
    }

    /// Appends a final block to a node's chain and checks agreement.
    fn append(&mut self, node: u32, body: Body) {
        let state = &mut self.nodes[node as usize];
        let parent = state.disk.chain.last().map_or_else(|| genesis_block().id, |b| b.header.block_id());
        assert_eq!(body.header.parent, parent, "node {node}: a final block follows the one before it");
        let (height, id) = (body.header.height.0, body.header.block_id());
        let first = *self.finalised.entry(height).or_insert(id);
        assert_eq!(first, id, "node {node} finalised another block at height {height}");
        let state = &mut self.nodes[node as usize];
        state.pool.retain(|batch| !body.batches.contains(&batch_refs(*batch)[0]));
        for earlier in &state.disk.chain {
            for batch in &body.batches {
                assert!(!earlier.batches.contains(batch), "a batch is final once");
            }
        }
        state.disk.chain.push(body);
    }

    pub fn drive(&mut self, node: u32, input: Input) {
        let now = self.time(node);
        let Some(engine) = self.nodes[node as usize].engine.as_mut() else { return };
        engine.handle(now, input);
        let mut effects = VecDeque::new();
        while let Some(effect) = self.nodes[node as usize].engine.as_mut().and_then(Engine::poll_effect) {
            effects.push_back(effect);
        }
        let mut follow = Vec::new();
        for effect in effects {
            self.run_effect(node, effect, &mut follow);
        }
        for input in follow {
            self.drive(node, input);
        }
        if let Some(at) = self.nodes[node as usize].engine.as_ref().and_then(Engine::next_tick) {
            let delay = at.saturating_sub(self.now).max(1);
            self.at(delay, Event::Wake { node });
        }
    }

    fn run_effect(&mut self, node: u32, effect: Effect, follow: &mut Vec<Input>) {
        match effect {
            Effect::Commit { facts, then } => {
                for fact in &facts {
                    if let Fact::Voted(vote) = fact {
                        self.check_vote(node, vote.subject());
                    }
                    if let Fact::Block(p) = fact {
                        let body = Body { header: p.get().header.clone(), batches: p.get().batches.clone() };
                        self.nodes[node as usize].bodies.insert(body.header.block_id(), body);
                    }
                }
                let disk = &mut self.nodes[node as usize].disk;
                let unsynced = std::mem::take(&mut disk.unsynced);
                disk.synced.extend(unsynced);
                disk.synced.extend(facts);
                then.into_iter().for_each(|send| self.send(node, send));
            }
            Effect::Record(fact) => self.nodes[node as usize].disk.unsynced.push(fact),
            Effect::Send(send) => self.send(node, send),
            Effect::Build { view, parent, batches } => {
                let body = self.build(node, view, parent, batches);
                follow.push(Input::Built(view, body.map(Box::new)));
            }
            Effect::Check(block) => {
                let engine = self.nodes[node as usize].engine.as_ref().unwrap();
                let (header, batches) = engine.body(&block).unwrap();
                let body = Body { header: header.clone(), batches: batches.to_vec() };
                let valid = self.is_valid(node, &body);
                self.nodes[node as usize].bodies.insert(block, body);
                let verdict = if valid { Verdict::Valid } else { Verdict::Invalid };
                follow.push(Input::Checked(block, verdict));
            }
            Effect::Fetch(block) => {
                for to in (0..self.n).filter(|to| *to != node) {
                    if !self.cut.contains(&(node, to)) && !self.random.clone().chance(self.loss) {
                        let delay = self.random.below(self.delay) + 1;
                        self.at(delay, Event::Fetch { from: node, to, block });
                    }
                }
            }
            Effect::Sync(certificate) => {
                let delay = self.random.below(self.delay) + 1;
                self.at(delay, Event::Sync { node, certificate });
            }
            Effect::Finalized { blocks, certificate } => {
                for block in blocks {
                    let body = self.nodes[node as usize].bodies.get(&block).cloned().expect("checked before");
                    self.append(node, body);
                }
                let state = &mut self.nodes[node as usize];
                state.disk.finalization = Some(certificate);
                let last = state.disk.chain.last().unwrap().header.view;
                state.disk.synced.retain(|fact| fact.view() > last);
                state.disk.unsynced.retain(|fact| fact.view() > last);
                state.bodies.retain(|_, body| body.header.view > last);
                let admissible = !state.pool.is_empty();
                follow.push(Input::Pool(admissible));
            }
            Effect::Evidence(evidence) => panic!("node {node} holds evidence: {evidence:?}"),
            Effect::Amnesia(vote) => panic!("node {node} does not remember {vote:?}"),
            Effect::Diverged(divergence) => panic!("node {node} diverged: {divergence:?}"),
        }
    }

    fn check_vote(&mut self, node: u32, subject: Subject) {
        let first = *self.votes.entry((node, subject.view.0, kind(&subject.ballot))).or_insert(subject);
        assert_eq!(first, subject, "node {node} voted twice in one view");
        let has = |k| self.votes.contains_key(&(node, subject.view.0, k));
        assert!(!(has(1) && has(2)), "node {node} nullified and finalised view {}", subject.view);
    }

    fn parent_of(&self, node: u32, parent: &Hash) -> Option<(FinalBlock, Vec<Body>)> {
        let state = &self.nodes[node as usize];
        let mut above = Vec::new();
        let mut id = *parent;
        let base = state.disk.chain.last().map_or_else(genesis_block, |b| final_block(&b.header));
        while id != base.id {
            let body = state.bodies.get(&id)?;
            above.push(body.clone());
            id = body.header.parent;
        }
        Some((above.first().map_or(base, |b| final_block(&b.header)), above))
    }

    fn build(&self, node: u32, view: View, parent: Hash, batches: bool) -> Option<Body> {
        let (parent, above) = self.parent_of(node, &parent).expect("the engine builds on valid parents");
        let taken = |batch: &u64| above.iter().any(|b| b.batches.contains(&batch_refs(*batch)[0]));
        let pool = &self.nodes[node as usize].pool;
        let chosen: Vec<u64> =
            if batches { pool.iter().copied().filter(|b| !taken(b)).take(3).collect() } else { vec![] };
        if batches && chosen.is_empty() {
            return None;
        }
        let time = self.time(node).clock.0.max(parent.time.0 + 1);
        Some(body(&parent, view.0, node, time, &chosen))
    }

    fn is_valid(&self, node: u32, block: &Body) -> bool {
        let Some((parent, _)) = self.parent_of(node, &block.header.parent) else { return false };
        let again = body(&parent, block.header.view.0, block.header.proposer, block.header.time.0, &[]);
        block.header.time > parent.time
            && block.header.height == parent.height.next()
            && again.header.parent == block.header.parent
    }

    fn send(&mut self, node: u32, send: Send) {
        let all = 0..self.n;
        let to: Vec<u32> = match send.to {
            Recipient::All => all.filter(|to| *to != node).collect(),
            Recipient::One(one) => vec![one.0],
        };
        for to in to {
            if self.cut.contains(&(node, to)) || self.random.chance(self.loss) {
                continue;
            }
            let copies = 1 + u64::from(self.random.chance(self.duplicates));
            for _ in 0..copies {
                let delay = self.random.below(self.delay) + 1;
                self.at(delay, Event::Deliver { from: node, to, message: send.message.clone() });
            }
        }
    }

    /// One fault, and the next one planned.
    fn shake(&mut self) {
        if self.healed {
            return;
        }
        let faults = (self.n - 1) / 3;
        match self.random.below(10) {
            0..=3 => {
                let node = self.random.below(u64::from(self.n)) as u32;
                if !self.down.contains(&node) {
                    self.crash(node);
                    let delay = self.random.below(4000) + 1;
                    self.at(delay, Event::Restart { node });
                }
            }
            4 => {
                for node in 0..self.n {
                    if !self.down.contains(&node) {
                        self.crash(node);
                        let delay = self.random.below(3000) + 1;
                        self.at(delay, Event::Restart { node });
                    }
                }
            }
            5..=6 => {
                self.cut.clear();
                let side: Vec<bool> = (0..self.n).map(|_| self.random.chance(50)).collect();
                for a in 0..self.n {
                    for b in 0..self.n {
                        if side[a as usize] != side[b as usize] {
                            self.cut.insert((a, b));
                        }
                    }
                }
            }
            7 => {
                let (a, b) = (self.random.below(u64::from(self.n)), self.random.below(u64::from(self.n)));
                self.cut.insert((a as u32, b as u32)); // one way
            }
            8 => self.cut.clear(),
            _ => self.loss = self.random.below(40),
        }
        let _ = faults;
        let delay = self.random.below(2500) + 200;
        self.chaos(delay);
    }

    pub fn heal(&mut self) {
        self.healed = true;
        self.cut.clear();
        self.loss = 0;
        for node in 0..self.n {
            self.restart(node);
        }
    }

    pub fn all_final(&self) -> bool {
        self.nodes.iter().all(|node| {
            let count: usize = node.disk.chain.iter().map(|b| b.batches.len()).sum();
            count as u64 == self.submitted
        })
    }

    pub fn pending(&self) -> usize {
        self.queue.len()
    }

    pub fn describe(&self) -> String {
        let line = |(i, node): (usize, &Node)| {
            format!(
                "node {i}: height {} pool {:?} engine {:?}\n",
                node.disk.chain.len(),
                node.pool,
                node.engine
            )
        };
        self.nodes.iter().enumerate().map(line).collect()
    }
}

pub fn batch_refs(batch: u64) -> Vec<(BatchId, Hash)> {
    body(&genesis_block(), 1, 0, START, &[batch]).batches
}
