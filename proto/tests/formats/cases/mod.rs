//! Receipts that must be accepted and receipts that must be refused, each with its reason.
//!
//! The tests run them, and `vectors/markstein/receipts.json` publishes them for other implementations.

mod accepted;
mod changes;
mod forged;
mod handovers;
mod refused;

use markstein_proto::{
    DocumentDigest, Genesis, Hash, Leaf, LeafIndex, Reason, Record,
    receipt::{NotVerified, Receipt, StatusEvent, Verified},
};
use serde::Serialize;

use crate::support::{HOUR_MS, Ledger, PERMITS, REGISTRY, START_MS, anchor, digest, public_anchor, salt};

/// One receipt with a trust root, a document and the verdict.
pub struct Case {
    pub name: String,
    pub genesis: Genesis,
    pub document: DocumentDigest,
    pub receipt: Receipt,
    pub expected: Result<Facts, NotVerified>,
}

/// One change of a status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    pub status: &'static str,
    pub at_ms: u64,
    pub reason: Option<&'static str>,
    pub index: u64,
    pub height: u64,
}

/// What an accepted receipt says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub issuer: String,
    pub issuer_name: String,
    pub document_type: String,
    pub public: bool,
    pub anchored_at_ms: u64,
    pub valid_until_ms: Option<u64>,
    pub index: u64,
    pub height: u64,
    pub supersedes: Option<u64>,
    pub status: &'static str,
    pub history: Vec<Event>,
    pub issuer_status: &'static str,
    pub as_of_s: u64,
    pub log_size: u64,
    pub epoch: u64,
    pub vouchers: Vec<String>,
    pub authorities: usize,
    pub quorum: usize,
}

impl Facts {
    /// What the ledger itself knows.
    fn of_ledger(ledger: &Ledger, receipt: &Receipt, latest: usize, signers: &[usize]) -> Self {
        let index = receipt.record.index.0;
        let Record::Anchor(anchor) = record(&receipt.record.bytes) else { panic!("the record is no anchor") };
        let Record::IssuerGrant(grant) = record(&receipt.grant.bytes) else { panic!("not a grant") };
        let set = ledger.set(ledger.header(latest).epoch.0 as usize);
        let mut times: Vec<u64> = signers.iter().map(|s| ledger.as_of(latest, *s)).collect();
        times.sort_unstable();
        let header = ledger.header(ledger.block_of(index));
        Self {
            issuer: grant.issuer.to_string(),
            issuer_name: grant.name,
            document_type: ledger.genesis.document_type(anchor.document_type).unwrap().to_string(),
            public: anchor.public,
            anchored_at_ms: header.time.0,
            valid_until_ms: anchor.valid_until.map(|t| t.0),
            index,
            height: header.height.0,
            supersedes: anchor.supersedes.map(|index| index.0),
            status: ledger.status(latest, index).as_str(),
            history: ledger
                .changes_of(index, latest)
                .iter()
                .map(|at| Event::of_ledger(ledger, *at))
                .collect(),
            issuer_status: ledger.status(latest, receipt.grant.index.0).as_str(),
            as_of_s: times[times.len() - set.quorum()],
            log_size: ledger.header_index(latest) + 1,
            epoch: set.epoch().0,
            vouchers: signers.iter().map(|s| set.authorities()[*s].id.to_string()).collect(),
            authorities: set.authorities().len(),
            quorum: set.quorum(),
        }
    }

    /// What the verifier found.
    pub fn of(verified: &Verified) -> Self {
        Self {
            issuer: verified.issuer.to_string(),
            issuer_name: verified.issuer_name.clone(),
            document_type: verified.document_type.to_string(),
            public: verified.public,
            anchored_at_ms: verified.anchored_at.0,
            valid_until_ms: verified.valid_until.map(|t| t.0),
            index: verified.index.0,
            height: verified.height.0,
            supersedes: verified.supersedes.map(|index| index.0),
            status: verified.status.as_str(),
            history: verified.history.iter().map(Event::of).collect(),
            issuer_status: verified.issuer_status.as_str(),
            as_of_s: verified.as_of_s,
            log_size: verified.log_size.0,
            epoch: verified.epoch.0,
            vouchers: verified.vouchers.iter().map(|v| v.id.to_string()).collect(),
            authorities: verified.authorities,
            quorum: verified.quorum,
        }
    }
}

