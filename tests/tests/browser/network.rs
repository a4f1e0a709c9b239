//! The operators' overview in a real browser: four authorities, one of which is killed, and a node that is stopped.

use std::fs;

use markstein_tests::{client::Client, cluster::Cluster, devnet::Devnet, http};
use serde_json::{Value, json};

use crate::{Office, axe, support::Page, tee::Tee, without};

impl Office {
    /// A ledger of four authorities.
    fn of_four() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let devnet = Devnet::start_with(&folder.path().join("ledger"), 4, 0).unwrap();
        let client = Client::new(&folder.path().join("state")).unwrap();
        Self { devnet, client, folder }
    }
}

/// The overview of a node.
fn open(node: &str, language: &str) -> Page {
    Page::at(node, language, "/network")
}

/// A number of the page, without what the language puts between its digits.
fn figure(page: &Page, name: &str) -> u64 {
    let text = page.script(&format!("return document.querySelector('[data-figure={name}]').textContent"));
    let digits: String = text.as_str().unwrap().chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn is_shown(words: &str) -> String {
    format!("return document.body.innerText.includes({})", json!(words))
}

fn tone(page: &Page) -> Value {
    page.script("return document.querySelector('#summary .verdict').className")
}

/// What the rules of accessibility say against the page.
fn violations(page: &Page, axe: &str) -> Value {
    page.script(axe);
    let tags = json!(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]);
    let found = page.promise(
        "const found = await axe.run({ runOnly: arguments[0] }); \
         return { passes: found.passes.length, violations: found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]) }",
        &tags,
    );
    assert!(found["passes"].as_u64() > Some(10), "it looked: {found}");
    found["violations"].clone()
}

#[test]
fn operators_see_their_network_and_what_is_amiss_without_reloading() {
    if without() {
        return;
    }
    let mut office = Office::of_four();
    let names: Vec<String> = {
        let trust = office.devnet.trust().unwrap();
        trust.genesis().authorities.authorities().iter().map(|a| a.name.clone()).collect()
    };
    let (page, axe) = (open(office.devnet.url(), "de"), axe());
    page.until("all is well", &is_shown("Das Register arbeitet"));
    assert_eq!(tone(&page), "verdict good", "{}", page.text());
    for name in &names {
        assert!(page.text().contains(name), "{name}: {}", page.text());
    }
    page.script("window.sameDocument = true");

    // What is anchored shows up by itself: counted, in a block, and by name where it is public.
    let (records, height) = (figure(&page, "hour"), figure(&page, "height"));
    office.anchor("secret.txt", b"for one reader", &[]);
    office.anchor("notice.txt", b"a public notice that nobody can guess: 91c7", &["--public"]);
    page.until(
        "two records more",
        &format!(
            "return Number(document.querySelector('[data-figure=hour]').textContent) >= {}",
            records + 2
        ),
    );
    assert!(figure(&page, "height") > height);
    page.until("one public record", "return document.querySelectorAll('#records tr').length === 1");
    assert!(page.script("return document.querySelectorAll('#records-chart .bar').length").as_u64() > Some(0));
    assert!(page.text().contains("Im Mittel"), "{}", page.text());

    // An authority that dies is named, with what to do, and announced.
    office.devnet.kill_node(3).unwrap();
    let missing = format!("Nicht erreichbar: {}.", names[3]);
    page.until("the dead one is named", &is_shown(&missing));
    assert_eq!(tone(&page), "verdict warn");
    let state = "return document.querySelector('#authorities tr:last-child .state').textContent";
    assert_eq!(page.script(state), "nicht erreichbar");
    assert!(page.text().contains("Fällt noch eine aus, wird nichts mehr endgültig."), "{}", page.text());
    let said = page.script("return document.getElementById('announce').textContent");
    assert!(said.as_str().unwrap().contains(&missing), "{said}");
    page.click("[data-language=en]");
    assert!(page.text().contains(&format!("Unreachable: {}.", names[3])), "{}", page.text());
    let own = page.script("return document.querySelector('.conditions details p[lang=en]').textContent");
    assert!(own.as_str().unwrap().starts_with("3 of 4 authorities reachable, 3 needed; missing: "), "{own}");
    for scheme in ["light", "dark"] {
        page.prefer(scheme);
        assert_eq!(violations(&page, &axe), json!([]), "{scheme}");
    }
    office.devnet.kill_node(2).unwrap();
    page.until("no quorum", &is_shown("Nothing becomes final now"));
    assert_eq!(tone(&page), "verdict bad");
    page.click("[data-language=de]");
    page.until("both are named", &is_shown(&format!("nicht erreichbar: {}, {}", names[2], names[3])));

    // The node itself is gone: what was true is told as what was.
    office.devnet.stop().unwrap();
    page.until("its silence is told", &is_shown("Dieser Knoten antwortet nicht, seit"));
    assert_eq!(tone(&page), "verdict open");
    assert!(page.text().contains("Was unten steht, ist der Stand von"), "{}", page.text());
    for scheme in ["light", "dark"] {
        page.prefer(scheme);
        assert_eq!(violations(&page, &axe), json!([]), "{scheme}");
    }
    assert_eq!(page.script("return window.sameDocument"), true, "it was never reloaded");
}

