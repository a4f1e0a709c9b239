//! One authority: the real engine, a driver that answers it at once, and a disk that may lose what was not synced.

use std::panic::{AssertUnwindSafe, catch_unwind};

use markstein_consensus::{
    AuthorityNumber, Body, Effect, Engine, Fact, FinalBlock, Input, Message, Now, Setup, Timing, Verdict,
    Voting, leader,
};
use markstein_proto::{
    EpochId, Hash, TimeMs, View,
    consensus::{Ballot, CheckedCertificate, Subject},
};

use super::{
    Mutant,
    world::{AUTHORITIES, Blocks, Subjects, World, numbers},
};
use crate::support::{KeyedSigner, START, genesis_block};

/// What can happen to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Its view's timeout ends.
    Timeout,
    /// The block that it wanted built is built.
    Built,
    /// A leader's block comes.
    Proposal(usize),
    /// A certificate comes.
    Certified(usize),
}

/// A step, or a power cut after which the node starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    Step(Step),
    /// The power goes, between two steps or in the middle of one; the first `kept` writes are on the disk.
    Crash {
        during: Option<Step>,
        kept: usize,
    },
}

/// In which way a node comes to know what it is to know. All must come to the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Certificates as such, with its own vote where it cast one.
    Plain,
    /// Certificates of the others' votes.
    WithoutOwn,
    /// The last certificate by single votes, each of them twice.
    Votes,
    /// The same, once each and the last signer first.
    VotesBackwards,
}

/// What no honest node may do.
pub type Fault = String;

/// A write, and the votes that it lets out.
#[derive(Clone)]
struct Write {
    facts: Vec<Fact>,
    last: Option<(FinalBlock, CheckedCertificate)>,
    sent: Subjects,
}

/// All that the next move depends on, and what the node promised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub view: u64,
    last: Hash,
    votes: bool,
    pub sent: Subjects,
    pub finals: Blocks,
    /// Certificates above the final view.
    pub known: Subjects,
    proposals: Vec<usize>,
    bodies: Blocks,
    vouched: Blocks,
    pub building: Option<(u64, Hash)>,
    pub timed_out: bool,
    pub crashed: bool,
    /// The journal, where a crash is still to come: what is synced, sorted, and what is not, in order.
    disk: (Vec<u64>, Vec<u64>),
}

/// A node that runs.
pub struct Node<'a> {
    world: &'a World,
    me: AuthorityNumber,
    mutant: Mutant,
    way: Way,
    engine: Engine,
    tick: u64,
    writes: Vec<Write>,
    /// How many writes are durable since they let votes out.
    pub synced: usize,
    sent: Subjects,
    finals: Blocks,
    known: Subjects,
    proposals: Vec<usize>,
    building: Option<(u64, Hash)>,
    timed_out: u64,
    crashed: bool,
}

/// Timeouts come when the model says so, nobody counts as silent, and nothing is asked for twice.
const TIMING: Timing = Timing {
    view_timeout: 1,
    view_timeout_max: 1,
    finish_after: 0,
    skip_after: u64::MAX / 4,
    clock_skew_max: 5_000,
    proposal_age_max: 30_000,
    fetch_retry: u64::MAX / 4,
};

fn start(
    me: AuthorityNumber,
    mutant: Mutant,
    last: Option<(FinalBlock, CheckedCertificate)>,
    facts: Vec<Fact>,
    now: Now,
) -> Engine {
    let (last_final, finalization) = last.map_or((genesis_block(), None), |(l, c)| (l, Some(c)));
    let setup = Setup {
        epoch: EpochId(0),
        authorities: AUTHORITIES,
        me,
        voting: Voting::Now,
        timing: TIMING,
        signer: Box::new(KeyedSigner(me.0)),
        last_final,
        finalization,
    };
    #[cfg(feature = "mutants")]
    return Engine::with_mutant(setup, facts, now, mutant);
    #[cfg(not(feature = "mutants"))]
    {
        let Mutant::None = mutant;
        Engine::new(setup, facts, now)
    }
}

const fn now(tick: u64) -> Now {
    Now { tick, clock: TimeMs(START + 1000) }
}

impl<'a> Node<'a> {
    pub fn new(world: &'a World, me: AuthorityNumber, mutant: Mutant, way: Way) -> Result<Self, Fault> {
        let engine = start(me, mutant, None, Vec::new(), now(0));
        let mut node = Self {
            world,
            me,
            mutant,
            way,
            engine,
            tick: 0,
            writes: Vec::new(),
            synced: 0,
            sent: 0,
            finals: 0,
            known: 0,
            proposals: Vec::new(),
            building: None,
            timed_out: 0,
            crashed: false,
        };
        node.wake()?;
        Ok(node)
    }

