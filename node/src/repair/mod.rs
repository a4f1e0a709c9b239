//! `repair`: gives a node with a damaged data folder a new one, and keeps what it promised.
//!
//! The ledger itself comes back from the other nodes, who have all of it: the new store begins with block 0. What nobody
//! else can give back is carried over: the journal, the size that was cosigned, and the batches that this node accepted
//! and nobody decided yet. Blocks that were final are gone for a while, and with them the knowledge of how this node
//! voted on them; so it votes only once they are final here again (`meta` `catch_up_to`, ARCHITECTURE 5.5). Where the
//! journal cannot be read to its end it is lost, and the node follows as an observer.
//!
//! Everything is written to a store beside the damaged one ([`StoppedFolder`]); whenever it is interrupted, the same
//! command goes on or begins again. Keys are not touched.

mod salvage;

use std::path::PathBuf;

use markstein_proto::{Genesis, Hash, View};

pub(crate) use salvage::catch_up_to;
use salvage::{Promises, read_promises, readable_meta};

use crate::{
    check::{Extent, Progress, check, pooled},
    config::{ConfigError, NodeConfig},
    ledger::{self, Audited, InitError},
    setup::{self, SetupError},
    storage::{
        Db, Durability, FolderError, Read, StoppedFolder, StorageError, ValueCodec, Writes,
        tables::{Batches, Dropped, Evidence, Journal, Meta, MetaKey, Pool, PoolEntry, ProposedBatches},
    },
};

/// Bytes that are committed at once.
const COMMIT_BYTES: usize = 8 * 1024 * 1024;

/// The data folder was not repaired.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The marker of `init`.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store, damaged or new, for another reason than damage.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Block 0.
    #[error("block 0 could not be written: {0}")]
    Init(#[from] InitError),
    /// This node is none of the genesis.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// What a repair came to.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing is damaged, and nothing was changed.
    Sound(Audited),
    /// An interrupted repair was ended.
    Continued,
    /// The folder has a new store.
    Repaired(Report),
}

/// What was carried over, and what was not.
#[derive(Debug)]
pub struct Report {
    /// What is damaged.
    pub damage: String,
    /// Where the damaged store is now.
    pub aside: PathBuf,
    /// Entries of the journal that were kept, and the view up to which the node only follows; or why it is lost.
    pub journal: Result<(usize, View), String>,
    /// Whether there is a journal to speak of: an observer has none.
    pub signs: bool,
    /// Accepted batches that were kept.
    pub accepted: usize,
    /// Accepted batches whose bytes are lost.
    pub lost: Vec<Hash>,
    /// Why the list of accepted batches cannot be read to its end.
    pub unlisted: Option<String>,
    /// Why kept evidence against others cannot be read to its end.
    pub evidence: Option<String>,
}

/// Where a repair is. It may be interrupted at each of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Looking for damage.
    Checking(Progress),
    /// Something was written.
    Written,
    /// A folder was renamed.
    Renamed,
}

/// Repairs the data folder of a node that does not run.
///
/// # Errors
/// See [`RepairError`].
pub fn repair(
    config: &NodeConfig,
    genesis: &Genesis,
    mut step: impl FnMut(Step),
) -> Result<Outcome, RepairError> {
    let own = config.authority_in(genesis)?.map(|(number, _)| number);
    setup::check_before_repair(config, genesis)?;
    let folder = StoppedFolder::hold(&config.data_dir)?;
    if folder.go_on()? {
        return Ok(Outcome::Continued);
    }
    let ledger_id = genesis.ledger_id().0;
    match folder.ledger_id() {
        Ok(found) if found != ledger_id => {
            let path = config.data_dir.clone();
            return Err(FolderError::AnotherLedger { path, found, expected: ledger_id }.into());
        }
        _ => {} // of the right ledger, or damaged, which is looked at now
    }
    let checked = folder
        .read_all()
        .and_then(|db| check(&db, genesis, own, Extent::All, |progress| step(Step::Checking(progress))));
    let damage = match checked {
        Ok(audited) => return Ok(Outcome::Sound(audited)),
        Err(error) if error.is_corruption() => error,
        Err(error) => return Err(error.into()),
    };
    let promises = match own {
        Some(_) => readable(read_promises(&folder, genesis, own))?.map(Some),
        None => Ok(None),
    };
    setup::mark_journal(config, genesis)?;
    let new = folder.begin(&ledger_id)?;
    step(Step::Written);
    ledger::init(&new, genesis)?;
    step(Step::Written);
    let mut carry = Carry { folder: &folder, new: &new, writes: Writes::new(), bytes: 0, step: &mut step };
    let (accepted, lost, unlisted) = carry.pool()?;
    let evidence = carry.evidence()?;
    let journal = carry.promises(promises)?;
    drop(new);
    let aside = folder.complete(|| step(Step::Renamed))?;
    let damage = damage.to_string();
    let signs = own.is_some();
    Ok(Outcome::Repaired(Report { damage, aside, journal, signs, accepted, lost, unlisted, evidence }))
}

