//! A genesis: what is accepted is the one canonical encoding, its file says the same, and block 0 follows from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_proto::Genesis;

fuzz_target!(|bytes: &[u8]| {
    let Ok(genesis) = Genesis::decode(bytes) else { return };
    assert_eq!(genesis.encode(), bytes);
    assert_eq!(Genesis::from_toml(&genesis.to_toml()).as_ref(), Ok(&genesis));
    assert_eq!(genesis.batch().records().len(), genesis.grants.len());
    assert_eq!(genesis.header().block_id(), genesis.block_id());
});
