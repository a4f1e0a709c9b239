//! `markstein status`: how nodes are, and how they say the authorities are.

use std::time::Duration;

use anyhow::Result;
use markstein_client::{
    api::{AuthorityStatus, FinalityState, Role, StatusResponse},
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
        codes.push(code(&answer));
        values.push(as_json(url, &answer));
    }
    output.answer(&json!({ "nodes": values }));
    let worst = [UNREACHABLE, NOT_SERVING].into_iter().find(|code| codes.contains(code));
    Ok(worst.unwrap_or(0))
}

/// An authority that is missing is said and no error; without a quorum nothing is acknowledged.
fn code(answer: &Result<StatusResponse, NodeError>) -> u8 {
    match answer {
        Ok(status) if status.serving && reachable(status) >= status.quorum as usize => 0,
        Ok(_) => NOT_SERVING,
        Err(_) => UNREACHABLE,
    }
}

fn reachable(status: &StatusResponse) -> usize {
    status.authorities.iter().filter(|a| a.connected).count()
}

fn text(url: &str, answer: &Result<StatusResponse, NodeError>) -> Vec<String> {
    let status = match answer {
        Ok(status) => status,
        Err(e) => return vec![format!("{}: cannot be asked: {}", safe(url), safe(&e.message))],
    };
    let verdict = if code(answer) == 0 { "serving" } else { "NOT SERVING" };
    let mut lines = vec![format!("{}: {verdict}", safe(url))];
    lines.extend(status.conditions.iter().map(|condition| format!("  condition    {}", safe(condition))));
    lines.extend(pause(status));
    lines.push(format!(
        "  node         {} ({}, release {})",
        safe(&status.node),
        role(status),
        safe(&status.version)
    ));
    lines.push(format!("  ledger       {} ({})", hex::encode(&status.ledger_id), safe(&status.origin)));
    lines.push(format!(
        "  block        {} of {}, view {}",
        status.height,
        moment(status.block_time_ms),
        status.view
    ));
    lines.push(format!(
        "  log          {} leaves, checkpoint as of {}",
        status.log_size,
        moment(status.checkpoint_as_of_ms)
    ));
    let mut pool = format!("  pool         {} batches, {} bytes", status.pool_batches, status.pool_bytes);
    if status.pool_waiting > 0 {
        pool = format!("{pool}; {} wait for something of their own", status.pool_waiting);
    }
    lines.push(pool);
    lines.push(format!("  up           {} s", Duration::from_millis(status.uptime_ms).as_secs()));
    lines.extend(authorities(status));
    lines
}

/// Since when nothing becomes final, in which view; the conditions say why and what helps.
fn pause(status: &StatusResponse) -> Option<String> {
    let finality = status.finality.as_ref()?;
    let since = match finality.state() {
        FinalityState::Unspecified | FinalityState::GoesOn => return None,
        FinalityState::NoQuorum => "NO QUORUM".to_owned(),
        FinalityState::Paused => {
            let since = moment(status.clock_ms.saturating_sub(finality.waiting_ms));
            format!("PAUSED since {since}, for {}", span(finality.waiting_ms))
        }
    };
    let help: Vec<_> = finality.would_help.iter().map(|id| safe(id)).collect();
    let needed = match finality.needed_more {
        0 => String::new(),
        more => format!("; {more} more needed of: {}", help.join(", ")),
    };
    let entered = span(finality.view_entered_ms);
    Some(format!("  finality     {since}; view {} entered {entered} ago{needed}", status.view))
}

/// How many there are, who is missing, and a table of all.
fn authorities(status: &StatusResponse) -> Vec<String> {
    let missing: Vec<_> =
        status.authorities.iter().filter(|a| !a.connected).map(|a| safe(&a.authority_id)).collect();
    let (n, here, needed) = (status.authorities.len(), reachable(status), status.quorum);
    let missing =
        if missing.is_empty() { String::new() } else { format!("; missing: {}", missing.join(", ")) };
    let heading = ["", "where", "release", "block", "behind", "view", "clock", "heard", "cosigned"];
    let heading = heading.map(str::to_owned);
    let mut rows = vec![heading];
    rows.extend(status.authorities.iter().map(row));
    let head = format!("  authorities  {n}, {here} reachable, {needed} needed{missing}");
    let names = std::iter::once(String::new()).chain(status.authorities.iter().map(|a| safe(&a.name)));
    std::iter::once(head)
        .chain(
            table(&rows)
                .into_iter()
                .zip(names)
                .map(|(row, name)| format!("    {row}  {name}").trim_end().to_owned()),
        )
        .collect()
}

