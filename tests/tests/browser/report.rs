//! The report that the page prints, and the code in it.

use std::fs;

use markstein_client::slip;
use markstein_proto::receipt::Receipt;
use markstein_tests::files::receipt_of;
use serde_json::json;

use crate::{Office, accessible, axe, qr::is_code_of, support::Page, without};

/// The modules of the code in the report, read back from what is drawn.
fn drawn_code(page: &Page) -> String {
    let drawn = page.script(
        "const svg = document.querySelector('.report .code');
         const side = svg.viewBox.baseVal.width - 8;
         const code = new Array(side * side).fill('0');
         for (const [, x, y] of svg.querySelector('path').getAttribute('d').matchAll(/M(\\d+) (\\d+)h1v1h-1z/g)) {
           code[(y - 4) * side + (x - 4)] = '1';
         }
         return code.join('');",
    );
    drawn.as_str().unwrap().to_owned()
}

fn is_seen(page: &Page, css: &str) -> bool {
    page.script(&format!("return document.querySelector('{css}').checkVisibility()")) == json!(true)
}

#[test]
fn a_report_says_when_and_its_code_leads_back() {
    if without() {
        return;
    }
    let office = Office::open();
    let node = office.devnet.url();
    let secret = office.anchor("permit.pdf", b"a decision", &[]);
    let public = office.anchor("notice.txt", b"a public notice that nobody can guess: 5d2c", &["--public"]);
    let axe = axe();
    for (document, care) in [(&secret, true), (&public, false)] {
        let page = Page::open(node, "en");
        page.check(document, Some(&receipt_of(document)));
        assert!(!is_seen(&page, ".report"), "it is for paper");
        page.browser.tools("Emulation.setEmulatedMedia", &json!({ "media": "print" }));
        assert!(is_seen(&page, ".report .code") && is_seen(&page, ".meaning"), "{}", page.text());
        assert!(!is_seen(&page, ".actions") && !is_seen(&page, "#choose"));
        page.browser.tools("Emulation.setEmulatedMedia", &json!({ "media": "" }));
        page.script(
            "window.print = () => { window.printed = document.querySelector('.report').checkVisibility() }",
        );
        page.press_button("Print or save a report");
        assert_eq!(page.script("return window.printed"), json!(true), "and behind the button");
        let report = page.script("return document.querySelector('.report').innerText");
        let report = report.as_str().unwrap();
        assert!(report.contains("This page checked the document on "), "{report}");
        assert_eq!(report.contains("only together with the document"), care, "{report}");
        let link =
            slip::link(&Receipt::from_json(&fs::read(receipt_of(document)).unwrap()).unwrap(), node).unwrap();
        assert!(report.contains(&link), "{link}: {report}");
        assert!(is_code_of(&drawn_code(&page), &link));
        accessible(&page, &axe);
        // The way back.
        page.load(&link[link.find('#').unwrap()..]);
        page.choose("document", document);
        assert_eq!(page.verdict().0, "good");
    }
}
