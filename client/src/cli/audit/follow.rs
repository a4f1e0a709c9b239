//! `markstein audit --follow`: never done, and heard where something is wrong.

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use markstein_client::{
    audit::{
        auditor::Auditor,
        report::{Finding, FindingKind, Report, Verdict},
        webhook::Webhook,
    },
    time::{now, rfc3339},
};
use markstein_proto::TimeMs;
use serde_json::{Value, json};

use super::{
    progress::Bar,
    text::{Alert, Head, alert_line, as_json, lines},
};
use crate::cli::output::Output;

/// The exit code where an issuer under watch has written.
const WRITTEN: u8 = 5;

/// Nobody is asked more often.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// How to follow.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub interval: Duration,
    pub exit_on_alert: bool,
}

/// What a finding is known by: it is told once, and again when it was gone in between.
type Key = (FindingKind, Option<String>);

/// Passes, one after the other.
pub async fn run(
    auditor: &mut Auditor,
    head: &Head,
    terms: Terms,
    mut webhook: Option<Webhook>,
    output: Output,
    bar: &Bar,
) -> Result<u8> {
    let mut known: BTreeSet<Key> = BTreeSet::new();
    let mut is_first = true;
    loop {
        let report = auditor.pass(now()).await?;
        bar.finish();
        if is_first {
            is_first = false;
            lines(head, &report).iter().for_each(|text| output.line(text));
            output.event(&with_event("report", as_json(head, &report, auditor.folder())));
        } else if report.new_leaves > 0 {
            grown(&report, output);
        }
        let fresh: Vec<&Finding> = report.findings.iter().filter(|f| !known.contains(&key(f))).collect();
        known = report.findings.iter().map(key).collect();
        tell(head, &report, &fresh, &mut webhook, output).await;
        auditor.told()?;
        if let Some(code) = exit_code(&report).filter(|_| terms.exit_on_alert) {
            return Ok(code);
        }
        tokio::time::sleep(terms.interval.max(INTERVAL_MIN)).await;
    }
}

fn key(finding: &Finding) -> Key {
    (finding.kind, finding.node.clone())
}

/// On the standard output, and to the web server.
async fn tell(
    head: &Head,
    report: &Report,
    fresh: &[&Finding],
    webhook: &mut Option<Webhook>,
    output: Output,
) {
    let written = report.written.iter().map(Alert::Written);
    let untold = Some(report.untold)
        .filter(|count| *count > 0)
        .map(|batches| Alert::Untold { batches, size: report.size });
    let found = fresh.iter().map(|finding| Alert::Found(finding));
    let alerts: Vec<Alert<'_>> = found.chain(written).chain(untold).collect();
    let (at, mut values) = (now(), Vec::new());
    for alert in &alerts {
        output.line(alert_line(alert, at));
        let value = alert.as_json(head, at);
        output.event(&value);
        values.push(value);
    }
    let Some(webhook) = webhook.as_mut().filter(|_| !values.is_empty()) else { return };
    if let Err(why) = webhook.tell(&values).await {
        output.note(format!("the webhook was not told: {}", markstein_client::text::safe(&why)));
    }
}

/// What ends a run that is to end at the first alert. That a node does not answer for a moment is no alert.
fn exit_code(report: &Report) -> Option<u8> {
    let is_stale = report.findings.iter().any(|finding| finding.kind == FindingKind::Stale);
    let is_written = !report.written.is_empty() || report.untold > 0;
    match report.verdict() {
        verdict @ (Verdict::Wrong | Verdict::Fork) => Some(verdict.exit_code()),
        _ if is_written => Some(WRITTEN),
        Verdict::Doubtful | Verdict::NotAudited if is_stale => Some(Verdict::Doubtful.exit_code()),
        _ => None,
    }
}

fn grown(report: &Report, output: Output) {
    let (height, time) = report.tip.map_or((0, TimeMs(0)), |(height, time)| (height.0, time));
    output.line(format!("{} audited {} leaves up to block {height}", rfc3339(now()), report.size));
    let value = json!({
        "size": report.size,
        "root": report.root.to_string(),
        "height": height,
        "block_time": rfc3339(time),
        "records": report.new.records,
        "verdict": report.verdict().word(),
    });
    output.event(&with_event("audited", value));
}

fn with_event(event: &str, mut value: Value) -> Value {
    value["event"] = event.into();
    value
}
