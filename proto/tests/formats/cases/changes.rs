//! What led to a status, with something wrong in it: left out, invented, of another, in another order, at another place.
//!
//! The multiproof is made anew where leaves were exchanged, so that the changes themselves are what is refused.

use markstein_proto::{
    DecodeError, LeafIndex, Reason,
    log::ProofError,
    receipt::{ChangeLeaves, NotVerified, Receipt},
    status::Status::{self, Revoked, Superseded, Suspended, Valid},
};

use super::{Cases, at, receipt_of};
use crate::support::{
    HOUR_MS, Ledger, PERMITS, REGISTRY, START_MS, anchor, change, genesis, salt, successor,
};

pub(super) fn add(cases: &mut Cases) {
    let ledger = ledger();
    let mut list = Changed { ledger: &ledger, cases };
    list.missing();
    list.others();
    list.order();
    list.places();
    list.kinds();
    forged(cases);
}

fn hour(n: u64) -> u64 {
    START_MS + n * HOUR_MS
}

/// Documents 1 and 2 of [`PERMITS`] and 3 of [`REGISTRY`] in block 1. Document 1 is suspended in block 2, valid again in 3
/// (where document 9 is anchored too) and revoked in 4, each with a change of document 2 beside it; [`REGISTRY`] revokes its own in block 4.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(genesis(4));
    let permits = ledger.batch(PERMITS, hour(1), &[anchor(1, 1), anchor(2, 1)]);
    let registry = ledger.batch(REGISTRY, hour(1), &[anchor(3, 2)]);
    ledger.append(hour(1), &[(&permits).into(), (&registry).into()]);
    let [one, two, three] = [(1, 1), (2, 1), (3, 2)].map(|(n, t)| ledger.index_of(&anchor(n, t)));
    let both = |from, to, reason| [change(one, from, to, reason), change(two, from, to, reason)];
    ledger.anchor(hour(2), PERMITS, &both(Valid, Suspended, Reason::Appeal));
    let [one_again, two_again] = both(Suspended, Valid, Reason::Resolved);
    ledger.anchor(hour(3), PERMITS, &[one_again, two_again, anchor(9, 1)]);
    let permits = ledger.batch(PERMITS, hour(4), &both(Valid, Revoked, Reason::Unlawful));
    let registry = ledger.batch(REGISTRY, hour(4), &[change(three, Valid, Revoked, Reason::Other)]);
    ledger.append(hour(4), &[(&permits).into(), (&registry).into()]);
    ledger.append(hour(5), &[]);
    ledger
}

struct Changed<'a> {
    ledger: &'a Ledger,
    cases: &'a mut Cases,
}

