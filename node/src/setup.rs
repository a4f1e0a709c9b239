//! `init`: makes the data folder once, and leaves a marker beside the keys.
//!
//! A node that starts with an empty journal and keys that have signed before could sign the opposite of what it once
//! signed. So `run` never makes a journal, `init` makes one only where the marker is absent, and the marker lies
//! with the keys, not with the data that may get lost (design: "Journal lost or rolled back").
//!
//! Order of things: marker "creating" → data folder with block 0 → marker "created". `run` starts on "created" only.
//! What an interrupted `init` left is therefore certain never to have been used, and the next one goes on from there.
//!
//! An observer signs nothing and could do without. It keeps to the same order, so that a disk that is not mounted is
//! noticed there as well, and only the advice differs.

use std::path::{Path, PathBuf};

use markstein_proto::{Genesis, Height, LedgerId};
use serde::{Deserialize, Serialize};

use crate::config::{NodeConfig, Role};
use crate::files::{self, FileError, SECRET_FILE};
use crate::ledger;
use crate::storage::tables::Heights;
use crate::storage::{DataFolder, FolderError, Read, StoppedFolder};

/// Name of the marker, in the folder of the keys.
pub const MARKER_FILE: &str = "journal-created";

/// The data folder was not made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A journal was made with these keys before.
    #[error(
        "{} says that a journal was already made with these keys (ledger {ledger}, data folder {data_dir}); a second, \
         empty one could make this authority sign the opposite of what it once signed. If that data folder still \
         exists, name it as data_dir in the configuration and run 'markstein-node run'. If it is lost, these keys must \
         never sign again: make new ones with 'markstein-node keys new' in another folder, have the other authorities \
         put them in place of the old ones by governance, and run 'init' with the new keys_dir", marker.display()
    )]
    AlreadyCreated {
        /// The marker.
        marker: PathBuf,
        /// The ledger it names.
        ledger: String,
        /// The data folder it names.
        data_dir: String,
    },
    /// A data folder was made with this observer's key before.
    #[error(
        "{} says that a data folder was already made with this key (ledger {ledger}, data folder {data_dir}); if it \
         still exists, name it as data_dir in the configuration and run 'markstein-node run'. If it is lost: an \
         observer signs nothing, so delete {} and run 'init' again, and it fetches everything anew", marker.display(), marker.display()
    )]
    ObserverAlreadyCreated {
        /// The marker.
        marker: PathBuf,
        /// The ledger it names.
        ledger: String,
        /// The data folder it names.
        data_dir: String,
    },
    /// `run` before `init`.
    #[error("{} holds no ledger yet and 'run' never makes one; run 'markstein-node init --config {}' first", data_dir.display(), config.display())]
    NotCreated {
        /// The data folder.
        data_dir: PathBuf,
        /// The configuration file.
        config: PathBuf,
    },
    /// The data folder is gone, the marker is not.
    #[error(
        "the data folder {} is missing, but {} says that it was made (then at {made_at}); look whether its disk is \
         mounted and whether data_dir in {} is right. If it is lost, 'markstein-node init' says what to do", data_dir.display(), marker.display(), config.display()
    )]
    Lost {
        /// The data folder.
        data_dir: PathBuf,
        /// The marker.
        marker: PathBuf,
        /// Where the folder was when it was made.
        made_at: String,
        /// The configuration file.
        config: PathBuf,
    },
    /// `init` was interrupted.
    #[error("an earlier 'init' was interrupted; run 'markstein-node init --config {}' again", config.display())]
    Interrupted {
        /// The configuration file.
        config: PathBuf,
    },
    /// `repair` was interrupted after it had taken the damaged store aside.
    #[error("an earlier 'repair' was interrupted; run 'markstein-node repair --config {}' again", config.display())]
    RepairInterrupted {
        /// The configuration file.
        config: PathBuf,
    },
    /// The keys belong to another ledger.
    #[error(
        "{} says that the keys beside it are used for ledger {found}, but the genesis file describes ledger \
         {expected}; each ledger needs keys of its own", marker.display()
    )]
    AnotherLedger {
        /// The marker.
        marker: PathBuf,
        /// The ledger it names.
        found: String,
        /// The ledger of the genesis.
        expected: LedgerId,
    },
    /// The marker cannot be read as one.
    #[error("{} is damaged ({reason}); restore it from a backup of the keys", marker.display())]
    DamagedMarker {
        /// The marker.
        marker: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The marker cannot be read or written.
    #[error("marker of init: {0}")]
    File(#[from] FileError),
    /// The data folder cannot be made.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Block 0 cannot be written.
    #[error("block 0 could not be written: {0}")]
    Ledger(#[from] ledger::InitError),
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Creating,
    Created,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marker {
    state: State,
    ledger: String,
    data_dir: String,
}

/// Makes the data folder with block 0, once for each set of keys.
///
/// # Errors
/// See [`SetupError`].
pub fn init(config: &NodeConfig, genesis: &Genesis) -> Result<(), SetupError> {
    let path = marker_path(config);
    let marker = Marker::read(&path)?;
    if let Some(Marker { state: State::Created, ledger, data_dir }) = marker {
        return Err(match config.role {
            Role::Authority(_) => SetupError::AlreadyCreated { marker: path, ledger, data_dir },
            Role::Observer(_) => SetupError::ObserverAlreadyCreated { marker: path, ledger, data_dir },
        });
    }
    let is_interrupted = marker.is_some();
    let is_there = DataFolder::is_initialised(&config.data_dir);
    if is_there && !is_interrupted {
        return Err(FolderError::AlreadyInitialised { path: config.data_dir.clone() }.into());
    }
    let ledger_id = genesis.ledger_id();
    write_marker(config, State::Creating, ledger_id)?;
    let folder = if is_there {
        DataFolder::open(&config.data_dir, &ledger_id.0)?
    } else {
        DataFolder::create(&config.data_dir, &ledger_id.0)
            .inspect_err(|_| forget_attempt(&path, &config.data_dir))?
    };
    write_block_0(&folder, genesis)?;
    drop(folder);
    write_marker(config, State::Created, ledger_id)
}

/// Checks, before `run`, that `init` was completed for this ledger and that what it made is still there. A marker
/// that got lost is written again: the journal it guards is in use.
///
/// # Errors
/// See [`SetupError`].
pub fn check(config: &NodeConfig, genesis: &Genesis) -> Result<(), SetupError> {
    let path = marker_path(config);
    if StoppedFolder::is_interrupted(&config.data_dir) {
        return Err(SetupError::RepairInterrupted { config: config.file.clone() });
    }
    let is_there = DataFolder::is_initialised(&config.data_dir);
    let Some(marker) = Marker::read(&path)? else {
        if !is_there {
            return Err(SetupError::NotCreated {
                data_dir: config.data_dir.clone(),
                config: config.file.clone(),
            });
        }
        DataFolder::open(&config.data_dir, &genesis.ledger_id().0)?;
        tracing::warn!(marker = %path.display(), "the marker of init was missing beside the keys; writing it again");
        return write_marker(config, State::Created, genesis.ledger_id());
    };
    if marker.state == State::Creating {
        return Err(SetupError::Interrupted { config: config.file.clone() });
    }
    if marker.ledger != genesis.ledger_id().to_string() {
        let expected = genesis.ledger_id();
        return Err(SetupError::AnotherLedger { marker: path, found: marker.ledger, expected });
    }
    if !is_there {
        return Err(SetupError::Lost {
            data_dir: config.data_dir.clone(),
            marker: path,
            made_at: marker.data_dir,
            config: config.file.clone(),
        });
    }
    Ok(())
}

/// Checks, before `check` and `repair`, that there is something to look at and that the marker does not speak against it:
/// `init` was not interrupted, and the keys are this ledger's. Opens nothing.
///
/// # Errors
/// See [`SetupError`].
pub fn check_before_repair(config: &NodeConfig, genesis: &Genesis) -> Result<(), SetupError> {
    let path = marker_path(config);
    if !DataFolder::is_initialised(&config.data_dir) && !StoppedFolder::is_interrupted(&config.data_dir) {
        return check(config, genesis); // which says why
    }
    let Some(marker) = Marker::read(&path)? else { return Ok(()) };
    if marker.state == State::Creating {
        return Err(SetupError::Interrupted { config: config.file.clone() });
    }
    let expected = genesis.ledger_id();
    if marker.ledger != expected.to_string() {
        return Err(SetupError::AnotherLedger { marker: path, found: marker.ledger, expected });
    }
    Ok(())
}

/// Says beside the keys that they have a journal, where that is not said yet: a repair shall not end with less.
///
/// # Errors
/// See [`SetupError`].
pub fn mark_journal(config: &NodeConfig, genesis: &Genesis) -> Result<(), SetupError> {
    if Marker::read(&marker_path(config))?.is_some() {
        return Ok(());
    }
    write_marker(config, State::Created, genesis.ledger_id())
}

/// Where the marker lies.
#[must_use]
pub fn marker_path(config: &NodeConfig) -> PathBuf {
    config.keys_dir.join(MARKER_FILE)
}

impl Marker {
    fn read(path: &Path) -> Result<Option<Self>, SetupError> {
        let text = match files::read_text(path) {
            Err(FileError::Missing { .. }) => return Ok(None),
            other => other?,
        };
        toml::from_str(&text).map(Some).map_err(|error| SetupError::DamagedMarker {
            marker: path.to_owned(),
            reason: error.message().to_owned(),
        })
    }
}

fn write_marker(config: &NodeConfig, state: State, ledger: LedgerId) -> Result<(), SetupError> {
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let marker = Marker { state, ledger: ledger.to_string(), data_dir: data_dir.display().to_string() };
    let text = format!(
        "# Written by 'markstein-node init': these keys have a journal, in data_dir. Never delete this file while the\n\
         # keys are in use: it stops a second, empty journal, with which this authority could contradict itself.\n{}",
        toml::to_string(&marker).expect("strings and a word always have a TOML form")
    );
    Ok(files::replace(&marker_path(config), text.as_bytes(), SECRET_FILE)?)
}

/// Block 0 may be there from an interrupted attempt; anything above it is somebody's ledger.
fn write_block_0(folder: &DataFolder, genesis: &Genesis) -> Result<(), SetupError> {
    match folder.db().last::<Heights>().map_err(FolderError::Storage)? {
        None => Ok(ledger::init(folder.db(), genesis)?),
        Some((Height(0), _)) => Ok(()),
        Some(_) => Err(FolderError::AlreadyInitialised { path: folder.path().to_owned() }.into()),
    }
}

/// Takes the marker back where the data folder could not even be made, unless something is left to go on from.
fn forget_attempt(marker: &Path, data_dir: &Path) {
    if !DataFolder::is_initialised(data_dir) {
        let _ = files::remove_if_there(marker); // the first error is the one to tell
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
