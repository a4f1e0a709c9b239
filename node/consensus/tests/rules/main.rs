//! Every rule of the engine, as inputs and exact effects.
#![allow(clippy::unwrap_used)]

mod dsl;
mod hardship;
mod inquiry;
mod journal;
mod leader;
mod peers;
mod property;
mod time;
mod voter;

#[path = "../support/mod.rs"]
mod support;
