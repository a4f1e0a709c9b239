//! The state a block is executed on.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use markstein_proto::{
    AuthoritySet, BatchId, EpochId, Hash, Header, Height, IssuerGrant, IssuerId, Leaf, LeafIndex, LogSize,
    Record, TimeMs, View,
    log::{Frontier, tile::TileNodes},
    status::{Chunk, StatusReader},
};

use super::{ExecutedBlock, StoredTiles, TreeHead, history::newest_change, lookup::leaf_at};
use crate::storage::{
    Db, Read, StorageError,
    tables::{
        AuthoritySets, BatchAuthor, BatchAuthors, Headers, Heights, Outcome, Outcomes, Registry,
        StatusChunks, StatusNodes,
    },
};

/// The newest block of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// Its id.
    pub block_id: Hash,
    /// Whose authorities decided it.
    pub epoch: EpochId,
    /// Its place in the chain.
    pub height: Height,
    /// Its view.
    pub view: View,
    /// Its time.
    pub time: TimeMs,
    /// Leaves of the log with its header.
    pub size: LogSize,
}

impl Tip {
    pub(super) fn of(header: &Header) -> Self {
        Self {
            block_id: header.block_id(),
            epoch: header.epoch,
            height: header.height,
            view: header.view,
            time: header.time,
            size: header.size_before.next(),
        }
    }
}

/// What execution may ask of the parent's state, final or not.
pub trait State: StatusReader<Error = StorageError> {
    /// The parent block.
    fn tip(&self) -> &Tip;
    /// The log up to and with the parent's header.
    fn frontier(&self) -> &Frontier;
    /// Size and root of that log.
    fn head(&self) -> TreeHead {
        TreeHead { size: self.tip().size, root: self.frontier().root() }
    }
    /// The authorities in force after the parent.
    fn authorities(&self) -> &AuthoritySet;
    /// The grant in force of an issuer.
    ///
    /// # Errors
    /// The store's.
    fn grant(&self, issuer: &IssuerId) -> Result<Option<IssuerGrant>, StorageError>;
    /// Who anchored the document at this leaf; `None` where there is no anchor. What was read for it is kept in `last`, for
    /// the next one is often of the same batch.
    ///
    /// # Errors
    /// The store's.
    fn anchored_by(&self, index: LeafIndex, last: &mut LastRead) -> Result<Option<IssuerId>, StorageError>;
    /// The time of the block that changed the status of the record at this leaf last; `None` where none did.
    ///
    /// # Errors
    /// The store's.
    fn changed_at(&self, target: LeafIndex) -> Result<Option<TimeMs>, StorageError>;
    /// Whether a batch is in the ledger.
    ///
    /// # Errors
    /// The store's.
    fn contains(&self, batch: &BatchId) -> Result<bool, StorageError>;
}

/// The earliest time that a block on this state may have, by a clock.
#[must_use]
pub fn next_time(state: &dyn State, clock: TimeMs) -> TimeMs {
    clock.max(TimeMs(state.tip().time.0.saturating_add(1)))
}

/// A final batch whose author was read last. What stands in the final log never changes.
#[derive(Debug, Default)]
pub struct LastRead(Option<(LeafIndex, BatchAuthor)>);

impl LastRead {
    /// Who anchored the document at `index`, where that is in this batch: its record, or none.
    fn of(&self, index: LeafIndex) -> Option<Option<IssuerId>> {
        let (head, author) = self.0.as_ref()?;
        let position = u32::try_from(index.0.checked_sub(head.0)?.checked_sub(1)?).ok()?;
        let is_here = position < author.records;
        is_here.then(|| author.is_anchor(position).then(|| author.issuer.clone()))
    }
}

/// The state after the newest final block: its tip in memory, the rest in the store.
#[derive(Clone)]
pub struct FinalState {
    db: Db,
    tip: Tip,
    frontier: Frontier,
    authorities: Arc<AuthoritySet>,
    grants: Grants,
}

/// Grants that were read, by their leaf index: what stands at an index of the final log never changes. Each batch needs its
/// issuer's, several times, and to read one is to decode the batch that it stands in.
#[derive(Clone, Default)]
struct Grants(Arc<Mutex<HashMap<LeafIndex, IssuerGrant>>>);

/// Grants that are kept decoded.
const GRANTS_MAX: usize = 1024;

