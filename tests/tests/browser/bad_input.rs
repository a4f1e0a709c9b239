//! What people do with the page that it was not made for, and browsers that it was not made for.

use std::{
    fs::{self, File},
    path::Path,
};

use markstein_proto::receipt::Receipt;
use markstein_tests::files::receipt_of;
use serde_json::json;

use crate::{
    Office,
    support::Page,
    webdriver::{Browser, By},
    without,
};

/// Drops files and folders onto the page, as from a file manager.
fn drop_onto(page: &Page, paths: &[&Path]) {
    let files: Vec<&str> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    let data = json!({ "items": [], "files": files, "dragOperationsMask": 1 });
    for kind in ["dragEnter", "dragOver", "drop"] {
        let event = json!({ "type": kind, "x": 300, "y": 400, "data": data });
        page.browser.tools("Input.dispatchDragEvent", &event);
    }
}

/// Name of the file that a field shows.
fn shown_in(page: &Page, field: &str) -> String {
    let name = page.script(&format!("return document.getElementById('{field}').files[0]?.name ?? ''"));
    name.as_str().unwrap().to_owned()
}

/// A file of this length that takes no room.
fn sparse(office: &Office, name: &str, length: u64) -> std::path::PathBuf {
    let path = office.folder.path().join(name);
    File::create(&path).unwrap().set_len(length).unwrap();
    path
}

/// A script that counts the files that the page gives its worker, and what the worker says of them.
const COUNT: &str = "window.given = 0; window.heard = 0;
     const { postMessage } = Worker.prototype;
     Worker.prototype.postMessage = function (message) {
       if (message.file) window.given += 1;
       if (!this.watched) this.addEventListener('message', () => { window.heard += 1; });
       this.watched = true;
       return postMessage.call(this, message);
     };";

#[test]
fn what_is_dropped_goes_where_it_belongs() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let other = office.write("other.pdf", b"another decision");
    let receipt = receipt_of(&document);
    let renamed = office.write("proof.txt", &fs::read(&receipt).unwrap());
    let reordered = {
        let json: serde_json::Value = serde_json::from_slice(&fs::read(&receipt).unwrap()).unwrap();
        let entries = json.as_object().unwrap().iter().rev();
        let text: Vec<String> = entries.map(|(name, value)| format!("{}: {value}", json!(name))).collect();
        office.write("reordered", format!("\n{{{}}}", text.join(",")).as_bytes())
    };
    let folder = office.folder.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let page = Page::open(office.devnet.url(), "en");
    for receipt in [&receipt, &renamed, &reordered] {
        for both in [[&document, receipt], [receipt, &document]] {
            page.load("");
            drop_onto(&page, &both.map(|path| path.as_path()));
            let (tone, text) = page.verdict();
            assert_eq!(tone, "good", "{text}");
            let name = receipt.file_name().unwrap().to_str().unwrap();
            assert_eq!(
                (shown_in(&page, "document").as_str(), shown_in(&page, "receipt").as_str()),
                ("permit.pdf", name)
            );
            assert!(text.contains("permit.pdf") && text.contains(name), "{text}");
        }
    }
    for (dropped, said) in [
        (vec![&folder], "This is a folder"),
        (vec![&document, &folder], "This is a folder"),
        (vec![&document, &other, &receipt], "several documents"),
        (vec![&receipt, &renamed], "several receipts"),
        (vec![&renamed], "This is a receipt. Choose the document as well."),
        (vec![&document], "Choose the receipt as well"),
    ] {
        page.load("");
        drop_onto(&page, &dropped.iter().map(|path| path.as_path()).collect::<Vec<_>>());
        let (tone, text) = page.verdict();
        assert!(tone == "open" && text.contains(said), "{said}: {text}");
    }
    // A receipt that was chosen as the document is told from one.
    page.load("");
    page.choose("document", &renamed);
    assert!(page.verdict().1.contains("This is a receipt"));
    assert_eq!(
        (shown_in(&page, "document").as_str(), shown_in(&page, "receipt").as_str()),
        ("", "proof.txt")
    );
    page.choose("document", &document);
    page.until("the verdict", "return document.querySelector('.verdict.good') !== null");
}

