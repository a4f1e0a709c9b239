//! Real documents, anchored and verified; and what becomes of the proof when a byte changes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use markstein_proto::{
    DocumentDigest, Hash,
    receipt::{Receipt, TrustRoot},
};
use markstein_tests::files::{copy_folder, documents_below, receipt_of};

use crate::support::{Ledger, text};

fn documents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/documents")
}

fn digest(bytes: &[u8]) -> DocumentDigest {
    DocumentDigest(Hash::of(&[bytes]))
}

#[test]
fn a_folder_of_real_documents_is_anchored_and_verified_with_the_node_stopped() {
    let mut ledger = Ledger::start();
    let folder = ledger.folder("documents");
    copy_folder(&documents(), &folder).unwrap();
    let all = documents_below(&folder).unwrap();
    assert!(all.len() > 40, "{}", all.len());

    let run = ledger.anchor(&[text(&folder)]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert!(run.stdout.contains(&format!("Anchored {} documents", all.len())), "{}", run.said());
    assert!(ledger.devnet.stop().unwrap().success());

    let paths: Vec<&str> = all.iter().map(|path| text(path)).collect();
    let run = ledger.verify(&paths);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert_eq!(run.stdout.matches(": genuine and valid").count(), all.len());
    for document in &all {
        let original = documents().join(document.strip_prefix(&folder).unwrap());
        assert_eq!(fs::read(document).unwrap(), fs::read(original).unwrap(), "anchoring changes no document");
    }
}

#[test]
fn no_changed_byte_of_a_document_or_a_receipt_verifies() {
    let ledger = Ledger::start();
    let folder = ledger.folder("documents");
    let document = folder.join("permits.xml");
    fs::copy(documents().join("charlottetown-permits-2011-03-11.xml"), &document).unwrap();
    fs::write(folder.join("another.txt"), "so that the receipt has a path").unwrap();
    let run = ledger.anchor(&[text(&folder)]);
    assert_eq!(run.code, Some(0), "{}", run.said());

    let trust = ledger.devnet.trust().unwrap();
    let json = fs::read(receipt_of(&document)).unwrap();
    let receipt = Receipt::from_json(&json).unwrap();
    let bytes = fs::read(&document).unwrap();
    receipt.verify(&trust, &digest(&bytes)).unwrap();
    assert_no_changed_document_verifies(&receipt, &trust, bytes.clone());
    assert_no_changed_receipt_verifies(&receipt, &trust, json, &digest(&bytes));
}

fn assert_no_changed_document_verifies(receipt: &Receipt, trust: &TrustRoot, mut bytes: Vec<u8>) {
    for place in 0..bytes.len() {
        for bit in 0..8 {
            bytes[place] ^= 1 << bit;
            assert!(receipt.verify(trust, &digest(&bytes)).is_err(), "bit {bit} of byte {place}");
            bytes[place] ^= 1 << bit;
        }
    }
    for shorter in [0, 1, bytes.len() - 1] {
        assert!(receipt.verify(trust, &digest(&bytes[..shorter])).is_err());
    }
}

fn assert_no_changed_receipt_verifies(
    receipt: &Receipt,
    trust: &TrustRoot,
    mut json: Vec<u8>,
    document: &DocumentDigest,
) {
    let mut equal = 0;
    for place in 0..json.len() {
        for bit in 0..8 {
            json[place] ^= 1 << bit;
            match Receipt::from_json(&json) {
                Err(_) => {}
                // White space between the parts of the JSON, another spelling of the same letter.
                Ok(same) if same == *receipt => equal += 1,
                Ok(changed) => assert!(changed.verify(trust, document).is_err(), "bit {bit} of byte {place}"),
            }
            json[place] ^= 1 << bit;
        }
    }
    assert!(equal < json.len() / 4, "nearly every byte of a receipt counts: {equal}");
    for length in 0..json.len() - 1 {
        assert!(Receipt::from_json(&json[..length]).is_err(), "cut after {length} bytes");
    }
}
