//! What the tests with real processes, the demo and the benchmarks share.
//!
//! Everything here drives the two programs from outside, as an operator or an agency would: [`binaries`] builds
//! them, [`devnet`] runs a ledger, [`cluster`] each of its nodes by itself, [`client`] runs `markstein`, [`grpc`] asks a node directly, [`http`] without gRPC, [`craft`] makes batches
//! that no honest client sends. [`made`] makes whole logs, [`tile_server`] serves them as a node would, or otherwise. [`strangers`] are a burden.

pub mod binaries;
pub mod client;
pub mod cluster;
pub mod craft;
pub mod devnet;
pub mod files;
pub mod grpc;
pub mod http;
pub mod made;
pub mod process;
pub mod random;
pub mod simulation;
pub mod strangers;
pub mod tile_server;
