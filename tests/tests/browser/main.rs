//! The citizens' page in a real browser: Debian's Chromium, which `config/setup` installs. Where that cannot be,
//! `MARKSTEIN_WITHOUT_BROWSER=1` leaves these tests out.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod liar;
mod lies;
mod network;
mod offices;
#[path = "../third_party/python.rs"]
mod python;
mod qr;
mod report;
mod single_file;
mod support;
mod tee;
mod webdriver;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use markstein_client::slip;
use markstein_proto::{encoding::base64_encode, receipt::Receipt};
use markstein_tests::{client::Client, devnet::Devnet, files::receipt_of};
use serde_json::{Value, json};
use support::Page;
use tee::Tee;
use tempfile::TempDir;

/// A running ledger and some documents with their receipts.
struct Office {
    devnet: Devnet, // dropped before its folder
    client: Client,
    folder: TempDir,
}

impl Office {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let devnet = Devnet::start(&folder.path().join("ledger")).unwrap();
        let client = Client::new(&folder.path().join("state")).unwrap();
        Self { devnet, client, folder }
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Anchors a document; its receipt stands beside it.
    fn anchor(&self, name: &str, content: &[u8], more: &[&str]) -> PathBuf {
        let (path, key) = (self.write(name, content), self.devnet.issuer_key());
        let fixed =
            ["anchor", "--node", self.devnet.url(), "--key", key.to_str().unwrap(), "--type", "decision"];
        let run = self.client.run(fixed.iter().chain(more).copied().chain([path.to_str().unwrap()])).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.said());
        path
    }
}

/// Says that there is no browser on this machine, and none is wanted.
const WITHOUT: &str = "MARKSTEIN_WITHOUT_BROWSER";

/// Whether no browser is wanted; says so.
#[allow(clippy::print_stderr)]
fn without() -> bool {
    let without = std::env::var_os(WITHOUT).is_some();
    if without {
        eprintln!("{WITHOUT} is set: this test is left out");
    }
    without
}

/// A receipt with one letter of a base64 text changed.
fn tampered(receipt: &Path, entry: &str) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(&fs::read(receipt).unwrap()).unwrap();
    let text = json.pointer_mut(entry).unwrap();
    let mut letters: Vec<char> = text.as_str().unwrap().chars().collect();
    let middle = letters.len() / 2;
    letters[middle] = if letters[middle] == 'A' { 'B' } else { 'A' };
    *text = letters.into_iter().collect::<String>().into();
    serde_json::to_vec_pretty(&json).unwrap()
}

#[test]
fn every_shared_vector_has_the_same_verdict_in_the_page_s_own_verifier() {
    if without() {
        return;
    }
    let office = Office::open();
    let vectors =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto/tests/vectors/markstein/receipts.json");
    let vectors: Value = serde_json::from_slice(&fs::read(vectors).unwrap()).unwrap();
    let page = Page::open(office.devnet.url(), "en");
    let verdicts = page.promise(
            "const vectors = arguments[0];
             const { fromBase64, fromHex, utf8, hex, Refusal } = await import('/web/verify/bytes.js');
             const { decodeGenesis } = await import('/web/verify/formats.js');
             const { parseReceipt } = await import('/web/verify/receipt.js');
             const { verifyReceipt } = await import('/web/verify/verify.js');
             const number = (value) => value === null ? null : Number(value);
             const verdicts = [];
             for (const { genesis: id, receipt, document_digest } of vectors.cases) {
               const genesis = decodeGenesis(fromBase64(vectors.geneses[id], 1 << 20));
               if (hex(genesis.ledger) !== id) throw new Error('another ledger id');
               try {
                 const f = await verifyReceipt(parseReceipt(utf8(receipt)), genesis, fromHex(document_digest));
                 const history = f.history.map((h) => ({ status: h.status, at_ms: number(h.at), reason: h.reason, index: number(h.index), height: number(h.height) }));
                 verdicts.push({ expected: 'accept', facts: {
                   issuer: f.issuer, issuer_name: f.issuerName, document_type: f.documentType, public: f.public,
                   anchored_at_ms: number(f.anchoredAt), valid_until_ms: number(f.validUntil), index: number(f.index),
                   height: number(f.height), supersedes: number(f.supersedes), status: f.status, history,
                   issuer_status: f.issuerStatus, as_of_s: number(f.asOf), log_size: number(f.logSize), epoch: number(f.epoch),
                   vouchers: f.vouchers.map(({ id }) => id), authorities: f.authorities, quorum: f.quorum } });
               } catch (error) {
                 if (!(error instanceof Refusal)) throw error;
                 verdicts.push({ expected: error.code });
               }
             }
             return verdicts;",
            &vectors,
        );
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(verdicts.as_array().map(Vec::len), Some(cases.len()), "{verdicts}");
    for (case, verdict) in cases.iter().zip(verdicts.as_array().unwrap()) {
        assert_eq!(verdict["expected"], case["expected"], "{}", case["name"]);
        assert_eq!(verdict["facts"], case["facts"], "{}", case["name"]);
    }
}

