//! From raw to checked configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use markstein_proto::{AuthorityId, BATCH_MAX, ObserverName};
use tracing_subscriber::EnvFilter;

use super::error::{ConfigError, value};
use super::raw::{DEFAULTS, RawApi, RawConfig, RawLog, RawOperator, RawPool, RawTls};
use super::{
    ApiConfig, ListenerConfig, LogConfig, NodeConfig, OperatorConfig, Pages, PoolConfig, Proxies, Role,
    TlsFiles, network,
};

/// Longest time a stop may be given.
const SHUTDOWN_DEADLINE_MAX_S: u64 = 3600;
/// Most connections a listener may be allowed; more files are hardly ever to be had.
const CONNECTIONS_MAX: usize = 100_000;

/// Longest name of a host (RFC 1035).
const HOST_NAME_MAX: usize = 253;

/// Checks the entries of one file.
pub(super) struct Checker<'a> {
    file: &'a Path,
    folder: PathBuf,
}

/// One section with listeners.
struct Section {
    name: &'static str,
    place: &'static str,
    tls: Option<TlsFiles>,
    insecure: bool,
}

impl<'a> Checker<'a> {
    /// For the entries of `file`.
    pub(super) fn new(file: &'a Path) -> Self {
        Self { file, folder: file.parent().unwrap_or(Path::new("")).to_owned() }
    }

    /// Checks all of it.
    pub(super) fn config(&self, raw: RawConfig) -> Result<NodeConfig, ConfigError> {
        let role = self.role(raw.authority.as_deref(), raw.observer.as_deref())?;
        let network = self.network(&role, raw.network.unwrap_or_default())?;
        let config = NodeConfig {
            file: self.file.to_owned(),
            role,
            genesis: self.path("genesis", &raw.genesis)?,
            data_dir: self.path("data_dir", &raw.data_dir)?,
            keys_dir: self.path("keys_dir", &raw.keys_dir)?,
            api: self.api(raw.api)?,
            operator: self.operator(raw.operator)?,
            network,
            pool: self.pool(&raw.pool)?,
            log: self.log(raw.log)?,
            shutdown_deadline: self.shutdown_deadline(raw.shutdown.deadline_s)?,
        };
        self.folders_apart(&config)?;
        self.listeners_apart(&config)?;
        Ok(config)
    }

    fn role(&self, authority: Option<&str>, observer: Option<&str>) -> Result<Role, ConfigError> {
        let choice = "write authority = \"ID\" for the node of an authority of the genesis, or observer = \"NAME\" \
                      for a node that follows and has no vote";
        match (authority, observer) {
            (Some(id), None) => Ok(Role::Authority(self.authority_id("authority", id)?)),
            (None, Some(name)) => Ok(Role::Observer(self.observer_name("observer", name)?)),
            (None, None) => {
                Err(self.value("authority", format!("it is not said who this node is; {choice}")))
            }
            (Some(_), Some(_)) => {
                Err(self.value("authority", format!("a node cannot be authority and observer; {choice}")))
            }
        }
    }

    pub(super) fn authority_id(&self, place: &'static str, text: &str) -> Result<AuthorityId, ConfigError> {
        AuthorityId::new(text).map_err(|error| self.value(place, error.to_string()))
    }

    pub(super) fn observer_name(&self, place: &'static str, text: &str) -> Result<ObserverName, ConfigError> {
        ObserverName::new(text).map_err(|error| self.value(place, error.to_string()))
    }

    pub(super) fn value(&self, place: &'static str, reason: impl Into<String>) -> ConfigError {
        value(self.file, place, reason)
    }

    /// A path, relative to the folder of the file.
    pub(super) fn path(&self, place: &'static str, text: &str) -> Result<PathBuf, ConfigError> {
        if text.is_empty() {
            return Err(
                self.value(place, "the path is empty; write one, or leave the entry out if it may be")
            );
        }
        Ok(self.folder.join(text))
    }

