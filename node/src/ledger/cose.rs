//! COSE receipts: an authority's own signature on a root of the final log, made when somebody asks.
//!
//! What is signed says nothing new: the root of a block's end, at or below a checkpoint that a quorum cosigned. So it does
//! not matter how often, in which order or after what loss of memory it is signed. How often is bounded all the same, so
//! that nobody can use it up for the others:
//!
//! | the log ended there | bound |
//! | --- | --- |
//! | in one of the newest 4,096 blocks | one signature for each block, kept as long: the ledger's own pace |
//! | before | 100 new signatures a second for all; 1,024 are kept |

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use markstein_proto::{
    Leaf, LeafIndex, LogSize, SecretKey, Sign, Signature, TimeMs,
    cose::{CoseReceipt, sign_root},
    log::{ProveError, inclusion_proof, tile::TileNodes},
};

use super::{CountedCheckpoint, LookupError, StoredTiles, TreeHead, head_at, leaf_at};
use crate::storage::{Read, StorageError, tables::Headers};

/// Blocks up to the newest checkpoint whose ends are signed for whoever asks: receipts of the last minutes are under them.
const RECENT_BLOCKS: usize = 4096;
/// Signatures on ends of older blocks that are kept.
const OLDER_KEPT_MAX: usize = 1024;
/// New ones of these in one second; an authority's key is not lent to whoever asks fastest.
const OLDER_PER_SECOND_MAX: u32 = 100;

/// Why there is no COSE receipt.
#[derive(Debug, thiserror::Error)]
pub enum CoseFailure {
    /// No such leaf, or our disk is to blame.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It may be final, but no checkpoint that covers it has a quorum yet.
    #[error("no checkpoint that covers this has a quorum of cosignatures yet: try again in a moment")]
    NoCheckpoint,
    /// The log had that many leaves only in the middle of a block.
    #[error("no block ends at a log of {0} leaves: take the size of a checkpoint")]
    NoBlockEnds(LogSize),
    /// Too many old roots were signed in this second.
    #[error(
        "this authority signs {OLDER_PER_SECOND_MAX} old roots a second and no more: ask again in a moment, or for the root \
         of a newer checkpoint"
    )]
    TooFast,
}

impl From<StorageError> for CoseFailure {
    fn from(error: StorageError) -> Self {
        Self::Lookup(LookupError::Storage(error))
    }
}

/// Signs roots with the log key, each once.
#[derive(Debug)]
pub struct RootSigner {
    key: Arc<SecretKey>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Of the newest blocks, no more than there are such blocks.
    recent: Signed,
    older: Signed,
    /// Sizes of `older` in the order in which they were signed.
    order: VecDeque<LogSize>,
    second: u64,
    in_second: u32,
}

/// Signatures with what they are on.
type Signed = BTreeMap<LogSize, (TreeHead, Signature)>;

/// Which bound a signature is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    Recent,
    Older,
}

impl RootSigner {
    /// Signs with this key, which also signs the authority's log lines.
    #[must_use]
    pub fn new(key: Arc<SecretKey>) -> Self {
        Self { key, kept: Mutex::default() }
    }

    /// The signature on a head of the final log; `None` where too many other old ones were signed in this second.
    fn sign(&self, head: TreeHead, age: Age, now: TimeMs) -> Option<Signature> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        let known = [&kept.recent, &kept.older].into_iter().filter_map(|signed| signed.get(&head.size));
        if let Some((_, signature)) = known.into_iter().find(|(of, _)| *of == head) {
            return Some(*signature);
        }
        if age == Age::Older {
            kept.count(now)?;
        }
        let signature = sign_root(&*self.key, &head.root);
        match age {
            Age::Recent => {
                kept.recent.insert(head.size, (head, signature));
                if kept.recent.len() > RECENT_BLOCKS {
                    kept.recent.pop_first(); // not one of the newest blocks any more
                }
            }
            Age::Older => {
                if kept.older.insert(head.size, (head, signature)).is_none() {
                    kept.order.push_back(head.size);
                }
                if kept.order.len() > OLDER_KEPT_MAX
                    && let Some(first) = kept.order.pop_front()
                {
                    kept.older.remove(&first);
                }
            }
        }
        Some(signature)
    }
}

impl Age {
    /// Of the end of a block, seen from the newest one.
    const fn of(block: u64, newest: u64) -> Self {
        if newest.saturating_sub(block) < RECENT_BLOCKS as u64 { Self::Recent } else { Self::Older }
    }
}

impl Kept {
    /// Counts a new signature on an old root, where there is room for it in this second.
    const fn count(&mut self, now: TimeMs) -> Option<()> {
        let second = now.0 / 1000;
        if self.second != second {
            (self.second, self.in_second) = (second, 0);
        }
        if self.in_second == OLDER_PER_SECOND_MAX {
            return None;
        }
        self.in_second += 1;
        Some(())
    }
}

/// The height of the block that a log of this size ends with.
fn height<R: Read>(read: &R, size: LogSize) -> Result<u64, StorageError> {
    let missing = || StorageError::corrupt("headers", format!("there is none at the end of {size} leaves"));
    let index = LeafIndex(size.0.checked_sub(1).ok_or_else(missing)?);
    let leaf = read.get::<Headers>(&index)?.ok_or_else(missing)?;
    let header = Leaf::decode(&leaf).and_then(Leaf::into_header);
    Ok(header.map_err(|e| StorageError::corrupt("headers", e.to_string()))?.height.0)
}

