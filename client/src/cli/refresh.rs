//! `markstein receipt refresh`.

use std::{path::Path, process, sync::Arc};

use anyhow::{Result, bail};
use markstein_client::{
    connect::{Connection, GrpcNode},
    journal,
    memory::Memory,
    node::Node,
    observer::Observer,
    refresh::{Changed, Options, Refresher, Report, Run, Stopped, find},
    retry::{Nodes, Patience},
    scan::Unreadable,
    text::{safe, safe_path},
    time::{now, rfc3339},
    trust::{decode_genesis, read_genesis},
};
use markstein_proto::{receipt::TrustRoot, status::Status};
use serde_json::{Value, json};

use super::{
    FAILED, FORKED,
    args::{AskingArgs, ReceiptRefreshArgs},
    evidence,
    output::Output,
    progress::Progress,
    verify::status_word,
};

/// Receipts listed one by one for people; of more only the number is told, unless their status changed.
const LISTED: usize = 20;

/// Refreshes, and leaves at once where somebody presses Ctrl-C.
pub async fn run(args: ReceiptRefreshArgs, output: Output) -> Result<u8> {
    let progress = Arc::new(Progress::new(output));
    tokio::select! {
        done = refresh(args, output, progress.clone()) => {
            progress.finish();
            done
        }
        Ok(()) = tokio::signal::ctrl_c() => {
            progress.finish();
            output.note("Interrupted. Each receipt is the old one or the new one: the same command goes on.");
            process::exit(130);
        }
    }
}

async fn refresh(args: ReceiptRefreshArgs, output: Output, progress: Arc<Progress>) -> Result<u8> {
    let trust = read_genesis(&args.genesis)?;
    let paths = args.paths.clone();
    let found = tokio::task::spawn_blocking(move || find(&paths)).await??;
    if found.receipts.is_empty() && found.unreadable.is_empty() {
        bail!("there are no receipts: they have names that end in .markstein.json");
    }
    let (refresher, memory) = open(&args.reading.node, &args.reading.asking, trust, progress.clone()).await?;
    let (refresher, memory) = (Arc::new(refresher), Arc::new(memory));
    let run = Run { refresher: refresher.clone(), memory: memory.clone(), observer: progress.clone() };
    let report = run.run(found, Options { older_than: args.older_than }).await;
    progress.finish();
    show(&report, refresher.trust(), &memory, output)
}

/// Nodes of this ledger, and what was seen of it before.
pub(super) async fn open(
    urls: &[String],
    asking: &AskingArgs,
    trust: TrustRoot,
    observer: Arc<dyn Observer>,
) -> Result<(Refresher<GrpcNode>, Memory)> {
    let state = asking.state.clone().map_or_else(journal::default_state, Ok)?;
    let memory = Memory::open(&std::path::absolute(state)?, &trust)?;
    let seen = memory.newest()?;
    let connection = Connection { ca: asking.connection.ca.as_deref(), insecure: asking.connection.insecure };
    let nodes = urls.iter().map(|url| GrpcNode::new(url, connection)).collect::<Result<Vec<_>, _>>()?;
    // One that does not answer now may do so later; where all are of another ledger, they would be asked in vain. One alone
    // does not keep the others from being asked: what it shows does not verify.
    let mut foreign = Vec::new();
    for node in &nodes {
        let found = node.genesis().await.ok().and_then(|bytes| decode_genesis(&bytes).ok());
        let found = found.filter(|found| found.ledger_id() != trust.ledger_id());
        foreign.extend(found.map(|found| (safe(node.name()), found.ledger_id())));
    }
    if let Some((name, found)) = foreign.first().filter(|_| foreign.len() == nodes.len()) {
        bail!("{name} is a node of ledger {found}, and the genesis is of {}", trust.ledger_id());
    }
    let nodes = Nodes::new(nodes, Patience::of(asking.timeout), observer);
    Ok((Refresher::new(nodes, trust, seen, now), memory))
}

