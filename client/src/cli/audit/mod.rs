//! `markstein audit`.

mod args;
mod follow;
mod progress;
mod text;

use std::{process, sync::Arc};

use anyhow::{Result, bail};
use markstein_client::{
    audit::{
        auditor::{Auditor, Terms},
        nodes::Nodes,
        webhook::Webhook,
    },
    connect::Connection,
    journal,
    retry::Patience,
    text::safe,
    time::now,
    trust,
};
use markstein_proto::{Genesis, IssuerId};

pub use args::AuditArgs;
use progress::Bar;

use super::output::Output;

const INTERRUPTED: &str = "Interrupted. What was audited is kept: the same command goes on from there.";

/// Audits, and leaves at once where somebody presses Ctrl-C.
pub async fn run(args: AuditArgs, output: Output) -> Result<u8> {
    let bar = Arc::new(Bar::new(output));
    tokio::select! {
        done = audit(args, output, Arc::clone(&bar)) => {
            bar.finish();
            done
        }
        Ok(()) = tokio::signal::ctrl_c() => {
            bar.finish();
            output.note(INTERRUPTED);
            // What is kept is whole at every moment.
            process::exit(130);
        }
    }
}

async fn audit(args: AuditArgs, output: Output, bar: Arc<Bar>) -> Result<u8> {
    let trust = trust::read_genesis(&args.genesis)?;
    let watch = args.watch_issuer.iter().map(|name| issuer(trust.genesis(), name));
    let terms = Terms { watch: watch.collect::<Result<_>>()?, max_age: args.max_age };
    let connection = Connection { ca: args.connection.ca.as_deref(), insecure: args.connection.insecure };
    let nodes = Nodes::new(&args.node, connection, Patience::of(args.timeout), bar.clone())?;
    // The certificates given are those of the nodes.
    let of_machine = Connection { ca: None, ..connection };
    let webhook = args.webhook.as_deref().map(|url| Webhook::new(url, of_machine)).transpose()?;
    let state = match &args.state {
        Some(folder) => folder.clone(),
        None => journal::default_state()?.join(&trust.ledger_id().to_string()[..16]).join("audit"),
    };
    let head = text::Head { origin: trust.genesis().origin.clone(), ledger: trust.ledger_id().to_string() };
    let mut auditor = Auditor::open(trust, nodes, &std::path::absolute(state)?, terms)?;
    if args.follow {
        let terms = follow::Terms { interval: args.interval, exit_on_alert: args.exit_on_alert };
        return follow::run(&mut auditor, &head, terms, webhook, output, &bar).await;
    }
    let report = auditor.pass(now()).await?;
    bar.finish();
    for line in text::lines(&head, &report) {
        output.line(line);
    }
    output.answer(&text::as_json(&head, &report, auditor.folder()));
    auditor.told()?;
    Ok(report.verdict().exit_code())
}

/// The issuer with this id or this name.
fn issuer(genesis: &Genesis, name: &str) -> Result<IssuerId> {
    let mut named = genesis.grants.iter().filter(|g| g.issuer.as_str() == name || g.name == name);
    match (named.next(), named.next()) {
        (Some(grant), None) => Ok(grant.issuer.clone()),
        (Some(_), Some(_)) => bail!("several issuers have the name {}: give the id", safe(name)),
        (None, _) => {
            let ids = genesis.grants.iter().map(|grant| grant.issuer.as_str()).collect::<Vec<_>>().join(", ");
            bail!("the ledger has no issuer {}; it has: {ids}", safe(name))
        }
    }
}
