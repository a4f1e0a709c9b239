//! The node's journal of facts.

#[path = "../../../node/src/driver/facts.rs"]
mod facts;

use markstein_consensus::Fact;

use crate::storage::StorageError;

/// The fact that the bytes of an entry are.
///
/// # Errors
/// [`StorageError`] where they are none.
pub fn decode_fact(bytes: &[u8]) -> Result<Fact, StorageError> {
    facts::decode(bytes)
}

/// The bytes of a fact.
#[must_use]
pub fn encode_fact(fact: &Fact) -> Vec<u8> {
    facts::encode(fact)
}
