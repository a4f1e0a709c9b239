//! Changes that nobody may miss, each with words for it.

use crate::exports::Exports;

/// Every line of the text that `wanted` takes, changed in its middle by one character of base64.
fn changed_lines(text: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let change = |number: usize| {
        let mut lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let line = &mut lines[number];
        let at = line.rfind(' ').unwrap_or_default().midpoint(line.len());
        let other = if &line[at..=at] == "A" { "B" } else { "A" };
        line.replace_range(at..=at, other);
        lines.join("\n") + "\n"
    };
    (0..lines.len()).filter(|number| wanted(lines[*number])).map(change).collect()
}

/// The text without the lines that `dropped` takes.
fn without(text: &str, dropped: impl FnMut(&&str) -> bool) -> String {
    let mut dropped = dropped;
    text.lines().filter(|line| !dropped(line)).flat_map(|line| [line, "\n"]).collect()
}

/// Changes of a signed note: its root, size and origin, each of its lines, and too few of them.
fn notes(note: &str) -> Vec<(&'static str, String)> {
    let mut changed = Vec::new();
    let mut head = note.lines();
    let (origin, size, root) = (head.next().unwrap(), head.next().unwrap(), head.next().unwrap());
    let larger = format!("{}", size.parse::<u64>().unwrap() + 1);
    changed.push(("a larger log", note.replacen(&format!("\n{size}\n"), &format!("\n{larger}\n"), 1)));
    changed.push(("another origin", note.replacen(origin, &format!("{origin}x"), 1)));
    changed.extend(changed_lines(note, |line| line == root).into_iter().map(|note| ("another root", note)));
    let line = "\u{2014} ";
    let is_signature = |text: &str| text.starts_with(line);
    changed.extend(changed_lines(note, is_signature).into_iter().map(|note| ("a changed signature", note)));
    let of_log = format!("{line}{origin} ");
    changed.push(("no line of the log", without(note, |line| line.starts_with(&of_log))));
    let mut left = 2;
    let too_few = without(note, |text| {
        let cosigned = is_signature(text) && !text.starts_with(&of_log);
        let drop = cosigned && left == 0;
        left -= usize::from(cosigned && left > 0);
        drop
    });
    changed.push(("cosignatures of two of four", too_few));
    changed
}

/// Changes of the checkpoint, of the proof and of the tiles.
pub fn of_the_log(exports: &Exports) -> Vec<(String, Exports)> {
    let mut all = Vec::new();
    let mut add = |name: &str, what: &str, bytes: Vec<u8>| {
        assert_ne!(exports.bytes(name).unwrap(), bytes, "{name}: {what} is a change");
        all.push((format!("{name}: {what}"), exports.with(name, bytes)));
    };
    let checkpoint = exports.text("checkpoint").unwrap();
    for (what, note) in notes(checkpoint) {
        add("checkpoint", what, note.into());
    }

    let proof = exports.text("proof").unwrap();
    let (head, note) = proof.split_once("\n\n").unwrap();
    for (what, note) in notes(note) {
        add("proof", what, format!("{head}\n\n{note}").into());
    }
    for changed in changed_lines(head, |line| line.len() >= 40) {
        add("proof", "a changed line", format!("{changed}\n{note}").into());
    }
    let index = head.lines().find(|line| line.starts_with("index ")).unwrap();
    let other = format!("index {}", index[6..].parse::<u64>().unwrap() ^ 1);
    add("proof", "another place", proof.replacen(index, &other, 1).into());
    let last = head.lines().last().unwrap();
    add("proof", "a hash less", proof.replacen(&format!("{last}\n"), "", 1).into());
    add("proof", "a hash twice", proof.replacen(last, &format!("{last}\n{last}"), 1).into());

    for name in exports.names().filter(|name| name.starts_with("tile/")) {
        let bytes = exports.bytes(name).unwrap();
        let mut other = bytes.to_vec();
        other[bytes.len() - 1] ^= 1;
        add(name, "its last byte", other);
        let mut other = bytes.to_vec();
        other[bytes.len() / 2] ^= 0x80;
        add(name, "its middle byte", other);
        add(name, "its end is missing", bytes[..bytes.len() - 32].to_vec());
        add(name, "more than a tile", [bytes, &bytes[..32]].concat());
    }
    all
}
