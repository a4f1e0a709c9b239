//! An entry of a client's journal, as it is and under the checksum that its message should have.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::entry::Entry;
use markstein_proto::Hash;

fuzz_target!(|bytes: &[u8]| {
    let _ = Entry::decode(bytes);
    // A fuzzer does not find a SHA-256; what it covers is to be tried too.
    let summed = [Hash::of(&[bytes]).0.as_slice(), bytes].concat();
    let Ok(entry) = Entry::decode(&summed) else { return };
    assert_eq!(entry.records().len(), entry.batch().records().len());
    assert_eq!(Entry::decode(&entry.encode()).as_ref(), Ok(&entry));
});
