//! What the command line understands.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand, ValueHint};
use markstein_client::time::{parse_span, parse_valid_until};
use markstein_proto::{BATCH_RECORDS_MAX, Hash, IssuerId, LedgerId, TimeMs};

const EXIT_CODES: &str = "\
Exit codes:
  0  genuine and valid
  1  not genuine
  2  could not check: a file is missing or damaged, or made by a newer release; or several issuers anchored the
     document and it does not stand with all of them in the same way: say with --issuer whose decision it is
  3  genuine, but revoked, suspended or superseded, past its own end, or older than --max-age
  4  with --online: the ledger shows two histories; both are kept as evidence";

const REFRESH_CODES: &str = "\
Exit codes:
  0  every receipt is as new as the nodes have it
  1  a receipt does not verify itself: it cannot be renewed
  2  something could not be done, and its old receipt stands; the same command goes on
  4  the ledger shows two histories; both are kept as evidence, and nothing is replaced because of it";

const EVIDENCE_CODES: &str = "\
Exit codes:
  0  the file proves it: a quorum signed two logs that exclude each other
  1  the file proves nothing: one of the two is not signed, or they are one log
  2  could not check
  3  a quorum signed both, and nothing shows that the longer one extends the shorter one";

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
    /// Withdraw documents for good
    ///
    /// Nothing follows a revocation: a document that may become valid again is suspended.
    Revoke(super::change::ChangeArgs),
    /// Withdraw documents for now
    ///
    /// A suspended document can be reinstated, revoked, or superseded.
    Suspend(super::change::ChangeArgs),
    /// Put suspended documents in force again
    ///
    /// The history of a record stays: its receipts show that it was suspended, and when that ended.
    Reinstate(super::change::ChangeArgs),
    Supersede(super::supersede::SupersedeArgs),
    Verify(VerifyArgs),
    Status(StatusArgs),
    Audit(super::audit::AuditArgs),
    Bench(super::bench::BenchArgs),
    /// Look into receipts.
    Receipt {
        #[command(subcommand)]
        command: ReceiptCommand,
    },
    Page(PageArgs),
    /// Work with the trust root.
    Genesis {
        #[command(subcommand)]
        command: GenesisCommand,
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
    Export(ReceiptExportArgs),
    Slip(ReceiptSlipArgs),
    Refresh(ReceiptRefreshArgs),
    Evidence(ReceiptEvidenceArgs),
}

/// Get newer receipts, with today's status, in place of those at hand
///
/// Each new receipt is verified, must be of the same record, not older than anything seen before, and of a log that
/// extends the one seen before; then it takes the old one's place. Documents are not needed. A run that was ended is
/// repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = REFRESH_CODES)]
pub struct ReceiptRefreshArgs {
    /// The genesis of the ledger.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: PathBuf,
    /// Leave receipts alone whose status is younger than this: 90s, 15m, 24h, 7d, 2w.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub older_than: Option<Duration>,
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Receipts or their documents, and folders, of which all receipts are taken.
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
}

/// What commands that compare nodes with what was seen before have in common.
#[derive(Debug, clap::Args)]
pub struct ReadingArgs {
    /// A node's URL. Give several and the next is asked where one does not answer, is behind or wrong.
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub node: Vec<String>,
    #[command(flatten)]
    pub asking: AskingArgs,
}

#[derive(Debug, clap::Args)]
pub struct AskingArgs {
    /// Remember the newest log seen, and keep evidence, in this folder. [default: ~/.local/state/markstein]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// How long to go on asking where no node gives what is needed.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_span)]
    pub timeout: Duration,
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// Check a file of evidence that two logs of one ledger were signed, without any network
///
/// `receipt refresh` and `verify --online` write such files where a ledger shows two histories.
#[derive(Debug, clap::Args)]
#[command(after_help = EVIDENCE_CODES)]
pub struct ReceiptEvidenceArgs {
    /// The genesis of the ledger.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: PathBuf,
    /// The evidence.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// Make the slip that goes with a printed decision: a page with a QR code, as SVG or PDF
///
/// The code opens the page at --page, with the record's place and the salt after the # of the address, which browsers never
/// send; that page may be a node's, or one that `markstein page` made with --node. Whoever has the slip has the salt: hand it out with the document only. Nothing is checked: `verify` does that.
#[derive(Debug, clap::Args)]
pub struct ReceiptSlipArgs {
    /// Address of the page, such as `https://node.example`: that of any node, or where the agency has the page.
    #[arg(long, value_name = "URL")]
    pub page: String,
    /// The format. Without it PDF where --out ends in .pdf, else SVG.
    #[arg(long)]
    pub format: Option<SlipFormat>,
    /// Paper.
    #[arg(long, default_value = "a6")]
    pub paper: SlipPaper,
    /// Language of the words.
    #[arg(long, default_value = "de")]
    pub language: SlipLanguage,
    /// Where to write it. Without it, it is printed. A file that is there is not overwritten.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// The receipt.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// Format of a slip.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum SlipFormat {
    /// SVG 1.1
    Svg,
    /// PDF 1.7
    Pdf,
}

/// Paper of a slip.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum SlipPaper {
    /// 210 mm by 297 mm
    A4,
    /// 105 mm by 148 mm
    A6,
}

/// Language of a slip.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum SlipLanguage {
    /// German
    De,
    /// English
    En,
}

