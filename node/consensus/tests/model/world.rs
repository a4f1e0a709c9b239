//! What can be said at all: the blocks, votes and certificates of a few views.

use std::collections::BTreeMap;

use markstein_consensus::{AuthorityNumber, FinalBlock, leader};
use markstein_proto::{
    EpochId, Hash, View,
    consensus::{Ballot, CheckedCertificate, CheckedProposal, CheckedVote, Proposal, Subject},
};

use super::node::{Move, Step};
use crate::support::{batch, body, final_block, genesis_block, verifier, vote};

/// Authorities, and how many of them are a quorum.
pub const AUTHORITIES: u32 = 4;
pub const QUORUM: usize = 3;

/// A set of subjects, by their numbers.
pub type Subjects = u64;
/// A set of blocks, by their numbers.
pub type Blocks = u64;

/// A block that may be proposed.
pub struct Block {
    pub proposal: CheckedProposal,
    pub last: FinalBlock,
    pub view: u64,
    /// `None`: the epoch's first parent.
    pub parent: Option<usize>,
    /// Second block of a leader that equivocates.
    pub second: bool,
    /// Blocks that cannot be final beside it: neither ancestors nor descendants.
    pub conflicts: Blocks,
}

/// All that a run may be made of.
pub struct World {
    pub views: u64,
    pub traitor: Option<u32>,
    /// Whether a node that breaks a rule of its own goes on, as far as its engine lets it.
    pub lenient: bool,
    pub blocks: Vec<Block>,
    pub subjects: Vec<Subject>,
    by_subject: BTreeMap<Subject, usize>,
    by_id: BTreeMap<Hash, usize>,
    /// By subject and the signer that is left out; the last is signed by all.
    certificates: Vec<Vec<CheckedCertificate>>,
    votes: Vec<Vec<CheckedVote>>,
}

impl World {
    /// The blocks of the first `views` views: an honest leader has one on each earlier block, a traitor has two.
    pub fn new(views: u64, traitor: Option<u32>, lenient: bool) -> Self {
        let mut blocks: Vec<Block> = Vec::new();
        for view in 1..=views {
            let leads = leader(View(view), AUTHORITIES).0;
            let parents: Vec<Option<usize>> =
                std::iter::once(None).chain((0..blocks.len()).map(Some)).collect();
            let variants = if traitor == Some(leads) { 2 } else { 1 };
            for parent in parents {
                let on = parent.map_or_else(genesis_block, |number| blocks[number].last);
                blocks.extend((0..variants).map(|variant| proposed(view, leads, parent, &on, variant)));
            }
        }
        let mut subjects: Vec<Subject> = Vec::new();
        for view in 1..=views {
            let subject = |ballot| Subject { epoch: EpochId(0), view: View(view), ballot };
            subjects.push(subject(Ballot::Nullify));
            for block in blocks.iter().filter(|block| block.view == view) {
                subjects
                    .extend([Ballot::Notarize(block.last.id), Ballot::Finalize(block.last.id)].map(subject));
            }
        }
        assert!(subjects.len() <= 64, "a set of subjects is a word");
        let sign = |subject: &Subject| -> Vec<CheckedVote> {
            (0..AUTHORITIES).map(|signer| vote(signer, subject.view.0, subject.ballot)).collect()
        };
        let votes: Vec<Vec<CheckedVote>> = subjects.iter().map(sign).collect();
        let mut world = Self {
            views,
            traitor,
            lenient,
            by_subject: subjects.iter().enumerate().map(|(number, subject)| (*subject, number)).collect(),
            by_id: blocks.iter().enumerate().map(|(number, block)| (block.last.id, number)).collect(),
            certificates: votes.iter().map(|votes| certificates(votes)).collect(),
            blocks,
            subjects,
            votes,
        };
        let conflicts: Vec<Blocks> = (0..world.blocks.len()).map(|block| world.conflicts(block)).collect();
        world.blocks.iter_mut().zip(conflicts).for_each(|(block, conflicts)| block.conflicts = conflicts);
        world
    }

