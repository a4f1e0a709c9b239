//! Checkpoints: signed after finality, and the newest one that counts.

use markstein_proto::{
    AuthoritySet, LogSize, SecretKey, TimeMs,
    note::{
        Checkpoint, CheckpointError, CosignatureError, KeyName, NoteError, NoteSignature, SignedCheckpoint,
        Vkey, sign_cosignature, sign_ed25519, verify_cosignature,
    },
};

use super::State;
use crate::storage::{
    Read, StorageError, Writes,
    tables::{Cosignatures, Meta, MetaKey},
};

/// This authority's hand on checkpoints.
#[derive(Debug)]
pub struct Cosigner {
    origin: String,
    number: u32,
    vkey: Vkey,
    cosigner_key: SecretKey,
    log_key: SecretKey,
}

/// Why a checkpoint was not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum CosignerError {
    /// A smaller log than one that was signed.
    #[error("refusing to cosign a log of {asked} leaves: one of {signed} leaves was cosigned before")]
    Below {
        /// Asked for.
        asked: u64,
        /// Signed before.
        signed: u64,
    },
    /// The clock gives no time that can be signed.
    #[error("cannot cosign with this clock: {0}")]
    Time(#[from] CosignatureError),
    /// The checkpoint has no valid form.
    #[error("cannot cosign: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The log line has no valid form.
    #[error("cannot sign the log line: {0}")]
    Note(#[from] NoteError),
    /// Our disk is to blame.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Cosigner {
    /// The cosigner of authority number `number` of `set`.
    ///
    /// # Panics
    /// Where the keys are not that authority's, which the caller checked.
    #[must_use]
    pub fn new(
        origin: &str,
        set: &AuthoritySet,
        number: u32,
        cosigner_key: SecretKey,
        log_key: SecretKey,
    ) -> Self {
        let authority = &set.authorities()[number as usize];
        assert_eq!(authority.cosigner_key, cosigner_key.public(), "the cosigner key is this authority's");
        assert_eq!(authority.log_key, log_key.public(), "the log key is this authority's");
        Self { origin: origin.to_owned(), number, vkey: authority.cosigner(origin), cosigner_key, log_key }
    }

    /// Signs the checkpoint of a final state and adds the lines, and the promise never to sign a smaller log, to
    /// `writes`. The signature may leave the node only once these are synced.
    ///
    /// # Errors
    /// See [`CosignerError`].
    pub fn cosign<R: Read>(
        &self,
        read: &R,
        state: &dyn State,
        now: TimeMs,
        writes: &mut Writes,
    ) -> Result<(), CosignerError> {
        let size = state.tip().size;
        let signed = cosigned_size(read)?;
        if size < signed {
            return Err(CosignerError::Below { asked: size.0, signed: signed.0 });
        }
        let text = self.text(state)?;
        let time_s = now.0 / 1000;
        if self.last_time(read, state)?.is_some_and(|last| time_s <= last) {
            return Ok(()); // the clock went back: what is signed stays, so that the as-of time never goes back
        }
        let cosignature = sign_cosignature(&self.cosigner_key, self.vkey.name(), &text, time_s)?;
        let name = KeyName::new(&self.origin).expect("origins are valid key names");
        let log_line = sign_ed25519(&name, &self.log_key, &text)?;
        let lines = format!("{cosignature}\n{log_line}\n");
        writes.put::<Cosignatures>(&(size, self.number), &lines.into_bytes());
        writes.put::<Meta>(&MetaKey::CosignedSize, &size.0.to_be_bytes().to_vec());
        for older in read.range::<Cosignatures>(..(size, 0)) {
            writes.delete::<Cosignatures>(&older?.0); // below the newest quorum they serve nobody
        }
        Ok(())
    }
}

impl Cosigner {
    /// When this authority cosigned the checkpoint of a state last, seconds since 1970.
    ///
    /// # Errors
    /// The store's.
    pub fn last_time<R: Read>(&self, read: &R, state: &dyn State) -> Result<Option<u64>, StorageError> {
        let key = (state.tip().size, self.number);
        let Some(lines) = read.get::<Cosignatures>(&key)? else { return Ok(None) };
        let (cosignature, _) = parse_lines(&lines)?;
        let damaged = |e: String| StorageError::corrupt("cosignatures", e);
        let text = self.text(state).map_err(|e| damaged(e.to_string()))?;
        verify_cosignature(&self.vkey, &text, &cosignature).map(Some).map_err(|e| damaged(e.to_string()))
    }

    fn text(&self, state: &dyn State) -> Result<String, CheckpointError> {
        Ok(Checkpoint::new(&self.origin, state.tip().size, state.frontier().root())?.to_text())
    }
}

fn cosigned_size<R: Read>(read: &R) -> Result<LogSize, StorageError> {
    let Some(bytes) = read.get::<Meta>(&MetaKey::CosignedSize)? else { return Ok(LogSize(0)) };
    let bytes =
        bytes.try_into().map_err(|_| StorageError::corrupt("meta", "the cosigned size is no number"))?;
    Ok(LogSize(u64::from_be_bytes(bytes)))
}

/// A checkpoint with a quorum, split by kind of line.
#[derive(Clone, Debug)]
pub struct CountedCheckpoint {
    /// The checkpoint with its cosignature lines only, as receipts carry it.
    pub cosigned: SignedCheckpoint,
    /// With the log lines too, as `/checkpoint` shows it.
    pub full: SignedCheckpoint,
    /// As-of time, seconds since 1970.
    pub as_of_s: u64,
}

/// The newest checkpoint that a quorum of `set` cosigned, `None` before the first.
///
/// # Errors
/// The store's.
pub fn newest_checkpoint<R: Read>(
    read: &R,
    state: &dyn State,
    origin: &str,
) -> Result<Option<CountedCheckpoint>, StorageError> {
    let size = state.tip().size;
    let (mut cosignatures, mut log_lines) = (Vec::new(), Vec::new());
    for entry in read.range::<Cosignatures>((size, 0)..=(size, u32::MAX)) {
        let (cosignature, log_line) = parse_lines(&entry?.1)?;
        cosignatures.push(cosignature);
        log_lines.push(log_line);
    }
    let damaged = |e: CheckpointError| StorageError::corrupt("cosignatures", e.to_string());
    let checkpoint = Checkpoint::new(origin, size, state.frontier().root()).map_err(damaged)?;
    if cosignatures.is_empty() {
        return Ok(None);
    }
    let cosigned = SignedCheckpoint::with_signatures(checkpoint, cosignatures).map_err(damaged)?;
    let set = state.authorities();
    match cosigned.count(&set.cosigners(origin), set.quorum()) {
        Ok(count) => {
            let full = cosigned.merge(log_lines).map_err(damaged)?;
            Ok(Some(CountedCheckpoint { cosigned, full, as_of_s: count.as_of_s }))
        }
        Err(CheckpointError::TooFewCosignatures { .. }) => Ok(None),
        Err(e) => Err(damaged(e)),
    }
}

fn parse_lines(bytes: &[u8]) -> Result<(NoteSignature, NoteSignature), StorageError> {
    let damaged = || StorageError::corrupt("cosignatures", "an entry is not two signature lines");
    let text = std::str::from_utf8(bytes).map_err(|_| damaged())?;
    let (cosignature, log_line) = text.trim_end().split_once('\n').ok_or_else(damaged)?;
    let parse = |line| NoteSignature::parse(line).map_err(|_| damaged());
    Ok((parse(cosignature)?, parse(log_line)?))
}

/// When each authority of the set in force cosigned the newest checkpoint, seconds since 1970, in the set's order.
///
/// # Errors
/// The store's.
pub fn cosignature_times<R: Read>(
    read: &R,
    state: &dyn State,
    origin: &str,
) -> Result<Vec<Option<u64>>, StorageError> {
    let size = state.tip().size;
    let damaged = |e: String| StorageError::corrupt("cosignatures", e);
    let text =
        Checkpoint::new(origin, size, state.frontier().root()).map_err(|e| damaged(e.to_string()))?.to_text();
    let time = |(number, vkey): (u32, Vkey)| {
        let Some(lines) = read.get::<Cosignatures>(&(size, number))? else { return Ok(None) };
        let (cosignature, _) = parse_lines(&lines)?;
        verify_cosignature(&vkey, &text, &cosignature).map(Some).map_err(|e| damaged(e.to_string()))
    };
    (0..).zip(state.authorities().cosigners(origin)).map(time).collect()
}
