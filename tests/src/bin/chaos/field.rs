//! The nodes and everything around them that can be broken and made whole again.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::{Context, bail};
use markstein_tests::{
    cluster::{Cluster, Wrap},
    craft::Signer,
    offices,
    random::Random,
};
use tokio::runtime::Handle;

use crate::{
    damage, disks,
    namespaces::Namespaces,
    plan::{AUTHORITIES, Fault, Plan},
    proxy::Proxy,
    setup,
};

/// Where Debian has the library that shows a program another time.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Of what a damaged node says; its log has the rest.
const REASON_MAX: usize = 160;

/// All of it.
#[derive(Debug)]
pub struct Field {
    /// The nodes' processes.
    pub cluster: Cluster,
    /// The damaged node, from then on.
    pub lost: Option<usize>,
    /// An issuer like any other, which may mean harm.
    pub stranger: Signer,
    links: Links,
    /// Faults of the network that are in force.
    in_force: Vec<Fault>,
    /// The node that is shown another clock.
    clock: Option<usize>,
}

#[derive(Debug)]
enum Links {
    Namespaces(Namespaces),
    Proxy(Proxy),
}

impl Field {
    /// Makes a ledger in `dir`; nothing runs yet.
    pub fn prepare(
        dir: &Path,
        plan: &Plan,
        minutes: f64,
        isolated: bool,
        runtime: &Handle,
    ) -> anyhow::Result<Self> {
        let mut cluster = Cluster::prepare(dir, AUTHORITIES, 0)?;
        let mut offices = offices::admit(&cluster, &["mallory.example"])?;
        let stranger = offices.pop().context("one was admitted")?;
        let folders: Vec<PathBuf> = (0..AUTHORITIES).map(|i| cluster.node_dir(i).to_owned()).collect();
        let links = if isolated {
            let namespaces = Namespaces::new()?;
            for (i, folder) in folders.iter().enumerate() {
                Namespaces::configure(&folder.join("node.toml"), i)?;
                disks::mount(folder, minutes)?;
            }
            Links::Namespaces(namespaces)
        } else {
            let proxy = Proxy::new(&folders, runtime)?;
            for (i, folder) in folders.iter().enumerate() {
                setup::edit(&folder.join("node.toml"), |file| {
                    setup::name_peers(file, i, |other| proxy.address(i, other))
                })?;
            }
            Links::Proxy(proxy)
        };
        let clock = plan.faults().find(|fault| fault.kind() == "clock").and_then(Fault::one_node);
        let clock = clock.filter(|_| Path::new(FAKETIME).exists());
        for (i, folder) in folders.iter().enumerate() {
            let words = if isolated {
                Namespaces::words(i)
            } else {
                ["setpriv", "--pdeathsig", "KILL", "--"].map(Into::into).to_vec() // a paused one, too, ends with us
            };
            let mut variables = Vec::new();
            if clock == Some(i) {
                set_clock(folder, 0)?;
                variables.push(("LD_PRELOAD".into(), FAKETIME.into()));
                variables.push(("FAKETIME_TIMESTAMP_FILE".into(), clock_file(folder).into()));
                variables.push(("FAKETIME_CACHE_DURATION".into(), "1".into()));
                variables.push(("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()));
            }
            cluster.wrap(i, Wrap { words, variables });
        }
        Ok(Self { cluster, lost: None, stranger, links, in_force: Vec::new(), clock })
    }

    /// Why a fault cannot be had here, where it cannot.
    pub fn impossible(&self, fault: Fault) -> Option<&'static str> {
        match fault {
            Fault::FullDisk(_) if matches!(self.links, Links::Proxy(_)) => {
                Some("no small disks without namespaces")
            }
            Fault::Clock(..) if self.clock.is_none() => {
                Some("the package faketime is not there; simulations cover it")
            }
            _ => None,
        }
    }

    /// The nodes that must hold all that was promised.
    pub fn healthy(&self) -> Vec<usize> {
        (0..AUTHORITIES).filter(|i| Some(*i) != self.lost).collect()
    }

    /// Brings a fault about; gives what else there is to say.
    pub fn begin(&mut self, fault: Fault, random: &mut Random) -> anyhow::Result<Vec<String>> {
        match fault {
            Fault::Kill(i) => self.cluster.kill(i)?,
            Fault::Pause(i) => self.cluster.pause(i)?,
            Fault::CutOff(_) | Fault::Halves(_) | Fault::Loss(..) | Fault::Slow(..) => {
                self.in_force.push(fault);
                self.apply()?;
            }
            Fault::KillAll => {
                for i in 0..AUTHORITIES {
                    if self.cluster.is_running(i) {
                        self.cluster.kill(i)?;
                    }
                }
            }
            Fault::FullDisk(i) => drop(disks::fill(self.cluster.node_dir(i))?),
            Fault::Damage(i, harm) => {
                self.cluster.kill(i)?;
                self.lost = Some(i);
                let done = damage::damage(&disks::data(self.cluster.node_dir(i)), harm, random)?;
                self.cluster.start(i)?;
                return Ok(vec![done]);
            }
            Fault::Clock(i, seconds) => set_clock(self.cluster.node_dir(i), seconds)?,
            Fault::Hostile(_) => {} // nothing is broken: somebody submits
        }
        Ok(Vec::new())
    }

    /// Ends a fault; gives what else there is to say.
    pub fn end(&mut self, fault: Fault) -> anyhow::Result<Vec<String>> {
        match fault {
            Fault::Kill(i) => self.cluster.start(i)?,
            Fault::Pause(i) => self.cluster.resume(i)?,
            Fault::CutOff(_) | Fault::Halves(_) | Fault::Loss(..) | Fault::Slow(..) => {
                self.in_force.retain(|other| *other != fault);
                self.apply()?;
            }
            Fault::KillAll => self.start_all()?,
            Fault::FullDisk(i) => {
                let ended = self.cluster.has_ended(i)?;
                disks::free(self.cluster.node_dir(i))?;
                let Some(status) = ended else {
                    return Ok(vec!["it ran on in what its store had reserved".into()]);
                };
                self.cluster.start(i)?;
                return Ok(vec![format!("it stopped by itself ({status})")]);
            }
            Fault::Damage(i, _) => return Ok(vec![self.state_of_damaged(i)?]),
            Fault::Clock(i, _) => set_clock(self.cluster.node_dir(i), 0)?,
            Fault::Hostile(_) => {}
        }
        Ok(Vec::new())
    }

    /// Starts all that do not run, a damaged one that refused as well: it may do so again.
    pub fn start_all(&mut self) -> anyhow::Result<()> {
        for i in 0..AUTHORITIES {
            self.cluster.has_ended(i)?;
            if !self.cluster.is_running(i) {
                self.cluster.start(i)?;
            }
        }
        Ok(())
    }

    /// A node that ended although nothing was done to it that should end it, and how.
    pub fn ended(&mut self, full: &[usize]) -> anyhow::Result<Option<(usize, ExitStatus)>> {
        for i in self.healthy().into_iter().filter(|i| !full.contains(i)) {
            if let Some(status) = self.cluster.has_ended(i)? {
                return Ok(Some((i, status)));
            }
        }
        Ok(None)
    }

    /// What became of the damaged node; its last words where it has ended.
    pub fn state_of_damaged(&mut self, i: usize) -> anyhow::Result<String> {
        if let Some(status) = self.cluster.has_ended(i)? {
            let log = self.cluster.log(i);
            let error = log.lines().rev().find_map(|line| Some(line.split_once("ERROR ")?.1));
            let folder = format!("{}/", self.cluster.node_dir(i).display());
            let why: String =
                error.unwrap_or_default().replace(&folder, "").chars().take(REASON_MAX).collect();
            return Ok(format!("it refuses to run ({status}): {why}"));
        }
        if !self.cluster.is_running(i) {
            return Ok("it does not run".into());
        }
        Ok(match self.cluster.status(i) {
            Ok(status) if status.voting => "it runs and votes".into(),
            Ok(_) => "it runs and does not vote".into(),
            Err(_) => "it runs and does not answer yet".into(),
        })
    }

    fn apply(&self) -> anyhow::Result<()> {
        match &self.links {
            Links::Namespaces(namespaces) => namespaces.apply(&self.in_force),
            Links::Proxy(proxy) => {
                proxy.apply(&self.in_force);
                Ok(())
            }
        }
    }

    /// Checks that nothing is broken any more, before all is demanded.
    pub fn assert_whole(&self) -> anyhow::Result<()> {
        if !self.in_force.is_empty() {
            bail!("these faults have not been ended: {:?}", self.in_force);
        }
        Ok(())
    }

    /// Copies what lies on small disks to where it stays.
    pub fn save(&self) -> anyhow::Result<()> {
        (0..AUTHORITIES).try_for_each(|i| disks::save(self.cluster.node_dir(i)))
    }
}

fn clock_file(node: &Path) -> PathBuf {
    node.join("clock")
}

/// Replaced as a whole, so that nobody reads half of it.
fn set_clock(node: &Path, seconds: i64) -> anyhow::Result<()> {
    let (file, new) = (clock_file(node), node.join("clock.new"));
    fs::write(&new, format!("{seconds:+}\n"))?;
    fs::rename(new, file).context("a clock cannot be set")
}
