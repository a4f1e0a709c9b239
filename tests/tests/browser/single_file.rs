//! The page as one file, opened from the disk.

use std::{fs, path::PathBuf};

use markstein_client::slip;
use markstein_proto::receipt::Receipt;
use markstein_tests::files::receipt_of;

use crate::{Office, accessible, axe, support::Page, without};

/// The page of a ledger as one file, made by the program: its address and its SHA-256.
fn single_file(office: &Office, name: &str, more: &[&str]) -> (String, String) {
    let (path, genesis) = (office.folder.path().join(name), office.devnet.genesis());
    let fixed = ["--json", "page", "--genesis", genesis.to_str().unwrap(), "--out", path.to_str().unwrap()];
    let run = office.client.run(fixed.iter().chain(more)).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.said());
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    (format!("file://{}", path.display()), answer["sha256"].as_str().unwrap().to_owned())
}

/// Fails where the page asked for anything but itself (`chrome:` is the tab before it), or the browser complained.
fn quiet(page: &Page) {
    let asked = page.browser.requests();
    let own =
        |url: &&String| !["file:", "data:", "blob:null/", "chrome:"].iter().any(|own| url.starts_with(own));
    assert_eq!(asked.iter().filter(own).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(asked.iter().any(|url| url.starts_with("file:")), "requests are seen: {asked:?}");
    assert_eq!(page.browser.complaints(), Vec::<String>::new());
}

/// Changes a record's status.
fn change(office: &Office, verb: &str, reason: &str, receipt: &std::path::Path) {
    let (key, node) = (office.devnet.issuer_key(), office.devnet.url());
    let fixed = [verb, "--node", node, "--key", key.to_str().unwrap(), "--reason", reason];
    let run = office.client.run(fixed.iter().copied().chain([receipt.to_str().unwrap()])).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.said());
}

#[test]
fn a_page_from_a_file_gives_every_verdict_and_asks_nobody() {
    if without() {
        return;
    }
    let mut office = Office::open();
    let document = office.anchor("permit.pdf", &[7; 9_000_000], &[]);
    let revoked = office.anchor("revoked.pdf", b"a decision that was withdrawn", &[]);
    let (receipt, of_revoked) = (receipt_of(&document), receipt_of(&revoked));
    change(&office, "revoke", "court-order", &of_revoked);
    let changed = office.write("changed.pdf", &[8; 9_000_000]);
    let (foreign, of_foreign) = {
        let other = Office::open();
        let document = other.anchor("elsewhere.pdf", b"another ledger's decision", &[]);
        let receipt = fs::read(receipt_of(&document)).unwrap();
        (
            office.write("elsewhere.pdf", b"another ledger's decision"),
            office.write("e.markstein.json", &receipt),
        )
    };
    let link = Receipt::from_json(&fs::read(&receipt).unwrap()).unwrap();
    let link = slip::link(&link, "https://agency.example").unwrap();
    let (url, sha256) = single_file(&office, "page.html", &[]);
    let bytes = fs::read(office.folder.path().join("page.html")).unwrap();
    assert_eq!(markstein_proto::Hash::of(&[&bytes]).to_string(), sha256);
    assert_eq!(single_file(&office, "again.html", &[]).1, sha256, "the same gives the same");
    let ledger = office.devnet.trust().unwrap().ledger_id().to_string();
    office.devnet.stop().unwrap();

    let axe = axe();
    let cases: [(&PathBuf, &PathBuf, &str, [&str; 2]); 4] = [
        (&document, &receipt, "good", ["Echt und gültig", "Genuine and valid"]),
        (&revoked, &of_revoked, "warn", ["Echt, aber widerrufen am", "Genuine, but revoked on"]),
        (&changed, &receipt, "bad", ["Nicht das, was hinterlegt wurde", "Not what was anchored"]),
        (&foreign, &of_foreign, "open", ["Kann nicht geprüft werden", "Cannot be checked"]),
    ];
    let another = ["gehört zu einem anderen Register", "is of another ledger"];
    let whole = ["Alles steht in dieser einen Datei", "everything is in this one file"];
    let refreshing = ["Aktuellen Stand holen", "Get the current status"];
    for (number, language) in ["de-DE", "en-GB"].into_iter().enumerate() {
        let page = Page::open_at(&url, language);
        assert!(page.text().contains(&ledger), "the trust root is shown: {}", page.text());
        assert!(page.text().contains(whole[number]));
        for (document, receipt, tone, answers) in &cases {
            let (shown, text) = page.check(document, Some(receipt));
            assert_eq!(shown, *tone, "{text}");
            assert!(page.answer().starts_with(answers[number]), "{text}");
            assert_eq!(text.contains(another[number]), *receipt == &of_foreign, "{text}");
            assert!(!text.contains(refreshing[number]), "no node could be asked: {text}");
        }
        let (_, text) = page.check(&document, None);
        assert!(
            text.contains(["Wählen Sie auch den Nachweis", "Choose the receipt as well"][number]),
            "{text}"
        );
        page.load(&link[link.find('#').unwrap()..]);
        assert!(page.text().contains(["fragt keinen", "asks none"][number]), "{}", page.text());
        quiet(&page);
        for scheme in ["light", "dark"] {
            page.prefer(scheme);
            page.check(&document, Some(&receipt));
            page.script("window.print = () => {}");
            page.press_button(["Prüfbericht drucken oder speichern", "Print or save a report"][number]);
            let parts = page.script("return document.querySelectorAll('.report, .code').length");
            assert_eq!(parts, 1, "no link leads to a file, so its report has no code");
            accessible(&page, &axe);
        }
    }
}

#[test]
fn a_page_from_a_file_asks_the_one_node_it_names_when_told_to() {
    if without() {
        return;
    }
    let office = Office::open();
    let document = office.anchor("permit.pdf", b"a decision", &[]);
    let receipt = receipt_of(&document);
    let link = Receipt::from_json(&fs::read(&receipt).unwrap()).unwrap();
    let link = slip::link(&link, "https://agency.example/check").unwrap();
    let node = office.devnet.url();
    let (url, _) = single_file(&office, "page.html", &["--node", node]);
    let page = Page::open_at(&url, "en");
    assert_eq!(page.check(&document, Some(&receipt)).0, "good");
    assert_eq!(
        page.browser.requests().iter().filter(|url| url.starts_with("http")).count(),
        0,
        "nobody asked"
    );
    change(&office, "revoke", "unlawful", &receipt);
    page.press_button("Get the current status");
    let revoked =
        "return document.querySelector('.answer')?.textContent.startsWith('Genuine, but revoked on')";
    page.until("the new status", revoked);
    let asked: Vec<String> =
        page.browser.requests().into_iter().filter(|url| url.starts_with("http")).collect();
    assert!(asked.len() == 1 && asked[0].starts_with(&format!("{node}/v1/receipts/")), "{asked:?}");
    // The link of a slip that leads to such a page.
    page.load(&link[link.find('#').unwrap()..]);
    page.choose("document", &document);
    assert_eq!(page.verdict().0, "warn");
    // Another server is out of reach, whatever the script wants.
    let forbidden = page
        .promise("return await fetch('http://127.0.0.1:9/').then(() => 'sent', (e) => e.name)", &().into());
    assert_eq!(forbidden, "TypeError");
    assert!(page.browser.complaints().iter().any(|line| line.contains("Content Security Policy")));
}