impl Changed<'_> {
    fn good(&self) -> Receipt {
        receipt_of(self.ledger, (1, &anchor(1, 1)), self.ledger.last(), &[0, 1, 2])
    }

    /// The changes of document 2 or 3.
    fn of(&self, number: u64, document_type: u32) -> Vec<ChangeLeaves> {
        let record = anchor(number, document_type);
        receipt_of(self.ledger, (number, &record), self.ledger.last(), &[0, 1, 2]).changes
    }

    /// Other changes, proven in the log.
    fn refuse(&mut self, name: &str, edit: impl FnOnce(&mut Vec<ChangeLeaves>), why: NotVerified) {
        let mut receipt = self.good();
        edit(&mut receipt.changes);
        assert_ne!(receipt, self.good(), "{name}: nothing was changed");
        self.ledger.prove(&mut receipt);
        self.cases.refuse(name, self.ledger, 1, receipt, why);
    }

    fn missing(&mut self) {
        let lead_to = |shown| NotVerified::ChangesMissing { shown, signed: Revoked };
        let cannot =
            |number| NotVerified::Change { number, why: "it cannot follow the status that the record had" };
        self.refuse("changes left out", Vec::clear, lead_to(Valid));
        self.refuse("last change left out", |c| _ = c.pop(), lead_to(Valid));
        self.refuse("last two changes left out", |c| c.truncate(1), lead_to(Suspended));
        self.refuse("first change left out", |c| _ = c.remove(0), cannot(1));
        self.refuse("change in the middle left out", |c| _ = c.remove(1), cannot(2));
        let index = self.good().record.index.0;
        let mut later = self.ledger.receipt(index, salt(1), 3, &[0, 1, 2]);
        later.changes = self.good().changes;
        let why = NotVerified::Change { number: 3, why: "it is not below the newest header" };
        self.cases.refuse("change after the checkpoint", self.ledger, 1, later, why);
    }

    fn others(&mut self) {
        let (two, three) = (self.of(2, 1), self.of(3, 2));
        let other = |number| NotVerified::Change { number, why: "it is about another record" };
        self.refuse("changes of the neighbour", |c| c.clone_from(&two), other(1));
        self.refuse("last change of the neighbour", |c| c[2] = two[2].clone(), other(3));
        self.refuse("one more change of the neighbour", |c| c.push(two[2].clone()), other(4));
        let why = NotVerified::Change { number: 3, why: "it is not the issuer's" };
        self.refuse("last change of another issuer", |c| c[2] = three[0].clone(), why.clone());
        let head = three[0].batch_head.clone();
        self.refuse("head of another issuer's batch", |c| c[2].batch_head = head, why);
    }

    fn order(&mut self) {
        let after = |number| NotVerified::Change { number, why: "it does not come after what was before it" };
        self.refuse(
            "first two changes swapped",
            |c| c.swap(0, 1),
            NotVerified::Change { number: 1, why: "it cannot follow the status that the record had" },
        );
        self.refuse("a change twice", |c| c.insert(1, c[0].clone()), after(2));
        self.refuse("all changes twice", |c| c.extend(c.clone()), after(4));
        self.refuse("last change twice", |c| c.push(c[2].clone()), after(4));
    }

    fn places(&mut self) {
        let refuse = |number, why| NotVerified::Change { number, why };
        let (good, two) = (self.good().changes, self.of(2, 1));
        self.refuse(
            "header of the next change",
            |c| c[0].header = good[1].header.clone(),
            refuse(1, "its batch head is not in its header's block"),
        );
        self.refuse(
            "header of the change before",
            |c| c[1].header = good[0].header.clone(),
            refuse(2, "it is not in its header's block"),
        );
        let bytes = good[1].header.bytes.clone();
        self.refuse(
            "header's bytes of the next change",
            |c| c[0].header.bytes = bytes,
            refuse(1, "its header is not where it says"),
        );
        self.refuse(
            "head of an earlier batch",
            |c| c[1].batch_head = good[0].batch_head.clone(),
            refuse(2, "its batch head is not in its header's block"),
        );
        self.refuse(
            "head at its record's place",
            |c| c[1].batch_head.index = c[1].record.index,
            refuse(2, "it is not in its batch"),
        );
        self.refuse(
            "place of the neighbour's change",
            |c| c[2].record.index = two[2].record.index,
            NotVerified::Inclusion(ProofError::RootMismatch),
        );
        let own = self.good();
        let (head, header) = (own.batch_head.clone(), own.header.clone());
        self.refuse(
            "the record as its own change",
            |c| c[0] = ChangeLeaves { record: own.record, batch_head: head, header },
            refuse(1, "its block does not come after the record's"),
        );
        let plain = self.ledger.change(self.ledger.index_of(&anchor(9, 1)));
        self.refuse(
            "an anchor that replaces nothing",
            |c| c[1] = plain,
            refuse(2, "its record changes no status"),
        );
        self.refuse(
            "change beyond its batch",
            |c| c[0].record.index = LeafIndex(c[0].batch_head.index.0 + 3),
            refuse(1, "it is not in its batch"),
        );
        self.refuse(
            "the newest header as that of a change",
            |c| c[2].header = own.latest_header.clone(),
            refuse(3, "its batch head is not in its header's block"),
        );
    }

    fn kinds(&mut self) {
        let good = self.good();
        let decode = |part, source| NotVerified::Decode { part, source };
        let wrong = |want, found| DecodeError::WrongKind { want, found };
        let record = good.changes[0].record.clone();
        let head = good.changes[0].batch_head.clone();
        self.refuse(
            "batch head in place of a change",
            |c| c[0].record.bytes.clone_from(&head.bytes),
            decode("status change", wrong("record", "batch head")),
        );
        self.refuse(
            "record in place of a change's head",
            |c| c[0].batch_head.bytes.clone_from(&record.bytes),
            decode("batch head of a status change", wrong("batch head", "record")),
        );
        self.refuse(
            "record in place of a change's header",
            |c| c[0].header.bytes.clone_from(&record.bytes),
            decode("header of a status change", wrong("header", "record")),
        );
        let mut later = record;
        later.bytes[3] = 2;
        self.refuse(
            "status change of a later release",
            |c| c[0].record = at(later.index.0, &later.bytes),
            decode("status change", DecodeError::UnknownVersion { what: "record", found: 2 }),
        );
    }
}