/// One authority; a dash where nothing is known.
fn row(a: &AuthorityStatus) -> [String; 9] {
    let dash = || "-".to_owned();
    let known = |number: Option<u64>| number.map_or_else(dash, |number| number.to_string());
    let heard = a.here || a.heard_ms_ago.is_some();
    let (clock, ago) = if a.here {
        (dash(), dash())
    } else {
        let ago = a.heard_ms_ago.map_or_else(|| "never".to_owned(), |ms| format!("{} ago", span(ms)));
        (a.clock_skew_ms.map_or_else(dash, skew), ago)
    };
    let cosigned = match (a.cosigned_size, a.cosigned_at_ms) {
        (0, _) => "nothing".to_owned(),
        (size, 0) => size.to_string(),
        (size, at) => format!("{size} at {}", moment(at)),
    };
    [
        safe(&a.authority_id),
        place(a).to_owned(),
        release(a).map_or_else(dash, safe),
        if heard { a.height.to_string() } else { dash() },
        known(a.lag),
        known(a.view),
        clock,
        ago,
        cosigned,
    ]
}

/// The release that an authority says it runs; one that does not tell, or was never heard, has none.
fn release(a: &AuthorityStatus) -> Option<&str> {
    Some(a.version.as_str()).filter(|version| !version.is_empty())
}

fn place(a: &AuthorityStatus) -> &'static str {
    match (a.here, a.connected, a.voting) {
        (true, _, Some(false)) => "this node, not voting",
        (true, ..) => "this node",
        (false, true, Some(false)) => "there, not voting",
        (false, true, _) => "there",
        (false, false, _) => "MISSING",
    }
}

/// The first column that is set to the right.
const FIRST_NUMBER: usize = 3;

/// Rows of equally many cells, each column as wide as its widest cell; numbers to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let is_number = |column: usize| (FIRST_NUMBER..N - 1).contains(&column);
    let cell = |(column, text): (usize, &String)| match widths[column] {
        width if is_number(column) => format!("{text:>width$}"),
        width => format!("{text:width$}"),
    };
    rows.iter().map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ")).collect()
}

/// A clock less that of the node that was asked.
fn skew(ms: i64) -> String {
    let sign = if ms < 0 { '-' } else { '+' };
    format!("{sign}{}", span(ms.unsigned_abs()))
}

fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} s", ms / 1000),
    }
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
            "voting": a.voting,
            "version": release(a),
            "height": a.height,
            "lag": a.lag,
            "view": a.view,
            "clock_skew_ms": a.clock_skew_ms,
            "heard_ms_ago": a.heard_ms_ago,
            "cosigned_size": a.cosigned_size,
            "cosigned_at_ms": a.cosigned_at_ms,
        })
    };
    let missing = status.authorities.iter().filter(|a| !a.connected).map(|a| &a.authority_id);
    json!({
        "url": url,
        "reachable": true,
        "serving": code(answer) == 0,
        "conditions": status.conditions,
        "version": status.version,
        "ledger": hex::encode(&status.ledger_id),
        "origin": status.origin,
        "node": status.node,
        "role": role(status),
        "voting": status.voting,
        "epoch": status.epoch,
        "view": status.view,
        "height": status.height,
        "block_id": hex::encode(&status.block_id),
        "log_size": status.log_size,
        "block_time_ms": status.block_time_ms,
        "checkpoint_as_of_ms": status.checkpoint_as_of_ms,
        "pool_batches": status.pool_batches,
        "pool_bytes": status.pool_bytes,
        "pool_waiting": status.pool_waiting,
        "quorum": status.quorum,
        "missing": missing.collect::<Vec<_>>(),
        "finality": status.finality.as_ref().map(super::finality::as_json),
        "authorities": status.authorities.iter().map(authority).collect::<Vec<_>>(),
        "uptime_ms": status.uptime_ms,
        "clock_ms": status.clock_ms,
    })
}

#[cfg(test)]
mod tests {
    use markstein_client::node::Failure;

    use super::*;

    fn authority(id: &str, connected: bool) -> AuthorityStatus {
        AuthorityStatus {
            authority_id: id.into(),
            name: format!("Office {id}"),
            connected,
            height: 12,
            cosigned_size: 40,
            cosigned_at_ms: 1_795_000_000_000,
            view: Some(15),
            lag: Some(0),
            clock_skew_ms: Some(-3),
            heard_ms_ago: Some(400),
            voting: Some(true),
            version: "0.1.0".into(),
            ..AuthorityStatus::default()
        }
    }

    /// Four authorities of which the last is missing and was never heard; the first is the node that answers.
    fn three_of_four() -> StatusResponse {
        let here = AuthorityStatus {
            here: true,
            clock_skew_ms: Some(0),
            heard_ms_ago: Some(0),
            ..authority("a", true)
        };
        let slow = AuthorityStatus {
            height: 10,
            lag: Some(2),
            clock_skew_ms: Some(1_250),
            cosigned_at_ms: 0,
            voting: Some(false),
            version: "0.10.2".into(),
            ..authority("longer", true)
        };
        let never =
            AuthorityStatus { authority_id: "d".into(), name: "Office d".into(), ..Default::default() };
        StatusResponse {
            version: "0.1.0".into(),
            ledger_id: vec![7; 32],
            origin: "neustadt.example/x".into(),
            node: "a".into(),
            role: Role::Authority.into(),
            serving: true,
            conditions: vec!["3 of 4 authorities reachable, 3 needed; missing: d".into()],
            view: 15,
            height: 12,
            log_size: 40,
            block_time_ms: 1_795_000_000_000,
            checkpoint_as_of_ms: 1_795_000_000_000,
            pool_batches: 1,
            pool_bytes: 200,
            pool_waiting: 1,
            quorum: 3,
            authorities: vec![here, authority("b", true), slow, never],
            uptime_ms: 61_000,
            voting: true,
            ..StatusResponse::default()
        }
    }

