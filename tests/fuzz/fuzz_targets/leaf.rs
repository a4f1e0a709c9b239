//! A leaf of the log, be it batch head, record or header: what is accepted is the one canonical encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_proto::{LEAF_MAX, Leaf, Record, TimeMs, log};

fuzz_target!(|bytes: &[u8]| {
    let Ok(leaf) = Leaf::decode(bytes) else { return };
    assert!(bytes.len() <= LEAF_MAX);
    assert_eq!(leaf.encode(), bytes);
    assert_eq!(leaf.hash(), log::leaf_hash(bytes));
    // A leaf is of one kind, and everything that is asked of it has an answer.
    match leaf.clone() {
        Leaf::BatchHead(head) => {
            let _ = (head.id(), head.signing_bytes());
            assert!(leaf.into_record().is_err());
        }
        Leaf::Record(record) => {
            assert_eq!(record.to_leaf(), bytes);
            if let Record::IssuerGrant(grant) = record {
                grant.keys.iter().for_each(|key| {
                    assert!(
                        grant.key_at(key.key.id(), key.not_before) == Some(&key.key)
                            || key.not_after.is_some_and(|end| end < key.not_before)
                    )
                });
                let _ = grant.key_at(grant.keys[0].key.id(), TimeMs(u64::MAX));
            }
            assert!(leaf.into_header().is_err());
        }
        Leaf::Header(header) => {
            assert_eq!(header.block_id(), log::leaf_hash(bytes));
            assert_eq!(header.index().0, header.size_before.0);
            assert!(leaf.into_batch_head().is_err());
        }
    }
});
