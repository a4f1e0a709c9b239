//! Reads a log leaf by leaf and computes all that its headers say: the same rules as a node's, written a second time.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use markstein_proto::{
    Author, BATCH_AGE_MAX_MS, BATCH_MAX, BatchHead, BatchId, CHANGE_SETTLED_MS, Hash, Header, Height,
    IssuerId, Leaf, LeafIndex, Record, TimeMs,
    log::{Frontier, root_of},
    receipt::TrustRoot,
    status::StatusStep,
};
use rayon::prelude::*;

use super::{
    places::Places,
    rules::{BLOCK_BATCHES_MAX, BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, Rules},
    seen::Seen,
    statuses::Statuses,
    wrong::{BatchBreach, Breach, Wrong},
};

/// Batches that are kept until somebody was told of them; of more only the number is.
pub const WRITTEN_MAX: usize = 10_000;

/// Changes of statuses that are kept whatever their age.
const CHANGES_MIN: usize = 65_536;

/// Why the log was not read on.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// The files of this auditor.
    #[error("the state folder cannot be read: {0}")]
    Places(#[from] io::Error),
}

/// How much was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks, block 0 included.
    pub blocks: u64,
    /// Batches of issuers; each has one signature.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Those of them that changed a status.
    pub status_changes: u64,
}

/// What an issuer has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Batches.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Time of the last block with one.
    pub last: TimeMs,
}

/// A batch that an issuer under watch has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The issuer.
    pub issuer: IssuerId,
    /// The batch.
    pub batch: BatchId,
    /// Place of its first record.
    pub first: LeafIndex,
    /// How many it has.
    pub records: u32,
    /// Its block.
    pub height: Height,
    /// The block's time.
    pub time: TimeMs,
}

/// A log read so far, and what must be known of it to read on.
#[derive(Debug)]
pub struct Replay {
    pub(super) rules: Rules,
    pub(super) frontier: Frontier,
    /// The newest header.
    pub(super) tip: Option<Header>,
    pub(super) statuses: Statuses,
    /// When the statuses changed lately were changed last, by the record. Of what was read before this run nothing is here.
    changed: HashMap<LeafIndex, TimeMs>,
    /// With so many, old ones are forgotten.
    changes_max: usize,
    pub(super) seen: Seen,
    pub(super) places: Places,
    pub(super) counts: Counts,
    /// By the number of the issuer.
    pub(super) totals: Vec<Total>,
    /// By the number of the issuer: whether somebody wants to know what it writes.
    pub(super) watched: Vec<bool>,
    /// Only of blocks from this leaf on.
    pub(super) watch_from: LeafIndex,
    /// What nobody was told yet.
    pub(super) written: Vec<Written>,
    /// How many more there were.
    pub(super) untold: u64,
    block: OpenBlock,
}

/// The block whose header is not read yet.
#[derive(Debug, Default)]
struct OpenBlock {
    batches: Vec<OpenBatch>,
    records: usize,
    bytes: usize,
}

/// A batch of it. What depends on the block's time waits for the header.
#[derive(Debug)]
struct OpenBatch {
    head: BatchHead,
    id: BatchId,
    at: LeafIndex,
    issuer: u32,
    /// Records that are still to come.
    left: u32,
    hashes: Vec<Hash>,
    /// As one message, in bytes.
    bytes: usize,
    steps: Vec<(LeafIndex, StatusStep)>,
    others: Vec<LeafIndex>,
}

impl Replay {
    /// A log of this ledger of which nothing is read yet.
    #[must_use]
    pub fn new(trust: &TrustRoot, places: Places) -> Self {
        let rules = Rules::new(trust);
        let issuers = rules.issuers().len();
        Self {
            rules,
            frontier: Frontier::new(),
            tip: None,
            statuses: Statuses::default(),
            changed: HashMap::new(),
            changes_max: CHANGES_MIN,
            seen: Seen::default(),
            places,
            counts: Counts::default(),
            totals: vec![Total::default(); issuers],
            watched: vec![false; issuers],
            watch_from: LeafIndex(0),
            written: Vec::new(),
            untold: 0,
            block: OpenBlock::default(),
        }
    }

    /// Number of leaves read.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root of the log read so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// The newest header.
    #[must_use]
    pub const fn tip(&self) -> Option<&Header> {
        self.tip.as_ref()
    }

