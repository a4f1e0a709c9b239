//! `markstein revoke`, `suspend` and `reinstate`.

use std::{path::PathBuf, sync::Arc};

use anyhow::Result;
use clap::{
    ValueHint,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use markstein_client::{
    changes::Wish,
    list::{self, Line, ListError, wrong_line},
    orders::{Finder, Label, find_all},
    session::{ChangeJob, Kept, Report},
};
use markstein_proto::Reason;

use super::{
    FAILED, anchor,
    args::WriterArgs,
    output::Output,
    progress::Progress,
    told::{self, Names},
    verify::reason_text,
    writer::{Writer, interruptible},
};

const AFTER_HELP: &str = "\
Only the issuer of a record changes its status. The newest receipt of each record is asked for first,
to see what there is; then the changes are signed, written down and sent, and the receipts renewed.
The same command completes a run that was interrupted, and nothing is changed twice.

A record is named by
  a receipt           the best: it is renewed, so that it shows the new status
  a document          with its receipt beside it, FILE.markstein.json
  a number            its place in the log; no receipt is written then
  64 hex digits       the commitment of a document that was anchored with --public

A list has one record a line, and behind a comma its own reason, if it has one:
  outbox/2024-17.pdf.markstein.json
  outbox/2024-18.pdf,court-order
  \"outbox/a, b.pdf\",unlawful
  4711
Lines that are empty or begin with # are left out. Paths are as seen from the current folder.
Nothing is sent before the whole list was read and checked; a line that cannot be read is named.

Exit codes:
  0  every record has the status now, or had it before
  2  one has not, and the message says why; those that could be changed are changed
  4  the ledger shows two histories; both are kept as evidence";

/// What `revoke`, `suspend` and `reinstate` take.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ChangeArgs {
    #[command(flatten)]
    pub writer: WriterArgs,
    /// Why, for all records without a reason of their own. Everybody can read it. `reinstate` takes `resolved` where
    /// nothing is said.
    #[arg(long, value_name = "REASON", value_parser = reasons())]
    pub reason: Option<Reason>,
    /// The records, one a line; - reads them from standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub list: Option<PathBuf>,
    /// Documents without a receipt were anchored with --public: look them up by their content. Of a document that was
    /// not, this tells the node a hash that a guess can be compared with.
    #[arg(long)]
    pub look_up: bool,
    /// Write the new receipts into this folder and leave the old ones as they are.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub receipts: Option<PathBuf>,
    /// Go on where a receipt or a document cannot be read, or does not verify.
    #[arg(long)]
    pub keep_going: bool,
    /// The records: receipts, documents, numbers, public commitments.
    #[arg(value_name = "RECORD", required_unless_present = "list", conflicts_with = "list", value_hint = ValueHint::FilePath)]
    pub records: Vec<String>,
}

/// Which of the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Revoke,
    Suspend,
    Reinstate,
}

impl Verb {
    const fn wish(self, reason: Reason) -> Wish {
        match self {
            Self::Revoke => Wish::Revoke(reason),
            Self::Suspend => Wish::Suspend(reason),
            Self::Reinstate => Wish::Reinstate(reason),
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Revoke => "Revoked",
            Self::Suspend => "Suspended",
            Self::Reinstate => "Reinstated",
        }
    }

    /// The reason where nobody gives one. To withdraw something without a word is not offered.
    const fn usual_reason(self) -> Option<Reason> {
        match self {
            Self::Reinstate => Some(Reason::Resolved),
            Self::Revoke | Self::Suspend => None,
        }
    }
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    let value = |reason: Reason| PossibleValue::new(reason.as_str()).help(reason_text(reason));
    PossibleValuesParser::new(Reason::ALL.map(value))
        .map(|word| Reason::from_word(&word).expect("only the words of reasons are possible"))
}

/// Changes statuses, and leaves at once where somebody presses Ctrl-C.
pub fn run(verb: Verb, args: ChangeArgs, output: Output) -> Result<u8> {
    interruptible(async move |progress| change(verb, args, output, progress).await, output)
}

