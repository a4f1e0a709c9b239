//! What became of statuses, told to people and programs.

use std::path::Path;

use anyhow::Result;
use markstein_client::{
    changes::Wish,
    orders::{Label, Untaken},
    session::{Changed, Kept, Report, SessionError, Unchanged},
    text::{safe, safe_path},
};
use markstein_proto::{LeafIndex, Reason};
use serde_json::{Value, json};

use super::{FAILED, FORKED, anchor::LISTED, evidence, output::Output, writer::Place};

/// What a label's number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Arguments: they need no number.
    Words,
    /// Lines of a list.
    Lines,
}

impl Names {
    fn label(self, label: &Label) -> String {
        match self {
            Self::Words => safe(&label.name),
            Self::Lines => format!("line {}, {}", label.number, safe(&label.name)),
        }
    }

    /// What a record is called: as it was named, else by its receipt or its place.
    fn of(self, labels: &[Label], receipts: &[impl AsRef<Path>], index: Option<LeafIndex>) -> String {
        match (labels, receipts, index) {
            ([label], ..) => self.label(label),
            ([label, more @ ..], ..) => {
                let more: Vec<String> = more.iter().map(|label| self.label(label)).collect();
                format!("{} (the same: {})", self.label(label), more.join("; "))
            }
            ([], [receipt, ..], _) => format!("{}, of an earlier run", safe_path(receipt.as_ref())),
            ([], [], Some(index)) => format!("record {index}, of an earlier run"),
            ([], [], None) => "a record".into(),
        }
    }
}

/// A few of the records that were changed or had the status before, and all that were refused.
pub fn statuses(report: &Report, names: Names, output: Output) {
    let few = report.changed.len() + report.unchanged.len() <= LISTED;
    if few {
        report.changed.iter().for_each(|changed| output.line(format!("  {}", changed_text(changed, names))));
    }
    for unchanged in &report.unchanged {
        let Unchanged { labels, receipts, index, kept } = unchanged;
        let name = names.of(labels, receipts, *index);
        let record = index.map(|index| format!(": record {index}")).unwrap_or_default();
        match kept {
            Kept::Already(how) if few => output.line(format!("  {name}{record} {} already", safe(how))),
            Kept::Already(_) => {}
            Kept::Refused(why) => error(output, format!("{name}{record} {}", safe(why))),
        }
    }
}

/// What names no record at all.
pub fn untaken(untaken: &[Untaken], names: Names, output: Output) {
    for Untaken { label, why } in untaken {
        error(output, format!("{}: {}", names.label(label), safe(why)));
    }
}

/// Where two histories showed: keeps them as evidence and tells of them, for people and in the answer for programs.
pub fn fork(report: &Report, place: &Place, json: &mut Value, output: Output) -> Result<()> {
    json["fork"] = Value::Null;
    if let Some(SessionError::Fork(found)) = &report.stopped {
        let kept = evidence::keep(found, &place.trust, &place.memory()?)?;
        evidence::tell(found, &kept, output).into_iter().for_each(|line| error(output, line));
        json["fork"] = evidence::as_json(found, &kept);
    }
    Ok(())
}

/// The exit code of a run that writes.
pub fn exit_code(report: &Report) -> u8 {
    match &report.stopped {
        Some(SessionError::Fork(_)) => FORKED,
        _ if report.is_complete() => 0,
        _ => FAILED,
    }
}

/// Why a run ended early, and whether that matters.
pub fn stop(report: &Report, output: Output) {
    if let Some(stopped) = report.stopped.as_ref().filter(|it| !matches!(it, SessionError::Fork(_))) {
        error(output, format!("markstein: {}", safe(&stopped.to_string())));
        if stopped.is_resumable() {
            output.note("Nothing is lost: the same command goes on where this one stopped.");
        }
    }
}

/// Errors are told even where nothing else is.
fn error(output: Output, line: String) {
    Output { quiet: false, ..output }.note(line);
}