    fn api(&self, raw: RawApi) -> Result<ApiConfig, ConfigError> {
        if raw.listen.is_empty() {
            return Err(self.value(
                "[api] listen",
                "a node without listener serves nobody; write at least one address, like [\"127.0.0.1:4600\"]",
            ));
        }
        if !(1..=CONNECTIONS_MAX).contains(&raw.connections_max) {
            return Err(self.value("[api] connections_max", format!("must be 1 to {CONNECTIONS_MAX}")));
        }
        let address_file = raw.address_file.map(|path| self.path("[api] address_file", &path)).transpose()?;
        let section = Section {
            name: "api",
            place: "[api] listen",
            tls: self.tls("[api] tls", raw.tls)?,
            insecure: raw.insecure,
        };
        let listeners =
            raw.listen.iter().map(|text| self.listener(&section, text)).collect::<Result<_, _>>()?;
        let pages = Pages { citizens: raw.page, network: raw.network_page };
        let nets = raw.proxies.iter().map(|text| self.proxy(text)).collect::<Result<_, _>>()?;
        let proxies = Proxies { nets, header: raw.proxy_header };
        Ok(ApiConfig { listeners, connections_max: raw.connections_max, proxies, pages, address_file })
    }

    /// The addresses of a proxy. All addresses there are would let everybody tell who they are.
    fn proxy(&self, text: &str) -> Result<IpNet, ConfigError> {
        let net = text.parse().or_else(|_| text.parse::<IpAddr>().map(|ip| ip.to_canonical().into()));
        match net {
            Ok(net) if IpNet::prefix_len(&net) > 0 => Ok(net.trunc()),
            _ => {
                let rule = "write an address or a network, like \"127.0.0.1\" or \"10.0.0.0/8\"";
                Err(self.value("[api] proxies", format!("{text:?} is no address of a proxy; {rule}")))
            }
        }
    }

    fn operator(&self, raw: RawOperator) -> Result<OperatorConfig, ConfigError> {
        let section = Section {
            name: "operator",
            place: "[operator] listen",
            tls: self.tls("[operator] tls", raw.tls)?,
            insecure: raw.insecure,
        };
        let hosts = raw.hosts.into_iter().map(|name| self.host("[operator] hosts", name));
        Ok(OperatorConfig {
            hosts: hosts.collect::<Result<_, _>>()?,
            listener: self.listener(&section, &raw.listen)?,
        })
    }

    /// The name of a host, in lower case.
    fn host(&self, place: &'static str, name: String) -> Result<String, ConfigError> {
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.len() > HOST_NAME_MAX || !name.split('.').all(is_label) {
            let rule = "write a name without scheme and port, like \"ledger.example\"";
            return Err(self.value(place, format!("{name:?} is no name of a host; {rule}")));
        }
        Ok(name.to_ascii_lowercase())
    }

    fn tls(&self, place: &'static str, raw: Option<RawTls>) -> Result<Option<TlsFiles>, ConfigError> {
        raw.map(|tls| {
            Ok(TlsFiles {
                certificate: self.path(place, &tls.certificate)?,
                key: self.path(place, &tls.key)?,
            })
        })
        .transpose()
    }

    fn listener(&self, section: &Section, text: &str) -> Result<ListenerConfig, ConfigError> {
        let Section { name, place, .. } = *section;
        let address = self.address(place, text)?;
        if section.insecure && section.tls.is_some() {
            return Err(self.value(
                place,
                format!("[{name}] has both tls and insecure = true; remove insecure, or remove tls"),
            ));
        }
        if !address.ip().is_loopback() && section.tls.is_none() && !section.insecure {
            return Err(self.value(
                place,
                format!(
                    "{address} can be reached from other machines, and without TLS anybody between could read and \
                     change what is said; write tls = {{ certificate = \"FILE.pem\", key = \"FILE.pem\" }} under \
                     [{name}], or insecure = true if something in front of the node encrypts"
                ),
            ));
        }
        Ok(ListenerConfig { address, tls: section.tls.clone(), place })
    }

