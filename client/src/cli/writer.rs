//! What the commands that write to the ledger share: the trust root, the session, and a run that may be interrupted.

use std::{
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use markstein_client::{
    connect::{Connection, GrpcNode},
    journal,
    keys::IssuerKey,
    memory::Memory,
    node::Node,
    retry::{Nodes, Patience},
    session::Session,
    time::now,
    trust::{self, check_ledger, decode_genesis},
};
use markstein_proto::receipt::TrustRoot;

use super::{args::WriterArgs, output::Output, progress::Progress, runtime};

const INTERRUPTED: &str = "Interrupted. Nothing is lost: the same command goes on where this one stopped.";

/// The journal is not opened yet.
pub struct Writer {
    pub trust: TrustRoot,
    pub key: IssuerKey,
    nodes: Nodes<GrpcNode>,
    progress: Arc<Progress>,
}

impl Writer {
    /// Reads the key and learns the trust root.
    pub async fn new(args: &WriterArgs, progress: Arc<Progress>) -> Result<Self> {
        let key = IssuerKey::read(&args.key)?;
        let connection = Connection { ca: args.connection.ca.as_deref(), insecure: args.connection.insecure };
        let nodes = args.node.iter().map(|url| GrpcNode::new(url, connection));
        let nodes =
            Nodes::new(nodes.collect::<Result<_, _>>()?, Patience::of(args.timeout), progress.clone());
        let trust = trust_root(args.genesis.as_deref(), &key, &nodes).await?;
        Ok(Self { trust, key, nodes, progress })
    }

    /// Where this machine keeps what it knows of the ledger.
    pub fn place(&self, state: Option<&Path>) -> Result<Place> {
        Ok(Place { state: state_folder(state)?, trust: self.trust.clone() })
    }

    /// Opens the journal. Waits where another run with the key holds it.
    pub async fn session(self, state: Option<&Path>) -> Result<Session<GrpcNode>> {
        let state = state_folder(state)?;
        let Self { trust, key, nodes, progress } = self;
        Ok(Session::open(nodes, trust, key, &state, now, progress).await?)
    }
}

/// What this machine keeps of a ledger.
pub struct Place {
    pub trust: TrustRoot,
    state: PathBuf,
}

impl Place {
    /// The memory of the newest log seen.
    pub fn memory(&self) -> Result<Memory> {
        Ok(Memory::open(&self.state, &self.trust)?)
    }
}

fn state_folder(state: Option<&Path>) -> Result<PathBuf> {
    let state = state.map_or_else(journal::default_state, |folder| Ok(folder.into()))?;
    Ok(std::path::absolute(state)?)
}

/// Runs a command to its end, and leaves at once where somebody presses Ctrl-C.
pub fn interruptible(work: impl AsyncFnOnce(Arc<Progress>) -> Result<u8>, output: Output) -> Result<u8> {
    let progress = Arc::new(Progress::new(output));
    runtime()?.block_on(async {
        tokio::select! {
            done = work(progress.clone()) => {
                progress.finish();
                done
            }
            Ok(()) = tokio::signal::ctrl_c() => {
                progress.finish();
                output.note(INTERRUPTED);
                // Whatever is being written now is completed by the next run; waiting for it would help nobody.
                process::exit(130);
            }
        }
    })
}

/// The genesis: from the file, or from a node where the key file names the ledger, so that no node can pass off its own.
pub async fn trust_root(
    genesis: Option<&Path>,
    key: &IssuerKey,
    nodes: &Nodes<GrpcNode>,
) -> Result<TrustRoot> {
    let (trust, source) = match genesis {
        Some(path) => (trust::read_genesis(path)?, path.display().to_string()),
        None if key.ledger.is_none() => bail!(
            "the key file names no ledger, and a node must not choose it: give the genesis of your ledger with --genesis"
        ),
        None => {
            let bytes = nodes.any(Node::genesis).await.context("no node told its genesis")?;
            (decode_genesis(&bytes)?, "the node".into())
        }
    };
    check_ledger(&trust, key.ledger, &source)?;
    Ok(trust)
}
