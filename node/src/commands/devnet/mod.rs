//! `devnet`: a whole ledger on this machine, each authority a process of its own, on loopback.

mod child;
mod layout;
mod setup;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use markstein_node::shutdown::{StopSignal, termination};
use markstein_proto::{AUTHORITIES_MAX, Genesis};
use tokio::task::JoinSet;

use child::{Child, Serving};
use layout::Layout;

/// Authorities that one release of the node can bring to agreement.
const AUTHORITIES_OF_THIS_RELEASE: usize = 1;
/// How long a node may take to stop before it is killed; longer than its own deadline.
const STOP_MAX: Duration = Duration::from_secs(20);

#[derive(Args)]
pub(super) struct DevnetArgs {
    /// Folder for everything; made at the first start, used again at the next
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How many authorities
    #[arg(long, value_name = "N")]
    authorities: usize,
    /// Node i serves on port P+2i and its operator on P+2i+1 [default: free ports]
    #[arg(long, value_name = "P")]
    base_port: Option<u16>,
}

pub(super) fn run(args: &DevnetArgs) -> anyhow::Result<()> {
    check_count(args.authorities)?;
    let layout = Layout::new(&args.dir)?;
    let _lock = layout.lock()?;
    let genesis = setup::prepare(&layout, args.authorities)?;
    for index in 0..args.authorities {
        setup::prepare_node(&layout, &genesis, index, args.base_port)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the asynchronous runtime cannot be started")?.block_on(serve(&layout, &genesis))
}

fn check_count(authorities: usize) -> anyhow::Result<()> {
    if !(1..=AUTHORITIES_MAX).contains(&authorities) {
        bail!("--authorities {authorities}: a ledger has 1 to {AUTHORITIES_MAX} authorities");
    }
    if authorities > AUTHORITIES_OF_THIS_RELEASE {
        bail!(
            "--authorities {authorities}: this release runs one authority; more need the consensus engine, which \
             comes with a later one. Write --authorities 1"
        );
    }
    Ok(())
}

/// Runs the nodes until a signal, or until one of them ends by itself.
async fn serve(layout: &Layout, genesis: &Genesis) -> anyhow::Result<()> {
    let termination = termination().context("signals cannot be handled")?;
    tokio::pin!(termination);
    let stop = StopSignal::new();
    let mut nodes = JoinSet::new();
    let mut starting = JoinSet::new();
    for index in 0..genesis.authorities.authorities().len() {
        let child = Child::start(layout, index)?;
        starting.spawn(child.ready());
        nodes.spawn(child.supervise(stop.clone(), STOP_MAX));
    }
    let outcome = tokio::select! {
        _ = &mut termination => Ok(()),
        ended = nodes.join_next() => first_end(ended),
        serving = all(starting) => match serving.and_then(|serving| announce(layout, genesis, serving)) {
            Err(error) => Err(error),
            Ok(()) => tokio::select! {
                _ = &mut termination => Ok(()),
                ended = nodes.join_next() => first_end(ended),
            },
        },
    };
    stop.stop();
    let stopped = stop_all(nodes).await;
    outcome.and(stopped)
}

/// What the first node that ended without being asked to has to say.
fn first_end(ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>) -> anyhow::Result<()> {
    match ended {
        Some(result) => result.context("the supervision of a node failed")?,
        None => bail!("no node is left"),
    }
}

async fn stop_all(mut nodes: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = nodes.join_next().await {
        outcome = outcome.and(ended.context("the supervision of a node failed")?);
    }
    outcome
}

/// All nodes, by index, once each of them serves.
async fn all(mut starting: JoinSet<anyhow::Result<Serving>>) -> anyhow::Result<Vec<Serving>> {
    let mut serving = Vec::new();
    while let Some(node) = starting.join_next().await {
        serving.push(node.context("the start of a node could not be followed")??);
    }
    serving.sort_by_key(|node| node.index);
    Ok(serving)
}

fn announce(layout: &Layout, genesis: &Genesis, serving: Vec<Serving>) -> anyhow::Result<()> {
    let url = serving.first().map(|node| node.grpc.clone()).unwrap_or_default();
    layout.write_endpoints(genesis, &serving)?;
    let text = format!(
        "ready: {n} of {n} authorities of ledger {ledger}\n\
         \x20 endpoints: {endpoints}\n\
         \x20 anchor:    markstein anchor --node {url} --key {key} --type building-permit FILE\n\
         \x20 verify:    markstein verify --genesis {genesis} FILE\n\
         \x20 status:    markstein status --node {url}\n\
         \x20 stop:      Ctrl-C or SIGTERM; the same command starts it again\n",
        n = serving.len(),
        ledger = genesis.ledger_id(),
        endpoints = layout.endpoints().display(),
        key = layout.issuer_key().display(),
        genesis = layout.genesis().display(),
    );
    // Whoever reads only the first line and goes away must not stop the ledger.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_cannot_be_are_explained() {
        assert!(check_count(1).is_ok());
        for (count, word) in [(0, "1 to 64"), (65, "1 to 64"), (2, "consensus engine")] {
            let error = check_count(count).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
