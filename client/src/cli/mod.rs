//! The command line: what it understands, and who does it.

mod anchor;
mod args;
mod audit;
mod bench;
mod by_range;
mod change;
mod evidence;
mod export;
mod finality;
mod keygen;
mod online;
mod output;
mod page;
mod progress;
mod receipt;
mod refresh;
mod status;
mod supersede;
mod told;
mod verify;
mod writer;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Args, Command};
use output::Output;

/// Could not do or could not check.
const FAILED: u8 = 2;
/// The ledger shows two histories.
const FORKED: u8 = 4;

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let Args { json, quiet, command } = Args::parse();
    let output = Output { json, quiet };
    let done = match command {
        Command::Keygen(args) => keygen::run(&args, output),
        Command::Anchor(args) => anchor::run(args, output),
        Command::Revoke(args) => change::run(change::Verb::Revoke, args, output),
        Command::Suspend(args) => change::run(change::Verb::Suspend, args, output),
        Command::Reinstate(args) => change::run(change::Verb::Reinstate, args, output),
        Command::Supersede(args) => supersede::run(args, output),
        Command::Verify(args) if args.by_range => {
            runtime().and_then(|runtime| runtime.block_on(by_range::run(args, output)))
        }
        Command::Verify(args) if args.online => {
            runtime().and_then(|runtime| runtime.block_on(online::run(args, output)))
        }
        Command::Verify(args) => verify::run(&args, output),
        Command::Status(args) => runtime().and_then(|runtime| runtime.block_on(status::run(&args, output))),
        Command::Audit(args) => runtime().and_then(|runtime| runtime.block_on(audit::run(args, output))),
        Command::Bench(args) => runtime().and_then(|runtime| runtime.block_on(bench::run(args, output))),
        Command::Receipt { command: args::ReceiptCommand::Show { file } } => receipt::show(&file, output),
        Command::Receipt { command: args::ReceiptCommand::Slip(args) } => export::slip(&args, output),
        Command::Receipt { command: args::ReceiptCommand::Export(args) } => {
            runtime().and_then(|runtime| runtime.block_on(export::receipt(&args, output)))
        }
        Command::Receipt { command: args::ReceiptCommand::Refresh(args) } => {
            runtime().and_then(|runtime| runtime.block_on(refresh::run(args, output)))
        }
        Command::Receipt { command: args::ReceiptCommand::Evidence(args) } => evidence::run(&args, output),
        Command::Page(args) => page::run(&args, output),
        Command::Genesis { command: args::GenesisCommand::Export(args) } => export::genesis(&args, output),
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
