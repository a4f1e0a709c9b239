//! Node.
pub mod storage;
