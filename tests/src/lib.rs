//! What the tests with real processes, the demo and the benchmarks share.
//!
//! Everything here drives the two programs from outside, as an operator or an agency would: [`binaries`] builds
//! them, [`devnet`] runs a ledger, [`cluster`] each of its nodes by itself, [`client`] runs `markstein`, [`grpc`] asks a node directly,
//! [`http`] without gRPC, [`issuers`] admits more of them with key files, [`offices`] with keys in memory, [`craft`] makes batches that no
//! honest client sends, [`hostile`] those of an issuer that means harm. [`made`] makes whole logs, [`tile_server`] serves them as a node
//! would, or otherwise.
//! [`strangers`] are a burden.

pub mod binaries;
pub mod client;
pub mod cluster;
pub mod craft;
pub mod devnet;
pub mod files;
pub mod grpc;
pub mod hostile;
pub mod http;
pub mod issuers;
pub mod made;
pub mod offices;
pub mod process;
pub mod random;
pub mod simulation;
pub mod strangers;
pub mod tile_server;