    /// A block and its ancestors, newest first.
    pub fn chain(&self, block: usize) -> impl Iterator<Item = usize> + '_ {
        std::iter::successors(Some(block), |block| self.blocks[*block].parent)
    }

    fn conflicts(&self, block: usize) -> Blocks {
        let related =
            |other: usize| self.chain(other).any(|b| b == block) || self.chain(block).any(|b| b == other);
        (0..self.blocks.len()).filter(|other| !related(*other)).map(|other| 1 << other).sum()
    }

    /// Whether blocks that are final here and there fork.
    pub fn fork(&self, here: Blocks, there: Blocks) -> bool {
        numbers(here).any(|block| self.blocks[block].conflicts & there != 0)
    }

    pub fn block(&self, id: &Hash) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The number of a subject, `None` above the bound.
    pub fn subject(&self, subject: &Subject) -> Option<usize> {
        self.by_subject.get(subject).copied()
    }

    pub fn notarize(&self, block: usize) -> usize {
        let Block { view, last, .. } = &self.blocks[block];
        self.by_subject[&Subject { epoch: EpochId(0), view: View(*view), ballot: Ballot::Notarize(last.id) }]
    }

    /// A certificate with or without one authority's vote in it.
    pub fn certificate(&self, subject: usize, who: AuthorityNumber, with: bool) -> &CheckedCertificate {
        let all = AUTHORITIES as usize;
        &self.certificates[subject][if with { all } else { who.0 as usize }]
    }

    pub fn vote(&self, subject: usize, signer: u32) -> &CheckedVote {
        &self.votes[subject][signer as usize]
    }

    /// A subject, for people.
    pub fn name(&self, subject: usize) -> String {
        let Subject { view, ballot, .. } = self.subjects[subject];
        let block =
            ballot.block().and_then(|id| self.block(&id)).map_or(String::new(), |b| self.block_name(b));
        match ballot {
            Ballot::Notarize(_) => format!("notarize {block}"),
            Ballot::Nullify => format!("nullify {view}"),
            Ballot::Finalize(_) => format!("finalize {block}"),
        }
    }

    /// A move, for people.
    pub fn describe(&self, next: Move) -> String {
        let step = |step| match step {
            Step::Timeout => String::from("timeout"),
            Step::Built => String::from("its block is built"),
            Step::Proposal(block) => format!("gets block {}", self.block_name(block)),
            Step::Certified(subject) => format!("learns of a quorum to {}", self.name(subject)),
        };
        match next {
            Move::Step(of) => step(of),
            Move::Crash { during: None, kept } => format!("crashes, {kept} writes are kept"),
            Move::Crash { during: Some(of), kept } => {
                format!("crashes as it {}, {kept} writes are kept", step(of))
            }
        }
    }

    /// A block as the views of its chain, newest first: `2'<1` is the second block of view 2 on that of view 1.
    pub fn block_name(&self, block: usize) -> String {
        let name =
            |b: usize| format!("{}{}", self.blocks[b].view, if self.blocks[b].second { "'" } else { "" });
        self.chain(block).map(name).collect::<Vec<_>>().join("<")
    }
}

fn proposed(view: u64, proposer: u32, parent: Option<usize>, on: &FinalBlock, variant: u64) -> Block {
    let body = body(on, view, proposer, on.time.0 + 1, vec![batch(2 * view + variant)]);
    let last = final_block(&body.header);
    let own = vote(proposer, view, Ballot::Notarize(last.id));
    // Certificates travel by themselves here.
    let proposal = Proposal {
        header: body.header,
        batches: body.batches,
        vote: own.get().clone(),
        parent: None,
        nullifications: Vec::new(),
    };
    let proposal = verifier(AUTHORITIES).proposal(proposal).expect("the leader signed it");
    Block { proposal, last, view, parent, second: variant > 0, conflicts: 0 }
}

fn certificates(votes: &[CheckedVote]) -> Vec<CheckedCertificate> {
    let without = |left_out: u32| votes.iter().filter(move |vote| vote.get().signer != left_out);
    let make =
        |left_out| CheckedCertificate::from_votes(without(left_out), QUORUM).expect("a quorum is left");
    (0..=AUTHORITIES).map(make).collect()
}

/// The numbers in a set.
pub fn numbers(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(next)
    })
}
