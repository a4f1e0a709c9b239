//! A public document that several issuers anchored: the page names all of them, and lets its reader choose.

use std::{fs, path::PathBuf};

use markstein_proto::{Commitment, DocumentDigest, Hash, Salt};
use markstein_tests::{client::Client, cluster::Cluster, files::receipt_of, http, issuers::admit};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Office, accessible, axe, liar::Liar, support::Page, without};

const OWNER: &str = "building.example";
const OTHER: &str = "other.example";

/// A ledger with two issuers.
struct Offices {
    cluster: Cluster, // dropped before its folder
    keys: Vec<PathBuf>,
    client: Client,
    folder: TempDir,
}

impl Offices {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::prepare(&folder.path().join("ledger"), 1, 0).unwrap();
        let names = [(OWNER, "Building Control"), (OTHER, "Another Office")];
        let keys = admit(&cluster, folder.path(), &names).unwrap();
        cluster.start_all().unwrap();
        let client = Client::new(&folder.path().join("state")).unwrap();
        Self { cluster, keys, client, folder }
    }

    /// The same document for each of them, so that receipts stand apart.
    fn document(&self, whose: &str, content: &str) -> PathBuf {
        let folder = self.folder.path().join(whose);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("permit.txt"), content).unwrap();
        folder.join("permit.txt")
    }

    fn write(&self, by: usize, verb: &str, more: &[&str]) {
        let (node, genesis) = (self.cluster.url(0).unwrap(), self.cluster.genesis());
        let (key, genesis) = (self.keys[by].to_str().unwrap(), genesis.to_str().unwrap());
        let fixed = [verb, "--node", &node, "--genesis", genesis, "--key", key];
        let run = self.client.run(fixed.iter().chain(more)).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.said());
    }

    fn anchor(&self, by: usize, content: &str) -> PathBuf {
        let document = self.document(&by.to_string(), content);
        let _ = fs::remove_file(receipt_of(&document));
        self.write(by, "anchor", &["--type", "decision", "--public", document.to_str().unwrap()]);
        document
    }
}

fn look_up(page: &Page, document: &std::path::Path, button: &str) -> (String, String) {
    page.check(document, None);
    page.press_button(button);
    page.until("it was looked up", "return !document.querySelector('.verdict')?.innerText.match(/Wählen Sie auch|Choose the receipt as well/)");
    page.verdict()
}

const LOOK_UP: [&str; 2] = ["Öffentlichen Eintrag suchen", "Look for a public record"];

/// The offices as the page lists them: name, whether it is chosen, and how it stands.
fn listed(page: &Page) -> Value {
    page.script(
        "return [...document.querySelectorAll('.offices li')].map((it) => [it.querySelector('button').textContent, \
         it.querySelector('button').getAttribute('aria-pressed'), it.querySelector('span').firstChild.textContent.split(' ')[0]])",
    )
}

#[test]
fn the_page_has_the_rule_of_the_program() {
    if without() {
        return;
    }
    let office = Office::open();
    let cases: Value = serde_json::from_str(include_str!("../../../client/tests/offices.json")).unwrap();
    let page = Page::open(office.devnet.url(), "en");
    let found = page.promise(
        "const { now_ms, cases } = arguments[0];
         const { officesOf, together } = await import('/web/offices.js');
         const facts = ({ issuer, index, status, since, valid_until_ms, as_of_s }) => ({
           issuer, status, index: BigInt(index), asOf: BigInt(as_of_s),
           validUntil: valid_until_ms === null ? null : BigInt(valid_until_ms),
           history: since === index ? [] : [{ status, at: 1n, index: BigInt(since) }],
         });
         const judged = (records) => {
           const offices = officesOf(records.map(facts), now_ms);
           const told = offices.map(({ facts, verdict }) => [facts.issuer, Number(facts.index), verdict.name]);
           const count = offices.reduce((sum, { others }) => sum + 1 + others.length, 0);
           return { offices: told, together: together(offices)?.facts.issuer ?? null, count };
         };
         return cases.map(({ records }) => [judged(records), judged(records.toReversed())]);",
        &cases,
    );
    let cases = cases["cases"].as_array().unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(cases.len()), "{found}");
    for (case, found) in cases.iter().zip(found.as_array().unwrap()) {
        for found in found.as_array().unwrap() {
            for part in ["offices", "together"] {
                assert_eq!(found[part], case[part], "{}", case["name"]);
            }
            assert_eq!(found["count"], case["records"].as_array().unwrap().len(), "{}", case["name"]);
        }
    }
}

