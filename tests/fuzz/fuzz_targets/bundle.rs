//! Tiles of hashes and entry bundles, as an auditor takes them from a node.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::tile::{Bundle, hashes_of};
use markstein_proto::log::leaf_hash;

fuzz_target!(|bytes: &[u8]| {
    let Some((width, bytes)) = bytes.split_first() else { return };
    let width = u16::from(*width) + 1;
    if let Ok(hashes) = hashes_of(bytes, width) {
        assert_eq!(hashes.iter().flat_map(|hash| hash.0).collect::<Vec<_>>(), bytes);
    }
    let Ok(bundle) = Bundle::read(bytes.to_vec(), width) else { return };
    let mut again = Vec::new();
    for (leaf, hash) in bundle.leaves() {
        assert_eq!(hash, leaf_hash(leaf));
        again.extend(u16::try_from(leaf.len()).into_iter().flat_map(u16::to_be_bytes));
        again.extend(leaf);
    }
    assert_eq!((bundle.hashes().len(), &again[..]), (usize::from(width), bytes));
});
