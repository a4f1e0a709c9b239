//! Random inputs with valid signatures against one engine of four, one authority being faulty: its invariants hold.

use std::collections::{BTreeMap, BTreeSet};

use markstein_consensus::{AuthorityNumber, Body, Effect, Fact, FinalBlock, Input, Message, Verdict};
use markstein_proto::{
    Hash, View,
    consensus::{Ballot, CheckedCertificate, CheckedVote},
};

use super::dsl::*;
use crate::support::{Disk, Random, Write, certificate, vote};

const ME: u32 = D;

/// Everybody else: the votes A and B cast as honest ones do, and C casts at will. The fuzz target of the engine has it
/// too, with the fuzzer's bytes in place of the seeded generator.
pub struct World {
    random: Random,
    probe: Probe,
    disk: Disk,
    blocks: Vec<Body>,
    cast: BTreeMap<(u32, u64, u8), Ballot>,
    /// The votes of this node that left it.
    sent: BTreeMap<(u64, u8), Ballot>,
    certificates: Vec<CheckedCertificate>,
    last_final: FinalBlock,
    open: Vec<Effect>,
}

const fn kind(ballot: &Ballot) -> u8 {
    match ballot {
        Ballot::Notarize(_) => 0,
        Ballot::Nullify => 1,
        Ballot::Finalize(_) => 2,
    }
}

impl World {
    pub fn new(random: Random) -> Self {
        Self {
            random,
            probe: authority(ME),
            disk: Disk::default(),
            blocks: vec![],
            cast: BTreeMap::new(),
            sent: BTreeMap::new(),
            certificates: vec![],
            last_final: first(),
            open: vec![],
        }
    }

    fn has(&self, view: u64, ballot: Ballot) -> bool {
        self.certificates.iter().any(|c| c.view().0 == view && c.subject().ballot == ballot)
    }

    /// Whether an honest authority may vote so: as the rules are, with all certificates of the world at hand.
    fn honest(&self, signer: u32, view: u64, ballot: Ballot) -> bool {
        let before = |k| self.cast.get(&(signer, view, k));
        match ballot {
            Ballot::Notarize(id) => before(0).is_none_or(|b| *b == ballot) && self.may_follow(id, view),
            Ballot::Nullify => before(2).is_none(),
            Ballot::Finalize(id) => before(1).is_none() && self.has(view, Ballot::Notarize(id)),
        }
    }

    fn may_follow(&self, id: Hash, view: u64) -> bool {
        let Some(body) = self.blocks.iter().find(|b| b.header.block_id() == id) else { return false };
        let parent = self.blocks.iter().find(|b| b.header.block_id() == body.header.parent);
        let at = parent.map_or(0, |parent| parent.header.view.0);
        (at == 0 || self.has(at, Ballot::Notarize(body.header.parent)))
            && (at + 1..view).all(|between| self.has(between, Ballot::Nullify))
    }

    fn any_block(&mut self) -> Option<Body> {
        let all = self.blocks.len().min(12) as u64;
        (all > 0).then(|| self.blocks[self.blocks.len() - 1 - self.random.below(all) as usize].clone())
    }

    pub fn step(&mut self) {
        self.probe.tick += self.random.below(300);
        match self.random.below(100) {
            0..=14 => self.propose(),
            15..=59 => self.vote(),
            60..=69 => {
                let some = self.certificates.iter().rev().take(10).cloned().collect::<Vec<_>>();
                if !some.is_empty() {
                    let one = self.random.below(some.len() as u64) as usize;
                    let from = AuthorityNumber(self.random.below(3) as u32);
                    self.give(Input::Certificate(from, some[one].clone()));
                }
            }
            70..=87 => self.answer(),
            88..=92 => self.give(Input::Tick),
            93..=94 => {
                let full = self.random.chance(50);
                self.give(Input::Pool(full));
            }
            95..=96 => {
                if let Some(body) = self.any_block() {
                    let from = AuthorityNumber(self.random.below(3) as u32);
                    self.give(Input::Fetched(from, Box::new(body)));
                }
            }
            _ => self.restart(),
        }
        let (views, blocks) = self.probe.engine.size();
        let span = self.probe.view() - self.last_final.view.0;
        assert!(
            views as u64 <= span + 65 && blocks as u64 <= 4 * (span + 9),
            "{views} views, {blocks} blocks"
        );
    }

    fn propose(&mut self) {
        let view = self.probe.view().max(1) + self.random.below(2);
        let parent = self.any_block().filter(|b| b.header.view.0 < view && self.random.clone().chance(80));
        let parent = parent.map_or(self.last_final, |body| as_parent(&body));
        let leader = ((view - 1) % 4) as u32;
        let known = self.blocks.iter().any(|b| b.header.view.0 == view);
        if leader == ME || known && leader != C {
            return; // honest leaders propose once
        }
        let body = if self.random.chance(50) { empty(view, &parent) } else { block(view, &parent) };
        self.blocks.push(body.clone());
        let proposal = proposed(&body, None, &[]);
        self.cast.entry((leader, view, 0)).or_insert(Ballot::Notarize(id(&body)));
        self.give(Input::Proposal(AuthorityNumber(leader), Box::new(proposal)));
    }

