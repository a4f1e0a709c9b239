//! A few words to write the rules' tests in. Four authorities, three are a quorum; view v is led by v - 1 modulo 4.

use markstein_consensus::{
    AuthorityNumber, Body, Effect, Engine, Fact, FinalBlock, Input, Message, Now, Recipient, Send, Setup,
    Timing, Verdict, Voting,
};
use markstein_proto::{
    EpochId, Hash, TimeMs, View,
    consensus::{Ballot, CheckedCertificate, CheckedProposal, CheckedVote, Proposal},
};

pub use crate::support::vote;
use crate::support::{KeyedSigner, START, batch, body, certificate, final_block, genesis_block};

pub const A: u32 = 0;
pub const B: u32 = 1;
pub const C: u32 = 2;
pub const D: u32 = 3;

/// One engine and its clocks.
pub struct Probe {
    pub engine: Engine,
    pub tick: u64,
    me: u32,
    n: u32,
}

/// An engine of `n` that starts with a journal, at tick 0.
pub fn restarted(n: u32, me: u32, journal: Vec<Fact>) -> Probe {
    started(n, me, journal, genesis_block(), None)
}

pub fn started(
    n: u32,
    me: u32,
    journal: Vec<Fact>,
    last_final: FinalBlock,
    finalization: Option<CheckedCertificate>,
) -> Probe {
    probe(n, me, Voting::Now, journal, last_final, finalization)
}

/// One of four that asks its peers what it said before.
pub fn waiting(me: u32, journal: Vec<Fact>) -> Probe {
    probe(4, me, Voting::Later, journal, genesis_block(), None)
}

fn probe(
    n: u32,
    me: u32,
    voting: Voting,
    journal: Vec<Fact>,
    last_final: FinalBlock,
    finalization: Option<CheckedCertificate>,
) -> Probe {
    let setup = Setup {
        epoch: EpochId(0),
        authorities: n,
        me: AuthorityNumber(me),
        voting,
        timing: Timing::default(),
        signer: Box::new(KeyedSigner(me)),
        last_final,
        finalization,
    };
    Probe { engine: Engine::new(setup, journal, now(0)), tick: 0, me, n }
}

/// One of four, fresh.
pub fn authority(me: u32) -> Probe {
    restarted(4, me, vec![])
}

fn now(tick: u64) -> Now {
    Now { tick, clock: TimeMs(START + 1000 + tick) }
}

impl Probe {
    pub fn take(&mut self, input: Input) -> Vec<Effect> {
        self.engine.handle(now(self.tick), input);
        self.effects()
    }
    pub fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.engine.poll_effect()).collect()
    }
    pub fn at(&mut self, tick: u64) -> Vec<Effect> {
        self.tick = tick;
        self.take(Input::Tick)
    }
    pub fn vote(&mut self, vote: CheckedVote) -> Vec<Effect> {
        self.take(Input::Vote(AuthorityNumber(vote.get().signer), vote))
    }
    pub fn certificate(&mut self, certificate: &CheckedCertificate) -> Vec<Effect> {
        self.take(Input::Certificate(AuthorityNumber((self.me + 1) % self.n), certificate.clone()))
    }
    pub fn proposal(&mut self, proposal: &CheckedProposal) -> Vec<Effect> {
        let leader = AuthorityNumber(proposal.get().header.proposer);
        self.take(Input::Proposal(leader, Box::new(proposal.clone())))
    }
    pub fn valid(&mut self, block: &Body) -> Vec<Effect> {
        self.take(Input::Checked(id(block), Verdict::Valid))
    }
    pub fn fetched(&mut self, from: u32, block: &Body) -> Vec<Effect> {
        self.take(Input::Fetched(AuthorityNumber(from), Box::new(block.clone())))
    }
    pub fn view(&self) -> u64 {
        self.engine.view().0
    }
}

