//! The page of a node in a browser.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::webdriver::{Browser, By};

/// After this long nothing more is to be expected of a page.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with the page of one node, or with one from a file.
pub struct Page {
    pub browser: Browser,
    url: String,
}

impl Page {
    /// A fresh browser that asks for a language, at the page of a node.
    pub fn open(node: &str, language: &str) -> Self {
        Self::open_at(&format!("{node}/"), language)
    }

    /// The same at another page of it.
    pub fn at(node: &str, language: &str, path: &str) -> Self {
        Self::open_at(&format!("{node}{path}"), language)
    }

    /// The same, at the address of any page.
    pub fn open_at(url: &str, language: &str) -> Self {
        let page = Self::of(Browser::start(language), url);
        page.load("");
        page
    }

    /// A browser that somebody else leads to a page.
    pub fn of(browser: Browser, url: &str) -> Self {
        Self { browser, url: url.to_owned() }
    }

    /// Loads the page anew, with a fragment, and waits until it is ready.
    pub fn load(&self, fragment: &str) {
        self.browser.goto("about:blank");
        self.browser.goto(&format!("{}{fragment}", self.url));
        let ready = "return document.documentElement.dataset.ready === 'yes' || document.getElementById('unsupported')?.hidden === false";
        self.until("it is ready", ready);
    }

    /// Makes the browser prefer `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.browser.tools("Emulation.setEmulatedMedia", &features);
    }

    /// Waits until a script says `true`.
    pub fn until(&self, what: &str, script: &str) {
        let begin = Instant::now();
        while self.script(script) != json!(true) {
            assert!(begin.elapsed() < PATIENCE, "in vain: {what}; the page says: {}", self.text());
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn script(&self, script: &str) -> Value {
        self.browser.script(script)
    }

    /// What a promise in the page comes to; `arguments[0]` is `argument`.
    pub fn promise(&self, script: &str, argument: &Value) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1]; (async () => {{ {script} }})()\
             .then(done, (e) => done({{ failed: String(e && e.stack || e) }}))"
        );
        self.browser.script_async(&script, argument)
    }

    /// All that is to be read.
    pub fn text(&self) -> String {
        self.script("return document.body.innerText").as_str().unwrap_or_default().to_owned()
    }

    pub fn click(&self, css: &str) {
        self.browser.click(&By::Css(css));
    }

    /// Presses the button with this text.
    pub fn press_button(&self, text: &str) {
        self.browser.click(&By::XPath(&format!("//button[text()='{text}']")));
    }

    /// Chooses a file in one of the two fields.
    pub fn choose(&self, field: &str, file: &Path) {
        self.browser.write(&By::Css(&format!("#{field}")), file.to_str().unwrap());
    }

    /// Chooses a receipt, then a document, and waits for the verdict: its tone and its text.
    pub fn check(&self, document: &Path, receipt: Option<&Path>) -> (String, String) {
        self.load("");
        if let Some(receipt) = receipt {
            self.choose("receipt", receipt);
        }
        self.choose("document", document);
        self.verdict()
    }

    /// Waits for a verdict: its tone and its text.
    pub fn verdict(&self) -> (String, String) {
        let shown = "return !document.getElementById('verdict').hidden && document.querySelector('.verdict') !== null \
                     && document.getElementById('busy').hidden";
        self.until("a verdict", shown);
        let verdict =
            self.script("const v = document.querySelector('.verdict'); return [v.className, v.innerText]");
        let part = |number: usize| verdict[number].as_str().unwrap_or_default().to_owned();
        (part(0).trim_start_matches("verdict ").to_owned(), part(1))
    }

    /// The large answer of the verdict.
    pub fn answer(&self) -> String {
        self.script("return document.querySelector('.verdict .answer').innerText")
            .as_str()
            .unwrap()
            .trim()
            .to_owned()
    }
}
