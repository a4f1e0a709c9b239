//! `check`: looks for damage in the data folder of a node that does not run.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use markstein_node::check::{Extent, Progress, check};
use markstein_node::config::NodeConfig;
use markstein_node::setup::{self, SetupError};
use markstein_node::storage::{StoppedFolder, StorageError};

use super::{ConfigArgs, sentence};

/// Nothing could be said.
const COULD_NOT_CHECK: u8 = 2;

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Look at every block and every entry, not only at what a start reads
    #[arg(long)]
    full: bool,
}

pub(super) fn run(args: &CheckArgs) -> ExitCode {
    match look(args) {
        Ok(Ok(found)) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Ok(Err(damage)) => {
            eprintln!("markstein-node: {damage}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("markstein-node: {}", sentence(&error));
            ExitCode::from(COULD_NOT_CHECK)
        }
    }
}

/// What was found, or the damage.
fn look(args: &CheckArgs) -> anyhow::Result<Result<String, StorageError>> {
    let config = NodeConfig::load(&args.config.config)?;
    let genesis = config.load_genesis()?;
    let own = config.authority_in(&genesis)?.map(|(number, _)| number);
    if StoppedFolder::is_interrupted(&config.data_dir) {
        return Err(SetupError::RepairInterrupted { config: config.file }.into());
    }
    setup::check_before_repair(&config, &genesis)?;
    let folder = StoppedFolder::hold(&config.data_dir)?;
    let extent = if args.full { Extent::All } else { Extent::Tail };
    let mut bar = Bar::default();
    let checked = folder.read_all().and_then(|db| check(&db, &genesis, own, extent, |at| bar.show(at)));
    bar.end();
    match checked {
        Ok(found) => Ok(Ok(format!(
            "{}: nothing is damaged in blocks {} to {} ({} leaves){}.",
            config.data_dir.display(),
            found.from,
            found.tip,
            found.size,
            if args.full { " and in all tables" } else { "; --full looks at everything" }
        ))),
        Err(error) if error.is_corruption() => Ok(Err(error)),
        Err(error) => Err(error.into()),
    }
}

/// How far it is, on a terminal only.
#[derive(Default)]
pub(super) struct Bar {
    shown: bool,
}

impl Bar {
    pub(super) fn show(&mut self, at: Progress) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let text = match at {
            Progress::Block(at, tip) if at.0 % 100 == 0 || at == tip => format!("block {at} of {tip}"),
            Progress::Block(..) => return,
            Progress::Table(name) => format!("table {name}"),
        };
        let _ = write!(std::io::stderr(), "\r\x1b[K{text}"); // a terminal that is gone does not matter
        self.shown = true;
    }

    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
