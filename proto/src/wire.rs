//! The generated protobuf messages of `schema/markstein/format/v1/`, private to this crate.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/markstein.format.v1.rs"));
