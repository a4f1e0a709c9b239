//! `markstein verify --online --by-range`.

use std::{path::Path, sync::Arc};

use anyhow::Result;
use markstein_client::{
    online::at_hand,
    range::{ALIGNED, RangeError, Today, statuses},
    refresh::Known,
    scan::receipt_beside,
    text::safe,
    time::{now, rfc3339},
    trust::read_genesis,
    verify::{NotChecked, Terms, Verdict, judge, worst},
};
use markstein_proto::Reason;
use serde_json::{Value, json};

use super::{
    FORKED,
    args::VerifyArgs,
    output::Output,
    progress::Progress,
    refresh::open,
    verify::{as_json, change_text, check_receipt, status_word, text},
};

/// Checks each document by its receipt and by the log from below its record on, and returns the worst code.
pub async fn run(args: VerifyArgs, output: Output) -> Result<u8> {
    check_receipt(&args)?;
    let trust = read_genesis(&args.genesis)?;
    let progress = Arc::new(Progress::new(output));
    let (refresher, _) = open(&args.node, &args.asking, trust, progress.clone()).await?;
    let place = |file: &Path| args.receipt.clone().unwrap_or_else(|| receipt_beside(file));
    let at_hand: Vec<Result<Known, Verdict>> = args
        .files
        .iter()
        .map(|file| at_hand(refresher.trust(), file, &place(file), args.issuer.as_ref()))
        .collect();
    let known: Vec<Known> = at_hand.iter().filter_map(|it| it.as_ref().ok().cloned()).collect();
    let (nodes, seen) = (refresher.nodes(), refresher.seen());
    let found = statuses(nodes, refresher.trust(), &known, seen.as_ref(), ALIGNED, &*progress).await;
    progress.finish();
    let mut found = match found {
        Ok(found) => Ok(found.into_iter()),
        Err(e @ RangeError::Forked { .. }) => {
            Output { quiet: false, ..output }.note(format!("TWO HISTORIES: {}", safe(&e.to_string())));
            output.answer(&json!({ "exit_code": FORKED, "documents": [], "fork": e.to_string() }));
            return Ok(FORKED);
        }
        Err(e) => Err(e.to_string()),
    };
    let terms = Terms::online(now(), args.max_age);
    let (mut documents, mut codes) = (Vec::new(), Vec::new());
    for (file, at_hand) in args.files.iter().zip(at_hand) {
        let (verdict, today) = match (at_hand, &mut found) {
            (Err(verdict), _) => (verdict, None),
            (Ok(_), Err(why)) => (Verdict::CouldNotCheck(NotChecked::Nodes(why.clone())), None),
            (Ok(_), Ok(found)) => {
                let today = found.next().expect("there is one for each receipt at hand");
                (judge(today.verified.clone(), terms), Some(today))
            }
        };
        documents.push(show(file, &place(file), &verdict, today.as_ref(), output));
        codes.push(verdict.exit_code());
    }
    let code = worst(codes);
    output.answer(&json!({ "exit_code": code, "documents": documents, "fork": Value::Null }));
    Ok(code)
}

fn show(file: &Path, receipt: &Path, verdict: &Verdict, today: Option<&Today>, output: Output) -> Value {
    text(file, verdict).iter().for_each(|line| output.line(line));
    let mut value = as_json(file, receipt, verdict);
    if let Some(Today { verified, changes }) = today {
        let history = changes.iter().map(|change| {
            let what = (change.status, change.at, change.reason, change.index);
            output.line(format!("  history      {}", change_text(what, &verified.issuer_name)));
            json!({
                "status": status_word(change.status),
                "at": rfc3339(change.at),
                "by": verified.issuer.as_str(),
                "reason": change.reason.map(Reason::as_str),
                "index": change.index.0,
            })
        });
        value["proof"]["history"] = history.collect();
        output.line("  looked up    in the log, without telling a node which record");
    }
    value
}
