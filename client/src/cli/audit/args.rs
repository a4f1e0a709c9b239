//! What `markstein audit` understands.

use std::{path::PathBuf, time::Duration};

use clap::ValueHint;
use markstein_client::time::parse_span;

use crate::cli::args::ConnectionArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0  sound: all of it was audited, and all nodes show the same ledger
  1  wrong: the log breaks the rules, or a node serves something else than the authorities signed
  2  could not be audited to its end: nodes cannot be reached, or the log is of a newer release
  3  sound, but one of the nodes could not be compared, or the last word of a quorum is older than --max-age
  4  fork: the authorities signed two logs; both signed checkpoints are kept as evidence
  5  --exit-on-alert: an issuer named by --watch-issuer has written";

/// Audit a whole ledger, trusting its genesis alone
///
/// Downloads the log from the nodes' tiles over plain HTTP and computes every root, header, signature and status again; checks
/// that a quorum of the authorities signed it; and compares what the nodes show. What was audited is not downloaded again:
/// a later audit goes on from there, and the log must still begin with it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct AuditArgs {
    /// The genesis of the ledger.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: PathBuf,
    /// A node's URL. Give several: each is compared, and the log is read from all of them at once.
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub node: Vec<String>,
    /// Keep what was audited in this folder. [default: ~/.local/state/markstein/LEDGER/audit]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Do not end: ask again and again, audit what is new, and tell what is wrong.
    #[arg(long)]
    pub follow: bool,
    /// How often to ask.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_span, requires = "follow")]
    pub interval: Duration,
    /// Tell of each batch that this issuer writes from now on, by its id or name; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub watch_issuer: Vec<String>,
    /// Tell a web server, too: alerts are sent to this URL as JSON, by POST. One may come twice, with the same `id`.
    #[arg(long, value_name = "URL", requires = "follow", value_hint = ValueHint::Url)]
    pub webhook: Option<String>,
    /// End at the first alert, with its exit code.
    #[arg(long, requires = "follow")]
    pub exit_on_alert: bool,
    /// How old the last word of a quorum may be: 90s, 15m, 24h.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub max_age: Option<Duration>,
    /// How long to go on asking where no node has what is needed.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_span)]
    pub timeout: Duration,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}
