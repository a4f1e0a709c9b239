//! What became final lately: the newest blocks and public records, and counts by the minute. For people who look; nothing
//! is decided by it. Its size is bounded. Of a block only what is kept is put together ([`Seen`]), and before readers wait.

use std::{borrow::Borrow, collections::VecDeque, time::Duration};

use markstein_proto::{Author, Batch, Header, Height, IssuerId, Leaf, LeafIndex, Record, TimeMs};

use crate::{
    ledger::block_at,
    storage::{Db, Read, StorageError, tables::Heights},
};

/// Blocks that are kept.
pub const BLOCKS_KEPT: usize = 12;
/// Public records that are kept.
pub const RECORDS_KEPT: usize = 12;
/// Minutes that are kept, the current one included.
pub const MINUTES_KEPT: u64 = 60;
/// Issuers of one block that are named.
const ISSUERS_NAMED: usize = 4;
const MINUTE_MS: u64 = 60_000;

/// A final block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBlock {
    /// Its place in the chain.
    pub height: Height,
    /// The time in its header.
    pub time: TimeMs,
    /// How many batches it has.
    pub batches: usize,
    /// How many records.
    pub records: usize,
    /// From the time in its header to its finality here, in milliseconds by this node's clock; `None` where this node got
    /// it later than it became final.
    pub took_ms: Option<u64>,
    /// Who wrote, each once; the first few.
    pub issuers: Vec<IssuerId>,
    /// Whether there are more.
    pub has_more_issuers: bool,
}

/// A public anchor: whoever has the document can look it up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRecord {
    /// Its place in the log.
    pub index: LeafIndex,
    /// The time of its block.
    pub time: TimeMs,
    /// Who anchored it.
    pub issuer: IssuerId,
    /// Registered code.
    pub document_type: u32,
}

/// What became final within one minute of this node's clock, while this node took part or followed live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenMinute {
    /// Minutes since 1970.
    pub minute: u64,
    /// Blocks.
    pub blocks: u64,
    /// Their records.
    pub records: u64,
    /// Their [`SeenBlock::took_ms`], added up.
    pub took_ms_sum: u64,
    /// The longest of them.
    pub took_ms_max: u64,
}

/// What is kept of one block, put together before anybody who reads is kept waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    block: SeenBlock,
    /// The newest public ones, oldest first.
    records: Vec<SeenRecord>,
    live: Option<TimeMs>,
}

impl Seen {
    /// Of a block with its batches, each with the place of its head; `live` is this node's clock where it saw the block
    /// become final when that happened.
    pub fn of<B: Borrow<Batch>>(header: &Header, batches: &[(LeafIndex, B)], live: Option<TimeMs>) -> Self {
        let mut block = SeenBlock {
            height: header.height,
            time: header.time,
            batches: batches.len(),
            records: batches.iter().map(|(_, batch)| batch.borrow().records().len()).sum(),
            took_ms: live.map(|now| now.0.saturating_sub(header.time.0)),
            issuers: Vec::new(),
            has_more_issuers: false,
        };
        for issuer in batches.iter().filter_map(|(_, batch)| issuer_of(batch.borrow())) {
            if !block.issuers.contains(issuer) {
                if block.issuers.len() == ISSUERS_NAMED {
                    block.has_more_issuers = true;
                    break;
                }
                block.issuers.push(issuer.clone());
            }
        }
        let newest_first =
            batches.iter().rev().flat_map(|(head, batch)| public(header.time, *head, batch.borrow()));
        let mut records: Vec<_> = newest_first.take(RECORDS_KEPT).collect();
        records.reverse();
        Self { block, records, live }
    }

    /// [`SeenBlock::took_ms`].
    #[must_use]
    pub fn took(&self) -> Option<Duration> {
        self.block.took_ms.map(Duration::from_millis)
    }
}

fn issuer_of(batch: &Batch) -> Option<&IssuerId> {
    match &batch.head().author {
        Author::Issuer { issuer, .. } => Some(issuer),
        Author::Genesis => None,
    }
}

/// The public anchors of a batch, newest first, each made when it is asked for.
fn public(time: TimeMs, head: LeafIndex, batch: &Batch) -> impl Iterator<Item = SeenRecord> {
    let records = batch.records().iter().enumerate().rev();
    issuer_of(batch).into_iter().flat_map(move |issuer| {
        records.clone().filter_map(move |(position, leaf)| match &leaf.record {
            Record::Anchor(anchor) if anchor.public => Some(SeenRecord {
                index: LeafIndex(head.0 + 1 + position as u64),
                time,
                issuer: issuer.clone(),
                document_type: anchor.document_type,
            }),
            _ => None,
        })
    })
}

