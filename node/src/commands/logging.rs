//! Where log lines go: to standard error, for people or for machines.

use std::io::IsTerminal;

use anyhow::anyhow;
use markstein_node::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging, once in a process.
pub(super) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(&config.level)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow!("logging cannot be started: {error}"))
}