    fn wake(&mut self) -> Result<(), Fault> {
        let early: Vec<Effect> = std::iter::from_fn(|| self.engine.poll_effect()).collect();
        self.run(early)?;
        self.drive(Input::Pool(true))?;
        self.synced = self.durable();
        Ok(())
    }

    /// Writes up to the last one that let a vote out.
    fn durable(&self) -> usize {
        self.writes
            .iter()
            .rposition(|write| write.sent != 0)
            .map_or(self.synced, |at| at + 1)
            .max(self.synced)
    }

    pub fn written(&self) -> usize {
        self.writes.len()
    }

    /// Makes a move. `by_votes`: a certificate comes as votes, where the node's way is that.
    pub fn make(&mut self, next: Move, by_votes: bool) -> Result<(), Fault> {
        match next {
            Move::Step(step) => {
                self.step(step, by_votes)?;
                self.synced = self.durable();
                Ok(())
            }
            Move::Crash { during, kept } => {
                let (sent, finals) = (self.sent, self.finals);
                if let Some(step) = during {
                    self.step(step, false)?;
                }
                self.restart(kept, sent, finals)
            }
        }
    }

    fn restart(&mut self, kept: usize, sent: Subjects, finals: Blocks) -> Result<(), Fault> {
        let kept = &self.writes[..kept];
        self.sent = kept.iter().fold(sent, |sent, write| sent | write.sent);
        let last = kept.iter().rev().find_map(|write| write.last.clone());
        let made = last.iter().filter_map(|(last, _)| self.world.block(&last.id));
        self.finals = made.flat_map(|block| self.world.chain(block)).fold(finals, |set, b| set | 1 << b);
        let facts: Vec<Fact> = kept.iter().flat_map(|write| write.facts.clone()).collect();
        self.known = facts.iter().map(|fact| self.certified(fact)).fold(0, |a, b| a | b);
        (self.crashed, self.building, self.timed_out, self.tick) = (true, None, 0, self.tick + 1);
        self.proposals.clear();
        self.writes.clear();
        self.synced = 0;
        let (me, mutant, time) = (self.me, self.mutant, now(self.tick));
        let engine = AssertUnwindSafe(|| start(me, mutant, last, facts, time));
        self.engine = catch_unwind(engine).map_err(|_| "the engine panics as it starts again")?;
        self.wake()
    }

    fn step(&mut self, step: Step, by_votes: bool) -> Result<(), Fault> {
        match step {
            Step::Timeout => {
                self.timed_out = self.engine.view().0;
                self.tick += 1;
                self.drive(Input::Tick)
            }
            Step::Built => {
                let Some((view, parent)) = self.building.take() else { return Ok(()) };
                let fits = |b: &&super::world::Block| {
                    b.view == view && b.proposal.get().header.parent == parent && !b.second
                };
                let block =
                    self.world.blocks.iter().find(fits).ok_or("a block is built on one of a later view")?;
                self.drive(Input::Built(View(view), Some(Box::new(body(block)))))
            }
            Step::Proposal(block) => {
                self.proposals.push(block);
                let proposal = &self.world.blocks[block].proposal;
                let from = AuthorityNumber(proposal.get().header.proposer);
                self.drive(Input::Proposal(from, Box::new(proposal.clone())))
            }
            Step::Certified(subject) => self.learn(subject, by_votes),
        }
    }

    fn learn(&mut self, subject: usize, by_votes: bool) -> Result<(), Fault> {
        let others = || (0..AUTHORITIES).filter(|signer| *signer != self.me.0);
        let signers: Vec<u32> = match self.way {
            Way::Votes if by_votes => others().flat_map(|signer| [signer, signer]).collect(),
            Way::VotesBackwards if by_votes => others().rev().collect(),
            way => {
                let own = self.sent & 1 << subject != 0 && way == Way::Plain;
                let certificate = self.world.certificate(subject, self.me, own).clone();
                let from = others().next().map_or(self.me, AuthorityNumber);
                return self.drive(Input::Certificate(from, certificate));
            }
        };
        for signer in signers {
            let vote = self.world.vote(subject, signer).clone();
            self.drive(Input::Vote(AuthorityNumber(signer), vote))?;
        }
        let Subject { view, .. } = self.world.subjects[subject];
        if self.world.traitor != Some(leader(view, AUTHORITIES).0) {
            return Ok(());
        }
        // Another vote of a leader that equivocates may have been counted before; then the certificate is needed.
        let certificate = self.world.certificate(subject, self.me, false).clone();
        self.drive(Input::Certificate(self.me, certificate))
    }

