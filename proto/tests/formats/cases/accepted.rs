//! Receipts that must be accepted.

use markstein_proto::{
    Reason,
    note::{KeyName, TIME_MAX_S, sign_cosignature},
    status::Status,
};

use super::{Cases, Facts, four, receipt_of};
use crate::support::{
    EXPIRING, HOUR_MS, Ledger, ORIGIN, PERMITS, START_MS, anchor, authority_set, change, genesis,
    public_anchor, secret, successor,
};

pub(super) fn add(cases: &mut Cases) {
    sizes(cases);
    plain(cases);
    statuses(cases);
    times(cases);
    cosignature_times(cases);
    handovers(cases);
}

fn sizes(cases: &mut Cases) {
    let mut one = Ledger::new(genesis(1));
    let block = one.anchor(START_MS + 1, PERMITS, &[anchor(1, 1)]);
    cases.accept("one authority, newest block", &one, (1, &anchor(1, 1)), block, &[0]);

    let mut seven = Ledger::new(genesis(7));
    let block = seven.anchor(START_MS + 1, PERMITS, &[anchor(1, 1), anchor(2, 1)]);
    let record = (2, &anchor(2, 1));
    cases.accept("seven authorities, five signed", &seven, record, block, &[0, 2, 3, 5, 6]);
    cases.accept("seven authorities, all signed", &seven, record, block, &[0, 1, 2, 3, 4, 5, 6]);
}

fn plain(cases: &mut Cases) {
    let ledger = four();
    let newest = ledger.last();
    cases.accept("the newest header is the record's own", &ledger, (1, &anchor(1, 1)), 1, &[0, 1, 2]);
    cases.accept("five blocks later", &ledger, (1, &anchor(1, 1)), newest, &[0, 1, 3]);
    cases.accept("all four signed", &ledger, (1, &anchor(1, 1)), newest, &[0, 1, 2, 3]);
    cases.accept("public record", &ledger, (4, &public_anchor(4, 1)), newest, &[0, 2, 3]);
    cases.accept("another issuer", &ledger, (10, &anchor(10, 2)), newest, &[1, 2, 3]);
    cases.accept("second batch of a block", &ledger, (21, &anchor(21, 1)), 2, &[1, 2, 3]);
    cases.accept("two status chunks", &ledger, (290, &anchor(290, 1)), newest, &[1, 2, 3]);
}

/// One record of each status, by the records that lead to it, as of each block.
fn statuses(cases: &mut Cases) {
    use Status::{Revoked, Suspended, Valid};
    let mut ledger = Ledger::new(genesis(4));
    let hour = |n: u64| START_MS + n * HOUR_MS;
    let block = ledger.anchor(hour(0) + 1, PERMITS, &[1, 2, 3, 4].map(|number| anchor(number, 1)));
    let [revoked, suspended, superseded, all] =
        [1, 2, 3, 4].map(|number| ledger.index_of(&anchor(number, 1)));
    let records = [
        change(revoked, Valid, Revoked, Reason::Unlawful),
        change(suspended, Valid, Suspended, Reason::UnderReview),
        successor(5, 1, superseded),
        change(all, Valid, Suspended, Reason::Appeal),
    ];
    let changed = ledger.anchor(hour(1), PERMITS, &records);
    let records = [
        change(suspended, Suspended, Valid, Reason::Resolved),
        change(all, Suspended, Valid, Reason::CourtOrder),
        change(all, Valid, Suspended, Reason::UnderReview),
    ];
    let later = ledger.anchor(hour(2), PERMITS, &records);
    let end = ledger.anchor(hour(3), PERMITS, &[successor(6, 1, all), successor(7, 1, suspended)]);
    ledger.set_status(1, Revoked); // the grant of PERMITS
    let withdrawn = ledger.append(hour(4), &[]);

    let signers = [0, 1, 2];
    let mut accept = |name: &str, number: u64, block| {
        cases.accept(name, &ledger, (number, &anchor(number, 1)), block, &signers);
    };
    accept("before it was revoked", 1, block);
    accept("revoked", 1, changed);
    accept("suspended", 2, changed);
    accept("superseded", 3, changed);
    accept("valid again", 2, later);
    accept("suspended, valid again and suspended within a block", 4, later);
    accept("superseded while suspended", 4, end);
    accept("valid again, then superseded", 2, end);
    accept("revoked, issuer withdrawn", 1, withdrawn);
    let successor = successor(5, 1, superseded);
    cases.accept("it replaced another", &ledger, (5, &successor), changed, &signers);
    cases.accept("it replaced another, issuer withdrawn", &ledger, (5, &successor), withdrawn, &signers);
}

