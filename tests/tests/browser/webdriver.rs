//! Chromium by W3C WebDriver, as far as these tests need it. (The crate `thirtyfour` has all of it; it switches on
//! `preserve_order` of `serde_json`, and by that changes what our two programs print wherever they are built with the tests.)

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use markstein_tests::http;
use serde_json::{Value, json};
use tempfile::TempDir;

/// `chromedriver` on a port that the system chose; ends when it is dropped, and the browser with it.
struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    /// It lets the system choose a port of `::1` and takes the same of 127.0.0.1; where a node or a connection has that one already,
    /// it says "IPv4 port not available" and ends, and the next start is given another port.
    fn start() -> Self {
        let mut said = String::new();
        for _ in 0..20 {
            match Self::try_start() {
                Ok(driver) => return driver,
                Err(why) => said = why,
            }
        }
        panic!("chromedriver named no port in 20 starts; the last one said: {said}")
    }

    /// One that listens, or what it said before it ended.
    fn try_start() -> Result<Self, String> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver cannot be started; run config/setup, which installs chromium-driver");
        let mut said = String::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                return Ok(Self { process, url: format!("http://127.0.0.1:{}", port.trim_end_matches('.')) });
            }
            said.push_str(&line);
            said.push('\n');
        }
        let end = process.wait().unwrap();
        Err(format!("{said}({end})"))
    }

    /// What a command gives.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let kind = [("Content-Type", "application/json; charset=utf-8")];
        let body = if method == "POST" { serde_json::to_vec(body).unwrap() } else { Vec::new() };
        let answer = http::request_of_length(&self.url, method, path, &kind, &body).unwrap();
        let mut json = answer.json().unwrap();
        assert_eq!(answer.code, 200, "{method} {path}: {json}");
        json["value"].take()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// A browser.
pub struct Browser {
    driver: Driver,
    session: String,
    _profile: TempDir,
}

/// How an element is found.
pub enum By<'a> {
    Css(&'a str),
    XPath(&'a str),
}

impl Browser {
    /// A fresh one, headless, that asks for a language.
    pub fn start(language: &str) -> Self {
        let (driver, profile) = (Driver::start(), tempfile::tempdir().unwrap());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1200,1600",
        ];
        let mut arguments: Vec<String> = arguments.map(String::from).into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        arguments.push(format!("--accept-lang={language}"));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } });
        let session = driver.ask("POST", "/session", &wanted)["sessionId"].as_str().unwrap().to_owned();
        let browser = Self { driver, session, _profile: profile };
        browser.post("timeouts", &json!({ "script": 120_000, "pageLoad": 120_000 }));
        browser
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        self.driver.ask("POST", &format!("/session/{}/{command}", self.session), body)
    }

    pub fn goto(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// What a script returns.
    pub fn script(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// What a script hands to its last argument; `arguments[0]` is `argument`.
    pub fn script_async(&self, script: &str, argument: &Value) -> Value {
        self.post("execute/async", &json!({ "script": script, "args": [argument] }))
    }

    fn element(&self, by: &By<'_>) -> String {
        let (using, value) = match by {
            By::Css(css) => ("css selector", css),
            By::XPath(path) => ("xpath", path),
        };
        let found = self.post("element", &json!({ "using": using, "value": value }));
        found.as_object().unwrap().values().next().unwrap().as_str().unwrap().to_owned()
    }

    pub fn click(&self, by: &By<'_>) {
        self.post(&format!("element/{}/click", self.element(by)), &json!({}));
    }

    /// Types into an element; a path into a file field.
    pub fn write(&self, by: &By<'_>, text: &str) {
        self.post(&format!("element/{}/value", self.element(by)), &json!({ "text": text }));
    }

    /// Presses and releases a key.
    pub fn press(&self, key: char) {
        let press = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.post("actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": press }] }));
    }

    /// A command of Chrome's own tools.
    pub fn tools(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// What the browser complained about since this was asked last: errors, and what a policy forbade.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().unwrap().iter();
        let grave = entries.filter(|entry| entry["level"] == "SEVERE" || entry["source"] == "security");
        grave.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Addresses of all that pages and their workers asked for since this was asked last.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.post("se/log", &json!({ "type": "performance" }));
        let events = entries.as_array().unwrap().iter().map(|entry| {
            serde_json::from_str::<Value>(entry["message"].as_str().unwrap()).unwrap()["message"].take()
        });
        let sent = events.filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends in good order, so that nothing of it is left; where it does not answer, its driver ends it.
        let path = format!("/session/{}", self.session);
        _ = http::request_of_length(&self.driver.url, "DELETE", &path, &[], b"");
    }
}
