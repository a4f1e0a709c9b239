//! Notes and signed checkpoints: form, bounds, tampering, and the rule by which a checkpoint counts.
#![allow(clippy::unwrap_used)]

use alloc::{borrow::ToOwned, format, string::ToString, vec, vec::Vec};

use super::*;
use crate::{Hash, LogSize, SecretKey, encoding::base64_encode};

const ORIGIN: &str = "ledger.example.org";

fn name(i: u8) -> KeyName {
    KeyName::new(&format!("{ORIGIN}/authority-{i}")).unwrap()
}

fn key(i: u8) -> SecretKey {
    SecretKey::from_seed(&[i + 1; 32])
}

/// The verifier keys of the authorities 0 to n - 1.
fn cosigners(n: u8) -> Vec<Vkey> {
    (0..n).map(|i| Vkey::new(name(i), Algorithm::CosignatureV1, key(i).public())).collect()
}

fn log_key() -> SecretKey {
    SecretKey::from_seed(&[100; 32])
}

fn log_vkey() -> Vkey {
    Vkey::new(KeyName::new(ORIGIN).unwrap(), Algorithm::Ed25519, log_key().public())
}

fn checkpoint() -> Checkpoint {
    Checkpoint::new(ORIGIN, LogSize(42), Hash::of(&[b"root"])).unwrap()
}

fn cosign(i: u8, time_s: u64) -> NoteSignature {
    sign_cosignature(&key(i), &name(i), &checkpoint().to_text(), time_s).unwrap()
}

fn log_line() -> NoteSignature {
    sign_ed25519(log_vkey().name(), &log_key(), &checkpoint().to_text()).unwrap()
}

fn signed(lines: &[(u8, u64)]) -> SignedCheckpoint {
    let lines = lines.iter().map(|&(i, time_s)| cosign(i, time_s));
    SignedCheckpoint::with_signatures(checkpoint(), [log_line()].into_iter().chain(lines)).unwrap()
}

fn parse(note: &str) -> Result<Note, NoteError> {
    Note::parse(note.as_bytes())
}

/// A line whose signature has this many bytes.
fn line(length: usize) -> NoteSignature {
    NoteSignature { name: KeyName::new("a").unwrap(), key_hash: [1, 2, 3, 4], signature: vec![5; length] }
}

#[test]
fn the_last_blank_line_ends_the_text() {
    let note = Note::new("one\n\ntwo\n\n\n", vec![line(3)]).unwrap();
    assert_eq!(note.to_string(), "one\n\ntwo\n\n\n\n\u{2014} a AQIDBAUFBQ==\n");
    assert_eq!(parse(&note.to_string()).unwrap(), note);
    let note = parse("\n\n\u{2014} a AQIDBAU=\n").unwrap();
    assert_eq!((note.text(), note.signatures()), ("\n", [line(1)].as_slice()));
}

#[test]
fn malformed_notes_say_what_is_wrong() {
    let good = "text\n\n\u{2014} a AQIDBAU=\n";
    assert!(parse(good).is_ok());
    let cases = [
        ("", NoteError::NoFinalNewline),
        ("text", NoteError::NoFinalNewline),
        ("text\n", NoteError::NoBlankLine),
        ("text\n\u{2014} a AQIDBAU=\n", NoteError::NoBlankLine),
        ("\n\u{2014} a AQIDBAU=\n", NoteError::NoBlankLine),
        ("text\n\n", NoteError::NoSignature),
        ("text\n\n\u{2014} a AQIDBAU=", NoteError::NoFinalNewline),
        ("text\n\n\u{2014} a AQIDBAU=\n\n", NoteError::NoSignature),
        ("te\rxt\n\n\u{2014} a AQIDBAU=\n", NoteError::ControlCharacter('\r')),
        ("te\0xt\n\n\u{2014} a AQIDBAU=\n", NoteError::ControlCharacter('\0')),
        ("text\n\n\u{2014} a AQIDBAU=\r\n", NoteError::ControlCharacter('\r')),
        ("text\n\n- a AQIDBAU=\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014}a AQIDBAU=\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a  AQIDBAU=\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a AQIDBAU= \n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a AQIDBAU= b\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014}  AQIDBAU=\n", NoteError::Name { line: 1, source: KeyNameError::Empty }),
        (
            "text\n\n\u{2014} a+b AQIDBAU=\n",
            NoteError::Name { line: 1, source: KeyNameError::Character('+') },
        ),
        ("text\n\n\u{2014} a AQIDBAU=\nmore\n", NoteError::Line { line: 2 }),
        // No bytes, the key hash alone, bits after the last byte, missing padding, the other alphabet.
        ("text\n\n\u{2014} a \n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a AQIDBA==\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a AQIDBAV=\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a AQIDBAU\n", NoteError::Line { line: 1 }),
        ("text\n\n\u{2014} a AQID-AU=\n", NoteError::Line { line: 1 }),
    ];
    for (note, error) in cases {
        assert_eq!(parse(note).unwrap_err(), error, "{note:?}");
    }
    assert_eq!(Note::parse(b"te\xffxt\n\n"), Err(NoteError::NotUtf8));
}