/// The edges of what is allowed.
fn times(cases: &mut Cases) {
    let mut ledger = Ledger::new(genesis(1));
    let (first, last) = (START_MS + HOUR_MS, START_MS + 10 * HOUR_MS);
    let block = ledger.anchor(first, EXPIRING, &[anchor(1, 1)]);
    cases.accept("first moment of the key", &ledger, (1, &anchor(1, 1)), block, &[0]);
    let block = ledger.anchor(last, EXPIRING, &[anchor(2, 1)]);
    cases.accept("last moment of the key", &ledger, (2, &anchor(2, 1)), block, &[0]);

    let now = START_MS + 100 * HOUR_MS;
    for (number, name, created_at) in [
        (3, "batch made exactly 24 hours before its block", now - 24 * HOUR_MS),
        (4, "batch made exactly 24 hours after its block", now + 24 * HOUR_MS),
    ] {
        let batch = ledger.batch(PERMITS, created_at, &[anchor(number, 1)]);
        let block = ledger.append(now, &[(&batch).into()]);
        cases.accept(name, &ledger, (number, &anchor(number, 1)), block, &[0]);
    }
}

/// Of q cosignatures and one more, that one may say any time: the as-of time is one that a quorum vouches for.
fn cosignature_times(cases: &mut Cases) {
    let (ledger, record) = (four(), anchor(1, 1));
    let newest = ledger.last();
    let name = KeyName::new(&format!("{ORIGIN}/a3")).unwrap();
    let text = ledger.tree_head(newest).to_text();
    for (name_of_case, time_s) in [("in the far future", TIME_MAX_S), ("long ago", 1)] {
        let line = sign_cosignature(&secret("a3", "cosigner"), &name, &text, time_s).unwrap();
        let mut receipt = receipt_of(&ledger, (1, &record), newest, &[0, 1, 2]);
        let signed = ledger.checkpoint(newest, &[0, 1, 2]).merge([line]).unwrap();
        receipt.checkpoint = signed.to_string();
        let mut times = [0, 1, 2].map(|signer| ledger.as_of(newest, signer));
        times.sort_unstable();
        let as_of_s = if time_s == 1 { times[0] } else { times[1] };
        let facts = Facts { as_of_s, ..Facts::of_ledger(&ledger, &receipt, newest, &[0, 1, 2, 3]) };
        cases.push(&format!("one of four cosigned {name_of_case}"), &ledger, 1, receipt, Ok(facts));
    }
}

fn handovers(cases: &mut Cases) {
    let mut ledger = Ledger::new(genesis(4));
    ledger.anchor(START_MS + 1, PERMITS, &[anchor(1, 1)]);
    ledger.end_epoch(START_MS + 2, authority_set(1, [1, 2, 3, 4]));
    let first = ledger.anchor(START_MS + 3, PERMITS, &[anchor(2, 1)]);
    cases.accept("one handover", &ledger, (1, &anchor(1, 1)), first, &[0, 2, 3]);
    ledger.end_epoch(START_MS + 4, authority_set(2, 10..17));
    let second = ledger.append(START_MS + 5, &[]);
    let five = [0, 1, 2, 3, 4];
    cases.accept("two handovers", &ledger, (1, &anchor(1, 1)), second, &five);
    cases.accept("record of the middle epoch", &ledger, (2, &anchor(2, 1)), second, &five);
}
