//! Project Wycheproof's edge cases of Ed25519 verification, all of them.
#![allow(clippy::unwrap_used)]

use markstein_proto::{PublicKey, Signature};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    number_of_tests: usize,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    public_key: Key,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Key {
    pk: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    tc_id: u32,
    comment: String,
    msg: String,
    sig: String,
    result: String,
}

/// What the crate says: a key, a signature of the right length, and that they fit.
fn accepted(key: &str, message: &str, signature: &str) -> bool {
    let Ok(key) = PublicKey::from_bytes(&hex::decode(key).unwrap()) else { return false };
    let Ok(signature) = Signature::try_from(hex::decode(signature).unwrap().as_slice()) else { return false };
    key.verify(&hex::decode(message).unwrap(), &signature).is_ok()
}

/// Strict verification might refuse cases marked valid, but it need not: there is no list of exceptions.
#[test]
fn every_verdict_is_wycheproofs() {
    let file: File = serde_json::from_str(include_str!("vectors/wycheproof/ed25519_test.json")).unwrap();
    let mut seen = 0;
    for group in &file.test_groups {
        for case in &group.tests {
            let expected = match case.result.as_str() {
                "valid" => true,
                "invalid" => false,
                other => panic!("case {} has the unknown result {other:?}", case.tc_id),
            };
            let verdict = accepted(&group.public_key.pk, &case.msg, &case.sig);
            assert_eq!(verdict, expected, "case {} {:?}", case.tc_id, case.comment);
            seen += 1;
        }
    }
    assert_eq!((seen, file.number_of_tests), (151, 151), "no case was left out");
}

#[test]
fn signatures_of_another_length_are_refused_before_verification() {
    for length in [0, 32, 62, 63, 65, 66, 96] {
        assert_eq!(Signature::try_from(vec![0; length].as_slice()), Err(length));
    }
}
