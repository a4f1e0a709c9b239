//! `devnet`: a whole ledger on this machine, each node a process of its own, on loopback.
//!
//! Until all serve, a node that ends takes the devnet with it: something is wrong with how it was set up. Later it is
//! what people want to try out, so the devnet says it and goes on as long as one node runs.

mod child;
mod layout;
mod setup;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use markstein_node::shutdown::{StopSignal, termination};
use markstein_proto::Genesis;
use tokio::task::{JoinError, JoinSet};

use child::{Child, Serving};
use layout::{Layout, Member};
use setup::Shape;

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
    /// How many observers: nodes that follow without a vote
    #[arg(long, value_name = "M", default_value_t = 0)]
    observers: usize,
    /// Node i serves on port P+2i and its operator on P+2i+1, the other nodes reach it on P+2N+i; observer j serves on
    /// P+3N+2j and its operator on P+3N+2j+1 [default: free ports]
    #[arg(long, value_name = "P")]
    base_port: Option<u16>,
    /// Make everything, run nothing, and say how to run each node in a terminal of its own
    #[arg(long)]
    prepare: bool,
}

pub(super) fn run(args: &DevnetArgs) -> anyhow::Result<()> {
    let DevnetArgs { authorities, observers, base_port, .. } = *args;
    let shape = Shape { authorities, observers, base_port }.check()?;
    let layout = Layout::new(&args.dir)?;
    let _lock = layout.lock()?;
    let genesis = setup::prepare(&layout, shape)?;
    if args.prepare {
        say(&prepared(&layout, shape, &genesis));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("the asynchronous runtime cannot be started")?.block_on(serve(&layout, shape, &genesis))
}

/// The running nodes, each of which tells its end.
type Nodes = JoinSet<(Member, anyhow::Result<()>)>;

/// Runs the nodes until a signal, or until none is left.
async fn serve(layout: &Layout, shape: Shape, genesis: &Genesis) -> anyhow::Result<()> {
    let termination = termination().context("signals cannot be handled")?;
    let stop = StopSignal::new();
    let (mut nodes, mut starting) = (Nodes::new(), JoinSet::new());
    for member in shape.members() {
        let child = Child::start(layout, member)?;
        starting.spawn(child.ready());
        let stop = stop.clone();
        nodes.spawn(async move { (member, child.supervise(stop, STOP_MAX).await) });
    }
    let outcome = tokio::select! {
        _ = termination => Ok(()),
        ended = watch(layout, genesis, &mut nodes, starting) => ended,
    };
    stop.stop();
    let stopped = stop_all(nodes).await;
    outcome.and(stopped)
}

/// Announces the nodes once they serve, and tells of each that ends; returns with what ends the devnet.
async fn watch(
    layout: &Layout,
    genesis: &Genesis,
    nodes: &mut Nodes,
    starting: JoinSet<anyhow::Result<Serving>>,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = nodes.join_next() => return end(ended)?.1,
        serving = all(starting) => announce(layout, genesis, &serving?)?,
    }
    loop {
        let (member, ended) = end(nodes.join_next().await)?;
        if nodes.is_empty() {
            return ended;
        }
        if let Err(reason) = ended {
            let config = layout.config(member);
            let _ = writeln!(
                std::io::stderr(), // where nobody reads, the others run on all the same
                "{reason}\nThe other {} go on. To start {member} again: markstein-node run --config {}",
                nodes.len(),
                config.display()
            );
        }
    }
}

/// What a node that ended has to say.
fn end(
    ended: Option<Result<(Member, anyhow::Result<()>), JoinError>>,
) -> anyhow::Result<(Member, anyhow::Result<()>)> {
    match ended {
        Some(result) => result.context("the supervision of a node failed"),
        None => bail!("no node is left"),
    }
}

async fn stop_all(mut nodes: Nodes) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = nodes.join_next().await {
        outcome = outcome.and(end(Some(ended))?.1);
    }
    outcome
}

/// All nodes in order, once each of them serves.
async fn all(mut starting: JoinSet<anyhow::Result<Serving>>) -> anyhow::Result<Vec<Serving>> {
    let mut serving = Vec::new();
    while let Some(node) = starting.join_next().await {
        serving.push(node.context("the start of a node could not be followed")??);
    }
    serving.sort_by_key(|node| node.member);
    Ok(serving)
}

