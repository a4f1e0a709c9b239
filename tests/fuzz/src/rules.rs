//! The world of the engine's property test, which here takes its decisions from the fuzzer's bytes.
#![allow(missing_docs, unused_imports, clippy::unwrap_used)]

#[path = "../../../node/consensus/tests/rules/dsl.rs"]
pub mod dsl;
#[path = "../../../node/consensus/tests/rules/property.rs"]
pub mod property;
