//! A ledger on loopback: `markstein-node devnet` and its nodes as processes of their own.
//!
//! However a test ends, its processes end with it: dropping a [`Devnet`] stops it, and a panic drops it too.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Seek},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use markstein_proto::receipt::TrustRoot;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    binaries::{Voice, binaries},
    process::{self, LOOK_AGAIN, check_interrupted},
};

/// A devnet that is not ready by then never will be.
const READY_MAX: Duration = Duration::from_secs(120);
/// Longer than a devnet gives its nodes to stop.
const STOP_MAX: Duration = Duration::from_secs(40);

/// A running ledger, or one that was stopped and can be started again.
#[derive(Debug)]
pub struct Devnet {
    dir: PathBuf,
    shape: Shape,
    running: Option<Running>,
}

/// How many nodes.
#[derive(Clone, Copy, Debug)]
struct Shape {
    authorities: usize,
    observers: usize,
}

#[derive(Debug)]
struct Running {
    process: Child,
    errors: File,
    nodes: Vec<Node>,
    observers: Vec<Node>,
}

/// One node of a devnet.
#[derive(Clone, Debug)]
pub struct Node {
    /// URL of the API.
    pub grpc: String,
    /// URL of the operators' listener.
    pub operator: String,
    /// Its process.
    pub pid: u32,
}

/// Whether signals from the terminal reach the devnet as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// They do.
    Shared,
    /// They do not: it may outlive the command that started it.
    Detached,
}

impl Devnet {
    /// Starts a ledger of one authority in `dir`, which is made if need be, and waits until a submission would succeed.
    ///
    /// # Errors
    /// Where it does not become ready, with what it said.
    pub fn start(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, 1, 0)
    }

    /// The same with several authorities and observers.
    ///
    /// # Errors
    /// As [`Devnet::start`].
    pub fn start_with(dir: &Path, authorities: usize, observers: usize) -> anyhow::Result<Self> {
        Self::start_shape(dir, Shape { authorities, observers }, Terminal::Shared)
    }

    /// Several authorities, with a say on signals from the terminal.
    ///
    /// # Errors
    /// As [`Devnet::start`].
    pub fn start_as(dir: &Path, authorities: usize, terminal: Terminal) -> anyhow::Result<Self> {
        Self::start_shape(dir, Shape { authorities, observers: 0 }, terminal)
    }

    fn start_shape(dir: &Path, shape: Shape, terminal: Terminal) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)?;
        let dir = dir.canonicalize()?;
        let running = Some(Running::start(&dir, shape, terminal)?);
        Ok(Self { dir, shape, running })
    }

    /// Starts it again after it was stopped or killed; its ports are others.
    ///
    /// # Errors
    /// As [`Devnet::start`], or where it still runs.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        if self.running.is_some() {
            bail!("the devnet still runs");
        }
        self.running = Some(Running::start(&self.dir, self.shape, Terminal::Shared)?);
        Ok(())
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
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

    /// The configuration of the first node.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("node0/node.toml")
    }

    /// The first node.
    ///
    /// # Panics
    /// Where it does not run.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.nodes().first().expect("a devnet has a node")
    }

    /// The authorities' nodes, in the order of the genesis, as they were started.
    ///
    /// # Panics
    /// Where they do not run.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.running.as_ref().expect("the devnet runs").nodes
    }

    /// The observers.
    ///
    /// # Panics
    /// Where they do not run.
    #[must_use]
    pub fn observers(&self) -> &[Node] {
        &self.running.as_ref().expect("the devnet runs").observers
    }

    /// URL of the first node.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.node().grpc
    }

    /// Process id of the devnet itself.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.process.id())
    }

    /// Stops it with SIGTERM.
    ///
    /// # Errors
    /// Where it does not end by itself.
    pub fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        let mut running = self.running.take().context("the devnet does not run")?;
        process::signal(running.process.id(), Signal::TERM);
        running.ended()
    }

    /// Kills one of several nodes with SIGKILL, wherever it stands; the others go on. Returns once the devnet has said
    /// that it ended.
    ///
    /// # Errors
    /// Where the devnet does not say so.
    pub fn kill_node(&mut self, index: usize) -> anyhow::Result<()> {
        let running = self.running.as_mut().context("the devnet does not run")?;
        process::signal(running.nodes[index].pid, Signal::KILL);
        let (until, words) = (Instant::now() + STOP_MAX, format!("To start node {index} again"));
        while !running.said().contains(&words) {
            check_interrupted()?;
            if Instant::now() > until {
                bail!("the devnet does not say that node {index} ended: {}", running.said());
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Kills the one node with SIGKILL, wherever it stands; the devnet ends with it.
    ///
    /// # Errors
    /// Where the devnet does not end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let mut running = self.running.take().context("the devnet does not run")?;
        process::signal(running.nodes[0].pid, Signal::KILL);
        running.ended()?;
        Ok(())
    }

    /// Waits for it to end by itself, and gives its status and what it said on standard error.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn wait(&mut self) -> anyhow::Result<(ExitStatus, String)> {
        let mut running = self.running.take().context("the devnet does not run")?;
        let status = running.ended()?;
        Ok((status, running.said()))
    }

    /// Stops the first node's clockwork without ending it (SIGSTOP), or lets it go on (SIGCONT).
    pub fn pause(&self, paused: bool) {
        process::signal(self.node().pid, if paused { Signal::STOP } else { Signal::CONT });
    }

    /// Lets it run on after this process; gives its process id.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn leave_running(mut self) -> anyhow::Result<u32> {
        let running = self.running.take().context("the devnet does not run")?;
        let id = running.process.id();
        std::mem::forget(running);
        Ok(id)
    }
}

