//! Where things lie in the folder of a devnet.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use markstein_node::files::{self, PUBLIC_FILE, SECRET_FOLDER};
use markstein_proto::Genesis;
use serde::Serialize;

use super::child::Serving;

/// The folder of a devnet.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    dir: PathBuf,
}

#[derive(Serialize)]
struct Endpoints<'a> {
    nodes: Vec<Endpoint<'a>>,
}

#[derive(Serialize)]
struct Endpoint<'a> {
    authority: &'a str,
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

    pub(super) fn node(&self, index: usize) -> PathBuf {
        self.dir.join(format!("node{index}"))
    }

    pub(super) fn config(&self, index: usize) -> PathBuf {
        self.node(index).join("node.toml")
    }

    pub(super) fn keys(&self, index: usize) -> PathBuf {
        self.node(index).join("keys")
    }

    /// Stands for the medium that leaves the machine.
    pub(super) fn offline(&self, index: usize) -> PathBuf {
        self.node(index).join("offline")
    }

    pub(super) fn data(&self, index: usize) -> PathBuf {
        self.node(index).join("data")
    }

    pub(super) fn log(&self, index: usize) -> PathBuf {
        self.node(index).join("log")
    }

    pub(super) fn addresses(&self, index: usize) -> PathBuf {
        self.node(index).join("listening.json")
    }

    /// Writes where all nodes serve, for programs.
    pub(super) fn write_endpoints(&self, genesis: &Genesis, serving: &[Serving]) -> anyhow::Result<()> {
        let authorities = genesis.authorities.authorities();
        let nodes = serving.iter().map(|node| Endpoint {
            authority: authorities[node.index].id.as_str(),
            grpc: &node.grpc,
            operator: &node.operator,
        });
        let mut text = serde_json::to_string_pretty(&Endpoints { nodes: nodes.collect() })?;
        text.push('\n');
        Ok(files::replace(&self.endpoints(), text.as_bytes(), PUBLIC_FILE)?)
    }
}
