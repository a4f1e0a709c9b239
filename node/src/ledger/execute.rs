//! Execution: the header and the effects of a block, as a pure function of its parent's state and its batches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use markstein_proto::{
    Author, Batch, BatchId, EpochId, Hash, Header, IssuerId, Leaf, LeafIndex, LogSize, Record, TimeMs, View,
    consensus::PROPOSAL_BATCHES_MAX,
    log::{self, Frontier, tile::NodePlace},
    status::{Overlay, Status, StatusDelta, apply, status_root},
};

use super::{BatchRefusal, Rules, State, Statuses, TakenStep, check_next};
use crate::{
    storage::StorageError,
    work::{self, Step},
};

/// Most bytes of the batches of a block.
pub const BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most records of a block.
pub const BLOCK_RECORDS_MAX: usize = 50_000;
/// Most batches of a block: as many as a proposal can name.
pub const BLOCK_BATCHES_MAX: usize = PROPOSAL_BATCHES_MAX;

/// Whose turn a block is, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The epoch.
    pub epoch: EpochId,
    /// The view.
    pub view: View,
    /// Number of the leader in the epoch's authority set.
    pub proposer: u32,
    /// The leader's clock; must be later than the parent's time.
    pub time: TimeMs,
}

/// A block and all it changes. Nothing of it is stored yet.
#[derive(Clone, Debug)]
pub struct ExecutedBlock {
    /// The header.
    pub header: Header,
    /// Its canonical leaf.
    pub header_leaf: Vec<u8>,
    /// The batches in order, each with the place of its head.
    pub batches: Vec<(LeafIndex, Arc<Batch>)>,
    /// The log with this block.
    pub frontier: Frontier,
    /// Log nodes completed by this block that stand in tiles: tile level, index within the level, hash; in order.
    pub tile_hashes: Vec<(u8, u64, Hash)>,
    /// The status tree with this block, as far as it differs.
    pub status: StatusDelta,
    /// What led to it, in the order of the log.
    pub steps: Vec<PlacedStep>,
    /// Whose statuses it changed, ascending, with what they are then.
    pub changed: Vec<(LeafIndex, Status)>,
    /// The ids of its batches, once they were asked for.
    ids: OnceLock<BTreeSet<BatchId>>,
    /// Newest grants by issuer.
    pub grants: BTreeMap<String, LeafIndex>,
    /// Public records.
    pub public: Vec<PublicAnchor>,
}

/// An anchor that anybody with its document can look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicAnchor {
    /// Where it stands.
    pub index: LeafIndex,
    /// What it commits to.
    pub commitment: Hash,
    /// Whose it is.
    pub issuer: IssuerId,
}

impl ExecutedBlock {
    /// Whether it changes the status of the record at this leaf.
    #[must_use]
    pub fn changes(&self, target: LeafIndex) -> bool {
        self.changed.binary_search_by_key(&target, |(target, _)| *target).is_ok()
    }

    /// Whether a batch is in it.
    #[must_use]
    pub fn holds(&self, batch: &BatchId) -> bool {
        let ids = || self.batches.iter().map(|(_, batch)| batch.id()).collect();
        self.ids.get_or_init(ids).contains(batch)
    }
}

/// A record that changed a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedStep {
    /// Where it stands.
    pub at: LeafIndex,
    /// Whose status.
    pub target: LeafIndex,
    /// What it was.
    pub before: Status,
    /// What it is then.
    pub after: Status,
}

/// Why a block is not one of this ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// Not later than its parent.
    #[error("the block's time is not later than its parent's")]
    Time,
    /// Of another epoch than the parent's state calls for.
    #[error("the block is of another epoch")]
    Epoch,
    /// Larger than allowed.
    #[error("the block has more than 4 MiB, 50,000 records or 4,096 batches")]
    TooLarge,
    /// One batch in it twice.
    #[error("the block holds batch {0} twice")]
    Twice(BatchId),
    /// A batch that may not be written.
    #[error("batch {id}: {refusal}")]
    Batch {
        /// Which.
        id: BatchId,
        /// Why.
        refusal: BatchRefusal,
    },
}

