//! `cargo chaos`: a ledger of real processes under load, broken by a schedule drawn from a seed, and what must hold then.
#![allow(clippy::print_stderr)] // it talks to people

mod book;
mod damage;
mod demands;
mod disks;
mod field;
mod hostile;
mod inside;
mod load;
mod namespaces;
mod plan;
mod proxy;
mod run;
mod setup;
mod timeline;
mod tools;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Parser;
use markstein_client::time::now;
use markstein_tests::{
    binaries::{self, Binaries, Voice},
    process,
    random::Random,
};

use inside::Means;
use namespaces::Namespaces;
use run::Order;
use timeline::Timeline;

const INTERRUPTED: u8 = 130;
const MINUTES_MAX: f64 = 24.0 * 60.0;

/// Breaks a ledger of four authorities in many ways while documents are submitted, makes it whole again, and demands
/// that every receipt still verifies, that all logs are the same, and that everything accepted was decided.
#[derive(Debug, Parser)]
#[command(
    name = "cargo chaos",
    version,
    after_help = "Exit code 0: all demands hold. A run that fails leaves its folder and says where."
)]
struct Args {
    /// Gives the schedule of faults; drawn and printed where it is not given
    #[arg(long)]
    seed: Option<u64>,
    /// How long faults come
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// A JSON object for each line, for programs
    #[arg(long)]
    json: bool,
    /// Leave the folder with all logs and data, and say where it is
    #[arg(long)]
    keep: bool,
    /// Run the nodes on loopback behind a proxy, also where network namespaces can be had
    #[arg(long)]
    proxy: bool,
    /// Works in this folder, in namespaces of its own
    #[arg(long, hide = true, value_name = "DIR")]
    inside: Option<PathBuf>,
    /// The programs, built before
    #[arg(long, hide = true, value_name = "FILE")]
    programs: Vec<PathBuf>,
    /// Only tries whether a run in namespaces is possible
    #[arg(long, hide = true)]
    probe: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(code) => code,
        Err(error) => {
            let (code, what) = if process::is_interrupted() {
                (ExitCode::from(INTERRUPTED), "interrupted; nothing runs any more".to_owned())
            } else {
                (ExitCode::FAILURE, format!("{error:#}"))
            };
            eprintln!("chaos: {what}");
            code
        }
    }
}

fn start(args: &Args) -> anyhow::Result<ExitCode> {
    if args.probe {
        return Namespaces::probe().map(|()| ExitCode::SUCCESS);
    }
    process::stop_on_signals().context("signals cannot be handled")?;
    anyhow::ensure!(
        args.minutes > 0.0 && args.minutes <= MINUTES_MAX,
        "--minutes must be above 0, a day at most"
    );
    if let Some(folder) = &args.inside {
        return start_inside(args, folder);
    }
    let binaries = binaries::binaries(if args.json { Voice::Quiet } else { Voice::Progress })?;
    let seed = args.seed.unwrap_or_else(|| Random::new(now().0).next() >> 32);
    let folder = tempfile::Builder::new().prefix("markstein-chaos-").tempdir()?;
    let means = if args.proxy { Err("--proxy was given".to_owned()) } else { Means::find() };
    let code = match means {
        Ok(means) => {
            let status = means.run(&inside_arguments(args, seed, folder.path(), &binaries))?;
            if process::is_interrupted() {
                ExitCode::from(INTERRUPTED)
            } else {
                ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
            }
        }
        Err(why) => {
            let way = format!("on loopback behind a proxy, not in network namespaces ({why})");
            let order = order(args, seed, folder.path(), false);
            report(order, run::run(order, &way))?
        }
    };
    let failed = code != ExitCode::SUCCESS && code != ExitCode::from(INTERRUPTED);
    if args.keep || failed {
        eprintln!("chaos: everything is in {}", folder.keep().display());
    }
    Ok(code)
}

fn start_inside(args: &Args, folder: &Path) -> anyhow::Result<ExitCode> {
    inside::hold_lifeline();
    let [node, client] = &args.programs[..] else { anyhow::bail!("this takes two programs") };
    binaries::take(Binaries { node: node.clone(), client: client.clone() });
    let order = order(args, args.seed.context("this takes a seed")?, folder, true);
    let code = report(order, run::run(order, "in network namespaces of their own"));
    if process::is_interrupted() {
        // Whoever made the folder may be gone.
        (0..plan::AUTHORITIES)
            .for_each(|i| drop(disks::unmount(&run::ledger(folder).join(format!("node{i}")))));
        let _ = std::fs::remove_dir_all(folder);
    }
    code
}

/// Says how it ended; an interruption is no verdict.
fn report(order: Order<'_>, outcome: anyhow::Result<bool>) -> anyhow::Result<ExitCode> {
    process::check_interrupted()?;
    let good = outcome.unwrap_or_else(|error| {
        order.timeline.fails(&format!("{error:#}"));
        false
    });
    order.timeline.end(good, order.seed);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn order<'a>(args: &Args, seed: u64, folder: &'a Path, isolated: bool) -> Order<'a> {
    let timeline = Timeline { json: args.json };
    Order { folder, seed, minutes: args.minutes, isolated, keep: args.keep, timeline }
}

fn inside_arguments(args: &Args, seed: u64, folder: &Path, binaries: &Binaries) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["--inside".into(), folder.into()];
    words.extend([
        "--seed".into(),
        seed.to_string().into(),
        "--minutes".into(),
        args.minutes.to_string().into(),
    ]);
    for program in [&binaries.node, &binaries.client] {
        words.extend(["--programs".into(), program.into()]);
    }
    words.extend(args.json.then(|| "--json".into()));
    words.extend(args.keep.then(|| "--keep".into()));
    words
}