impl Grants {
    fn at<R: Read>(&self, read: &R, index: LeafIndex) -> Result<IssuerGrant, StorageError> {
        let known = |grants: &Self| grants.lock().get(&index).cloned();
        if let Some(grant) = known(self) {
            return Ok(grant);
        }
        let grant = grant_at(read, index)?;
        let mut grants = self.lock();
        if grants.len() >= GRANTS_MAX {
            grants.clear();
        }
        grants.insert(index, grant.clone());
        Ok(grant)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LeafIndex, IssuerGrant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FinalState {
    /// Loads the state and checks that tiles, newest header and authority set belong together.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where they do not; otherwise the store's.
    pub fn load(db: &Db) -> Result<Self, StorageError> {
        Self::load_beside(db, None)
    }

    /// The same where a set of authorities is known already, such as that of the genesis: if the newest header names it,
    /// its keys need not be checked again.
    ///
    /// # Errors
    /// As [`FinalState::load`].
    pub fn load_beside(db: &Db, known: Option<&AuthoritySet>) -> Result<Self, StorageError> {
        let (height, index) =
            db.last::<Heights>()?.ok_or_else(|| StorageError::corrupt("heights", "it has no block"))?;
        let leaf = db
            .get::<Headers>(&index)?
            .ok_or_else(|| StorageError::corrupt("headers", "the header of the newest block is missing"))?;
        let header = Leaf::decode(&leaf)
            .and_then(Leaf::into_header)
            .map_err(|e| StorageError::corrupt("headers", format!("the newest header is damaged: {e}")))?;
        if header.height != height || header.index() != index {
            return Err(StorageError::corrupt("headers", "the newest header is another block's"));
        }
        let mut frontier = read_frontier(db, header.size_before)?;
        if frontier.root() != header.root_before {
            return Err(StorageError::corrupt("tiles", "they do not lead to the root of the newest header"));
        }
        frontier.push(markstein_proto::log::leaf_hash(&leaf));
        let authorities = read_authorities(db, &header, known)?;
        let (tip, authorities) = (Tip::of(&header), Arc::new(authorities));
        Ok(Self { db: db.clone(), tip, frontier, authorities, grants: Grants::default() })
    }

    /// The state after a block that was executed on this one and whose writes are in the store.
    #[must_use]
    pub fn advance(&self, block: &ExecutedBlock) -> Self {
        assert_eq!(block.header.parent, self.tip.block_id, "a block is finalised on its own parent");
        Self {
            db: self.db.clone(),
            tip: Tip::of(&block.header),
            frontier: block.frontier.clone(),
            authorities: Arc::clone(&self.authorities),
            grants: self.grants.clone(),
        }
    }

    /// The store below.
    #[must_use]
    pub const fn db(&self) -> &Db {
        &self.db
    }
}

fn read_frontier(db: &Db, size: LogSize) -> Result<Frontier, StorageError> {
    Frontier::read(&TileNodes(StoredTiles(db)), size.0)
        .map_err(|e| StorageError::corrupt("tiles", e.to_string()))
}

fn read_authorities(
    db: &Db,
    header: &Header,
    known: Option<&AuthoritySet>,
) -> Result<AuthoritySet, StorageError> {
    let bytes = db
        .get::<AuthoritySets>(&header.epoch)?
        .ok_or_else(|| StorageError::corrupt("authority_sets", "the set of the newest epoch is missing"))?;
    if let Some(known) = known.filter(|known| known.hash() == header.authority_set && known.encode() == bytes)
    {
        return Ok(known.clone());
    }
    let set =
        AuthoritySet::decode(&bytes).map_err(|e| StorageError::corrupt("authority_sets", e.to_string()))?;
    if set.hash() == header.authority_set {
        Ok(set)
    } else {
        Err(StorageError::corrupt("authority_sets", "the newest header names another authority set"))
    }
}

impl State for FinalState {
    fn tip(&self) -> &Tip {
        &self.tip
    }

    fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    fn authorities(&self) -> &AuthoritySet {
        &self.authorities
    }

    fn grant(&self, issuer: &IssuerId) -> Result<Option<IssuerGrant>, StorageError> {
        let Some(index) = self.db.get::<Registry>(&issuer.as_str().to_owned())? else { return Ok(None) };
        self.grants.at(&self.db, index).map(Some)
    }

    fn anchored_by(&self, index: LeafIndex, last: &mut LastRead) -> Result<Option<IssuerId>, StorageError> {
        if let Some(found) = last.of(index) {
            return Ok(found);
        }
        last.0 = self.db.last_at_or_below::<BatchAuthors>(&index)?;
        Ok(last.of(index).flatten())
    }

    fn changed_at(&self, target: LeafIndex) -> Result<Option<TimeMs>, StorageError> {
        let Some(at) = newest_change(&self.db, target)? else { return Ok(None) };
        header_above(&self.db, at).map(|header| Some(header.time))
    }

    fn contains(&self, batch: &BatchId) -> Result<bool, StorageError> {
        Ok(matches!(self.db.get::<Outcomes>(&batch.0)?, Some(Outcome::Final { .. })))
    }
}

impl StatusReader for FinalState {
    type Error = StorageError;

    fn chunk(&self, index: u64) -> Result<Option<Chunk>, StorageError> {
        Stored(&self.db).chunk(index)
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, StorageError> {
        Stored(&self.db).node(level, index)
    }
}

/// The status tree as stored, for proofs from a snapshot.
pub(super) struct Stored<'a, R>(pub &'a R);

impl<R: Read> StatusReader for Stored<'_, R> {
    type Error = StorageError;

    fn chunk(&self, index: u64) -> Result<Option<Chunk>, StorageError> {
        Ok(self.0.get::<StatusChunks>(&index)?.map(Chunk))
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, StorageError> {
        self.0.get::<StatusNodes>(&(level, index))
    }
}

/// The header of the block that the leaf at this place is in.
fn header_above<R: Read>(read: &R, index: LeafIndex) -> Result<Header, StorageError> {
    let wrong = || StorageError::corrupt("headers", format!("no header closes the block of leaf {index}"));
    let (_, leaf) = read.first_at_or_above::<Headers>(&index)?.ok_or_else(wrong)?;
    Leaf::decode(&leaf).and_then(Leaf::into_header).map_err(|_| wrong())
}

/// The grant that the registry says stands at this place.
pub(super) fn grant_at<R: Read>(read: &R, index: LeafIndex) -> Result<IssuerGrant, StorageError> {
    let wrong = || StorageError::corrupt("registry", format!("there is no grant at leaf {index}"));
    let leaf = leaf_at(read, index)?.ok_or_else(wrong)?;
    match Leaf::decode(&leaf).and_then(Leaf::into_record) {
        Ok(Record::IssuerGrant(grant)) => Ok(grant),
        _ => Err(wrong()),
    }
}

impl fmt::Debug for FinalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinalState").field("tip", &self.tip).finish_non_exhaustive()
    }
}
