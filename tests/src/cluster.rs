//! The nodes of a ledger on loopback, each run, paused and killed by itself.
//!
//! `markstein-node devnet --prepare` makes them. Nodes are numbered: first the authorities, then the observers. However
//! a test ends, its processes end with it: dropping a [`Cluster`] kills them, and a killed test closes their lifelines.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use markstein_client::api::StatusResponse;
use markstein_proto::receipt::TrustRoot;
use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::{
    binaries::{Voice, binaries},
    grpc::Api,
    process::{self, LOOK_AGAIN, check_interrupted},
};

/// What has not come about by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than a node's own deadline for a stop.
const STOP_MAX: Duration = Duration::from_secs(40);
/// Lines of a log that are shown where something fails.
const TAIL_LINES: usize = 20;

/// A ledger of several nodes, running or not.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    dir: PathBuf,
    wrap: Wrap,
    /// Its standard input is a lifeline: closed, it stops.
    process: Option<Child>,
}

/// What stands around a node's program when it is started.
#[derive(Clone, Debug, Default)]
pub struct Wrap {
    /// Words before the program: a command that becomes it.
    pub words: Vec<OsString>,
    /// Variables of its environment.
    pub variables: Vec<(OsString, OsString)>,
}

impl Cluster {
    /// Makes keys, genesis, configurations and data folders in `dir`; nothing runs yet.
    ///
    /// # Errors
    /// What the program says.
    pub fn prepare(dir: &Path, authorities: usize, observers: usize) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let mut command = Command::new(binaries(Voice::Quiet)?.node);
        let (n, m) = (authorities.to_string(), observers.to_string());
        command.args(["devnet", "--prepare", "--authorities", &n, "--observers", &m, "--dir"]).arg(&dir);
        let output = process::output(command.stderr(Stdio::piped()))?;
        if !output.status.success() {
            bail!("devnet --prepare: {}", String::from_utf8_lossy(&output.stderr));
        }
        let node = |name: String| Node::new(&dir, name);
        let names = (0..authorities).map(|i| format!("node{i}"));
        let names = names.chain((0..observers).map(|i| format!("observer{i}")));
        let nodes = names.map(node).collect();
        Ok(Self { dir, nodes })
    }

    /// Takes a folder beside those of the nodes as one more node, for what no honest operator sets up.
    pub fn adopt(&mut self, name: &str) -> usize {
        self.nodes.push(Node::new(&self.dir, name.to_owned()));
        self.nodes.len() - 1
    }

    /// From its next start on a node runs in this.
    pub fn wrap(&mut self, i: usize, wrap: Wrap) {
        self.nodes[i].wrap = wrap;
    }

    /// Starts all nodes and waits until each takes submissions that would be acknowledged.
    ///
    /// # Errors
    /// Where one does not come to that, with the end of its log.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        (0..self.nodes.len()).try_for_each(|i| self.start(i))?;
        (0..self.nodes.len()).try_for_each(|i| self.wait_ready(i))
    }

    /// Starts a node; it has ports of its own choice, others than before.
    ///
    /// # Errors
    /// Where it runs already or cannot be started.
    pub fn start(&mut self, i: usize) -> anyhow::Result<()> {
        let node = &mut self.nodes[i];
        if node.process.is_some() {
            bail!("{} runs already", node.name);
        }
        let addresses = node.dir.join("listening.json");
        if addresses.exists() {
            fs::remove_file(&addresses)?; // the ports of an earlier run say nothing about this one
        }
        let log = OpenOptions::new().create(true).append(true).open(node.dir.join("log"))?;
        let mut command = node.wrap.command(binaries(Voice::Quiet)?.node);
        command.args(["run", "--exit-with-parent", "--config"]).arg(node.dir.join("node.toml"));
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        node.process = Some(command.spawn().context("markstein-node cannot be started")?);
        Ok(())
    }

    /// Kills a node with SIGKILL, wherever it stands, and waits until it is gone.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn kill(&mut self, i: usize) -> anyhow::Result<()> {
        let mut process = self.nodes[i].taken()?;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Stops a node with SIGTERM.
    ///
    /// # Errors
    /// Where it does not run, or does not end by itself.
    pub fn stop(&mut self, i: usize) -> anyhow::Result<ExitStatus> {
        let mut process = self.nodes[i].taken()?;
        process::signal(process.id(), Signal::TERM);
        if let Some(status) = process::wait(&mut process, STOP_MAX)? {
            return Ok(status);
        }
        process.kill()?;
        process.wait()?;
        bail!("{} did not stop within {STOP_MAX:?}: {}", self.nodes[i].name, self.tail(i))
    }

    /// Waits for a node to end by itself.
    ///
    /// # Errors
    /// Where it does not run, or does not end.
    pub fn wait_ended(&mut self, i: usize) -> anyhow::Result<ExitStatus> {
        let Some(status) = process::wait(self.nodes[i].running()?, PATIENCE)? else {
            bail!("{} does not end: {}", self.nodes[i].name, self.tail(i));
        };
        self.nodes[i].process = None;
        Ok(status)
    }

    /// How a node ended, where it did so by itself; it does not run any more then.
    ///
    /// # Errors
    /// The system's word.
    pub fn has_ended(&mut self, i: usize) -> anyhow::Result<Option<ExitStatus>> {
        let process = &mut self.nodes[i].process;
        let ended = process.as_mut().map_or(Ok(None), Child::try_wait)?;
        if ended.is_some() {
            *process = None;
        }
        Ok(ended)
    }

    /// Holds a node where it stands (SIGSTOP).
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pause(&self, i: usize) -> anyhow::Result<()> {
        process::signal(self.pid(i)?, Signal::STOP);
        Ok(())
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// Where it does not run.
    pub fn resume(&self, i: usize) -> anyhow::Result<()> {
        process::signal(self.pid(i)?, Signal::CONT);
        Ok(())
    }

    /// Process id of a node.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn pid(&self, i: usize) -> anyhow::Result<u32> {
        let process = self.nodes[i].process.as_ref();
        Ok(process.with_context(|| format!("{} does not run", self.nodes[i].name))?.id())
    }

    /// Whether a node was started and neither killed nor stopped here.
    #[must_use]
    pub fn is_running(&self, i: usize) -> bool {
        self.nodes[i].process.is_some()
    }

    /// How many nodes there are, observers included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: a ledger has an authority.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Waits until a node has bound its ports and answers; without a quorum it does no more than that.
    ///
    /// # Errors
    /// Where it ends or does not come to that.
    pub fn wait_answers(&mut self, i: usize) -> anyhow::Result<()> {
        self.wait_status(i, "answers", |_| true)
    }

    /// Waits until a submission to a node would be acknowledged.
    ///
    /// # Errors
    /// Where it ends or does not come to that.
    pub fn wait_ready(&mut self, i: usize) -> anyhow::Result<()> {
        self.wait_status(i, "is ready", |status| status.serving)
    }

    /// Waits until a node's status is as wanted.
    ///
    /// # Errors
    /// Where it ends or does not come to that.
    pub fn wait_status(
        &mut self,
        i: usize,
        what: &str,
        wanted: impl Fn(&StatusResponse) -> bool,
    ) -> anyhow::Result<()> {
        let (until, mut last) = (Instant::now() + PATIENCE, None);
        loop {
            check_interrupted()?;
            if let Ok(status) = self.status(i) {
                if wanted(&status) {
                    return Ok(());
                }
                last = Some(status);
            }
            let ended = self.nodes[i].running()?.try_wait()?;
            let name = &self.nodes[i].name;
            if let Some(ended) = ended {
                bail!("{name} ended with {ended} before it {what}: {}", self.tail(i));
            }
            if Instant::now() > until {
                bail!("not so after {PATIENCE:?}: {name} {what}; it last said {last:?}; {}", self.tail(i));
            }
            thread::sleep(LOOK_AGAIN * 4);
        }
    }

    /// How a node is.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn status(&self, i: usize) -> anyhow::Result<StatusResponse> {
        let url = self.url(i)?;
        // A thread of its own, so that this can be called from within a runtime as well.
        let ask = move || {
            Builder::new_current_thread().enable_all().build()?.block_on(async {
                let status = async { anyhow::Ok(Api::connect(&url).await?.status().await?) };
                tokio::time::timeout(Duration::from_secs(5), status).await?
            })
        };
        thread::spawn(ask).join().map_err(|_| anyhow::anyhow!("the question panicked"))?
    }

    /// URL of a node's API, once it has bound its ports.
    ///
    /// # Errors
    /// Where it has not.
    pub fn url(&self, i: usize) -> anyhow::Result<String> {
        url_in(&self.nodes[i].dir)
    }

    /// URL of a node's operators' listener, once it has bound its ports.
    ///
    /// # Errors
    /// Where it has not.
    pub fn operator(&self, i: usize) -> anyhow::Result<String> {
        address_in(&self.nodes[i].dir, |file| &file["operator"])
    }

    /// Where an authority's node listens for the others, once it has bound its ports.
    ///
    /// # Errors
    /// Where it has not.
    pub fn network(&self, i: usize) -> anyhow::Result<String> {
        network_in(&self.nodes[i].dir)
    }

    /// All that a node has logged, in all its runs.
    #[must_use]
    pub fn log(&self, i: usize) -> String {
        let bytes = fs::read(self.nodes[i].dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn tail(&self, i: usize) -> String {
        let log = self.log(i);
        let lines: Vec<_> = log.lines().collect();
        format!("the end of its log:\n{}", lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
    }

    /// The folder of all.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of a node: `node.toml`, `keys`, `data`, `log`.
    #[must_use]
    pub fn node_dir(&self, i: usize) -> &Path {
        &self.nodes[i].dir
    }

    /// The trust root as a file.
    #[must_use]
    pub fn genesis(&self) -> PathBuf {
        self.dir.join("genesis.toml")
    }

    /// The issuer's key as a file.
    #[must_use]
    pub fn issuer_key(&self) -> PathBuf {
        self.dir.join("issuer.key")
    }

    /// The trust root.
    ///
    /// # Errors
    /// Where the file is none.
    pub fn trust(&self) -> anyhow::Result<TrustRoot> {
        Ok(markstein_client::trust::read_genesis(&self.genesis())?)
    }
}

/// URL of the API of the node in a folder, once it has bound its ports.
///
/// # Errors
/// Where it has not.
pub fn url_in(node_dir: &Path) -> anyhow::Result<String> {
    address_in(node_dir, |file| &file["api"][0])
}

/// Where the authority's node in a folder listens for the others, once it has bound its ports.
///
/// # Errors
/// Where it has not.
pub fn network_in(node_dir: &Path) -> anyhow::Result<String> {
    address_in(node_dir, |file| &file["network"][0])
}

fn address_in(node_dir: &Path, entry: impl Fn(&Value) -> &Value) -> anyhow::Result<String> {
    let path = node_dir.join("listening.json");
    let file: Value = serde_json::from_slice(&fs::read(&path)?)?;
    Ok(entry(&file).as_str().with_context(|| format!("{} lacks it", path.display()))?.to_owned())
}

impl Wrap {
    fn command(&self, program: PathBuf) -> Command {
        let mut words = self.words.iter().cloned().chain([program.into_os_string()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).envs(self.variables.iter().cloned());
        command
    }
}

impl Node {
    fn new(dir: &Path, name: String) -> Self {
        Self { dir: dir.join(&name), name, wrap: Wrap::default(), process: None }
    }

    fn running(&mut self) -> anyhow::Result<&mut Child> {
        self.process.as_mut().with_context(|| format!("{} does not run", self.name))
    }

    fn taken(&mut self) -> anyhow::Result<Child> {
        self.process.take().with_context(|| format!("{} does not run", self.name))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill(); // also where it is paused
            let _ = process.wait();
        }
    }
}