fn show(report: &Report, trust: &TrustRoot, memory: &Memory, output: Output) -> Result<u8> {
    let code = exit_code(report);
    for Unreadable { path, why } in report.not_genuine.iter().chain(&report.failed) {
        output.note(format!("{} {}", safe_path(path), safe(why)));
    }
    for changed in &report.refreshed {
        if changed.status.0 != changed.status.1 || report.refreshed.len() <= LISTED {
            output.line(format!("  {}", line(changed)));
        }
    }
    output.line(summary(report));
    let loud = Output { quiet: false, ..output };
    let (mut fork, mut stopped) = (Value::Null, None);
    match &report.stopped {
        None => {}
        Some(Stopped::Fork { fork: found, receipt }) => {
            let kept = evidence::keep(found, trust, memory)?;
            evidence::tell(found, &kept, output).iter().for_each(|line| loud.note(line));
            if let Some(receipt) = receipt {
                output.note(format!("It showed while {} was to be refreshed.", safe_path(receipt)));
            }
            fork = evidence::as_json(found, &kept);
            fork["receipt"] = receipt.as_deref().map(text).into();
        }
        Some(Stopped::Nodes(e)) => stopped = Some(e.to_string()),
        Some(Stopped::Memory(e)) => stopped = Some(e.to_string()),
    }
    if let Some(why) = &stopped {
        loud.note(format!("markstein: {}", safe(why)));
        output.note("Each receipt is the old one or the new one: the same command goes on.");
    }
    output.answer(&json!({
        "exit_code": code,
        "ledger": trust.ledger_id().to_string(),
        "refreshed": report.refreshed.iter().map(changed_json).collect::<Vec<_>>(),
        "unchanged": report.unchanged,
        "skipped": report.skipped,
        "not_genuine": problems(&report.not_genuine),
        "failed": problems(&report.failed),
        "stopped": stopped,
        "fork": fork,
    }));
    Ok(code)
}

fn exit_code(report: &Report) -> u8 {
    match &report.stopped {
        Some(Stopped::Fork { .. }) => FORKED,
        _ if !report.not_genuine.is_empty() => 1,
        Some(_) => FAILED,
        None if !report.failed.is_empty() => FAILED,
        None => 0,
    }
}

fn line(Changed { path, index, as_of, status, .. }: &Changed) -> String {
    let (path, time) = (safe_path(path), rfc3339(as_of.1));
    match *status {
        (before, after) if before != after => format!(
            "{path} (record {index}) is {} as of {time}; it was {}",
            status_word(after).to_uppercase(),
            status_word(before)
        ),
        (_, Status::Valid) => format!("{path} (record {index}) as of {time}"),
        (_, after) => format!("{path} (record {index}) is still {} as of {time}", status_word(after)),
    }
}

fn summary(report: &Report) -> String {
    let changed = report.refreshed.iter().filter(|it| it.status.0 != it.status.1).count();
    let more = [
        (changed, "of them with another status than before"),
        (report.unchanged, "as new as can be already"),
        (report.skipped, "young enough"),
        (report.not_genuine.len(), "not genuine"),
        (report.failed.len(), "not refreshed"),
    ];
    let more = more.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("; {count} {what}"));
    format!("Refreshed {}{}.", receipts(report.refreshed.len()), more.collect::<String>())
}

fn receipts(count: usize) -> String {
    if count == 1 { "1 receipt".into() } else { format!("{count} receipts") }
}

fn changed_json(changed: &Changed) -> Value {
    json!({
        "receipt": text(&changed.path),
        "index": changed.index.0,
        "was_as_of": rfc3339(changed.as_of.0),
        "as_of": rfc3339(changed.as_of.1),
        "was_status": status_word(changed.status.0),
        "status": status_word(changed.status.1),
        "log_size": changed.log_size.0,
    })
}

fn problems(list: &[Unreadable]) -> Vec<Value> {
    list.iter().map(|it| json!({ "receipt": text(&it.path), "reason": it.why })).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