/// The receipt of any leaf under the root of a log of `size` leaves, or under that of the checkpoint, whose blocks `read`
/// holds.
///
/// # Errors
/// See [`CoseFailure`].
pub fn cose_receipt<R: Read>(
    read: &R,
    checkpoint: Option<&CountedCheckpoint>,
    index: LeafIndex,
    size: Option<LogSize>,
    signer: &RootSigner,
    now: TimeMs,
) -> Result<CoseReceipt, CoseFailure> {
    let checkpoint = checkpoint.ok_or(CoseFailure::NoCheckpoint)?;
    let size = size.unwrap_or(checkpoint.size);
    if size > checkpoint.size {
        return Err(CoseFailure::NoCheckpoint);
    }
    let head = if size == checkpoint.size {
        TreeHead { size, root: checkpoint.root }
    } else {
        head_at(read, size)?.ok_or(CoseFailure::NoBlockEnds(size))?
    };
    let leaf = if index.0 < size.0 { leaf_at(read, index)? } else { None };
    let none = || LookupError::NotFound(format!("there is no leaf {index} in a log of {size} leaves"));
    let leaf = leaf.ok_or_else(none)?;
    let path =
        inclusion_proof(&TileNodes(StoredTiles(read)), index.0, size.0).map_err(|error| match error {
            ProveError::Request(_) => none(),
            ProveError::Reader(error) => StorageError::corrupt("tiles", error.to_string()).into(),
        })?;
    let mut receipt =
        CoseReceipt { key: signer.key.public().id(), size, index, path, signature: Signature([0; 64]) };
    if receipt.root(&leaf) != Ok(head.root) {
        let damage = format!("they do not lead from leaf {index} to the root of {size} leaves");
        return Err(StorageError::corrupt("tiles", damage).into());
    }
    let age = Age::of(height(read, size)?, height(read, checkpoint.size)?);
    receipt.signature = signer.sign(head, age, now).ok_or(CoseFailure::TooFast)?;
    Ok(receipt)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::{Hash, cose::signed_message};

    use super::*;

    fn head(size: u64) -> TreeHead {
        TreeHead { size: LogSize(size), root: Hash::of(&[&size.to_be_bytes()]) }
    }

    fn signer() -> RootSigner {
        RootSigner::new(Arc::new(SecretKey::from_seed(&[3; 32])))
    }

    #[test]
    fn an_old_root_is_signed_once_and_only_so_many_in_a_second() {
        let key = Arc::new(SecretKey::from_seed(&[3; 32]));
        let signer = RootSigner::new(Arc::clone(&key));
        let sign = |size, now| signer.sign(head(size), Age::Older, TimeMs(now));
        for size in 0..u64::from(OLDER_PER_SECOND_MAX) {
            let signature = sign(size, 7_999).unwrap();
            let message = signed_message(key.public().id(), &head(size).root);
            key.public().verify(&message, &signature).unwrap();
        }
        assert_eq!(sign(1000, 7_001), None);
        assert!(sign(5, 7_001).is_some(), "what was signed before costs nothing");
        assert!(sign(1000, 8_000).is_some());
        assert!(sign(1001, 7_000).is_some(), "a clock that goes back stops nothing");
    }

    #[test]
    fn as_many_blocks_are_recent_as_signatures_on_them_are_kept() {
        let recent = RECENT_BLOCKS as u64;
        let is_recent = |block: &u64| Age::of(*block, 10_000) == Age::Recent;
        assert_eq!((0..=10_000).filter(is_recent).count() as u64, recent);
        assert!(is_recent(&10_000) && is_recent(&(10_001 - recent)) && !is_recent(&(10_000 - recent)));
        assert_eq!(Age::of(recent - 1, recent - 1), Age::Recent);
    }

    #[test]
    fn who_asks_for_old_roots_takes_nothing_from_who_asks_for_new_ones() {
        let signer = signer();
        let newest = |size| signer.sign(head(size), Age::Recent, TimeMs(7_000));
        assert!(
            (0..u64::from(OLDER_PER_SECOND_MAX))
                .all(|size| signer.sign(head(size), Age::Older, TimeMs(7_000)).is_some())
        );
        assert_eq!(signer.sign(head(1000), Age::Older, TimeMs(7_000)), None);
        let first = 1_000_000;
        assert!((first..first + 3 * RECENT_BLOCKS as u64).all(|size| newest(size).is_some()));
        for size in 0..3 * OLDER_KEPT_MAX as u64 {
            signer.sign(head(size), Age::Older, TimeMs(size * 1000)).unwrap();
        }
        let kept = signer.kept.lock().unwrap();
        let last = first + 3 * RECENT_BLOCKS as u64 - 1;
        assert_eq!(
            (kept.recent.len(), kept.recent.last_key_value().map(|(size, _)| size.0)),
            (RECENT_BLOCKS, Some(last))
        );
    }

    #[test]
    fn what_is_kept_has_an_end_and_belongs_to_its_root() {
        let signer = signer();
        let sign = |head, now| signer.sign(head, Age::Older, TimeMs(now));
        for size in 0..3 * OLDER_KEPT_MAX as u64 {
            sign(head(size), size * 1000).unwrap();
        }
        let kept = signer.kept.lock().unwrap();
        assert_eq!((kept.older.len(), kept.order.len()), (OLDER_KEPT_MAX, OLDER_KEPT_MAX));
        drop(kept);
        let last = head(3 * OLDER_KEPT_MAX as u64 - 1);
        let other = TreeHead { root: Hash([1; 32]), ..last };
        let signatures = [last, other].map(|head| sign(head, 0).unwrap());
        assert_ne!(signatures[0], signatures[1]);
    }
}