#[test]
fn the_overview_asks_its_own_node_only_and_shows_peers_to_operators_only() {
    if without() {
        return;
    }
    let office = Office::of_four();
    let tee = Tee::to(office.devnet.url());
    let page = open(&tee.url, "en");
    page.until(
        "it asks again",
        "return performance.getEntriesByName(location.origin + '/v1/network').length >= 3",
    );
    let elsewhere = "return performance.getEntriesByType('resource').map((it) => it.name)\
                     .filter((name) => !name.startsWith(location.origin + '/'))";
    assert_eq!(page.script(elsewhere), json!([]));
    let said = String::from_utf8_lossy(&tee.said()).into_owned();
    let asked =
        said.lines().filter(|line| line.ends_with(" HTTP/1.1")).filter_map(|line| line.split(' ').nth(1));
    let after: Vec<&str> = asked.skip_while(|path| *path != "/network").collect();
    assert!(
        after.iter().all(|path| ["/network", "/v1/network"].contains(path) || path.starts_with("/web/")),
        "{after:?}"
    );
    assert_eq!(page.script("return document.cookie"), "");
    let peers = "return !document.getElementById('peers-section').hidden";
    assert_eq!(page.script(peers), false);
    let public = http::get(office.devnet.url(), "/v1/network").unwrap().json().unwrap();
    assert_eq!(public.get("peers"), None);

    // A page that nobody sees plans no further question; once it is seen it asks at once, and goes on.
    page.script(
        "const real = window.setTimeout; window.planned = 0; \
         window.setTimeout = (...all) => { window.planned += 1; return real(...all); }",
    );
    let hide = |hidden: bool| {
        page.script(&format!(
            "Object.defineProperty(document, 'hidden', {{ configurable: true, value: {hidden} }}); \
             document.dispatchEvent(new Event('visibilitychange')); \
             window.planned = 0; performance.clearResourceTimings()"
        ));
    };
    hide(true);
    page.script("document.getElementById('retry').click()");
    let asked = "performance.getEntriesByName(location.origin + '/v1/network').length > 0";
    page.until("it answers", &format!("return {asked}"));
    assert_eq!(page.script("return window.planned"), 0);
    hide(false);
    page.until("it asks and goes on", &format!("return {asked} && window.planned > 0"));

    // The same page on the operators' listener, with the connections.
    let page = open(&office.devnet.node().operator, "en");
    page.until("peers are shown", peers);
    assert_eq!(page.script("return document.querySelectorAll('#peers tr').length"), 3);
    assert_eq!(page.script("return document.querySelectorAll('a[href=\"/\"]').length"), 0);
    assert_eq!(violations(&page, &axe()), json!([]));
}

