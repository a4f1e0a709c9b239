//! `markstein anchor`.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, bail};
use markstein_client::{
    batches::Statement,
    scan::{Unreadable, scan},
    session::{Job, Report},
    text::{safe, safe_path},
    time::{now, rfc3339},
    trust::choose_type,
};
use markstein_proto::{Genesis, TimeMs};
use serde_json::json;

use super::{
    args::AnchorArgs,
    output::Output,
    progress::Progress,
    told,
    writer::{Place, Writer, interruptible},
};

/// Said where documents are anchored without salts.
pub const PUBLIC: &str =
    "--public: without a salt, whoever can guess a document can find out that it was anchored.";

/// Documents listed one by one for people; of more only the number is told.
pub const LISTED: usize = 20;

/// Anchors, and leaves at once where somebody presses Ctrl-C.
pub fn run(args: AnchorArgs, output: Output) -> Result<u8> {
    interruptible(async move |progress| anchor(args, output, progress).await, output)
}

async fn anchor(args: AnchorArgs, output: Output, progress: Arc<Progress>) -> Result<u8> {
    check_end(args.valid_until)?;
    let (paths, folder) = (args.paths.clone(), args.receipts.clone());
    let found = tokio::task::spawn_blocking(move || scan(&paths, folder.as_deref())).await??;
    let writer = Writer::new(&args.writer, progress.clone()).await?;
    let name = args.document_type.as_deref();
    let document_type = choose_type(writer.trust.genesis(), &writer.key.issuer, name)?;
    if name.is_none() {
        tell_type(writer.trust.genesis(), document_type, output);
    }
    if args.public {
        output.note(PUBLIC);
    }
    let ledger = writer.trust.ledger_id().to_string();
    let place = writer.place(args.writer.state.as_deref())?;
    let session = writer.session(args.writer.state.as_deref()).await?;
    let report = session
        .run(Job {
            scan: found,
            statement: Statement { document_type, public: args.public, valid_until: args.valid_until },
            batch_records: args.writer.batch,
            keep_going: args.keep_going,
        })
        .await;
    progress.finish();
    show(&report, &ledger, &place, output)?;
    Ok(told::exit_code(&report))
}

/// Refuses an end of the documents' validity that has passed.
pub fn check_end(valid_until: Option<TimeMs>) -> Result<()> {
    match valid_until.filter(|end| *end < now()) {
        Some(end) => bail!("--valid-until {} is in the past", rfc3339(end)),
        None => Ok(()),
    }
}

/// Where nobody chose a type, says which one is taken.
fn tell_type(genesis: &Genesis, code: u32, output: Output) {
    if let Some(name) = genesis.document_type(code) {
        output.note(format!("The documents are anchored as type {name}; --type takes another."));
    }
}

fn show(report: &Report, ledger: &str, place: &Place, output: Output) -> Result<()> {
    let mut json = as_json(report, ledger);
    told::fork(report, place, &mut json, output)?;
    output.answer(&json);
    show_documents(report, output);
    output.line(summary(report, ledger));
    told::statuses(report, told::Names::Words, output);
    told::stop(report, output);
    Ok(())
}

/// The documents that cannot be anchored, and a few of the others.
pub fn show_documents(report: &Report, output: Output) {
    for Unreadable { path, why } in &report.failed {
        output.note(format!("{} {}", safe_path(path), safe(why)));
    }
    if report.anchored.len() <= LISTED {
        for done in &report.anchored {
            output.line(format!("  {} (record {})", safe_path(&done.document.receipt), done.index));
        }
    }
}

pub fn summary(report: &Report, ledger: &str) -> String {
    let mut text = format!("Anchored {} on ledger {}", documents(report.anchored.len()), &ledger[..16]);
    if !report.already.is_empty() {
        text += &format!("; {} had a receipt already", documents(report.already.len()));
    }
    if !report.failed.is_empty() {
        text += &format!("; {} could not be anchored", documents(report.failed.len()));
    }
    text + "."
}

fn documents(count: usize) -> String {
    if count == 1 { "1 document".into() } else { format!("{count} documents") }
}

pub fn as_json(report: &Report, ledger: &str) -> serde_json::Value {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let anchored = report.anchored.iter().map(|done| {
        json!({
            "file": text(&done.document.path),
            "receipt": text(&done.document.receipt),
            "index": done.index.0,
            "batch": done.batch.to_string(),
        })
    });
    let already = report.already.iter().map(|(document, index)| {
        json!({ "file": text(&document.path), "receipt": text(&document.receipt), "index": index.0 })
    });
    let failed = report.failed.iter().map(|f| json!({ "file": text(&f.path), "error": f.why }));
    json!({
        "ledger": ledger,
        "anchored": anchored.collect::<Vec<_>>(),
        "already_anchored": already.collect::<Vec<_>>(),
        "failed": failed.collect::<Vec<_>>(),
        "changed": told::changed(report),
        "unchanged": told::unchanged(report),
        "resumed_batches": report.resumed,
        "error": report.stopped.as_ref().map(ToString::to_string),
    })
}