/// A block of a view's leader with one batch, on a parent.
pub fn block(view: u64, parent: &FinalBlock) -> Body {
    body(parent, view, ((view - 1) % 4) as u32, parent.time.0 + 10, vec![batch(view)])
}
pub fn empty(view: u64, parent: &FinalBlock) -> Body {
    body(parent, view, ((view - 1) % 4) as u32, parent.time.0 + 10, vec![])
}
pub fn dated(view: u64, parent: &FinalBlock, time: u64) -> Body {
    body(parent, view, ((view - 1) % 4) as u32, time, vec![batch(view)])
}
pub fn as_parent(block: &Body) -> FinalBlock {
    final_block(&block.header)
}
pub fn first() -> FinalBlock {
    genesis_block()
}
pub fn id(block: &Body) -> Hash {
    block.header.block_id()
}

pub fn proposed(
    block: &Body,
    parent: Option<&CheckedCertificate>,
    nullified: &[CheckedCertificate],
) -> CheckedProposal {
    let own = vote(block.header.proposer, block.header.view.0, Ballot::Notarize(id(block)));
    CheckedProposal::own(Proposal {
        header: block.header.clone(),
        batches: block.batches.clone(),
        vote: own.get().clone(),
        parent: parent.map(|c| c.get().clone()),
        nullifications: nullified.iter().map(|c| c.get().clone()).collect(),
    })
}

pub fn notarize(signer: u32, block: &Body) -> CheckedVote {
    vote(signer, block.header.view.0, Ballot::Notarize(id(block)))
}
pub fn finalize(signer: u32, block: &Body) -> CheckedVote {
    vote(signer, block.header.view.0, Ballot::Finalize(id(block)))
}
pub fn nullify(signer: u32, view: u64) -> CheckedVote {
    vote(signer, view, Ballot::Nullify)
}
pub fn notarized(signers: [u32; 3], block: &Body) -> CheckedCertificate {
    certificate(&signers, block.header.view.0, Ballot::Notarize(id(block)))
}
pub fn finalized(signers: [u32; 3], block: &Body) -> CheckedCertificate {
    certificate(&signers, block.header.view.0, Ballot::Finalize(id(block)))
}
pub fn nullified(signers: [u32; 3], view: u64) -> CheckedCertificate {
    certificate(&signers, view, Ballot::Nullify)
}

fn to_all(message: Message) -> Send {
    Send { to: Recipient::All, message }
}
/// The vote is synced with these facts, and sent then.
pub fn casts(vote: CheckedVote, mut with: Vec<Fact>) -> Effect {
    with.push(Fact::Voted(vote.clone()));
    Effect::Commit { facts: with, then: vec![to_all(Message::Vote(vote))] }
}
/// The leader's block and vote are synced, and the proposal is sent then.
pub fn proposes(proposal: &CheckedProposal) -> Effect {
    let facts = vec![Fact::Block(Box::new(proposal.clone())), Fact::Voted(proposal.vote())];
    Effect::Commit { facts, then: vec![to_all(Message::Proposal(Box::new(proposal.clone())))] }
}
pub fn records(certificate: &CheckedCertificate) -> Effect {
    Effect::Record(Fact::Certified(certificate.clone()))
}
pub fn says(message: Message) -> Effect {
    Effect::Send(to_all(message))
}
pub fn gossips(certificate: &CheckedCertificate) -> Effect {
    Effect::Gossip(certificate.clone())
}
pub fn repeats(certificate: &CheckedCertificate) -> Effect {
    says(Message::Certificate(certificate.clone()))
}
pub fn tells(to: u32, certificate: &CheckedCertificate) -> Effect {
    let message = Message::Certificate(certificate.clone());
    Effect::Send(Send { to: Recipient::One(AuthorityNumber(to)), message })
}
pub fn final_now(blocks: &[&Body], certificate: &CheckedCertificate) -> Effect {
    let blocks = blocks.iter().map(|block| id(block)).collect();
    Effect::Finalized { blocks, certificate: certificate.clone() }
}
pub fn builds(view: u64, parent: Hash, batches: bool) -> Effect {
    Effect::Build { view: View(view), parent, batches }
}
pub fn certified(certificate: &CheckedCertificate) -> Fact {
    Fact::Certified(certificate.clone())
}
pub fn kept(proposal: &CheckedProposal) -> Fact {
    Fact::Block(Box::new(proposal.clone()))
}