async fn change(verb: Verb, args: ChangeArgs, output: Output, progress: Arc<Progress>) -> Result<u8> {
    let names = if args.list.is_some() { Names::Lines } else { Names::Words };
    let words = words(verb, &args)?;
    let writer = Writer::new(&args.writer, progress.clone()).await?;
    let ledger = writer.trust.ledger_id().to_string();
    let place = writer.place(args.writer.state.as_deref())?;
    let folder = args.receipts.map(std::path::absolute).transpose()?;
    let (trust, public) = (writer.trust.clone(), args.look_up);
    let find = move || find_all(words, Finder { trust: &trust, public, receipts: folder.as_deref() });
    let (orders, untaken) = tokio::task::spawn_blocking(find).await?;
    let report = if untaken.is_empty() || args.keep_going {
        let session = writer.session(args.writer.state.as_deref()).await?;
        session.change(ChangeJob { orders, batch_records: args.writer.batch }).await
    } else {
        Report::default()
    };
    progress.finish();
    let stays = (!untaken.is_empty() && !args.keep_going).then(|| {
        let count = untaken.len();
        format!("{count} of the records cannot be found, so nothing was sent; --keep-going does the others")
    });
    let mut json = anchor::as_json(&report, &ledger);
    json["failed"] = told::untaken_json(&untaken).into();
    if let Some(stays) = &stays {
        json["error"] = stays.as_str().into();
    }
    told::fork(&report, &place, &mut json, output)?;
    output.answer(&json);
    told::untaken(&untaken, names, output);
    anchor::show_documents(&report, output);
    told::statuses(&report, names, output);
    match stays {
        Some(stays) => Output { quiet: false, ..output }.note(format!("markstein: {stays}")),
        None => output.line(summary(verb, &report, &ledger)),
    }
    told::stop(&report, output);
    Ok(if untaken.is_empty() { told::exit_code(&report) } else { told::exit_code(&report).max(FAILED) })
}

/// What was named, with what is wanted of each.
fn words(verb: Verb, args: &ChangeArgs) -> Result<Vec<(Label, Wish)>> {
    let usual = args.reason.or(verb.usual_reason());
    let Some(path) = &args.list else {
        let Some(reason) = usual else {
            anyhow::bail!("say why with --reason: {}", Reason::ALL.map(Reason::as_str).join(", "));
        };
        let label = |(number, name): (usize, &String)| Label { number, name: name.clone() };
        return Ok((1..).zip(&args.records).map(label).map(|label| (label, verb.wish(reason))).collect());
    };
    let wrong = |number, why: String| wrong_line(path, number, why);
    let word = |line: Line| -> Result<(Label, Wish), ListError> {
        let Line { number, fields } = line;
        let (name, reason) = match fields.as_slice() {
            [name] => (name, None),
            [name, reason] => (name, Some(reason.as_str()).filter(|word| !word.is_empty())),
            _ => {
                return Err(wrong(
                    number,
                    "write a record, and behind a comma its reason, and no more".into(),
                ));
            }
        };
        if name.is_empty() {
            return Err(wrong(number, "there is no record before the comma".into()));
        }
        let reason = match reason {
            None => usual.ok_or_else(|| wrong(number, "there is no reason: write one behind a comma, or give --reason for all".into()))?,
            Some(word) => Reason::from_word(word).ok_or_else(|| {
                let words = Reason::ALL.map(Reason::as_str).join(", ");
                wrong(number, format!("{word:?} is no reason: write one of {words}; a name with a comma in it stands in double quotes"))
            })?,
        };
        Ok((Label { number, name: name.clone() }, verb.wish(reason)))
    };
    Ok(list::read(path)?.into_iter().map(word).collect::<Result<_, _>>()?)
}

fn summary(verb: Verb, report: &Report, ledger: &str) -> String {
    let status = verb.wish(Reason::Other).status();
    let done = report.changed.iter().filter(|changed| changed.wish.status() == status).count();
    let count = |is: fn(&Kept) -> bool| report.unchanged.iter().filter(|u| is(&u.kept)).count();
    let mut text = format!("{} {} on ledger {}", verb.done(), records(done), &ledger[..16]);
    let already = count(|kept| matches!(kept, Kept::Already(_)));
    if already > 0 {
        text += &format!("; {} already {status}", records_were(already));
    }
    let refused = count(|kept| matches!(kept, Kept::Refused(_)));
    if refused > 0 {
        text += &format!("; {} could not be", records(refused));
    }
    text + "."
}

fn records(count: usize) -> String {
    if count == 1 { "1 record".into() } else { format!("{count} records") }
}

fn records_were(count: usize) -> String {
    if count == 1 { "1 was".into() } else { format!("{count} were") }
}
