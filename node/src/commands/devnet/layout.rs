//! Where things lie in the folder of a devnet.

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use markstein_node::files::{self, PUBLIC_FILE, SECRET_FOLDER};
use markstein_proto::{AuthorityId, ObserverName};
use serde::Serialize;

use super::child::Serving;

/// The folder of a devnet.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    dir: PathBuf,
}

/// One node of a devnet, counted from 0 among its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Authority(usize),
    Observer(usize),
}

impl Member {
    /// All of them, authorities first.
    pub(super) fn all(authorities: usize, observers: usize) -> impl Iterator<Item = Self> + Clone {
        (0..authorities).map(Self::Authority).chain((0..observers).map(Self::Observer))
    }
}

/// As people say it.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(index) => write!(f, "node {index}"),
            Self::Observer(index) => write!(f, "observer {index}"),
        }
    }
}

fn folder_name(member: Member) -> String {
    match member {
        Member::Authority(index) => format!("node{index}"),
        Member::Observer(index) => format!("observer{index}"),
    }
}

/// The id of an authority of a devnet.
pub(super) fn authority_id(index: usize) -> anyhow::Result<AuthorityId> {
    Ok(AuthorityId::new(&format!("authority-{index}.devnet.example"))?)
}

/// The name of an observer of a devnet.
pub(super) fn observer_name(index: usize) -> anyhow::Result<ObserverName> {
    Ok(ObserverName::new(&format!("observer-{index}.devnet.example"))?)
}

#[derive(Default, Serialize)]
struct Endpoints<'a> {
    nodes: Vec<Authority<'a>>,
    observers: Vec<Observer<'a>>,
}

#[derive(Serialize)]
struct Authority<'a> {
    authority: String,
    grpc: &'a str,
    operator: &'a str,
}

#[derive(Serialize)]
struct Observer<'a> {
    observer: String,
    grpc: &'a str,
    operator: &'a str,
}

impl Layout {
    /// Makes the folder if need be.
    pub(super) fn new(dir: &Path) -> anyhow::Result<Self> {
        files::make_folder(dir, SECRET_FOLDER)?;
        Ok(Self { dir: dir.canonicalize().with_context(|| format!("cannot enter {}", dir.display()))? })
    }

    /// Keeps a second devnet out of the folder as long as the file lives.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        let folder = File::open(&self.dir).with_context(|| format!("cannot open {}", self.dir.display()))?;
        match folder.try_lock() {
            Ok(()) => Ok(folder),
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "another devnet runs in {}; stop that one, or choose another folder",
                    self.dir.display()
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", self.dir.display()))
            }
        }
    }

    pub(super) fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.toml")
    }

    pub(super) fn issuer_key(&self) -> PathBuf {
        self.dir.join("issuer.key")
    }

    pub(super) fn endpoints(&self) -> PathBuf {
        self.dir.join("endpoints.json")
    }

    pub(super) fn node(&self, member: Member) -> PathBuf {
        self.dir.join(folder_name(member))
    }

    pub(super) fn config(&self, member: Member) -> PathBuf {
        self.node(member).join("node.toml")
    }

    pub(super) fn keys(&self, member: Member) -> PathBuf {
        self.node(member).join("keys")
    }

    /// Stands for the medium that leaves the machine.
    pub(super) fn offline(&self, member: Member) -> PathBuf {
        self.node(member).join("offline")
    }

    pub(super) fn data(&self, member: Member) -> PathBuf {
        self.node(member).join("data")
    }

    pub(super) fn log(&self, member: Member) -> PathBuf {
        self.node(member).join("log")
    }

    pub(super) fn addresses(&self, member: Member) -> PathBuf {
        self.node(member).join("listening.json")
    }

    /// The same as the configuration of another node names it.
    pub(super) fn addresses_from_beside(member: Member) -> String {
        format!("../{}/listening.json", folder_name(member))
    }

    /// Writes where all nodes serve, for programs.
    pub(super) fn write_endpoints(&self, serving: &[Serving]) -> anyhow::Result<()> {
        let mut endpoints = Endpoints::default();
        for Serving { member, grpc, operator } in serving {
            match *member {
                Member::Authority(index) => {
                    let authority = authority_id(index)?.to_string();
                    endpoints.nodes.push(Authority { authority, grpc, operator });
                }
                Member::Observer(index) => {
                    let observer = observer_name(index)?.to_string();
                    endpoints.observers.push(Observer { observer, grpc, operator });
                }
            }
        }
        let mut text = serde_json::to_string_pretty(&endpoints)?;
        text.push('\n');
        Ok(files::replace(&self.endpoints(), text.as_bytes(), PUBLIC_FILE)?)
    }
}
