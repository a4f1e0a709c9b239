//! The receipt file: what is read, what is refused, and that no bit of it is without meaning.

use markstein_proto::receipt::{
    CHANGES_MAX, ChangeLeaves, HANDOVERS_MAX, RECEIPT_MAX, Receipt, ReceiptError, TrustRoot,
};

use markstein_proto::{
    Reason,
    encoding::base64_encode,
    status::{Status, zero_root},
};

use crate::{
    cases::{self, receipt_of},
    support::{PERMITS, Random, anchor, change, digest},
};

fn good() -> Receipt {
    let ledger = cases::four();
    receipt_of(&ledger, (1, &anchor(1, 1)), ledger.last(), &[0, 1, 2])
}

/// The base64 of the salt.
fn salt_of(json: &str) -> &str {
    json.split('"').nth(7).unwrap()
}

/// The entry of the status proof, which is not empty.
fn status_proof(json: &str) -> String {
    let status = json.split("\"status\":").nth(1).unwrap();
    let proof = status.split("\"proof\":\"").nth(1).unwrap();
    format!("\"proof\":\"{}\"}}", proof.split('"').next().unwrap())
}

/// That entry with the root of one zero chunk written out.
fn zero_root_as_hash() -> String {
    let bytes = [&[0xff][..], &zero_root(0).0].concat();
    format!("\"proof\":\"{}\"}}", base64_encode(&bytes))
}

fn malformed(json: &str, detail: &str) {
    match Receipt::from_json(json.as_bytes()) {
        Err(ReceiptError::Malformed(message)) => assert!(message.contains(detail), "{message}"),
        other => panic!("{detail}: {:?}", other.err()),
    }
}

/// Texts that are no receipt, by name, for the published vectors.
pub fn refused_files() -> Vec<(&'static str, String)> {
    let json = good().to_json();
    let replace = |from: &str, to: &str| {
        let changed = json.replacen(from, to, 1);
        assert_ne!(changed, json, "{from}");
        changed
    };
    let salt = salt_of(&json);
    vec![
        ("unknown entry", replace("{", "{\"note\":\"\",")),
        ("unknown entry of a part", replace("\"index\"", "\"place\": 1, \"index\"")),
        ("entry twice", replace("\"index\"", "\"index\": 5, \"index\"")),
        ("entry missing", replace("\"checkpoint\"", "\"checkpoints\"")),
        ("explicit empty list", replace("{", "{\"handovers\":[],")),
        ("null as salt", replace(&format!("\"{salt}\""), "null")),
        ("index as text", replace("\"index\":6", "\"index\":\"6\"")),
        ("index with a leading zero", replace("\"index\":6", "\"index\":06")),
        ("index with a fraction", replace("\"index\":6", "\"index\":6.0")),
        ("base64 without padding", replace("=\"", "\"")),
        ("base64 with a line break", replace("=\"", "=\\n\"")),
        ("salt too short", replace(&salt[..4], "")),
        ("a root of zero chunks as a hash", replace(&status_proof(&json), &zero_root_as_hash())),
        ("format of a later release", replace("receipt/v1", "receipt/v2")),
        ("text behind the receipt", format!("{json}{{}}")),
        ("cut off", json[..json.len() / 2].to_owned()),
        ("empty", String::new()),
    ]
}

#[test]
fn texts_that_are_no_receipt_are_refused() {
    for (name, text) in refused_files() {
        assert!(Receipt::from_json(text.as_bytes()).is_err(), "{name}");
    }
}

#[test]
fn a_receipt_is_written_as_it_was_read() {
    let receipt = good();
    assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()), Ok(receipt.clone()));
    let without = Receipt { salt: None, ..receipt };
    assert!(!without.to_json().contains("salt"));
    assert_eq!(Receipt::from_json(without.to_json().as_bytes()), Ok(without));
}

#[test]
fn unknown_missing_and_repeated_entries_are_refused() {
    let json = good().to_json();
    malformed(&json.replacen('{', "{\"note\":\"\",", 1), "unknown field `note`");
    malformed(&json.replacen("\"index\"", "\"place\": 1, \"index\"", 1), "unknown field `place`");
    malformed(&json.replacen("\"index\"", "\"index\": 5, \"index\"", 1), "duplicate field `index`");
    let format = "\"format\":\"markstein-receipt/v1\",";
    malformed(&json.replacen(format, &format.repeat(2), 1), "duplicate field `format`");
    let salt = format!("\"salt\":\"{}\",", salt_of(&json));
    malformed(&json.replacen(&salt, &salt.repeat(2), 1), "duplicate field `salt`");
    malformed(&json.replacen("\"checkpoint\"", "\"checkpoints\"", 1), "unknown field `checkpoints`");
    malformed("{}", "missing field `format`");
    malformed(&format!("{{{}}}", format.trim_end_matches(',')), "missing field `record`");
    for text in ["", "null", "[]", "\"markstein-receipt/v1\"", "{\"format\": 1}", "\u{feff}{}"] {
        malformed(text, "");
    }
    malformed(&format!("{json}{{}}"), "trailing characters");
}

