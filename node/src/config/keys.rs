//! Key files on disk: made once, readable by their owner only, and matched with the genesis before they are used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use markstein_proto::{
    Authority, AuthorityEntry, AuthorityId, Genesis, KeyFile, KeyFileError, KeyPurpose, LedgerId,
    ObserverName, PublicKey, SecretKey,
};
use zeroize::Zeroizing;

use super::{ConfigError, NodeConfig, Role, network};
use crate::files::{self, FileError, PUBLIC_FILE, SECRET_FILE, SECRET_FOLDER};

/// Name of the public half of an authority's keys, beside them.
pub const AUTHORITY_FILE: &str = "authority.toml";
/// Longest name for people that a genesis takes, in bytes.
const NAME_MAX: usize = 200;

/// The keys a running node signs with. The governance key is deliberately not among them: it is kept offline.
#[derive(Clone, Debug)]
pub struct AuthorityKeys {
    /// Signs votes and proposals.
    pub consensus: SecretKey,
    /// Signs cosignatures.
    pub cosigner: SecretKey,
    /// Signs log lines.
    pub log: SecretKey,
    /// libp2p identity.
    pub network: SecretKey,
}

/// The keys of a node, whoever it is.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)] // there is one of them in a process
pub enum NodeKeys {
    /// Those of an authority.
    Authority(AuthorityKeys),
    /// An observer signs nothing: it only proves who it is.
    Observer {
        /// libp2p identity.
        network: SecretKey,
    },
}

/// A key cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file cannot be read or written.
    #[error("key file: {0}")]
    File(#[from] FileError),
    /// Others than the owner can read the secret.
    #[error("{0} can be read by others than its owner, so its key may be known to them; if it is not, run: chmod 600 {0}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// Not a key file, or one for another purpose.
    #[error("{}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyFileError,
    },
    /// The key is another one than the genesis names.
    #[error(
        "{} is not the {purpose} key that the genesis names for authority {authority} (it belongs to {owner}); put \
         that authority's keys there, or write in the configuration which authority this node is", path.display()
    )]
    AnotherKey {
        /// The file.
        path: PathBuf,
        /// What the key is for.
        purpose: &'static str,
        /// Whom the file names.
        owner: String,
        /// Whose key is wanted.
        authority: AuthorityId,
    },
    /// The key file is another observer's, or no observer's at all.
    #[error(
        "{} belongs to {owner}, and the configuration says observer = \"{observer}\"; write the name of the key, or make \
         a key of its own: markstein-node keys observer --out DIR --name {observer}", path.display()
    )]
    AnotherObserver {
        /// The file.
        path: PathBuf,
        /// Whom the file names.
        owner: String,
        /// Whose key is wanted.
        observer: ObserverName,
    },
    /// An observer with the key of an authority.
    #[error(
        "{} is a key of authority {authority}: the others would take this observer for that authority's node; make a \
         key of its own with 'markstein-node keys observer'", path.display()
    )]
    KeyOfAuthority {
        /// The file.
        path: PathBuf,
        /// Whose key it is.
        authority: AuthorityId,
    },
    /// The genesis does not know this node's authority.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key was made for another ledger.
    #[error("{} was made for ledger {found}, this is ledger {expected}; each ledger needs keys of its own", path.display())]
    AnotherLedger {
        /// The file.
        path: PathBuf,
        /// The ledger it names.
        found: LedgerId,
        /// The ledger of the genesis.
        expected: LedgerId,
    },
    /// There are keys in the folder already.
    #[error(
        "{} exists already and keys are never overwritten; choose another folder (if an earlier 'keys new' was \
         interrupted, which shows in authority.toml missing, those keys were never used and can be deleted)", path.display()
    )]
    KeysExist {
        /// The file that is there.
        path: PathBuf,
    },
    /// The name of an authority that no genesis would take.
    #[error(
        "the name of an authority must have 1 to {NAME_MAX} bytes and no control characters; write another one"
    )]
    Name,
    /// The system gave no random bytes.
    #[error("the system gives no random numbers, so no key was made: {0}")]
    Random(getrandom::Error),
}

