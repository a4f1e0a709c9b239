//! The report of a run, for people and for programs.

use std::time::Duration;

use markstein_client::{
    bench::{Latency, Load, NodeReport, Report},
    text::safe,
};
use serde_json::{Value, json};

/// The report as lines.
pub fn for_people(report: &Report) -> Vec<String> {
    let mut lines = vec![load(report), String::new()];
    lines.push(format!(
        "  {:.1} documents/s, {:.1} submissions/s with verified receipts",
        report.documents_per_second(),
        report.submissions_per_second()
    ));
    lines.push(String::new());
    lines.push(format!("  {:10} {:>11} {:>11} {:>11} {:>11}", "", "p50", "p90", "p99", "max"));
    lines.push(row("accepted", &report.accepted));
    lines.push(row("receipt", &report.receipt));
    if report.batch > 1 {
        lines.push(row("all", &report.all_receipts));
    }
    lines.push(String::new());
    lines.push(format!(
        "  submissions  {} sent, {} with all receipts, {} not sent in time",
        report.sent, report.completed, report.not_sent
    ));
    if report.not_sent > 0 {
        lines.push(format!(
            "               not sent: {} were under way (--in-flight), or they could not be made fast enough",
            report.in_flight
        ));
    }
    if matches!(report.load, Load::Rate(_)) {
        lines.push(format!(
            "  sent late    by {} (p99), {} (max) through this program or machine, which the times above include",
            time(report.late.p99),
            time(report.late.max)
        ));
    }
    let not_verified = match report.receipts_not_verified {
        0 => "0 not verified".into(),
        bad => format!("{bad} NOT VERIFIED"),
    };
    lines.push(format!("  receipts     {} verified, {not_verified}", report.receipts_verified));
    lines.extend(report.not_verified.iter().map(|why| format!("               {}", safe(why))));
    lines
        .extend(report.refusals.iter().map(|(word, count)| format!("  refused      {count} {}", safe(word))));
    lines.extend(report.errors.iter().map(|(kind, count)| format!("  failed       {count} {kind}")));
    lines.extend(report.nodes.iter().flat_map(node));
    if report.moved > 0 {
        lines.push(format!("  moved        {} to another node, because one was away", report.moved));
    }
    if report.missing() > 0 {
        lines.push("  The times are of those that came so far; the others have none.".into());
    }
    lines
}

fn load(report: &Report) -> String {
    let size = match report.batch {
        1 => "one document each".into(),
        batch => format!("{batch} documents each"),
    };
    let load = match report.load {
        Load::Rate(rate) => format!("Open loop, {} documents/s", rate.documents_per_second()),
        Load::Peak => format!("Closed loop, {} submissions under way", report.in_flight),
    };
    let ended = if report.interrupted { " (ended early)" } else { "" };
    let (measured, warmup) = (report.measured.as_secs_f64(), report.warmup.as_secs());
    format!("{load}, submissions of {size}, {measured:.1} s{ended} after {warmup} s of warm-up")
}

