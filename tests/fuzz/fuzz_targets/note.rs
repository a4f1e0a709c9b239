//! Signed notes, checkpoints and signature lines: a note has one text, whatever it says.
#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use markstein_proto::{
    SecretKey,
    note::{Algorithm, Checkpoint, KeyName, Note, NoteSignature, SignedCheckpoint, Vkey, verify_cosignature},
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        assert_eq!(Note::new(note.text(), note.signatures().to_vec()).as_ref(), Ok(&note));
        stranger(&note);
    }
    if let Ok(signed) = SignedCheckpoint::parse(bytes) {
        assert_eq!(signed.to_string().as_bytes(), bytes);
        assert_eq!(signed.checkpoint().to_text(), signed.note().text());
        assert_eq!(
            signed.merge([]).map(|merged| merged.checkpoint().clone()),
            Ok(signed.checkpoint().clone())
        );
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_text(), text);
    }
    if let Ok(line) = NoteSignature::parse(text) {
        assert_eq!(line.to_string(), text);
    }
});

/// A key that never signed anything is not found in a note, under any name that stands there.
fn stranger(note: &Note) {
    let key = SecretKey::from_seed(&[1; 32]).public();
    for line in note.signatures() {
        let name = KeyName::new(line.name.as_str()).expect("it was one");
        let cosigner = Vkey::new(name.clone(), Algorithm::CosignatureV1, key);
        assert!(verify_cosignature(&cosigner, note.text(), line).is_err());
        assert!(note.verify_ed25519(&Vkey::new(name, Algorithm::Ed25519, key)).is_err());
    }
}
