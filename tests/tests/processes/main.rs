//! The whole path with real processes: programs as operators and agencies run them, killed, misconfigured and lied to.
#![allow(clippy::unwrap_used)]

mod anchor_killed;
mod anchoring;
mod audit;
mod bad_batches;
mod bench;
mod cluster;
mod command_line;
mod configuration;
mod export;
mod full_disk;
mod greedy;
mod grpc_web;
mod http_json;
mod http_tiles;
mod issuers;
mod node_killed;
mod node_stopped;
mod operators;
mod refresh;
mod schema;
mod statuses;
mod statuses_killed;
mod strangers;
mod support;
