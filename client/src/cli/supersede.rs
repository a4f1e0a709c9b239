//! `markstein supersede`.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, bail};
use clap::ValueHint;
use markstein_client::{
    changes::Wish,
    list::{self, Line, ListError, wrong_line},
    orders::{Finder, Label, Order, Untaken, find_all},
    scan::{Document, scan},
    session::{Replacement, Report, SupersedeJob},
    time::parse_valid_until,
    trust::choose_type,
};
use markstein_proto::TimeMs;

use super::{
    FAILED, anchor,
    args::WriterArgs,
    output::Output,
    progress::Progress,
    told::{self, Names},
    writer::{Writer, interruptible},
};

const AFTER_HELP: &str = "\
The old record is named by its receipt, by its document with the receipt beside it, by its number
(its place in the log), or by the 64 hex digits of its commitment if it was anchored with --public.

A list has a new document and what it replaces a line, with a comma between them:
  outbox/2025-3.pdf,outbox/2024-17.pdf.markstein.json
  \"outbox/a, b.pdf\",4711
Lines that are empty or begin with # are left out. Paths are as seen from the current folder.
Nothing is sent before the whole list was read and checked; a line that cannot be read is named.

Exit codes:
  0  every new document has its receipt, and replaces the old one
  2  one has not, and the message says why; those that could be replaced are replaced
  4  the ledger shows two histories; both are kept as evidence";

/// Anchor documents in the place of earlier ones
///
/// Each new document is anchored by a record that ends the old one in the same moment, so that there is never a moment with
/// two valid ones, or with none. The new document gets its receipt as with `anchor`, and the receipt of the old one is
/// renewed where it is. The old one must be valid or suspended, and of the same issuer.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct SupersedeArgs {
    #[command(flatten)]
    pub writer: WriterArgs,
    /// The type of the new documents; without it that of the old one.
    #[arg(long = "type", value_name = "NAME")]
    pub document_type: Option<String>,
    /// Anchor the new documents without salts, as `anchor --public` does.
    #[arg(long)]
    pub public: bool,
    /// Write the receipts of the new documents into this folder, not beside them.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub receipts: Option<PathBuf>,
    /// The new documents say that they end then: a day (to its end, UTC) or a moment such as 2031-12-31T12:00:00Z.
    #[arg(long, value_name = "DATE", value_parser = parse_valid_until)]
    pub valid_until: Option<TimeMs>,
    /// New documents and what they replace, two a line; - reads them from standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub list: Option<PathBuf>,
    /// Go on where a document or a receipt cannot be read, or does not verify.
    #[arg(long)]
    pub keep_going: bool,
    /// The new document.
    #[arg(value_name = "NEW", required_unless_present = "list", conflicts_with = "list", requires = "old", value_hint = ValueHint::FilePath)]
    pub new: Option<String>,
    /// The record that it replaces.
    #[arg(value_name = "OLD", required_unless_present = "list", value_hint = ValueHint::FilePath)]
    pub old: Option<String>,
}

/// Replaces documents, and leaves at once where somebody presses Ctrl-C.
pub fn run(args: SupersedeArgs, output: Output) -> Result<u8> {
    interruptible(async move |progress| supersede(args, output, progress).await, output)
}

