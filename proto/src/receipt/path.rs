//! The record of a receipt by itself: its own path under the checkpoint, for formats that know single paths only.

use alloc::vec::Vec;

use super::{NotVerified, Receipt};
use crate::{
    Hash,
    log::{ProofError, multiproof},
    note::SignedCheckpoint,
};

impl Receipt {
    /// The RFC 6962 path of the record, from its sibling upwards, and the checkpoint whose root it leads to. Whose
    /// checkpoint that is, and whether it counts, is not looked at.
    ///
    /// # Errors
    /// [`NotVerified::Checkpoint`] where it is none, [`NotVerified::Inclusion`] where the leaves are not under its root.
    pub fn record_path(&self) -> Result<(Vec<Hash>, SignedCheckpoint), NotVerified> {
        let signed = SignedCheckpoint::parse(self.checkpoint.as_bytes())?;
        let (size, root) = (signed.checkpoint().size().0, signed.checkpoint().root());
        let leaves = self.log_leaves()?;
        let (path, found) = multiproof::path_of(self.record.index.0, &leaves, size, &self.proof)
            .map_err(NotVerified::Inclusion)?;
        if found == root { Ok((path, signed)) } else { Err(NotVerified::Inclusion(ProofError::RootMismatch)) }
    }
}