/// Write a receipt in a format that other people's tools read
///
/// cose are COSE receipts (RFC 9942), one of each authority: name the node of each with --node, and a folder with --out. It
/// gets AUTHORITY.cose from each that answers, and record.leaf, the record that they are of. `genesis export --format
/// cose-keys` writes the keys to check them with. Exit code 2: one of the nodes did not give its receipt.
///
/// tlog-proof is C2SP's: the record's path and the signed checkpoint, with the record itself as extra data. Tools that
/// check it by a policy (see `genesis export`) want a line of the log, which receipts do not carry: with --node the newest
/// checkpoint is fetched, checked, and taken with all its lines.
#[derive(Debug, clap::Args)]
pub struct ReceiptExportArgs {
    /// The format.
    #[arg(long)]
    pub format: ReceiptFormat,
    /// Where to write it: a file, for COSE a folder. Without it, it is printed. A file that is there is not overwritten.
    #[arg(long, value_name = "PATH", required_if_eq("format", "cose"), value_hint = ValueHint::AnyPath)]
    pub out: Option<PathBuf>,
    /// A node's URL, to fetch the newest checkpoint from, or its COSE receipt; may be given several times.
    #[arg(
        long,
        value_name = "URL",
        requires = "genesis",
        required_if_eq("format", "cose"),
        value_hint = ValueHint::Url
    )]
    pub node: Vec<String>,
    /// The genesis of the ledger, to check what the node sends.
    #[arg(
        long,
        value_name = "FILE",
        requires = "node",
        required_if_eq("format", "cose"),
        value_hint = ValueHint::FilePath
    )]
    pub genesis: Option<PathBuf>,
    #[command(flatten)]
    pub connection: ConnectionArgs,
    /// The receipt.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// Formats of an exported receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum ReceiptFormat {
    /// C2SP tlog-proof.
    TlogProof,
    /// COSE receipts, RFC 9942.
    Cose,
}

/// Make the citizens' page as one file, with the trust root inside
///
/// It checks documents in a browser, from a disk or from any web server, and asks nobody for anything; with --node it
/// offers to get newer statuses and public records from that node, and opens the links of slips. Publish its SHA-256.
#[derive(Debug, clap::Args)]
pub struct PageArgs {
    /// The genesis of the ledger.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: PathBuf,
    /// The one node that the page may ask, such as `https://node.example`.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    pub node: Option<String>,
    /// Where to write it. Without it, it is printed. A file that is there is not overwritten.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum GenesisCommand {
    Export(GenesisExportArgs),
}

/// Write the trust root in a format that other people's tools read
///
/// tlog-policy is C2SP's: the keys of the log and of its witnesses, the authorities, and how many of them must sign.
/// cose-keys is a COSE_KeySet of the log's keys, one for each authority, to check COSE receipts with; it is no text.
#[derive(Debug, clap::Args)]
pub struct GenesisExportArgs {
    /// The format.
    #[arg(long)]
    pub format: GenesisFormat,
    /// Where to write it. Without it, it is printed. A file that is there is not overwritten.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub out: Option<PathBuf>,
    /// The genesis.
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
}

/// Formats of an exported genesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum GenesisFormat {
    /// C2SP tlog-policy.
    TlogPolicy,
    /// COSE_KeySet.
    CoseKeys,
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
    #[command(flatten)]
    pub writer: WriterArgs,
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
    /// Go on where a document cannot be read or is empty.
    #[arg(long)]
    pub keep_going: bool,
    /// Documents, and folders of documents. Hidden files and receipts in folders are left out.
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,
}

