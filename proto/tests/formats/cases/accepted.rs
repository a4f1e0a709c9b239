//! Receipts that must be accepted.

use markstein_proto::status::Status;

use super::{Cases, four};
use crate::support::{
    EXPIRING, HOUR_MS, Ledger, PERMITS, START_MS, anchor, authority_set, genesis, public_anchor,
};

pub(super) fn add(cases: &mut Cases) {
    sizes(cases);
    plain(cases);
    statuses(cases);
    times(cases);
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

fn statuses(cases: &mut Cases) {
    let mut ledger = Ledger::new(genesis(4));
    let block = ledger.anchor(START_MS + 1, PERMITS, &[anchor(1, 1), anchor(2, 1), anchor(3, 1)]);
    let index = |number| ledger.index_of(&anchor(number, 1));
    let (revoked, suspended, superseded) = (index(1), index(2), index(3));
    ledger.set_status(revoked, Status::Revoked);
    ledger.set_status(suspended, Status::Suspended);
    ledger.set_status(superseded, Status::Superseded);
    let changed = ledger.append(START_MS + HOUR_MS, &[]);
    ledger.set_status(suspended, Status::Valid);
    ledger.set_status(1, Status::Revoked); // the grant of PERMITS
    let later = ledger.append(START_MS + 2 * HOUR_MS, &[]);

    let signers = [0, 1, 2];
    cases.accept("before it was revoked", &ledger, (1, &anchor(1, 1)), block, &signers);
    cases.accept("revoked", &ledger, (1, &anchor(1, 1)), changed, &signers);
    cases.accept("suspended", &ledger, (2, &anchor(2, 1)), changed, &signers);
    cases.accept("superseded", &ledger, (3, &anchor(3, 1)), changed, &signers);
    cases.accept("valid again, issuer withdrawn", &ledger, (2, &anchor(2, 1)), later, &signers);
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
