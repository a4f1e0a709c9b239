//! What can be wrong with a configuration: always the operator's to mend, so each says what to write instead.

use std::path::{Path, PathBuf};

use markstein_proto::GenesisFileError;

use crate::files::FileError;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("configuration: {0}")]
    File(#[source] FileError),
    /// Not TOML, an unknown or missing key, or a value of another type.
    #[error("{}: {reason}", file.display())]
    Toml {
        /// The configuration file.
        file: PathBuf,
        /// Line, column, and what is wrong there.
        reason: String,
    },
    /// A value that cannot be.
    #[error("{}: {place}: {reason}", file.display())]
    Value {
        /// The configuration file.
        file: PathBuf,
        /// The entry.
        place: &'static str,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The genesis file cannot be read.
    #[error("genesis: {0}; ask another authority for the ledger's genesis.toml")]
    GenesisFile(#[source] FileError),
    /// The genesis file is none.
    #[error("{}: {source}", file.display())]
    Genesis {
        /// The genesis file.
        file: PathBuf,
        /// What is wrong with it.
        source: GenesisFileError,
    },
    /// The genesis does not know an authority that the configuration names.
    #[error(
        "{}: {place}: '{authority}' is none of the genesis's authorities ({known}); write one of them, or name the \
         genesis file of the ledger that has it", file.display()
    )]
    UnknownAuthority {
        /// The configuration file.
        file: PathBuf,
        /// The entry.
        place: &'static str,
        /// What stands there.
        authority: String,
        /// The authorities of the genesis.
        known: String,
    },
}

/// The error for one entry of `file`.
pub(super) fn value(file: &Path, place: &'static str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { file: file.to_owned(), place, reason: reason.into() }
}