impl Event {
    fn of_ledger(ledger: &Ledger, index: u64) -> Self {
        let header = ledger.header(ledger.block_of(index));
        let (status, reason) = match record(&ledger.placed(index).bytes) {
            Record::StatusChange(change) => (change.to().as_str(), Some(change.reason().as_str())),
            Record::Anchor(_) => ("superseded", None),
            Record::IssuerGrant(_) => panic!("a grant changes no status"),
        };
        Self { status, at_ms: header.time.0, reason, index, height: header.height.0 }
    }

    fn of(event: &StatusEvent) -> Self {
        Self {
            status: event.status.as_str(),
            at_ms: event.at.0,
            reason: event.reason.map(Reason::as_str),
            index: event.index.0,
            height: event.height.0,
        }
    }
}

fn record(leaf: &[u8]) -> Record {
    Leaf::decode(leaf).unwrap().into_record().unwrap()
}

/// The cases, gathered.
#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    /// The receipt of a record must be accepted and say what the ledger knows.
    fn accept(
        &mut self,
        name: &str,
        ledger: &Ledger,
        (number, record): (u64, &Record),
        latest: usize,
        signers: &[usize],
    ) {
        let receipt = receipt_of(ledger, (number, record), latest, signers);
        let facts = Facts::of_ledger(ledger, &receipt, latest, signers);
        self.push(name, ledger, number, receipt, Ok(facts));
    }

    fn refuse(&mut self, name: &str, ledger: &Ledger, number: u64, receipt: Receipt, why: NotVerified) {
        self.push(name, ledger, number, receipt, Err(why));
    }

    fn push(
        &mut self,
        name: &str,
        ledger: &Ledger,
        number: u64,
        receipt: Receipt,
        expected: Result<Facts, NotVerified>,
    ) {
        let (genesis, document) = (ledger.genesis.clone(), digest(number));
        self.0.push(Case { name: name.into(), genesis, document, receipt, expected });
    }
}

/// The receipt of a record that anchors document `number`.
pub fn receipt_of(
    ledger: &Ledger,
    (number, record): (u64, &Record),
    latest: usize,
    signers: &[usize],
) -> Receipt {
    let public = matches!(record, Record::Anchor(anchor) if anchor.public);
    let salt = if public { markstein_proto::Salt::PUBLIC } else { salt(number) };
    ledger.receipt(ledger.index_of(record), salt, latest, signers)
}

/// Every case.
pub fn all() -> Vec<Case> {
    let mut cases = Cases::default();
    accepted::add(&mut cases);
    changes::add(&mut cases);
    refused::add(&mut cases);
    forged::add(&mut cases);
    handovers::add(&mut cases);
    cases.0
}

/// Four authorities and three blocks with batches. Document 1 is in block 1, of [`PERMITS`], with two others;
/// document 4 is public; 10 is in block 2, of [`REGISTRY`]; 20 and 21 are in a second batch of [`PERMITS`] in block 2;
/// block 3 holds 200 more records, so that the status tree has two chunks; blocks 4 to 6 are empty.
pub fn four() -> Ledger {
    let mut ledger = Ledger::new(crate::support::genesis(4));
    let hour = |n: u64| START_MS + n * HOUR_MS;
    ledger.anchor(hour(1), PERMITS, &[anchor(1, 1), anchor(2, 2), anchor(3, 1), public_anchor(4, 1)]);
    let registry = ledger.batch(REGISTRY, hour(2), &[anchor(10, 2)]);
    let permits = ledger.batch(PERMITS, hour(1), &[anchor(20, 1), anchor(21, 1)]);
    ledger.append(hour(2), &[(&registry).into(), (&permits).into()]);
    let many: Vec<Record> = (100..300).map(|number| anchor(number, 1)).collect();
    ledger.anchor(hour(3), PERMITS, &many);
    (4..=6).for_each(|n| _ = ledger.append(hour(n), &[]));
    ledger
}

fn at(index: u64, bytes: &[u8]) -> markstein_proto::receipt::PlacedLeaf {
    markstein_proto::receipt::PlacedLeaf { index: LeafIndex(index), bytes: bytes.to_vec() }
}

fn hash() -> Hash {
    Hash([0x5a; 32])
}