    #[test]
    fn a_status_is_shown_with_who_is_missing() {
        let ledger = "07".repeat(32);
        let at = "2026-11-18T11:06:40Z";
        let expected = format!(
            "http://n: serving\n\
             \x20 condition    3 of 4 authorities reachable, 3 needed; missing: d\n\
             \x20 node         a (authority, release 0.1.0)\n\
             \x20 ledger       {ledger} (neustadt.example/x)\n\
             \x20 block        12 of {at}, view 15\n\
             \x20 log          40 leaves, checkpoint as of {at}\n\
             \x20 pool         1 batches, 200 bytes; 1 wait for something of their own\n\
             \x20 up           61 s\n\
             \x20 authorities  4, 3 reachable, 3 needed; missing: d\n\
             \x20           where              release  block  behind  view   clock       heard  cosigned\n\
             \x20   a       this node          0.1.0       12       0    15       -           -  40 at {at}  Office a\n\
             \x20   b       there              0.1.0       12       0    15   -3 ms  400 ms ago  40 at {at}  Office b\n\
             \x20   longer  there, not voting  0.10.2      10       2    15  +1.2 s  400 ms ago  40                          Office longer\n\
             \x20   d       MISSING            -            -       -     -       -       never  nothing                     Office d"
        );
        let value = as_json("http://n", &Ok(three_of_four()));
        let releases: Vec<_> = (0..4).map(|number| &value["authorities"][number]["version"]).collect();
        assert_eq!(releases, [&json!("0.1.0"), &json!("0.1.0"), &json!("0.10.2"), &Value::Null]);
        assert_eq!(text("http://n", &Ok(three_of_four())).join("\n"), expected);
    }

    #[test]
    fn a_missing_authority_is_no_error_and_a_missing_quorum_is() {
        assert_eq!(code(&Ok(three_of_four())), 0);
        let mut two = three_of_four();
        two.authorities[1].connected = false;
        assert_eq!(code(&Ok(two.clone())), NOT_SERVING, "whatever the node itself makes of it");
        let lines = text("http://n", &Ok(two.clone()));
        assert!(lines[0].ends_with("NOT SERVING"), "{lines:?}");
        assert!(lines.iter().any(|l| l.ends_with("4, 2 reachable, 3 needed; missing: b, d")), "{lines:?}");
        let value = as_json("http://n", &Ok(two));
        assert_eq!((&value["missing"], &value["serving"]), (&json!(["b", "d"]), &json!(false)));
        assert_eq!(code(&Ok(StatusResponse { serving: false, ..three_of_four() })), NOT_SERVING);
        let away = NodeError::new("http://n", Failure::Away, "is away");
        assert_eq!(code(&Err(away.clone())), UNREACHABLE);
        assert_eq!(text("http://n", &Err(away)), ["http://n: cannot be asked: is away"]);
    }

    #[test]
    fn what_a_node_says_never_steers_the_terminal() {
        let mut status = three_of_four();
        status.conditions = vec!["all\u{1b}[2Jgone\n".into()];
        status.authorities[3].name = "\u{202e}x".into();
        status.authorities[3].version = "\u{1b}[2J".into();
        let lines = text("http://n", &Ok(status));
        assert!(lines.iter().all(|line| !line.contains(['\u{1b}', '\n', '\u{202e}'])), "{lines:?}");
    }

    #[test]
    fn an_observer_is_told_apart() {
        let mut status = StatusResponse { role: Role::Observer.into(), voting: false, ..three_of_four() };
        status.authorities[0].here = false;
        let value = as_json("http://n", &Ok(status.clone()));
        assert_eq!((&value["role"], &value["voting"]), (&json!("observer"), &json!(false)));
        assert!(text("http://n", &Ok(status)).iter().all(|line| !line.contains("this node")));
    }

    #[test]
    fn spans_are_short() {
        for (ms, text) in
            [(0, "0 ms"), (999, "999 ms"), (1_000, "1.0 s"), (59_999, "59.9 s"), (60_000, "60 s")]
        {
            assert_eq!(span(ms), text);
        }
        assert_eq!([skew(0), skew(-3), skew(2_500)], ["+0 ms", "-3 ms", "+2.5 s"]);
    }
}
