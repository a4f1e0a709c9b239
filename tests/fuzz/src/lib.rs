//! What the fuzz targets share, and the decoders of the node and the client that they call.
//!
//! The node links RocksDB and libp2p, which would have to be built a second time with the fuzzer's instrumentation. So
//! the sources of its decoders are compiled here as they stand, under the module names they have at home; nothing is
//! copied. The formats and the engine are crates of their own and are used as such.

// A part of each module is of no use here, and each lint looks at them where they are at home.
#![allow(dead_code, unused_imports)]

pub mod bytes;
pub mod receipts;

#[path = "../../../client/src/batches.rs"]
pub mod batches;
#[path = "../../../client/src/entry.rs"]
pub mod entry;
#[path = "../../../client/src/scan.rs"]
pub mod scan;
#[path = "../../../client/src/audit/tile.rs"]
pub mod tile;

#[path = "../../../node/src/config/mod.rs"]
pub mod config;
pub mod driver;
#[path = "../../../node/src/files.rs"]
pub mod files;
#[path = "../../../node/src/messages/mod.rs"]
pub mod messages;
#[path = "../../../node/src/peer.rs"]
pub mod peer;
#[path = "../../../node/src/release.rs"]
pub mod release;
pub mod storage;
#[path = "../../../node/src/work.rs"]
pub mod work;

pub mod rules;
pub mod support;
