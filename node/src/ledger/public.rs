//! Public records: whose they are, and how they stand, by the commitment that anybody with the document knows.
//!
//! Of one document there may be records of several issuers, and thousands of one. Each issuer's stand apart, and within them
//! each status apart, the one that was given last at the end. So an answer costs a few point reads for each issuer, however
//! many records it or another one has.

use std::collections::BTreeMap;

use markstein_proto::{Hash, IssuerId, LeafIndex, LogSize, status::Status};

use super::{ExecutedBlock, execute::issuer_of, finalize::steps};
use crate::storage::{
    Read, StorageError, Writes,
    tables::{PublicPlace, PublicRecords, PublicStanding, PublicStandings, StatusHistory},
};

/// Issuers that one answer looks at.
pub const ISSUERS_MAX: usize = 50;
/// Records of one issuer and status that an answer tells of, newest status first.
pub const OF_STATUS_MAX: usize = 2;
/// Records that changed since the checkpoint, of one issuer and status, that an answer looks at besides.
pub const CHANGED_MAX: usize = 16;
/// Records that a list looks at.
pub const LIST_MAX: usize = 100;

const STATUSES: [Status; 4] = [Status::Revoked, Status::Suspended, Status::Superseded, Status::Valid];

/// A public record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicRecord {
    /// Where it stands.
    pub index: LeafIndex,
    /// Its status after the newest final block, which may be newer than the checkpoint.
    pub status: Status,
    /// Where the record stands that gave it this status; itself where none changed it.
    pub since: LeafIndex,
}

/// Public records of one document by one issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfIssuer {
    /// Whose they are.
    pub issuer: IssuerId,
    /// Of each status the newest `OF_STATUS_MAX`, and those that changed since the checkpoint.
    pub records: Vec<PublicRecord>,
}

/// Some of what was looked for, and after which one to go on where there may be more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<T, A> {
    /// What was found.
    pub found: Vec<T>,
    /// Where to go on.
    pub after: Option<A>,
}

/// What a final block changes.
pub(super) fn write<R: Read>(
    read: &R,
    block: &ExecutedBlock,
    writes: &mut Writes,
) -> Result<(), StorageError> {
    for anchor in &block.public {
        let (commitment, since) = (anchor.commitment, anchor.index);
        let place = PublicPlace { commitment, issuer: anchor.issuer.clone(), status: Status::Valid, since };
        writes.put::<PublicRecords>(&place, &anchor.index);
        writes.put::<PublicStandings>(&anchor.index, &PublicStanding { commitment, since });
    }
    // Targets stand in earlier blocks, and one may change several times in this one.
    let mut changed = BTreeMap::<LeafIndex, PublicStanding>::new();
    for (step, (_, batch)) in steps(block) {
        let standing = match changed.get(&step.target) {
            Some(standing) => Some(*standing),
            None => read.get::<PublicStandings>(&step.target)?,
        };
        let (Some(PublicStanding { commitment, since }), Some(issuer)) = (standing, issuer_of(batch)) else {
            continue;
        };
        let mut place = PublicPlace { commitment, issuer: issuer.clone(), status: step.before, since };
        writes.delete::<PublicRecords>(&place);
        (place.status, place.since) = (step.after, step.at);
        writes.put::<PublicRecords>(&place, &step.target);
        changed.insert(step.target, PublicStanding { commitment, since: step.at });
    }
    for (target, standing) in &changed {
        writes.put::<PublicStandings>(target, standing);
    }
    Ok(())
}

/// Whether a public record with its status of now is found by its commitment, and its place by the record that gave it
/// this status.
pub(super) fn is_found<R: Read>(
    read: &R,
    (index, status): (LeafIndex, Status),
    commitment: Hash,
    issuer: &IssuerId,
) -> Result<bool, StorageError> {
    let last =
        read.range_reverse::<StatusHistory>((index, LeafIndex(0))..=(index, LeafIndex(u64::MAX))).next();
    let since = last.transpose()?.map_or(index, |((_, at), _)| at);
    let place = PublicPlace { commitment, issuer: issuer.clone(), status, since };
    Ok(read.get::<PublicStandings>(&index)? == Some(PublicStanding { commitment, since })
        && read.get::<PublicRecords>(&place)? == Some(index))
}

