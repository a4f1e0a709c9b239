//! `run`: runs the node until it is told to stop.

use std::io::Read;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use markstein_node::config::{NodeConfig, NodeKeys, keys};
use markstein_node::shutdown::{StopSignal, run_to_end, termination};
use markstein_node::{node, setup};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{ConfigArgs, logging};

/// Open files beside the connections of callers: the store's, those of other nodes and operators, and some to spare.
const OTHER_FILES: u64 = 2048;

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Stop as soon as standard input is closed: whoever started the node is gone
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

pub(super) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let file: &PathBuf = &args.config.config;
    let config = NodeConfig::load(file)?;
    logging::start(&config.log)?;
    let genesis = config.load_genesis()?;
    let ledger = genesis.ledger_id();
    let keys = NodeKeys::load(&config, &genesis)?;
    if let Some(path) = keys::misplaced_governance_key(&config.keys_dir) {
        tracing::warn!(path = %path.display(), "the governance key lies here; the node never needs it, move it to a medium kept offline");
    }
    setup::check(&config, &genesis)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), node = %config.role, %ledger, config = %file.display(), "starting");
    raise_open_files(&config);
    let exit_with_parent = args.exit_with_parent;
    let ended = run_to_end(async move {
        let shutdown = shutdown_request(exit_with_parent)?;
        node::run(config, genesis, keys, shutdown).await.map_err(anyhow::Error::from)
    });
    ended.context("the asynchronous runtime cannot be started")??;
    tracing::info!("stopped");
    Ok(())
}

/// Connections are open files: this process takes as many as it may have at all, and says where they are too few.
fn raise_open_files(config: &NodeConfig) {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::debug!(%error, "the number of open files stays as it is");
    }
    let connections = config.api.connections_max * config.api.listeners.len();
    let needed = connections as u64 + OTHER_FILES;
    if let Some(most) = getrlimit(Resource::Nofile).current.filter(|most| *most < needed) {
        tracing::warn!(
            most,
            needed,
            "the system may let this node open too few files for all its connections; raise LimitNOFILE of the service \
             (ulimit -n), or lower connections_max under [api]"
        );
    }
}

/// Resolves on SIGTERM, SIGINT and, where asked for, the end of the parent.
fn shutdown_request(exit_with_parent: bool) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let termination = termination().context("signals cannot be handled")?;
    let orphaned = StopSignal::new();
    if exit_with_parent {
        let signal = orphaned.clone();
        // A thread of its own: a blocked read of standard input cannot be cancelled.
        std::thread::spawn(move || {
            let mut sink = [0; 64];
            while matches!(std::io::stdin().read(&mut sink), Ok(1..)) {}
            signal.stop();
        });
    }
    Ok(async move {
        tokio::select! {
            signal = termination => tracing::info!(signal, "asked to stop"),
            () = orphaned.stopped() => tracing::info!("whoever started this node is gone"),
        }
    })
}
