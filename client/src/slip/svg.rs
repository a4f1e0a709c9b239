//! A slip as SVG 1.1, in millimetres.

use std::fmt::Write;

use qrcode::Color;

use super::{Drawing, QUIET};

/// The page as an image.
pub(super) fn write(drawing: &Drawing) -> String {
    let Drawing { width, height, language, title, .. } = drawing;
    let mut text = String::new();
    for line in &drawing.lines {
        _ = writeln!(
            text,
            "<text x=\"{}\" y=\"{:.1}\" font-size=\"{:.2}\" font-weight=\"{}\">{}</text>",
            drawing.margin,
            line.y,
            line.size,
            if line.bold { 700 } else { 400 },
            escaped(&line.words)
        );
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" \
         width=\"{width}mm\" height=\"{height}mm\" viewBox=\"0 0 {width} {height}\" font-family=\"Helvetica, Arial, sans-serif\" \
         xml:lang=\"{language}\">\n<title>{}</title>\n<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n{text}{}</svg>\n",
        escaped(title),
        modules(drawing),
    )
}

/// The code as one path.
fn modules(drawing: &Drawing) -> String {
    let width = drawing.code.width();
    let mut path = String::new();
    for (number, color) in drawing.code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            _ = write!(path, "M{} {}h1v1h-1z", number % width + QUIET, number / width + QUIET);
        }
    }
    format!(
        "<g transform=\"translate({} {:.1}) scale({:.5})\"><path d=\"{path}\" fill=\"#000\" shape-rendering=\"crispEdges\"/></g>\n",
        drawing.margin,
        drawing.top,
        drawing.module()
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
