//! `markstein status`.

use std::time::Duration;

use anyhow::Result;
use markstein_client::{
    api::{AuthorityStatus, Role, StatusResponse},
    connect::{Connection, GrpcNode},
    node::NodeError,
    text::safe,
    time::rfc3339,
};
use markstein_proto::TimeMs;
use serde_json::{Value, json};

use super::{args::StatusArgs, output::Output};

const UNREACHABLE: u8 = 2;
const NOT_SERVING: u8 = 3;

/// Asks each node and shows its answer.
pub async fn run(args: &StatusArgs, output: Output) -> Result<u8> {
    let connection = Connection { ca: args.connection.ca.as_deref(), insecure: args.connection.insecure };
    let nodes = args.node.iter().map(|url| GrpcNode::new(url, connection));
    let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
    let (mut codes, mut values) = (Vec::new(), Vec::new());
    for (url, node) in args.node.iter().zip(nodes) {
        let answer = node.status().await;
        text(url, &answer).iter().for_each(|line| output.line(line));
        codes.push(match &answer {
            Ok(status) if status.serving => 0,
            Ok(_) => NOT_SERVING,
            Err(_) => UNREACHABLE,
        });
        values.push(as_json(url, &answer));
    }
    output.answer(&json!({ "nodes": values }));
    let worst = [UNREACHABLE, NOT_SERVING].into_iter().find(|code| codes.contains(code));
    Ok(worst.unwrap_or(0))
}

fn text(url: &str, answer: &Result<StatusResponse, NodeError>) -> Vec<String> {
    let status = match answer {
        Ok(status) => status,
        Err(e) => return vec![format!("{}: cannot be asked: {}", safe(url), safe(&e.message))],
    };
    let verdict = if status.serving { "serving" } else { "NOT SERVING" };
    let mut lines = vec![format!("{}: {verdict}", safe(url))];
    if !status.condition.is_empty() {
        lines.push(format!("  condition    {}", safe(&status.condition)));
    }
    lines.push(format!(
        "  node         {} ({}, release {})",
        safe(&status.node),
        role(status),
        safe(&status.version)
    ));
    lines.push(format!("  ledger       {} ({})", hex::encode(&status.ledger_id), safe(&status.origin)));
    lines.push(format!("  block        {} of {}", status.height, moment(status.block_time_ms)));
    lines.push(format!(
        "  log          {} leaves, checkpoint as of {}",
        status.log_size,
        moment(status.checkpoint_as_of_ms)
    ));
    lines.push(format!("  pool         {} batches, {} bytes", status.pool_batches, status.pool_bytes));
    lines.push(format!("  up           {} s", Duration::from_millis(status.uptime_ms).as_secs()));
    lines.push(format!("  authorities  {}, quorum {}", status.authorities.len(), status.quorum));
    let width = status.authorities.iter().map(|a| a.authority_id.chars().count()).max().unwrap_or(0);
    lines.extend(status.authorities.iter().map(|a| authority(a, width)));
    lines
}

fn authority(a: &AuthorityStatus, width: usize) -> String {
    let where_ = match (a.here, a.connected) {
        (true, _) => "this node",
        (false, true) => "connected",
        (false, false) => "AWAY",
    };
    format!(
        "    {:width$}  {where_:9}  block {}, cosigned {} at {}  {}",
        safe(&a.authority_id),
        a.height,
        a.cosigned_size,
        moment(a.cosigned_at_ms),
        safe(&a.name)
    )
}

fn role(status: &StatusResponse) -> &'static str {
    match status.role() {
        Role::Authority => "authority",
        Role::Observer => "observer",
        Role::Unspecified => "role unknown",
    }
}

fn moment(ms: u64) -> String {
    if ms == 0 { "never".into() } else { rfc3339(TimeMs(ms)) }
}

fn as_json(url: &str, answer: &Result<StatusResponse, NodeError>) -> Value {
    let status = match answer {
        Ok(status) => status,
        Err(e) => return json!({ "url": url, "reachable": false, "serving": false, "error": e.message }),
    };
    let authority = |a: &AuthorityStatus| {
        json!({
            "id": a.authority_id,
            "name": a.name,
            "here": a.here,
            "connected": a.connected,
            "height": a.height,
            "cosigned_size": a.cosigned_size,
            "cosigned_at_ms": a.cosigned_at_ms,
        })
    };
    json!({
        "url": url,
        "reachable": true,
        "serving": status.serving,
        "condition": status.condition,
        "version": status.version,
        "ledger": hex::encode(&status.ledger_id),
        "origin": status.origin,
        "node": status.node,
        "role": role(status),
        "epoch": status.epoch,
        "view": status.view,
        "height": status.height,
        "block_id": hex::encode(&status.block_id),
        "log_size": status.log_size,
        "block_time_ms": status.block_time_ms,
        "checkpoint_as_of_ms": status.checkpoint_as_of_ms,
        "pool_batches": status.pool_batches,
        "pool_bytes": status.pool_bytes,
        "quorum": status.quorum,
        "authorities": status.authorities.iter().map(authority).collect::<Vec<_>>(),
        "uptime_ms": status.uptime_ms,
        "clock_ms": status.clock_ms,
    })
}
