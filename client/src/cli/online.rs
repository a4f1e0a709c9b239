//! `markstein verify --online`.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use markstein_client::{
    memory::MemoryError,
    offices::Office,
    online::{Online, check},
    refresh::Fork,
    scan::receipt_beside,
    text::safe,
    time::{now, rfc3339},
    trust::read_genesis,
    verify::{Terms, Verdict, worst},
};
use markstein_proto::receipt::Verified;
use serde_json::{Value, json};

use super::{
    FORKED,
    args::VerifyArgs,
    evidence,
    output::Output,
    progress::Progress,
    refresh::open,
    verify::{as_json, check_receipt, proof, reservation, status_word, text},
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
        let at_hand = is_there.then_some(receipt.as_path());
        match check(&refresher, file, at_hand, terms, args.issuer.as_ref()).await {
            Ok(online) => {
                show(file, &online, output);
                codes.push(online.verdict.exit_code());
                let mut value = as_json(file, &receipt, &online.verdict);
                value["node"] = online.node.as_deref().into();
                add_offices(&mut value, &online.offices);
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
    // One that agrees with itself was shown above.
    let is_shown = online.offices.len() == 1;
    for Office { verified, verdict, others, .. } in &online.offices {
        let name = safe(&verified.issuer_name);
        if !is_shown {
            let (id, index) = (&verified.issuer, verified.index);
            output.line(format!(
                "  anchored by  {name} ({id}): {}, record {index}",
                standing(verified, verdict)
            ));
        }
        for other in others {
            output.line(format!(
                "  note         {name} ({}) anchored it, too, as record {}, which is {}",
                other.issuer,
                other.index,
                status_word(other.status)
            ));
        }
    }
}

/// How a document stands with an issuer, in a few words.
fn standing(verified: &Verified, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Genuine { reservations, .. } if reservations.is_empty() => "valid".into(),
        Verdict::Genuine { reservations, .. } => {
            let since = verified.history.last().map(|event| format!(" on {}", rfc3339(event.at)));
            let why: Vec<String> = reservations.iter().map(reservation).collect();
            format!("{}{}", why.join(", and "), since.unwrap_or_default())
        }
        Verdict::NotGenuine(why) => safe(&why.to_string()),
        Verdict::CouldNotCheck(why) => safe(&why.to_string()),
    }
}

/// All issuers with their records, the worst first.
fn add_offices(value: &mut Value, offices: &[Office]) {
    let record = |it: &Verified| json!({ "index": it.index.0, "status": status_word(it.status) });
    let office = |office: &Office| {
        let Office { verified, verdict, others, node } = office;
        json!({
            "issuer": verified.issuer.as_str(),
            "issuer_name": verified.issuer_name,
            "exit_code": verdict.exit_code(),
            "standing": standing(verified, verdict),
            "proof": proof(verified),
            "node": node,
            "other_records": others.iter().map(record).collect::<Vec<_>>(),
        })
    };
    if let Some(worst) = offices.first() {
        value["proof"] = proof(&worst.verified); // also where issuers differ: it speaks of its own issuer
    }
    let others =
        offices.iter().skip(1).map(|it| &it.verified).chain(offices.iter().flat_map(|it| &it.others));
    value["other_records"] = others.map(|it| it.index.0).collect();
    value["issuers"] = offices.iter().map(office).collect();
}