    fn vote(&mut self) {
        let signer = self.random.below(3) as u32;
        let body = self.any_block();
        let (view, ballot) = match (self.random.below(5), body) {
            (0 | 1, Some(body)) => (body.header.view.0, Ballot::Notarize(id(&body))),
            (2 | 3, Some(body)) => (body.header.view.0, Ballot::Finalize(id(&body))),
            _ => (self.probe.view().saturating_sub(self.random.below(2)).max(1), Ballot::Nullify),
        };
        if signer != C && !self.honest(signer, view, ballot) {
            return;
        }
        self.cast.insert((signer, view, kind(&ballot)), ballot);
        self.form(view, ballot);
        self.give(Input::Vote(AuthorityNumber(signer), vote(signer, view, ballot)));
    }

    /// Certificates exist where two honest votes, this node's included, and C's make a quorum.
    fn form(&mut self, view: u64, ballot: Ballot) {
        let own = self.sent.get(&(view, kind(&ballot))) == Some(&ballot);
        let cast = |who: &u32| self.cast.get(&(*who, view, kind(&ballot))) == Some(&ballot);
        let mut signers: Vec<u32> = [A, B].into_iter().filter(cast).chain(own.then_some(ME)).collect();
        if signers.len() >= 2 && !self.has(view, ballot) {
            signers.push(C);
            signers.sort_unstable();
            self.certificates.push(certificate(&signers, view, ballot));
        }
    }

    fn answer(&mut self) {
        let Some(effect) = self.open.pop() else { return };
        match effect {
            Effect::Check(id) => self.give(Input::Checked(id, Verdict::Valid)),
            Effect::Build { view, parent, batches } => {
                let on = self.blocks.iter().find(|b| b.header.block_id() == parent);
                let on = on.map_or(self.last_final, as_parent);
                let body = if batches { block(view.0, &on) } else { empty(view.0, &on) };
                self.blocks.push(body.clone());
                self.give(Input::Built(view, Some(Box::new(body))));
            }
            Effect::Fetch(id) => {
                if let Some(body) = self.blocks.iter().find(|b| b.header.block_id() == id).cloned() {
                    self.give(Input::Fetched(AuthorityNumber(A), Box::new(body)));
                }
            }
            _ => {}
        }
    }

    fn restart(&mut self) {
        let kept = self.random.below(self.disk.pending() as u64 + 1) as usize;
        self.disk.crash(kept);
        let tick = self.probe.tick;
        let live = &self.disk.live;
        self.last_final = live.last_final();
        self.probe = started(4, ME, live.facts.clone(), live.last_final(), live.finalization.clone());
        self.probe.tick = tick;
        self.open.clear();
        let effects = self.probe.effects();
        self.run(effects);
    }

    fn give(&mut self, input: Input) {
        let effects = self.probe.take(input);
        self.run(effects);
    }

    fn run(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Commit { facts, then } => {
                    self.disk.write(Write::Facts(facts));
                    self.disk.sync();
                    for send in then {
                        match send.message {
                            Message::Vote(vote) => self.left(&vote),
                            Message::Proposal(p) => self.left(&p.vote()),
                            Message::Certificate(_) => {}
                        }
                    }
                }
                Effect::Record(fact) => self.disk.write(Write::Facts(vec![fact])),
                Effect::Finalized { blocks, certificate } => self.finalized(&blocks, certificate),
                Effect::Amnesia(vote) => panic!("does not remember {vote:?}"),
                Effect::Diverged(divergence) => panic!("{divergence:?}"),
                Effect::Evidence(evidence) => assert_eq!(evidence.first.get().signer, C),
                effect => self.open.push(effect),
            }
        }
    }

    /// Invariants 1 to 3.
    fn left(&mut self, vote: &CheckedVote) {
        let (view, ballot) = (vote.subject().view.0, vote.subject().ballot);
        let before = *self.sent.entry((view, kind(&ballot))).or_insert(ballot);
        assert_eq!(before, ballot, "one vote of a kind in view {view}");
        let both = self.sent.contains_key(&(view, 1)) && self.sent.contains_key(&(view, 2));
        assert!(!both, "nullified and finalised view {view}");
        assert!(View(view) > self.disk.live.last_final().view, "voted at or below the final view");
        if let Ballot::Notarize(block) = ballot {
            assert!(self.may_follow(block, view), "voted for a block on a parent that it must not have");
        }
        self.form(view, ballot);
    }

    /// Invariant 4.
    fn finalized(&mut self, blocks: &[Hash], certificate: CheckedCertificate) {
        let mut bodies = vec![];
        let mut parent = self.disk.live.last_final();
        for block in blocks {
            let body = self.blocks.iter().find(|b| b.header.block_id() == *block).expect("known").clone();
            assert_eq!(body.header.parent, parent.id, "each final block is the parent's child");
            parent = as_parent(&body);
            bodies.push(body);
        }
        assert_eq!(certificate.subject().ballot, Ballot::Finalize(parent.id));
        self.disk.write(Write::Final(bodies, certificate));
        self.last_final = parent;
    }
}

#[test]
fn invariants_hold_whatever_comes_in() {
    let (mut heights, mut kinds) = (0, BTreeSet::new());
    let seeds = std::env::var("MARKSTEIN_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(400);
    for seed in 0..seeds {
        let mut world = World::new(Random::new(seed));
        (0..600).for_each(|_| world.step());
        heights += world.last_final.height.0;
        kinds.extend(world.sent.keys().map(|(_, kind)| *kind));
        let facts = &world.disk.live.facts;
        assert!(
            facts.iter().all(|fact: &Fact| fact.view() > world.last_final.view || world.disk.pending() > 0)
        );
    }
    assert!(
        heights > 100 && kinds.len() == 3,
        "the inputs lead somewhere: {heights} final blocks, {kinds:?}"
    );
}
