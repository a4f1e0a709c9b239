//! A slip as PDF 1.7: one page, text in Helvetica, which every reader of PDF has, the code as one path.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};
use qrcode::Color;

use super::{Drawing, QUIET};

/// Points in a millimetre.
const POINT: f64 = 72.0 / 25.4;
const PLAIN: Name<'static> = Name(b"F1");
const BOLD: Name<'static> = Name(b"F2");

/// The page as a document. It names no time and no program: the same drawing gives the same bytes.
pub(super) fn write(drawing: &Drawing) -> Vec<u8> {
    let [catalog, pages, page, plain, bold, content, info] = [1, 2, 3, 4, 5, 6, 7].map(Ref::new);
    let mut pdf = Pdf::new();
    pdf.document_info(info).title(TextStr(drawing.title));
    let mut root = pdf.catalog(catalog);
    root.pages(pages).lang(TextStr(drawing.language));
    root.viewer_preferences().display_doc_title(true);
    root.finish();
    pdf.pages(pages).kids([page]).count(1);
    let mut of_page = pdf.page(page);
    of_page.parent(pages).contents(content);
    of_page.media_box(Rect::new(0.0, 0.0, points(drawing.width), points(drawing.height)));
    of_page.resources().fonts().pair(PLAIN, plain).pair(BOLD, bold);
    of_page.finish();
    for (font, name) in [(plain, Name(b"Helvetica")), (bold, Name(b"Helvetica-Bold"))] {
        pdf.type1_font(font).base_font(name).encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    pdf.stream(content, &draw(drawing));
    pdf.finish()
}

/// What stands on the page. PDF counts upwards from the lower left corner.
fn draw(drawing: &Drawing) -> Vec<u8> {
    let mut content = Content::new();
    let up = |y: f64| points(drawing.height - y);
    for line in &drawing.lines {
        content.begin_text().set_font(if line.bold { BOLD } else { PLAIN }, points(line.size));
        content.next_line(points(drawing.margin), up(line.y)).show(Str(&win_ansi(&line.words))).end_text();
    }
    let module = points(drawing.module());
    content.save_state().transform([module, 0.0, 0.0, -module, points(drawing.margin), up(drawing.top)]);
    let side = drawing.code.width();
    for (number, row) in drawing.code.to_colors().chunks(side).enumerate() {
        let mut at = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run[0] == Color::Dark {
                content.rect((at + QUIET) as f32, (number + QUIET) as f32, run.len() as f32, 1.0);
            }
            at += run.len();
        }
    }
    content.fill_nonzero().restore_state();
    content.finish().into_vec()
}

fn points(millimetres: f64) -> f32 {
    (millimetres * POINT) as f32
}

/// The text in WinAnsiEncoding, which has all letters of German and English; a question mark for any other character.
fn win_ansi(text: &str) -> Vec<u8> {
    let has = |byte: &u8| matches!(byte, 0x20..=0x7e | 0xa0..);
    let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(has).unwrap_or(b'?');
    text.chars().map(byte).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{super::*, *};

    const LINK: &str = "https://nachweis.neustadt.example/#i=4711&s=AAAA";

    fn drawing(language: Language, paper: Paper) -> Drawing {
        Drawing::new(LINK, language, paper).unwrap()
    }

    #[test]
    fn every_object_is_where_the_table_says() {
        let pdf = write(&drawing(Language::German, Paper::A6));
        assert_eq!(pdf, write(&drawing(Language::German, Paper::A6)), "the same gives the same");
        let text: String = pdf.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '?' }).collect();
        assert!(text.starts_with("%PDF-1.7\n") && text.trim_end().ends_with("%%EOF"));
        let table: usize =
            text.rsplit("startxref\n").next().unwrap().lines().next().unwrap().parse().unwrap();
        let entries: Vec<&str> =
            text[table..].lines().skip(3).take_while(|line| line.ends_with("n")).collect();
        assert_eq!(entries.len(), 7);
        for (number, entry) in entries.iter().enumerate() {
            let place: usize = entry[..10].parse().unwrap();
            assert!(text[place..].starts_with(&format!("{} 0 obj\n", number + 1)), "{entry}");
        }
        assert!(text.contains("/MediaBox [0 0 297.6378 419.52756]"), "A6 in points");
    }

    #[test]
    fn the_code_on_the_page_is_that_of_the_link() {
        for paper in [Paper::A4, Paper::A6] {
            let drawing = drawing(Language::English, paper);
            let content = String::from_utf8(draw(&drawing)).unwrap();
            let side = drawing.code.width();
            let mut drawn = vec![Color::Light; side * side];
            for line in content.lines().filter_map(|line| line.strip_suffix(" re")) {
                let [x, y, width, height]: [usize; 4] =
                    line.split(' ').map(|part| part.parse().unwrap()).collect::<Vec<_>>().try_into().unwrap();
                assert_eq!(height, 1);
                let from = (y - QUIET) * side + x - QUIET;
                drawn[from..from + width].fill(Color::Dark);
            }
            assert_eq!(drawn, drawing.code.to_colors());
        }
    }

    #[test]
    fn every_word_is_written_as_it_is() {
        for language in [Language::German, Language::English] {
            let drawing = drawing(language, Paper::A4);
            for line in &drawing.lines {
                let written: String = win_ansi(&line.words).into_iter().map(char::from).collect();
                assert_eq!(written, line.words);
            }
        }
        assert_eq!(win_ansi("für €"), b"f\xfcr ?");
    }
}