/// The public records with a commitment in a log of `size` leaves, by issuer in the order of their ids, from the one after
/// `after` on: `ISSUERS_MAX` issuers at most.
///
/// # Errors
/// The store's.
pub fn public_records<R: Read>(
    read: &R,
    commitment: Hash,
    after: Option<IssuerId>,
    size: LogSize,
) -> Result<Part<OfIssuer, IssuerId>, StorageError> {
    let mut part = Part { found: Vec::new(), after };
    for _ in 0..ISSUERS_MAX {
        let from = match &part.after {
            Some(issuer) => last_place(commitment, issuer, Status::Superseded),
            None => first_place(commitment),
        };
        let next = read.first_at_or_above::<PublicRecords>(&from)?;
        let Some((place, _)) = next.filter(|(place, _)| place.commitment == commitment) else {
            part.after = None;
            return Ok(part);
        };
        let records = public_records_of(read, commitment, &place.issuer, size)?;
        if !records.is_empty() {
            part.found.push(OfIssuer { issuer: place.issuer.clone(), records });
        }
        part.after = Some(place.issuer);
    }
    Ok(part)
}

/// Those of one issuer, worst status first: see [`OfIssuer`].
///
/// A record that a log of `size` leaves does not have is not told of. What changed in newer leaves is told besides, since
/// it had another status in that log, and a receipt under it says which.
///
/// # Errors
/// The store's.
pub fn public_records_of<R: Read>(
    read: &R,
    commitment: Hash,
    issuer: &IssuerId,
    size: LogSize,
) -> Result<Vec<PublicRecord>, StorageError> {
    let mut records = Vec::new();
    for status in STATUSES {
        let mut at = Some(last_place(commitment, issuer, status));
        let (mut changed, mut told) = (0, 0);
        while let Some(place) = at.take()
            && let Some(record) = at_or_below(read, &place)?
            && told < OF_STATUS_MAX
        {
            let is_covered = record.since.0 < size.0;
            let mut next = record.since;
            if is_covered {
                told += 1;
            } else {
                changed += 1;
                if changed == CHANGED_MAX {
                    next = LeafIndex(size.0);
                }
            }
            if record.index.0 < size.0 {
                records.push(record);
            }
            at = next.0.checked_sub(1).map(|before| PublicPlace { since: LeafIndex(before), ..place });
        }
    }
    Ok(records)
}

/// All public records of one issuer with a commitment and a status, those that have it for the shortest time first, from
/// those on that have it since before `before`: some of the next `LIST_MAX`.
///
/// # Errors
/// The store's.
pub fn public_records_with<R: Read>(
    read: &R,
    (commitment, issuer, status): (Hash, &IssuerId, Status),
    before: LeafIndex,
    size: LogSize,
) -> Result<Part<PublicRecord, LeafIndex>, StorageError> {
    let last = last_place(commitment, issuer, status);
    let (first, end) =
        (PublicPlace { since: LeafIndex(0), ..last.clone() }, PublicPlace { since: before, ..last });
    let mut part = Part { found: Vec::new(), after: None };
    for (number, entry) in read.range_reverse::<PublicRecords>(first..end).take(LIST_MAX).enumerate() {
        let (PublicPlace { since, .. }, index) = entry?;
        if index.0 < size.0 {
            part.found.push(PublicRecord { index, status, since });
        }
        part.after = (number + 1 == LIST_MAX).then_some(since);
    }
    Ok(part)
}

/// The one with this issuer and status that has it since this place or else before.
fn at_or_below<R: Read>(read: &R, place: &PublicPlace) -> Result<Option<PublicRecord>, StorageError> {
    let found = read.last_at_or_below::<PublicRecords>(place)?;
    let same = |it: &PublicPlace| {
        it.status == place.status && it.issuer == place.issuer && it.commitment == place.commitment
    };
    Ok(found.filter(|(it, _)| same(it)).map(|(it, index)| PublicRecord {
        index,
        status: it.status,
        since: it.since,
    }))
}

/// No place of this commitment sorts before it: no issuer id does.
fn first_place(commitment: Hash) -> PublicPlace {
    let issuer = IssuerId::new("0").expect("a digit is an id");
    PublicPlace { commitment, issuer, status: Status::Valid, since: LeafIndex(0) }
}

fn last_place(commitment: Hash, issuer: &IssuerId, status: Status) -> PublicPlace {
    PublicPlace { commitment, issuer: issuer.clone(), status, since: LeafIndex(u64::MAX) }
}
