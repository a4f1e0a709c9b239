//! Text from files and from others, made safe to show on a terminal.

use std::{fmt::Write, path::Path};

use markstein_proto::is_deceptive;

/// The text with every character that steers a terminal, turns the direction of writing or is not seen shown as its
/// number.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_deceptive(c) {
            write!(shown, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string cannot fail");
        } else {
            shown.push(c);
        }
    }
    shown
}

/// JSON that says the same, in which the characters of its texts that [`safe`] does not show are written as escapes. Those
/// below U+0020 always are.
#[must_use]
pub fn json_safe(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        // Line ends and blanks are between the texts; all else that is ASCII, but for DEL, JSON itself sees to.
        if is_deceptive(c) && c >= '\u{7f}' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(shown, "\\u{unit:04x}").expect("writing to a string cannot fail");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A path, safe to show.
#[must_use]
pub fn safe_path(path: &Path) -> String {
    safe(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::{is_deceptive, json_safe, safe};

    #[test]
    fn json_says_the_same_in_signs_that_steer_nothing() {
        let value =
            serde_json::json!({ "a\u{9b}2J": "Behörde \u{1b}[2J\u{7f}\u{85}\u{202e}\u{e0041}\\ \u{1F600}" });
        for json in [value.to_string(), serde_json::to_string_pretty(&value).unwrap_or_default()] {
            let shown = json_safe(&json);
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).ok(), Some(value.clone()));
            assert!(
                shown.contains("Behörde") && shown.contains("\\u009b2J") && shown.contains("\\udb40\\udc41")
            );
            assert!(!shown.chars().any(|c| c != '\n' && is_deceptive(c)), "{shown:?}");
        }
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(safe("a\u{61c}b\u{ad}c\u{e0041}"), "a\\u{61c}b\\u{ad}c\\u{e0041}");
        assert_eq!(safe("Behörde \u{1b}[2J\n\u{202e}x"), "Behörde \\u{1b}[2J\\u{a}\\u{202e}x");
    }
}
