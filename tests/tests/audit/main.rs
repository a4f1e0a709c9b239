//! `markstein_client::audit` on made-up ledgers: honest ones are sound, and whatever is wrong is found and named.
#![allow(clippy::unwrap_used)]

mod checkpoints;
mod forks;
mod headers;
mod records;
mod resumed;
mod sound;
mod support;
mod tiles;
