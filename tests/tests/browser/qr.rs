//! The page's own QR codes against those of the crate that slips are made with, module by module.

use qrcode::{
    EcLevel, Version,
    bits::Bits,
    canvas::{Canvas, MaskPattern},
    ec,
};
use serde_json::json;

use crate::{Office, support::Page, without};

const MASKS: [MaskPattern; 8] = [
    MaskPattern::Checkerboard,
    MaskPattern::HorizontalLines,
    MaskPattern::VerticalLines,
    MaskPattern::DiagonalLines,
    MaskPattern::LargeCheckerboard,
    MaskPattern::Fields,
    MaskPattern::Diamonds,
    MaskPattern::Meadow,
];

/// The modules of a text as bytes, level M, in the smallest version, row by row: `1` is dark.
pub fn modules(text: &str, mask: MaskPattern) -> String {
    let level = EcLevel::M;
    let (version, bits) = (1..=40)
        .find_map(|number| {
            let version = Version::Normal(number);
            let mut bits = Bits::new(version);
            bits.push_byte_data(text.as_bytes()).ok()?;
            bits.push_terminator(level).ok()?;
            Some((version, bits.into_bytes()))
        })
        .unwrap();
    let (data, correction) = ec::construct_codewords(&bits, version, level).unwrap();
    let mut canvas = Canvas::new(version, level);
    canvas.draw_all_functional_patterns();
    canvas.draw_data(&data, &correction);
    canvas.apply_mask(mask);
    canvas.into_colors().into_iter().map(|color| color.select('1', '0')).collect()
}

/// Whether this code is the one of a text, under any mask.
pub fn is_code_of(code: &str, text: &str) -> bool {
    MASKS.into_iter().any(|mask| modules(text, mask) == code)
}

#[test]
fn the_page_draws_the_codes_that_others_draw() {
    if without() {
        return;
    }
    let office = Office::open();
    let page = Page::open(office.devnet.url(), "en");
    // Both ends of every version up to 14, by way of the lengths on both sides of each border, and some of those above.
    let ends = [14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362];
    let lengths: Vec<usize> =
        ends.into_iter().flat_map(|end| [end, end + 1]).chain([1, 700, 1500, 2331]).collect();
    let text = |length| "https://nachweis.example/#i=".chars().cycle().take(length).collect();
    let mut texts: Vec<String> = lengths.into_iter().map(text).collect();
    texts.push("für Bürger".into());
    let drawn = page.promise(
        "const { qrCode } = await import('/web/qr.js');
         const text = (code) => code.flat().map((dark) => dark ? '1' : '0').join('');
         return arguments[0].map((of) => [text(qrCode(of)), ...Array.from({ length: 8 }, (_, mask) => text(qrCode(of, mask)))]);",
        &json!(texts),
    );
    for (text, codes) in texts.iter().zip(drawn.as_array().expect("codes")) {
        let codes: Vec<&str> = codes.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        for (number, mask) in MASKS.into_iter().enumerate() {
            assert!(codes[number + 1] == modules(text, mask), "mask {number} of {} letters", text.len());
        }
        assert!(codes[1..].contains(&codes[0]), "it chooses one of them");
    }
    let long = page.promise("return (await import('/web/qr.js')).qrCode('a'.repeat(2332))", &json!(null));
    assert_eq!(long, json!(null), "no code holds it");
}