fn changed_text(changed: &Changed, names: Names) -> String {
    let Changed { index, wish, status, receipts, labels, .. } = changed;
    let name = names.of(labels, receipts, Some(*index));
    let now = if *status == wish.status() {
        format!("is {status} now")
    } else {
        format!("was made {} and is {status} by now", wish.status())
    };
    let receipts = match receipts.len() {
        0 => "no receipt was at hand to renew".to_owned(),
        1 => format!("its receipt is new: {}", safe_path(&receipts[0])),
        count => format!("its {count} receipts are new"),
    };
    format!("{name}: record {index} {now}; {receipts}")
}

fn reason(wish: Wish) -> Option<&'static str> {
    match wish {
        Wish::Revoke(reason) | Wish::Suspend(reason) | Wish::Reinstate(reason) => {
            Some(Reason::as_str(reason))
        }
        Wish::Supersede => None,
    }
}

fn names_json(labels: &[Label]) -> Vec<Value> {
    labels.iter().map(|label| json!({ "number": label.number, "name": label.name })).collect()
}

fn paths(receipts: &[impl AsRef<Path>]) -> Vec<String> {
    receipts.iter().map(|path| path.as_ref().to_string_lossy().into_owned()).collect()
}

/// The records that were changed.
pub fn changed(report: &Report) -> Vec<Value> {
    let one = |changed: &Changed| {
        json!({
            "index": changed.index.0,
            "to": changed.wish.status().as_str(),
            "reason": reason(changed.wish),
            "status": changed.status.as_str(),
            "batch": changed.batch.to_string(),
            "receipts": paths(&changed.receipts),
            "names": names_json(&changed.labels),
        })
    };
    report.changed.iter().map(one).collect()
}

/// The records that were not.
pub fn unchanged(report: &Report) -> Vec<Value> {
    let one = |unchanged: &Unchanged| {
        let (outcome, why) = match &unchanged.kept {
            Kept::Already(how) => ("already", how),
            Kept::Refused(why) => ("refused", why),
        };
        json!({
            "index": unchanged.index.map(|index| index.0),
            "outcome": outcome,
            "why": why,
            "receipts": paths(&unchanged.receipts),
            "names": names_json(&unchanged.labels),
        })
    };
    report.unchanged.iter().map(one).collect()
}

/// What names no record at all.
pub fn untaken_json(untaken: &[Untaken]) -> Vec<Value> {
    let one = |u: &Untaken| json!({ "number": u.label.number, "name": u.label.name, "error": u.why });
    untaken.iter().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use markstein_proto::{BatchId, Hash, status::Status};

    use super::*;

    #[test]
    fn a_change_is_told_in_plain_words() {
        let label = |number| Label { number, name: format!("{number}.pdf") };
        let changed = |labels: &[Label], receipts: &[&str], status| Changed {
            index: LeafIndex(7),
            wish: Wish::Suspend(Reason::Appeal),
            status,
            batch: BatchId(Hash::ZERO),
            receipts: receipts.iter().map(PathBuf::from).collect(),
            labels: labels.to_vec(),
        };
        let suspended = Status::Suspended;
        for (labels, receipts, status, names, text) in [
            (
                &[label(3)][..],
                &["a.json"][..],
                suspended,
                Names::Words,
                "3.pdf: record 7 is suspended now; its receipt is new: a.json",
            ),
            (
                &[label(3), label(4)],
                &["a", "b"],
                suspended,
                Names::Lines,
                "line 3, 3.pdf (the same: line 4, 4.pdf): record 7 is suspended now; its 2 receipts are new",
            ),
            (
                &[],
                &[],
                suspended,
                Names::Lines,
                "record 7, of an earlier run: record 7 is suspended now; no receipt was at hand to renew",
            ),
            (
                &[label(3)],
                &[],
                Status::Valid,
                Names::Words,
                "3.pdf: record 7 was made suspended and is valid by now; no receipt was at hand to renew",
            ),
        ] {
            assert_eq!(changed_text(&changed(labels, receipts, status), names), text);
        }
    }
}