    /// Where to listen.
    pub(super) fn address(&self, place: &'static str, text: &str) -> Result<SocketAddr, ConfigError> {
        text.parse().map_err(|_| {
            let rule = "write IP and port, like \"127.0.0.1:4600\" or \"[::1]:4600\"";
            self.value(place, format!("{text:?} is no address; {rule}"))
        })
    }

    fn pool(&self, raw: &RawPool) -> Result<PoolConfig, ConfigError> {
        let per_issuer =
            raw.bytes_per_issuer_max.unwrap_or(DEFAULTS.pool.bytes_per_issuer_max.min(raw.bytes_max));
        let pool = PoolConfig {
            bytes_max: raw.bytes_max,
            bytes_per_issuer_max: per_issuer,
            batches_per_issuer_max: raw.batches_per_issuer_max,
        };
        let least = BATCH_MAX as u64;
        if pool.bytes_max < least {
            return Err(self.value(
                "[pool] bytes_max",
                format!("must be at least {least}, or the largest batch never fits"),
            ));
        }
        if !(least..=pool.bytes_max).contains(&per_issuer) {
            return Err(self.value(
                "[pool] bytes_per_issuer_max",
                format!("must be {least} (the largest batch) to {} (bytes_max)", pool.bytes_max),
            ));
        }
        if pool.batches_per_issuer_max == 0 {
            return Err(
                self.value("[pool] batches_per_issuer_max", "must be at least 1, or nobody can write")
            );
        }
        Ok(pool)
    }

    fn log(&self, raw: RawLog) -> Result<LogConfig, ConfigError> {
        let refused = |reason: String| {
            let rule =
                "write error, warn, info, debug or trace, or a filter like \"info,markstein_node=debug\"";
            self.value("[log] level", format!("{:?} is no level ({reason}); {rule}", raw.level))
        };
        if raw.level.trim().is_empty() {
            return Err(refused("it is empty".into()));
        }
        EnvFilter::try_new(&raw.level).map_err(|error| refused(error.to_string()))?;
        // A lone word that is no level would be taken for the name of a module and silence everything else.
        if !raw.level.contains(['=', ',']) && raw.level.parse::<tracing::metadata::LevelFilter>().is_err() {
            return Err(refused("unknown word".into()));
        }
        Ok(LogConfig { format: raw.format, level: raw.level })
    }

    fn shutdown_deadline(&self, seconds: u64) -> Result<Duration, ConfigError> {
        if (1..=SHUTDOWN_DEADLINE_MAX_S).contains(&seconds) {
            Ok(Duration::from_secs(seconds))
        } else {
            let rule = format!("must be 1 to {SHUTDOWN_DEADLINE_MAX_S} seconds");
            Err(self.value("[shutdown] deadline_s", rule))
        }
    }

    fn folders_apart(&self, config: &NodeConfig) -> Result<(), ConfigError> {
        if config.keys_dir.starts_with(&config.data_dir) {
            return Err(self.value(
                "keys_dir",
                "must not lie within data_dir: the marker beside the keys is what stops a lost data folder from \
                 being made anew with keys that have signed; choose a folder of its own",
            ));
        }
        Ok(())
    }

    fn listeners_apart(&self, config: &NodeConfig) -> Result<(), ConfigError> {
        let api = config.api.listeners.iter().chain([&config.operator.listener]);
        let network = config.network.listen.iter().map(|address| (network::LISTEN, *address));
        let all: Vec<_> = api.map(|listener| (listener.place, listener.address)).chain(network).collect();
        for (position, (place, address)) in all.iter().enumerate() {
            if address.port() != 0 && all[..position].iter().any(|(_, other)| other == address) {
                let rule = "give each listener a port of its own";
                return Err(self.value(place, format!("{address} stands in the file twice; {rule}")));
            }
        }
        Ok(())
    }
}
