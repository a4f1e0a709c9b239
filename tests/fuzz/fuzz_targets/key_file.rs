//! Key files: what is accepted reads back as itself, for its own purpose only, and no refusal shows the secret.
#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use markstein_proto::{KeyFile, KeyPurpose};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let purposes = [KeyPurpose::Issuer].into_iter().chain(KeyPurpose::AUTHORITY);
    let read: Vec<KeyFile> = purposes.filter_map(|purpose| KeyFile::parse(text, purpose).ok()).collect();
    assert!(read.len() <= 1, "a key has one purpose");
    for file in read {
        let again = KeyFile::parse(&file.to_text(), file.purpose).expect("it was just written");
        assert!((&again.owner, again.ledger) == (&file.owner, file.ledger));
        assert_eq!(again.key.public(), file.key.public());
    }
});
