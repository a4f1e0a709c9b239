//! What follows from the records of one issuer, and of several.
#![allow(clippy::unwrap_used)]
