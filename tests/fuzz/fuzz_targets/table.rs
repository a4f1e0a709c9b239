//! Keys and values of every table of a node's store: only what the encoder writes is accepted.
//!
//! The first byte says which table, the second how long the key is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::storage::{KeyCodec, Table, ValueCodec, tables::*};

fn check<T: Table>(key: &[u8], value: &[u8]) -> &'static str {
    if let Some(decoded) = T::Key::decode_key(key) {
        assert_eq!(decoded.encode_key(), key, "{}", T::NAME);
    }
    if let Some(decoded) = T::Value::decode_value(value) {
        assert_eq!(decoded.encode_value(), value, "{}", T::NAME);
    }
    T::NAME
}

type Check = fn(&[u8], &[u8]) -> &'static str;

/// In the order of [`TABLES`].
const CHECKS: [Check; TABLES.len()] = [
    check::<Meta>,
    check::<Headers>,
    check::<Heights>,
    check::<Batches>,
    check::<BatchAt>,
    check::<BatchAuthors>,
    check::<Outcomes>,
    check::<Pool>,
    check::<Dropped>,
    check::<PublicRecords>,
    check::<PublicStandings>,
    check::<Tiles>,
    check::<StatusChunks>,
    check::<StatusNodes>,
    check::<StatusSteps>,
    check::<StatusHistory>,
    check::<ChangeHeads>,
    check::<Registry>,
    check::<AuthoritySets>,
    check::<Journal>,
    check::<Evidence>,
    check::<ProposedBatches>,
    check::<Finalizations>,
    check::<Cosignatures>,
];

fuzz_target!(|bytes: &[u8]| {
    let [table, length, rest @ ..] = bytes else { return };
    let table = usize::from(*table) % CHECKS.len();
    let (key, value) = rest.split_at(usize::from(*length).min(rest.len()));
    assert_eq!(CHECKS[table](key, value), TABLES[table].name);
});