#[test]
fn a_part_is_an_object_and_a_number_a_number() {
    let json = good().to_json();
    let index = format!("\"index\":{}", good().record.index);
    for number in ["-1", "1.0", "\"1\"", "18446744073709551616", "1e0", "null", "01"] {
        malformed(&json.replacen(&index, &format!("\"index\": {number}"), 1), "");
    }
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    for part in ["record", "batch_head", "grant", "header", "latest_header"] {
        let mut list = value.clone();
        list[part] = serde_json::json!([value[part]["index"], value[part]["leaf"]]);
        malformed(&list.to_string(), "");
    }
    let mut list = value.clone();
    list["status"] = serde_json::json!([value["status"]["chunks"], value["status"]["proof"]]);
    malformed(&list.to_string(), "");
    for (part, empty) in [("salt", serde_json::Value::Null), ("handovers", serde_json::json!([]))] {
        let mut explicit = value.clone();
        explicit[part] = empty;
        malformed(&explicit.to_string(), "what is empty is left out");
    }
    let mut explicit = value.clone();
    explicit["status"]["changes"] = serde_json::json!([]);
    malformed(&explicit.to_string(), "what is empty is left out");
    let chunk = &value["status"]["chunks"][0];
    let mut list = value.clone();
    list["status"]["chunks"][0] = serde_json::json!([chunk["index"], chunk["bits"]]);
    malformed(&list.to_string(), "");
}

#[test]
fn other_formats_are_named() {
    let json = good().to_json();
    for format in ["markstein-receipt/v2", "markstein-receipt/v1 ", "Markstein-receipt/v1", ""] {
        let other = json.replacen("markstein-receipt/v1", format, 1);
        let unknown = Err(ReceiptError::UnknownFormat(format.into()));
        assert_eq!(Receipt::from_json(other.as_bytes()), unknown);
        // The rest may look different in a later release.
        let later = format!("{{\"format\": \"{format}\", \"proofs\": [1, 2, 3]}}");
        assert_eq!(Receipt::from_json(later.as_bytes()), unknown);
    }
    let long = format!("{{\"format\": \"{}\"}}", "x".repeat(1000));
    assert_eq!(Receipt::from_json(long.as_bytes()), Err(ReceiptError::UnknownFormat("x".repeat(64))));
}

#[test]
fn base64_has_one_text() {
    let value: serde_json::Value = serde_json::from_str(&good().to_json()).unwrap();
    let read = |value: &serde_json::Value| Receipt::from_json(value.to_string().as_bytes());
    for pointer in
        ["/salt", "/record/leaf", "/batch_path", "/proof", "/status/proof", "/status/chunks/0/bits"]
    {
        let mut changed = value.clone();
        let text = value.pointer(pointer).unwrap().as_str().unwrap().to_owned();
        if text.is_empty() {
            continue;
        }
        let all = [
            format!("{text}="),
            format!("{text}\n"),
            format!(" {text}"),
            text[..text.len() - 1].to_owned(),
            text.replacen(&text[..1], "-", 1),
        ];
        for other in all {
            *changed.pointer_mut(pointer).unwrap() = other.into();
            assert!(matches!(read(&changed), Err(ReceiptError::Base64 { .. })), "{pointer}");
        }
    }
    for (pointer, text) in [("/salt", "AAAA"), ("/status/chunks/0/bits", ""), ("/proof", "AAAA")] {
        let mut changed = value.clone();
        *changed.pointer_mut(pointer).unwrap() = text.into();
        assert!(matches!(read(&changed), Err(ReceiptError::Length { .. })), "{pointer}");
    }
}

