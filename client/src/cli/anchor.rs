//! `markstein anchor`.

use std::{
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use markstein_client::{
    batches::Statement,
    connect::{Connection, GrpcNode},
    journal,
    keys::IssuerKey,
    node::Node,
    retry::{Nodes, Patience},
    scan::{Unreadable, scan},
    session::{Job, Report, Session},
    text::{safe, safe_path},
    time::{now, rfc3339},
    trust::{self, check_ledger, choose_type, decode_genesis},
};
use markstein_proto::{Genesis, receipt::TrustRoot};
use serde_json::json;

use super::{FAILED, args::AnchorArgs, output::Output, progress::Progress};

/// Documents listed one by one for people; of more only the number is told.
const LISTED: usize = 20;

const INTERRUPTED: &str = "Interrupted. Nothing is lost: the same command goes on where this one stopped.";

/// Anchors, and leaves at once where somebody presses Ctrl-C.
pub async fn run(args: AnchorArgs, output: Output) -> Result<u8> {
    let progress = Arc::new(Progress::new(output));
    tokio::select! {
        done = anchor(args, output, progress.clone()) => {
            progress.finish();
            done
        }
        Ok(()) = tokio::signal::ctrl_c() => {
            progress.finish();
            output.note(INTERRUPTED);
            // Whatever is being written now is completed by the next run; waiting for it would help nobody.
            process::exit(130);
        }
    }
}

async fn anchor(args: AnchorArgs, output: Output, progress: Arc<Progress>) -> Result<u8> {
    if let Some(end) = args.valid_until.filter(|end| *end < now()) {
        bail!("--valid-until {} is in the past", rfc3339(end));
    }
    let (paths, folder) = (args.paths.clone(), args.receipts.clone());
    let found = tokio::task::spawn_blocking(move || scan(&paths, folder.as_deref())).await??;
    let key = IssuerKey::read(&args.key)?;
    let nodes = connect(&args, progress.clone())?;
    let trust = trust_root(args.genesis.as_deref(), &key, &nodes).await?;
    let name = args.document_type.as_deref();
    let document_type = choose_type(trust.genesis(), &key.issuer, name)?;
    if name.is_none() {
        tell_type(trust.genesis(), document_type, output);
    }
    if args.public {
        output.note(
            "--public: without a salt, whoever can guess a document can find out that it was anchored.",
        );
    }
    let state = args.state.map_or_else(journal::default_state, Ok)?;
    let state = std::path::absolute(state)?;
    let ledger = trust.ledger_id().to_string();
    let session = Session::open(nodes, trust, key, &state, now, progress.clone()).await?;
    let report = session
        .run(Job {
            scan: found,
            statement: Statement { document_type, public: args.public, valid_until: args.valid_until },
            batch_records: args.batch,
            keep_going: args.keep_going,
        })
        .await;
    progress.finish();
    show(&report, &ledger, output);
    Ok(if report.is_complete() { 0 } else { FAILED })
}

/// Where nobody chose a type, says which one is taken.
fn tell_type(genesis: &Genesis, code: u32, output: Output) {
    if let Some(name) = genesis.document_type(code) {
        output.note(format!("The documents are anchored as type {name}; --type takes another."));
    }
}

fn connect(args: &AnchorArgs, progress: Arc<Progress>) -> Result<Nodes<GrpcNode>> {
    let connection = Connection { ca: args.connection.ca.as_deref(), insecure: args.connection.insecure };
    let nodes = args.node.iter().map(|url| GrpcNode::new(url, connection));
    Ok(Nodes::new(nodes.collect::<Result<_, _>>()?, Patience::of(args.timeout), progress))
}

/// The genesis: from the file, or from a node where the key file names the ledger, so that no node can pass off its own.
pub(super) async fn trust_root(
    genesis: Option<&Path>,
    key: &IssuerKey,
    nodes: &Nodes<GrpcNode>,
) -> Result<TrustRoot> {
    let (trust, source) = match genesis {
        Some(path) => (trust::read_genesis(path)?, path.display().to_string()),
        None if key.ledger.is_none() => bail!(
            "the key file names no ledger, and a node must not choose it: give the genesis of your ledger with --genesis"
        ),
        None => {
            let bytes = nodes.any(Node::genesis).await.context("no node told its genesis")?;
            (decode_genesis(&bytes)?, "the node".into())
        }
    };
    check_ledger(&trust, key.ledger, &source)?;
    Ok(trust)
}

fn show(report: &Report, ledger: &str, output: Output) {
    output.answer(&as_json(report, ledger));
    for Unreadable { path, why } in &report.failed {
        output.note(format!("{} {}", safe_path(path), safe(why)));
    }
    if report.anchored.len() <= LISTED {
        for done in &report.anchored {
            output.line(format!("  {} (record {})", safe_path(&done.document.receipt), done.index));
        }
    }
    output.line(summary(report, ledger));
    if let Some(stopped) = &report.stopped {
        Output { quiet: false, ..output }.note(format!("markstein: {}", safe(&stopped.to_string())));
        if stopped.is_resumable() {
            output.note("Nothing is lost: the same command goes on where this one stopped.");
        }
    }
}

fn summary(report: &Report, ledger: &str) -> String {
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

fn as_json(report: &Report, ledger: &str) -> serde_json::Value {
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
        "resumed_batches": report.resumed,
        "error": report.stopped.as_ref().map(ToString::to_string),
    })
}
