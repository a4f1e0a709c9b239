//! A batch: what is accepted is kept byte for byte, its parts make it up again, and its records are under its head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_proto::{BATCH_MAX, BATCH_RECORDS_MAX, Batch, Bytes, Leaf, log};

fuzz_target!(|bytes: &[u8]| {
    let received = Bytes::copy_from_slice(bytes);
    let split = Batch::split(received.clone());
    let Ok(batch) = Batch::decode(received) else { return };
    assert!(bytes.len() <= BATCH_MAX && batch.records().len() <= BATCH_RECORDS_MAX);
    assert_eq!(batch.bytes(), bytes);
    let leaves = split.expect("what is a batch can be split");
    assert_eq!(Leaf::decode(leaves.head()), Ok(Leaf::BatchHead(batch.head().clone())));
    assert_eq!(leaves.head(), batch.head_leaf());
    let records: Vec<&[u8]> = (0..leaves.record_count()).filter_map(|at| leaves.record(at)).collect();
    assert!(records.iter().eq(batch.records().iter().map(|record| &record.bytes)));
    let hashes: Vec<_> = records.iter().map(|record| log::leaf_hash(record)).collect();
    assert_eq!(log::root_of(&hashes), batch.head().records_root);
    for record in batch.records() {
        assert_eq!(record.record.to_leaf(), record.bytes);
    }
});
