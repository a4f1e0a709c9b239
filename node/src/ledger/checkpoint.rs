//! The newest checkpoint that counts: at or below the newest final block, cosigned by a quorum.

use markstein_proto::{
    Hash, Leaf, LeafIndex, LogSize, Verdict,
    log::{Frontier, tile::TileNodes},
    note::{Checkpoint, CheckpointError, NoteSignature, SignedCheckpoint},
};

use super::{
    LineKeys, State, StoredTiles,
    cosignatures::{parse_lines, time_of},
};
use crate::{
    storage::{
        Read, StorageError,
        tables::{Cosignatures, Headers},
    },
    verified::Verified,
};

/// The head of a log whose last leaf is a header: what a checkpoint is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many leaves.
    pub size: LogSize,
    /// Their root.
    pub root: Hash,
}

impl TreeHead {
    /// The checkpoint on it.
    ///
    /// # Errors
    /// Where `origin` is none.
    pub fn checkpoint(&self, origin: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::new(origin, self.size, self.root)
    }
}

/// A checkpoint with a quorum, split by kind of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedCheckpoint {
    /// How many leaves it covers.
    pub size: LogSize,
    /// Their root.
    pub root: Hash,
    /// The checkpoint with its cosignature lines only, as receipts carry it.
    pub cosigned: SignedCheckpoint,
    /// With the log lines too, as `/checkpoint` shows it.
    pub full: SignedCheckpoint,
    /// As-of time, seconds since 1970.
    pub as_of_s: u64,
}

impl CountedCheckpoint {
    /// Whether it covers the leaf at this place.
    #[must_use]
    pub const fn covers(&self, index: LeafIndex) -> bool {
        index.0 < self.size.0
    }

    /// Place of its last leaf, which is a header.
    #[must_use]
    pub const fn header_index(&self) -> LeafIndex {
        LeafIndex(self.size.0 - 1) // a checkpoint has at least the leaves of block 0
    }

    /// Whether it says more than another one: of a larger log, or of a later time.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.size, self.as_of_s) > (other.size, other.as_of_s)
    }
}

/// The newest checkpoint on a final block up to that of `state` which a quorum cosigned, `None` before the first. Sizes
/// without any cosignature are not looked at, and with enough lines none below the newest that counted: see
/// [`KeptLines`](super::KeptLines).
///
/// It counts with the authority set named in its own last header; there is one epoch so far, so that is the state's.
///
/// # Errors
/// The store's.
pub fn counted_checkpoint<R: Read>(
    read: &R,
    state: &dyn State,
    origin: &str,
    verified: &Verified,
) -> Result<Option<CountedCheckpoint>, StorageError> {
    let mut lines = Lines::default();
    for entry in read.range_reverse::<Cosignatures>(..=(state.tip().size, u32::MAX)) {
        let ((size, _), bytes) = entry?;
        if size != lines.size
            && let Some(counted) = std::mem::take(&mut lines).count_in(read, state, origin, verified)?
        {
            return Ok(Some(counted));
        }
        lines.add(size, &bytes)?;
    }
    lines.count_in(read, state, origin, verified)
}

/// The checkpoint on a log with this head, if it says more than what counted before, which is given by size and as-of
/// time; `None` where it does not, or where no quorum cosigned it. Where it does not, no signature is looked at.
///
/// # Errors
/// The store's.
pub fn newer_checkpoint_of<R: Read>(
    read: &R,
    keys: &LineKeys,
    head: TreeHead,
    before: (LogSize, u64),
    verified: &Verified,
) -> Result<Option<CountedCheckpoint>, StorageError> {
    let mut lines = Lines::default();
    for number in (0..keys.cosigners.len() as u32).rev() {
        if let Some(bytes) = read.get::<Cosignatures>(&(head.size, number))? {
            lines.add(head.size, &bytes)?;
        }
    }
    match lines.claimed_as_of_s(keys.quorum)? {
        Some(as_of_s) if (head.size, as_of_s) > before => lines.count(keys, head, verified),
        _ => Ok(None),
    }
}

