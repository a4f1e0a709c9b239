//! Text from files and from others, made safe to show on a terminal.

use std::{fmt::Write, path::Path};

/// The text with every character that steers a terminal or turns the direction of writing shown as its number.
#[must_use]
pub fn safe(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
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

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(safe("Behörde \u{1b}[2J\n\u{202e}x"), "Behörde \\u{1b}[2J\\u{a}\\u{202e}x");
    }
}
