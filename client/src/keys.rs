//! Key files on disk: made once, never overwritten, readable for their owner only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use markstein_proto::{
    DecodeError, IssuerEntry, IssuerId, IssuerKeyEntry, KeyFile, KeyFileError, KeyId, KeyPurpose, LedgerId,
    SecretKey, display_name,
};
use zeroize::Zeroizing;

/// No key file is longer, in bytes.
const KEY_FILE_MAX: u64 = 64 * 1024;

/// An issuer's key as a program holds it.
#[derive(Clone, Debug)]
pub struct IssuerKey {
    /// Whose key it is.
    pub issuer: IssuerId,
    /// The ledger it is for, where the file says so.
    pub ledger: Option<LedgerId>,
    /// The key.
    pub key: SecretKey,
}

/// Why a key file cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system's word.
    #[error("the key file {path} cannot be read or written: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others can read it, or could change it.
    #[error("{path} can be read or written by others (mode {mode:04o}): type  chmod 600 {path}")]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not the text of a key file.
    #[error("{path}: {source}")]
    Text {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: KeyFileError,
    },
    /// The owner is no issuer id.
    #[error("{path}: {source}")]
    Owner {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: DecodeError,
    },
    /// Nothing is ever overwritten.
    #[error("{0} exists already and is not overwritten: choose another --out")]
    Exists(PathBuf),
    /// The name or id cannot stand in the ledger.
    #[error(transparent)]
    Name(#[from] DecodeError),
    /// The system gives no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
}

impl KeyError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        |source| Self::Io { path, source }
    }
}

impl IssuerKey {
    /// Reads an issuer's key file.
    ///
    /// # Errors
    /// See [`KeyError`]; a file that others can read is refused.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = File::open(path).map_err(KeyError::io(path))?;
        let mode = file.metadata().map_err(KeyError::io(path))?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.into(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        file.take(KEY_FILE_MAX).read_to_string(&mut text).map_err(KeyError::io(path))?;
        let parsed = KeyFile::parse(&text, KeyPurpose::Issuer);
        let KeyFile { owner, ledger, key, .. } =
            parsed.map_err(|source| KeyError::Text { path: path.into(), source })?;
        let owner = IssuerId::new(&owner);
        let issuer = owner.map_err(|source| KeyError::Owner { path: path.into(), source })?;
        Ok(Self { issuer, ledger, key })
    }

    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.key.public().id()
    }
}

/// What [`generate`] wrote.
#[derive(Debug)]
pub struct Generated {
    /// The secret key file.
    pub secret: PathBuf,
    /// What the authorities need to admit the issuer.
    pub public: PathBuf,
    /// The new key's id.
    pub id: KeyId,
}

/// Makes a key for an issuer: the secret half to `out` (mode 0600), the public half beside it as `out.pub.toml`.
/// Both are on the disk when this returns.
///
/// # Errors
/// See [`KeyError`]; an existing file is never overwritten.
pub fn generate(
    issuer: &str,
    name: &str,
    ledger: Option<LedgerId>,
    out: &Path,
) -> Result<Generated, KeyError> {
    let issuer = IssuerId::new(issuer)?;
    let name = display_name("name of an issuer", name)?;
    let public = with_suffix(out, ".pub.toml");
    if public.symlink_metadata().is_ok() {
        return Err(KeyError::Exists(public));
    }
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut()).map_err(|e| KeyError::Random(e.to_string()))?;
    let key = SecretKey::from_seed(&seed);
    let entry = IssuerEntry {
        id: issuer.to_string(),
        name,
        document_types: Vec::new(),
        keys: vec![IssuerKeyEntry {
            public_key: hex::encode(key.public().to_bytes()),
            not_before_ms: 0,
            not_after_ms: None,
        }],
    };
    let file = KeyFile { purpose: KeyPurpose::Issuer, owner: issuer.to_string(), ledger, key };
    create(out, 0o600, file.to_text().as_bytes())?;
    if let Err(e) = create(&public, 0o644, entry.to_toml().as_bytes()) {
        let _ = fs::remove_file(out); // made a moment ago, and good for nothing without its public half
        return Err(e);
    }
    sync_parent(out)?;
    Ok(Generated { secret: out.into(), public, id: file.key.public().id() })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn create(path: &Path, mode: u32, content: &[u8]) -> Result<(), KeyError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => KeyError::Exists(path.into()),
        _ => KeyError::io(path)(e),
    })?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(|e| {
        let _ = fs::remove_file(path); // half a key file would only mislead
        KeyError::io(path)(e)
    })
}

fn sync_parent(path: &Path) -> Result<(), KeyError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|dir| dir.sync_all()).map_err(KeyError::io(parent))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    #[test]
    fn a_new_key_is_private_and_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("permits.key");
        let ledger = Some(LedgerId(Hash([7; 32])));
        let made = generate("permits.example", "Bauamt Übersee", ledger, &out).unwrap();
        assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let key = IssuerKey::read(&out).unwrap();
        assert_eq!((key.id(), key.issuer.as_str(), key.ledger), (made.id, "permits.example", ledger));
        let entry = IssuerEntry::from_toml(&fs::read_to_string(made.public).unwrap()).unwrap();
        assert_eq!(entry.name, "Bauamt Übersee");
        assert_eq!(entry.keys[0].public_key, hex::encode(key.key.public().to_bytes()));
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("k");
        for existing in ["k", "k.pub.toml"] {
            fs::write(dir.path().join(existing), "mine").unwrap();
            assert!(matches!(generate("a", "A", None, &out), Err(KeyError::Exists(_))), "{existing}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
            fs::remove_file(dir.path().join(existing)).unwrap();
        }
    }

    #[test]
    fn bad_names_are_refused_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        for (issuer, name) in [
            ("Not A Slug", "A"),
            ("a", ""),
            ("a", " A"),
            ("a", "A\u{202e}"),
            ("a", "A\u{61c}"),
            ("a", "A\u{ad}B"),
        ] {
            let refused = generate(issuer, name, None, &dir.path().join("k"));
            assert!(matches!(refused, Err(KeyError::Name(_))), "{issuer:?} {name:?}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_what_to_type() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("k");
        generate("a", "A", None, &out).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&out, fs::Permissions::from_mode(mode)).unwrap();
            let error = IssuerKey::read(&out).unwrap_err().to_string();
            assert!(error.ends_with(&format!("chmod 600 {}", out.display())), "{error}");
        }
    }

    #[test]
    fn other_files_are_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k");
        create(&path, 0o600, b"secret_key = \"hunter2\"").unwrap();
        let error = IssuerKey::read(&path).unwrap_err().to_string();
        assert!(error.ends_with("not a Markstein key file") && !error.contains("hunter2"), "{error}");
    }
}
