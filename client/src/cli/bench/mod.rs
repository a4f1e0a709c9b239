//! `markstein bench`.

mod args;
mod progress;
mod text;

use std::sync::Arc;

use anyhow::{Result, bail};
use markstein_client::{
    bench::{self, End, Issuer, Options, Setting, ThisMachine, connections, is_for_tests},
    connect::{Connection, GrpcNode},
    keys::IssuerKey,
    observer::Deaf,
    retry::{Nodes, Patience},
    text::safe,
    trust::choose_type,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{output::Output, writer};
pub use args::BenchArgs;
use progress::Progress;

/// How long to go on asking for the genesis.
const GENESIS: std::time::Duration = std::time::Duration::from_secs(10);

/// Loads the nodes and reports.
pub async fn run(args: BenchArgs, output: Output) -> Result<u8> {
    let options = args.options();
    let key = IssuerKey::read(&args.key)?;
    let nodes = connect(&args, &options)?;
    let first = nodes.iter().filter_map(|connections| connections.first().cloned()).collect();
    let first = Nodes::new(first, Patience::of(GENESIS), Arc::new(Deaf));
    let trust = writer::trust_root(args.genesis.as_deref(), &key, &first).await?;
    let origin = &trust.genesis().origin;
    if !args.write_records_for_ever && !is_for_tests(origin) {
        bail!("{}", must_not_write(origin));
    }
    let document_type = choose_type(trust.genesis(), &key.issuer, args.document_type.as_deref())?;
    let (progress, ledger) = (Progress::new(output, options), trust.ledger_id());
    let (listener, shown) = (progress.listener(), progress.clone());
    let issuer = Issuer { ledger, key, document_type };
    let setting = Setting { nodes, trust, issuer, world: ThisMachine::new(), listener };
    let report = bench::run(options, setting, interruptions()?).await;
    shown.finish();
    let report = report?;
    output.answer(&text::as_json(&report, &ledger.to_string()));
    text::for_people(&report).iter().for_each(|line| output.line(line));
    Ok(report.exit_code())
}

fn connect(args: &BenchArgs, options: &Options) -> Result<Vec<Vec<GrpcNode>>> {
    let connection = Connection { ca: args.connection.ca.as_deref(), insecure: args.connection.insecure };
    let node = |url: &String| -> Result<Vec<GrpcNode>, _> {
        (0..connections(options.in_flight)).map(|_| GrpcNode::new(url, connection)).collect()
    };
    Ok(args.node.iter().map(node).collect::<Result<_, _>>()?)
}

fn must_not_write(origin: &str) -> String {
    format!(
        "the ledger {} is not one for trying things, and what bench anchors are real records that stay in it for ever: \
         use a ledger with devnet, test or testnet as a word of its origin, such as `markstein-node devnet` makes; if \
         you want them in this one all the same, add --write-records-for-ever. Nothing was sent",
        safe(origin)
    )
}

/// The first Ctrl-C ends the run soon, the second one at once. From here on they do nothing else.
fn interruptions() -> Result<watch::Receiver<End>> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(End::No);
    tokio::spawn(async move {
        for end in [End::Soon, End::Now] {
            if interrupts.recv().await.is_some() {
                sender.send_replace(end);
            }
        }
        sender.closed().await;
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_refusal_says_what_to_do() {
        let said = super::must_not_write("neustadt.example/\u{202e}decisions");
        assert!(said.starts_with("the ledger neustadt.example/\\u{202e}decisions is not"), "{said}");
        assert!(said.contains("--write-records-for-ever. Nothing was sent"), "{said}");
    }
}