fn row(name: &str, latency: &Latency) -> String {
    let shown = |t| if latency.count == 0 { "-".into() } else { time(t) };
    let [p50, p90, p99, max] = [latency.p50, latency.p90, latency.p99, latency.max].map(shown);
    format!("  {name:10} {p50:>11} {p90:>11} {p99:>11} {max:>11}")
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{:.2} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

fn node(node: &NodeReport) -> Vec<String> {
    let mut lines = vec![format!(
        "  node         {}: {} sent, {} accepted, {} receipts, {} times away",
        safe(&node.name),
        node.sent,
        node.accepted,
        node.receipts,
        node.away
    )];
    lines.extend(node.failure.iter().map(|why| format!("               last failure: {}", safe(why))));
    lines
}

/// The report as one object.
pub fn as_json(report: &Report, ledger: &str) -> Value {
    let rate = match report.load {
        Load::Rate(rate) => Some(rate.documents_per_second()),
        Load::Peak => None,
    };
    let node = |node: &NodeReport| {
        json!({
            "url": node.name,
            "sent": node.sent,
            "accepted": node.accepted,
            "receipts": node.receipts,
            "away": node.away,
            "last_failure": node.failure,
        })
    };
    json!({
        "ledger": ledger,
        "load": if rate.is_some() { "rate" } else { "peak" },
        "rate": rate,
        "batch": report.batch,
        "in_flight": report.in_flight,
        "warmup_s": report.warmup.as_secs_f64(),
        "measured_s": report.measured.as_secs_f64(),
        "interrupted": report.interrupted,
        "documents_per_s": report.documents_per_second(),
        "submissions_per_s": report.submissions_per_second(),
        "latency_ms": {
            "accepted": latency(&report.accepted),
            "receipt": latency(&report.receipt),
            "all_receipts": latency(&report.all_receipts),
            "sent_late": latency(&report.late),
        },
        "submissions": {
            "sent": report.sent,
            "completed": report.completed,
            "not_sent_in_time": report.not_sent,
            "moved": report.moved,
        },
        "receipts": {
            "verified": report.receipts_verified,
            "not_verified": report.receipts_not_verified,
            "not_verified_why": report.not_verified,
        },
        "refusals": report.refusals,
        "errors": report.errors,
        "nodes": report.nodes.iter().map(node).collect::<Vec<_>>(),
        "exit_code": report.exit_code(),
    })
}

/// Times in milliseconds, to a microsecond, where there are any.
fn latency(latency: &Latency) -> Value {
    let shown = |t: Duration| (latency.count > 0).then_some(t.as_micros() as f64 / 1e3);
    json!({
        "count": latency.count,
        "p50": shown(latency.p50),
        "p90": shown(latency.p90),
        "p99": shown(latency.p99),
        "max": shown(latency.max),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn report() -> Report {
        let millis = Duration::from_millis;
        let times = Latency { count: 90, p50: millis(3), p90: millis(5), p99: millis(20), max: millis(1500) };
        Report {
            load: Load::Rate("10".parse().unwrap()),
            batch: 10,
            warmup: millis(2000),
            measured: millis(10_000),
            interrupted: false,
            in_flight: 4096,
            sent: 12,
            completed: 9,
            completed_in_time: 8,
            not_sent: 1,
            moved: 2,
            refusals: BTreeMap::from([("POOL_FULL".to_owned(), 2)]),
            errors: BTreeMap::from([("unfinished", 1)]),
            late: Latency::default(),
            accepted: times,
            receipt: times,
            all_receipts: times,
            receipts_verified: 90,
            receipts_not_verified: 0,
            not_verified: Vec::new(),
            nodes: vec![NodeReport { name: "http://a".into(), sent: 12, ..NodeReport::default() }],
        }
    }

    #[test]
    fn programs_get_one_object() {
        let value = as_json(&report(), "07");
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "batch",
                "documents_per_s",
                "errors",
                "exit_code",
                "in_flight",
                "interrupted",
                "latency_ms",
                "ledger",
                "load",
                "measured_s",
                "nodes",
                "rate",
                "receipts",
                "refusals",
                "submissions",
                "submissions_per_s",
                "warmup_s",
            ]
        );
        assert_eq!((&value["documents_per_s"], &value["submissions_per_s"]), (&json!(8.0), &json!(0.8)));
        assert_eq!(
            value["latency_ms"]["receipt"],
            json!({ "count": 90, "p50": 3.0, "p90": 5.0, "p99": 20.0, "max": 1500.0 })
        );
        assert_eq!(value["latency_ms"]["sent_late"]["p50"], Value::Null, "no time where nothing was timed");
        assert_eq!((&value["refusals"]["POOL_FULL"], &value["errors"]["unfinished"]), (&json!(2), &json!(1)));
        assert_eq!((&value["rate"], &value["exit_code"]), (&json!(10.0), &json!(2)));
        assert_eq!(value["nodes"][0]["last_failure"], Value::Null);
        let peak = as_json(&Report { load: Load::Peak, ..report() }, "07");
        assert_eq!((&peak["load"], &peak["rate"]), (&json!("peak"), &Value::Null));
    }

    #[test]
    fn people_get_all_of_it() {
        let text = for_people(&report()).join("\n");
        for part in [
            "Open loop, 10 documents/s, submissions of 10 documents each, 10.0 s after 2 s of warm-up",
            "8.0 documents/s, 0.8 submissions/s",
            "3.00 ms     5.00 ms    20.00 ms      1.50 s",
            "12 sent, 9 with all receipts, 1 not sent in time",
            "90 verified, 0 not verified",
            "refused      2 POOL_FULL",
            "failed       1 unfinished",
            "node         http://a: 12 sent",
            "moved        2 to another node",
            "The times are of those that came so far",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        let bad = Report { receipts_not_verified: 10, not_verified: vec!["x\u{1b}y".into()], ..report() };
        let text = for_people(&bad).join("\n");
        assert!(text.contains("10 NOT VERIFIED\n") && text.contains("x\\u{1b}y"), "{text}");
    }
}
