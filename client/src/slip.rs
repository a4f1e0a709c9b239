//! The slip that goes with a printed decision: a page with a QR code that opens the page for citizens with record and salt.
//!
//! Both stand after the `#` of the address, which browsers never send. Whoever has the slip has the salt: it belongs to
//! the document.

mod pdf;
mod svg;
mod text;

use markstein_proto::{
    Hash,
    encoding::base64_encode,
    receipt::{RECEIPT_FORMAT, Receipt},
};
use qrcode::{EcLevel, QrCode};

/// Quiet modules around a code (ISO/IEC 18004 section 6.3.8).
const QUIET: usize = 4;
/// How much of the room between the margins a line takes at most: a reader of SVG may lack Helvetica.
const FILLED: f64 = 0.95;
/// Longest address: the code stays coarse enough to be read from paper.
const URL_MAX: usize = 200;

/// Language of the words on a slip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// German.
    German,
    /// English.
    English,
}

/// Paper, upright.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paper {
    /// 210 mm by 297 mm.
    A4,
    /// 105 mm by 148 mm.
    A6,
}

/// Why there is no slip.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SlipError {
    /// Without it the code would open nothing.
    #[error("the receipt has no salt: use the one that `anchor` wrote ({RECEIPT_FORMAT})")]
    NoSalt,
    /// No address of a page.
    #[error(
        "the address of the page must begin with https:// (or http:// for a trial), without ? and #, and have {URL_MAX} characters at most"
    )]
    Url,
}

/// The address that opens the page at `page` with the record and the salt of a receipt: `#i=<index>&s=<salt>&c=<check>`. The
/// check, the first three bytes of SHA-256 over what stands before it, tells the page when a letter was typed wrongly.
///
/// # Errors
/// See [`SlipError`].
pub fn link(receipt: &Receipt, page: &str) -> Result<String, SlipError> {
    let rest =
        page.strip_prefix("https://").or_else(|| page.strip_prefix("http://")).ok_or(SlipError::Url)?;
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '<' | '>' | '"' | '&' | '\'' | '\\');
    if rest.is_empty() || rest.starts_with('/') || page.len() > URL_MAX || !page.chars().all(plain) {
        return Err(SlipError::Url);
    }
    let salt = letters(&receipt.salt.ok_or(SlipError::NoSalt)?.0);
    let text = format!("i={}&s={salt}", receipt.record.index);
    let check = letters(&Hash::of(&[text.as_bytes()]).as_bytes()[..3]);
    let end = if rest.contains('/') { "" } else { "/" }; // a page in a file or folder has the address it has
    Ok(format!("{page}{end}#{text}&c={check}"))
}

