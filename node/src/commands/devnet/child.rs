//! One node of a devnet as a child process: started, watched, stopped.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use markstein_node::files;
use markstein_node::server::{AddressFile, read_address_file};
use markstein_node::shutdown::StopSignal;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{ChildStdin, Command};
use tonic::transport::Endpoint;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::layout::{Layout, Member};

/// The service whose health says that a submission would succeed.
const SERVICE: &str = "markstein.v1.Anchoring";
/// Pause between two looks at a node that starts.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Longest wait for one connection, then comes the next look.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a log is shown when its node ends.
const LOG_TAIL_BYTES: u64 = 4096;
const LOG_TAIL_LINES: usize = 15;

/// A running node.
#[derive(Debug)]
pub(super) struct Child {
    member: Member,
    addresses: PathBuf,
    log: PathBuf,
    process: tokio::process::Child,
    /// Closed by the system when this process ends in whatever way; then the node stops as well.
    _lifeline: Option<ChildStdin>,
}

/// A node that takes submissions.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) member: Member,
    pub(super) grpc: String,
    pub(super) operator: String,
}

impl Child {
    /// Starts a node as a process of its own.
    pub(super) fn start(layout: &Layout, member: Member) -> anyhow::Result<Self> {
        let (addresses, log) = (layout.addresses(member), layout.log(member));
        files::remove_if_there(&addresses)?; // the ports of an earlier run say nothing about this one
        let to_log = OpenOptions::new().create(true).append(true).open(&log);
        let to_log = to_log.with_context(|| format!("cannot write {}", log.display()))?;
        let program = std::env::current_exe().context("this program does not know where it lies")?;
        let mut process = Command::new(&program)
            .args(["run", "--exit-with-parent", "--config"])
            .arg(layout.config(member))
            .stdin(Stdio::piped())
            .stdout(to_log.try_clone()?)
            .stderr(to_log)
            .process_group(0) // Ctrl-C is for this process; it stops its nodes itself
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let lifeline = process.stdin.take();
        Ok(Self { member, addresses, log, process, _lifeline: lifeline })
    }

    /// Resolves once the node takes submissions.
    pub(super) fn ready(&self) -> impl Future<Output = anyhow::Result<Serving>> + Send + 'static {
        let (member, addresses) = (self.member, self.addresses.clone());
        async move {
            loop {
                if let Some(AddressFile { api, operator, .. }) = read_address_file(&addresses)?
                    && let Some(grpc) = api.into_iter().next()
                    && is_serving(&grpc).await
                {
                    return Ok(Serving { member, grpc, operator });
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Runs until `stop`, and then stops the node within `stop_max`.
    ///
    /// # Errors
    /// Where the node ends by itself, does not stop, or stops with an error; with the end of its log.
    pub(super) async fn supervise(mut self, stop: StopSignal, stop_max: Duration) -> anyhow::Result<()> {
        tokio::select! {
            status = self.process.wait() => bail!("{}", self.ended(status?)),
            () = stop.stopped() => {}
        }
        if let Some(pid) = self.process.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)) {
            let _ = kill_process(pid, Signal::TERM); // it may just have ended
        }
        match tokio::time::timeout(stop_max, self.process.wait()).await {
            Ok(status) => match status? {
                status if status.success() => Ok(()),
                status => bail!("{}", self.ended(status)),
            },
            Err(_) => {
                self.process.kill().await?;
                bail!(
                    "{} did not stop within {} s and was killed; its log: {}",
                    self.member,
                    stop_max.as_secs(),
                    self.log.display()
                )
            }
        }
    }

    fn ended(&self, status: ExitStatus) -> String {
        let tail = tail(&self.log).unwrap_or_default();
        format!("{} ended with {status}; the end of its log {}:\n{tail}", self.member, self.log.display())
    }
}

async fn is_serving(url: &str) -> bool {
    let Ok(endpoint) = Endpoint::from_shared(url.to_owned()) else { return false };
    let endpoint = endpoint.connect_timeout(CONNECT_TIMEOUT).timeout(CONNECT_TIMEOUT);
    let Ok(channel) = endpoint.connect().await else { return false };
    let request = HealthCheckRequest { service: SERVICE.into() };
    let answer = HealthClient::new(channel).check(request).await;
    answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving)
}

/// The last lines of a log.
fn tail(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_end_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines: Vec<_> = (0..10_000).map(|number| format!("line {number}")).collect();
        std::fs::write(&path, lines.join("\n")).unwrap();
        let tail = tail(&path).unwrap();
        assert_eq!(tail.lines().count(), LOG_TAIL_LINES);
        assert!(tail.ends_with("line 9999"));
    }
}
