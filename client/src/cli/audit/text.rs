//! What an audit came to, for people and for programs.

use std::path::Path;

use markstein_client::{
    audit::{
        replay::{Total, Written},
        report::{Finding, NodeReport, Report, Verdict},
    },
    text::{safe, safe_path},
    time::rfc3339,
};
use markstein_proto::{Hash, IssuerId, TimeMs};
use serde_json::{Value, json};

/// Batches listed one by one for people; of more only the number is told.
const LISTED: usize = 20;

/// Which ledger.
pub struct Head {
    pub origin: String,
    pub ledger: String,
}

/// The report, line by line.
pub fn lines(head: &Head, report: &Report) -> Vec<String> {
    let mut lines = vec![format!("Ledger {} ({})", &head.ledger[..16], head.origin)];
    lines.extend(report.nodes.iter().map(|node| of_node(node, report.size)));
    lines.extend(audited(report));
    lines.extend(report.watched.iter().map(|(issuer, total)| of_issuer(issuer, total)));
    lines.extend(report.written.iter().take(LISTED).map(|w| format!("  new: {}", of_written(w))));
    let more = report.written.len().saturating_sub(LISTED) as u64 + report.untold;
    if more > 0 {
        lines.push(format!("  new: {} more", batches(more)));
    }
    lines.extend(report.findings.iter().map(|finding| format!("  ! {}", of_finding(finding))));
    lines.push(verdict(report.verdict()).into());
    lines
}

fn of_node(node: &NodeReport, size: u64) -> String {
    let Some(view) = &node.view else { return format!("  {}  no checkpoint that counts", safe(&node.url)) };
    let signers = view.signers().iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ");
    let behind = size.saturating_sub(view.size());
    let behind = if behind > 0 { format!(", {} behind", grouped(behind)) } else { String::new() };
    format!(
        "  {}  {} leaves{behind}, as of {}, signed by {signers}",
        safe(&node.url),
        grouped(view.size()),
        rfc3339(view.as_of())
    )
}

fn audited(report: &Report) -> Vec<String> {
    let Some((height, time)) = report.tip else { return vec!["Nothing is audited yet.".into()] };
    let c = report.counts;
    let mut lines = vec![
        format!(
            "Audited {} leaves up to block {height} of {}, root {}",
            grouped(report.size),
            rfc3339(time),
            report.root
        ),
        format!(
            "  {} in {}, {}, {}",
            records(c.records),
            batches(c.batches),
            many(c.blocks, "block", "blocks"),
            many(c.status_changes, "change of a status", "changes of a status")
        ),
    ];
    let known = report.size - report.new_leaves;
    let before = if known > 0 { format!("; {} leaves were known", grouped(known)) } else { String::new() };
    lines.push(format!(
        "  this time {} and {} bytes in {:.1} s, {} records/s{before}",
        records(report.new.records),
        grouped(report.bytes),
        report.elapsed.as_secs_f32(),
        grouped(report.records_per_second())
    ));
    lines
}

fn of_issuer(issuer: &IssuerId, total: &Total) -> String {
    if total.batches == 0 {
        return format!("  {issuer} has written nothing");
    }
    format!(
        "  {issuer} has written {} in {}, the last at {}",
        records(total.records),
        batches(total.batches),
        rfc3339(total.last)
    )
}

fn of_written(w: &Written) -> String {
    format!(
        "{} wrote {} from leaf {} in block {} of {}, batch {}",
        w.issuer,
        records(w.records.into()),
        w.first,
        w.height,
        rfc3339(w.time),
        w.batch
    )
}

fn of_finding(finding: &Finding) -> String {
    let node = finding.node.as_ref().map(|node| format!("{}: ", safe(node))).unwrap_or_default();
    let evidence =
        finding.evidence.as_ref().map(|e| format!("; evidence: {}", safe_path(e))).unwrap_or_default();
    format!("{node}{}{evidence}", safe(&finding.message))
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Sound => {
            "SOUND: every root, header, signature and status is as it must be, and all nodes show this ledger."
        }
        Verdict::Doubtful => {
            "sound, but: all of it is as it must be, and not all could be compared; see above."
        }
        Verdict::NotAudited => "COULD NOT AUDIT to the end. What was audited is kept; see above.",
        Verdict::Wrong => "WRONG: see above. Tell the authorities, and those who rely on this ledger.",
        Verdict::Fork => "FORK: the authorities signed two ledgers. Keep the evidence, and publish it.",
    }
}