impl Running {
    fn start(dir: &Path, shape: Shape, terminal: Terminal) -> anyhow::Result<Self> {
        let errors = tempfile::tempfile()?;
        let mut command = Command::new(binaries(Voice::Quiet)?.node);
        let (authorities, observers) = (shape.authorities.to_string(), shape.observers.to_string());
        command.args(["devnet", "--authorities", &authorities, "--observers", &observers, "--dir"]).arg(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
        if terminal == Terminal::Detached {
            command.process_group(0);
        }
        let mut process = command.spawn().context("markstein-node cannot be started")?;
        let lines = process.stdout.take().map(lines).context("the standard output of the devnet is piped")?;
        let mut running = Self { process, errors, nodes: Vec::new(), observers: Vec::new() };
        running.wait_until_ready(&lines)?;
        running.nodes = nodes(dir, "nodes", "node", running.process.id())?;
        running.observers = nodes(dir, "observers", "observer", running.process.id())?;
        Ok(running)
    }

    fn wait_until_ready(&mut self, lines: &Receiver<String>) -> anyhow::Result<()> {
        let until = Instant::now() + READY_MAX;
        loop {
            check_interrupted()?;
            match lines.recv_timeout(LOOK_AGAIN) {
                Ok(line) if line.starts_with("ready") => return Ok(()),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("the devnet is not ready after {READY_MAX:?}: {}", self.said())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let status = process::wait(&mut self.process, STOP_MAX)?;
                    bail!("the devnet ended before it was ready ({status:?}): {}", self.said());
                }
            }
        }
    }

    fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let status = process::wait(&mut self.process, STOP_MAX)?;
        status.with_context(|| format!("the devnet did not end within {STOP_MAX:?}: {}", self.said()))
    }

    fn said(&mut self) -> String {
        let mut text = String::new();
        let read = self.errors.rewind().and_then(|()| self.errors.read_to_string(&mut text));
        read.map_or_else(|error| error.to_string(), |_| text)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(Some(_))) {
            return;
        }
        for node in self.nodes.iter().chain(&self.observers) {
            process::signal(node.pid, Signal::CONT); // a paused one could not stop
        }
        let _ = process::end(&mut self.process, STOP_MAX); // killed, its nodes see it gone and stop by themselves
    }
}

/// Lines as they come; reads on to the end, so that the writer never has to wait.
fn lines(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let _ = sender.send(line); // after the ready line nobody listens
        }
    });
    receiver
}

/// The nodes that `endpoints.json` has under `kind`, each with the child of the devnet that runs its configuration, which
/// lies in the folder `name` with its number.
fn nodes(dir: &Path, kind: &str, name: &str, devnet: u32) -> anyhow::Result<Vec<Node>> {
    let file = dir.join("endpoints.json");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let endpoints: Value = serde_json::from_str(&text)?;
    let entries = endpoints[kind].as_array().context("endpoints.json lacks nodes")?;
    let processes = children(devnet)?;
    let node = |(number, entry): (usize, &Value)| {
        let text = |key| entry[key].as_str().map(str::to_owned).context("endpoints.json has no URL");
        let config = dir.join(format!("{name}{number}/node.toml"));
        let process =
            processes.iter().find(|(_, arguments)| arguments.iter().any(|a| Path::new(a) == config));
        let (pid, _) = process.with_context(|| format!("no process runs {}", config.display()))?;
        Ok(Node { grpc: text("grpc")?, operator: text("operator")?, pid: *pid })
    };
    entries.iter().enumerate().map(node).collect()
}

/// Processes whose parent is `parent`, with their arguments.
fn children(parent: u32) -> anyhow::Result<Vec<(u32, Vec<String>)>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        // The name in parentheses may hold anything, so what follows is counted from its end: state, parent.
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
        if fields.and_then(|mut fields| fields.nth(1)?.parse().ok()) != Some(parent) {
            continue;
        }
        let Ok(line) = fs::read(format!("/proc/{id}/cmdline")) else { continue };
        let arguments = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        children.push((id, arguments.collect()));
    }
    Ok(children)
}
