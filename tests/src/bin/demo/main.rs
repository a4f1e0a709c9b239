//! `cargo demo`: a ledger, real documents, and proofs that need no server; step by step, in plain words.
#![allow(clippy::print_stdout, clippy::print_stderr)] // it talks to people

mod screen;
mod story;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use markstein_tests::process;

use screen::Screen;

/// Anchors documents on a ledger of its own, verifies them without it, and shows that a changed byte is refused.
#[derive(Debug, Parser)]
#[command(
    name = "cargo demo",
    version,
    after_help = "Works on copies in a temporary folder, which is removed at the end."
)]
struct Args {
    /// Documents, or folders of documents; without any, a few small decisions of a German town
    #[arg(value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Leave the ledger running and all files in place, and say what to try next; in DIR, which must be new or empty,
    /// or in a temporary folder
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    keep: Option<Option<PathBuf>>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = process::stop_on_signals() {
        eprintln!("demo: signals cannot be handled: {error}");
        return ExitCode::FAILURE;
    }
    let screen = Screen::new();
    match story::tell(&args.files, args.keep, &screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if process::is_interrupted() => {
            screen.end("Interrupted. The ledger is stopped, and nothing is left behind.");
            ExitCode::from(130)
        }
        Err(error) => {
            screen.failure(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
