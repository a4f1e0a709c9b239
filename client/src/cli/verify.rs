//! `markstein verify`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use markstein_client::{
    scan::receipt_beside,
    text::{safe, safe_path},
    time::{now, rfc3339},
    trust::read_genesis,
    verify::{Reservation, Terms, Verdict, as_of, verify_file, worst},
};
use markstein_proto::{
    LeafIndex, Reason, TimeMs,
    receipt::{StatusEvent, Verified},
    status::Status,
};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{args::VerifyArgs, output::Output};

/// Checks each document, prints a verdict for each, and returns the worst code.
pub fn run(args: &VerifyArgs, output: Output) -> Result<u8> {
    check_receipt(args)?;
    let trust = read_genesis(&args.genesis)?;
    let terms = Terms { now: now(), max_age: args.max_age };
    let check = |file: &PathBuf| {
        let receipt = args.receipt.clone().unwrap_or_else(|| receipt_beside(file));
        let verdict = verify_file(&trust, file, &receipt, terms, args.issuer.as_ref());
        (file.clone(), receipt, verdict)
    };
    let checked: Vec<_> = args.files.par_iter().map(check).collect();
    for (file, _, verdict) in &checked {
        text(file, verdict).iter().for_each(|line| output.line(line));
    }
    let code = worst(checked.iter().map(|(_, _, verdict)| verdict.exit_code()));
    let documents = checked.iter().map(|(file, receipt, verdict)| as_json(file, receipt, verdict));
    output.answer(&json!({ "exit_code": code, "documents": documents.collect::<Vec<_>>() }));
    Ok(code)
}

/// One receipt cannot be that of several documents.
pub(super) fn check_receipt(args: &VerifyArgs) -> Result<()> {
    if args.receipt.is_some() && args.files.len() > 1 {
        bail!("--receipt goes with one document; the receipts of several stand beside them");
    }
    Ok(())
}

/// One line with the verdict, then what it rests on.
pub(super) fn text(file: &Path, verdict: &Verdict) -> Vec<String> {
    let file = safe_path(file);
    match verdict {
        Verdict::NotGenuine(why) => vec![format!("{file}: NOT GENUINE: {}", safe(&why.to_string()))],
        Verdict::CouldNotCheck(why) => vec![format!("{file}: could not check: {}", safe(&why.to_string()))],
        Verdict::Genuine { verified, reservations } => {
            let mut lines = vec![if reservations.is_empty() {
                format!("{file}: genuine and valid")
            } else {
                let why: Vec<String> = reservations.iter().map(reservation).collect();
                format!("{file}: genuine, but {}", why.join(", and "))
            }];
            lines.extend(details(verified));
            lines
        }
    }
}

pub(super) fn reservation(reservation: &Reservation) -> String {
    match reservation {
        Reservation::Status(status) => format!("it was {}", status_word(*status)),
        Reservation::Ended(end) => format!("it was valid until {} only", rfc3339(*end)),
        Reservation::TooOld { age, max } => format!(
            "its status is known only as of {} s ago, more than the {} s that you accept: get a newer receipt",
            age.as_secs(),
            max.as_secs()
        ),
    }
}

fn details(verified: &Verified) -> Vec<String> {
    let names: Vec<String> = verified.vouchers.iter().map(|v| safe(&v.name)).collect();
    let mut lines = vec![
        format!("  issuer       {} ({})", safe(&verified.issuer_name), verified.issuer),
        format!("  type         {}", verified.document_type),
        format!("  anchored     {}", rfc3339(verified.anchored_at)),
    ];
    if let Some(end) = verified.valid_until {
        lines.push(format!("  valid until  {}", rfc3339(end)));
    }
    lines.push(format!("  status       {} as of {}", status_word(verified.status), rfc3339(as_of(verified))));
    lines.extend(
        verified.history.iter().map(|event| format!("  history      {}", event_text(event, verified))),
    );
    if let Some(index) = verified.supersedes {
        lines.push(format!("  replaces     record {index}"));
    }
    if verified.issuer_status != Status::Valid {
        lines.push(
            "  note         the issuer was withdrawn or replaced later; that does not touch this document"
                .into(),
        );
    }
    lines.push(format!(
        "  vouched by   {} of {} authorities, {} needed: {}",
        names.len(),
        verified.authorities,
        verified.quorum,
        names.join(", ")
    ));
    lines.push(format!("  ledger       {}, record {}", verified.ledger, verified.index));
    lines
}