#[test]
fn a_document_gets_its_verdict_in_the_reader_s_language() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", &[7; 5_000_000], &[]);
    let other = office.anchor("other.pdf", b"another decision", &[]);
    let (receipt, foreign) = (receipt_of(&document), receipt_of(&other));
    let changed = office.write("changed.pdf", &[8; 5_000_000]);
    let empty = office.write("empty.pdf", b"");
    let forged = office.write("forged.markstein.json", &tampered(&receipt, "/batch_head/leaf"));
    let damaged = office.write("damaged.markstein.json", &fs::read(&receipt).unwrap()[..400]);
    let no_salt = {
        let mut receipt = Receipt::from_json(&fs::read(&receipt).unwrap()).unwrap();
        receipt.salt = None;
        office.write("served.markstein.json", receipt.to_json().as_bytes())
    };
    let cases: [(&Path, Option<&Path>, &str, [&str; 2]); 7] = [
        (&document, Some(&receipt), "good", ["Echt und gültig", "Genuine and valid"]),
        (&changed, Some(&receipt), "bad", ["Nicht das, was hinterlegt wurde", "Not what was anchored"]),
        (&document, Some(&foreign), "bad", ["Nicht das, was hinterlegt wurde", "Not what was anchored"]),
        (&empty, Some(&receipt), "bad", ["Nicht das, was hinterlegt wurde", "Not what was anchored"]),
        (
            &document,
            Some(&forged),
            "bad",
            ["Nicht bewiesen: Der Nachweis ist nicht in Ordnung", "Not proven: the receipt is not in order"],
        ),
        (&document, Some(&damaged), "open", ["Kann nicht geprüft werden", "Cannot be checked"]),
        (&document, Some(&no_salt), "open", ["Kann nicht geprüft werden", "Cannot be checked"]),
    ];
    for (number, language) in ["de-DE", "en-GB"].into_iter().enumerate() {
        let page = Page::open(office.devnet.url(), language);
        assert_eq!(page.script("return document.documentElement.lang"), language[..2]);
        for (document, receipt, tone, answers) in &cases {
            let (shown, text) = page.check(document, *receipt);
            assert_eq!((shown.as_str(), page.answer().as_str()), (*tone, answers[number]), "{text}");
        }
        let (_, text) = page.check(&document, Some(&receipt));
        for part in ["permit.pdf", "decision"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        // The switch changes the words and keeps the verdict.
        let (switch, answer) = [("en", "Genuine and valid"), ("de", "Echt und gültig")][number];
        page.click(&format!("[data-language={switch}]"));
        assert_eq!(page.answer(), answer);
    }
}

#[test]
fn a_public_document_needs_no_receipt_and_others_do() {
    if without() {
        return;
    }
    let office = Office::open();
    let public = office.anchor("notice.txt", b"a public notice that nobody can guess: 81f3", &["--public"]);
    let secret = office.anchor("secret.txt", b"for one reader", &[]);
    let page = Page::open(office.devnet.url(), "en");
    for (document, found) in [(&public, true), (&secret, false)] {
        let (tone, text) = page.check(document, None);
        assert!(
            tone == "open" && text.contains("Choose the receipt as well"),
            "nothing is asked unasked: {text}"
        );
        page.press_button("Look for a public record");
        let (tone, text) = page.verdict();
        let wanted = if found { "Genuine and valid" } else { "No public record of this document was found" };
        assert!(text.contains(wanted) && (tone == "good") == found, "{text}");
    }
}

