//! All states of four authorities, breadth first: what each sent and knows, and by that what the network can deliver.

use std::{
    collections::HashSet,
    hash::{BuildHasherDefault, Hasher},
    time::{Duration, Instant},
};

use super::{
    Mutant,
    locals::Locals,
    world::{AUTHORITIES, Blocks, QUORUM, Subjects, World, numbers},
};

/// One exploration.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub views: u64,
    pub traitor: Option<u32>,
    /// Who loses its power once, at any time.
    pub crash: Option<u32>,
    pub mutant: Mutant,
    /// Looks for forks only: a node that breaks another rule goes on, unless it stops itself.
    pub forks_only: bool,
}

/// What was explored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub states: usize,
    pub transitions: u64,
    pub depth: usize,
    /// States of single authorities, and runs of an engine that found them.
    pub locals: usize,
    pub runs: u64,
    pub final_blocks: u32,
    pub time: Duration,
}

/// What went wrong, and the way to it.
#[derive(Clone, Debug)]
pub struct Violation {
    pub fault: String,
    pub trace: Vec<String>,
}

/// Packed states need a hash that spreads, not one that defends.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        self.0 ^= self.0 >> 32;
    }
}

struct Search<'a> {
    world: &'a World,
    plan: Plan,
    /// Honest authorities, and which of `roles` each is.
    honest: Vec<u32>,
    role_of: Vec<usize>,
    roles: Vec<Locals<'a>>,
    seen: HashSet<u64, BuildHasherDefault<Spread>>,
    /// Every state and the one before it.
    order: Vec<(u64, u32)>,
    count: Count,
}

/// Explores a plan to its end.
///
/// # Errors
/// The first violation, on a shortest way.
pub fn explore(plan: Plan) -> Result<Count, Box<Violation>> {
    let begin = Instant::now();
    let world = World::new(plan.views, plan.traitor, plan.forks_only);
    let mut search = Search::new(&world, plan);
    search.run()?;
    let mut count = search.count;
    count.states = search.order.len();
    count.locals = search.roles.iter().map(|role| role.states.len()).sum();
    count.runs = search.roles.iter().map(|role| role.runs).sum();
    count.time = begin.elapsed();
    Ok(count)
}

impl<'a> Search<'a> {
    fn new(world: &'a World, plan: Plan) -> Self {
        let honest: Vec<u32> = (0..AUTHORITIES).filter(|who| Some(*who) != plan.traitor).collect();
        // Those who lead no view within the bound, and are not the one that crashes, are alike.
        let alike = |who: u32| u64::from(who) >= plan.views && Some(who) != plan.crash;
        let (mut roles, mut role_of) = (Vec::new(), Vec::new());
        for who in &honest {
            let same = honest.iter().position(|other| alike(*other) && alike(*who) && other < who);
            let role = same.map_or(roles.len(), |other| role_of[other]);
            if role == roles.len() {
                roles.push(Locals::new(world, *who, plan.mutant, plan.crash == Some(*who)));
            }
            role_of.push(role);
        }
        Self {
            world,
            plan,
            honest,
            role_of,
            roles,
            seen: HashSet::default(),
            order: Vec::new(),
            count: Count::default(),
        }
    }

    fn bits(&self) -> usize {
        64 / self.honest.len()
    }

    /// One word for a state; those who are alike are interchangeable.
    fn pack(&self, mut locals: Vec<u32>) -> u64 {
        for at in 1..locals.len() {
            let mut to = at;
            while to > 0 && self.role_of[to - 1] == self.role_of[to] && locals[to - 1] > locals[to] {
                locals.swap(to - 1, to);
                to -= 1;
            }
        }
        assert!(
            locals.iter().all(|local| u64::from(*local) < 1 << self.bits()),
            "too many states of one node"
        );
        locals.iter().fold(0, |word, local| word << self.bits() | u64::from(*local))
    }

    fn unpack(&self, word: u64) -> Vec<u32> {
        let (bits, count) = (self.bits(), self.honest.len());
        let part = |at: usize| word >> (bits * (count - 1 - at)) & ((1 << bits) - 1);
        (0..count).map(|at| u32::try_from(part(at)).expect("fewer bits")).collect()
    }

    /// What has a quorum of votes, the traitor's included, and what leaders proposed.
    fn said(&self, locals: &[u32]) -> (Subjects, Blocks) {
        let sent = |at: usize| self.roles[self.role_of[at]].states[locals[at] as usize].key.sent;
        // `by[k]` has a quorum if the traitor and k more vote so.
        let need = QUORUM - usize::from(self.plan.traitor.is_some());
        let mut by = vec![0; need + 1];
        by[0] = u64::MAX;
        for votes in (0..locals.len()).map(sent) {
            (1..=need).rev().for_each(|k| by[k] |= by[k - 1] & votes);
        }
        let any = (0..locals.len()).map(sent).fold(0, |all, sent| all | sent);
        let mut proposed = 0;
        for (number, block) in self.world.blocks.iter().enumerate() {
            let by_traitor = Some(block.proposal.get().header.proposer) == self.plan.traitor;
            if by_traitor || any & 1 << self.world.notarize(number) != 0 && self.leader_said(locals, number) {
                proposed |= 1 << number;
            }
        }
        (by[need], proposed)
    }

