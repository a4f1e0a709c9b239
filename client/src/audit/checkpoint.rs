//! Which checkpoints count: a quorum of the authorities signed it, and nobody else did.

use markstein_proto::{
    AuthorityId, Genesis, Hash, TimeMs,
    note::{CheckpointError, NoteError, NoteSignature, SignedCheckpoint},
};

use crate::time::rfc3339;

/// How far cosignatures may be ahead of this machine's clock.
const AHEAD_MAX_MS: u64 = 5 * 60 * 1000;

/// A checkpoint that counts. Only [`View::check`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    signed: SignedCheckpoint,
    as_of: TimeMs,
    signers: Vec<AuthorityId>,
}

/// Why a checkpoint does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// Not a checkpoint, a bad cosignature, or too few.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Of another log.
    #[error("it is of the log {0}")]
    AnotherLog(String),
    /// A line of somebody who is no authority.
    #[error("it has a line of {0}, which is no key of an authority of this ledger")]
    Stranger(String),
    /// A line of the log that its key did not sign.
    #[error("its line of the log is refused: {0}")]
    LogLine(NoteError),
    /// Dated in the future.
    #[error(
        "a quorum dates it {}, and this machine's clock says {}: one of the clocks is wrong",
        rfc3339(*.as_of), rfc3339(*.clock)
    )]
    Future {
        /// Its as-of time.
        as_of: TimeMs,
        /// This machine's clock.
        clock: TimeMs,
    },
    /// Smaller than block 0.
    #[error("it covers {0} leaves, less than block 0 has")]
    TooSmall(u64),
}

impl View {
    /// Checks what a node served as its newest checkpoint.
    ///
    /// # Errors
    /// See [`CheckpointFault`].
    pub fn check(genesis: &Genesis, note: &[u8], clock: TimeMs) -> Result<Self, CheckpointFault> {
        let signed = SignedCheckpoint::parse(note)?;
        let (origin, set) = (&genesis.origin, &genesis.authorities);
        if signed.checkpoint().origin() != origin {
            return Err(CheckpointFault::AnotherLog(signed.checkpoint().origin().into()));
        }
        let cosigners = set.cosigners(origin);
        let logs: Vec<_> = set.authorities().iter().map(|authority| authority.log_vkey(origin)).collect();
        let stranger = |line: &&NoteSignature| !cosigners.iter().chain(&logs).any(|key| line.is_by(key));
        if let Some(line) = signed.note().signatures().iter().find(stranger) {
            return Err(CheckpointFault::Stranger(line.name.as_str().into()));
        }
        let count = signed.count(&cosigners, set.quorum())?;
        for key in &logs {
            match signed.note().verify_ed25519(key) {
                Ok(()) | Err(NoteError::NotSignedBy(_)) => {}
                Err(e) => return Err(CheckpointFault::LogLine(e)),
            }
        }
        let as_of = TimeMs(count.as_of_s.saturating_mul(1000));
        if as_of.0 > clock.0.saturating_add(AHEAD_MAX_MS) {
            return Err(CheckpointFault::Future { as_of, clock });
        }
        let size = signed.checkpoint().size().0;
        if size <= genesis.grants.len() as u64 + 1 {
            return Err(CheckpointFault::TooSmall(size));
        }
        let signers = count.signers.iter().map(|&i| set.authorities()[i].id.clone()).collect();
        Ok(Self { signed, as_of, signers })
    }

    /// Leaves it covers.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.signed.checkpoint().size().0
    }

    /// Root over them.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.signed.checkpoint().root()
    }

    /// When a quorum had seen nothing newer.
    #[must_use]
    pub const fn as_of(&self) -> TimeMs {
        self.as_of
    }

    /// The authorities that cosigned.
    #[must_use]
    pub fn signers(&self) -> &[AuthorityId] {
        &self.signers
    }

    /// The note, as it came.
    #[must_use]
    pub fn note(&self) -> String {
        self.signed.to_string()
    }
}
