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

/// A path, safe to show.
#[must_use]
pub fn safe_path(path: &Path) -> String {
    safe(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(safe("a\u{61c}b\u{ad}c\u{e0041}"), "a\\u{61c}b\\u{ad}c\\u{e0041}");
        assert_eq!(safe("Behörde \u{1b}[2J\n\u{202e}x"), "Behörde \\u{1b}[2J\\u{a}\\u{202e}x");
    }
}