/// What the node tells of, each with facts as it has them; the last one is of a later release.
fn all_conditions() -> Value {
    let condition = |kind: &str, facts: Value| json!({ "kind": kind, "stops": false, "text": "its own words", "facts": facts });
    json!([
        condition("paused", json!({})),
        condition("reduced", json!({})),
        condition("catch_up", json!({ "from": 2, "to": 12 })),
        condition("journal_lost", json!({})),
        condition("journal_forgot", json!({})),
        condition("not_voting_yet", json!({})),
        condition("own_clock", json!({ "ms": -3000, "heard": 3 })),
        condition("clock", json!({ "authority_id": "b", "ms": 3000, "more": 1 })),
        condition("contradiction", json!({ "authority_id": "b", "view": 7 })),
        condition("no_checkpoint", json!({})),
        condition("clock_behind", json!({ "ms": 6000 })),
        condition("of_a_later_release", json!({})),
    ])
}

#[test]
fn all_that_can_be_amiss_is_said_in_both_languages_and_as_text() {
    if without() {
        return;
    }
    let office = Office::open();
    let page = open(office.devnet.url(), "de");
    let said = page.promise(
        "const { amiss, show } = await import('/web/network-view.js');
         const overview = await (await fetch('/v1/network')).json();
         const [only] = overview.authorities;
         const of = (id, state) => ({ ...only, authority_id: id, name: `<img src=x> ${id}`, state, here: false });
         overview.authorities = [of('a', 'lagging'), of('b', 'unheard')];
         overview.conditions = arguments[0];
         overview.finality = { ...overview.finality, state: 'paused', waiting_ms: 8000, needed_more: 1, would_help: ['a', 'b'],
           hindrances: [{ authority_id: 'a', reason: 'missing' }, { authority_id: 'b', reason: 'of a later release' }] };
         show(overview, 'de', false);
         return { de: amiss(overview, 'de'), en: amiss(overview, 'en'), images: document.querySelectorAll('main img').length,
           shown: document.getElementById('summary').innerText, foreign: document.querySelector('#summary strong[lang=en]').innerText }",
        &all_conditions(),
    );
    for language in ["de", "en"] {
        let told = said[language].as_array().unwrap_or_else(|| panic!("{said}"));
        assert_eq!(told.len(), 14, "the two states are told, too: {said}");
        for it in told {
            let text = format!("{} {}", it["what"], it["so"]);
            let known = it["kind"] != "of_a_later_release";
            assert_eq!((it["what"].is_string(), it["so"].is_string()), (known, known), "{it}");
            assert!(!["undefined", "NaN", "[object"].iter().any(|wrong| text.contains(wrong)), "{text}");
        }
    }
    assert_eq!((&said["images"], &said["foreign"]), (&json!(0), &json!("its own words")));
    let shown = said["shown"].as_str().unwrap();
    assert!(shown.contains("<img src=x> b hat sich in Runde 7 widersprochen"), "{shown}");
}

#[test]
fn each_page_can_be_switched_off() {
    if without() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut node = Cluster::prepare(&folder.path().join("ledger"), 1, 0).unwrap();
    let file = node.node_dir(0).join("node.toml");
    let config = fs::read_to_string(&file).unwrap();
    let code = |node: &Cluster, path: &str| http::get(&node.url(0).unwrap(), path).unwrap().code;
    for (setting, other, own, link) in [
        ("network_page = false", "/network", "/", "a[href=\"/network\"]"),
        ("page = false", "/", "/network", "a[href=\"/\"]"),
    ] {
        fs::write(&file, config.replacen("[api]\n", &format!("[api]\n{setting}\n"), 1)).unwrap();
        node.start(0).unwrap();
        node.wait_ready(0).unwrap();
        assert_eq!((code(&node, other), code(&node, own)), (404, 200), "{setting}");
        assert_eq!(code(&node, "/v1/network"), if own == "/" { 404 } else { 200 });
        let page = Page::at(&node.url(0).unwrap(), "en", own);
        assert_eq!(page.script(&format!("return document.querySelectorAll('{link}').length")), 0);
        node.stop(0).unwrap();
    }
}
