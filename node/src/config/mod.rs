//! The node's configuration: raw TOML in, checked values out.
//!
//! Paths in the file are relative to the folder the file lies in. Everything is checked before anything is opened or
//! bound, and what does not fit together is refused with the words to write instead.

mod check;
mod error;
pub mod keys;
pub mod network;
#[cfg(test)]
mod network_tests;
mod raw;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use markstein_proto::{Authority, AuthorityId, Genesis, ObserverName};
use serde::Deserialize;

pub use error::ConfigError;
pub use keys::{AuthorityKeys, KeysError, NodeKeys};
pub use network::{NetworkConfig, NetworkPlan};

use crate::files;

/// A node's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// The file it was read from.
    pub file: PathBuf,
    /// Who this node is.
    pub role: Role,
    /// The genesis file.
    pub genesis: PathBuf,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The folder with `consensus.key`, `cosigner.key`, `log.key`, `network.key` (of these an observer has the last
    /// one only) and the marker of `init`.
    pub keys_dir: PathBuf,
    /// The public port.
    pub api: ApiConfig,
    /// The operators' port: metrics, peers, administration.
    pub operator: OperatorConfig,
    /// The other nodes.
    pub network: NetworkConfig,
    /// Bounds of the pool.
    pub pool: PoolConfig,
    /// What is logged and how.
    pub log: LogConfig,
    /// How long a stop may take in all.
    pub shutdown_deadline: Duration,
}

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// The node of this authority: it votes and cosigns.
    Authority(AuthorityId),
    /// Follows, serves and forwards, under this name.
    Observer(ObserverName),
}

impl Role {
    /// The authority's id or the observer's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Authority(id) => id.as_str(),
            Self::Observer(name) => name.as_str(),
        }
    }
}

/// As in a sentence: `authority a.example`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(id) => write!(f, "authority {id}"),
            Self::Observer(name) => write!(f, "observer {name}"),
        }
    }
}

/// The public API's listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiConfig {
    /// At least one; all serve the same.
    pub listeners: Vec<ListenerConfig>,
    /// Most connections open at once on each listener; idle ones give way to further ones.
    pub connections_max: usize,
    /// What stands before the node and tells who asks.
    pub proxies: Proxies,
    /// Which pages it serves.
    pub pages: Pages,
    /// Where to write the addresses once they are bound.
    pub address_file: Option<PathBuf>,
}

/// Proxies that are believed when they tell who asks; nobody else is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxies {
    /// Their addresses.
    pub nets: Arc<[IpNet]>,
    /// Where they tell it. What else a request says of its way may be its sender's invention.
    pub header: ProxyHeader,
}

impl Proxies {
    /// Whether a proxy has this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.nets.iter().any(|net| net.contains(&address))
    }
}

/// The header in which a proxy tells who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, as most have it.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The operators' listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorConfig {
    /// Where it listens.
    pub listener: ListenerConfig,
    /// Names by which it may be asked beside IP addresses and `localhost`, in lower case.
    pub hosts: Vec<String>,
}

/// Which pages the public listeners serve. Operators have the overview on theirs in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pages {
    /// The page at `/`, on which citizens check documents.
    pub citizens: bool,
    /// The overview at `/network`.
    pub network: bool,
}

/// One listener. Without TLS only on loopback or where the operator wrote `insecure = true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerConfig {
    /// Where to listen; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Certificate and key, where it speaks TLS.
    pub tls: Option<TlsFiles>,
    /// The entry of the configuration file that names it, for messages.
    pub place: &'static str,
}

/// Files of a TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, PEM, the listener's own certificate first.
    pub certificate: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
}

/// Bounds of the pool. A full pool refuses with a retry hint; it never drops what it accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolConfig {
    /// Most bytes of batches that wait.
    pub bytes_max: u64,
    /// Most bytes of one issuer's batches that wait.
    pub bytes_per_issuer_max: u64,
    /// Most batches of one issuer that wait.
    pub batches_per_issuer_max: u64,
}

/// What is logged and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Form of a line.
    pub format: LogFormat,
    /// A level, or a filter like `info,markstein_node=debug`; checked.
    pub level: String,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl NodeConfig {
    /// Reads and checks a configuration file. No other file is opened.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = files::read_text(file).map_err(ConfigError::File)?;
        Self::parse(&text, file)
    }

    /// Checks the text of a configuration that stands in `file`.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let raw = toml::from_str(text).map_err(|error| ConfigError::Toml {
            file: file.to_owned(),
            reason: error.to_string().trim_end().to_owned(),
        })?;
        check::Checker::new(file).config(raw)
    }

    /// Reads the genesis file and checks that it knows this node's authority and its peers.
    ///
    /// # Errors
    /// [`ConfigError::GenesisFile`], [`ConfigError::Genesis`], [`ConfigError::UnknownAuthority`] or what
    /// [`NodeConfig::network_in`] gives.
    pub fn load_genesis(&self) -> Result<Genesis, ConfigError> {
        let genesis = load_genesis(&self.genesis)?;
        self.network_in(&genesis)?;
        Ok(genesis)
    }

    /// This node's authority as the genesis has it, with its number in the set; none for an observer.
    ///
    /// # Errors
    /// [`ConfigError::UnknownAuthority`].
    pub fn authority_in<'a>(
        &self,
        genesis: &'a Genesis,
    ) -> Result<Option<(u32, &'a Authority)>, ConfigError> {
        match &self.role {
            Role::Observer(_) => Ok(None),
            Role::Authority(id) => self.find(genesis, "authority", id).map(Some),
        }
    }

    fn find<'a>(
        &self,
        genesis: &'a Genesis,
        place: &'static str,
        id: &AuthorityId,
    ) -> Result<(u32, &'a Authority), ConfigError> {
        let authorities = genesis.authorities.authorities();
        let numbered = || (0..).zip(authorities);
        numbered().find(|(_, a)| a.id == *id).ok_or_else(|| ConfigError::UnknownAuthority {
            file: self.file.clone(),
            place,
            authority: id.to_string(),
            known: authorities.iter().map(|a| a.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

/// Reads and checks a genesis file.
///
/// # Errors
/// [`ConfigError::GenesisFile`] or [`ConfigError::Genesis`].
pub fn load_genesis(file: &Path) -> Result<Genesis, ConfigError> {
    let text = files::read_text(file).map_err(ConfigError::GenesisFile)?;
    Genesis::from_toml(&text).map_err(|source| ConfigError::Genesis { file: file.to_owned(), source })
}