#[test]
fn sizes_are_bounded() {
    let json = good().to_json();
    let padded = |length: usize| format!("{json}{}", " ".repeat(length - json.len()));
    assert_eq!(Receipt::from_json(padded(RECEIPT_MAX).as_bytes()), Ok(good()));
    let error = Receipt::from_json(padded(RECEIPT_MAX + 1).as_bytes());
    assert_eq!(error, Err(ReceiptError::TooLong(RECEIPT_MAX + 1)));

    let mut many = good();
    many.status.chunks = vec![many.status.chunks[0]; 3];
    malformed(&many.to_json(), "more parts");
    // Before anything of its size is made of them: each takes far more memory as a JSON value than in the file.
    let mut listed: serde_json::Value = serde_json::from_str(&many.to_json()).unwrap();
    listed["status"]["chunks"][0] = serde_json::json!([0, ""]);
    malformed(&listed.to_string(), "more parts");
    let mut many = good();
    let handover = markstein_proto::receipt::Handover {
        header: many.header.clone(),
        proof: Vec::new(),
        checkpoint: String::new(),
        next: Vec::new(),
    };
    many.handovers = vec![handover; HANDOVERS_MAX + 1];
    malformed(&many.to_json(), "more parts");
    let mut many = good();
    let [record, batch_head, header] = [&many.record, &many.batch_head, &many.header].map(Clone::clone);
    many.changes = vec![ChangeLeaves { record, batch_head, header }; CHANGES_MAX];
    assert_eq!(Receipt::from_json(many.to_json().as_bytes()), Ok(many.clone()));
    many.changes.push(many.changes[0].clone());
    malformed(&many.to_json(), "more parts");
    let mut long = good();
    long.record.bytes = vec![0; markstein_proto::LEAF_MAX + 1];
    assert!(matches!(Receipt::from_json(long.to_json().as_bytes()), Err(ReceiptError::Base64 { .. })));
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["[", "{\"a\":", "{\"format\":["] {
        assert!(Receipt::from_json(open.repeat(100_000).as_bytes()).is_err());
    }
}

#[test]
fn every_truncated_receipt_is_refused() {
    let json = good().to_json();
    for length in 0..json.trim_end().len() {
        assert!(Receipt::from_json(&json.as_bytes()[..length]).is_err(), "{length} bytes");
    }
}

/// A flipped bit is noticed, or changes nothing that the file says.
#[test]
fn every_changed_bit_of_a_receipt_is_refused() {
    let mut ledger = cases::four();
    let revoked = change(ledger.index_of(&anchor(1, 1)), Status::Valid, Status::Revoked, Reason::Unlawful);
    ledger.anchor(crate::support::START_MS + 9 * crate::support::HOUR_MS, PERMITS, &[revoked]);
    ledger.end_epoch(crate::support::START_MS * 2, crate::support::authority_set(1, [4]));
    let latest = ledger.append(crate::support::START_MS * 2 + 1, &[]);
    let receipt = receipt_of(&ledger, (1, &anchor(1, 1)), latest, &[0]);
    let trust = TrustRoot::new(ledger.genesis.clone());
    assert!(receipt.verify(&trust, &digest(1)).is_ok());
    let json = receipt.to_json().into_bytes();
    let mut unread = 0;
    for position in 0..json.len() {
        for bit in 0..8 {
            let mut changed = json.clone();
            changed[position] ^= 1 << bit;
            match Receipt::from_json(&changed) {
                Err(_) => unread += 1,
                Ok(other) if other == receipt => {}
                Ok(other) => {
                    assert!(other.verify(&trust, &digest(1)).is_err(), "bit {bit} of byte {position}")
                }
            }
        }
    }
    assert!(unread > json.len(), "most flips are noticed while reading");
}

#[test]
fn damaged_texts_prove_nothing() {
    let mut random = Random(11);
    let receipt = good();
    let trust = TrustRoot::new(cases::four().genesis);
    let json = receipt.to_json().into_bytes();
    for _ in 0..2000 {
        let mut changed = json.clone();
        for _ in 0..=random.below(4) {
            let (start, length) = (random.below(changed.len() as u64) as usize, random.below(40) as usize);
            let end = (start + length).min(changed.len());
            let insert = random.below(20);
            let insert = random.bytes(insert);
            changed.splice(start..end, insert);
        }
        if let Ok(other) = Receipt::from_json(&changed) {
            assert!(other == receipt || other.verify(&trust, &digest(1)).is_err());
        }
    }
}

#[test]
fn a_refusal_quotes_little_of_what_it_refuses() {
    let name = "x".repeat(1024 * 1024);
    let json = format!(r#"{{"format": "markstein-receipt/v1", "{name}": 1}}"#);
    let refused = Receipt::from_json(json.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("unknown field") && refused.len() < 300, "{} bytes", refused.len());
}
