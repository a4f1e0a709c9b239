//! Verifier keys, key names and the names of the ledger: each has one text.
#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use markstein_proto::{
    AuthorityId, SLUG_MAX, display_name, is_deceptive,
    note::{KeyName, Vkey},
};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(vkey) = Vkey::parse(text) {
        assert_eq!(vkey.to_string(), text);
    }
    if let Ok(name) = KeyName::new(text) {
        assert_eq!(name.as_str(), text);
        assert!(!text.contains([' ', '+', '\n']));
    }
    if let Ok(id) = AuthorityId::new(text) {
        assert!(id.as_str() == text && (1..=SLUG_MAX).contains(&text.len()) && text.is_ascii());
    }
    if let Ok(name) = display_name("name", text) {
        assert!(name == text && name.len() <= 200 && !name.contains(is_deceptive));
    }
});
