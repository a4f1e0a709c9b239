//! An entry of a node's journal: what is accepted is what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::driver::{decode_fact, encode_fact};

fuzz_target!(|bytes: &[u8]| {
    match decode_fact(bytes) {
        Ok(fact) => assert_eq!(encode_fact(&fact), bytes),
        Err(error) => assert!(error.is_corruption(), "a damaged journal is our own disk's fault: {error}"),
    }
});
