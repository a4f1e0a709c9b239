//! The workspace as the tests of its shape see it: its files, and Rust sources without comments, strings and tests.

// Each test binary that includes this module uses a part of it.
#![allow(dead_code, reason = "shared by several test binaries")]

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Folders at the top that are made by tools and not part of the project.
const MADE_BY_TOOLS: &[&str] = &["target", ".git", ".venv"];
/// The same in the folder that cargo-fuzz works in.
const MADE_BY_FUZZERS: &[&str] = &["tests/fuzz/target", "tests/fuzz/corpus", "tests/fuzz/artifacts"];

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// All files of the project, with `/` between folders, relative to the workspace, sorted.
pub fn files() -> Vec<String> {
    let root = root();
    let mut files = Vec::new();
    let wanted = |entry: &walkdir::DirEntry| {
        let by_fuzzers = || MADE_BY_FUZZERS.iter().any(|folder| entry.path() == root.join(folder));
        let by_tools = || entry.depth() == 1 && MADE_BY_TOOLS.iter().any(|name| entry.file_name() == *name);
        !by_tools() && !by_fuzzers()
    };
    for entry in walkdir::WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(wanted) {
        let entry = entry.expect("the workspace can be read");
        if !entry.file_type().is_dir() && !entry.path().components().any(|c| c.as_os_str() == "__pycache__") {
            let path = entry.path().strip_prefix(&root).expect("it was found there");
            files.push(path.to_str().expect("names are UTF-8").to_owned());
        }
    }
    files
}

/// The text of a file named as in [`files`].
pub fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// A Rust source of the workspace.
pub struct Source {
    /// As in [`files`].
    pub file: String,
    /// As it stands in the file.
    pub text: String,
    /// As `text` and as long, but with spaces for comments and for what stands in strings.
    pub code: String,
    /// As `code`, with spaces for tests too. All spaces where the whole file is part of the tests.
    pub production: String,
}

impl Source {
    /// Is this file part of the tests as a whole?
    pub fn is_test(&self) -> bool {
        self.production.trim().is_empty()
    }
}

/// All Rust sources.
pub fn sources() -> Vec<Source> {
    let mut sources: Vec<Source> = files()
        .into_iter()
        .filter(|file| file.ends_with(".rs"))
        .map(|file| {
            let text = read(&file);
            let code = blank_comments_and_strings(&text);
            let production = blank(&code, &test_items(&code));
            Source { file, text, code, production }
        })
        .collect();
    let tests: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let file = &source.file;
        let in_tests_folder = file.split('/').any(|part| part == "tests");
        let is_module = tests.iter().any(|module| {
            *file == format!("{module}.rs") || file.starts_with(&format!("{module}/")) || file == module
        });
        if in_tests_folder || file.contains("/benches/") || is_module {
            source.production = blank(&source.code, std::slice::from_ref(&(0..source.code.len())));
        }
    }
    sources
}

/// Lines, counted from 1, of `text` in which `word` stands by itself.
pub fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let alone = line.match_indices(word).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + word.len()..].chars().next();
            let starts = !word.starts_with(part_of_word) || !before.is_some_and(part_of_word);
            starts && (!word.ends_with(part_of_word) || !after.is_some_and(part_of_word))
        });
        if alone {
            lines.push(number + 1);
        }
    }
    lines
}

/// Runs cargo in the workspace and returns what it prints.
pub fn cargo(arguments: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().expect("cargo starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// `cargo metadata`, with the packages that builds on this kind of machine use.
pub fn metadata() -> Value {
    let version = Command::new("rustc").arg("-vV").current_dir(root()).output().expect("rustc starts");
    let version = String::from_utf8(version.stdout).expect("rustc prints UTF-8");
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host");
    let json = cargo(&["metadata", "--locked", "--format-version", "1", "--filter-platform", host]);
    serde_json::from_str(&json).expect("cargo prints JSON")
}

/// Paths, without `.rs`, of the modules that this source declares for tests only.
fn test_modules(source: &Source) -> Vec<String> {
    let mut modules = Vec::new();
    for item in test_items(&source.code) {
        let words: Vec<&str> = source.code[item.clone()].split_whitespace().collect();
        let Some(name) = words.iter().position(|word| *word == "mod").and_then(|at| words.get(at + 1)) else {
            continue;
        };
        let Some(name) = name.strip_suffix(';') else { continue };
        let (folder, stem) = source.file.rsplit_once('/').expect("no source lies at the top");
        let text = &source.text[item];
        if let Some(path) = text.split_once("#[path = \"").and_then(|(_, rest)| rest.split_once('"')) {
            modules.push(format!("{folder}/{}", path.0));
        } else if matches!(stem, "mod.rs" | "lib.rs" | "main.rs") {
            modules.push(format!("{folder}/{name}"));
        } else {
            modules.push(format!("{folder}/{}/{name}", stem.trim_end_matches(".rs")));
        }
    }
    modules
}

/// Where the items under `#[cfg(test)]` stand, their attributes included.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items: Vec<Range<usize>> = Vec::new();
    for (start, _) in code.match_indices("#[cfg(test)]") {
        if items.last().is_some_and(|item| item.contains(&start)) {
            continue;
        }
        let mut depth = 0_usize;
        let mut end = code.len();
        for (at, c) in code[start..].char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                end = start + at + c.len_utf8();
                break;
            }
        }
        items.push(start..end);
    }
    items
}

/// `text` with spaces in these ranges; line ends stay.
fn blank(text: &str, ranges: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for range in ranges {
        for byte in &mut bytes[range.clone()] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(bytes).expect("ranges lie between characters")
}

/// `text` with spaces for comments and for the contents of strings and characters.
fn blank_comments_and_strings(text: &str) -> String {
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let after_word = text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if rest.starts_with('"') {
            quoted(rest, '"')
        } else if !after_word && raw_string_hashes(rest).is_some() {
            raw_string(rest)
        } else if rest.starts_with('\'') && is_character(rest) {
            quoted(rest, '\'')
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        ranges.push(at..at + length);
        at += length;
    }
    blank(text, &ranges)
}

/// Length of the block comment at the beginning; they nest.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at + 2;
            }
        }
    }
    text.len()
}

/// Length of the string or character at the beginning, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The number of `#` of the raw string at the beginning, if there is one.
fn raw_string_hashes(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = rest.bytes().take_while(|byte| *byte == b'#').count();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// Length of the raw string at the beginning.
fn raw_string(text: &str) -> usize {
    let hashes = raw_string_hashes(text).unwrap_or_default();
    let start = text.find('"').map_or(text.len(), |at| at + 1);
    let end = format!("\"{}", "#".repeat(hashes));
    text[start..].find(&end).map_or(text.len(), |at| start + at + end.len())
}

/// Is the `'` at the beginning that of a character, and not of a lifetime?
fn is_character(text: &str) -> bool {
    let mut characters = text.chars().skip(1);
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}
