//! The states of one authority and what leads from each to which, found by running the engine and remembered.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use markstein_consensus::AuthorityNumber;

use super::{
    Mutant,
    node::{Fault, Key, Move, Node, Step, Way},
    world::{Blocks, Subjects, World, numbers},
};

/// How many other histories of a state are compared with the one it is known by.
const OTHERS: usize = 2;

/// Where a move leads.
#[derive(Clone, Debug)]
enum Edge {
    /// A state, and how many writes this history has made by then.
    To(u32, usize),
    Fault(Fault),
}

/// One state.
pub struct State {
    pub key: Key,
    /// How it was reached first, and in which other ways.
    by: Option<(u32, Move)>,
    others: Vec<(u32, Move)>,
    /// Writes that are durable, and all.
    synced: usize,
    written: usize,
    edges: HashMap<Move, Edge>,
}

/// What a node may do with what has been said: the states it may reach with its next vote or crash.
#[derive(Default)]
pub struct Next {
    pub reached: Vec<(u32, Vec<Move>)>,
    /// What it may hold for final before that.
    pub finals: Blocks,
    pub fault: Option<(Vec<Move>, Fault)>,
}

/// The states of the authorities that are alike.
pub struct Locals<'a> {
    world: &'a World,
    me: AuthorityNumber,
    mutant: Mutant,
    pub crashable: bool,
    index: HashMap<Key, u32>,
    pub states: Vec<State>,
    next: HashMap<(u32, Subjects, Blocks), Rc<Next>>,
    /// Runs of an engine from its start.
    pub runs: u64,
}

impl<'a> Locals<'a> {
    pub fn new(world: &'a World, me: u32, mutant: Mutant, crashable: bool) -> Self {
        let mut locals = Self {
            world,
            me: AuthorityNumber(me),
            mutant,
            crashable,
            index: HashMap::new(),
            states: Vec::new(),
            next: HashMap::new(),
            runs: 0,
        };
        let node = locals.replay(&[], Way::Plain).expect("a node starts");
        locals.intern(&node, None);
        locals
    }

    fn intern(&mut self, node: &Node, by: Option<(u32, Move)>) -> u32 {
        let key = node.key(self.crashable);
        if let Some(known) = self.index.get(&key) {
            return *known;
        }
        let id = u32::try_from(self.states.len()).expect("few states");
        self.index.insert(key.clone(), id);
        let (synced, written) = (node.synced, node.written());
        self.states.push(State { key, by, others: Vec::new(), synced, written, edges: HashMap::new() });
        id
    }

    fn path(&self, state: u32, last: Move) -> Vec<Move> {
        let mut path = vec![last];
        let mut at = state;
        while let Some((from, by)) = self.states[at as usize].by {
            path.push(by);
            at = from;
        }
        path.reverse();
        path
    }

