//! The genesis file and the entries that authorities and issuers hand in: what is accepted reads back as itself.
#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use markstein_proto::{AuthorityEntry, Genesis, IssuerEntry};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(genesis) = Genesis::from_toml(text) {
        assert_eq!(Genesis::from_toml(&genesis.to_toml()).as_ref(), Ok(&genesis));
        assert_eq!(Genesis::decode(&genesis.encode()).as_ref(), Ok(&genesis));
    }
    if let Ok(entry) = AuthorityEntry::from_toml(text) {
        assert_eq!(AuthorityEntry::from_toml(&entry.to_toml()).as_ref(), Ok(&entry));
        let _ = entry.check();
    }
    if let Ok(entry) = IssuerEntry::from_toml(text) {
        assert_eq!(IssuerEntry::from_toml(&entry.to_toml()).as_ref(), Ok(&entry));
    }
});
