//! `cargo sim -- --seed N --nodes 4 --minutes M`: one run of the simulation, or many. See [`markstein_tests::simulation`].
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to people

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use markstein_tests::simulation::{Outcome, storm, storm_with_traitors};

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
    /// One JSON object a run.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();

    let first = arguments.seed.unwrap_or_else(drawn);
    let span = (arguments.minutes.clamp(0.05, 600.0) * 60_000.0) as u64;
    let (nodes, begin, mut steps) = (usize::from(arguments.nodes), Instant::now(), 0);
    for seed in first..first.saturating_add(arguments.seeds) {
        let run = || {
            if arguments.honest { storm(seed, nodes, span) } else { storm_with_traitors(seed, nodes, span) }
        };
        let start = Instant::now();
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(run)) else {
            let honest = if arguments.honest { " --honest" } else { "" };
            let minutes = arguments.minutes;
            eprintln!("\nAgain: cargo sim -- --seed {seed} --nodes {nodes} --minutes {minutes}{honest}");
            return ExitCode::FAILURE;
        };
        steps += outcome.steps;
        let seconds = start.elapsed().as_secs_f64();
        if arguments.json { print_json(seed, &outcome, seconds) } else { print(seed, &outcome, seconds) }
    }
    if arguments.seeds > 1 && !arguments.json {
        let rate = steps as f64 / begin.elapsed().as_secs_f64();
        println!("{} seeds, {steps} steps, {rate:.0} steps/s: everything held", arguments.seeds);
    }
    ExitCode::SUCCESS
}

/// From the clock: any number will do, and it is printed.
fn drawn() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

fn print(seed: u64, outcome: &Outcome, seconds: f64) {
    let Outcome { steps, simulated_ms, height, submissions, traitors, trace, .. } = outcome;
    let traitors = if traitors.is_empty() { String::from("none") } else { traitors.join(", ") };
    println!(
        "seed {seed}: {steps} steps in {seconds:.2} s ({:.0} a second), {} simulated seconds, {height} blocks, \
         {submissions} submissions, traitors: {traitors}; trace {}: everything held",
        *steps as f64 / seconds,
        simulated_ms / 1000,
        &trace[..16],
    );
}

fn print_json(seed: u64, outcome: &Outcome, seconds: f64) {
    let value = serde_json::json!({
        "seed": seed,
        "steps": outcome.steps,
        "seconds": seconds,
        "simulated_ms": outcome.simulated_ms,
        "height": outcome.height,
        "submissions": outcome.submissions,
        "traitors": outcome.traitors,
        "named": outcome.named,
        "views": outcome.views,
        "trace": outcome.trace,
    });
    println!("{value}");
}