    fn replay(&mut self, path: &[Move], way: Way) -> Result<Node<'a>, Fault> {
        self.runs += 1;
        let mut node = Node::new(self.world, self.me, self.mutant, way)?;
        for (at, next) in path.iter().enumerate() {
            node.make(*next, at + 1 == path.len())?;
        }
        Ok(node)
    }

    /// Makes a move from a state, in every way it can be made; all have to give the same.
    fn edge(&mut self, state: u32, next: Move) -> Edge {
        if let Some(edge) = self.states[state as usize].edges.get(&next) {
            return edge.clone();
        }
        let path = self.path(state, next);
        let edge = match self.replay(&path, Way::Plain) {
            Ok(node) => {
                let to = self.intern(&node, Some((state, next)));
                let reached = Edge::To(to, node.written());
                self.compare_ways(&path, next, &node.key(self.crashable)).map_or(reached, Edge::Fault)
            }
            Err(fault) => Edge::Fault(fault),
        };
        self.states[state as usize].edges.insert(next, edge.clone());
        for (from, by) in self.states[state as usize].others.clone() {
            self.compare_histories(state, next, &edge, from, by);
        }
        if let Edge::To(to, _) = edge {
            self.add_history(to, state, next);
        }
        edge
    }

    fn compare_ways(&mut self, path: &[Move], next: Move, key: &Key) -> Option<Fault> {
        if self.mutant != Mutant::None {
            return None; // a broken rule may well tell them apart
        }
        let ways: &[Way] = match next {
            Move::Step(Step::Certified(_)) => &[Way::WithoutOwn, Way::Votes, Way::VotesBackwards],
            _ => &[],
        };
        ways.iter().find_map(|way| match self.replay(path, *way) {
            Ok(node) if node.key(self.crashable) == *key => None,
            Ok(node) => Some(format!(
                "{next:?} in the way {way:?} gives {:?}, else {key:?}",
                node.key(self.crashable)
            )),
            Err(fault) => Some(format!("{next:?} in the way {way:?}: {fault}")),
        })
    }

    fn add_history(&mut self, to: u32, from: u32, by: Move) {
        let state = &mut self.states[to as usize];
        if state.by == Some((from, by)) || state.others.len() >= OTHERS || self.mutant != Mutant::None {
            return;
        }
        state.others.push((from, by));
        for (next, edge) in state.edges.clone() {
            self.compare_histories(to, next, &edge, from, by);
        }
    }

    /// Two histories that were taken for one state must go on alike.
    fn compare_histories(&mut self, state: u32, next: Move, edge: &Edge, from: u32, by: Move) {
        if !matches!(next, Move::Step(_)) {
            return; // the number of writes may differ
        }
        let mut path = self.path(from, by);
        path.push(next);
        let other = self.replay(&path, Way::Plain).map(|node| node.key(self.crashable));
        match (edge, other) {
            (Edge::To(to, _), Ok(key)) => {
                assert_eq!(
                    self.states[*to as usize].key, key,
                    "state {state}: two histories differ in {next:?}"
                );
            }
            (Edge::Fault(_), Err(_)) => {}
            (edge, other) => panic!("state {state}: {next:?} gives {edge:?} and {other:?}"),
        }
    }

    /// Steps that may change something at a state, where these certificates and proposals can be had.
    fn steps(&self, state: u32, certified: Subjects, proposed: Blocks) -> Vec<Step> {
        let State { key, .. } = &self.states[state as usize];
        let inside = key.view <= self.world.views;
        let timeout = (inside && !key.timed_out).then_some(Step::Timeout);
        let built = key.building.map(|_| Step::Built);
        let current = move |block: &usize| self.world.blocks[*block].view == key.view;
        let proposals = numbers(proposed).filter(current).map(Step::Proposal);
        let certificates = numbers(certified & !key.known).map(Step::Certified);
        timeout.into_iter().chain(built).chain(proposals).chain(certificates).collect()
    }

    /// All that a node can do up to its next vote.
    pub fn next(&mut self, state: u32, certified: Subjects, proposed: Blocks) -> Rc<Next> {
        let State { key, .. } = &self.states[state as usize];
        let (view, certified) = (key.view, certified & !key.known);
        let proposed = numbers(proposed).filter(|block| self.world.blocks[*block].view >= view);
        let proposed = proposed.fold(0, |set, block| set | 1 << block);
        if let Some(next) = self.next.get(&(state, certified, proposed)) {
            return Rc::clone(next);
        }
        let next = Rc::new(self.search(state, certified, proposed));
        self.next.insert((state, certified, proposed), Rc::clone(&next));
        next
    }

    fn search(&mut self, state: u32, certified: Subjects, proposed: Blocks) -> Next {
        let mut found = Next::default();
        let mut silent: Vec<(u32, Vec<Move>)> = vec![(state, Vec::new())];
        let mut before: HashMap<u32, Vec<(u32, Move)>> = HashMap::new();
        let mut loud: Vec<(u32, Move, u32, Vec<Move>)> = Vec::new();
        let mut at = 0;
        while at < silent.len() {
            let (from, path) = silent[at].clone();
            at += 1;
            found.finals |= self.states[from as usize].key.finals;
            for step in self.steps(from, certified, proposed) {
                let next = Move::Step(step);
                let path: Vec<Move> = path.iter().copied().chain([next]).collect();
                let (to, written) = match self.edge(from, next) {
                    Edge::To(to, written) => (to, written),
                    Edge::Fault(fault) => {
                        found.fault.get_or_insert((path, fault));
                        continue;
                    }
                };
                self.crash_during(from, step, written, &path, &mut found);
                if self.states[to as usize].key.sent != self.states[from as usize].key.sent {
                    loud.push((from, next, to, path));
                } else if to != from && !matches!(step, Step::Proposal(_)) {
                    let known = before.contains_key(&to) || to == state;
                    before.entry(to).or_default().push((from, next));
                    if !known {
                        silent.push((to, path));
                    }
                }
            }
            self.crash_between(from, &path, &mut found);
        }
        let mut seen: HashSet<u32> = found.reached.iter().map(|(to, _)| *to).collect();
        for (from, next, to, path) in loud {
            let early = before.get(&from).cloned().unwrap_or_default();
            let postponed = early.into_iter().any(|(start, quiet)| self.commutes(start, quiet, next, to));
            if !postponed && seen.insert(to) {
                found.reached.push((to, path));
            }
        }
        found
    }

    /// Whether the vote could have been cast first, and the quiet step made after it, to the same end.
    fn commutes(&mut self, start: u32, quiet: Move, vote: Move, end: u32) -> bool {
        let Edge::To(voted, _) = self.edge(start, vote) else { return false };
        let sent = |locals: &Self, state: u32| locals.states[state as usize].key.sent;
        sent(self, voted) == sent(self, end)
            && matches!(self.edge(voted, quiet), Edge::To(to, _) if to == end)
    }

    fn crash_between(&mut self, from: u32, path: &[Move], found: &mut Next) {
        let State { synced, written, .. } = self.states[from as usize];
        (synced..=written).for_each(|kept| self.crash(from, None, kept, path, found));
    }

    /// In the middle of a step: what it wrote is on the disk in part.
    fn crash_during(&mut self, from: u32, step: Step, after: usize, path: &[Move], found: &mut Next) {
        let before = self.states[from as usize].written;
        let path = &path[..path.len() - 1];
        (before + 1..after).for_each(|kept| self.crash(from, Some(step), kept, path, found));
    }

    fn crash(&mut self, from: u32, during: Option<Step>, kept: usize, path: &[Move], found: &mut Next) {
        if !self.crashable || self.states[from as usize].key.crashed {
            return;
        }
        let next = Move::Crash { during, kept };
        let path: Vec<Move> = path.iter().copied().chain([next]).collect();
        match self.edge(from, next) {
            Edge::To(to, _) => {
                if found.reached.iter().all(|(known, _)| *known != to) {
                    found.reached.push((to, path));
                }
            }
            Edge::Fault(fault) => {
                found.fault.get_or_insert((path, fault));
            }
        }
    }
}
