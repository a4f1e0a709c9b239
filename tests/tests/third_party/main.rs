//! Other people's programs read what nodes serve and what the client exports: they accept it, and refuse it once changed.
//!
//! What they need is installed once, below cargo's target folder or by `config/setup`.
#![allow(clippy::unwrap_used)]

mod cose;
mod exports;
mod grpc;
mod python;
mod rust_crates;
mod sumdb;
mod tampered;

use exports::Exports;
use python::said;

/// Demands that a verifier accepts what was exported, and refuses every change of it.
fn judge(verifier: &str, changed: &[(String, Exports)], accepts: impl Fn(&Exports) -> Result<(), String>) {
    accepts(Exports::made()).unwrap_or_else(|said| panic!("{verifier} refuses what we exported: {said}"));
    for (what, exports) in changed {
        assert!(accepts(exports).is_err(), "{verifier} accepts {what}");
    }
}
