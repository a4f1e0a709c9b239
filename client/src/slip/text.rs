//! How wide text is, so that no line of a slip leaves its paper.

/// Widths of ` ` to `~` in Helvetica, in thousandths of the size, as Adobe published them. Fonts that stand in for it have the same.
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];
/// Of any other letter of ours: small ones with dots have 556, the widest capital 778.
const OTHER: u16 = 778;
/// Bold text is not wider than this.
const BOLD: f64 = 1.15;

/// Width of a text of this size, in the same unit; of bold text an upper bound.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    let of = |c: char| (u32::from(c)).checked_sub(0x20).and_then(|place| WIDTHS.get(place as usize));
    let sum: u32 = text.chars().map(|c| u32::from(*of(c).unwrap_or(&OTHER))).sum();
    f64::from(sum) / 1000.0 * size * if bold { BOLD } else { 1.0 }
}

/// The text in lines of this width at most, broken at spaces, or anywhere where there are none.
pub(super) fn wrap(text: &str, size: f64, bold: bool, most: f64) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if width(&longer, size, bold) <= most {
            line = longer;
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if !line.is_empty() && width(&format!("{line}{c}"), size, bold) > most {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces_and_long_words_anywhere() {
        assert_eq!((width("Az ~", 10.0, false) * 100.0).round(), 2029.0);
        assert_eq!(wrap("one two three", 10.0, false, 40.0), ["one two", "three"]);
        assert_eq!(wrap("a https://a.example", 10.0, false, 40.0), ["a", "https://a.", "example"]);
        assert_eq!(wrap("", 10.0, false, 40.0), [""]);
        assert_eq!(wrap("ab", 10.0, false, 1.0), ["a", "b"], "a letter stands, however wide it is");
    }
}