    /// How much was read.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Where things stand in it.
    pub const fn places_mut(&mut self) -> &mut Places {
        &mut self.places
    }

    /// Whether the last leaf was a header.
    #[must_use]
    pub fn is_at_block_end(&self) -> bool {
        self.tip.as_ref().is_some_and(|tip| tip.index().0 + 1 == self.size())
    }

    /// Reads the next leaf. True where it closes a block, and all of the block is as it must be.
    ///
    /// # Errors
    /// See [`ReplayError`]; nothing more can be read then.
    pub fn leaf(&mut self, bytes: &[u8], hash: Hash) -> Result<bool, ReplayError> {
        let at = LeafIndex(self.size());
        if let Some(first) = self.rules.first_block.get(at.0 as usize) {
            if *first != hash {
                return Err(self.wrong(at, Breach::Genesis).into());
            }
            return Ok(self.first_block(at, hash));
        }
        let closed = match Leaf::decode(bytes).map_err(|e| self.wrong(at, Breach::Leaf(e)))? {
            Leaf::Record(record) => {
                self.record(at, bytes.len(), hash, &record)?;
                false
            }
            Leaf::BatchHead(head) => {
                self.head(at, bytes.len(), head)?;
                false
            }
            Leaf::Header(header) => {
                self.close(at, &header)?;
                self.tip = Some(header);
                true
            }
        };
        self.frontier.push(hash);
        if closed {
            self.places.add_block(self.size(), self.root());
        }
        Ok(closed)
    }

    /// A leaf of block 0, which is known.
    fn first_block(&mut self, at: LeafIndex, hash: Hash) -> bool {
        self.frontier.push(hash);
        let closed = at == self.rules.first_header.index();
        if closed {
            self.tip = Some(self.rules.first_header.clone());
            self.counts.blocks = 1;
            self.places.add_block(self.size(), self.root());
        }
        closed
    }

    fn height(&self) -> Height {
        self.tip.as_ref().map_or(Height(0), |tip| tip.height.next())
    }

    fn wrong(&self, at: LeafIndex, what: Breach) -> Wrong {
        Wrong { at, height: self.height(), what }
    }

    fn bad_batch(&self, at: LeafIndex, batch: BatchId, why: impl Into<BatchBreach>) -> Wrong {
        self.wrong(at, Breach::Batch { batch, why: why.into() })
    }

    /// The batch before must be whole.
    fn require_whole(&self, at: LeafIndex) -> Result<(), Wrong> {
        match self.block.batches.last() {
            Some(batch) if batch.left > 0 => {
                let count = batch.head.record_count;
                Err(self.wrong(at, Breach::Cut { batch: batch.id, found: count - batch.left, count }))
            }
            _ => Ok(()),
        }
    }

    fn head(&mut self, at: LeafIndex, length: usize, head: BatchHead) -> Result<(), Wrong> {
        self.require_whole(at)?;
        let id = head.id();
        if head.ledger != self.rules.ledger {
            return Err(self.bad_batch(at, id, BatchBreach::AnotherLedger(head.ledger)));
        }
        let Author::Issuer { issuer, .. } = &head.author else {
            return Err(self.bad_batch(at, id, BatchBreach::GenesisAuthor));
        };
        let Some(issuer) = self.rules.number_of(issuer) else {
            return Err(self.bad_batch(at, id, BatchBreach::NoGrant(issuer.clone())));
        };
        if self.block.batches.len() == BLOCK_BATCHES_MAX {
            return Err(self.wrong(at, Breach::TooLarge));
        }
        let left = head.record_count;
        let hashes = Vec::with_capacity(left as usize);
        let (steps, others) = (Vec::new(), Vec::new());
        let bytes = field_length(length);
        self.block.batches.push(OpenBatch { head, id, at, issuer, left, hashes, bytes, steps, others });
        Ok(())
    }

