//! Receipts against documents and trust roots.

use markstein_proto::{
    Commitment, DocumentDigest, Hash, Salt,
    receipt::{NotVerified, Receipt, TrustRoot},
};

use crate::{
    cases::{self, Facts, receipt_of},
    support::{anchor, digest, document},
};

#[test]
fn every_case_has_its_verdict() {
    let mut names = std::collections::BTreeSet::new();
    let mut wrong = Vec::new();
    for case in cases::all() {
        assert!(names.insert(case.name.clone()), "two cases are called {:?}", case.name);
        let verdict = case.receipt.verify(&TrustRoot::new(case.genesis), &case.document);
        let verdict = verdict.as_ref().map(Facts::of).map_err(Clone::clone);
        if verdict != case.expected {
            wrong.push(format!("{}: {verdict:?}, not {:?}", case.name, case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All but what compares the document and the salt, with the same verdict.
#[test]
fn a_record_is_verified_without_its_document() {
    let mut of_documents = 0;
    for case in cases::all() {
        let found = case.receipt.verify_record(&TrustRoot::new(case.genesis.clone()));
        match &case.expected {
            Err(NotVerified::AnotherDocument | NotVerified::NoSalt | NotVerified::SaltKind) => {
                of_documents += 1;
                if let Ok(found) = found {
                    let salt = case.receipt.salt.unwrap_or(Salt::PUBLIC);
                    let same = found.commitment == Commitment::of(&salt, &case.document);
                    assert!(!same || found.facts.public != (salt == Salt::PUBLIC));
                }
            }
            Err(other) => assert_eq!(found.as_ref(), Err(other), "{}", case.name),
            Ok(facts) => assert_eq!(Facts::of(&found.unwrap().facts), *facts, "{}", case.name),
        }
    }
    assert!(of_documents >= 3, "{of_documents}");
}

#[test]
fn every_case_goes_through_its_file() {
    for case in cases::all() {
        let json = case.receipt.to_json();
        assert_eq!(Receipt::from_json(json.as_bytes()).as_ref(), Ok(&case.receipt), "{}", case.name);
    }
}

#[test]
fn only_later_releases_are_unknown_versions() {
    for case in cases::all() {
        let later = case.name.ends_with("of a later release");
        let unknown = case.expected.as_ref().err().is_some_and(NotVerified::is_unknown_version);
        assert_eq!(later, unknown, "{}", case.name);
    }
}

/// The receipt of one record for all others of its ledger, and all documents against all receipts.
#[test]
fn a_receipt_proves_one_document() {
    let ledger = cases::four();
    let trust = TrustRoot::new(ledger.genesis.clone());
    for number in [1, 3, 20, 100, 299] {
        let receipt = receipt_of(&ledger, (number, &anchor(number, 1)), ledger.last(), &[0, 1, 2]);
        for other in [1, 2, 3, 20, 100, 101, 299] {
            let verdict = receipt.verify(&trust, &digest(other));
            if other == number {
                assert_eq!(verdict.unwrap().index.0, ledger.index_of(&anchor(number, 1)));
            } else {
                assert_eq!(verdict, Err(NotVerified::AnotherDocument));
            }
        }
    }
}

#[test]
fn every_changed_byte_of_a_document_is_noticed() {
    let ledger = cases::four();
    let trust = TrustRoot::new(ledger.genesis.clone());
    let receipt = receipt_of(&ledger, (1, &anchor(1, 1)), ledger.last(), &[0, 1, 2]);
    let verify = |bytes: &[u8]| receipt.verify(&trust, &DocumentDigest(Hash::of(&[bytes])));
    assert!(verify(&document(1)).is_ok());
    for position in 0..document(1).len() {
        for bit in 0..8 {
            let mut changed = document(1);
            changed[position] ^= 1 << bit;
            assert_eq!(verify(&changed), Err(NotVerified::AnotherDocument), "bit {bit} of {position}");
        }
        assert_eq!(verify(&document(1)[..position]), Err(NotVerified::AnotherDocument));
    }
    assert_eq!(verify(&[document(1), vec![0]].concat()), Err(NotVerified::AnotherDocument));
}

/// Whole parts of every good receipt put into every other one of the same ledger.
#[test]
fn parts_of_other_receipts_never_fit() {
    type Splice = fn(&mut Receipt, &Receipt);
    const SPLICES: [Splice; 11] = [
        |a, b| a.record.clone_from(&b.record),
        |a, b| a.batch_head.clone_from(&b.batch_head),
        |a, b| a.batch_path.clone_from(&b.batch_path),
        |a, b| a.grant.clone_from(&b.grant),
        |a, b| a.header.clone_from(&b.header),
        |a, b| a.latest_header.clone_from(&b.latest_header),
        |a, b| a.proof.clone_from(&b.proof),
        |a, b| a.status.clone_from(&b.status),
        |a, b| a.checkpoint.clone_from(&b.checkpoint),
        |a, b| a.handovers.clone_from(&b.handovers),
        |a, b| a.changes.clone_from(&b.changes),
    ];
    let good: Vec<_> = cases::all().into_iter().filter(|case| case.expected.is_ok()).collect();
    for a in &good {
        let trust = TrustRoot::new(a.genesis.clone());
        for b in &good {
            for splice in SPLICES {
                let mut spliced = a.receipt.clone();
                splice(&mut spliced, &b.receipt);
                // Signers may be exchanged for other signers of the same checkpoint; that is all.
                let same_head = a.receipt.latest_header == b.receipt.latest_header && a.genesis == b.genesis;
                if let Ok(verified) = spliced.verify(&trust, &a.document) {
                    assert!(spliced == a.receipt || same_head, "{} with {}", a.name, b.name);
                    assert_eq!(verified.index, a.receipt.record.index);
                }
            }
        }
    }
}
