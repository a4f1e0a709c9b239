//! A vote: what is accepted is the one canonical encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_proto::consensus::Vote;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = Vote::decode(bytes) {
        assert_eq!(value.encode(), bytes);
    }
});
