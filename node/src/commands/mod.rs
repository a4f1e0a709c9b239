//! The command line.

mod check;
mod devnet;
mod genesis;
mod init;
mod keys;
mod logging;
mod pool;
mod repair;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Runs a node of a Markstein ledger, an authority's or an observer's, and makes what it needs to run.
#[derive(Parser)]
#[command(
    name = "markstein-node",
    version,
    after_help = "The way to a running authority: 'keys new', hand authority.toml to the others, receive \
                  genesis.toml, 'genesis check', 'init', 'run'. To a running observer: 'keys observer', hand the line \
                  it prints to the authorities, 'init', 'run'. To try everything on one machine: 'devnet'."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the keys of an authority or of an observer
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Make or check the trust root of a ledger
    #[command(subcommand)]
    Genesis(genesis::GenesisCommand),
    /// Make this node's data folder, once
    Init(ConfigArgs),
    /// Run the node until SIGTERM or Ctrl-C
    Run(run::RunArgs),
    /// Look for damage in the data folder of a node that does not run; changes nothing. Exit code 0: none; 1: some; 2: it
    /// could not be looked at
    Check(check::CheckArgs),
    /// Give a node with a damaged data folder a new one: keeps what it promised, and the damaged data aside
    Repair(ConfigArgs),
    /// Look at what waits in a running node, and drop what should not
    #[command(subcommand)]
    Pool(pool::PoolCommand),
    /// Run a whole ledger on this machine, for trying out and for tests
    Devnet(devnet::DevnetArgs),
}

#[derive(Args)]
struct ConfigArgs {
    /// The node's configuration, see config/node.example.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Does what the command line says.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let done = match cli.command {
        Command::Keys(command) => keys::run(command),
        Command::Genesis(command) => genesis::run(command),
        Command::Init(args) => init::run(&args.config),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => return Ok(check::run(&args)),
        Command::Repair(args) => repair::run(&args.config),
        Command::Pool(command) => return pool::run(command),
        Command::Devnet(args) => devnet::run(&args),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// An error and its causes as one sentence; most of ours name their cause already.
pub(crate) fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn causes_are_said_once() {
        let cause = anyhow::anyhow!("disk is full");
        assert_eq!(sentence(&cause.context("cannot write x: disk is full")), "cannot write x: disk is full");
        let cause = anyhow::anyhow!("disk is full");
        assert_eq!(sentence(&cause.context("cannot write x")), "cannot write x: disk is full");
    }
}