    fn record(&mut self, at: LeafIndex, length: usize, hash: Hash, record: &Record) -> Result<(), Wrong> {
        let height = self.height();
        let wrong = |what| Wrong { at, height, what };
        let Some(batch) = self.block.batches.last_mut().filter(|batch| batch.left > 0) else {
            return Err(wrong(Breach::StrayRecord));
        };
        let bad = |batch: &OpenBatch, why| wrong(Breach::Batch { batch: batch.id, why });
        match record {
            Record::Anchor(anchor) if !self.rules.covers(batch.issuer, anchor.document_type) => {
                return Err(bad(batch, BatchBreach::OutOfScope { at, kind: anchor.document_type }));
            }
            Record::Anchor(_) => {}
            Record::StatusChange(_) => batch.others.push(at),
            Record::IssuerGrant(_) => return Err(bad(batch, BatchBreach::RecordKind(at))),
        }
        batch.steps.extend(record.status_step().map(|step| (at, step)));
        batch.hashes.push(hash);
        batch.bytes += field_length(length);
        batch.left -= 1;
        self.block.records += 1;
        if self.block.records > BLOCK_RECORDS_MAX {
            return Err(wrong(Breach::TooLarge));
        }
        if batch.left == 0 {
            self.block.bytes += batch.bytes;
            batch.check_form().map_err(|why| bad(batch, why))?;
            if self.block.bytes > BLOCK_BYTES_MAX {
                return Err(wrong(Breach::TooLarge));
            }
        }
        Ok(())
    }

    /// The header of the open block: everything that waited for it, and what it says itself.
    fn close(&mut self, at: LeafIndex, header: &Header) -> Result<(), ReplayError> {
        self.require_whole(at)?;
        self.check_chain(at, header)?;
        let computed = self.frontier.root();
        if header.root_before != computed {
            return Err(self.wrong(at, Breach::LogRoot { found: header.root_before, computed }).into());
        }
        let block = std::mem::take(&mut self.block);
        self.check_authors(&block, header.time)?;
        self.statuses.grow(at.0);
        self.seen.forget_before(header.time);
        for batch in &block.batches {
            if !self.seen.insert(&batch.id, batch.head.created_at) {
                return Err(self.bad_batch(batch.at, batch.id, BatchBreach::Duplicate).into());
            }
            self.change_statuses(batch, header.first_index, header.time)?;
        }
        self.forget_changes(header.time);
        let computed = self.statuses.root();
        if header.status_root != computed {
            return Err(self.wrong(at, Breach::StatusRoot { found: header.status_root, computed }).into());
        }
        self.take_up(&block, header);
        Ok(())
    }

    /// What of a header follows from the one before it and from its own place.
    fn check_chain(&self, at: LeafIndex, header: &Header) -> Result<(), Wrong> {
        let parent = self.tip.as_ref().expect("block 0 comes first");
        let require = |holds: bool, breach: &dyn Fn() -> Breach| {
            if holds { Ok(()) } else { Err(self.wrong(at, breach())) }
        };
        let id = parent.block_id();
        require(header.parent == id, &|| Breach::header("the parent", &header.parent, &id))?;
        let height = parent.height.next();
        require(header.height == height, &|| Breach::header("the height", &header.height, &height))?;
        require(header.epoch == parent.epoch, &|| Breach::header("the epoch", &header.epoch, &parent.epoch))?;
        let set = &parent.authority_set;
        require(header.authority_set == *set, &|| {
            Breach::header("the authorities", &header.authority_set, set)
        })?;
        require(header.time > parent.time, &|| {
            let rule = format!("above {}, the time of the block before it", parent.time.0);
            Breach::header("the time", &header.time.0.to_string(), &rule)
        })?;
        require(header.view > parent.view, &|| {
            let rule = format!("above {}, that of the block before it", parent.view);
            Breach::header("the view", &header.view.to_string(), &rule)
        })?;
        let leader = self.rules.leader(header.view);
        require(header.proposer == leader, &|| Breach::header("the proposer", &header.proposer, &leader))?;
        let first = parent.size_before.next().0;
        require(header.first_index.0 == first, &|| {
            Breach::header("the first leaf", &header.first_index.0, &first)
        })?;
        require(header.size_before.0 == at.0, &|| {
            Breach::header("the size before it", &header.size_before.0, &at.0)
        })
    }

