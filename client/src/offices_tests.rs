//! What follows from the records of one issuer, and of several: the cases that the page's tests read, too.
#![allow(clippy::unwrap_used)]

use markstein_proto::{
    IssuerId, TimeMs,
    receipt::{StatusEvent, Verified},
};
use serde_json::Value;

use super::*;
use crate::testing::{Ledger, NOW, entry};

fn cases() -> Value {
    serde_json::from_str(include_str!("../tests/offices.json")).unwrap()
}

fn word(verdict: &Verdict) -> &'static str {
    let Verdict::Genuine { reservations, .. } = verdict else { panic!("{verdict:?}") };
    match reservations.first() {
        Some(Reservation::Status(status)) => status.as_str(),
        Some(Reservation::Ended(_)) => "expired",
        Some(Reservation::TooOld { .. }) => "dated",
        None => "valid",
    }
}

/// Facts as a case says, otherwise those of some record.
fn verified(of: &Verified, record: &Value) -> (Verified, String) {
    let number = |name: &str| record[name].as_u64();
    let [index, since] = ["index", "since"].map(|name| LeafIndex(number(name).unwrap()));
    let status = [Status::Valid, Status::Revoked, Status::Suspended, Status::Superseded]
        .into_iter()
        .find(|status| record["status"] == status.as_str())
        .unwrap();
    let mut verified = of.clone();
    let mut event: StatusEvent = of.history[0];
    (event.status, event.index) = (status, since);
    verified.issuer = IssuerId::new(record["issuer"].as_str().unwrap()).unwrap();
    (verified.index, verified.status) = (index, status);
    verified.history = if since == index { Vec::new() } else { vec![event] };
    verified.valid_until = number("valid_until_ms").map(TimeMs);
    verified.as_of_s = number("as_of_s").unwrap();
    (verified, "node".into())
}

#[test]
fn every_case_has_its_offices_and_what_follows_from_them() {
    let mut ledger = Ledger::new();
    let some = entry(&["a"], NOW);
    ledger.append(some.batch(), NOW);
    let index = ledger.receipts(some.batch().id())[0].record.index;
    ledger.set_status(index, Status::Suspended, NOW);
    let receipt = ledger.receipts(some.batch().id()).remove(0);
    let of = receipt.verify_record(ledger.trust()).unwrap().facts;
    let cases = cases();
    let terms = Terms::online(TimeMs(cases["now_ms"].as_u64().unwrap()), None);
    for case in cases["cases"].as_array().unwrap() {
        let mut records: Vec<_> =
            case["records"].as_array().unwrap().iter().map(|record| verified(&of, record)).collect();
        for _ in 0..2 {
            let found = offices(records.clone(), terms);
            let told: Vec<Value> = found
                .iter()
                .map(|it| {
                    serde_json::json!([it.verified.issuer.as_str(), it.verified.index.0, word(&it.verdict)])
                })
                .collect();
            assert_eq!(Value::from(told), case["offices"], "{}", case["name"]);
            let count: usize = found.iter().map(|it| 1 + it.others.len()).sum();
            assert_eq!(count, records.len(), "none is left out: {}", case["name"]);
            let verdict = together(&found, terms).unwrap();
            match case["together"].as_str() {
                Some(issuer) => {
                    let Verdict::Genuine { verified, .. } = &verdict else { panic!("{verdict:?}") };
                    assert_eq!(verified.issuer.as_str(), issuer, "{}", case["name"]);
                }
                None => {
                    let Verdict::CouldNotCheck(why) = &verdict else { panic!("{verdict:?}") };
                    let said = why.to_string();
                    let is_named = |it: &Office| said.contains(it.verified.issuer.as_str());
                    assert!(said.contains("--issuer") && found.iter().all(is_named), "{said}");
                }
            }
            records.reverse(); // whatever order they come in
        }
    }
    assert!(together(&[], terms).is_none());
}
