//! COSE receipts: only what the encoder writes is read, and a receipt that nobody signed proves nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_proto::{SecretKey, cose::CoseReceipt};

fuzz_target!(|bytes: &[u8]| {
    let Ok(receipt) = CoseReceipt::decode(bytes) else { return };
    assert_eq!(receipt.encode(), bytes);
    let key = SecretKey::from_seed(&[1; 32]).public();
    for leaf in [&b""[..], bytes] {
        assert!(receipt.verify(leaf, &key).is_err());
        let named = CoseReceipt { key: key.id(), ..receipt.clone() };
        assert!(named.verify(leaf, &key).is_err());
    }
});
