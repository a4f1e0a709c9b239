//! The trust root, and what it says about an issuer.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use markstein_proto::{
    DecodeError, GENESIS_FILE_MAX, Genesis, GenesisFileError, IssuerId, LedgerId, receipt::TrustRoot,
};

/// Why there is no trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The system's word.
    #[error("the genesis file {path} cannot be read: {source}; ask an authority of the ledger for it")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a genesis file.
    #[error("{path} is no genesis file: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: Box<GenesisFileError>,
    },
    /// A node sent something else.
    #[error("the node's genesis cannot be read: {0}")]
    Bytes(#[from] DecodeError),
    /// The key is for another ledger.
    #[error(
        "the key file is for ledger {key}, but {source_name} is of ledger {found}: use the key, the node and the \
         genesis of one ledger"
    )]
    AnotherLedger {
        /// What the key file says.
        key: LedgerId,
        /// What was found.
        found: LedgerId,
        /// Where.
        source_name: String,
    },
}

/// Why a document type cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Nobody admitted this issuer.
    #[error("the ledger does not know the issuer {0}: the authorities must admit it first")]
    UnknownIssuer(IssuerId),
    /// Not one of the issuer's.
    #[error("{issuer} may not anchor documents of type {name:?}; it may anchor: {choices}")]
    NotGranted {
        /// The issuer.
        issuer: IssuerId,
        /// What was asked for.
        name: String,
        /// The names.
        choices: String,
    },
}

/// Reads a `genesis.toml`.
///
/// # Errors
/// See [`TrustError`].
pub fn read_genesis(path: &Path) -> Result<TrustRoot, TrustError> {
    let io = |source| TrustError::Io { path: path.into(), source };
    let mut text = String::new();
    // One byte more than allowed tells that the file is too long.
    File::open(path).map_err(io)?.take(GENESIS_FILE_MAX as u64 + 1).read_to_string(&mut text).map_err(io)?;
    let genesis = Genesis::from_toml(&text);
    let genesis = genesis.map_err(|e| TrustError::File { path: path.into(), source: Box::new(e) })?;
    Ok(TrustRoot::new(genesis))
}

/// Reads the canonical genesis that a node serves.
///
/// # Errors
/// See [`TrustError`].
pub fn decode_genesis(bytes: &[u8]) -> Result<TrustRoot, TrustError> {
    Ok(TrustRoot::new(Genesis::decode(bytes)?))
}

/// Refuses a trust root of another ledger than the key file names.
///
/// # Errors
/// [`TrustError::AnotherLedger`].
pub fn check_ledger(trust: &TrustRoot, key: Option<LedgerId>, source: &str) -> Result<(), TrustError> {
    match key {
        Some(key) if key != trust.ledger_id() => {
            Err(TrustError::AnotherLedger { key, found: trust.ledger_id(), source_name: source.into() })
        }
        _ => Ok(()),
    }
}

/// The code of the type with this name, or of the first one that the issuer may anchor, which is its usual one.
///
/// # Errors
/// See [`TypeError`]; the sentence lists the choices.
pub fn choose_type(genesis: &Genesis, issuer: &IssuerId, name: Option<&str>) -> Result<u32, TypeError> {
    let grant = genesis.grants.iter().find(|grant| grant.issuer == *issuer);
    let codes = &grant.ok_or_else(|| TypeError::UnknownIssuer(issuer.clone()))?.document_types;
    let named = |code: &&u32| genesis.document_type(**code).map(|n| n.as_str());
    let choices = || codes.iter().filter_map(|code| named(&code)).collect::<Vec<_>>().join(", ");
    let found = match name {
        None => codes.first(), // a grant has at least one
        Some(name) => codes.iter().find(|code| named(code) == Some(name)),
    };
    found.copied().ok_or_else(|| TypeError::NotGranted {
        issuer: issuer.clone(),
        name: name.unwrap_or_default().into(),
        choices: choices(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::Hash;

    use super::*;
    use crate::testing::Ledger;

    #[test]
    fn the_first_type_is_the_default() {
        let ledger = Ledger::new();
        let genesis = ledger.trust().genesis().clone();
        let [one, many] = ["permits.example", "registry.example"].map(|i| IssuerId::new(i).unwrap());
        assert_eq!(choose_type(&genesis, &one, None), Ok(1));
        assert_eq!(choose_type(&genesis, &many, Some("certificate")), Ok(2));
        assert_eq!(choose_type(&genesis, &many, None), Ok(1));
        let error = choose_type(&genesis, &one, Some("certificate")).unwrap_err().to_string();
        assert!(error.ends_with("it may anchor: building-permit"), "{error}");
        let stranger = IssuerId::new("stranger.example").unwrap();
        assert_eq!(choose_type(&genesis, &stranger, None), Err(TypeError::UnknownIssuer(stranger)));
    }

    #[test]
    fn a_genesis_is_read_from_its_file_or_a_node() {
        let ledger = Ledger::new();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("genesis.toml");
        std::fs::write(&path, ledger.trust().genesis().to_toml()).unwrap();
        let read = read_genesis(&path).unwrap();
        assert_eq!(read.ledger_id(), ledger.trust().ledger_id());
        let sent = decode_genesis(&read.genesis().encode()).unwrap();
        assert_eq!(sent.ledger_id(), read.ledger_id());
        assert!(decode_genesis(b"x").is_err());
        assert!(matches!(read_genesis(&dir.path().join("gone")), Err(TrustError::Io { .. })));
        assert!(check_ledger(&read, None, "x").is_ok());
        assert!(check_ledger(&read, Some(read.ledger_id()), "x").is_ok());
        assert!(check_ledger(&read, Some(LedgerId(Hash::ZERO)), "x").is_err());
    }
}