/// When, by whom and why a status changed. A receipt shows changes by the record's own issuer only.
fn event_text(event: &StatusEvent, verified: &Verified) -> String {
    let StatusEvent { status, at, reason, index, .. } = *event;
    change_text((status, at, reason, index), &verified.issuer_name)
}

/// The same for a change that was found in the log.
pub(super) fn change_text(
    (status, at, reason, index): (Status, TimeMs, Option<Reason>, LeafIndex),
    issuer_name: &str,
) -> String {
    let what = match status {
        Status::Valid => "made valid again",
        other => status_word(other),
    };
    let why = match reason {
        Some(reason) => reason_text(reason).to_owned(),
        None => format!("replaced by record {index}"),
    };
    format!("{what} on {} by {}: {why}", rfc3339(at), safe(issuer_name))
}

/// Why a status was changed, in plain words.
pub(super) const fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::IssuedInError => "it was issued in error",
        Reason::Unlawful => "it was found unlawful",
        Reason::ConditionsNotMet => "its conditions are not met",
        Reason::HolderRequest => "its holder asked for it",
        Reason::CourtOrder => "a court ordered it",
        Reason::Appeal => "somebody appealed against it",
        Reason::UnderReview => "it is under review",
        Reason::Resolved => "what it was suspended for no longer stands",
        Reason::Other => "another reason",
    }
}

pub(super) const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Valid => "valid",
        Status::Revoked => "revoked",
        Status::Suspended => "suspended",
        Status::Superseded => "superseded",
    }
}

pub(super) fn as_json(file: &Path, receipt: &Path, verdict: &Verdict) -> Value {
    let mut value = match verdict {
        Verdict::NotGenuine(why) => json!({ "verdict": "not_genuine", "reason": why.to_string() }),
        Verdict::CouldNotCheck(why) => json!({ "verdict": "could_not_check", "reason": why.to_string() }),
        Verdict::Genuine { verified, reservations } => {
            let word = if reservations.is_empty() { "genuine" } else { "genuine_but" };
            let reasons: Vec<String> = reservations.iter().map(reservation).collect();
            let reason = (!reasons.is_empty()).then(|| reasons.join(", and "));
            json!({ "verdict": word, "reason": reason, "proof": proof(verified) })
        }
    };
    value["file"] = file.to_string_lossy().into();
    value["receipt"] = receipt.to_string_lossy().into();
    value["exit_code"] = verdict.exit_code().into();
    value
}

pub(super) fn proof(verified: &Verified) -> Value {
    let vouchers = verified.vouchers.iter().map(|v| json!({ "id": v.id.as_str(), "name": v.name }));
    let history = verified.history.iter().map(|event| {
        json!({
            "status": status_word(event.status),
            "at": rfc3339(event.at),
            "by": verified.issuer.as_str(),
            "reason": event.reason.map(Reason::as_str),
            "index": event.index.0,
            "height": event.height.0,
        })
    });
    json!({
        "ledger": verified.ledger.to_string(),
        "issuer": verified.issuer.as_str(),
        "issuer_name": verified.issuer_name,
        "issuer_status": status_word(verified.issuer_status),
        "document_type": verified.document_type.as_str(),
        "public": verified.public,
        "anchored_at": rfc3339(verified.anchored_at),
        "valid_until": verified.valid_until.map(rfc3339),
        "status": status_word(verified.status),
        "as_of": rfc3339(as_of(verified)),
        "history": history.collect::<Vec<_>>(),
        "supersedes": verified.supersedes.map(|index| index.0),
        "index": verified.index.0,
        "height": verified.height.0,
        "log_size": verified.log_size.0,
        "epoch": verified.epoch.0,
        "vouched_by": vouchers.collect::<Vec<_>>(),
        "authorities": verified.authorities,
        "quorum": verified.quorum,
    })
}
