//! Whose public records of a document there are, and what follows from all of them.
//!
//! Anybody who is admitted can anchor a document that somebody else has made public, and can revoke what it anchored itself.
//! So records are judged by issuer, and what one issuer says never speaks for, or against, what another one says.
//!
//! | of one issuer's records of a document | how the document stands with it |
//! | --- | --- |
//! | one is suspended | suspended: what the issuer looks into is open, whatever it anchored beside it |
//! | else the newest statement says *valid*: an anchor, or a reinstatement, none of its records revoked or replaced after it | as this record |
//! | else | as the record that was revoked or replaced last |
//!
//! | of all issuers | then |
//! | --- | --- |
//! | all are genuine and valid | so is the document; all are named |
//! | none is | it is not: the worst is told first |
//! | they differ | it cannot be decided without knowing whose decision it is |

use markstein_proto::{LeafIndex, receipt::Verified, status::Status};

use crate::verify::{NotChecked, Reservation, Standing, Terms, Verdict, judge};

/// One issuer, with its records of a document.
#[derive(Debug)]
pub struct Office {
    /// What its record proves that decides.
    pub verified: Verified,
    /// How the document stands with it.
    pub verdict: Verdict,
    /// The node that showed this record.
    pub node: String,
    /// Its other records that are known, newest statement first.
    pub others: Vec<Verified>,
}

/// The records of a document, each with the node that showed it, by issuer: the worst first, then by their ids.
#[must_use]
pub fn offices(records: Vec<(Verified, String)>, terms: Terms) -> Vec<Office> {
    let mut by_issuer = std::collections::BTreeMap::<_, Vec<(Verified, String)>>::new();
    for record in records {
        by_issuer.entry(record.0.issuer.clone()).or_default().push(record);
    }
    let office = |mut records: Vec<(Verified, String)>| {
        records.sort_by_key(|(verified, _)| std::cmp::Reverse(since(verified)));
        let (verified, node) = records.remove(deciding(&records));
        let verdict = judge(verified.clone(), terms);
        let others = records.into_iter().map(|(verified, _)| verified).collect();
        Office { verified, verdict, node, others }
    };
    let mut offices: Vec<Office> = by_issuer.into_values().map(office).collect();
    offices.sort_by_key(|office| rank(&office.verdict)); // stable: else by their ids
    offices
}

/// Where the record stands that gave a record its status: the last one that changed it, or else itself.
fn since(verified: &Verified) -> LeafIndex {
    verified.history.last().map_or(verified.index, |event| event.index)
}

/// Which of one issuer's records decides; they are sorted by what was said last.
fn deciding(records: &[(Verified, String)]) -> usize {
    let newest = |wanted: fn(Status) -> bool| records.iter().position(|(it, _)| wanted(it.status));
    if let Some(suspended) = newest(|status| status == Status::Suspended) {
        return suspended;
    }
    match (newest(|status| status == Status::Valid), newest(Status::is_terminal)) {
        // The one that replaces another stands at the same place as what became of that other one.
        (Some(valid), Some(ended)) if since(&records[valid].0) < since(&records[ended].0) => ended,
        (Some(valid), _) => valid,
        (None, ended) => ended.unwrap_or_default(),
    }
}

/// The worst first.
fn rank(verdict: &Verdict) -> u8 {
    match verdict {
        Verdict::NotGenuine(_) | Verdict::CouldNotCheck(_) => 0,
        Verdict::Genuine { reservations, .. } => match reservations.first() {
            Some(Reservation::Status(Status::Revoked)) => 1,
            Some(Reservation::Status(Status::Suspended)) => 2,
            Some(Reservation::Status(_)) => 3,
            Some(Reservation::Ended(_)) => 4,
            Some(Reservation::TooOld { .. }) => 5,
            None => 6,
        },
    }
}

/// What follows from all of them; `None` where there are none.
#[must_use]
pub fn together(offices: &[Office], terms: Terms) -> Option<Verdict> {
    let worst = offices.first()?;
    let code = worst.verdict.exit_code();
    if offices.iter().all(|office| office.verdict.exit_code() == code) {
        return Some(judge(worst.verified.clone(), terms));
    }
    let standings = offices.iter().map(|Office { verified, verdict, .. }| Standing {
        issuer: verified.issuer.clone(),
        name: verified.issuer_name.clone(),
        status: verified.status,
        is_good: verdict.exit_code() == 0,
    });
    Some(Verdict::CouldNotCheck(NotChecked::Offices(standings.collect())))
}

#[cfg(test)]
#[path = "offices_tests.rs"]
mod tests;
