//! What no honest quorum signs, signed by a quorum: a receipt must be refused for what it says all the same.

use markstein_proto::{
    Author, AuthorError, BatchHead, DecodeError, EpochId, Header, KeyId, Leaf, LeafIndex, Record, SecretKey,
    Signature, TimeMs,
    log::{self, ProofError},
    receipt::NotVerified,
    status::Status,
};

use super::{Cases, receipt_of};
use crate::support::{
    EXPIRING, HOUR_MS, Ledger, PERMITS, Part, REGISTRY, START_MS, anchor, genesis, grant, issuer_id, secret,
};

const NOW: u64 = START_MS + 100 * HOUR_MS;

pub(super) fn add(cases: &mut Cases) {
    keys(cases);
    signers(cases);
    scopes(cases);
    times(cases);
    headers(cases);
    older_newest(cases);
    grants(cases);
    statuses(cases);
    shapes(cases);
}

fn ledger() -> Ledger {
    Ledger::new(genesis(1))
}

impl Cases {
    /// Document 1 is in the newest block, and its receipt must be refused.
    fn refuse_newest(&mut self, name: &str, ledger: &Ledger, document_type: u32, why: NotVerified) {
        let receipt = receipt_of(ledger, (1, &anchor(1, document_type)), ledger.last(), &[0]);
        self.refuse(name, ledger, 1, receipt, why);
    }
}

fn keys(cases: &mut Cases) {
    for (name, time) in [
        ("block before the key is good", START_MS + HOUR_MS - 1),
        ("block after the key was good", START_MS + 10 * HOUR_MS + 1),
    ] {
        let mut ledger = ledger();
        // The batch itself says that it was made while the key was good: what counts is the block's time.
        let batch = ledger.batch(EXPIRING, START_MS + 2 * HOUR_MS, &[anchor(1, 1)]);
        ledger.append(time, &[(&batch).into()]);
        cases.refuse_newest(name, &ledger, 1, AuthorError::KeyNotValid.into());
    }
}

/// A head over document 1, signed as the closure says.
fn part(ledger: &Ledger, document_type: u32, author: Author, signatures: &[(KeyId, &SecretKey)]) -> Part {
    let record = anchor(1, document_type);
    let mut head = BatchHead {
        ledger: ledger.id,
        created_at: TimeMs(NOW),
        record_count: 1,
        records_root: log::leaf_hash(&record.to_leaf()),
        signatures: Vec::new(),
        author,
    };
    let signing_bytes = head.signing_bytes();
    head.signatures = signatures.iter().map(|(id, key)| (*id, key.sign(&signing_bytes))).collect();
    Part::of(head, &[record])
}

fn signers(cases: &mut Cases) {
    let (own, other) = (secret(PERMITS, "issuer"), secret(REGISTRY, "issuer"));
    let (own_id, other_id) = (own.public().id(), other.public().id());
    let permits = |key| Author::Issuer { issuer: issuer_id(PERMITS), key };
    let all = [
        ("signed with another issuer's key", other_id, vec![(other_id, &other)], AuthorError::KeyNotValid),
        (
            "signed with a key that is not the named one",
            own_id,
            vec![(own_id, &other)],
            AuthorError::BadSignature,
        ),
        ("signature of another key than named", own_id, vec![(other_id, &own)], AuthorError::WrongSigners),
    ];
    for (name, key, signatures, why) in all {
        let mut ledger = ledger();
        let part = part(&ledger, 1, permits(key), &signatures);
        ledger.append(NOW, &[part]);
        cases.refuse_newest(name, &ledger, 1, why.into());
    }
    let mut own_ledger = ledger();
    let made = part(&own_ledger, 1, Author::Genesis, &[]);
    own_ledger.append(NOW, &[made]);
    let why = AuthorError::AnotherIssuer.into();
    cases.refuse_newest("batch without author outside block 0", &own_ledger, 1, why);

    let mut own_ledger = ledger();
    let mut made = part(&own_ledger, 1, permits(own_id), &[(own_id, &own)]);
    let mut head = Leaf::decode(&made.head).unwrap().into_batch_head().unwrap();
    head.signatures[0].1 = Signature([0; 64]);
    made.head = Leaf::BatchHead(head).encode();
    own_ledger.append(NOW, &[made]);
    cases.refuse_newest("zero signature", &own_ledger, 1, AuthorError::BadSignature.into());

    let twin = Ledger::new({
        let mut twin = genesis(1);
        twin.nonce = [8; 32];
        twin
    });
    let mut own_ledger = ledger();
    own_ledger.append(NOW, &[(&twin.batch(PERMITS, NOW, &[anchor(1, 1)])).into()]);
    cases.refuse_newest("batch of a ledger with the same keys", &own_ledger, 1, NotVerified::AnotherLedger);
}

fn scopes(cases: &mut Cases) {
    let mut out = ledger();
    out.anchor(NOW, REGISTRY, &[anchor(1, 1)]);
    cases.refuse_newest("type outside the grant", &out, 1, NotVerified::OutOfScope);

    let mut unknown = ledger();
    let admit = unknown.batch(PERMITS, NOW, &[Record::IssuerGrant(grant(PERMITS, &[99]))]);
    unknown.append(NOW, &[(&admit).into()]);
    unknown.anchor(NOW, PERMITS, &[anchor(1, 99)]);
    cases.refuse_newest("type that is not registered", &unknown, 99, NotVerified::UnknownDocumentType);
}

