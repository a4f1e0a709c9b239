//! `pool`: what waits in a running node, and what of it its operator drops.

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use markstein_node::api::operators::{Operators, PooledBatch};
use markstein_node::config::NodeConfig;
use markstein_node::server::read_address_file;
use markstein_proto::{BatchId, Hash, TimeMs};

use super::ConfigArgs;

/// Batches that are asked for, and dropped, at once.
const PAGE: u32 = 1000;

#[derive(Subcommand)]
pub(super) enum PoolCommand {
    /// List the batches that this node holds and that are not decided, oldest first, and what each waits for
    List(ListArgs),
    /// Drop batches from this node. Nothing is decided about them: another node may still hold them, and their issuers are
    /// told that this one dropped them. This node does not take them again
    Drop(DropArgs),
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    filter: Filter,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    filter: Filter,
    /// Ids of batches, as `pool list` prints them
    #[arg(value_name = "BATCH", value_parser = batch_id, conflicts_with_all = ["waiting", "issuer"])]
    batches: Vec<BatchId>,
}

#[derive(Args)]
struct Filter {
    /// Only those that wait for something of their own, and are not to go into one of the next blocks
    #[arg(long)]
    waiting: bool,
    /// Only those of this issuer
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
}

impl Filter {
    fn takes(&self, batch: &PooledBatch) -> bool {
        (!self.waiting || batch.waits.is_some())
            && self.issuer.as_ref().is_none_or(|issuer| *issuer == batch.issuer)
    }
}

pub(super) fn run(command: PoolCommand) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            PoolCommand::List(args) => list(&args).await,
            PoolCommand::Drop(args) => drop_batches(&args).await,
        }
    })
}

async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let mut operators = connect(&args.config).await?;
    let (mut count, mut bytes) = (0_u64, 0);
    for batch in all(&mut operators, &args.filter).await? {
        if args.json {
            println!("{}", json(&batch));
        } else {
            println!("{}", line(&batch));
        }
        (count, bytes) = (count + 1, bytes + batch.bytes);
    }
    if !args.json {
        println!("{count} batches, {bytes} bytes");
    }
    Ok(ExitCode::SUCCESS)
}

async fn drop_batches(args: &DropArgs) -> anyhow::Result<ExitCode> {
    let mut ids: Vec<BatchId> = args.batches.clone();
    if ids.is_empty() && !args.filter.waiting && args.filter.issuer.is_none() {
        bail!("name the batches to drop, or say --waiting, --issuer ISSUER, or both");
    }
    let mut operators = connect(&args.config).await?;
    if ids.is_empty() {
        let found = all(&mut operators, &args.filter).await?;
        ids = found.iter().map(|batch| batch.id).collect();
    }
    let mut dropped = 0;
    for part in ids.chunks(PAGE as usize) {
        for id in operators.drop_pooled(part).await? {
            println!("dropped {id}");
            dropped += 1;
        }
    }
    println!(
        "{dropped} of {} batches dropped; their issuers are told so, and other nodes may still hold them",
        ids.len()
    );
    Ok(if dropped == ids.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn all(operators: &mut Operators, filter: &Filter) -> anyhow::Result<Vec<PooledBatch>> {
    let (mut found, mut cursor) = (Vec::new(), 0);
    loop {
        let (batches, next) = operators.list_pool(cursor, PAGE, filter.waiting).await?;
        found.extend(batches.into_iter().filter(|batch| filter.takes(batch)));
        if next == 0 {
            return Ok(found);
        }
        cursor = next;
    }
}

/// Connects with the operators' listener of the node that runs with this configuration.
async fn connect(config: &ConfigArgs) -> anyhow::Result<Operators> {
    let config = NodeConfig::load(&config.config)?;
    if config.operator.listener.tls.is_some() {
        bail!(
            "the operators' listener of this node speaks TLS, which this command does not: call ListPool and DropPooled \
             of markstein.v1.Operations there with a gRPC tool"
        );
    }
    let url = match &config.api.address_file {
        Some(path) => match read_address_file(path)? {
            Some(file) => file.operator,
            None => bail!("{} is not there: the node does not run", path.display()),
        },
        None => format!("http://{}", config.operator.listener.address),
    };
    Operators::connect(&url).await.with_context(|| format!("the node does not answer its operator at {url}"))
}

fn batch_id(text: &str) -> Result<BatchId, String> {
    let bytes = hex::decode(text).map_err(|_| "a batch id is 64 hexadecimal digits".to_owned())?;
    Hash::try_from(bytes.as_slice())
        .map(BatchId)
        .map_err(|_| "a batch id is 64 hexadecimal digits".to_owned())
}

fn line(batch: &PooledBatch) -> String {
    let made = TimeMs(batch.created_at_ms);
    let mut line = format!(
        "{} {} {} records, {} bytes, made {}",
        batch.id,
        batch.issuer,
        batch.records,
        batch.bytes,
        time(made)
    );
    if let Some(waits) = &batch.waits {
        line = format!(
            "{line}\n    waits ({}): {}; decided after {}",
            waits.reason,
            waits.message,
            time(TimeMs(waits.decided_after_ms))
        );
    }
    line
}

fn json(batch: &PooledBatch) -> serde_json::Value {
    serde_json::json!({
        "batch_id": batch.id.to_string(),
        "issuer": batch.issuer,
        "records": batch.records,
        "bytes": batch.bytes,
        "created_at_ms": batch.created_at_ms,
        "waits": batch.waits.as_ref().map(|waits| serde_json::json!({
            "reason": waits.reason,
            "message": waits.message,
            "decided_after_ms": waits.decided_after_ms,
        })),
    })
}

fn time(time: TimeMs) -> String {
    i64::try_from(time.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .map_or_else(|| format!("{} ms", time.0), |time| format!("{time:.0}"))
}
