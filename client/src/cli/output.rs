//! The one place that prints: text for people, JSON for programs, errors on the error stream.

use std::{
    io::{self, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use markstein_client::text::{json_safe, safe};
use serde::Serialize;
use serde_json::Value;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// JSON for programs.
    pub json: bool,
    /// Nothing but errors.
    pub quiet: bool,
}

impl Output {
    /// A line for people. What comes from files or nodes must have gone through `safe` before.
    pub fn line(self, line: impl AsRef<str>) {
        if !self.json && !self.quiet {
            write_out(format!("{}\n", line.as_ref()).as_bytes());
        }
    }

    /// A remark for people, on the error stream.
    pub fn note(self, line: impl AsRef<str>) {
        if !self.quiet {
            write_err(line.as_ref());
        }
    }

    /// What failed of several things, on the error stream; for programs the answer tells it.
    pub fn failed(self, line: &str) {
        write_err(&format!("markstein: {line}"));
    }

    /// The answer for programs.
    pub fn answer(self, value: &impl Serialize) {
        if self.json {
            let text = serde_json::to_string_pretty(value).expect("answers are text, numbers and lists");
            write_out(format!("{}\n", json_safe(&text)).as_bytes());
        }
    }

    /// One line of many for programs.
    pub fn event(self, value: &Value) {
        if self.json {
            write_out(format!("{}\n", json_safe(&value.to_string())).as_bytes());
        }
    }

    /// Bytes that are the answer themselves.
    pub fn raw(self, bytes: &[u8]) {
        write_out(bytes);
    }

    /// Why it did not work; for programs as JSON, too.
    pub fn failure(self, error: &anyhow::Error) {
        // Some errors show the place in a file, in lines of their own. Indented, none of them, nor a line end in the
        // name of a file, reads like a verdict.
        let text = told_once(error).lines().map(safe).collect::<Vec<_>>().join("\n    ");
        self.answer(&serde_json::json!({ "error": text }));
        write_err(&format!("markstein: {text}"));
    }
}

/// An error and its causes, leaving out a cause that the sentence before it tells already.
fn told_once(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether something of the answer could not be written, to a full disk or the like.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether the answer is not complete, so that 0 would be no true exit code.
pub fn was_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Nobody to read what is printed is no failure: `markstein … | head` ends like any program.
fn write_out(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err_and(|e| e.kind() != io::ErrorKind::BrokenPipe) {
        LOST.store(true, Ordering::Relaxed);
    }
}

/// A remark that nobody can read changes nothing: `eprintln!` would panic in the midst of the work.
fn write_err(line: &str) {
    let _ = io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::told_once;

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::from(std::io::ErrorKind::NotFound);
        let told = format!("the key file k cannot be read: {cause}");
        let error = anyhow::Error::new(cause).context(told.clone());
        assert_eq!(told_once(&error), told);
        let error = anyhow::anyhow!("disk full").context("no receipt was written");
        assert_eq!(told_once(&error), "no receipt was written: disk full");
    }
}
