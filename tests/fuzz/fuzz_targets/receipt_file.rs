//! A receipt file: what is accepted reads back as itself from the file this release writes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_proto::receipt::{HANDOVERS_MAX, Receipt};

fuzz_target!(|bytes: &[u8]| {
    let Ok(receipt) = Receipt::from_json(bytes) else { return };
    assert!(receipt.handovers.len() <= HANDOVERS_MAX && receipt.status.chunks.len() <= 2);
    assert_eq!(Receipt::from_json(receipt.to_json().as_bytes()).as_ref(), Ok(&receipt));
});