fn times(cases: &mut Cases) {
    for (name, created_at) in [
        ("batch made 24 hours and 1 ms before its block", NOW - 24 * HOUR_MS - 1),
        ("batch made 24 hours and 1 ms after its block", NOW + 24 * HOUR_MS + 1),
        ("batch made at time zero", 0),
        ("batch made at the end of time", u64::MAX),
    ] {
        let mut ledger = ledger();
        let batch = ledger.batch(PERMITS, created_at, &[anchor(1, 1)]);
        ledger.append(NOW, &[(&batch).into()]);
        cases.refuse_newest(name, &ledger, 1, NotVerified::CreatedAt);
    }
}

fn headers(cases: &mut Cases) {
    type Change = fn(&mut Header);
    let set = NotVerified::AnotherAuthoritySet;
    let all: [(&str, Change, NotVerified); 4] = [
        (
            "header that begins behind the batch",
            |h| h.first_index = LeafIndex(h.first_index.0 + 1),
            NotVerified::Places("the batch head is not in the header's block"),
        ),
        ("header of a later epoch", |h| h.epoch = EpochId(1), set.clone()),
        ("header of the last epoch", |h| h.epoch = EpochId(u64::MAX), set.clone()),
        ("header that names other authorities", |h| h.authority_set.0[31] ^= 1, set),
    ];
    for (name, change, why) in all {
        let mut ledger = ledger();
        let batch = ledger.batch(PERMITS, NOW, &[anchor(1, 1)]);
        ledger.append_with(NOW, &[(&batch).into()], change);
        cases.refuse_newest(name, &ledger, 1, why);
    }
    let newer = NotVerified::Places("the record's block is newer than the newest block");
    let lower: [(&str, Change); 2] =
        [("newest header of a lower height", |h| h.height.0 = 0), ("record of a later epoch", |_| ())];
    for (name, change) in lower {
        let mut ledger = ledger();
        let batch = ledger.batch(PERMITS, NOW, &[anchor(1, 1)]);
        let later = if name.starts_with("record") { 1 } else { 0 };
        ledger.append_with(NOW, &[(&batch).into()], |h| h.epoch = EpochId(later));
        ledger.append_with(NOW + 1, &[], change);
        cases.refuse_newest(name, &ledger, 1, newer.clone());
    }
}

/// A newest header that claims a great height and stands before the record.
fn older_newest(cases: &mut Cases) {
    let mut ledger = ledger();
    let high = ledger.append_with(NOW, &[], |h| h.height.0 = 9);
    ledger.anchor(NOW + 1, PERMITS, &[anchor(1, 1)]);
    let mut receipt = receipt_of(&ledger, (1, &anchor(1, 1)), ledger.last(), &[0]);
    receipt.latest_header = ledger.placed(ledger.header_index(high));
    let why = NotVerified::Places("the newest header is older than the record's");
    cases.refuse("newest header of a great height before the record", &ledger, 1, receipt, why);
}

fn grants(cases: &mut Cases) {
    let mut ledger = ledger();
    ledger.anchor(NOW, PERMITS, &[anchor(1, 1)]);
    let admit = ledger.batch(PERMITS, NOW, &[Record::IssuerGrant(grant(PERMITS, &[1]))]);
    ledger.append(NOW + 1, &[(&admit).into()]);
    let why = NotVerified::Places("the grant does not come before the record");
    cases.refuse_newest("grant given afterwards", &ledger, 1, why);
}

fn statuses(cases: &mut Cases) {
    let mut ledger = ledger();
    ledger.set_status(100, Status::Revoked);
    ledger.anchor(NOW, PERMITS, &[anchor(1, 1)]);
    let why = NotVerified::Status(ProofError::StatusBeyondLog);
    cases.refuse_newest("status of leaves that do not exist", &ledger, 1, why);
}

/// Leaves that are not canonical, in a log that is signed all the same.
fn shapes(cases: &mut Cases) {
    let decode = |part, source| NotVerified::Decode { part, source };
    let good = anchor(1, 1).to_leaf();
    let with_unknown = [good.as_slice(), &[0x7a, 0]].concat();
    for (name, leaf, why) in [
        ("record with an unknown field", with_unknown, decode("record", DecodeError::NotCanonical("leaf"))),
        (
            "record cut short",
            good[..good.len() - 1].to_vec(),
            decode("record", DecodeError::Malformed("leaf")),
        ),
    ] {
        let mut ledger = ledger();
        let batch = ledger.batch(PERMITS, NOW, &[anchor(1, 1)]);
        ledger.append(NOW, &[(&batch).into()]);
        let mut receipt = receipt_of(&ledger, (1, &anchor(1, 1)), ledger.last(), &[0]);
        receipt.record.bytes = leaf;
        cases.refuse(name, &ledger, 1, receipt, why);
    }
}
