//! Whether the ledger on the disk is whole: every leaf hashed again, up to the roots that the headers name.
//!
//! Checksums tell what the disk gives back otherwise than it took it. This tells what is missing or does not belong
//! together, whatever the reason.

use std::collections::BTreeMap;

use markstein_proto::{
    Batch, Genesis, Hash, Header, Height, Leaf, LeafIndex, LogSize, Record,
    consensus::{Ballot, Certificate, Verifier},
    log::{
        Frontier, leaf_hash,
        tile::{FULL_WIDTH, TileNodes},
    },
    status::{Chunk, Status, StatusReader, StatusStep, chunk_of, status_root},
};

use super::{
    StoredTiles,
    execute::{Appended, issuer_of},
    finalize::author_of,
    public,
    state::{Stored, grant_at},
};
use crate::storage::{
    Read, StorageError,
    tables::{
        BatchAt, BatchAuthors, Batches, ChangeHeads, Finalizations, Headers, Heights, Outcome, Outcomes,
        Registry, StatusEntry, StatusHistory, StatusSteps, Tiles,
    },
};

/// How many of the newest blocks are looked at where not all are.
pub const TAIL_BLOCKS: u64 = 256;
/// No further block is looked at once the newer ones have as many leaves as this: it bounds the time of a start.
pub const TAIL_LEAVES: u64 = 16_384;

/// What was looked at, and found whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audited {
    /// The oldest block looked at.
    pub from: Height,
    /// The newest block.
    pub tip: Height,
    /// Leaves of the log.
    pub size: LogSize,
}

/// Looks at the newest blocks, or at all of them, and at what is kept of them in other tables. `progress` hears of each
/// block before it is read.
///
/// # Errors
/// [`StorageError::Corrupt`] with the table and the height where something is damaged; otherwise the store's.
pub fn audit<R: Read>(
    read: &R,
    genesis: &Genesis,
    all: bool,
    mut progress: impl FnMut(Height, Height),
) -> Result<Audited, StorageError> {
    let (tip, index) =
        read.last::<Heights>()?.ok_or_else(|| StorageError::corrupt("heights", "it has no block"))?;
    let from = if all { Height(0) } else { tail(read, tip, index)? };
    let mut walk = Walk::start(read, genesis, from)?;
    for height in (from.0..=tip.0).map(Height) {
        progress(height, tip);
        walk.block(height)?;
    }
    let size = LogSize(walk.frontier.size());
    check_ends(read, &walk.header_of(tip)?, size)?;
    check_finalizations(read, genesis, all)?;
    check_registry(read, genesis, size)?;
    Ok(Audited { from, tip, size })
}

/// The oldest block of the tail.
fn tail<R: Read>(read: &R, tip: Height, index: LeafIndex) -> Result<Height, StorageError> {
    let mut from = tip;
    while let Some(before) = from.0.checked_sub(1).map(Height) {
        let at = header_index(read, before)?;
        if tip.0 - before.0 >= TAIL_BLOCKS || index.0.saturating_sub(at.0) > TAIL_LEAVES {
            break;
        }
        from = before;
    }
    Ok(from)
}

fn header_index<R: Read>(read: &R, height: Height) -> Result<LeafIndex, StorageError> {
    read.get::<Heights>(&height)?
        .ok_or_else(|| StorageError::corrupt("heights", format!("block {height} is missing")))
}

/// The header of a block and its leaf.
fn header_at<R: Read>(read: &R, height: Height) -> Result<(Header, Vec<u8>), StorageError> {
    let index = header_index(read, height)?;
    let damaged = |what: String| StorageError::corrupt("headers", format!("block {height}: {what}"));
    let leaf = read.get::<Headers>(&index)?.ok_or_else(|| damaged("its header is missing".into()))?;
    let header = Leaf::decode(&leaf)
        .and_then(Leaf::into_header)
        .map_err(|e| damaged(format!("its header is none: {e}")))?;
    if header.height != height || header.index() != index {
        return Err(damaged("another block's header stands in its place".into()));
    }
    Ok((header, leaf))
}

/// A walk over blocks, oldest first.
struct Walk<'a, R> {
    read: &'a R,
    genesis: &'a Genesis,
    frontier: Frontier,
    parent: Option<Header>,
    /// The stored tile of each level that was compared last.
    tiles: BTreeMap<u8, (u64, Vec<u8>)>,
}

impl<'a, R: Read> Walk<'a, R> {
    /// Begins below a block, with the log as the tiles have it.
    fn start(read: &'a R, genesis: &'a Genesis, from: Height) -> Result<Self, StorageError> {
        let (mut frontier, mut parent) = (Frontier::new(), None);
        if let Some(before) = from.0.checked_sub(1).map(Height) {
            let (header, leaf) = header_at(read, before)?;
            frontier = Frontier::read(&TileNodes(StoredTiles(read)), header.size_before.0)
                .map_err(|e| StorageError::corrupt("tiles", format!("below block {before}: {e}")))?;
            if frontier.root() != header.root_before {
                let what = format!("they do not lead to the root that block {before} names");
                return Err(StorageError::corrupt("tiles", what));
            }
            frontier.push(leaf_hash(&leaf));
            parent = Some(header);
        }
        Ok(Self { read, genesis, frontier, parent, tiles: BTreeMap::new() })
    }