impl AuthorityKeys {
    /// Loads the keys of `authority` from `keys_dir`: each private to its owner, and the one the genesis names.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn load(keys_dir: &Path, authority: &Authority, ledger: LedgerId) -> Result<Self, KeysError> {
        let load = |purpose, public| load_one(keys_dir, authority, ledger, purpose, public);
        Ok(Self {
            consensus: load(KeyPurpose::Consensus, &authority.consensus_key)?,
            cosigner: load(KeyPurpose::Cosigner, &authority.cosigner_key)?,
            log: load(KeyPurpose::Log, &authority.log_key)?,
            network: load(KeyPurpose::Network, &authority.network_key)?,
        })
    }
}

impl NodeKeys {
    /// Loads the keys of the node that `config` describes.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn load(config: &NodeConfig, genesis: &Genesis) -> Result<Self, KeysError> {
        let (dir, ledger) = (&config.keys_dir, genesis.ledger_id());
        match (&config.role, config.authority_in(genesis)?) {
            (Role::Observer(name), _) => {
                Ok(Self::Observer { network: load_observer(dir, name, genesis, ledger)? })
            }
            (Role::Authority(_), found) => {
                let (_, authority) = found.expect("authority_in() gives an authority its place, or an error");
                Ok(Self::Authority(AuthorityKeys::load(dir, authority, ledger)?))
            }
        }
    }

    /// libp2p identity.
    #[must_use]
    pub fn network(&self) -> &SecretKey {
        match self {
            Self::Authority(keys) => &keys.network,
            Self::Observer { network } => network,
        }
    }
}

/// The governance key, where it lies among the keys of a running node: worth a warning.
#[must_use]
pub fn misplaced_governance_key(keys_dir: &Path) -> Option<PathBuf> {
    Some(key_path(keys_dir, KeyPurpose::Governance)).filter(|path| path.exists())
}

/// Where a key of an authority lies.
#[must_use]
pub fn key_path(keys_dir: &Path, purpose: KeyPurpose) -> PathBuf {
    keys_dir.join(format!("{}.key", purpose.as_str()))
}

/// Reads a key file, after making sure that only its owner can.
///
/// # Errors
/// [`KeysError::File`], [`KeysError::Exposed`] or [`KeysError::KeyFile`].
pub fn read_key_file(path: &Path, purpose: KeyPurpose) -> Result<KeyFile, KeysError> {
    let file = files::open(path)?;
    // Asked of the open file, so that it cannot be exchanged in between.
    let mode = file.metadata().map_err(files::failed("examine", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(KeysError::Exposed { path: path.to_owned() });
    }
    let text = Zeroizing::new(files::read_open(path, &file)?);
    KeyFile::parse(&text, purpose).map_err(|source| KeysError::KeyFile { path: path.to_owned(), source })
}

/// Draws a key from the system's randomness.
///
/// # Errors
/// [`KeysError::Random`].
pub fn new_key() -> Result<SecretKey, KeysError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(KeysError::Random)?;
    Ok(SecretKey::from_seed(&seed))
}

/// Writes a new key file, mode 0600; one that is there is never touched.
///
/// # Errors
/// [`KeysError::File`].
pub fn write_key_file(path: &Path, key: &KeyFile) -> Result<(), KeysError> {
    Ok(files::write_new(path, key.to_text().as_bytes(), SECRET_FILE)?)
}

/// Makes a new key and its file, mode 0600; gives the public half.
///
/// # Errors
/// [`KeysError::Random`] or [`KeysError::File`].
pub fn new_key_file(
    path: &Path,
    purpose: KeyPurpose,
    owner: &str,
    ledger: Option<LedgerId>,
) -> Result<PublicKey, KeysError> {
    let key = new_key()?;
    let public = key.public();
    write_key_file(path, &KeyFile { purpose, owner: owner.to_owned(), ledger, key })?;
    Ok(public)
}

