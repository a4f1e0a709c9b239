//! How the statuses came about: the changes of one record for its receipt, and the status tree as it was under an older
//! header.

use std::collections::{BTreeMap, btree_map};

use markstein_proto::{
    LeafIndex, LogSize,
    status::{Status, StatusDelta, apply},
};

use super::state::Stored;
use crate::storage::{
    Read, StorageError,
    tables::{StatusEntry, StatusHistory, StatusSteps},
};

/// The changes, each with its place, below leaf `end`, that led from valid to the status that a record had there, in the order
/// of the log: all of them, or where they are more than `limit` those since it was valid at some time. From the first
/// of these on, each follows from the one before it.
///
/// # Errors
/// The store's.
pub(super) fn changes_of<R: Read>(
    read: &R,
    target: LeafIndex,
    end: LeafIndex,
    limit: usize,
) -> Result<Vec<(LeafIndex, StatusEntry)>, StorageError> {
    let newest = read.range_reverse::<StatusHistory>((target, LeafIndex(0))..(target, end)).take(limit);
    let mut changes =
        newest.map(|entry| entry.map(|((_, at), change)| (at, change))).collect::<Result<Vec<_>, _>>()?;
    while changes.last().is_some_and(|(_, change)| change.before != Status::Valid) {
        changes.pop(); // older ones lead to it, and are left out
    }
    changes.reverse();
    Ok(changes)
}

/// Where the newest change of a record's status stands; `None` where there is none.
///
/// # Errors
/// The store's.
pub(super) fn newest_change<R: Read>(read: &R, target: LeafIndex) -> Result<Option<LeafIndex>, StorageError> {
    let all = (target, LeafIndex(0))..=(target, LeafIndex(u64::MAX));
    read.range_reverse::<StatusHistory>(all).next().transpose().map(|entry| entry.map(|((_, at), _)| at))
}

/// What differs from the stored status tree in the one for a log of `size` leaves: what newer blocks changed, taken back.
/// Costs something for each of these changes: a checkpoint follows its block in a moment, so they are few.
///
/// # Errors
/// The store's.
pub(super) fn taken_back<R: Read>(read: &R, size: LogSize) -> Result<StatusDelta, StorageError> {
    let (mut statuses, mut end) = (BTreeMap::new(), size.0);
    for entry in read.range::<StatusSteps>(LeafIndex(size.0)..) {
        let (at, target) = entry?;
        end = at.0 + 1;
        if let btree_map::Entry::Vacant(first) = statuses.entry(target.0) {
            let change = read.get::<StatusHistory>(&(target, at))?.ok_or_else(|| {
                StorageError::corrupt("status_history", format!("the change at leaf {at} is missing"))
            })?;
            first.insert(change.before);
        }
    }
    apply(&Stored(read), &statuses, end)
}