#[test]
fn notes_are_bounded() {
    let lines: Vec<_> = vec![line(1); SIGNATURES_MAX];
    let note = Note::new("text\n", lines.clone()).unwrap();
    assert_eq!(parse(&note.to_string()).unwrap(), note);
    let one_more = format!("{note}{}\n", line(1));
    assert_eq!(parse(&one_more), Err(NoteError::TooManySignatures));
    assert_eq!(Note::new("text\n", [lines, vec![line(1)]].concat()), Err(NoteError::TooManySignatures));

    let rest = "\n\n\u{2014} a AQIDBAU=\n".len();
    let full = Note::new(&format!("{}\n", "x".repeat(NOTE_MAX - rest)), vec![line(1)]).unwrap();
    assert_eq!(full.to_string().len(), NOTE_MAX);
    assert_eq!(parse(&full.to_string()).unwrap(), full);
    assert_eq!(parse(&format!("x{full}")), Err(NoteError::TooLong(NOTE_MAX + 1)));
    let text = format!("x{}", full.text());
    assert_eq!(Note::new(&text, vec![line(1)]), Err(NoteError::TooLong(NOTE_MAX + 1)));
}

#[test]
fn only_what_parses_can_be_put_together() {
    assert_eq!(Note::new("text", vec![line(1)]), Err(NoteError::NoFinalNewline));
    assert_eq!(Note::new("te\txt\n", vec![line(1)]), Err(NoteError::ControlCharacter('\t')));
    assert_eq!(Note::new("text\n", vec![]), Err(NoteError::NoSignature));
    assert_eq!(Note::new("text\n", vec![line(1), line(0)]), Err(NoteError::Line { line: 2 }));
    assert!(sign_ed25519(log_vkey().name(), &log_key(), "text").is_err());
}

#[test]
fn lines_go_to_text_and_back() {
    for line in [line(1), cosign(0, 7), log_line()] {
        assert_eq!(NoteSignature::parse(&line.to_string()).unwrap(), line);
    }
    assert!(NoteSignature::parse(&format!("{}\n", line(1))).is_err());
}

#[test]
fn signed_text_verifies_with_its_own_key_only() {
    let note =
        Note::new("text\n", vec![sign_ed25519(log_vkey().name(), &log_key(), "text\n").unwrap()]).unwrap();
    assert_eq!(note.verify_ed25519(&log_vkey()), Ok(()));
    let cosigner = Vkey::new(log_vkey().name().clone(), Algorithm::CosignatureV1, log_key().public());
    assert_eq!(note.verify_ed25519(&cosigner), Err(NoteError::WrongKeyType(cosigner.name().clone())));
    let other = Vkey::new(log_vkey().name().clone(), Algorithm::Ed25519, key(1).public());
    assert_eq!(note.verify_ed25519(&other), Err(NoteError::NotSignedBy(other.name().clone())));
    let renamed = Vkey::new(name(1), Algorithm::Ed25519, log_key().public());
    assert_eq!(note.verify_ed25519(&renamed), Err(NoteError::NotSignedBy(name(1))));
}