/// Makes the five keys of an authority and, last of all, its public entry `authority.toml`. The governance key goes
/// to `governance_dir`, which should be a medium that leaves this machine.
///
/// # Errors
/// [`KeysError::KeysExist`] or [`KeysError::Name`] before anything is written, and whatever the disk gives.
pub fn new_authority_keys(
    keys_dir: &Path,
    governance_dir: &Path,
    authority: &AuthorityId,
    name: &str,
) -> Result<AuthorityEntry, KeysError> {
    if name.is_empty() || name.len() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(KeysError::Name);
    }
    let folder = |p| if p == KeyPurpose::Governance { governance_dir } else { keys_dir };
    let entry_path = keys_dir.join(AUTHORITY_FILE);
    let wanted = KeyPurpose::AUTHORITY.iter().map(|p| key_path(folder(*p), *p)).chain([entry_path.clone()]);
    if let Some(path) = wanted.into_iter().find(|path| path.exists()) {
        return Err(KeysError::KeysExist { path });
    }
    for dir in [keys_dir, governance_dir] {
        make_private_folder(dir)?;
    }
    let new = |purpose| {
        let path = key_path(folder(purpose), purpose);
        let public = new_key_file(&path, purpose, authority.as_str(), None)?;
        Ok::<_, KeysError>(hex::encode(public.to_bytes()))
    };
    let entry = AuthorityEntry {
        id: authority.to_string(),
        name: name.to_owned(),
        consensus_key: new(KeyPurpose::Consensus)?,
        cosigner_key: new(KeyPurpose::Cosigner)?,
        log_key: new(KeyPurpose::Log)?,
        governance_key: new(KeyPurpose::Governance)?,
        network_key: new(KeyPurpose::Network)?,
    };
    files::write_new(&entry_path, entry.to_toml().as_bytes(), PUBLIC_FILE)?;
    Ok(entry)
}

/// Makes the one key of an observer in `keys_dir`; gives the public half.
///
/// # Errors
/// [`KeysError::KeysExist`] before anything is written, and whatever the disk gives.
pub fn new_observer_key(keys_dir: &Path, name: &ObserverName) -> Result<PublicKey, KeysError> {
    let path = key_path(keys_dir, KeyPurpose::Network);
    if path.exists() {
        return Err(KeysError::KeysExist { path });
    }
    make_private_folder(keys_dir)?;
    new_key_file(&path, KeyPurpose::Network, name.as_str(), None)
}

/// A folder that is there keeps its mode: the files within are private in any case.
fn make_private_folder(path: &Path) -> Result<(), KeysError> {
    let is_new = !path.exists();
    files::make_folder(path, SECRET_FOLDER)?;
    if is_new {
        let mode = fs::Permissions::from_mode(SECRET_FOLDER);
        fs::set_permissions(path, mode).map_err(files::failed("make private", path))?;
    }
    Ok(())
}

fn load_one(
    keys_dir: &Path,
    authority: &Authority,
    ledger: LedgerId,
    purpose: KeyPurpose,
    public: &PublicKey,
) -> Result<SecretKey, KeysError> {
    let path = key_path(keys_dir, purpose);
    let file = read_key_file(&path, purpose)?;
    if file.key.public() != *public {
        return Err(KeysError::AnotherKey {
            path,
            purpose: purpose.as_str(),
            owner: file.owner,
            authority: authority.id.clone(),
        });
    }
    of_ledger(path, file, ledger)
}

fn load_observer(
    keys_dir: &Path,
    name: &ObserverName,
    genesis: &Genesis,
    ledger: LedgerId,
) -> Result<SecretKey, KeysError> {
    let path = key_path(keys_dir, KeyPurpose::Network);
    let file = read_key_file(&path, KeyPurpose::Network)?;
    let public = file.key.public();
    let mut authorities = genesis.authorities.authorities().iter();
    if let Some(authority) = authorities.find(|authority| network::has_key(authority, &public)) {
        return Err(KeysError::KeyOfAuthority { path, authority: authority.id.clone() });
    }
    if file.owner != name.as_str() {
        return Err(KeysError::AnotherObserver { path, owner: file.owner, observer: name.clone() });
    }
    of_ledger(path, file, ledger)
}

fn of_ledger(path: PathBuf, file: KeyFile, ledger: LedgerId) -> Result<SecretKey, KeysError> {
    match file.ledger {
        Some(found) if found != ledger => Err(KeysError::AnotherLedger { path, found, expected: ledger }),
        _ => Ok(file.key),
    }
}
