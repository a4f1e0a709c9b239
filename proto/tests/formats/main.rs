//! Tests of the ledger's own formats: receipts, canonical encoding, genesis, key files, and the published vectors.
#![allow(clippy::unwrap_used)]

mod batches;
mod cases;
mod consensus;
mod encoding;
mod genesis;
mod receipt_file;
mod receipts;
mod records;
mod support;
mod vectors;