    fn leader_said(&self, locals: &[u32], block: usize) -> bool {
        let leader = self.world.blocks[block].proposal.get().header.proposer;
        let at = self.honest.iter().position(|who| *who == leader).expect("the traitor's are known");
        let key = &self.roles[self.role_of[at]].states[locals[at] as usize].key;
        key.sent & 1 << self.world.notarize(block) != 0
    }

    fn run(&mut self) -> Result<(), Box<Violation>> {
        let first = self.pack(vec![0; self.honest.len()]);
        self.seen.insert(first);
        self.order.push((first, 0));
        let (mut at, mut level_end) = (0, 1);
        while at < self.order.len() {
            if at == level_end {
                self.count.depth += 1;
                level_end = self.order.len();
            }
            self.expand(at)?;
            at += 1;
        }
        Ok(())
    }

    fn expand(&mut self, at: usize) -> Result<(), Box<Violation>> {
        let locals = self.unpack(self.order[at].0);
        let (certified, proposed) = self.said(&locals);
        let mut finals: Vec<Blocks> = Vec::with_capacity(locals.len());
        for (node, local) in locals.iter().enumerate() {
            let next = self.roles[self.role_of[node]].next(*local, certified, proposed);
            if let Some((moves, fault)) = next.fault.as_ref().filter(|_| !self.plan.forks_only) {
                let moves: Vec<String> = moves.iter().map(|step| self.world.describe(*step)).collect();
                let last = format!("authority {}: {}", self.honest[node], moves.join("; "));
                return Err(self.violation(at, fault.clone(), Some(last)));
            }
            finals.push(next.finals);
            for (to, _) in &next.reached {
                self.count.transitions += 1;
                let mut reached = locals.clone();
                reached[node] = *to;
                let word = self.pack(reached);
                if self.seen.insert(word) {
                    self.order.push((word, u32::try_from(at).expect("few states")));
                }
            }
        }
        self.agree(at, &finals)
    }

    /// Agreement: what one holds for final, or may by what was said, forks from nobody else's.
    fn agree(&mut self, at: usize, finals: &[Blocks]) -> Result<(), Box<Violation>> {
        let all = finals.iter().fold(0, |all, blocks| all | blocks);
        self.count.final_blocks = self.count.final_blocks.max(all.count_ones());
        for (node, here) in finals.iter().enumerate() {
            for (other, there) in finals.iter().enumerate().skip(node + 1) {
                if self.world.fork(*here, *there) {
                    let names =
                        |set: Blocks| numbers(set).map(|b| self.world.block_name(b)).collect::<Vec<_>>();
                    let (one, two) = (self.honest[node], self.honest[other]);
                    let fault =
                        format!("fork: {one} may finalise {:?} and {two} {:?}", names(*here), names(*there));
                    return Err(self.violation(at, fault, None));
                }
            }
        }
        Ok(())
    }

    /// The way to a state, in words. Who are alike may have changed places between two lines.
    fn violation(&mut self, at: usize, fault: String, last: Option<String>) -> Box<Violation> {
        let mut path = vec![at];
        while let Some(from) = path.last().copied().filter(|state| *state != 0) {
            path.push(self.order[from].1 as usize);
        }
        path.reverse();
        let mut trace: Vec<String> = Vec::new();
        for pair in path.windows(2) {
            trace.push(self.describe(pair[0], pair[1]));
        }
        trace.extend(last);
        Box::new(Violation { fault, trace })
    }

    fn describe(&mut self, from: usize, to: usize) -> String {
        let (locals, target) = (self.unpack(self.order[from].0), self.order[to].0);
        let (certified, proposed) = self.said(&locals);
        for (node, local) in locals.iter().enumerate() {
            let role = self.role_of[node];
            let next = self.roles[role].next(*local, certified, proposed);
            for (reached, moves) in &next.reached {
                let mut after = locals.clone();
                after[node] = *reached;
                if self.pack(after) == target {
                    let sent = |state: u32| self.roles[role].states[state as usize].key.sent;
                    let new = numbers(sent(*reached) & !sent(*local)).map(|s| self.world.name(s));
                    let moves: Vec<String> = moves.iter().map(|step| self.world.describe(*step)).collect();
                    let (who, new) = (self.honest[node], new.collect::<Vec<_>>().join(", "));
                    return format!("authority {who}: {} -> {new}", moves.join("; "));
                }
            }
        }
        String::from("?")
    }
}
