//! Checkpoints with their signature lines, and the rule by which one counts.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::{cmp::Reverse, fmt};

use super::{
    Algorithm, Checkpoint, CheckpointError, CosignatureError, Note, NoteError, NoteSignature, SIGNATURES_MAX,
    Vkey, verify_cosignature_with,
};
use crate::{Verdict, key};

/// A checkpoint and the note it stands in. Its signatures are as received until [`SignedCheckpoint::count`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

/// What the cosignatures of a quorum say. Only [`SignedCheckpoint::count`] and [`SignedCheckpoint::count_with`] make one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuorumCount {
    /// The as-of time: at this second a whole quorum had seen nothing newer than this checkpoint. Seconds since
    /// 1970-01-01T00:00:00Z, the smallest of the q latest valid cosignature times of distinct keys.
    pub as_of_s: u64,
    /// Everybody whose cosignature is valid, as positions in the list of cosigners, ascending.
    pub signers: Vec<usize>,
}

impl SignedCheckpoint {
    /// Reads a note whose text is a plain checkpoint.
    ///
    /// # Errors
    /// Where it is none, see [`CheckpointError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(note.text())?, note })
    }

    /// Puts signature lines under a checkpoint, in order; a line that stands there already is left out.
    ///
    /// # Errors
    /// Where they make no note: no line at all, or more than a note may have.
    pub fn with_signatures(
        checkpoint: Checkpoint,
        lines: impl IntoIterator<Item = NoteSignature>,
    ) -> Result<Self, CheckpointError> {
        let note = Note::new(&checkpoint.to_text(), without_duplicates(lines)?)?;
        Ok(Self { checkpoint, note })
    }

    /// The same checkpoint with more lines, behind those it has; a line that stands there already is left out.
    ///
    /// # Errors
    /// Where there are more lines than a note may have.
    pub fn merge(&self, lines: impl IntoIterator<Item = NoteSignature>) -> Result<Self, CheckpointError> {
        Self::with_signatures(self.checkpoint.clone(), self.note.signatures().iter().cloned().chain(lines))
    }

    /// The checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note: the checkpoint's text and all lines.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// Counts the cosignatures of known keys, each key once with its latest time. Lines of unknown keys are ignored;
    /// a line with a known name and key hash that does not verify spoils the note, as it does for other readers
    /// of signed notes: somebody tampered with it.
    ///
    /// # Errors
    /// Where fewer than `quorum` keys cosigned, a known key's line is bad, or cosigners or quorum make no sense.
    pub fn count(&self, cosigners: &[Vkey], quorum: usize) -> Result<QuorumCount, CheckpointError> {
        self.count_with(cosigners, quorum, &key::strictly)
    }

    /// The same with another [`Verdict`] on the signatures.
    ///
    /// # Errors
    /// As [`Self::count`].
    pub fn count_with(
        &self,
        cosigners: &[Vkey],
        quorum: usize,
        verdict: Verdict<'_>,
    ) -> Result<QuorumCount, CheckpointError> {
        if quorum == 0 {
            return Err(CheckpointError::NoQuorum);
        }
        check_cosigners(cosigners)?;
        let latest = self.latest_times(cosigners, verdict)?;
        let signers: Vec<usize> = (0..cosigners.len()).filter(|&i| latest[i].is_some()).collect();
        let mut times: Vec<u64> = latest.into_iter().flatten().collect();
        times.sort_unstable_by_key(|&time_s| Reverse(time_s));
        match times.get(quorum - 1) {
            Some(&as_of_s) => Ok(QuorumCount { as_of_s, signers }),
            None => Err(CheckpointError::TooFewCosignatures { have: signers.len(), need: quorum }),
        }
    }

    /// For each cosigner the latest time of its lines.
    fn latest_times(
        &self,
        cosigners: &[Vkey],
        verdict: Verdict<'_>,
    ) -> Result<Vec<Option<u64>>, CheckpointError> {
        let mut latest = vec![None; cosigners.len()];
        for line in self.note.signatures() {
            // Name and key hash are unique among the cosigners, so at most one of them is meant.
            let Some(i) = cosigners.iter().position(|vkey| line.is_by(vkey)) else { continue };
            let time_s = verify_cosignature_with(&cosigners[i], self.note.text(), line, verdict)
                .map_err(|source| refused(&cosigners[i], source))?;
            latest[i] = latest[i].max(Some(time_s));
        }
        Ok(latest)
    }
}

fn refused(vkey: &Vkey, source: CosignatureError) -> CheckpointError {
    CheckpointError::Cosignature { name: vkey.name().clone(), source }
}

/// One key under two names would count twice; two keys under one name and hash could not be told apart.
fn check_cosigners(cosigners: &[Vkey]) -> Result<(), CheckpointError> {
    let (mut keys, mut names) = (BTreeSet::new(), BTreeSet::new());
    for vkey in cosigners {
        if vkey.algorithm() != Algorithm::CosignatureV1 {
            return Err(refused(vkey, CosignatureError::WrongKeyType));
        }
        if !keys.insert(vkey.key().to_bytes()) || !names.insert((vkey.name(), vkey.key_hash())) {
            return Err(CheckpointError::SameCosigner(vkey.name().clone()));
        }
    }
    Ok(())
}

/// Keeps the first of equal lines, and stops where there are too many for a note, however many are given.
fn without_duplicates(
    lines: impl IntoIterator<Item = NoteSignature>,
) -> Result<Vec<NoteSignature>, NoteError> {
    let mut kept = Vec::new();
    for line in lines {
        if kept.contains(&line) {
            continue;
        }
        if kept.len() == SIGNATURES_MAX {
            return Err(NoteError::TooManySignatures);
        }
        kept.push(line);
    }
    Ok(kept)
}

impl fmt::Display for SignedCheckpoint {
    /// The whole note, as it is stored, served and put in receipts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