/// An alert as a line for people.
pub fn alert_line(alert: &Alert<'_>, now: TimeMs) -> String {
    let what = match alert {
        Alert::Found(finding) => of_finding(finding),
        Alert::Written(written) => of_written(written),
        Alert::Untold { batches: count, .. } => format!("issuers under watch wrote {} more", batches(*count)),
    };
    format!("ALERT {} {}: {what}", rfc3339(now), alert.word())
}

/// Something to tell at once.
#[derive(Clone, Copy, Debug)]
pub enum Alert<'a> {
    Found(&'a Finding),
    Written(&'a Written),
    /// So many batches more, in a log of this size.
    Untold {
        batches: u64,
        size: u64,
    },
}

impl Alert<'_> {
    const fn word(&self) -> &'static str {
        match self {
            Self::Found(finding) => finding.kind.word(),
            Self::Written(_) | Self::Untold { .. } => "written",
        }
    }

    /// What tells alerts apart: of what was written it is the same in every run, however often it is told; a finding that is
    /// told anew has another one.
    fn id(&self, head: &Head, now: TimeMs) -> String {
        let what = match self {
            Self::Found(Finding { kind, node, message, .. }) => {
                let node = node.as_deref().unwrap_or_default();
                format!("{}\n{node}\n{message}\n{}", kind.word(), now.0)
            }
            Self::Written(written) => written.batch.to_string(),
            Self::Untold { batches, size } => format!("{batches} more of {size}"),
        };
        Hash::of(&[format!("{}\n{}\n{what}", head.ledger, self.word()).as_bytes()]).to_string()[..32]
            .to_owned()
    }

    pub fn as_json(&self, head: &Head, now: TimeMs) -> Value {
        let mut value = match self {
            Self::Found(finding) => finding_json(finding),
            Self::Written(written) => written_json(written),
            Self::Untold { batches, .. } => json!({ "batches": batches }),
        };
        value["id"] = self.id(head, now).into();
        value["event"] = "alert".into();
        value["kind"] = self.word().into();
        value["ledger"] = head.ledger.as_str().into();
        value["at"] = rfc3339(now).into();
        value
    }
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.word(),
        "node": finding.node,
        "message": finding.message,
        "evidence": finding.evidence.as_ref().map(|path| path.to_string_lossy()),
    })
}

fn written_json(w: &Written) -> Value {
    json!({
        "issuer": w.issuer.as_str(),
        "batch": w.batch.to_string(),
        "first_index": w.first.0,
        "records": w.records,
        "height": w.height.0,
        "block_time": rfc3339(w.time),
    })
}

/// The report for programs.
pub fn as_json(head: &Head, report: &Report, state: &Path) -> Value {
    let node = |node: &NodeReport| {
        let view = node.view.as_ref();
        json!({
            "url": node.url,
            "size": view.map(|v| v.size()),
            "root": view.map(|v| v.root().to_string()),
            "as_of": view.map(|v| rfc3339(v.as_of())),
            "signed_by": view.map(|v| v.signers().iter().map(|id| id.as_str()).collect::<Vec<_>>()),
        })
    };
    let watched = |(issuer, total): &(IssuerId, Total)| {
        let last = (total.batches > 0).then(|| rfc3339(total.last));
        json!({ "issuer": issuer.as_str(), "batches": total.batches, "records": total.records, "last": last })
    };
    let counts = |c: markstein_client::audit::replay::Counts| {
        json!({
            "blocks": c.blocks,
            "batches": c.batches,
            "records": c.records,
            "status_changes": c.status_changes,
        })
    };
    let mut this_run = counts(report.new);
    this_run["leaves"] = report.new_leaves.into();
    this_run["bytes"] = report.bytes.into();
    this_run["seconds"] = report.elapsed.as_secs_f64().into();
    this_run["records_per_second"] = report.records_per_second().into();
    json!({
        "verdict": report.verdict().word(),
        "exit_code": report.verdict().exit_code(),
        "ledger": head.ledger,
        "origin": head.origin,
        "size": report.size,
        "root": report.root.to_string(),
        "height": report.tip.map(|(height, _)| height.0),
        "block_time": report.tip.map(|(_, time)| rfc3339(time)),
        "as_of": report.as_of.map(rfc3339),
        "audited": counts(report.counts),
        "this_run": this_run,
        "nodes": report.nodes.iter().map(node).collect::<Vec<_>>(),
        "findings": report.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "watched": report.watched.iter().map(watched).collect::<Vec<_>>(),
        "written": report.written.iter().map(written_json).collect::<Vec<_>>(),
        "written_more": report.untold,
        "state": state.to_string_lossy(),
    })
}

