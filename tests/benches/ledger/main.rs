//! `cargo bench -p markstein-tests`: how fast and how small it is, with real processes, beside what the machine can do.
//!
//! A figure alone says little: disks and cores differ. So each stands beside the ceiling that was measured in the same
//! run (a synced write, SHA-256, strict signature checks), and beside its target where it has one. A missed target is
//! said and fails nothing, since the machine may be busy; what fails this program is a wrong answer.
//!
//! `MARKSTEIN_BENCH=short` does less of everything. Names of parts (`idle`, `single`, `many`, `large`, `verifying`,
//! `auditing`, `grown`, `catch-up`, and with four authorities `network`, `silence`, `restart`, `pause`, `receipts`,
//! `shares`, `overload`; and `strangers`, each attack on a node of its own) after the command measure only these.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to people

mod auditing;
mod ceilings;
mod documents;
mod grown;
mod idle;
mod network;
mod overload;
mod receipts;
mod recovery;
mod scale;
mod shares;
mod single;
mod stats;
mod strangers;
mod table;
mod verifying;
mod watched;

use std::{env, fs, path::PathBuf, process::ExitCode, thread};

use anyhow::{Context, bail, ensure};
use markstein_tests::{client::Client, devnet::Devnet};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use ceilings::Ceilings;
use scale::Scale;
use table::Table;

/// What every part works with.
struct Bench {
    devnet: Devnet, // dropped before its folder
    client: Client,
    runtime: Runtime,
    scale: Scale,
    ceilings: Ceilings,
    table: Table,
    folder: TempDir,
}

fn main() -> ExitCode {
    if !env::args().any(|argument| argument == "--bench") {
        println!("Figures come from `cargo bench -p markstein-tests`; as a test there is nothing to do.");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A part, and the word that chooses it.
type Part = (&'static str, fn(&mut Bench) -> anyhow::Result<()>);

/// In the order in which the ledger grows.
const PARTS: [Part; 16] = [
    ("idle", |bench| idle::measure(bench, "fresh")),
    ("single", single::measure),
    ("many", documents::many),
    ("large", documents::large),
    ("verifying", verifying::measure),
    ("auditing", auditing::measure),
    ("grown", grown::measure),
    ("network", network::measure),
    ("silence", network::silence),
    ("restart", network::restart),
    ("pause", recovery::pause),
    ("catch-up", recovery::catch_up),
    ("receipts", receipts::measure),
    ("shares", shares::measure),
    ("overload", overload::measure),
    ("strangers", strangers::measure),
];

fn run() -> anyhow::Result<()> {
    let scale = Scale::from_environment()?;
    let parts = chosen(env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect())?;
    // Beside the build and not among temporary files, which some systems keep in memory.
    fs::create_dir_all(env!("CARGO_TARGET_TMPDIR"))?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    say("measuring what this machine can do");
    let ceilings = Ceilings::measure(folder.path(), &scale)?;
    let before = machine();
    say("starting a ledger");
    let devnet = Devnet::start(&folder.path().join("ledger"))?;
    let client = Client::new(&folder.path().join("state"))?;
    let runtime = Runtime::new()?;
    let mut bench = Bench { devnet, client, runtime, scale, ceilings, table: Table::default(), folder };
    for (_, measure) in parts {
        measure(&mut bench)?;
    }
    println!("\nBefore: {before}\nAfter:  {}", machine());
    println!("{}\n{}", bench.ceilings, bench.table);
    Ok(())
}

/// The parts with these names, all where none is named.
fn chosen(names: Vec<String>) -> anyhow::Result<Vec<Part>> {
    let known = |name: &String| PARTS.iter().any(|(part, _)| part == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        bail!("there is no part {unknown:?}; there are: {}", PARTS.map(|(name, _)| name).join(", "));
    }
    let wanted = |(part, _): &Part| names.is_empty() || names.iter().any(|name| name == part);
    Ok(PARTS.into_iter().filter(wanted).collect())
}

impl Bench {
    /// A new folder below the one that goes away at the end.
    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// The arguments of `markstein anchor` before the paths.
    fn anchor(&self) -> anyhow::Result<Vec<String>> {
        let key = self.devnet.issuer_key().into_os_string().into_string();
        let key = key.ok().context("the path of the key is text")?;
        Ok(["anchor", "--quiet", "--node", self.devnet.url(), "--key", &key].map(String::from).to_vec())
    }
}

/// Cores and load: what else ran meanwhile tells how far to trust the figures.
fn machine() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, load {}", load.join(" "))
}

/// What is being done, while it is done.
fn say(what: &str) {
    eprintln!("… {what}");
}

/// Fails where an answer is wrong, which no bench may pass over.
fn check(holds: bool, what: impl FnOnce() -> String) -> anyhow::Result<()> {
    ensure!(holds, what());
    Ok(())
}
