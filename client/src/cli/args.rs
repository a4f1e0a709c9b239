//! What the command line understands.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueHint};
use markstein_client::time::{parse_span, parse_valid_until};
use markstein_proto::{BATCH_RECORDS_MAX, Hash, LedgerId, TimeMs};

const EXIT_CODES: &str = "\
Exit codes:
  0  genuine and valid
  1  not genuine
  2  could not check: a file is missing or damaged, or made by a newer release
  3  genuine, but revoked, suspended or superseded, past its own end, or older than --max-age";

/// Anchors documents on a Markstein ledger and verifies them, without a document ever leaving this machine.
#[derive(Debug, Parser)]
#[command(name = "markstein", version, arg_required_else_help = true)]
pub struct Args {
    /// Print JSON for programs instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing but errors.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Keygen(KeygenArgs),
    Anchor(AnchorArgs),
    Verify(VerifyArgs),
    Status(StatusArgs),
    Bench(super::bench::BenchArgs),
    /// Look into receipts.
    Receipt {
        #[command(subcommand)]
        command: ReceiptCommand,
    },
    /// Print a script that completes this program's commands: for bash, zsh or fish.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum ReceiptCommand {
    /// Show what a receipt says. Nothing is checked: only `verify` tells whether it is true.
    Show {
        /// The receipt.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

/// Make a signing key for an issuer
///
/// FILE is secret, stays with the issuer and needs a backup; FILE.pub.toml is for
/// the authorities, who admit the issuer with it. Neither is ever overwritten.
#[derive(Debug, clap::Args)]
pub struct KeygenArgs {
    /// The issuer's id, which reads like a domain name: permits.neustadt.example
    #[arg(long, value_name = "SLUG")]
    pub issuer: String,
    /// The issuer's name as people know it.
    #[arg(long)]
    pub name: String,
    /// Where to write the secret key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
    /// The id of the ledger that the key is for, 64 hex digits.
    #[arg(long, value_name = "HEX", value_parser = parse_ledger)]
    pub ledger: Option<LedgerId>,
    /// The genesis of the ledger that the key is for.
    #[arg(long, value_name = "FILE", conflicts_with = "ledger", value_hint = ValueHint::FilePath)]
    pub genesis: Option<PathBuf>,
}

/// Anchor documents, and write a receipt for each
///
/// The receipt of FILE is FILE.markstein.json. Only salted hashes are sent. What was begun is
/// written down first, so a run that was interrupted is completed by the same command, and nothing is anchored twice;
/// documents that have their receipt are left out.
#[derive(Debug, clap::Args)]
pub struct AnchorArgs {
    /// A node's URL. Give several and the next is asked where one does not answer.
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub node: Vec<String>,
    /// The issuer's secret key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: PathBuf,
    /// The type of the documents; without it the first one that the issuer may anchor.
    #[arg(long = "type", value_name = "NAME")]
    pub document_type: Option<String>,
    /// Anchor without salts: whoever has a document can look it up. A document that can be guessed (a form with a
    /// name in it) can then be found out by trying.
    #[arg(long)]
    pub public: bool,
    /// Write receipts into this folder, not beside the documents.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub receipts: Option<PathBuf>,
    /// The documents say that they end then: a day (to its end, UTC) or a moment such as 2031-12-31T12:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = parse_valid_until)]
    pub valid_until: Option<TimeMs>,
    /// Most records signed together.
    #[arg(long, value_name = "N", default_value_t = BATCH_RECORDS_MAX, value_parser = parse_batch)]
    pub batch: usize,
    /// Keep the journal of what is under way in this folder. [default: ~/.local/state/markstein]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// The ledger's genesis. Without it the node is asked, and must name the ledger that the key is for.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: Option<PathBuf>,
    /// Go on where a document cannot be read or is empty.
    #[arg(long)]
    pub keep_going: bool,
    /// How long to go on asking where no node answers.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_span)]
    pub timeout: Duration,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// Documents, and folders of documents. Hidden files and receipts in folders are left out.
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct ConnectionArgs {
    /// Trust the certificates in this file (PEM) in place of those of this machine.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,
    /// Allow http:// to other machines.
    #[arg(long)]
    pub insecure: bool,
}

/// Check documents by their receipts, without any network
///
/// The genesis is what you trust: get it from a source that
/// you trust.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct VerifyArgs {
    /// The genesis of the ledger.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: PathBuf,
    /// The receipt, where it is not FILE.markstein.json; for one document only.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub receipt: Option<PathBuf>,
    /// Oldest status to rely on: 90s, 15m, 24h, 7d, 2w.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub max_age: Option<Duration>,
    /// The documents.
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
}

/// Show how nodes are
///
/// Exit codes: 0 all serve, 2 one cannot be reached, 3 one does not serve.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// A node's URL; may be given several times.
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub node: Vec<String>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

fn parse_ledger(text: &str) -> Result<LedgerId, String> {
    let mut bytes = [0; 32];
    let decoded = hex::decode_to_slice(text, &mut bytes);
    decoded.map(|()| LedgerId(Hash(bytes))).map_err(|_| "a ledger id has 64 hex digits".into())
}

pub(super) fn parse_batch(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=BATCH_RECORDS_MAX).contains(n));
    number.ok_or_else(|| format!("write a number from 1 to {BATCH_RECORDS_MAX}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn nodes_may_be_several_and_paths_follow() {
        let line =
            "markstein anchor --node http://a --node http://b --key k --type t --public --receipts r x y";
        let Command::Anchor(args) = parse(line).unwrap().command else { panic!() };
        assert_eq!((args.node.len(), args.paths.len(), args.batch), (2, 2, 10_000));
        assert_eq!(args.timeout, Duration::from_secs(600));
        let Command::Anchor(args) = parse("markstein anchor --key k --node http://a x").unwrap().command
        else {
            panic!()
        };
        assert_eq!((args.node.len(), args.paths.len()), (1, 1), "a path is never taken for a node");
    }

    #[test]
    fn mistakes_are_usage_errors_with_code_2() {
        for line in [
            "markstein anchor --node http://a x",
            "markstein anchor --node http://a --key k",
            "markstein anchor --node http://a --key k --batch 10001 x",
            "markstein anchor --node http://a --key k --batch 0 x",
            "markstein anchor --node http://a --key k --valid-until never x",
            "markstein verify x",
            "markstein verify --genesis g",
            "markstein verify --genesis g --max-age 1 x",
            "markstein keygen --issuer a --name b --out c --ledger 00",
            "markstein completions powerless",
            "markstein bench --key k",
            "markstein bench --node http://a",
            "markstein bench --node http://a --key k --rate 1 --peak",
            "markstein bench --node http://a --key k --rate 0",
            "markstein bench --node http://a --key k --batch 10001",
            "markstein bench --node http://a --key k --seconds 0",
            "markstein bench --node http://a --key k --seconds 100000",
            "markstein bench --node http://a --key k --in-flight 0",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