    fn header_of(&self, tip: Height) -> Result<Header, StorageError> {
        let tip_header = self.parent.clone().filter(|header| header.height == tip);
        tip_header.map_or_else(|| header_at(self.read, tip).map(|(header, _)| header), Ok)
    }

    fn block(&mut self, height: Height) -> Result<(), StorageError> {
        let (header, leaf) = header_at(self.read, height)?;
        self.check_link(&header)?;
        let first = LeafIndex(self.frontier.size());
        let mut log = Appended::new(self.frontier.clone());
        let misplaced = |at: LeafIndex| {
            let what = format!("block {height}: a batch stands at leaf {at} that does not belong there");
            StorageError::corrupt("batch_at", what)
        };
        for entry in self.read.range::<BatchAt>(first..header.index()) {
            let (at, id) = entry?;
            let batch = self.batch(height, at, &id)?;
            if at.0 != log.frontier.size() {
                return Err(misplaced(at));
            }
            log.append(&batch);
        }
        if log.frontier.size() != header.size_before.0 {
            let what = format!("block {height}: its batches have other leaves than its header counts");
            return Err(StorageError::corrupt("batch_at", what));
        }
        if log.frontier.root() != header.root_before {
            let what = format!("block {height}: its batches do not lead to the root that its header names");
            return Err(StorageError::corrupt("batches", what));
        }
        log.push(leaf_hash(&leaf));
        self.check_tiles(height, &log.tile_hashes)?;
        self.frontier = log.frontier;
        self.parent = Some(header);
        Ok(())
    }

    fn check_link(&self, header: &Header) -> Result<(), StorageError> {
        let linked = match &self.parent {
            None => header.block_id() == self.genesis.block_id(),
            Some(parent) => {
                header.parent == parent.block_id()
                    && header.first_index.0 == self.frontier.size()
                    && header.time > parent.time
                    && header.view > parent.view
            }
        };
        let what = || format!("block {} does not follow the one before it", header.height);
        if linked { Ok(()) } else { Err(StorageError::corrupt("headers", what())) }
    }

    /// A batch of a block, with its outcome and what is looked up by its records.
    fn batch(&self, height: Height, at: LeafIndex, id: &Hash) -> Result<Batch, StorageError> {
        let damaged =
            |table, what: &str| StorageError::corrupt(table, format!("block {height}: batch {id} {what}"));
        let bytes = self.read.get::<Batches>(id)?.ok_or_else(|| damaged("batches", "is missing"))?;
        let batch = Batch::decode(bytes).map_err(|e| damaged("batches", &format!("is none: {e}")))?;
        if batch.id().0 != *id {
            return Err(damaged("batches", "has another one's bytes"));
        }
        if self.read.get::<Outcomes>(id)? != Some(Outcome::Final { height, head_index: at }) {
            return Err(damaged("outcomes", "is in this block, and its outcome does not say so"));
        }
        if self.read.get::<BatchAuthors>(&at)? != author_of(&batch) {
            return Err(damaged("batch_authors", "is in this block, and its author is not listed so"));
        }
        let mut changes = false;
        for (index, leaf) in (at.0 + 1..).map(LeafIndex).zip(batch.records()) {
            if let Some(step) = leaf.record.status_step() {
                check_step(self.read, height, (index, at), (step, &leaf.bytes))?;
                changes = true;
            }
            if let Record::Anchor(anchor) = &leaf.record
                && anchor.public
                && let Some(issuer) = issuer_of(&batch)
            {
                let status = status_of(self.read, index)?;
                if !public::is_found(self.read, (index, status), anchor.commitment.0, issuer)? {
                    return Err(damaged("public_records", "has a public record that cannot be found"));
                }
            }
        }
        if changes && self.read.get::<ChangeHeads>(&at)?.as_deref() != Some(batch.head_leaf()) {
            return Err(damaged("change_heads", "changes a status, and its head is not kept so"));
        }
        Ok(batch)
    }

    /// Compares nodes of the log that were computed with those in the tiles.
    fn check_tiles(&mut self, height: Height, hashes: &[(u8, u64, Hash)]) -> Result<(), StorageError> {
        let width = u64::from(FULL_WIDTH);
        for &(level, index, hash) in hashes {
            let number = index / width;
            if self.tiles.get(&level).is_none_or(|(held, _)| *held != number) {
                let tile = self.read.get::<Tiles>(&(level, number))?.unwrap_or_default();
                self.tiles.insert(level, (number, tile));
            }
            let at = (index % width * 32) as usize;
            let stored = self.tiles.get(&level).and_then(|(_, tile)| tile.get(at..at + 32));
            if stored != Some(hash.0.as_slice()) {
                let what = format!("tile {number} of level {level} does not fit block {height}");
                return Err(StorageError::corrupt("tiles", what));
            }
        }
        Ok(())
    }
}