/// All lines on one checkpoint, last authority first.
#[derive(Default)]
struct Lines {
    size: LogSize,
    cosignatures: Vec<NoteSignature>,
    log_lines: Vec<NoteSignature>,
}

impl Lines {
    fn add(&mut self, size: LogSize, bytes: &[u8]) -> Result<(), StorageError> {
        let (cosignature, log_line) = parse_lines(bytes)?;
        self.size = size;
        self.cosignatures.push(cosignature);
        self.log_lines.push(log_line);
        Ok(())
    }

    /// What they would count as of, if all of them are good: the smallest of a quorum's latest times.
    fn claimed_as_of_s(&self, quorum: usize) -> Result<Option<u64>, StorageError> {
        let mut times = self.cosignatures.iter().map(time_of).collect::<Result<Vec<_>, _>>()?;
        times.sort_unstable_by(|one, other| other.cmp(one));
        Ok(times.get(quorum - 1).copied())
    }

    /// Counts them where they may be enough, on the head that the final log had.
    fn count_in<R: Read>(
        self,
        read: &R,
        state: &dyn State,
        origin: &str,
        verified: &Verified,
    ) -> Result<Option<CountedCheckpoint>, StorageError> {
        let set = state.authorities();
        if self.cosignatures.len() < set.quorum() {
            return Ok(None); // most often, and no signature need be looked at
        }
        let head = if self.size == state.tip().size { Some(state.head()) } else { head_at(read, self.size)? };
        let head =
            head.ok_or_else(|| StorageError::corrupt("cosignatures", "one is on a size between two blocks"))?;
        self.count(&LineKeys::new(set, origin), head, verified)
    }

    fn count(
        self,
        keys: &LineKeys,
        head: TreeHead,
        verified: &Verified,
    ) -> Result<Option<CountedCheckpoint>, StorageError> {
        let damaged = |e: CheckpointError| StorageError::corrupt("cosignatures", e.to_string());
        let checkpoint = head.checkpoint(&keys.origin).map_err(damaged)?;
        let in_order = |lines: Vec<NoteSignature>| lines.into_iter().rev();
        let cosigned =
            SignedCheckpoint::with_signatures(checkpoint, in_order(self.cosignatures)).map_err(damaged)?;
        let verdict: Verdict<'_> = &|key, message, signature| verified.verify(key, message, signature);
        match cosigned.count_with(&keys.cosigners, keys.quorum, verdict) {
            Ok(count) => {
                let full = cosigned.merge(in_order(self.log_lines)).map_err(damaged)?;
                let TreeHead { size, root } = head;
                Ok(Some(CountedCheckpoint { size, root, cosigned, full, as_of_s: count.as_of_s }))
            }
            Err(CheckpointError::TooFewCosignatures { .. }) => Ok(None),
            Err(e) => Err(damaged(e)),
        }
    }
}

/// The head of the final log when it had `size` leaves; `None` where it has no block that ends there.
///
/// # Errors
/// The store's.
pub fn head_at<R: Read>(read: &R, size: LogSize) -> Result<Option<TreeHead>, StorageError> {
    let Some(index) = size.0.checked_sub(1).map(LeafIndex) else { return Ok(None) };
    let Some(leaf) = read.get::<Headers>(&index)? else { return Ok(None) };
    let header = Leaf::decode(&leaf)
        .and_then(Leaf::into_header)
        .map_err(|e| StorageError::corrupt("headers", format!("the header at leaf {index}: {e}")))?;
    let mut frontier = Frontier::read(&TileNodes(StoredTiles(read)), header.size_before.0)
        .map_err(|e| StorageError::corrupt("tiles", e.to_string()))?;
    if frontier.root() != header.root_before {
        return Err(StorageError::corrupt(
            "tiles",
            format!("they do not lead to the header at leaf {index}"),
        ));
    }
    frontier.push(markstein_proto::log::leaf_hash(&leaf));
    Ok(Some(TreeHead { size, root: frontier.root() }))
}