/// What no honest quorum signs, signed by a quorum.
fn forged(cases: &mut Cases) {
    let refuse = |number, why| NotVerified::Change { number, why };
    let cannot = "it cannot follow the status that the record had";
    let one = |ledger: &Ledger| ledger.index_of(&anchor(1, 1));
    let anchored = || {
        let mut ledger = Ledger::new(genesis(1));
        ledger.anchor(hour(1), PERMITS, &[anchor(1, 1)]);
        ledger
    };
    let mut newest = |name: &str, ledger: &Ledger, why| {
        let receipt = receipt_of(ledger, (1, &anchor(1, 1)), ledger.last(), &[0]);
        cases.refuse(name, ledger, 1, receipt, why);
    };

    type Steps<'a> = &'a [(Status, Status)];
    let all: [(&str, Steps<'_>, usize); 4] = [
        ("reinstated after it was revoked", &[(Valid, Revoked), (Suspended, Valid)], 2),
        ("revoked twice", &[(Valid, Revoked), (Valid, Revoked)], 2),
        ("suspended twice", &[(Valid, Suspended), (Valid, Suspended)], 2),
        ("reinstated while it was valid", &[(Suspended, Valid)], 1),
    ];
    for (name, steps, number) in all {
        let mut ledger = anchored();
        for (i, (from, to)) in (2..).zip(steps) {
            ledger.anchor(hour(i), PERMITS, &[change(one(&ledger), *from, *to, Reason::Other)]);
        }
        newest(name, &ledger, refuse(number, cannot));
    }

    let mut ledger = anchored();
    ledger.anchor(hour(2), PERMITS, &[successor(2, 1, one(&ledger)), successor(3, 1, one(&ledger))]);
    newest("superseded twice", &ledger, refuse(2, cannot));

    let mut ledger = anchored();
    ledger.anchor(hour(2), REGISTRY, &[change(one(&ledger), Valid, Revoked, Reason::Other)]);
    newest("revoked by another issuer", &ledger, refuse(1, "it is not the issuer's"));

    let mut ledger = anchored();
    ledger.anchor(hour(2), REGISTRY, &[successor(2, 2, one(&ledger))]);
    newest("superseded by another issuer", &ledger, refuse(1, "it is not the issuer's"));

    let mut ledger = anchored();
    ledger.set_status(one(&ledger), Revoked);
    ledger.append(hour(2), &[]);
    let missing = |shown, signed| NotVerified::ChangesMissing { shown, signed };
    newest("revoked by nobody", &ledger, missing(Valid, Revoked));

    let mut ledger = anchored();
    ledger.anchor(hour(2), PERMITS, &[change(one(&ledger), Valid, Suspended, Reason::Other)]);
    ledger.set_status(one(&ledger), Valid);
    ledger.append(hour(3), &[]);
    newest("suspended, and the chunk says valid", &ledger, missing(Suspended, Valid));
    let mut ledger = anchored();
    ledger.anchor(hour(2), PERMITS, &[change(one(&ledger), Valid, Revoked, Reason::Other)]);
    ledger.set_status(one(&ledger), Superseded);
    ledger.append(hour(3), &[]);
    newest("revoked, and the chunk says superseded", &ledger, missing(Revoked, Superseded));

    let mut ledger = Ledger::new(genesis(1));
    let index = ledger.size() + 1;
    let records = [anchor(1, 1), change(index, Valid, Revoked, Reason::Other)];
    ledger.anchor(hour(1), PERMITS, &records);
    newest("revoked in its own block", &ledger, refuse(1, "its block does not come after the record's"));

    for (name, earlier) in
        [("change in a block of an earlier time", hour(1) - 1), ("of the same time", hour(1))]
    {
        let mut ledger = anchored();
        ledger.anchor(earlier, PERMITS, &[change(one(&ledger), Valid, Revoked, Reason::Other)]);
        ledger.append(hour(2), &[]);
        newest(name, &ledger, refuse(1, "its block is not later than what was before it"));
    }

    let mut ledger = anchored();
    let batch = ledger.batch(PERMITS, hour(2), &[change(one(&ledger), Valid, Revoked, Reason::Other)]);
    ledger.append(hour(5), &[(&batch).into()]);
    ledger.append(hour(3), &[]);
    newest("change in a block newer than the newest", &ledger, {
        refuse(1, "its block is newer than the newest block")
    });
}