#[test]
fn one_bad_line_of_a_key_spoils_its_good_one() {
    let good = sign_ed25519(log_vkey().name(), &log_key(), "text\n").unwrap();
    for length in [1, 63, 64, 65] {
        let bad = NoteSignature { signature: vec![0; length], ..good.clone() };
        for lines in [vec![good.clone(), bad.clone()], vec![bad.clone(), good.clone()]] {
            let verdict = Note::new("text\n", lines).unwrap().verify_ed25519(&log_vkey());
            assert_eq!(verdict, Err(NoteError::BadSignature(log_vkey().name().clone())));
        }
    }
    let twice = Note::new("text\n", vec![good.clone(), good]).unwrap();
    assert_eq!(twice.verify_ed25519(&log_vkey()), Ok(()));
}

#[test]
fn a_signed_checkpoint_goes_to_text_and_back() {
    let signed = signed(&[(0, 100), (1, 101), (2, 102)]);
    let note = signed.to_string();
    assert_eq!(SignedCheckpoint::parse(note.as_bytes()).unwrap(), signed);
    assert_eq!(signed.note().verify_ed25519(&log_vkey()), Ok(()));
    let expected = QuorumCount { as_of_s: 100, signers: vec![0, 1, 2] };
    assert_eq!(signed.count(&cosigners(4), 3), Ok(expected));
}

#[test]
fn every_changed_bit_of_a_signed_checkpoint_is_refused() {
    let (cosigners, log) = (cosigners(1), log_vkey());
    let good = signed(&[(0, 100)]).to_string().into_bytes();
    let verdict = |bytes: &[u8]| {
        let signed = SignedCheckpoint::parse(bytes)?;
        signed.note().verify_ed25519(&log)?;
        signed.count(&cosigners, 1)
    };
    assert!(verdict(&good).is_ok());
    for position in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[position] ^= 1 << bit;
            assert!(verdict(&bytes).is_err(), "bit {bit} of byte {position}");
        }
        assert!(verdict(&good[..position]).is_err(), "cut at {position}");
    }
}

#[test]
fn the_as_of_time_is_the_smallest_of_the_q_latest() {
    let signed = signed(&[(0, 500), (1, 200), (2, 400), (3, 300)]);
    for (quorum, as_of_s) in [(1, 500), (2, 400), (3, 300), (4, 200)] {
        let expected = QuorumCount { as_of_s, signers: vec![0, 1, 2, 3] };
        assert_eq!(signed.count(&cosigners(4), quorum), Ok(expected));
    }
}

#[test]
fn one_key_counts_once_with_its_latest_time() {
    let signed = signed(&[(0, 100), (0, 300), (0, 200), (2, 250)]);
    let count = signed.count(&cosigners(4), 2).unwrap();
    assert_eq!((count.as_of_s, count.signers), (250, vec![0, 2]));
    assert_eq!(signed.count(&cosigners(4), 1).unwrap().as_of_s, 300);
    let refused = signed.count(&cosigners(4), 3).unwrap_err();
    assert_eq!(refused, CheckpointError::TooFewCosignatures { have: 2, need: 3 });
    assert_eq!(refused.to_string(), "the checkpoint has cosignatures of 2 known authorities, it needs 3");
}

#[test]
fn the_same_line_twice_in_a_received_note_counts_once() {
    let note = format!("{}{}\n", signed(&[(0, 100)]), cosign(0, 100));
    let signed = SignedCheckpoint::parse(note.as_bytes()).unwrap();
    assert_eq!(signed.note().signatures().len(), 3, "what was received is kept");
    let refused = signed.count(&cosigners(4), 2).unwrap_err();
    assert_eq!(refused, CheckpointError::TooFewCosignatures { have: 1, need: 2 });
}

