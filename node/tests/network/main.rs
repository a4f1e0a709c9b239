//! The network of nodes over real sockets, in one process, with good and bad peers.
#![allow(clippy::unwrap_used, missing_docs)]

mod bad_peers;
mod floods;
mod gossip;
mod messages;
mod pressure;
mod raw;
mod reconnect;
mod silence;
mod support;