    fn drive(&mut self, input: Input) -> Result<(), Fault> {
        let time = now(self.tick);
        let engine = &mut self.engine;
        catch_unwind(AssertUnwindSafe(|| engine.handle(time, input))).map_err(|_| "the engine panics")?;
        let effects: Vec<Effect> = std::iter::from_fn(|| self.engine.poll_effect()).collect();
        self.run(effects)
    }

    fn run(&mut self, effects: Vec<Effect>) -> Result<(), Fault> {
        let mut follow = Vec::new();
        for effect in effects {
            follow.extend(self.effect(effect)?);
        }
        follow.into_iter().try_for_each(|input| self.drive(input))
    }

    fn effect(&mut self, effect: Effect) -> Result<Option<Input>, Fault> {
        match effect {
            Effect::Commit { facts, then } => {
                let mut sent = 0;
                for send in then {
                    let vote = match &send.message {
                        Message::Vote(vote) => vote.clone(),
                        Message::Proposal(proposal) => proposal.vote(),
                        Message::Certificate(_) => continue,
                    };
                    sent |= self.promise(vote.subject())?;
                }
                self.write(facts, None, sent);
            }
            Effect::Record(fact) => self.write(vec![fact], None, 0),
            Effect::Send(send) => {
                let said = match &send.message {
                    Message::Vote(vote) => vote.subject(),
                    Message::Proposal(proposal) => proposal.vote().subject(),
                    Message::Certificate(_) => return Ok(None),
                };
                let number = self.world.subject(&said);
                if number.is_some_and(|number| self.sent & 1 << number == 0) {
                    return Err("a vote is sent that was not committed".into());
                }
            }
            Effect::Build { view, parent, .. } if view.0 <= self.world.views => {
                self.building = Some((view.0, parent));
            }
            Effect::Gossip(_) | Effect::Build { .. } => {}
            Effect::Check(block) => return Ok(Some(Input::Checked(block, Verdict::Valid))),
            Effect::Fetch(id) => {
                let block = self.world.block(&id).ok_or("a block is fetched that nobody made")?;
                let block = &self.world.blocks[block];
                let from = AuthorityNumber(block.proposal.get().header.proposer);
                return Ok(Some(Input::Fetched(from, Box::new(body(block)))));
            }
            Effect::Sync(certificate) => return self.sync(certificate).map(Some),
            Effect::Finalized { blocks, certificate } => {
                for id in &blocks {
                    self.finalize(id)?;
                }
                let last = blocks.last().and_then(|id| self.world.block(id)).ok_or("nothing is final")?;
                self.write(Vec::new(), Some((self.world.blocks[last].last, certificate)), 0);
            }
            Effect::Evidence(evidence) if Some(evidence.first.get().signer) == self.world.traitor => {}
            Effect::Evidence(_) if self.world.lenient => {}
            Effect::Evidence(_) => return Err("an honest authority is accused".into()),
            Effect::Amnesia(_) if self.world.lenient => {} // it does not vote any more
            Effect::Amnesia(_) => return Err("a vote with its key that its journal does not know".into()),
            Effect::Diverged(_) => return Err("its execution differs from a quorum's".into()),
        }
        Ok(None)
    }

    /// The range up to a final block, from a peer, verified backwards.
    fn sync(&mut self, certificate: CheckedCertificate) -> Result<Input, Fault> {
        let tip = certificate.subject().ballot.block().and_then(|id| self.world.block(&id));
        let tip = tip.ok_or("a final block that nobody made")?;
        let chain: Vec<usize> = self.world.chain(tip).collect();
        let finals = self.finals;
        for block in chain.into_iter().rev().filter(|block| finals & 1 << *block == 0) {
            self.finalize(&self.world.blocks[block].last.id)?;
        }
        let last = self.world.blocks[tip].last;
        self.write(Vec::new(), Some((last, certificate.clone())), 0);
        Ok(Input::Synced(last, Box::new(certificate)))
    }

    /// Invariant 4 on one node, over restarts.
    fn finalize(&mut self, id: &Hash) -> Result<(), Fault> {
        let block = self.world.block(id).ok_or("a final block that nobody made")?;
        self.finals |= 1 << block;
        if self.world.fork(self.finals, self.finals) {
            return Err(format!("one node finalises a fork with {}", self.world.block_name(block)));
        }
        Ok(())
    }

