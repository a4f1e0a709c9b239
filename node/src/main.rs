//! `markstein-node`: runs an authority of a Markstein ledger, and makes what it needs to run.
#![allow(clippy::print_stdout, clippy::print_stderr)] // a command line tool talks to people there

mod commands;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match commands::run(commands::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            report(&commands::sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// To the log where there is one, else to the terminal.
fn report(reason: &str) {
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{reason}");
    } else {
        eprintln!("markstein-node: {reason}");
    }
}
