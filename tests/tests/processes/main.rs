//! The whole path with real processes: programs as operators and agencies run them, killed, misconfigured and lied to.
#![allow(clippy::unwrap_used)]

mod anchor_killed;
mod anchoring;
mod bad_batches;
mod bench;
mod cluster;
mod command_line;
mod configuration;
mod full_disk;
mod greedy;
mod grpc_web;
mod node_killed;
mod node_stopped;
mod support;