#[test]
fn empty_and_huge_files_are_called_so() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let receipt = receipt_of(&document);
    let (empty, huge) = (office.write("empty.pdf", b""), sparse(&office, "huge.iso", 3_000_000_000));
    for (language, of_empty, of_huge, of_receipt) in [
        ("de", "Die Datei ist leer", "„markstein verify“", "Die als Nachweis gewählte Datei ist keiner"),
        ("en", "The file is empty", "“markstein verify”", "The file chosen as a receipt is none"),
    ] {
        let page = Page::open(office.devnet.url(), language);
        let (tone, text) = page.check(&empty, Some(&receipt));
        assert!(tone == "bad" && text.contains(of_empty), "{text}");
        page.browser.tools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": COUNT }));
        for receipt in [None, Some(&*receipt)] {
            let (tone, text) = page.check(&huge, receipt);
            assert!(tone == "open" && text.contains(of_huge) && text.contains("huge.iso"), "{text}");
        }
        for wrong in [&huge, &empty] {
            let (tone, text) = page.check(&document, Some(wrong));
            assert!(tone == "open" && text.contains(of_receipt), "{text}");
        }
        assert_eq!(page.script("return window.given ?? 0"), 0, "nothing of it was read");
    }
}

#[test]
fn a_document_that_nobody_waits_for_is_not_read_to_its_end() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let receipt = receipt_of(&document);
    let large = sparse(&office, "large.iso", 1_000_000_000);
    let page = Page::open(office.devnet.url(), "en");
    page.browser.tools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": COUNT }));
    page.load("");
    page.choose("receipt", &receipt);
    page.choose("document", &large);
    page.until("it is being read", "return window.given === 1 && window.heard > 0");
    page.choose("document", &document);
    let (tone, text) = page.verdict();
    assert!(tone == "good" && text.contains("permit.pdf"), "{text}");
    page.choose("document", &large);
    page.until("it is being read", "return window.given === 3 && window.heard > 2");
    page.script("const field = document.getElementById('document'); field.value = ''; field.dispatchEvent(new Event('change'))");
    let busy = "return ['busy', 'verdict'].every((id) => document.getElementById(id).hidden)";
    assert_eq!(page.script(busy), json!(true), "it was taken back");
    // The worker itself, given a file of 1000 pieces, each of which is there once the test says so.
    let said = page.promise(
        "const said = [];
         self.postMessage = (message) => said.push(message);
         await import('/web/hash-worker.js');
         let asked = 0;
         let give;
         const piece = { arrayBuffer: () => new Promise((resolve) => { give = () => resolve(new ArrayBuffer(1)); }) };
         const file = { size: 4_194_304_000, slice: () => { asked += 1; return piece; } };
         const reading = self.onmessage({ data: { id: 7, file } });
         give();
         while (said.length === 0) await null;
         while (asked === 1) await null;
         self.onmessage({ data: { id: 8 } });
         give();
         await reading;
         return { asked, said };",
        &json!(null),
    );
    assert_eq!(said, json!({ "asked": 2, "said": [{ "id": 7, "done": 0.001 }] }));
}

