//! Paths of tiles and bundles, as an auditor asks for them: each has one text.
#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;
use markstein_proto::log::tile::{EntryBundle, NodePlace, Tile, node_from_tile};

fuzz_target!(|bytes: &[u8]| {
    // The bytes also stand for a tile, complete or not.
    if let [level, index, tile @ ..] = bytes {
        let _ = node_from_tile(tile, NodePlace::of(*level % 64, u64::from(*index)));
    }
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(tile) = Tile::parse(text) {
        assert_eq!(tile.path(), text);
    }
    if let Ok(bundle) = EntryBundle::parse(text) {
        assert_eq!(bundle.path(), text);
    }
});
