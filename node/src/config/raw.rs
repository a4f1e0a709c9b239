//! The configuration as it stands in the file, with the one table of defaults.

use serde::Deserialize;

use super::{LogFormat, PoolConfig, ProxyHeader};

/// What holds where the file is silent.
pub(super) struct Defaults {
    pub(super) api_listen: &'static str,
    pub(super) operator_listen: &'static str,
    pub(super) connections_max: usize,
    pub(super) proxy_header: ProxyHeader,
    pub(super) pool: PoolConfig,
    pub(super) log_format: LogFormat,
    pub(super) log_level: &'static str,
    pub(super) shutdown_deadline_s: u64,
}

/// The one table of defaults.
pub(super) const DEFAULTS: Defaults = Defaults {
    api_listen: "127.0.0.1:4600",
    operator_listen: "127.0.0.1:4601",
    connections_max: 1024,
    proxy_header: ProxyHeader::XForwardedFor,
    pool: PoolConfig {
        bytes_max: 256 * 1024 * 1024,
        bytes_per_issuer_max: 64 * 1024 * 1024,
        batches_per_issuer_max: 10_000,
    },
    log_format: LogFormat::Text,
    log_level: "info",
    shutdown_deadline_s: 30,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) authority: Option<String>,
    pub(super) observer: Option<String>,
    pub(super) genesis: String,
    pub(super) data_dir: String,
    pub(super) keys_dir: String,
    #[serde(default)]
    pub(super) api: RawApi,
    #[serde(default)]
    pub(super) operator: RawOperator,
    pub(super) network: Option<RawNetwork>,
    #[serde(default)]
    pub(super) pool: RawPool,
    #[serde(default)]
    pub(super) log: RawLog,
    #[serde(default)]
    pub(super) shutdown: RawShutdown,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawApi {
    pub(super) listen: Vec<String>,
    pub(super) tls: Option<RawTls>,
    pub(super) insecure: bool,
    pub(super) connections_max: usize,
    pub(super) proxies: Vec<String>,
    pub(super) proxy_header: ProxyHeader,
    pub(super) page: bool,
    pub(super) network_page: bool,
    pub(super) address_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawOperator {
    pub(super) listen: String,
    pub(super) tls: Option<RawTls>,
    pub(super) insecure: bool,
    pub(super) hosts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub(super) certificate: String,
    pub(super) key: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawNetwork {
    pub(super) listen: Vec<String>,
    pub(super) peers: Vec<RawPeer>,
    pub(super) observers: Vec<RawObserver>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeer {
    pub(super) authority: String,
    pub(super) address: Option<String>,
    pub(super) address_file: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawObserver {
    pub(super) name: String,
    pub(super) key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPool {
    pub(super) bytes_max: u64,
    pub(super) bytes_per_issuer_max: Option<u64>,
    pub(super) batches_per_issuer_max: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) format: LogFormat,
    pub(super) level: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawShutdown {
    pub(super) deadline_s: u64,
}

impl Default for RawApi {
    fn default() -> Self {
        Self {
            listen: vec![DEFAULTS.api_listen.into()],
            tls: None,
            insecure: false,
            connections_max: DEFAULTS.connections_max,
            proxies: Vec::new(),
            proxy_header: DEFAULTS.proxy_header,
            page: true,
            network_page: true,
            address_file: None,
        }
    }
}

impl Default for RawOperator {
    fn default() -> Self {
        Self { listen: DEFAULTS.operator_listen.into(), tls: None, insecure: false, hosts: Vec::new() }
    }
}

impl Default for RawPool {
    fn default() -> Self {
        Self {
            bytes_max: DEFAULTS.pool.bytes_max,
            bytes_per_issuer_max: None,
            batches_per_issuer_max: DEFAULTS.pool.batches_per_issuer_max,
        }
    }
}

impl Default for RawLog {
    fn default() -> Self {
        Self { format: DEFAULTS.log_format, level: DEFAULTS.log_level.into() }
    }
}

impl Default for RawShutdown {
    fn default() -> Self {
        Self { deadline_s: DEFAULTS.shutdown_deadline_s }
    }
}
