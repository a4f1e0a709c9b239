//! Whether a data folder is whole: at each start its tail, on demand all of it.
//!
//! At a start: the newest blocks up to a bound of leaves (see [`audit`]), the journal with every signature in it, and
//! the batches that wait. On demand also all blocks and every entry of every table, so that every checksum on the disk
//! is looked at.

use markstein_proto::{Author, Batch, Genesis, Height, LogSize, consensus::Verifier};

use crate::{
    driver::{promises, proposed_batches},
    ledger::{Audited, audit, cosigned_size},
    storage::{
        Direction, Read, Scan, StorageError,
        tables::{Batches, Meta, MetaKey, Pool, PoolEntry, TABLES},
    },
};

/// Entries of a table that are read at once where only their checksums matter.
const PAGE: usize = 64;

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What a start reads.
    Tail,
    /// Everything.
    All,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At a block, of this many.
    Block(Height, Height),
    /// At a table.
    Table(&'static str),
}

/// Looks at a store, for authority number `own` or for an observer.
///
/// # Errors
/// [`StorageError::Corrupt`], which names table and place, where something is damaged; otherwise the store's.
pub fn check<R: Read>(
    read: &R,
    genesis: &Genesis,
    own: Option<u32>,
    extent: Extent,
    mut progress: impl FnMut(Progress),
) -> Result<Audited, StorageError> {
    if read.get::<Meta>(&MetaKey::Genesis)?.as_deref() != Some(genesis.encode().as_slice()) {
        return Err(StorageError::corrupt("meta", "the genesis in it is another"));
    }
    let audited = audit(read, genesis, extent == Extent::All, |at, tip| progress(Progress::Block(at, tip)))?;
    check_cosigned(read, audited.size)?;
    progress(Progress::Table("journal"));
    promises(read, &Verifier::of(genesis.ledger_id(), &genesis.authorities), own)?;
    proposed_batches(read).try_for_each(|entry| entry.map(drop))?;
    progress(Progress::Table("pool"));
    for entry in read.range::<Pool>(..) {
        pooled(read, &entry?.1)?;
    }
    if extent == Extent::All {
        for table in TABLES {
            progress(Progress::Table(table.name));
            read_through(read, table.name)?;
        }
    }
    Ok(audited)
}

/// What was cosigned is never more than what is final here, except while a repaired node gets back to where it was.
fn check_cosigned<R: Read>(read: &R, size: LogSize) -> Result<(), StorageError> {
    let signed = cosigned_size(read)?;
    if signed <= size || read.contains::<Meta>(&MetaKey::CatchUpTo)? {
        return Ok(());
    }
    let what =
        format!("this node cosigned a log of {signed} leaves, and there are {size}: newer blocks are lost");
    Err(StorageError::corrupt("heights", what))
}

/// The batch of an entry of the pool.
///
/// # Errors
/// [`StorageError::Corrupt`] where it is not there or none; otherwise the store's.
pub fn pooled<R: Read>(read: &R, entry: &PoolEntry) -> Result<Vec<u8>, StorageError> {
    let id = &entry.batch_id;
    let damaged = |table, what: &str| StorageError::corrupt(table, format!("accepted batch {id} {what}"));
    let bytes = read.get::<Batches>(id)?.ok_or_else(|| damaged("batches", "is missing"))?;
    let batch = Batch::decode(bytes.clone()).map_err(|e| damaged("batches", &format!("is damaged: {e}")))?;
    if batch.id().0 != *id || !matches!(batch.head().author, Author::Issuer { .. }) {
        return Err(damaged("batches", "has another one's bytes"));
    }
    Ok(bytes)
}

/// Reads every entry of a table.
fn read_through<R: Read>(read: &R, table: &'static str) -> Result<(), StorageError> {
    let mut scan = Scan { from: Vec::new(), to: None, direction: Direction::Forward, limit: PAGE };
    loop {
        let page = read.bytes().scan(table, &scan)?;
        let Some((last, _)) = page.last().filter(|_| page.len() == PAGE) else { return Ok(()) };
        scan.from = last.clone();
        scan.from.push(0); // the smallest key above it
    }
}

/// What a start looks at, before anything runs.
///
/// # Errors
/// As [`check`].
pub fn at_start<R: Read>(read: &R, genesis: &Genesis, own: Option<u32>) -> Result<Audited, StorageError> {
    check(read, genesis, own, Extent::Tail, |_| ())
}
