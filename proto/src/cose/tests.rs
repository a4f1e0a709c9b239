//! Receipts read back as themselves, and nothing else is read; what is signed is bound to the leaf.
#![allow(clippy::unwrap_used)]

use alloc::{format, vec, vec::Vec};

use super::*;
use crate::{SecretKey, log::Levels};

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

fn leaf(number: u64) -> Vec<u8> {
    format!("leaf {number}").into_bytes()
}

fn tree(size: u64) -> Levels {
    Levels::new((0..size).map(|number| leaf_hash(&leaf(number))).collect())
}

fn receipt(index: u64, size: u64) -> CoseReceipt {
    let tree = tree(size);
    CoseReceipt {
        key: key(1).public().id(),
        size: LogSize(size),
        index: LeafIndex(index),
        path: tree.path(index).unwrap(),
        signature: sign_root(&key(1), &tree.root()),
    }
}

#[test]
fn every_receipt_verifies_for_its_leaf_and_key_only() {
    for size in 2..40 {
        for index in 0..size {
            let receipt = receipt(index, size);
            assert_eq!(CoseReceipt::decode(&receipt.encode()).as_ref(), Ok(&receipt));
            assert_eq!(receipt.verify(&leaf(index), &key(1).public()), Ok(tree(size).root()));
            let other = receipt.verify(&leaf(index + 1), &key(1).public());
            assert_eq!(other, Err(CoseError::BadSignature));
            let error = receipt.verify(&leaf(index), &key(2).public()).unwrap_err();
            assert!(matches!(error, CoseError::AnotherKey { .. }), "{error}");
        }
    }
}

#[test]
fn the_key_in_the_headers_is_signed() {
    let mut receipt = receipt(3, 7);
    receipt.key = key(2).public().id();
    assert_eq!(receipt.verify(&leaf(3), &key(2).public()), Err(CoseError::BadSignature));
}

#[test]
fn a_path_of_another_length_is_none() {
    let mut short = receipt(3, 7);
    short.path.pop();
    assert_eq!(short.verify(&leaf(3), &key(1).public()), Err(CoseError::Path(ProofError::TooShort)));
    let mut beyond = receipt(3, 7);
    beyond.index = LeafIndex(7);
    let error = beyond.verify(&leaf(3), &key(1).public()).unwrap_err();
    assert!(matches!(error, CoseError::Path(ProofError::IndexOutOfRange { .. })), "{error}");
    let mut empty = receipt(3, 7);
    empty.path.clear();
    let other = CoseError::Malformed(Malformed::Other("a list of some length"));
    assert_eq!(CoseReceipt::decode(&empty.encode()), Err(other), "RFC 9942 wants one hash at least");
}

#[test]
fn no_byte_can_be_changed_added_or_left_out() {
    let bytes = receipt(5, 300).encode();
    let good = CoseReceipt::decode(&bytes).unwrap();
    for at in 0..bytes.len() {
        assert!(CoseReceipt::decode(&bytes[..at]).is_err(), "{at}");
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let Ok(read) = CoseReceipt::decode(&changed) else { continue };
            assert_eq!(read.encode(), changed, "{at}.{bit}");
            // Size and index are not signed; what was proven stays the same.
            let moved = CoseReceipt { size: good.size, index: good.index, ..read.clone() };
            assert!(moved == good || read.verify(&leaf(5), &key(1).public()).is_err(), "{at}.{bit}");
        }
    }
    assert_eq!(
        CoseReceipt::decode(&[&bytes[..], &[0xf6]].concat()),
        Err(CoseError::Malformed(Malformed::More))
    );
}

#[test]
fn another_spelling_of_the_same_is_refused() {
    let receipt = receipt(5, 300);
    let bytes = receipt.encode();
    let swap = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    for (what, changed) in [
        ("no tag", bytes[1..].to_vec()),
        ("a list of indefinite length", swap(&[0xd2, 0x84], &[0xd2, 0x9f])),
        ("a longer length", swap(&[0xd2, 0x84], &[0xd2, 0x98, 4])),
        ("a longer tag", swap(&[0xd2], &[0xd8, 18])),
        ("another algorithm", swap(&[0xa3, 1, 0x27], &[0xa3, 1, 0x26])),
        ("another data structure", swap(&[0x19, 1, 0x8b, 1], &[0x19, 1, 0x8b, 2])),
        ("a proof of consistency", swap(&[0x19, 1, 0x8c, 0xa1, 0x20], &[0x19, 1, 0x8c, 0xa1, 0x21])),
        ("a payload", swap(&[0xf6, 0x58, 64], &[0x40, 0x58, 64])),
        ("undefined", swap(&[0xf6, 0x58, 64], &[0xf7, 0x58, 64])),
        ("a longer number", swap(&[0x19, 1, 44, 5], &[0x1a, 0, 0, 1, 44, 5])),
    ] {
        assert!(matches!(CoseReceipt::decode(&changed), Err(CoseError::Malformed(_))), "{what}");
    }
    let long = CoseReceipt { path: vec![Hash([7; 32]); 65], ..receipt.clone() };
    assert!(matches!(CoseReceipt::decode(&long.encode()), Err(CoseError::Malformed(_))));
    assert_eq!(CoseReceipt::decode(&[0xd2; COSE_RECEIPT_MAX + 1]), Err(CoseError::TooLong(2501)));
    let longest = CoseReceipt {
        size: LogSize(u64::MAX),
        index: LeafIndex(u64::MAX - 1),
        path: vec![Hash([7; 32]); 64],
        ..receipt
    };
    assert_eq!(CoseReceipt::decode(&longest.encode()), Ok(longest));
}

#[test]
fn what_is_signed_begins_like_no_text() {
    let message = signed_message(key(1).public().id(), &Hash([9; 32]));
    assert_eq!(&message[..12], b"\x84\x6aSignature1");
    assert!(core::str::from_utf8(&message[..1]).is_err(), "a note is UTF-8");
    assert_ne!(message[0], 0xff, "votes begin so");
}

#[test]
fn numbers_take_their_shortest_form_at_each_border() {
    for number in [0, 23, 24, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, u64::MAX] {
        let mut writer = Writer::default();
        writer.unsigned(number);
        let bytes = writer.finish();
        assert_eq!(Reader::new(&bytes).unsigned(), Ok(number));
        let longer = match bytes.len() {
            1 => vec![24, number as u8],
            2 => vec![25, 0, number as u8],
            3 => vec![26, 0, 0, (number >> 8) as u8, number as u8],
            5 => [&[27, 0, 0, 0, 0][..], &(number as u32).to_be_bytes()].concat(),
            _ => continue,
        };
        assert_eq!(Reader::new(&longer).unsigned(), Err(Malformed::NotShortest), "{number}");
    }
}

#[test]
fn a_key_set_has_each_key_under_the_name_that_receipts_use() {
    let keys = [key(1).public(), key(2).public()];
    let set = key_set(&keys);
    assert_eq!(set[..4], [0x82, 0xa5, 1, 1]);
    for key in keys {
        let parts: [&[u8]; 2] = [&key.id().0, &key.to_bytes()];
        assert!(parts.iter().all(|part| set.windows(part.len()).any(|window| window == *part)));
    }
}