/// So many of something.
fn many(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { more })
}

fn batches(number: u64) -> String {
    many(number, "batch", "batches")
}

fn records(number: u64) -> String {
    many(number, "record", "records")
}

/// A number with a comma between groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use markstein_client::audit::{replay::Counts, report::FindingKind};
    use markstein_proto::{BatchId, Height, LeafIndex};

    use super::*;

    fn report() -> Report {
        Report {
            nodes: vec![NodeReport { url: "http://a".into(), view: None }],
            findings: vec![Finding {
                kind: FindingKind::Unreachable,
                node: Some("http://a".into()),
                message: "away\u{1b}[2J".into(),
                evidence: None,
            }],
            size: 1_234_567,
            root: Hash([1; 32]),
            tip: Some((Height(9), TimeMs(1_795_000_000_000))),
            as_of: None,
            counts: Counts { blocks: 10, batches: 3, records: 1_200_000, status_changes: 2 },
            new: Counts { records: 600_000, ..Counts::default() },
            new_leaves: 600_100,
            bytes: 5_000_000,
            elapsed: Duration::from_secs(3),
            watched: vec![],
            written: vec![],
            untold: 0,
            complete: true,
        }
    }

    #[test]
    fn a_report_is_told_in_plain_words() {
        let head = Head { origin: "neustadt.example/x".into(), ledger: "07".repeat(32) };
        let expected = format!(
            "Ledger 0707070707070707 (neustadt.example/x)\n\
             \x20 http://a  no checkpoint that counts\n\
             Audited 1,234,567 leaves up to block 9 of 2026-11-18T11:06:40Z, root {}\n\
             \x20 1,200,000 records in 3 batches, 10 blocks, 2 changes of a status\n\
             \x20 this time 600,000 records and 5,000,000 bytes in 3.0 s, 200,000 records/s; 634,467 leaves were known\n\
             \x20 ! http://a: away\\u{{1b}}[2J\n\
             {}",
            "01".repeat(32),
            verdict(Verdict::Doubtful)
        );
        assert_eq!(lines(&head, &report()).join("\n"), expected);
        let json = as_json(&head, &report(), Path::new("s"));
        assert_eq!(
            (json["exit_code"].as_u64(), json["findings"][0]["kind"].as_str()),
            (Some(3), Some("unreachable"))
        );
    }

    #[test]
    fn what_was_written_has_one_id_whenever_it_is_told_and_nothing_else_has_it() {
        let head = Head { origin: "neustadt.example/x".into(), ledger: "07".repeat(32) };
        let written = |batch| Written {
            issuer: IssuerId::new("permits.example").unwrap_or_else(|e| panic!("{e}")),
            batch: BatchId(Hash([batch; 32])),
            first: LeafIndex(4),
            records: 2,
            height: Height(9),
            time: TimeMs(1_795_000_000_000),
        };
        let id = |alert: &Alert<'_>, now| {
            alert.as_json(&head, TimeMs(now))["id"].as_str().unwrap_or_default().to_owned()
        };
        let (one, other) = (written(1), written(2));
        let (first, again) = (id(&Alert::Written(&one), 1), id(&Alert::Written(&one), 2));
        assert_eq!((first.len(), &first), (32, &again));
        assert_ne!(first, id(&Alert::Written(&other), 1));
        let more = |batches, size| id(&Alert::Untold { batches, size }, 1);
        assert!(more(3, 9) == more(3, 9) && more(3, 9) != more(4, 9) && more(3, 9) != more(3, 10));
        let found = &report().findings[0];
        assert_ne!(id(&Alert::Found(found), 1000), id(&Alert::Found(found), 2000), "it was gone in between");
    }

    #[test]
    fn the_worst_decides() {
        let mut report = report();
        for (kind, code) in [
            (FindingKind::Stale, 3),
            (FindingKind::Incomplete, 2),
            (FindingKind::WrongTile, 1),
            (FindingKind::UnknownVersion, 1),
            (FindingKind::Fork, 4),
            (FindingKind::WrongLog, 4),
        ] {
            let finding = Finding { kind, node: None, message: String::new(), evidence: None };
            report.findings.push(finding);
            assert_eq!(report.verdict().exit_code(), code, "{kind:?}");
        }
        report.findings.clear();
        assert_eq!(report.verdict(), Verdict::Sound);
        report.complete = false;
        assert_eq!(report.verdict(), Verdict::NotAudited);
    }
}