/// A record that changes a status is found by its target, and follows from the change of it before; what comes after it
/// follows from it, and after the last one it is the status in the tree.
fn check_step<R: Read>(
    read: &R,
    height: Height,
    (at, head): (LeafIndex, LeafIndex),
    (step, leaf): (StatusStep, &[u8]),
) -> Result<(), StorageError> {
    let damaged = |table, what: &str| {
        StorageError::corrupt(table, format!("block {height}: the change at leaf {at} {what}"))
    };
    let target = step.target();
    if read.get::<StatusSteps>(&at)? != Some(target) {
        return Err(damaged("status_steps", "is missing"));
    }
    let change =
        read.get::<StatusHistory>(&(target, at))?.ok_or_else(|| damaged("status_history", "is missing"))?;
    let before = change.before;
    if change != (StatusEntry { before, head, leaf: leaf.to_vec() }) {
        return Err(damaged("status_history", "has other bytes than in its batch"));
    }
    let after = step
        .applied_to(before)
        .map_err(|why| damaged("status_history", &format!("does not follow from what was before: {why}")))?;
    let earlier = read.range_reverse::<StatusHistory>((target, LeafIndex(0))..(target, at)).next();
    if earlier.transpose()?.is_none() && before != Status::Valid {
        return Err(damaged("status_history", "is the first of its record, which was not valid before"));
    }
    let later = read.range::<StatusHistory>((target, at.next())..=(target, LeafIndex(u64::MAX))).next();
    let next = match later.transpose()? {
        Some((_, next)) => next.before,
        None => status_of(read, target)?,
    };
    if next == after {
        Ok(())
    } else {
        Err(damaged("status_history", &format!("leads to {after}, and after it stands {next}")))
    }
}

/// The status of a leaf in the tree.
fn status_of<R: Read>(read: &R, index: LeafIndex) -> Result<Status, StorageError> {
    let (chunk, position) = chunk_of(index.0);
    Ok(Stored(read).chunk(chunk)?.unwrap_or(Chunk::ZERO).get(position))
}

/// Tables that grow with the log end where the newest block does, and its status root is that of the status tree.
fn check_ends<R: Read>(read: &R, tip: &Header, size: LogSize) -> Result<(), StorageError> {
    let beyond = |table| {
        StorageError::corrupt(table, format!("it does not end with the newest block, {}", tip.height))
    };
    if read.last::<Headers>()?.is_none_or(|(index, _)| index != tip.index()) {
        return Err(beyond("headers"));
    }
    if read.last::<BatchAt>()?.is_none_or(|(index, _)| index >= tip.index()) {
        return Err(beyond("batch_at"));
    }
    if read.last::<BatchAuthors>()?.is_some_and(|(index, _)| index >= tip.index()) {
        return Err(beyond("batch_authors"));
    }
    if read.last::<StatusSteps>()?.is_some_and(|(index, _)| index >= tip.index()) {
        return Err(beyond("status_steps"));
    }
    let last = read.last_at_or_below::<Tiles>(&(0, u64::MAX))?;
    let hashes =
        |((_, number), tile): ((u8, u64), Vec<u8>)| number * u64::from(FULL_WIDTH) * 32 + tile.len() as u64;
    if last.map(hashes) != Some(size.0 * 32) {
        return Err(beyond("tiles"));
    }
    if status_root(&Stored(read), tip.size_before.0)? != tip.status_root {
        let what = format!("they do not lead to the status root that block {} names", tip.height);
        return Err(StorageError::corrupt("status_nodes", what));
    }
    Ok(())
}

/// The newest finalization, or each, is a quorum's on the block at its height.
fn check_finalizations<R: Read>(read: &R, genesis: &Genesis, all: bool) -> Result<(), StorageError> {
    let verifier = Verifier::of(genesis.ledger_id(), &genesis.authorities);
    for entry in read.range_reverse::<Finalizations>(..).take(if all { usize::MAX } else { 1 }) {
        let (height, bytes) = entry?;
        let damaged =
            |what: &str| StorageError::corrupt("finalizations", format!("that of block {height} {what}"));
        let certificate = Certificate::decode(&bytes).map_err(|e| damaged(&format!("is none: {e}")))?;
        let checked =
            verifier.certificate(certificate).map_err(|e| damaged(&format!("does not verify: {e}")))?;
        let (header, _) = header_at(read, height)?;
        if checked.subject().ballot != Ballot::Finalize(header.block_id()) {
            return Err(damaged("is on another block"));
        }
    }
    Ok(())
}

/// Each issuer of the genesis has its grant.
fn check_registry<R: Read>(read: &R, genesis: &Genesis, size: LogSize) -> Result<(), StorageError> {
    for (index, grant) in (1..).zip(&genesis.grants) {
        let damaged =
            || StorageError::corrupt("registry", format!("the grant of {} is missing", grant.issuer));
        let at = read.get::<Registry>(&grant.issuer.as_str().to_owned())?.ok_or_else(damaged)?;
        let is_its = at.0 == index || (at.0 < size.0 && grant_at(read, at)?.issuer == grant.issuer);
        if !is_its {
            return Err(damaged());
        }
    }
    Ok(())
}
