//! `markstein verify --online`.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use markstein_client::{
    memory::MemoryError,
    online::{Online, check},
    refresh::Fork,
    scan::receipt_beside,
    text::safe,
    time::now,
    trust::read_genesis,
    verify::{Terms, worst},
};
use serde_json::{Value, json};

use super::{
    FORKED,
    args::VerifyArgs,
    evidence,
    output::Output,
    progress::Progress,
    refresh::open,
    verify::{as_json, check_receipt, text},
};

/// Checks each document by what nodes say today, and returns the worst code.
pub async fn run(args: VerifyArgs, output: Output) -> Result<u8> {
    check_receipt(&args)?;
    let trust = read_genesis(&args.genesis)?;
    let progress = Arc::new(Progress::new(output));
    let (refresher, memory) = open(&args.node, &args.asking, trust, progress).await?;
    let terms = Terms::online(now(), args.max_age);
    let (mut documents, mut codes, mut fork) = (Vec::new(), Vec::new(), None);
    for file in &args.files {
        let receipt = args.receipt.clone().unwrap_or_else(|| receipt_beside(file));
        // What was named must be read; one beside the document may be missing.
        let is_there = args.receipt.is_some() || receipt.symlink_metadata().is_ok();
        match check(&refresher, file, is_there.then_some(receipt.as_path()), terms).await {
            Ok(online) => {
                show(file, &online, output);
                codes.push(online.verdict.exit_code());
                let mut value = as_json(file, &receipt, &online.verdict);
                value["node"] = online.node.as_deref().into();
                value["other_records"] = online.others.iter().map(|it| it.index.0).collect();
                value["wrong"] = online.wrong.clone().into();
                documents.push(value);
            }
            Err(found) => {
                fork = Some(found);
                break;
            }
        }
    }
    if let (None, Some(seen)) = (&fork, refresher.seen()) {
        match memory.remember(&seen) {
            Err(MemoryError::Forked(kept)) => {
                let conflict = kept.conflict(&seen);
                fork = Some(Box::new(Fork::new(conflict, &kept, &seen, Vec::new(), "a node of this run")));
            }
            kept => kept?,
        }
    }
    let (mut code, mut shown) = (worst(codes), Value::Null);
    if let Some(fork) = fork {
        let kept = evidence::keep(&fork, refresher.trust(), &memory)?;
        let loud = Output { quiet: false, ..output };
        evidence::tell(&fork, &kept, output).iter().for_each(|line| loud.note(line));
        (code, shown) = (FORKED, evidence::as_json(&fork, &kept));
    }
    output.answer(&json!({ "exit_code": code, "documents": documents, "fork": shown }));
    Ok(code)
}

fn show(file: &Path, online: &Online, output: Output) {
    text(file, &online.verdict).iter().for_each(|line| output.line(line));
    if let Some(node) = &online.node {
        output.line(format!("  asked        {}", safe(node)));
    }
    for wrong in &online.wrong {
        output.line(format!("  note         {}", safe(wrong)));
    }
    for other in &online.others {
        let name = safe(&other.issuer_name);
        output.line(format!(
            "  note         {name} ({}) anchored it, too, as record {}",
            other.issuer, other.index
        ));
    }
}
