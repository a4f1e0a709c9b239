//! A node that lies: the page believes nothing of it.

use std::{fs, path::Path};

use markstein_client::slip;
use markstein_proto::{Commitment, DocumentDigest, Hash, Salt, encoding::base64_encode, receipt::Receipt};
use markstein_tests::{files::receipt_of, http};
use serde_json::{Value, json};

use crate::{Office, liar::Liar, support::Page, tampered, without};

fn read(path: &Path) -> Receipt {
    Receipt::from_json(&fs::read(path).unwrap()).unwrap()
}

/// An answer of a node with these bytes in it.
fn with_bytes(bytes: &[u8]) -> Vec<u8> {
    json!({ "bytes": base64_encode(bytes), "view": {} }).to_string().into_bytes()
}

#[test]
fn no_lie_about_a_record_is_believed() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let other = office.anchor("other.pdf", b"another decision", &[]);
    let (file, of_other) = (receipt_of(&document), receipt_of(&other));
    let receipt = read(&file);
    let liar = Liar::before(office.devnet.url());
    let link = slip::link(&receipt, &liar.url).unwrap();
    let fragment = &link[link.find('#').unwrap()..];
    let place = format!("/v1/receipts/{}", receipt.record.index);
    let page = Page::open(&liar.url, "en");
    page.load(fragment);
    page.choose("document", &document);
    assert_eq!(page.verdict().0, "good", "as long as it tells the truth");
    let forged = |entry: &str| with_bytes(&tampered(&file, entry));
    let another_ledger = {
        let elsewhere = Office::open();
        let document = elsewhere.anchor("permit.pdf", b"a decision", &[]);
        with_bytes(&fs::read(receipt_of(&document)).unwrap())
    };
    for (lie, tone, said) in [
        (forged("/batch_head/leaf"), "bad", "the receipt is not in order"),
        (forged("/header/leaf"), "bad", "the receipt is not in order"),
        (forged("/status/chunks/0/bits"), "bad", "the receipt is not in order"),
        (forged("/checkpoint"), "bad", "the receipt is not in order"),
        (with_bytes(&fs::read(&of_other).unwrap()), "bad", "Not what was anchored"),
        (another_ledger, "bad", "Not what was anchored"),
        (with_bytes(b"{}"), "open", "Cannot be checked"),
        (with_bytes(b""), "open", "Cannot be checked"),
        (b"{\"bytes\": 5}".to_vec(), "open", "This server has no record for the link"),
        (b"null".to_vec(), "open", "This server has no record for the link"),
        (b"<html>".to_vec(), "open", "The server cannot be reached"),
    ] {
        liar.say(&place, lie);
        page.load(fragment);
        page.choose("document", &document);
        let (shown, text) = page.verdict();
        assert!(shown == tone && text.contains(said), "{said}: {text}");
    }
    // A public record where there is none.
    let secret = DocumentDigest(Hash::of(&[b"a decision"]));
    let public = Commitment::of(&Salt::PUBLIC, &secret);
    let indices = [json!(receipt.record.index.0), json!(-1), json!(1e99), json!("0"), Value::Null, json!({})];
    let records: Vec<Value> = indices.into_iter().map(|index| json!({ "index": index })).collect();
    let issuers = json!([{ "issuer": "bauaufsicht.neustadt.example", "records": records }]);
    liar.say(
        &format!("/v1/lookup/{}", public.0),
        json!({ "bytes": "", "view": { "issuers": issuers, "next_after": null } }).to_string(),
    );
    liar.say(&place, with_bytes(receipt.to_json().as_bytes()));
    page.check(&document, None);
    page.press_button("Look for a public record");
    let (tone, text) = page.verdict();
    assert!(tone == "open" && text.contains("No public record of this document was found"), "{text}");
}

#[test]
fn an_old_status_does_not_take_the_place_of_a_newer_one() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let file = receipt_of(&document);
    let place = format!("/v1/receipts/{}", read(&file).record.index);
    let liar = Liar::before(office.devnet.url());
    liar.say(&place, http::get(office.devnet.url(), &place).unwrap().body);
    let (key, node) = (office.devnet.issuer_key(), office.devnet.url());
    let fixed = ["revoke", "--node", node, "--key", key.to_str().unwrap(), "--reason", "unlawful"];
    let run = office.client.run(fixed.iter().copied().chain([file.to_str().unwrap()])).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let page = Page::open(&liar.url, "en");
    let mut lies: Vec<Vec<u8>> = vec![http::get(&liar.url, &place).unwrap().body];
    lies.extend([with_bytes(&tampered(&file, "/status/chunks/0/bits")), b"[]".to_vec()]);
    for lie in lies {
        liar.say(&place, lie);
        assert_eq!(page.check(&document, Some(&file)).0, "warn");
        page.press_button("Get the current status");
        page.until("a word about it", "return document.querySelector('#verdict .notice') !== null");
        let (tone, text) = page.verdict();
        assert!(tone == "warn" && text.contains("No newer status could be had"), "{text}");
        assert!(page.answer().starts_with("Genuine, but revoked on"), "{text}");
    }
}

#[test]
fn another_trust_root_is_shown_as_what_it_is() {
    if without() {
        return;
    }
    let (office, elsewhere) = (Office::open(), Office::open());
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let liar = Liar::before(office.devnet.url());
    let page = Page::open(&liar.url, "en");
    let ledger = |office: &Office| office.devnet.trust().unwrap().ledger_id().to_string();
    assert!(page.text().contains(&ledger(&office)), "{}", page.text());
    liar.say("/v1/genesis", http::get(elsewhere.devnet.url(), "/v1/genesis").unwrap().body);
    let (tone, text) = page.check(&document, Some(&receipt_of(&document)));
    assert!(tone == "open" && text.contains("is of another ledger"), "{text}");
    assert!(page.text().contains(&ledger(&elsewhere)), "{}", page.text());
    for lie in [Value::Null, json!({ "bytes": base64_encode(b"nonsense") })] {
        liar.say("/v1/genesis", lie.to_string());
        let (tone, text) = page.check(&document, Some(&receipt_of(&document)));
        assert!(tone == "open" && text.contains("The trust root is missing"), "{text}");
    }
}