fn announce(layout: &Layout, genesis: &Genesis, serving: &[Serving]) -> anyhow::Result<()> {
    let url = serving.first().map(|node| node.grpc.clone()).unwrap_or_default();
    layout.write_endpoints(serving)?;
    let n = genesis.authorities.authorities().len();
    let mut text = format!("ready: {n} of {n} authorities of ledger {}\n", genesis.ledger_id());
    if serving.len() > 1 {
        let node = |node: &Serving| format!("  {:<10} {}\n", format!("{}:", node.member), node.grpc);
        text.extend(serving.iter().map(node));
    }
    text += &format!(
        "\x20 endpoints: {endpoints}\n\
         \x20 anchor:    markstein anchor --node {url} --key {key} --type building-permit FILE\n\
         \x20 verify:    markstein verify --genesis {genesis} FILE\n\
         \x20 status:    markstein status --node {url}\n\
         \x20 stop:      Ctrl-C or SIGTERM; the same command starts it again\n",
        endpoints = layout.endpoints().display(),
        key = layout.issuer_key().display(),
        genesis = layout.genesis().display(),
    );
    say(&text);
    Ok(())
}

fn prepared(layout: &Layout, shape: Shape, genesis: &Genesis) -> String {
    let commands = shape.members().map(|member| {
        let config = layout.config(member);
        format!("  {:<12} markstein-node run --config {}\n", format!("{member}:"), config.display())
    });
    format!(
        "prepared: {} authorities and {} observers of ledger {}; run each in a terminal of its own:\n{}",
        shape.authorities,
        shape.observers,
        genesis.ledger_id(),
        commands.collect::<String>()
    )
}

/// Whoever reads only the first line and goes away must not stop the ledger.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn serving(index: usize) -> Serving {
        Serving { member: Member::Authority(index), grpc: "http://g".into(), operator: "http://o".into() }
    }

    fn a_ledger(folder: &tempfile::TempDir, authorities: usize) -> (Layout, Genesis) {
        let layout = Layout::new(folder.path()).unwrap();
        let shape = Shape { authorities, observers: 0, base_port: None };
        let genesis = setup::prepare(&layout, shape).unwrap();
        (layout, genesis)
    }

    #[tokio::test]
    async fn a_devnet_goes_on_until_its_last_node_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, genesis) = a_ledger(&folder, 2);
        let (mut nodes, mut starting) = (Nodes::new(), JoinSet::new());
        let (first_ended, first_end) = tokio::sync::oneshot::channel();
        for index in [1, 0] {
            starting.spawn(async move { Ok(serving(index)) });
        }
        let endpoints = layout.endpoints();
        nodes.spawn(async move {
            while !endpoints.exists() {
                tokio::task::yield_now().await; // all serve once they are announced
            }
            first_ended.send(()).unwrap();
            (Member::Authority(0), Err(anyhow::anyhow!("killed")))
        });
        nodes.spawn(async move {
            first_end.await.unwrap();
            (Member::Authority(1), Err(anyhow::anyhow!("the last one")))
        });
        let ended = watch(&layout, &genesis, &mut nodes, starting).await;
        assert_eq!(ended.unwrap_err().to_string(), "the last one");
        let text = std::fs::read_to_string(layout.endpoints()).unwrap();
        let endpoints: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(endpoints["nodes"][1]["authority"], "authority-1.devnet.example");
        assert_eq!(endpoints["observers"], serde_json::json!([]));
    }

    #[tokio::test]
    async fn a_node_that_ends_before_all_serve_takes_the_devnet_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, genesis) = a_ledger(&folder, 2);
        let (mut nodes, mut starting) = (Nodes::new(), JoinSet::new());
        starting.spawn(async { Ok(serving(0)) });
        starting.spawn(std::future::pending());
        nodes.spawn(std::future::pending());
        nodes.spawn(async { (Member::Authority(1), Err(anyhow::anyhow!("its port is taken"))) });
        let ended = watch(&layout, &genesis, &mut nodes, starting).await;
        assert_eq!(ended.unwrap_err().to_string(), "its port is taken");
    }
}
