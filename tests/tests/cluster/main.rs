//! Several authorities as real processes: killed, paused, late, rolled back, damaged, impersonated; and what was
//! acknowledged stays.
//!
//! `MARKSTEIN_REPEATS` and `MARKSTEIN_SEED` make the tests with chance in them longer, or the same again.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stderr)] // what a test measured, and its seed

mod anywhere;
mod down;
mod hostile;
mod idle;
mod impostors;
mod killed;
mod late;
mod load;
mod many;
mod observer;
mod outage;
mod pause;
mod power;
mod repair;
mod revoked;
mod stalled;
mod support;