#[test]
fn a_link_brings_the_receipt_and_a_button_a_newer_one() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let receipt = Receipt::from_json(&fs::read(receipt_of(&document)).unwrap()).unwrap();
    let link = slip::link(&receipt, office.devnet.url()).unwrap();
    let page = Page::open(office.devnet.url(), "en");
    page.load(&link[link.find('#').unwrap()..]);
    page.choose("document", &document);
    assert_eq!(page.verdict().0, "good");
    // Another block makes the log grow; the receipt that is fetched then says so.
    let size = |text: &str| {
        let at = text.find("Size of the log").unwrap();
        text[at..].split_whitespace().nth(4).unwrap().parse::<u64>().unwrap()
    };
    page.click("details summary");
    let before = size(&page.verdict().1);
    office.anchor("next.pdf", b"the next decision", &[]);
    let shown = "return document.querySelector('.verdict')?.textContent ?? ''";
    let old = page.script(shown);
    page.press_button("Get the current status");
    page.until(
        "a newer verdict",
        &format!("return (document.querySelector('.verdict')?.textContent ?? {old}) !== {old}"),
    );
    page.click("details summary");
    assert!(size(&page.verdict().1) > before);
    // One that was cut, or typed with a wrong letter, is said to be so, and not that the document is another.
    let fragment = &link[link.find('#').unwrap()..];
    let wrong = if fragment.ends_with('A') { "B" } else { "A" };
    let (cut, mistyped) =
        (&fragment[..fragment.len() - 1], fragment[..fragment.len() - 1].to_owned() + wrong);
    let old = &fragment[..fragment.find("&c=").unwrap()];
    let no_link = "#I=12";
    for broken in [cut, &mistyped, &fragment.replace("i=", "i=1"), old, no_link] {
        page.load(broken);
        assert!(page.text().contains("The link is incomplete or mistyped"), "{broken}: {}", page.text());
        assert_eq!(page.script("return location.hash"), "", "not into the history");
    }
}

#[test]
fn no_request_carries_the_document_and_the_page_works_without_a_network() {
    if without() {
        return;
    }
    let mut office = Office::open();
    let content = b"personal data: the only copy of this sentence stands in this file".repeat(1000);
    let document = office.anchor("personal.txt", &content, &[]);
    let receipt = receipt_of(&document);
    let tee = Tee::to(office.devnet.url());
    let page = Page::open(&tee.url, "en");
    office.devnet.stop().unwrap(); // all that the page needs is there
    page.choose("receipt", &receipt);
    page.choose("document", &document);
    assert_eq!(page.verdict().0, "good");
    assert_eq!(page.answer(), "Genuine and valid");
    let said = tee.said();
    let digest = markstein_proto::Hash::of(&[&content]);
    let text = String::from_utf8_lossy(&said);
    assert!(text.contains("GET /v1/genesis"), "the way was taken: {text}");
    for secret in ["personal data", &digest.to_string(), &base64_encode(digest.as_bytes())] {
        assert!(!text.contains(secret), "{secret}");
    }
    assert!(!text.contains("POST "), "nothing is submitted");
}

#[test]
fn the_keyboard_reaches_everything() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let receipt = receipt_of(&document);
    let page = Page::open(office.devnet.url(), "en");
    page.choose("receipt", &receipt);
    page.choose("document", &document);
    page.verdict();
    assert_eq!(page.script("return document.activeElement.className"), "answer", "the answer is read out");
    page.script("document.activeElement.blur()");
    let mut met: Vec<String> = Vec::new();
    for _ in 0..20 {
        page.browser.press('\u{E004}'); // Tab
        let name = "const e = document.activeElement; return e.id || e.textContent.trim()";
        met.push(page.script(name).as_str().unwrap_or_default().to_owned());
    }
    for wanted in [
        "Deutsch",
        "English",
        "document",
        "receipt",
        "Technical proof",
        "Get the current status",
        "Print or save a report",
        "Check another document",
    ] {
        assert!(met.iter().any(|name| name == wanted), "{wanted}: {met:?}");
    }
}

