//! COSE receipts, judged by two Python packages that know nothing of each other: `scitt-cose` and `cwt`.

use std::{collections::BTreeMap, fs, process::Command};

use markstein_proto::cose::CoseReceipt;
use serde_json::Value;

use crate::{
    exports::Exports,
    python::{python, scripts},
    said,
};

/// What the script says of each: nothing where it accepts all of it.
fn judged(all: &[&Exports]) -> Vec<Option<String>> {
    let folder = tempfile::tempdir().unwrap();
    let folders: Vec<_> = (0..all.len()).map(|number| folder.path().join(number.to_string())).collect();
    for (exports, folder) in all.iter().zip(&folders) {
        exports.write(folder);
    }
    let output = Command::new(python()).arg(scripts().join("cose.py")).args(&folders).output().unwrap();
    assert!(output.status.success(), "cose.py: {}", said(&output));
    let verdicts: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    verdicts.iter().map(|verdict| verdict.as_str().map(str::to_owned)).collect()
}

/// Changes of one authority's receipt, of the record and of its key.
fn tampered(exports: &Exports) -> Vec<(String, Exports)> {
    let name = exports.names().find(|name| name.ends_with(".cose")).unwrap();
    let bytes = exports.bytes(name).unwrap();
    let receipt = CoseReceipt::decode(bytes).unwrap();
    let swap = |from: &[u8], to: &[u8]| {
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        [&bytes[..at], to, &bytes[at + from.len()..]].concat()
    };
    let made = |change: fn(&mut CoseReceipt)| {
        let mut receipt = receipt.clone();
        change(&mut receipt);
        receipt.encode()
    };
    let receipts = [
        ("its signature", made(|it| it.signature.0[40] ^= 1)),
        ("its lowest hash", made(|it| it.path[0].0[0] ^= 1)),
        ("its highest hash", made(|it| it.path.last_mut().unwrap().0[31] ^= 0x80)),
        ("a hash less", made(|it| it.path.truncate(it.path.len() - 1))),
        ("a hash more", made(|it| it.path.push(it.path[0]))),
        ("the place beside it", made(|it| it.index.0 ^= 1)),
        ("a log twice as large", made(|it| it.size.0 *= 2)),
        ("an unknown key", made(|it| it.key.0[0] ^= 1)),
        ("another algorithm", swap(&[0xa3, 1, 0x27], &[0xa3, 1, 0x26])),
        ("another data structure", swap(&[0x19, 1, 0x8b, 1], &[0x19, 1, 0x8b, 2])),
        ("a proof of consistency", swap(&[0x19, 1, 0x8c, 0xa1, 0x20], &[0x19, 1, 0x8c, 0xa1, 0x21])),
        ("a payload", swap(&[0xf6, 0x58, 64], &[0x40, 0x58, 64])),
        ("its end is missing", bytes[..bytes.len() - 1].to_vec()),
        ("more behind its end", [bytes, &[0]].concat()),
    ];
    let mut all: Vec<(String, Exports)> =
        receipts.into_iter().map(|(what, bytes)| (what.to_owned(), exports.with(name, bytes))).collect();

    let other =
        exports.names().filter(|other| other.ends_with(".cose")).find(|other| *other != name).unwrap();
    let other = CoseReceipt::decode(exports.bytes(other).unwrap()).unwrap();
    let of_another = CoseReceipt { key: other.key, ..receipt.clone() };
    all.push(("another authority's name".into(), exports.with(name, of_another.encode())));
    all.push(("another authority's receipt twice".into(), exports.with(name, other.encode())));
    let leaf = exports.bytes("cose/record.leaf").unwrap();
    for at in [0, leaf.len() / 2, leaf.len() - 1] {
        let mut changed = leaf.to_vec();
        changed[at] ^= 1;
        all.push((format!("byte {at} of the record"), exports.with("cose/record.leaf", changed)));
    }
    let mut keys = exports.bytes("cose/keys").unwrap().to_vec();
    let at = keys.windows(16).position(|window| window == receipt.key.0).unwrap() + 30;
    keys[at] ^= 1; // within the public key that stands behind its id
    all.push(("its key".into(), exports.with("cose/keys", keys)));
    all
}

#[test]
fn scitt_cose_and_cwt_accept_what_authorities_sign_and_refuse_what_was_changed() {
    let exports = Exports::made();
    assert_eq!(
        exports.names().filter(|name| name.ends_with(".cose")).count(),
        4,
        "each authority has signed"
    );
    let vectors = vectors();
    let changed = tampered(exports);
    let all: Vec<&Exports> =
        [exports, &vectors].into_iter().chain(changed.iter().map(|(_, exports)| exports)).collect();
    let mut verdicts = judged(&all).into_iter();
    assert_eq!(verdicts.next(), Some(None), "what was exported");
    assert_eq!(verdicts.next(), Some(None), "the published vectors");
    for ((what, _), verdict) in changed.iter().zip(verdicts) {
        assert!(verdict.is_some(), "{what} is accepted");
    }
}

/// The vectors of the format, as exports.
fn vectors() -> Exports {
    let path = scripts().join("../../proto/tests/vectors/markstein/cose.json");
    let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let step = |name: &str| {
        let step = file["steps"].as_array().unwrap().iter().find(|step| step["name"] == name).unwrap();
        let digits = step["hex"].as_str().unwrap().as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect::<Vec<u8>>()
    };
    let files = [("cose/keys", "key_set"), ("cose/record.leaf", "leaf"), ("cose/a0.cose", "receipt")];
    Exports::of(files.map(|(name, of)| (name.to_owned(), step(of))).into_iter().collect::<BTreeMap<_, _>>())
}
