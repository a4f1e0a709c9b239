//! Lists of records: a text file with one a line, as people and spreadsheets write them.
//!
//! A line is comma-separated values: fields with a comma or a quote in them stand in double quotes, with each quote
//! doubled (RFC 4180); a field ends with its line. Empty lines and lines that begin with `#` are left out.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Longest list, in bytes.
const LIST_MAX: u64 = 64 * 1024 * 1024;

/// A line that says something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub number: usize,
    /// What stands between the commas.
    pub fields: Vec<String>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The system's word.
    #[error("the list {path} cannot be read: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// More than any list.
    #[error("the list {0} is longer than 64 MiB: split it")]
    TooLong(PathBuf),
    /// A line that cannot be read.
    #[error("{path}, line {number}: {why}; nothing was sent")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing in it.
    #[error("the list {0} has no line that says anything")]
    Empty(PathBuf),
}

/// Reads a list, `-` from standard input.
///
/// # Errors
/// See [`ListError`].
pub fn read(path: &Path) -> Result<Vec<Line>, ListError> {
    let io = |source| ListError::Io { path: path.into(), source };
    let mut bytes = Vec::new();
    // One byte more than allowed tells that the file is too long.
    let limit = LIST_MAX + 1;
    if path == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(io)?;
    } else {
        File::open(path).map_err(io)?.take(limit).read_to_end(&mut bytes).map_err(io)?;
    }
    if bytes.len() as u64 > LIST_MAX {
        return Err(ListError::TooLong(path.into()));
    }
    let lines = parse(&bytes).map_err(|(number, why)| ListError::Line { path: path.into(), number, why })?;
    if lines.is_empty() { Err(ListError::Empty(path.into())) } else { Ok(lines) }
}

/// The error that a line of the list at `path` is.
#[must_use]
pub fn wrong_line(path: &Path, number: usize, why: impl Into<String>) -> ListError {
    ListError::Line { path: path.into(), number, why: why.into() }
}

fn parse(bytes: &[u8]) -> Result<Vec<Line>, (usize, String)> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes); // spreadsheets write this mark
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let text = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line));
        let text = text.map_err(|_| (number, "this is no UTF-8 text".to_owned()))?;
        if !text.trim().is_empty() && !text.starts_with('#') {
            lines.push(Line { number, fields: fields(text).map_err(|why| (number, why.to_owned()))? });
        }
    }
    Ok(lines)
}

/// Spaces around an unquoted field are no part of it.
fn fields(line: &str) -> Result<Vec<String>, &'static str> {
    let (mut fields, mut rest) = (Vec::new(), line);
    loop {
        let trimmed = rest.trim_start();
        let (field, after) = match trimmed.strip_prefix('"') {
            Some(quoted) => {
                let (field, after) = quoted_field(quoted)?;
                (field, after.trim_start())
            }
            None => {
                let end = trimmed.find(',').unwrap_or(trimmed.len());
                (trimmed[..end].trim_end().to_owned(), &trimmed[end..])
            }
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(fields),
            None => return Err("after the closing quote a comma or the end of the line must follow"),
        }
    }
}

/// The field behind an opening quote, and what comes after its closing one.
fn quoted_field(mut rest: &str) -> Result<(String, &str), &'static str> {
    let mut field = String::new();
    loop {
        let end = rest.find('"').ok_or("a quote is not closed")?;
        field.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field, rest)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(usize, Vec<String>)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|line| (line.number, line.fields)).collect()
    }

    #[test]
    fn lines_are_read_as_spreadsheets_and_people_write_them() {
        let text =
            "\u{feff}a.pdf\r\n# a remark\n\n  \t\n b c.pdf , other \n\"x, \"\"y\"\".pdf\" ,unlawful\n,\n\"\"";
        let expected: [(usize, &[&str]); 5] = [
            (1, &["a.pdf"]),
            (5, &["b c.pdf", "other"]),
            (6, &["x, \"y\".pdf", "unlawful"]),
            (7, &["", ""]),
            (8, &[""]),
        ];
        let owned = |(n, f): (usize, &[&str])| (n, f.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(parsed(text), expected.map(owned));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (text, number, why) in [
            (&b"a\n\"b\nc\""[..], 2, "a quote is not closed"),
            (b"a\nb\n\"c\" d", 3, "after the closing quote"),
            (b"a\n\xff", 2, "UTF-8"),
        ] {
            let (line, said) = parse(text).unwrap_err();
            assert!(line == number && said.contains(why), "{line}: {said}");
        }
    }

    #[test]
    fn a_list_without_a_line_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        std::fs::write(&path, "\n# nothing\n").unwrap();
        assert!(matches!(read(&path), Err(ListError::Empty(_))));
        assert!(matches!(read(&dir.path().join("gone")), Err(ListError::Io { .. })));
    }
}
