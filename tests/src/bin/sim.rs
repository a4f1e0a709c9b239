//! `cargo sim -- --seed N --nodes 4 --minutes M`: one run of the simulation, or many. See [`markstein_tests::simulation`].
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to people

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use markstein_tests::simulation::{Hostile, Outcome, Seed, hostile_issuer, storm, storm_with_traitors};

/// What the nodes say to each other is made and dropped millions of times: a tenth of the time is the allocator's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs whole ledgers on one thread and made-up time, with faults and traitors from a seed, and checks all promises.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// The seed; drawn and printed where none is given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Authorities.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=12))]
    nodes: u8,
    /// How long faults go on, in simulated minutes; then all is healed and everything must come back.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Leave the traitors out.
    #[arg(long)]
    honest: bool,
    /// Sign with Ed25519 in every run, and not only for every tenth seed; the others sign with keyed hashes.
    #[arg(long)]
    real: bool,
    /// Sign with keyed hashes in every run.
    #[arg(long, conflicts_with = "real")]
    stand_ins: bool,
    /// An issuer at its worst instead of faults and traitors, on machines whose work takes time: colliding, restart, dear,
    /// divided, backlog, full, crowd, or nobody. Four authorities.
    #[arg(long, value_parser = hostile)]
    hostile: Option<Hostile>,
    /// One JSON object a run.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();

    let first = arguments.seed.unwrap_or_else(drawn);
    let span = (arguments.minutes.clamp(0.05, 600.0) * 60_000.0) as u64;
    let (nodes, begin, mut steps) = (usize::from(arguments.nodes), Watch::start(), 0);
    for number in first..first.saturating_add(arguments.seeds) {
        let seed = match (arguments.real, arguments.stand_ins) {
            (true, _) => Seed::real(number),
            (_, true) => Seed::stand_ins(number),
            _ => Seed::from(number),
        };
        let run = || {
            if let Some(hostile) = arguments.hostile {
                return hostile_issuer(seed, hostile, span);
            }
            if arguments.honest { storm(seed, nodes, span) } else { storm_with_traitors(seed, nodes, span) }
        };
        let start = Watch::start();
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(run)) else {
            let honest = if arguments.honest { " --honest" } else { "" };
            let signing = match (arguments.real, arguments.stand_ins) {
                (true, _) => " --real",
                (_, true) => " --stand-ins",
                _ => "",
            };
            let minutes = arguments.minutes;
            let hostile =
                arguments.hostile.map_or_else(String::new, |one| format!(" --hostile {}", one.name()));
            eprintln!(
                "\nAgain: cargo sim -- --seed {number} --nodes {nodes} --minutes {minutes}{honest}{hostile}{signing}"
            );
            return ExitCode::FAILURE;
        };
        steps += outcome.steps;
        let took = start.took();
        if arguments.json { print_json(number, &outcome, &took) } else { print(number, &outcome, &took) }
    }
    if arguments.seeds > 1 && !arguments.json {
        let (took, seeds) = (begin.took(), arguments.seeds);
        println!(
            "{seeds} seeds, {steps} steps in {:.2} s, {}: everything held",
            took.seconds,
            took.rate(steps)
        );
    }
    ExitCode::SUCCESS
}

fn hostile(name: &str) -> Result<Hostile, String> {
    let names = Hostile::ALL.map(Hostile::name).join(", ");
    Hostile::of(name).ok_or_else(|| format!("one of: {names}"))
}

/// From the clock: any number will do, and it is printed.
fn drawn() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Looks at the clock and at the processor's: others use the machine, too.
struct Watch {
    at: Instant,
    worked: Option<f64>,
}

struct Took {
    seconds: f64,
    /// Seconds in which this thread had a processor, where the system tells.
    worked: Option<f64>,
}

impl Watch {
    fn start() -> Self {
        Self { at: Instant::now(), worked: worked() }
    }

    fn took(&self) -> Took {
        let worked = worked().zip(self.worked).map(|(now, then)| now - then);
        Took { seconds: self.at.elapsed().as_secs_f64(), worked }
    }
}

impl Took {
    fn rate(&self, steps: u64) -> String {
        match self.worked {
            Some(worked) => format!("{:.0} a second of one core", steps as f64 / worked),
            None => format!("{:.0} a second", steps as f64 / self.seconds),
        }
    }
}

/// Seconds in which this thread had a processor so far, as Linux counts them.
fn worked() -> Option<f64> {
    let counted = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = counted.split(' ').next()?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9)
}

fn print(seed: u64, outcome: &Outcome, took: &Took) {
    let Outcome { steps, simulated_ms, height, submissions, traitors, signing, trace, .. } = outcome;
    let traitors = if traitors.is_empty() { String::from("none") } else { traitors.join(", ") };
    println!(
        "seed {seed}: {steps} steps in {:.2} s ({}), {} simulated seconds, {height} blocks, {submissions} \
         submissions, traitors: {traitors}; signatures: {}; trace {}: everything held",
        took.seconds,
        took.rate(*steps),
        simulated_ms / 1000,
        signing.name(),
        &trace[..16],
    );
    if outcome.waited_ms > 0 {
        let Outcome { waited_ms, stood_ms, worked_ms, .. } = outcome;
        println!(
            "  an honest issuer waited {waited_ms} ms at most, and no block came for {stood_ms} ms; a thread worked for \
             {worked_ms} ms of a second when all was over"
        );
    }
}

fn print_json(seed: u64, outcome: &Outcome, took: &Took) {
    let value = serde_json::json!({
        "seed": seed,
        "steps": outcome.steps,
        "seconds": took.seconds,
        "core_seconds": took.worked,
        "simulated_ms": outcome.simulated_ms,
        "height": outcome.height,
        "submissions": outcome.submissions,
        "traitors": outcome.traitors,
        "named": outcome.named,
        "views": outcome.views,
        "signatures": outcome.signing.name(),
        "waited_ms": outcome.waited_ms,
        "stood_ms": outcome.stood_ms,
        "worked_ms": outcome.worked_ms,
        "trace": outcome.trace,
    });
    println!("{value}");
}