/// Why a block could not be executed: it is invalid, or our store failed.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// Whoever made the block is to blame.
    #[error(transparent)]
    Invalid(#[from] InvalidBlock),
    /// Our disk is.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Executes `batches` as one block on `state`. The result depends on the arguments alone.
///
/// # Errors
/// See [`ExecuteError`].
pub fn execute(
    state: &dyn State,
    rules: &Rules,
    turn: Turn,
    batches: Vec<Arc<Batch>>,
) -> Result<ExecutedBlock, ExecuteError> {
    let mut draft = Draft::new(state, rules, turn)?;
    for batch in batches {
        let id = batch.id();
        draft.add(batch)?.map_err(|refusal| InvalidBlock::Batch { id, refusal })?;
    }
    draft.finish()
}

/// A block as it is put together, batch by batch: each is checked once, on what those before it made.
pub struct Draft<'a> {
    state: &'a dyn State,
    rules: &'a Rules,
    turn: Turn,
    batches: Vec<Arc<Batch>>,
    ids: BTreeSet<BatchId>,
    statuses: Statuses,
    steps: Vec<Vec<TakenStep>>,
    bytes: usize,
    records: usize,
}

impl<'a> Draft<'a> {
    /// An empty one.
    ///
    /// # Errors
    /// [`InvalidBlock::Time`] and [`InvalidBlock::Epoch`].
    pub fn new(state: &'a dyn State, rules: &'a Rules, turn: Turn) -> Result<Self, InvalidBlock> {
        check_turn(state, turn)?;
        Ok(Self {
            state,
            rules,
            turn,
            batches: Vec::new(),
            ids: BTreeSet::new(),
            statuses: Statuses::default(),
            steps: Vec::new(),
            bytes: 0,
            records: 0,
        })
    }

    /// Whether a batch of this size fits.
    #[must_use]
    pub const fn fits(&self, bytes: usize, records: usize) -> bool {
        self.bytes + bytes <= BLOCK_BYTES_MAX
            && self.records + records <= BLOCK_RECORDS_MAX
            && self.batches.len() < BLOCK_BATCHES_MAX
    }

    /// Whether nothing is in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds the next batch, unless it is refused. After an error the draft is of no use.
    ///
    /// # Errors
    /// Outer: [`ExecuteError`], where it does not fit or is here twice. Inner: [`BatchRefusal`].
    pub fn add(&mut self, batch: Arc<Batch>) -> Result<Result<(), BatchRefusal>, ExecuteError> {
        let (bytes, records) = (batch.bytes().len(), batch.records().len());
        if !self.fits(bytes, records) {
            return Err(InvalidBlock::TooLarge.into());
        }
        if !self.ids.insert(batch.id()) {
            return Err(InvalidBlock::Twice(batch.id()).into());
        }
        match check_next(self.state, self.rules, &mut self.statuses, &batch, self.turn.time)? {
            Ok(steps) => {
                self.steps.push(steps);
                self.batches.push(batch);
                (self.bytes, self.records) = (self.bytes + bytes, self.records + records);
                Ok(Ok(()))
            }
            Err(refusal) => {
                self.ids.remove(&batch.id());
                Ok(Err(refusal))
            }
        }
    }

    /// The block.
    ///
    /// # Errors
    /// The store's.
    pub fn finish(self) -> Result<ExecutedBlock, ExecuteError> {
        let Self { state, turn, batches, statuses, steps, .. } = self;
        assemble(state, turn, batches, &statuses, &steps)
    }
}

fn assemble(
    state: &dyn State,
    turn: Turn,
    batches: Vec<Arc<Batch>>,
    statuses: &Statuses,
    steps: &[Vec<TakenStep>],
) -> Result<ExecutedBlock, ExecuteError> {
    let first_index = LeafIndex(state.tip().size.0);
    let mut log = Appended::new(state.frontier().clone());
    let placed: Vec<_> = batches.into_iter().map(|batch| (log.append(&batch), batch)).collect();
    let (size_before, root_before) = (LogSize(log.frontier.size()), log.frontier.root());
    let status = apply(state, &statuses.changes(), size_before.0)?;
    let header = Header {
        epoch: turn.epoch,
        height: state.tip().height.next(),
        view: turn.view,
        parent: state.tip().block_id,
        time: turn.time,
        proposer: turn.proposer,
        first_index,
        size_before,
        root_before,
        status_root: status_root(&Overlay { delta: &status, parent: state }, size_before.0)?,
        authority_set: state.authorities().hash(),
    };
    let steps = place_steps(&placed, steps);
    let changed = statuses.all();
    Ok(ExecutedBlock { status, steps, changed, ..finish(header, placed, log) })
}

