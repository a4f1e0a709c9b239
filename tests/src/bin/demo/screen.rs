//! How the demo looks: calm, narrow, coloured on a terminal only.

use std::{
    cell::Cell,
    env,
    io::{self, IsTerminal, Write},
};

/// Where text starts below a heading.
const MARGIN: &str = "   ";
/// Longest line of running text, margin included.
const WIDTH: usize = 92;

/// Standard output.
#[derive(Debug)]
pub struct Screen {
    coloured: bool,
    step: Cell<usize>,
}

impl Screen {
    /// Colour on a terminal, unless `NO_COLOR` is set.
    pub fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let able = env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { coloured: wanted && able && io::stdout().is_terminal(), step: Cell::new(0) }
    }

    /// The first line.
    pub fn title(&self, title: &str, text: &str) {
        self.print(&format!("\n{}\n", self.paint("1", title)));
        self.text(text);
    }

    /// Begins the next step: what happens, and why it matters.
    pub fn step(&self, heading: &str, why: &str) {
        self.step.set(self.step.get() + 1);
        let heading = self.paint("1", heading);
        self.print(&format!("\n{}  {heading}\n", self.paint("1;36", &self.step.get().to_string())));
        self.text(why);
    }

    /// Running text.
    pub fn text(&self, text: &str) {
        for line in wrapped(text, WIDTH - MARGIN.len()) {
            self.print(&format!("{MARGIN}{line}\n"));
        }
    }

    /// A command as it is run.
    pub fn command(&self, line: &str) {
        self.print(&format!("{MARGIN}{} {}\n", self.paint("2", "$"), self.paint("36", line)));
    }

    /// What a command answers.
    pub fn answer(&self, text: &str) {
        for line in text.lines() {
            self.print(&format!("{MARGIN}  {}\n", self.paint("2", line)));
        }
    }

    /// Something that is as it should be.
    pub fn good(&self, text: &str) {
        self.print(&format!("{MARGIN}{} {text}\n", self.paint("1;32", "✓")));
    }

    /// The last line.
    pub fn end(&self, text: &str) {
        self.print(&format!("\n{}\n", self.paint("1", text)));
    }

    /// Why it did not work, on the error stream.
    pub fn failure(&self, reason: &str) {
        let _ = writeln!(io::stderr(), "\n{} {reason}", self.paint("1;31", "✗ The demo failed:"));
    }

    /// Nobody to read it is no failure.
    fn print(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.into() }
    }
}

/// Breaks text between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(word.into());
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_between_words() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("überlanges wort", 5), ["überlanges", "wort"], "a long word stands alone");
        assert_eq!(wrapped("", 5), [""]);
    }
}