async fn supersede(args: SupersedeArgs, output: Output, progress: Arc<Progress>) -> Result<u8> {
    anchor::check_end(args.valid_until)?;
    let names = if args.list.is_some() { Names::Lines } else { Names::Words };
    let pairs = pairs(&args)?;
    let documents = places(&pairs, args.receipts.as_deref(), names)?;
    let writer = Writer::new(&args.writer, progress.clone()).await?;
    let (genesis, issuer) = (writer.trust.genesis(), &writer.key.issuer);
    let name = args.document_type.as_deref();
    let document_type = name.map(|name| choose_type(genesis, issuer, Some(name))).transpose()?;
    if args.public {
        output.note(anchor::PUBLIC);
    }
    let ledger = writer.trust.ledger_id().to_string();
    let trust = writer.trust.clone();
    let words = pairs.into_iter().map(|(label, _)| (label, Wish::Supersede)).collect();
    let find = move || find_all(words, Finder { trust: &trust, public: false, receipts: None });
    let (orders, untaken) = tokio::task::spawn_blocking(find).await?;
    if !untaken.is_empty() && !args.keep_going {
        return Ok(refuse(&untaken, &ledger, names, output));
    }
    let place = writer.place(args.writer.state.as_deref())?;
    let session = writer.session(args.writer.state.as_deref()).await?;
    let report = session
        .supersede(SupersedeJob {
            replacements: matched(documents, orders),
            document_type,
            public: args.public,
            valid_until: args.valid_until,
            batch_records: args.writer.batch,
            keep_going: args.keep_going,
        })
        .await;
    progress.finish();
    let mut json = anchor::as_json(&report, &ledger);
    json["not_found"] = told::untaken_json(&untaken).into();
    told::fork(&report, &place, &mut json, output)?;
    output.answer(&json);
    told::untaken(&untaken, names, output);
    anchor::show_documents(&report, output);
    told::statuses(&report, names, output);
    output.line(anchor::summary(&report, &ledger));
    told::stop(&report, output);
    Ok(if untaken.is_empty() { told::exit_code(&report) } else { told::exit_code(&report).max(FAILED) })
}

/// Says what names no record, and that nothing was sent.
fn refuse(untaken: &[Untaken], ledger: &str, names: Names, output: Output) -> u8 {
    let error = format!(
        "{} of the records cannot be found, so nothing was sent; --keep-going does the others",
        untaken.len()
    );
    let mut json = anchor::as_json(&Report::default(), ledger);
    json["not_found"] = told::untaken_json(untaken).into();
    json["error"] = error.as_str().into();
    output.answer(&json);
    told::untaken(untaken, names, output);
    Output { quiet: false, ..output }.note(format!("markstein: {error}"));
    FAILED
}

/// The old record, as it is named, and the path of the new document.
fn pairs(args: &SupersedeArgs) -> Result<Vec<(Label, PathBuf)>> {
    if let (Some(new), Some(old)) = (&args.new, &args.old) {
        return Ok(vec![(Label { number: 1, name: old.clone() }, new.into())]);
    }
    let Some(path) = &args.list else { bail!("name the new document and the record that it replaces") };
    let pair = |line: Line| -> Result<(Label, PathBuf), ListError> {
        match line.fields.as_slice() {
            [new, old] if !new.is_empty() && !old.is_empty() => {
                Ok((Label { number: line.number, name: old.clone() }, new.into()))
            }
            _ => {
                let why = "write the new document, a comma, and the record that it replaces; a name with a comma in it \
                           stands in double quotes";
                Err(wrong_line(path, line.number, why))
            }
        }
    };
    Ok(list::read(path)?.into_iter().map(pair).collect::<Result<_, _>>()?)
}

/// The new documents with the places of their receipts, each under the number of its label.
fn places(
    pairs: &[(Label, PathBuf)],
    receipts: Option<&Path>,
    names: Names,
) -> Result<Vec<(usize, Document)>> {
    let mut seen = BTreeSet::new();
    let mut documents = Vec::with_capacity(pairs.len());
    for (Label { number, .. }, path) in pairs {
        let line = if names == Names::Lines { format!("line {number}: ") } else { String::new() };
        if path.is_dir() {
            bail!("{line}{} is a folder, and one document replaces one; nothing was sent", path.display());
        }
        let found = scan(std::slice::from_ref(path), receipts);
        let found = found.map_err(|e| anyhow::anyhow!("{line}{e}"))?.documents;
        for document in found {
            if !seen.insert(document.receipt.clone()) {
                let receipt = document.receipt.display();
                bail!("{line}another document before it gets the receipt {receipt}, too; nothing was sent");
            }
            documents.push((*number, document));
        }
    }
    Ok(documents)
}

/// Each order with its document.
fn matched(documents: Vec<(usize, Document)>, orders: Vec<Order>) -> Vec<Replacement> {
    let mut documents = documents.into_iter().peekable();
    let mut replacements = Vec::with_capacity(orders.len());
    for order in orders {
        while documents.next_if(|(number, _)| *number < order.label.number).is_some() {}
        if let Some((_, document)) = documents.next_if(|(number, _)| *number == order.label.number) {
            replacements.push(Replacement { document, order });
        }
    }
    replacements
}