#[test]
fn strangers_are_ignored_even_with_nonsense() {
    let mut nonsense = cosign(5, 400);
    nonsense.signature[20] ^= 1;
    let mut other_key = cosign(6, 500);
    other_key.name = name(0);
    let signed = signed(&[(0, 100)]).merge([nonsense, other_key, line(1)]).unwrap();
    let count = signed.count(&cosigners(4), 1).unwrap();
    assert_eq!((count.as_of_s, count.signers), (100, vec![0]));
}

#[test]
fn a_known_line_that_does_not_verify_spoils_the_note() {
    let mut forged = cosign(1, 400);
    forged.signature[20] ^= 1;
    let mut short = cosign(1, 400);
    short.signature.pop();
    let mut no_time = cosign(1, 400);
    no_time.signature[..8].fill(0);
    let cases = [
        (forged, CosignatureError::Signature),
        (short, CosignatureError::Length(71)),
        (no_time, CosignatureError::Time(0)),
    ];
    for (line, source) in cases {
        let signed = signed(&[(0, 100), (1, 100), (2, 100)]).merge([line]).unwrap();
        let refused = CheckpointError::Cosignature { name: name(1), source };
        assert_eq!(signed.count(&cosigners(4), 3), Err(refused));
    }
}

#[test]
fn lists_of_cosigners_that_count_a_key_twice_are_refused() {
    let signed = signed(&[(0, 100)]);
    let same = cosigners(1)[0].clone();
    let renamed = Vkey::new(name(9), Algorithm::CosignatureV1, key(0).public());
    for (second, blamed) in [(same.clone(), name(0)), (renamed, name(9))] {
        let refused = signed.count(&[same.clone(), second], 1).unwrap_err();
        assert_eq!(refused, CheckpointError::SameCosigner(blamed));
    }
    let refused = signed.count(&[log_vkey()], 1).unwrap_err();
    let source = CosignatureError::WrongKeyType;
    assert_eq!(refused, CheckpointError::Cosignature { name: log_vkey().name().clone(), source });
    assert_eq!(signed.count(&cosigners(1), 0), Err(CheckpointError::NoQuorum));
}

#[test]
fn merging_keeps_the_order_and_no_line_twice() {
    let signed = signed(&[(0, 100), (1, 100)]);
    let merged = signed
        .merge([cosign(1, 100), cosign(2, 100), cosign(0, 100), cosign(0, 160), cosign(2, 100)])
        .unwrap();
    let expected = [log_line(), cosign(0, 100), cosign(1, 100), cosign(2, 100), cosign(0, 160)];
    assert_eq!(merged.note().signatures(), expected);
    assert_eq!(merged.checkpoint(), signed.checkpoint());
    assert_eq!(merged.merge([]).unwrap(), merged);
}

#[test]
fn merging_is_bounded() {
    let lines = (0..=SIGNATURES_MAX).map(|i| NoteSignature { key_hash: (i as u32).to_be_bytes(), ..line(1) });
    let full = SignedCheckpoint::with_signatures(checkpoint(), lines.clone().take(SIGNATURES_MAX)).unwrap();
    assert_eq!(full.merge(lines.clone().take(SIGNATURES_MAX)).unwrap(), full, "known lines need no room");
    assert_eq!(full.merge(lines), Err(CheckpointError::Note(NoteError::TooManySignatures)));
    let none = SignedCheckpoint::with_signatures(checkpoint(), []);
    assert_eq!(none, Err(CheckpointError::Note(NoteError::NoSignature)));
}

#[test]
fn a_note_whose_text_is_no_checkpoint_is_refused() {
    let root = base64_encode(&[0; 32]);
    for (text, error) in [
        ("text\n".to_owned(), CheckpointError::Form),
        (format!("{ORIGIN}\n1\n{root}\nextension\n"), CheckpointError::ExtensionLines),
        (format!("{ORIGIN}\n01\n{root}\n"), CheckpointError::Size),
    ] {
        let note = Note::new(&text, vec![line(1)]).unwrap().to_string();
        assert_eq!(SignedCheckpoint::parse(note.as_bytes()), Err(error));
    }
}