#[test]
fn a_browser_that_lacks_something_is_told_what() {
    if without() {
        return;
    }
    let office = Office::open();
    let no_crypto = "Object.defineProperty(Crypto.prototype, 'subtle', { get: () => undefined });";
    let insecure =
        format!("{no_crypto} Object.defineProperty(window, 'isSecureContext', {{ value: false }});");
    let no_ed25519 = "SubtleCrypto.prototype.importKey = () => Promise.reject(new DOMException('no', 'NotSupportedError'));";
    let cases = [
        (insecure.as_str(), ["Diese kam unverschlüsselt", "This one came unencrypted"]),
        (no_crypto, ["fehlt die Schnittstelle „crypto.subtle“", "lacks “crypto.subtle”"]),
        (no_ed25519, ["der Art Ed25519 nicht prüfen", "cannot check Ed25519 signatures"]),
    ];
    for (number, language) in ["de", "en"].into_iter().enumerate() {
        for (source, said) in &cases {
            let page = Page::open(office.devnet.url(), language);
            page.browser.tools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": source }));
            page.load("");
            assert!(page.text().contains(said[number]), "{}", page.text());
            let seen = page.script("return document.getElementById('choose').checkVisibility()");
            assert_eq!(seen, json!(false), "it takes no files that it cannot check");
        }
    }
    // Where no script runs at all, the page says so by itself after a while.
    let browser = Browser::start("de");
    browser.tools("Network.enable", &json!({}));
    browser.tools("Network.setBlockedURLs", &json!({ "urls": ["*/web/app.js"] }));
    browser.goto(&format!("{}/", office.devnet.url()));
    let page = Page::of(browser, office.devnet.url());
    page.until(
        "it is seen",
        "return document.getElementById('unstarted').checkVisibility({ visibilityProperty: true })",
    );
    let text = page.text();
    assert!(text.contains("einen Browser von heute") && text.contains("a browser of today"), "{text}");
}

/// Would run a script if anybody took it for HTML.
const SCRIPT: &str = "<img/src=x/onerror=window.hit=1>";

#[test]
fn no_text_of_a_receipt_is_taken_for_html() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let receipt = fs::read_to_string(receipt_of(&document)).unwrap();
    let stranger = {
        let mut receipt = Receipt::from_json(receipt.as_bytes()).unwrap();
        let line = receipt.checkpoint.lines().last().unwrap().to_owned();
        let name = line.split(' ').nth(1).unwrap();
        receipt.checkpoint += &format!("{}\n", line.replacen(name, SCRIPT, 1));
        receipt.to_json()
    };
    let page = Page::open(office.devnet.url(), "en");
    for changed in [
        receipt.replacen("markstein-receipt/v1", SCRIPT, 1),
        receipt.replacen("\"format\"", &format!("\"{SCRIPT}\": 1, \"format\""), 1),
        stranger,
    ] {
        let wrong = office.write("wrong.markstein.json", changed.as_bytes());
        page.check(&document, Some(&wrong));
        page.browser.click(&By::Css("details summary"));
        let (_, text) = page.verdict();
        assert!(text.contains(SCRIPT), "it is shown as text: {text}");
        assert_eq!(page.script("return [document.images.length, window.hit ?? 0]"), json!([0, 0]));
    }
    // A receipt that proves what it says, of an issuer and authorities with such names.
    let shown = page.promise(
        "const { proven } = await import('/web/verdict.js');
         const { report } = await import('/web/report.js');
         const { LANGUAGES } = await import('/web/texts.js');
         const evil = arguments[0];
         const facts = { ledger: new Uint8Array(32), issuer: evil, issuerName: evil, documentType: evil, public: false,
           anchoredAt: 1n, validUntil: null, index: 7n, height: 1n, supersedes: null, status: 'valid', history: [],
           issuerStatus: 'valid', asOf: BigInt(Math.floor(Date.now() / 1000)), logSize: 9n, epoch: 0n,
           vouchers: [{ id: evil, name: evil }], authorities: 1, quorum: 1 };
         const shown = { facts, digest: new Uint8Array(32), salt: new Uint8Array(32), file: evil, receipt: evil, origin: evil, checkedAt: Date.now() };
         const { node } = proven(shown, LANGUAGES.en, 'en', Date.now());
         node.append(report(shown, LANGUAGES.en, 'en', evil));
         document.querySelector('main').append(node);
         await new Promise((seen) => requestAnimationFrame(() => setTimeout(seen)));
         return { images: document.images.length, hit: window.hit ?? 0, times: node.textContent.split(evil).length - 1 };",
        &json!(SCRIPT),
    );
    assert_eq!(
        shown,
        json!({ "images": 0, "hit": 0, "times": 8 }),
        "issuer twice, type, voucher, root, two files, link"
    );
}
