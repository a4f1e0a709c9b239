//! Signed notes, checkpoints and cosignatures, as C2SP defines them.
//!
//! Specifications: <https://c2sp.org/signed-note>, <https://c2sp.org/tlog-checkpoint> and
//! <https://c2sp.org/tlog-cosignature>. Whoever verifies logs of other makers can verify ours with the same tools;
//! where a specification leaves room, the stricter reading is taken, so that a note has one text only.

mod checkpoint;
mod cosignature;
mod signed;
mod signed_checkpoint;
#[cfg(test)]
mod tests;
mod vkey;

pub use checkpoint::{Checkpoint, CheckpointError, ORIGIN_MAX};
pub use cosignature::{
    CosignatureError, TIME_MAX_S, cosigned_message, sign_cosignature, verify_cosignature,
    verify_cosignature_with,
};
pub use signed::{NOTE_MAX, Note, NoteError, NoteSignature, SIGNATURES_MAX, sign_ed25519};
pub use signed_checkpoint::{QuorumCount, SignedCheckpoint};
pub use vkey::{Algorithm, KEY_NAME_MAX, KeyHash, KeyName, KeyNameError, Vkey, VkeyError};
