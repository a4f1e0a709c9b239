//! `markstein receipt evidence`, and how two histories of one ledger are told.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use markstein_client::{
    evidence::{self, Finding},
    memory::Memory,
    refresh::Fork,
    seen::{Conflict, SeenLog},
    text::{safe, safe_path},
    time::rfc3339,
    trust::read_genesis,
};
use markstein_proto::{TimeMs, receipt::TrustRoot, receipt::Voucher};
use serde_json::{Value, json};

use super::{FAILED, args::ReceiptEvidenceArgs, output::Output};

/// Checks a file of evidence.
pub fn run(args: &ReceiptEvidenceArgs, output: Output) -> Result<u8> {
    let trust = read_genesis(&args.genesis)?;
    let (code, verdict, lines) = match evidence::check_file(&args.file, &trust) {
        Ok(finding) => {
            let proven = finding.conflict.is_some();
            let (code, word) = if proven { (0, "two_logs") } else { (3, "not_linked") };
            (code, logs_json(word, finding.conflict, &finding.older, &finding.newer), found(&finding))
        }
        Err(e) => {
            let (code, word, text) = match e.is_verdict() {
                true => (1, "no_evidence", "NO EVIDENCE"),
                false => (FAILED, "could_not_check", "could not check"),
            };
            (
                code,
                json!({ "verdict": word, "reason": e.to_string() }),
                vec![format!("{text}: {}", safe(&e.to_string()))],
            )
        }
    };
    lines.iter().for_each(|line| output.line(line));
    output.answer(&merged(verdict, json!({ "exit_code": code, "ledger": trust.ledger_id().to_string() })));
    Ok(code)
}

fn found(finding: &Finding) -> Vec<String> {
    let Finding { conflict, older, newer, signed_both } = finding;
    let mut lines = vec![match conflict {
        Some(conflict) => format!("TWO LOGS: a quorum signed two logs of this ledger that exclude each other: {}.", excluded(*conflict)),
        None => "NOT LINKED: a quorum signed both logs, and nothing in this file shows that the longer one extends the \
            shorter one. If they are one log, every honest authority can prove it: ask for that proof."
            .to_owned(),
    }];
    lines.extend(both(older, newer));
    lines.push(format!("  signed both  {}", names(signed_both)));
    lines
}

/// Keeps the evidence; where that fails, both checkpoints are told at least.
pub(super) fn keep(fork: &Fork, trust: &TrustRoot, memory: &Memory) -> Result<PathBuf> {
    let kept = evidence::keep(&memory.evidence(), fork, trust);
    kept.with_context(|| {
        format!(
            "the ledger shows two histories, and the evidence cannot be kept; these are the two checkpoints:\n{}\n{}",
            fork.older.receipt().checkpoint,
            fork.newer.receipt().checkpoint
        )
    })
}

/// Two histories in plain words.
pub(super) fn tell(fork: &Fork, kept: &Path, output: Output) -> Vec<String> {
    if output.json {
        return vec![format!("markstein: the ledger shows two histories, kept in {}", safe_path(kept))];
    }
    let (older, newer, node) = (fork.older.size(), fork.newer.size(), safe(&fork.node));
    let mut lines = match fork.conflict {
        Some(conflict) => vec![
            format!("TWO HISTORIES: the authorities signed two logs of this ledger that exclude each other: {}.", excluded(conflict)),
            format!("A ledger has one history; {node} shows another one than was seen before."),
        ],
        None => vec![
            format!("TWO HISTORIES? {node} shows a log of {newer} leaves and cannot show that it extends the log of {older} leaves seen before."),
            "Either the authorities signed two logs, or its proof is wrong: then another --node gives a good one.".into(),
        ],
    };
    lines.extend(both(&fork.older, &fork.newer));
    lines.push(format!("  signed both  {}", names(&fork.older.signed_both(&fork.newer))));
    lines.push(format!("Both are kept in {}.", safe_path(kept)));
    lines.push(
        "Give that file to the authorities and to others who rely on this ledger; anybody can check it with `markstein \
         receipt evidence`. Nothing that came with it was taken."
            .into(),
    );
    lines
}

fn excluded(conflict: Conflict) -> String {
    match conflict {
        Conflict::Roots => "they have one size and different roots".into(),
        Conflict::Beginning => "the longer one begins with other leaves than the shorter one has".into(),
        Conflict::Leaves(index) => format!("they have different leaves at place {index}"),
    }
}

fn both(older: &SeenLog, newer: &SeenLog) -> [String; 2] {
    [("  one log    ", older), ("  other log  ", newer)].map(|(name, log)| {
        format!("{name}  {} leaves as of {}, signed by {}", log.size(), as_of(log), names(log.vouchers()))
    })
}

fn names(vouchers: &[Voucher]) -> String {
    let names: Vec<String> = vouchers.iter().map(|it| format!("{} ({})", safe(&it.name), it.id)).collect();
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}

fn as_of(log: &SeenLog) -> String {
    rfc3339(TimeMs(log.as_of_s().saturating_mul(1000)))
}

/// The same for programs.
pub(super) fn as_json(fork: &Fork, kept: &Path) -> Value {
    let word = if fork.conflict.is_some() { "two_logs" } else { "not_linked" };
    let logs = logs_json(word, fork.conflict, &fork.older, &fork.newer);
    merged(logs, json!({ "node": fork.node, "evidence": kept.to_string_lossy() }))
}

fn logs_json(verdict: &str, conflict: Option<Conflict>, older: &SeenLog, newer: &SeenLog) -> Value {
    let ids = |vouchers: &[Voucher]| vouchers.iter().map(|it| it.id.to_string()).collect::<Vec<_>>();
    let log = |log: &SeenLog| {
        json!({
            "size": log.size().0,
            "root": log.root().to_string(),
            "as_of": as_of(log),
            "signed_by": ids(log.vouchers()),
            "checkpoint": log.receipt().checkpoint,
        })
    };
    json!({
        "verdict": verdict,
        "reason": conflict.map(excluded),
        "older": log(older),
        "newer": log(newer),
        "signed_both": ids(&older.signed_both(newer)),
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}