/// Damage tells what is lost; any other failure ends the repair, since what cannot be read now may be there.
fn readable<T>(read: Result<T, StorageError>) -> Result<Result<T, String>, StorageError> {
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(StorageError::Corrupt { table, reason }) => Ok(Err(format!("table '{table}': {reason}"))),
        Err(StorageError::CorruptStore { reason, .. }) => Ok(Err(reason)),
        Err(error) => Err(error),
    }
}

/// Writes into the new store, a bounded part at a time.
struct Carry<'a> {
    folder: &'a StoppedFolder,
    new: &'a Db,
    writes: Writes,
    bytes: usize,
    step: &'a mut dyn FnMut(Step),
}

impl Carry<'_> {
    fn flush(&mut self, durability: Durability) -> Result<(), StorageError> {
        self.bytes = 0;
        self.new.commit(std::mem::take(&mut self.writes), durability)?;
        (self.step)(Step::Written);
        Ok(())
    }

    fn wrote(&mut self, bytes: usize) -> Result<(), StorageError> {
        self.bytes += bytes;
        if self.bytes > COMMIT_BYTES { self.flush(Durability::Unsynced) } else { Ok(()) }
    }

    /// Accepted batches: how many were kept, which were lost, and why more may be missing.
    fn pool(&mut self) -> Result<(usize, Vec<Hash>, Option<String>), StorageError> {
        let (mut kept, mut lost) = (0, Vec::new());
        let table = match readable(self.folder.read::<Pool>())? {
            Ok(table) => table,
            Err(why) => return Ok((kept, lost, Some(why))),
        };
        let batches = readable(self.folder.read::<Batches>())?;
        for entry in table.range::<Pool>(..) {
            let (number, entry): (u64, PoolEntry) = match readable(entry)? {
                Ok(entry) => entry,
                Err(why) => return Ok((kept, lost, Some(why))),
            };
            let bytes = match &batches {
                Ok(batches) => readable(pooled(batches, &entry))?,
                Err(why) => Err(why.clone()),
            };
            let Ok(bytes) = bytes else {
                lost.push(entry.batch_id);
                continue;
            };
            self.writes.put::<Batches>(&entry.batch_id, &bytes).put::<Pool>(&number, &entry);
            kept += 1;
            self.wrote(bytes.len())?;
        }
        if let Ok(batches) = &batches {
            self.dropped(batches)?;
        }
        Ok((kept, lost, None))
    }

    /// Batches that the operator dropped, as far as they can be read: a block in the journal may name one, with its bytes where
    /// the pool had put them.
    fn dropped(&mut self, batches: &impl Read) -> Result<(), StorageError> {
        let Ok(table) = readable(self.folder.read::<Dropped>())? else { return Ok(()) };
        for entry in table.range::<Dropped>(..) {
            let Ok((id, at)) = readable(entry)? else { return Ok(()) };
            self.writes.put::<Dropped>(&id, &at);
            if let Ok(Some(bytes)) = readable(batches.get::<Batches>(&id))? {
                self.writes.put::<Batches>(&id, &bytes);
                self.wrote(bytes.len())?;
            }
        }
        Ok(())
    }

    /// Evidence against others; says why some of it is lost.
    fn evidence(&mut self) -> Result<Option<String>, StorageError> {
        let table = match readable(self.folder.read::<Evidence>())? {
            Ok(table) => table,
            Err(why) => return Ok(Some(why)),
        };
        for entry in table.range::<Evidence>(..) {
            match readable(entry)? {
                Ok((key, bytes)) => self.writes.put::<Evidence>(&key, &bytes),
                Err(why) => return Ok(Some(why)),
            };
        }
        Ok(None)
    }

    /// The journal, or the word that it is lost: synced, and with it all that was written before.
    fn promises(
        &mut self,
        promises: Result<Option<Promises>, String>,
    ) -> Result<Result<(usize, View), String>, StorageError> {
        let (meta, kept) = match promises {
            Ok(None) => (Vec::new(), Ok((0, View(0)))),
            Ok(Some(promises)) => {
                let table = self.folder.read::<ProposedBatches>()?;
                for entry in crate::driver::proposed_batches(&table) {
                    let (key, bytes) = entry?;
                    self.writes.put::<ProposedBatches>(&key, &bytes);
                    self.wrote(bytes.len())?;
                }
                for fact in &promises.facts {
                    self.writes.put::<Journal>(&fact.number, &fact.bytes);
                }
                (promises.meta, Ok((promises.facts.len(), promises.final_view)))
            }
            Err(why) => {
                self.writes.put::<Meta>(&MetaKey::JournalLost, &why.clone().into_bytes());
                (readable_meta(self.folder), Err(why))
            }
        };
        let view = kept.as_ref().map_or(View(0), |(_, view)| *view);
        self.writes.put::<Meta>(&MetaKey::CatchUpTo, &view.encode_value());
        for (key, value) in meta {
            self.writes.put::<Meta>(&key, &value);
        }
        self.flush(Durability::Synced)?;
        Ok(kept)
    }
}