    /// Keys, signatures and ages at the time of the block.
    fn check_authors(&self, block: &OpenBlock, time: TimeMs) -> Result<(), Wrong> {
        let check = |batch: &OpenBatch| {
            let created_at = batch.head.created_at;
            let verified = batch.head.verify_author(self.rules.grant(batch.issuer), time);
            verified.map_err(|why| self.bad_batch(batch.at, batch.id, why))?;
            if time.0.abs_diff(created_at.0) > BATCH_AGE_MAX_MS {
                let why = BatchBreach::Age { created_at, block: time };
                return Err(self.bad_batch(batch.at, batch.id, why));
            }
            Ok(())
        };
        // The first in the log is told, whichever core comes to an end first.
        let mut found: Vec<Wrong> = block.batches.par_iter().filter_map(|batch| check(batch).err()).collect();
        if found.is_empty() { Ok(()) } else { Err(found.swap_remove(0)) }
    }

    fn change_statuses(
        &mut self,
        batch: &OpenBatch,
        first: LeafIndex,
        time: TimeMs,
    ) -> Result<(), ReplayError> {
        let settled = TimeMs(batch.head.created_at.0.saturating_add(CHANGE_SETTLED_MS));
        let mut own = HashSet::new();
        for (at, step) in &batch.steps {
            let (at, target) = (*at, step.target());
            let anchored = if target < first { self.places.anchored_by(target)? } else { None };
            let after =
                match anchored {
                    None => Err(BatchBreach::NoTarget { at, target }),
                    Some(issuer) if issuer != batch.issuer => Err(BatchBreach::AnothersRecord { at, target }),
                    Some(_) => step
                        .applied_to(self.statuses.get(target.0))
                        .map_err(|why| BatchBreach::Status { at, target, why }),
                };
            let after = after.map_err(|why| self.bad_batch(at, batch.id, why))?;
            let changed = self.changed.get(&target).filter(|_| !own.contains(&target));
            if changed.is_some_and(|changed| *changed > settled) {
                return Err(self.bad_batch(at, batch.id, BatchBreach::ChangedSince { at, target }).into());
            }
            own.insert(target);
            self.statuses.set(target.0, after);
        }
        self.changed.extend(own.into_iter().map(|target| (target, time)));
        Ok(())
    }

    /// A batch is a day old at most, so older changes matter no more. Looked at once there are many.
    fn forget_changes(&mut self, time: TimeMs) {
        if self.changed.len() >= self.changes_max {
            self.changed.retain(|_, changed| changed.0.saturating_add(BATCH_AGE_MAX_MS) >= time.0);
            self.changes_max = CHANGES_MIN.max(2 * self.changed.len());
        }
    }

    /// Remembers a good block.
    fn take_up(&mut self, block: &OpenBlock, header: &Header) {
        self.counts.blocks += 1;
        for batch in &block.batches {
            let records = batch.head.record_count;
            self.places.add_batch(batch.at, records, batch.issuer);
            batch.others.iter().for_each(|at| self.places.others.push(at.0.to_be_bytes()));
            self.counts.batches += 1;
            self.counts.records += u64::from(records);
            self.counts.status_changes += batch.steps.len() as u64;
            let issuer = batch.issuer as usize;
            let total = &mut self.totals[issuer];
            total.batches += 1;
            total.records += u64::from(records);
            total.last = header.time;
            if !self.watched[issuer] || header.index() < self.watch_from {
                continue;
            }
            if self.written.len() == WRITTEN_MAX {
                self.untold += 1;
                continue;
            }
            self.written.push(Written {
                issuer: self.rules.grant(batch.issuer).issuer.clone(),
                batch: batch.id,
                first: batch.at.next(),
                records,
                height: header.height,
                time: header.time,
            });
        }
    }
}

impl OpenBatch {
    /// What can be said of a whole batch without its block.
    fn check_form(&self) -> Result<(), BatchBreach> {
        if self.bytes > BATCH_MAX {
            return Err(BatchBreach::TooLong);
        }
        if root_of(&self.hashes) != self.head.records_root {
            return Err(BatchBreach::RecordsRoot);
        }
        let mut sorted = self.hashes.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) { Err(BatchBreach::SameRecord) } else { Ok(()) }
    }
}

/// Bytes of a field of this many bytes in a protobuf message, as a batch is one.
const fn field_length(bytes: usize) -> usize {
    let bits = (usize::BITS - (bytes | 1).leading_zeros()) as usize;
    1 + bits.div_ceil(7) + bytes
}