/// All of it, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    blocks: VecDeque<SeenBlock>,
    records: VecDeque<SeenRecord>,
    minutes: VecDeque<SeenMinute>,
}

impl Activity {
    /// The newest blocks of a store and their public records; minutes are counted from now on.
    ///
    /// # Errors
    /// The store's.
    pub fn load(db: &Db) -> Result<Self, StorageError> {
        let mut activity = Self::default();
        let Some((newest, _)) = db.last::<Heights>()? else { return Ok(activity) };
        for height in newest.0.saturating_sub(BLOCKS_KEPT as u64 - 1)..=newest.0 {
            let Some(block) = block_at(db, Height(height))? else { continue };
            let damaged = |e: &dyn std::fmt::Display| {
                StorageError::corrupt("batches", format!("block {height} cannot be read: {e}"))
            };
            let header = Leaf::decode(&block.header).and_then(Leaf::into_header).map_err(|e| damaged(&e))?;
            let mut at = header.first_index;
            let mut batches = Vec::new();
            for bytes in block.batches {
                let batch = Batch::decode(bytes).map_err(|e| damaged(&e))?;
                let head = at;
                at = LeafIndex(at.0 + 1 + batch.records().len() as u64);
                batches.push((head, batch));
            }
            activity.add(Seen::of(&header, &batches, None));
        }
        Ok(activity)
    }

    /// A block became final.
    pub fn add(&mut self, seen: Seen) {
        let Seen { block, records, live } = seen;
        if let (Some(now), Some(took_ms)) = (live, block.took_ms) {
            self.count(now, block.records as u64, took_ms);
        }
        keep(&mut self.blocks, block, BLOCKS_KEPT);
        records.into_iter().for_each(|record| keep(&mut self.records, record, RECORDS_KEPT));
    }

    /// The newest blocks, newest first.
    pub fn blocks(&self) -> impl Iterator<Item = &SeenBlock> {
        self.blocks.iter().rev()
    }

    /// The newest public records, newest first.
    pub fn records(&self) -> impl Iterator<Item = &SeenRecord> {
        self.records.iter().rev()
    }

    /// The minutes up to now in which anything became final, oldest first.
    pub fn minutes(&self, now: TimeMs) -> impl Iterator<Item = &SeenMinute> {
        let newest = now.0 / MINUTE_MS;
        let shown = move |it: &&SeenMinute| it.minute <= newest && it.minute + MINUTES_KEPT > newest;
        self.minutes.iter().filter(shown)
    }

    fn count(&mut self, now: TimeMs, records: u64, took_ms: u64) {
        let minute = now.0 / MINUTE_MS;
        // Of minutes that have not come yet a wrong clock told, unless it went back by a moment only.
        while self.minutes.back().is_some_and(|last| last.minute > minute + 1) {
            self.minutes.pop_back();
        }
        if self.minutes.back().is_none_or(|last| last.minute < minute) {
            self.minutes.push_back(SeenMinute { minute, ..SeenMinute::default() });
        }
        while self.minutes.front().is_some_and(|first| first.minute + MINUTES_KEPT <= minute) {
            self.minutes.pop_front();
        }
        if let Some(last) = self.minutes.back_mut() {
            last.blocks += 1;
            last.records += records;
            last.took_ms_sum = last.took_ms_sum.saturating_add(took_ms);
            last.took_ms_max = last.took_ms_max.max(took_ms);
        }
    }
}