    /// Invariants 1 and 2 on what leaves the node, over restarts.
    fn promise(&mut self, subject: Subject) -> Result<Subjects, Fault> {
        let number = self.world.subject(&subject).ok_or("a vote above the bound")?;
        for earlier in numbers(self.sent).filter(|earlier| *earlier != number) {
            let Subject { view, ballot, .. } = self.world.subjects[earlier];
            let clash = match (ballot, subject.ballot) {
                (Ballot::Notarize(_), Ballot::Notarize(_))
                | (Ballot::Finalize(_), Ballot::Finalize(_) | Ballot::Nullify)
                | (Ballot::Nullify, Ballot::Finalize(_)) => view == subject.view,
                _ => false,
            };
            if clash && !self.world.lenient {
                let (one, other) = (self.world.name(earlier), self.world.name(number));
                return Err(format!("one node votes {one} and {other}"));
            }
        }
        self.sent |= 1 << number;
        Ok(1 << number)
    }

    fn write(&mut self, facts: Vec<Fact>, last: Option<(FinalBlock, CheckedCertificate)>, sent: Subjects) {
        self.known |= facts.iter().map(|fact| self.certified(fact)).fold(0, |a, b| a | b);
        if !self.crashed {
            self.writes.push(Write { facts, last, sent });
        }
    }

    fn certified(&self, fact: &Fact) -> Subjects {
        match fact {
            Fact::Certified(c) => self.world.subject(&c.subject()).map_or(0, |number| 1 << number),
            Fact::Voted(_) | Fact::Block(_) => 0,
        }
    }

    pub fn key(&self, crashable: bool) -> Key {
        let last = self.engine.last_final();
        let above = |block: &usize| self.world.blocks[*block].view > last.view.0;
        let set = |has: &dyn Fn(&Hash) -> bool| -> Blocks {
            let blocks = self.world.blocks.iter().enumerate();
            blocks.filter(|(_, block)| has(&block.last.id)).map(|(number, _)| 1 << number).sum()
        };
        let view = self.engine.view().0;
        Key {
            view,
            last: last.id,
            votes: self.engine.is_voting(),
            sent: self.sent,
            finals: self.finals,
            known: numbers(self.known)
                .filter(|number| self.world.subjects[*number].view > last.view)
                .map(|number| 1 << number)
                .sum(),
            proposals: self.proposals.iter().copied().filter(above).collect(),
            bodies: set(&|id| self.engine.body(id).is_some()),
            vouched: set(&|id| self.engine.offered(id).is_some()),
            building: self.building.filter(|(of, _)| *of == view),
            timed_out: self.timed_out == view,
            crashed: self.crashed,
            disk: if crashable && !self.crashed { self.disk() } else { Default::default() },
        }
    }

    fn disk(&self) -> (Vec<u64>, Vec<u64>) {
        let (synced, pending) = self.writes.split_at(self.synced);
        let last = synced.iter().rev().find_map(|write| write.last.as_ref());
        let codes = |writes: &[Write]| -> Vec<u64> {
            let facts = writes.iter().flat_map(|write| &write.facts);
            facts.map(|fact| self.code(fact)).collect()
        };
        let mut durable = codes(synced);
        durable.extend(last.and_then(|(block, _)| self.world.block(&block.id)).map(|b| 4 << 32 | b as u64));
        durable.sort_unstable();
        durable.dedup();
        let last = |write: &Write| write.last.as_ref().and_then(|(block, _)| self.world.block(&block.id));
        let open = |write: &Write| {
            let mut code = codes(std::slice::from_ref(write));
            code.extend(last(write).map(|block| 4 << 32 | block as u64));
            code.push(5 << 32);
            code
        };
        (durable, pending.iter().flat_map(open).collect())
    }

    fn code(&self, fact: &Fact) -> u64 {
        let (kind, number) = match fact {
            Fact::Voted(vote) => (1, self.world.subject(&vote.subject())),
            Fact::Block(proposal) => (2, self.world.block(&proposal.get().block_id())),
            Fact::Certified(certificate) => (3, self.world.subject(&certificate.subject())),
        };
        kind << 32 | number.map_or(u64::from(u32::MAX), |number| number as u64)
    }
}

fn body(block: &super::world::Block) -> Body {
    let proposal = block.proposal.get();
    Body { header: proposal.header.clone(), batches: proposal.batches.clone() }
}