fn place_steps(placed: &[(LeafIndex, Arc<Batch>)], steps: &[Vec<TakenStep>]) -> Vec<PlacedStep> {
    let of_batch = |((head, _), steps): (&(LeafIndex, Arc<Batch>), &Vec<TakenStep>)| {
        let first = head.0 + 1;
        let placed = |step: &TakenStep| PlacedStep {
            at: LeafIndex(first + step.position as u64),
            target: step.target,
            before: step.before,
            after: step.after,
        };
        steps.iter().map(placed).collect::<Vec<_>>()
    };
    placed.iter().zip(steps).flat_map(of_batch).collect()
}

/// The issuer that made a batch.
pub(super) const fn issuer_of(batch: &Batch) -> Option<&IssuerId> {
    match &batch.head().author {
        Author::Issuer { issuer, .. } => Some(issuer),
        Author::Genesis => None,
    }
}

/// Puts the parts of a block that changes no status together and closes the log with its header.
pub(super) fn finish(
    header: Header,
    batches: Vec<(LeafIndex, Arc<Batch>)>,
    mut log: Appended,
) -> ExecutedBlock {
    let header_leaf = Leaf::Header(header.clone()).encode();
    log.push(log::leaf_hash(&header_leaf));
    let (mut grants, mut public) = (BTreeMap::new(), Vec::new());
    for (head, batch) in &batches {
        for (index, leaf) in (head.0 + 1..).map(LeafIndex).zip(batch.records()) {
            match &leaf.record {
                Record::Anchor(anchor) if anchor.public => {
                    let commitment = anchor.commitment.0;
                    // Only issuers anchor.
                    public.extend(issuer_of(batch).cloned().map(|issuer| PublicAnchor {
                        index,
                        commitment,
                        issuer,
                    }));
                }
                Record::Anchor(_) | Record::StatusChange(_) => {}
                Record::IssuerGrant(grant) => {
                    grants.insert(grant.issuer.to_string(), index);
                }
            }
        }
    }
    ExecutedBlock {
        header,
        header_leaf,
        batches,
        frontier: log.frontier,
        tile_hashes: log.tile_hashes,
        status: StatusDelta::default(),
        steps: Vec::new(),
        changed: Vec::new(),
        ids: OnceLock::new(),
        grants,
        public,
    }
}

fn check_turn(state: &dyn State, turn: Turn) -> Result<(), InvalidBlock> {
    if turn.time <= state.tip().time {
        Err(InvalidBlock::Time)
    } else if turn.epoch == state.authorities().epoch() {
        Ok(())
    } else {
        Err(InvalidBlock::Epoch)
    }
}

/// A log as it grows by a block.
pub(super) struct Appended {
    pub(super) frontier: Frontier,
    pub(super) tile_hashes: Vec<(u8, u64, Hash)>,
}

impl Appended {
    pub(super) const fn new(frontier: Frontier) -> Self {
        Self { frontier, tile_hashes: Vec::new() }
    }

    /// Appends head and records; tells where the head stands.
    pub(super) fn append(&mut self, batch: &Batch) -> LeafIndex {
        let head = LeafIndex(self.frontier.size());
        work::charge(Step::Leaf, batch.records().len() + 1);
        batch.leaf_hashes().for_each(|hash| self.push(hash));
        head
    }

    pub(super) fn push(&mut self, hash: Hash) {
        let tile_hashes = &mut self.tile_hashes;
        self.frontier.push_with(hash, |level, index, hash| {
            let place = NodePlace::of(level, index);
            if place.count == 1 {
                tile_hashes.push((place.tile_level, index, hash));
            }
        });
    }
}
