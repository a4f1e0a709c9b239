//! The table of verdicts and exit codes.
#![allow(clippy::unwrap_used)]

use std::fs;

use markstein_proto::{LeafIndex, Salt, receipt::Receipt};

use super::*;
use crate::{
    batches::Statement,
    testing::{Ledger, NOW, entry_of},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A document, its receipt and the ledger they are on.
struct Case {
    dir: tempfile::TempDir,
    ledger: Ledger,
    batch: markstein_proto::BatchId,
    salt: Salt,
}

impl Case {
    fn new(valid_until: Option<TimeMs>) -> Self {
        let statement = Statement { document_type: 1, public: false, valid_until };
        let entry = entry_of(&["permit"], statement, NOW);
        let mut ledger = Ledger::new();
        ledger.append(entry.batch(), NOW);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("permit"), "permit").unwrap();
        let case = Self {
            dir,
            ledger,
            batch: entry.batch().id(),
            salt: entry.records()[0].paper.as_ref().unwrap().salt,
        };
        case.write(&case.receipt().to_json());
        case
    }

    fn receipt(&self) -> Receipt {
        let mut receipt = self.ledger.receipts(self.batch).remove(0);
        receipt.salt = Some(self.salt);
        receipt
    }

    fn write(&self, receipt: &str) {
        fs::write(self.dir.path().join("permit.markstein.json"), receipt).unwrap();
    }

    fn verdict(&self, now: TimeMs, max_age: Option<Duration>) -> Verdict {
        let (document, receipt) =
            (self.dir.path().join("permit"), self.dir.path().join("permit.markstein.json"));
        verify_file(self.ledger.trust(), &document, &receipt, Terms { now, max_age }, None)
    }

    fn code(&self) -> u8 {
        self.verdict(NOW, None).exit_code()
    }
}

#[test]
fn genuine_and_valid_is_0() {
    let case = Case::new(None);
    let Verdict::Genuine { verified, reservations } = case.verdict(NOW, Some(DAY)) else { panic!() };
    assert_eq!(reservations, []);
    assert_eq!(
        (verified.issuer.as_str(), verified.document_type.as_str()),
        ("permits.example", "building-permit")
    );
    assert_eq!((verified.anchored_at, verified.vouchers.len()), (NOW, 1));
    assert_eq!(case.code(), 0);
}

#[test]
fn another_document_or_receipt_is_1() {
    let case = Case::new(None);
    for content in ["Permit", "permit\n", ""] {
        fs::write(case.dir.path().join("permit"), content).unwrap();
        assert_eq!(case.code(), 1, "{content:?}");
    }
    let case = Case::new(None);
    let mut receipt = case.receipt();
    receipt.salt = Some(Salt([9; 32]));
    case.write(&receipt.to_json());
    assert_eq!(case.code(), 1);
}

#[test]
fn what_cannot_be_read_is_2() {
    let json = Case::new(None).receipt().to_json();
    let no_salt = Receipt { salt: None, ..Case::new(None).receipt() }.to_json();
    for text in [
        "",
        "{}",
        &json[..json.len() / 2],
        &json.replace("receipt/v1", "receipt/v2"),
        &json.replace("\"salt\"", "\"pepper\""),
        &no_salt,
        &" ".repeat(markstein_proto::receipt::RECEIPT_MAX + 1),
    ] {
        let case = Case::new(None);
        case.write(text);
        assert_eq!(case.code(), 2, "{}", &text[..text.len().min(80)]);
    }
    for gone in ["permit", "permit.markstein.json"] {
        let case = Case::new(None);
        fs::remove_file(case.dir.path().join(gone)).unwrap();
        assert_eq!(case.code(), 2, "{gone}");
    }
    let case = Case::new(None);
    fs::remove_file(case.dir.path().join("permit")).unwrap();
    fs::create_dir(case.dir.path().join("permit")).unwrap();
    assert_eq!(case.code(), 2, "a folder");
}

#[test]
fn a_leaf_of_a_later_version_is_2() {
    let case = Case::new(None);
    let mut receipt = case.receipt();
    // The header's first field is its version, and it stands behind the leaf's and the header's own lengths.
    let version = receipt.header.bytes.windows(2).position(|w| w == [0x08, 0x01]).unwrap();
    receipt.header.bytes[version + 1] = 2;
    case.write(&receipt.to_json());
    let Verdict::CouldNotCheck(e) = case.verdict(NOW, None) else { panic!() };
    assert!(e.to_string().contains("newer release"), "{e}");
}

#[test]
fn revoked_suspended_superseded_is_3() {
    for status in [Status::Revoked, Status::Suspended, Status::Superseded] {
        let mut case = Case::new(None);
        let index = case.receipt().record.index;
        case.ledger.set_status(index, status, TimeMs(NOW.0 + 1));
        assert_eq!(case.code(), 0, "the old receipt still says what was known then");
        case.write(&case.receipt().to_json());
        let Verdict::Genuine { reservations, .. } = case.verdict(NOW, None) else { panic!() };
        assert_eq!(reservations, [Reservation::Status(status)]);
        assert_eq!(case.code(), 3);
    }
    let mut case = Case::new(None);
    let index = LeafIndex(case.receipt().record.index.0 - 1);
    case.ledger.set_status(index, Status::Revoked, TimeMs(NOW.0 + 1));
    case.write(&case.receipt().to_json());
    assert_eq!(case.code(), 0, "another leaf's status");
}

#[test]
fn older_than_max_age_is_3() {
    let case = Case::new(None);
    let at = |days: u64| TimeMs(NOW.0 + days * 86_400_000);
    assert_eq!(case.verdict(at(1), Some(DAY)).exit_code(), 0);
    assert_eq!(case.verdict(TimeMs(at(1).0 + 1), Some(DAY)).exit_code(), 3);
    assert_eq!(case.verdict(at(9999), None).exit_code(), 0);
}

#[test]
fn past_its_own_end_is_3() {
    let end = TimeMs(NOW.0 + 10);
    let case = Case::new(Some(end));
    assert_eq!(case.verdict(end, None).exit_code(), 0);
    let Verdict::Genuine { reservations, .. } = case.verdict(TimeMs(end.0 + 1), None) else { panic!() };
    assert_eq!(reservations, [Reservation::Ended(end)]);
}

#[test]
fn a_receipt_from_the_future_is_2() {
    let case = Case::new(None);
    let behind = |ms: u64| case.verdict(TimeMs(NOW.0 - ms), None).exit_code();
    assert_eq!((behind(AHEAD_MAX_MS), behind(AHEAD_MAX_MS + 1)), (0, 2));
}

#[test]
fn of_several_the_worst_counts() {
    for (codes, expected) in
        [(vec![], 0), (vec![0, 0], 0), (vec![0, 3, 0], 3), (vec![3, 2, 0], 2), (vec![0, 2, 1, 3], 1)]
    {
        assert_eq!(worst(codes), expected);
    }
}
