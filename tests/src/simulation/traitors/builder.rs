//! A faulty authority that proposes blocks no honest one would, each rightly signed.

use markstein_node::{
    messages::Message,
    storage::{
        Db, Read,
        tables::{BatchAt, Batches, Headers, Journal},
    },
};
use markstein_proto::{
    Batch, BatchId, Hash, Header, Leaf, TimeMs, View,
    consensus::{Ballot, Proposal},
    log,
};

use super::{Lie, Traitor};

/// What is wrong with its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They name a batch that nobody has.
    MissingBatch,
    /// The log root is not that of the batches.
    WrongRoot,
    /// The status root is another.
    WrongStatus,
    /// The parent is one that nobody knows.
    UnknownParent,
    /// The parent is one that is final for long.
    OldParent,
    /// One batch twice.
    Twice,
    /// A batch that is in the ledger.
    Again,
    /// All batches that are in the ledger.
    AllAgain,
    /// The parent is that of the newest block before; where that one is not final, both take the same place.
    Beside,
    /// Not later than the parent.
    BeforeParent,
    /// Of the future.
    Ahead,
    /// Of the past.
    Behind,
    /// Some get one block, some another.
    TwoBlocks,
}

impl Fault {
    pub const ALL: [Self; 13] = [
        Self::MissingBatch,
        Self::WrongRoot,
        Self::WrongStatus,
        Self::UnknownParent,
        Self::OldParent,
        Self::Beside,
        Self::Twice,
        Self::Again,
        Self::AllAgain,
        Self::BeforeParent,
        Self::Ahead,
        Self::Behind,
        Self::TwoBlocks,
    ];
}

pub struct Builder {
    fault: Fault,
}

impl Builder {
    pub const fn new(fault: Fault) -> Self {
        Self { fault }
    }

    /// Its block instead of the honest one; `None` where it has no opportunity.
    fn spoil(&self, lie: &mut Lie<'_>, to: usize, honest: &Proposal) -> Option<Proposal> {
        let mut bad = honest.clone();
        let header = &mut bad.header;
        match self.fault {
            Fault::MissingBatch => {
                let named = Hash(lie.bytes(32).try_into().unwrap());
                bad.batches.push((BatchId(named), named));
            }
            Fault::WrongRoot => header.root_before = Hash([1; 32]),
            Fault::WrongStatus => header.status_root = Hash([2; 32]),
            Fault::UnknownParent => header.parent = Hash([3; 32]),
            Fault::OldParent => {
                header.parent = lie.world.genesis.block_id();
                header.height.0 = 1;
            }
            Fault::Twice => bad.batches.push(*bad.batches.first()?),
            Fault::Again => {
                let (_, old) = lie.db?.range_reverse::<BatchAt>(..).next()?.unwrap();
                let batch = Batch::decode(lie.db?.get::<Batches>(&old).unwrap()?).unwrap();
                bad.batches.push((BatchId(old), log::leaf_hash(batch.head_leaf())));
            }
            Fault::AllAgain => {
                let db = lie.db?;
                let version = |id: Hash| {
                    let batch = Batch::decode(db.get::<Batches>(&id).unwrap()?).unwrap();
                    Some((BatchId(id), log::leaf_hash(batch.head_leaf())))
                };
                bad.batches =
                    db.range::<BatchAt>(..).filter_map(|entry| version(entry.unwrap().1)).skip(1).collect();
            }
            Fault::Beside => {
                let before = in_journal(lie.db?, header.parent)?;
                let (view, proposer, time) = (header.view, header.proposer, header.time);
                *header = Header { view, proposer, time, ..before.header };
                bad.batches = before.batches;
            }
            Fault::BeforeParent => header.time = time_of(lie.db?, header.parent).unwrap_or(TimeMs(1)),
            Fault::Ahead => header.time.0 += 60_000,
            Fault::Behind => header.time.0 -= 60_000,
            Fault::TwoBlocks if to.is_multiple_of(2) => header.time.0 += 1,
            Fault::TwoBlocks => {}
        }
        let (View(view), block) = (header.view, bad.block_id());
        bad.vote = lie.vote(view, Ballot::Notarize(block));
        Some(bad)
    }
}

/// A block that is not final and that this node voted for.
fn in_journal(db: &Db, block: Hash) -> Option<Proposal> {
    let proposal = |entry: Vec<u8>| match entry.split_first() {
        Some((2, bytes)) => Proposal::decode(bytes).ok(),
        _ => None,
    };
    let entries = db.range::<Journal>(..).map(|entry| entry.unwrap().1);
    entries.filter_map(proposal).find(|proposal| proposal.block_id() == block)
}

/// The time of a block that is not final, or the newest one that is.
fn time_of(db: &Db, block: Hash) -> Option<TimeMs> {
    let newest = db.last::<Headers>().unwrap().map(|(_, leaf)| Leaf::decode(&leaf).unwrap());
    let newest = newest.and_then(|leaf| leaf.into_header().ok()).filter(|header| header.block_id() == block);
    newest.or_else(|| in_journal(db, block).map(|proposal| proposal.header)).map(|header| header.time)
}

impl Traitor for Builder {
    fn name(&self) -> &'static str {
        match self.fault {
            Fault::MissingBatch => "builder of missing batches",
            Fault::WrongRoot => "builder of wrong roots",
            Fault::WrongStatus => "builder of wrong status roots",
            Fault::UnknownParent => "builder on unknown parents",
            Fault::OldParent => "builder on old parents",
            Fault::Beside => "builder beside the parent",
            Fault::Twice => "builder of one batch twice",
            Fault::Again => "builder of a final batch",
            Fault::AllAgain => "builder of all final batches",
            Fault::BeforeParent => "builder before the parent",
            Fault::Ahead => "builder in the future",
            Fault::Behind => "builder in the past",
            Fault::TwoBlocks => "builder of two blocks",
        }
    }

    fn kinds(&self) -> &'static [&'static str] {
        match self.fault {
            Fault::WrongRoot | Fault::WrongStatus | Fault::Again | Fault::AllAgain | Fault::BeforeParent => {
                &["invalid_block"]
            }
            Fault::Twice => &["undecodable"],
            Fault::Ahead => &["dated_ahead"],
            Fault::TwoBlocks => &["equivocation"],
            Fault::MissingBatch => &["missing_batches"],
            Fault::UnknownParent | Fault::OldParent => &["unproven_parent"],
            Fault::Behind => &["dated_behind"],
            Fault::Beside => &[], // "unproven_parent", where blocks follow each other faster than they become final
        }
    }

    fn say(&mut self, lie: &mut Lie<'_>, to: usize, message: &Message) -> Vec<Vec<u8>> {
        let Message::Proposal(honest) = message else { return vec![message.encode()] };
        let bad = self.spoil(lie, to, honest).map(Box::new);
        vec![bad.map_or_else(|| message.encode(), |bad| Message::Proposal(bad).encode())]
    }
}