#[test]
fn where_offices_differ_the_reader_chooses_among_their_names() {
    if without() {
        return;
    }
    let (offices, axe) = (Offices::open(), axe());
    let own = offices.anchor(0, "a permit");
    offices.write(0, "revoke", &["--reason", "unlawful", own.to_str().unwrap()]);
    offices.anchor(1, "a permit");
    let document = offices.document("citizen", "a permit");
    let url = offices.cluster.url(0).unwrap();
    for (number, language) in ["de-DE", "en-GB"].into_iter().enumerate() {
        let word = |words: [&'static str; 2]| words[number];
        let page = Page::open(&url, language);
        let (tone, text) = look_up(&page, &document, word(LOOK_UP));
        let undecided = word([
            "Nicht zu entscheiden, ohne zu wissen, wessen Entscheidung das ist",
            "Cannot be decided without knowing whose decision this is",
        ]);
        assert_eq!((tone.as_str(), page.answer().as_str()), ("open", undecided), "{text}");
        let (revoked, valid) = (word(["widerrufen", "revoked"]), word(["in", "in"]));
        let list = |first: &str, second: &str| {
            json!([["Building Control", first, revoked], ["Another Office", second, valid]])
        };
        assert_eq!(listed(&page), list("false", "false"), "the worst first");
        assert!(text.contains(OWNER) && text.contains(OTHER), "{text}");
        accessible(&page, &axe);
        // By keyboard: the answer has the focus, the first office comes next.
        page.browser.press('\u{E004}'); // Tab
        page.browser.press('\u{E007}'); // Enter
        let (tone, text) = page.verdict();
        assert_eq!(tone, "warn", "{text}");
        assert!(
            page.answer().starts_with(word(["Echt, aber widerrufen am", "Genuine, but revoked on"])),
            "{text}"
        );
        assert_eq!(listed(&page), list("true", "false"));
        page.press_button("Another Office");
        let (tone, text) = page.verdict();
        assert_eq!(
            (tone.as_str(), page.answer().as_str()),
            ("good", word(["Echt und gültig", "Genuine and valid"]))
        );
        assert_eq!(listed(&page), list("false", "true"), "the other one is still named: {text}");
        accessible(&page, &axe);
        // The choice outlasts the language and a newer status.
        page.click(&format!("[data-language={}]", ["en", "de"][number]));
        assert_eq!(page.script("return document.querySelectorAll('.offices [aria-pressed=true]').length"), 1);
        page.press_button(["Get the current status", "Aktuellen Stand holen"][number]);
        page.until("it is checked", "return document.getElementById('busy').hidden");
        assert_eq!(page.verdict().0, "good");
        assert_eq!(
            page.script("return document.querySelector('.offices [aria-pressed=true]').textContent"),
            "Another Office"
        );
    }
    // Where none holds it any more, nobody has to choose.
    let other = offices.folder.path().join("1/permit.txt");
    offices.write(1, "suspend", &["--reason", "under-review", other.to_str().unwrap()]);
    let page = Page::open(&url, "en");
    let (tone, text) = look_up(&page, &document, LOOK_UP[1]);
    assert!(tone == "warn" && page.answer().starts_with("Genuine, but revoked on"), "{text}");
    assert_eq!(listed(&page)[1], json!(["Another Office", "false", "suspended"]));
}

#[test]
fn where_offices_agree_all_are_named_and_what_a_node_keeps_back_is_not_taken_for_good() {
    if without() {
        return;
    }
    let offices = Offices::open();
    offices.anchor(0, "a notice");
    offices.anchor(1, "a notice");
    let document = offices.document("citizen", "a notice");
    let liar = Liar::before(&offices.cluster.url(0).unwrap());
    let page = Page::open(&liar.url, "en");
    let (tone, text) = look_up(&page, &document, LOOK_UP[1]);
    assert_eq!((tone.as_str(), page.answer().as_str()), ("good", "Genuine and valid"), "{text}");
    assert_eq!(
        listed(&page),
        json!([["Building Control", "false", "in"], ["Another Office", "false", "in"]])
    );

    let commitment = Commitment::of(&Salt::PUBLIC, &DocumentDigest(Hash::of(&[b"a notice"])));
    let path = format!("/v1/lookup/{}", commitment.0);
    let truth = http::get(&offices.cluster.url(0).unwrap(), &path).unwrap().json().unwrap();
    let index = |issuer: usize| truth["view"]["issuers"][issuer]["records"][0]["index"].as_u64().unwrap();
    let named = |issuers: Value, next: Value| {
        json!({ "bytes": "", "view": { "issuers": issuers, "next_after": next } }).to_string()
    };
    let good = json!({ "issuer": OWNER, "records": [{ "index": index(0) }] });
    let incomplete = "names a public record of this document that it does not rightly show";
    for lie in [
        // A place that it shows nothing at; another issuer's record; too many; a way that leads on to nowhere, or back.
        named(json!([good, { "issuer": OTHER, "records": [{ "index": 1_000_000 }] }]), Value::Null),
        named(json!([good, { "issuer": "third.example", "records": [{ "index": index(1) }] }]), Value::Null),
        named(json!([good, { "issuer": OTHER, "records": vec![json!({ "index": 0 }); 73] }]), Value::Null),
        named(json!([good, good]), Value::Null),
        named(json!([good]), json!(7)),
        named(json!([good]), json!("a")),
    ] {
        liar.say(&path, lie.clone());
        let (tone, text) = look_up(&page, &document, LOOK_UP[1]);
        let is_nothing = text.contains("No public record of this document was found");
        assert!(tone == "open" && (is_nothing || text.contains(incomplete)), "{lie}: {text}");
    }
    // A node that tells of one only: what it keeps back, the page cannot know.
    liar.say(&path, named(json!([good]), Value::Null));
    assert_eq!(look_up(&page, &document, LOOK_UP[1]).0, "good");
    // The rest comes with the next answer.
    liar.say(&path, named(json!([good]), json!(OWNER)));
    look_up(&page, &document, LOOK_UP[1]);
    assert_eq!(listed(&page).as_array().map(Vec::len), Some(2));
}
