//! Where log lines go: to standard error, for people or for machines.

use std::io::IsTerminal;

use anyhow::anyhow;
use markstein_node::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Gossipsub warns of every message it refuses, as often as a peer sends one; the network counts and names instead. A level
/// of the configuration for the same target takes the place of this one.
const QUIET: &str = "libp2p_gossipsub=error";

/// Starts logging, once in a process.
pub(super) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(format!("{QUIET},{}", config.level))?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!("logging cannot be started: {error}"))
}