#[test]
fn text_from_a_receipt_is_shown_as_text_and_a_lying_node_is_not_believed() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("<img src=x onerror=alert(1)>.txt", b"a decision", &[]);
    let receipt = receipt_of(&document);
    let page = Page::open(office.devnet.url(), "en");
    let (tone, text) = page.check(&document, Some(&receipt));
    assert!(tone == "good" && text.contains("<img src=x onerror=alert(1)>.txt"), "{text}");
    assert_eq!(page.script("return document.querySelectorAll('main img').length"), json!(0));
    // A node that serves the receipt of another record: the page compares and refuses.
    let other = office.anchor("other.txt", b"another decision", &[]);
    let read = |path: &Path| Receipt::from_json(&fs::read(path).unwrap()).unwrap();
    let mixed = Receipt { record: read(&receipt_of(&other)).record, ..read(&receipt) };
    let link = slip::link(&mixed, office.devnet.url()).unwrap();
    page.load(&link[link.find('#').unwrap()..]);
    page.choose("document", &document);
    assert_eq!(page.verdict().0, "bad");
}

/// The source of axe-core, as a package of PyPI brings it.
fn axe() -> String {
    let find =
        "import importlib.util as u; print(u.find_spec('axe_core_python').submodule_search_locations[0])";
    let output = Command::new(python::python()).args(["-c", find]).output().unwrap();
    assert!(output.status.success(), "{}", python::said(&output));
    let folder = String::from_utf8(output.stdout).unwrap();
    fs::read_to_string(Path::new(folder.trim()).join("axe.min.js")).unwrap()
}

/// Fails where the page as it is now breaks a rule of accessibility.
fn accessible(page: &Page, axe: &str) {
    page.script(axe);
    let tags = json!(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]);
    let found = page.promise(
        "const found = await axe.run({ runOnly: arguments[0] }); \
         return { passes: found.passes.length, violations: found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]) }",
        &tags,
    );
    assert_eq!(found["violations"], json!([]), "{}", page.text());
    assert!(found["passes"].as_u64() > Some(10), "it looked: {found}");
}

#[test]
fn nothing_of_the_page_breaks_a_rule_of_accessibility() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let changed = office.write("changed.pdf", b"another decision");
    let (receipt, axe) = (receipt_of(&document), axe());
    for scheme in ["light", "dark"] {
        let page = Page::open(office.devnet.url(), "de");
        page.prefer(scheme);
        for document in [None, Some(&document), Some(&changed)] {
            if let Some(document) = document {
                page.check(document, Some(&receipt));
            }
            accessible(&page, &axe);
        }
    }
}

#[test]
fn what_was_withdrawn_is_said_and_a_slow_disk_is_no_matter() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", &[5; 100_000_000], &[]);
    let receipt = receipt_of(&document);
    let (key, node) = (office.devnet.issuer_key(), office.devnet.url().to_owned());
    let page = Page::open(&node, "en");
    assert_eq!(page.check(&document, Some(&receipt)).0, "good");
    // The page keeps what it has, and the button gets what became of it.
    for (verb, answer, reason) in [
        ("suspend", "Genuine, but suspended since", "under review"),
        ("revoke", "Genuine, but revoked on", "court order"),
    ] {
        let given = reason.replace(' ', "-");
        let arguments = [
            verb,
            "--node",
            &node,
            "--key",
            key.to_str().unwrap(),
            "--reason",
            &given,
            receipt.to_str().unwrap(),
        ];
        let run = office.client.run(arguments).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.said());
        page.press_button("Get the current status");
        page.until(
            "the new status",
            &format!("return document.querySelector('.answer')?.textContent.startsWith('{answer}')"),
        );
        let (tone, text) = page.verdict();
        assert!(tone == "warn" && text.contains(reason), "{text}");
    }
}