/// What all who write to the ledger need.
#[derive(Debug, clap::Args)]
pub struct WriterArgs {
    /// A node's URL. Give several and the next is asked where one does not answer.
    #[arg(long, value_name = "URL", required = true, value_hint = ValueHint::Url)]
    pub node: Vec<String>,
    /// The issuer's secret key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub key: PathBuf,
    /// The ledger's genesis. Without it the node is asked, and must name the ledger that the key is for.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: Option<PathBuf>,
    /// Most records signed together.
    #[arg(long, value_name = "N", default_value_t = BATCH_RECORDS_MAX, value_parser = parse_batch)]
    pub batch: usize,
    /// Keep the journal of what is under way in this folder. [default: ~/.local/state/markstein]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// How long to go on asking where no node answers.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_span)]
    pub timeout: Duration,
    #[command(flatten)]
    pub connection: ConnectionArgs,
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
/// you trust. With --online, nodes are asked for the status of today, and what they say is checked as a receipt is;
/// a document without a receipt is then looked up by its public commitment. Whoever is admitted may anchor a public
/// document, so all issuers that did are named, and it is valid only if it is with each of them, or with the one that
/// --issuer names. Receipts are not changed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub struct VerifyArgs {
    /// The genesis of the ledger.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub genesis: PathBuf,
    /// The receipt, where it is not FILE.markstein.json; for one document only.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub receipt: Option<PathBuf>,
    /// Oldest status to rely on: 90s, 15m, 24h, 7d, 2w; 24h with --online, unless said otherwise.
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    pub max_age: Option<Duration>,
    /// The issuer whose decision it is: a receipt of another one decides nothing, and without a receipt only its
    /// records are looked up.
    #[arg(long, value_name = "ID", value_parser = parse_issuer)]
    pub issuer: Option<IssuerId>,
    /// Ask nodes for the status of today. They learn which records are asked for.
    #[arg(long, requires = "node")]
    pub online: bool,
    /// With --online: download the log from a place below the records on, and look for them here, so that nodes do not
    /// learn which records are asked for. The more came after a record, the longer it takes.
    #[arg(long, requires = "online")]
    pub by_range: bool,
    /// A node's URL, for --online. Give several and the next is asked where one does not answer, is behind or wrong.
    #[arg(long, value_name = "URL", requires = "online", value_hint = ValueHint::Url)]
    pub node: Vec<String>,
    #[command(flatten)]
    pub asking: AskingArgs,
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

fn parse_issuer(text: &str) -> Result<IssuerId, String> {
    IssuerId::new(text).map_err(|e| e.to_string())
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
        assert_eq!((args.writer.node.len(), args.paths.len(), args.writer.batch), (2, 2, 10_000));
        assert_eq!(args.writer.timeout, Duration::from_secs(600));
        let Command::Anchor(args) = parse("markstein anchor --key k --node http://a x").unwrap().command
        else {
            panic!()
        };
        assert_eq!((args.writer.node.len(), args.paths.len()), (1, 1), "a path is never taken for a node");
        let line = "markstein revoke --node http://a --key k --reason court-order a.json 4711";
        let Command::Revoke(args) = parse(line).unwrap().command else { panic!() };
        assert_eq!((args.writer.node.len(), args.records.len()), (1, 2));
    }

    #[test]
    fn mistakes_are_usage_errors_with_code_2() {
        for line in [
            "markstein anchor --node http://a x",
            "markstein anchor --node http://a --key k",
            "markstein anchor --node http://a --key k --batch 10001 x",
            "markstein anchor --node http://a --key k --batch 0 x",
            "markstein anchor --node http://a --key k --valid-until never x",
            "markstein revoke --node http://a --key k --reason court-order",
            "markstein revoke --node http://a --key k --reason whim x",
            "markstein suspend --node http://a --key k --list l x",
            "markstein reinstate --key k x",
            "markstein supersede --node http://a --key k new",
            "markstein supersede --node http://a --key k new old other",
            "markstein supersede --node http://a --key k --list l new old",
            "markstein verify x",
            "markstein verify --genesis g",
            "markstein verify --genesis g --max-age 1 x",
            "markstein verify --genesis g --online x",
            "markstein verify --genesis g --node http://a x",
            "markstein verify --genesis g --by-range x",
            "markstein verify --genesis g --issuer Upper x",
            "markstein receipt refresh --node http://a x",
            "markstein receipt refresh --genesis g x",
            "markstein receipt refresh --genesis g --node http://a",
            "markstein receipt evidence x",
            "markstein keygen --issuer a --name b --out c --ledger 00",
            "markstein completions powerless",
            "markstein receipt export x",
            "markstein receipt export --format tlog-policy x",
            "markstein receipt export --format tlog-proof --node http://a x",
            "markstein receipt export --format tlog-proof --genesis g x",
            "markstein receipt export --format cose x",
            "markstein receipt export --format cose --node http://a --genesis g x",
            "markstein receipt export --format cose --out d --genesis g x",
            "markstein receipt export --format cose --out d --node http://a x",
            "markstein genesis export g",
            "markstein audit --node http://a",
            "markstein audit --genesis g",
            "markstein audit --genesis g --node http://a --webhook http://b",
            "markstein audit --genesis g --node http://a --exit-on-alert",
            "markstein audit --genesis g --node http://a --interval 1s",
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
