//! Published signed notes and cosignatures, made by other people's programs.
#![allow(clippy::unwrap_used)]

use markstein_proto::{
    LogSize,
    note::{Algorithm, CheckpointError, Note, NoteError, SignedCheckpoint, Vkey},
};

const C2SP: &[u8] = include_bytes!("vectors/signed-note/c2sp-example.note");
const NEUMANN: &[u8] = include_bytes!("vectors/signed-note/peterneumann.note");
const NEUMANN_ENOCH: &[u8] = include_bytes!("vectors/signed-note/peterneumann-enochroot.note");
const ARCHE: &[u8] = include_bytes!("vectors/cosignature/arche2025h1.note");

/// The verifier key of a vector file, which also must be written again as it was read.
fn vkey(file: &str) -> Vkey {
    let vkey = Vkey::parse(file.trim_end()).unwrap();
    assert_eq!(vkey.to_string(), file.trim_end());
    vkey
}

fn c2sp_key() -> Vkey {
    vkey(include_str!("vectors/signed-note/c2sp-example.vkey"))
}

fn neumann_key() -> Vkey {
    vkey(include_str!("vectors/signed-note/peterneumann.vkey"))
}

fn witnesses() -> [Vkey; 2] {
    [
        vkey(include_str!("vectors/cosignature/remora.vkey")),
        vkey(include_str!("vectors/cosignature/smartit.vkey")),
    ]
}

#[test]
fn notes_are_written_again_byte_for_byte() {
    for bytes in [C2SP, NEUMANN, NEUMANN_ENOCH, ARCHE] {
        assert_eq!(Note::parse(bytes).unwrap().to_string().as_bytes(), bytes);
    }
}

#[test]
fn signed_notes_verify_with_their_keys_and_no_others() {
    let note = Note::parse(C2SP).unwrap();
    assert_eq!(note.text(), "This is an example message.\n");
    assert_eq!(note.verify_ed25519(&c2sp_key()), Ok(()));
    let stranger = neumann_key();
    assert_eq!(note.verify_ed25519(&stranger), Err(NoteError::NotSignedBy(stranger.name().clone())));
    assert_eq!(Note::parse(NEUMANN).unwrap().verify_ed25519(&neumann_key()), Ok(()));
}

#[test]
fn signatures_of_unknown_keys_are_kept_and_ignored() {
    let note = Note::parse(NEUMANN_ENOCH).unwrap();
    let names: Vec<_> = note.signatures().iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["PeterNeumann", "EnochRoot"]);
    assert_eq!(note.verify_ed25519(&neumann_key()), Ok(()));
}

#[test]
fn every_changed_bit_of_a_signed_note_is_refused() {
    let key = c2sp_key();
    for position in 0..C2SP.len() {
        for bit in 0..8 {
            let mut bytes = C2SP.to_vec();
            bytes[position] ^= 1 << bit;
            let verdict = Note::parse(&bytes).and_then(|note| note.verify_ed25519(&key));
            assert!(verdict.is_err(), "bit {bit} of byte {position}");
        }
    }
}

#[test]
fn every_truncated_note_is_refused() {
    for length in 0..C2SP.len() {
        assert!(Note::parse(&C2SP[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_real_checkpoint_counts_with_real_witnesses() {
    let signed = SignedCheckpoint::parse(ARCHE).unwrap();
    assert_eq!(signed.checkpoint().origin(), "arche2025h1.staging.ct.transparency.dev");
    assert_eq!(signed.checkpoint().size(), LogSize(1_432_088_532));
    let log = vkey(include_str!("vectors/cosignature/arche2025h1.vkey"));
    assert_eq!(log.algorithm(), Algorithm::Ed25519);
    assert_eq!(signed.note().verify_ed25519(&log), Ok(()));

    let witnesses = witnesses();
    let count = signed.count(&witnesses, 2).unwrap();
    assert_eq!((count.as_of_s, count.signers), (0x6a12_2120, vec![0, 1]));
    let refused = signed.count(&witnesses, 3).unwrap_err();
    assert_eq!(refused, CheckpointError::TooFewCosignatures { have: 2, need: 3 });
}

#[test]
fn a_real_cosignature_covers_every_bit_of_the_checkpoint() {
    let witnesses = witnesses();
    let text = Note::parse(ARCHE).unwrap().text().len();
    for position in 0..text {
        for bit in 0..8 {
            let mut bytes = ARCHE.to_vec();
            bytes[position] ^= 1 << bit;
            let verdict = SignedCheckpoint::parse(&bytes).and_then(|signed| signed.count(&witnesses, 1));
            assert!(verdict.is_err(), "bit {bit} of byte {position}");
        }
    }
}