fn keep<T>(ring: &mut VecDeque<T>, newest: T, max: usize) {
    if ring.len() == max {
        ring.pop_front();
    }
    ring.push_back(newest);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::{Anchor, Commitment, EpochId, Hash, LedgerId, LogSize, SecretKey, View};

    use super::*;

    fn header(height: u64, time: u64) -> Header {
        Header {
            epoch: EpochId(0),
            height: Height(height),
            view: View(height),
            parent: Hash([1; 32]),
            time: TimeMs(time),
            proposer: 0,
            first_index: LeafIndex(10 * height),
            size_before: LogSize(10 * height),
            root_before: Hash([2; 32]),
            status_root: Hash([3; 32]),
            authority_set: Hash([4; 32]),
        }
    }

    /// Adds a block.
    fn block(activity: &mut Activity, header: &Header, batches: &[(LeafIndex, Batch)], live: Option<TimeMs>) {
        activity.add(Seen::of(header, batches, live));
    }

    #[test]
    fn rings_end_and_the_newest_comes_first() {
        let mut activity = Activity::default();
        for height in 1..=100 {
            let now = Some(TimeMs(height * MINUTE_MS + 7));
            block(&mut activity, &header(height, height * MINUTE_MS), &[], now);
        }
        let heights: Vec<u64> = activity.blocks().map(|block| block.height.0).collect();
        assert_eq!(heights, (89..=100).rev().collect::<Vec<_>>());
        assert_eq!(activity.blocks().next().unwrap().took_ms, Some(7));
        let minutes = |now| activity.minutes(TimeMs(now)).map(|it| it.minute).collect::<Vec<_>>();
        assert_eq!(minutes(100 * MINUTE_MS), (41..=100).collect::<Vec<_>>());
        assert_eq!(minutes(150 * MINUTE_MS), (91..=100).collect::<Vec<_>>());
        assert!(minutes(900 * MINUTE_MS).is_empty());
    }

    #[test]
    fn what_was_not_seen_live_is_listed_and_not_counted() {
        let mut activity = Activity::default();
        block(&mut activity, &header(1, 5), &[], None);
        assert_eq!(Seen::of::<Batch>(&header(1, 5), &[], None).took(), None);
        assert_eq!(activity.blocks().next().unwrap().took_ms, None);
        assert_eq!(activity.minutes(TimeMs(5)).count(), 0);
    }

    #[test]
    fn a_minute_adds_up_and_a_clock_that_was_wrong_is_forgotten() {
        let mut activity = Activity::default();
        let mut at = |time, now| block(&mut activity, &header(1, time), &[], Some(TimeMs(now)));
        at(0, 90 * MINUTE_MS); // an hour and a half ahead
        at(1_000, 1_250);
        at(70_000, 60_000); // the proposer's clock is ahead: it took no time
        at(59_900, 59_999); // back by a moment
        let minutes: Vec<SeenMinute> = activity.minutes(TimeMs(61_000)).copied().collect();
        let first = SeenMinute { minute: 0, blocks: 1, records: 0, took_ms_sum: 250, took_ms_max: 250 };
        let second = SeenMinute { minute: 1, blocks: 2, records: 0, took_ms_sum: 99, took_ms_max: 99 };
        assert_eq!(minutes, [first, second]);
    }

    /// A batch with a record for each of `public`.
    fn batch(issuer: &str, public: &[bool]) -> Batch {
        let anchor = |(number, public): (usize, &bool)| {
            Record::Anchor(Anchor {
                commitment: Commitment(Hash([number as u8; 32])),
                public: *public,
                document_type: 1,
                valid_until: None,
                supersedes: None,
            })
        };
        let records: Vec<Record> = public.iter().enumerate().map(anchor).collect();
        let (issuer, key) = (IssuerId::new(issuer).unwrap(), SecretKey::from_seed(&[7; 32]));
        Batch::sign(LedgerId(Hash([9; 32])), &issuer, &key, TimeMs(1), &records).unwrap()
    }

    #[test]
    fn issuers_are_named_once_and_only_public_records_are_listed() {
        let batches = [
            (LeafIndex(10), batch("a.example", &[false, true])),
            (LeafIndex(13), batch("b.example", &[true])),
            (LeafIndex(15), batch("a.example", &[false])),
        ];
        let mut activity = Activity::default();
        block(&mut activity, &header(1, 5), &batches, Some(TimeMs(5)));
        let seen = activity.blocks().next().unwrap();
        assert_eq!((seen.batches, seen.records, seen.has_more_issuers), (3, 4, false));
        let issuers: Vec<_> = seen.issuers.iter().map(IssuerId::as_str).collect();
        assert_eq!(issuers, ["a.example", "b.example"]);
        let records: Vec<_> = activity.records().map(|it| (it.index.0, it.issuer.as_str())).collect();
        assert_eq!(records, [(14, "b.example"), (12, "a.example")]);
        assert_eq!(activity.minutes(TimeMs(5)).next().unwrap().records, 4);
    }

    #[test]
    fn of_many_records_and_issuers_only_what_is_kept_is_put_together() {
        let batches: Vec<_> = (0..6)
            .map(|number| (LeafIndex(100 * number), batch(&format!("i{number}.example"), &[true; 9])))
            .collect();
        let seen = Seen::of(&header(1, 5), &batches, None);
        let indices: Vec<_> = seen.records.iter().map(|it| it.index.0).collect();
        assert_eq!(indices, [407, 408, 409].into_iter().chain(501..=509).collect::<Vec<_>>());
        assert_eq!((seen.block.batches, seen.block.records), (6, 54));
        assert_eq!((seen.block.issuers.len(), seen.block.has_more_issuers), (ISSUERS_NAMED, true));
        let mut activity = Activity::default();
        activity.add(seen);
        block(&mut activity, &header(2, 6), &[(LeafIndex(600), batch("a.example", &[true, false]))], None);
        let newest: Vec<_> = activity.records().map(|it| it.index.0).collect();
        assert_eq!(newest[..2], [601, 509]);
        assert_eq!(newest.len(), RECORDS_KEPT);
    }
}