/// base64url without padding.
fn letters(bytes: &[u8]) -> String {
    base64_encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// The slip as SVG 1.1, in millimetres.
///
/// # Errors
/// See [`SlipError`].
pub fn svg(receipt: &Receipt, page: &str, language: Language, paper: Paper) -> Result<String, SlipError> {
    Ok(svg::write(&Drawing::new(&link(receipt, page)?, language, paper)?))
}

/// The slip as PDF, of one page.
///
/// # Errors
/// See [`SlipError`].
pub fn pdf(receipt: &Receipt, page: &str, language: Language, paper: Paper) -> Result<Vec<u8>, SlipError> {
    Ok(pdf::write(&Drawing::new(&link(receipt, page)?, language, paper)?))
}

/// What stands on a slip and where: millimetres from the upper left corner.
struct Drawing {
    language: &'static str,
    title: &'static str,
    width: f64,
    height: f64,
    /// Where lines and the code begin, from the left.
    margin: f64,
    lines: Vec<Line>,
    code: QrCode,
    /// Upper edge of the code, and side of its square, both with the quiet zone.
    top: f64,
    side: f64,
}

/// A line of text; `y` is where its letters stand.
struct Line {
    y: f64,
    size: f64,
    bold: bool,
    words: String,
}

/// Paragraphs, one below the other.
struct Column {
    lines: Vec<Line>,
    scale: f64,
    most: f64,
}

impl Column {
    /// Adds a paragraph whose first line stands at `y`; gives where the next one does. Size and step of lines are of A6.
    fn add(&mut self, mut y: f64, words: &str, size: f64, step: f64, bold: bool) -> f64 {
        let size = size * self.scale;
        for words in text::wrap(words, size, bold, self.most) {
            self.lines.push(Line { y, size, bold, words });
            y += step * self.scale;
        }
        y
    }
}

impl Drawing {
    fn new(link: &str, language: Language, paper: Paper) -> Result<Self, SlipError> {
        let code =
            QrCode::with_error_correction_level(link.as_bytes(), EcLevel::M).map_err(|_| SlipError::Url)?;
        let words = words(language);
        let (width, height, margin, scale) = match paper {
            Paper::A4 => (210.0, 297.0, 25.0, 1.6),
            Paper::A6 => (105.0, 148.0, 10.0, 1.0),
        };
        let mut column = Column { lines: Vec::new(), scale, most: (width - 2.0 * margin) * FILLED };
        let mut top = column.add(margin + 7.0 * scale, words.title, 6.0, 8.0, true);
        for step in words.steps {
            top = column.add(top, step, 3.6, 5.2, false);
        }
        // What stands below the code is laid out before it: the code takes what it leaves.
        let above = column.lines.len();
        // One line would be too long: the link is broken anywhere, and typed without the breaks.
        let mut y = column.add(0.0, words.address, 3.0, 4.4, true);
        y = column.add(y, link, 2.6, 3.8, false) + 1.5 * scale;
        for care in words.care {
            y = column.add(y, care, 2.9, 4.2, false);
        }
        let mut lines = column.lines;
        let gap = 6.0 * scale;
        let wanted = width - 2.0 * margin - if paper == Paper::A4 { 60.0 } else { 15.0 };
        let side = wanted.min(height - margin - y - gap - top);
        for line in &mut lines[above..] {
            line.y += top + side + gap;
        }
        Ok(Self {
            language: words.language,
            title: words.title,
            width,
            height,
            margin,
            lines,
            code,
            top,
            side,
        })
    }

    /// Side of one module of the code.
    fn module(&self) -> f64 {
        self.side / (self.code.width() + 2 * QUIET) as f64
    }
}

struct Words {
    language: &'static str,
    title: &'static str,
    steps: [&'static str; 3],
    address: &'static str,
    care: [&'static str; 2],
}

const fn words(language: Language) -> Words {
    match language {
        Language::German => Words {
            language: "de",
            title: "Ist dieser Bescheid echt?",
            steps: [
                "1. Code scannen oder Adresse eingeben.",
                "2. Die Datei des Bescheids wählen. Sie wird nicht übertragen.",
                "3. Lesen, ob er echt ist und noch gilt.",
            ],
            address: "Adresse (ohne Zeilenumbruch):",
            care: [
                "Geben Sie dieses Blatt nur zusammen mit dem Bescheid weiter.",
                "Verwahren Sie beides gemeinsam.",
            ],
        },
        Language::English => Words {
            language: "en",
            title: "Is this decision genuine?",
            steps: [
                "1. Scan the code, or type the address.",
                "2. Choose the file of the decision. It is not sent anywhere.",
                "3. Read whether it is genuine and still holds.",
            ],
            address: "Address (without line breaks):",
            care: ["Hand this page on only together with the decision.", "Keep both in one place."],
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::Salt;

    use super::*;
    use crate::testing::{Ledger, NOW, entry};

    fn receipt() -> Receipt {
        let entry = entry(&["a"], NOW);
        let mut ledger = Ledger::new();
        ledger.append(entry.batch(), NOW);
        let mut receipt = ledger.receipts(entry.batch().id()).remove(0);
        receipt.salt = Some(Salt([0xfb; 32]));
        receipt
    }

    #[test]
    fn the_link_has_record_and_salt_after_the_mark_that_browsers_do_not_send() {
        let receipt = receipt();
        for (page, begin) in [
            ("https://a.example", "https://a.example/#i="),
            ("https://a.example/pruefen.html", "https://a.example/pruefen.html#i="),
            ("https://a.example/page/", "https://a.example/page/#i="),
        ] {
            assert!(link(&receipt, page).unwrap().starts_with(begin), "{page}");
        }
        let link = link(&receipt, "https://node.example/").unwrap();
        let (page, fragment) = link.split_once('#').unwrap();
        assert_eq!(page, "https://node.example/");
        let salt = "-_v7".repeat(10) + "-_s";
        assert_eq!(fragment, format!("i=5&s={salt}&c=E3se"));
    }

    #[test]
    fn no_address_and_no_salt_give_no_slip() {
        let receipt = receipt();
        let long = format!("https://{}", "a".repeat(URL_MAX));
        for page in [
            "",
            "https://",
            "node.example",
            "ftp://a",
            "https://a?b",
            "https://a#b",
            "https://a b",
            "https://a\"",
            &long,
        ] {
            assert_eq!(link(&receipt, page), Err(SlipError::Url), "{page}");
        }
        let served = Receipt { salt: None, ..receipt };
        assert_eq!(link(&served, "https://a"), Err(SlipError::NoSalt));
    }

    #[test]
    fn a_slip_is_well_formed_and_stays_on_its_paper() {
        let long = format!("https://{}.example", "a".repeat(URL_MAX - 16));
        for (paper, least) in [(Paper::A4, 60.0), (Paper::A6, 40.0)] {
            for language in [Language::German, Language::English] {
                for page in ["https://a.example", "https://nachweis.neustadt.example/pruefen", &long] {
                    let svg = svg(&receipt(), page, language, paper).unwrap();
                    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
                    assert!(svg.contains("&amp;s="), "the address stands there in words, too");
                    let drawing = Drawing::new(&link(&receipt(), page).unwrap(), language, paper).unwrap();
                    for Line { y, size, bold, words } in &drawing.lines {
                        let right = drawing.margin + text::width(words, *size, *bold);
                        assert!(right <= drawing.width - drawing.margin, "{paper:?}: {words}");
                        assert!(*y <= drawing.height - drawing.margin, "{paper:?}: {words}");
                    }
                    assert!(drawing.side > least && drawing.module() > 0.5, "the code can be read");
                    let below = |line: &&Line| line.y - line.size > drawing.top + drawing.side;
                    assert_eq!(
                        drawing.lines.iter().filter(below).count(),
                        svg.matches("<text").count() - above(&drawing)
                    );
                }
            }
        }
    }

    /// Lines that stand above the code.
    fn above(drawing: &Drawing) -> usize {
        drawing.lines.iter().filter(|line| line.y < drawing.top).count()
    }
}
