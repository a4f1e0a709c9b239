//! The command line: what it understands, and who does it.

mod anchor;
mod args;
mod bench;
mod finality;
mod keygen;
mod output;
mod progress;
mod receipt;
mod status;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
use output::Output;

/// Could not do or could not check.
const FAILED: u8 = 2;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let Args { json, quiet, command } = Args::parse();
    let output = Output { json, quiet };
    let done = match command {
        Command::Keygen(args) => keygen::run(&args, output),
        Command::Anchor(args) => runtime().and_then(|runtime| runtime.block_on(anchor::run(args, output))),
        Command::Verify(args) => verify::run(&args, output),
        Command::Status(args) => runtime().and_then(|runtime| runtime.block_on(status::run(&args, output))),
        Command::Bench(args) => runtime().and_then(|runtime| runtime.block_on(bench::run(args, output))),
        Command::Receipt { command: args::ReceiptCommand::Show { file } } => receipt::show(&file, output),
        Command::Completions { shell } => {
            output.raw(&completions(shell));
            Ok(0)
        }
    };
    let code = done.unwrap_or_else(|e| {
        output.failure(&e);
        FAILED
    });
    if code == 0 && output::was_lost() {
        output.failure(&anyhow::anyhow!("the answer could not be written"));
        return FAILED.into();
    }
    code.into()
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "markstein", &mut script);
    script
}
