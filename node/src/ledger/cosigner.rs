//! This authority's hand on checkpoints: what it promises with each signature, and how it keeps the promise.

use markstein_proto::{
    AuthoritySet, LogSize, Sign, TimeMs, Verdict,
    note::{
        CheckpointError, CosignatureError, KeyName, NoteError, Vkey, sign_cosignature, sign_ed25519,
        verify_cosignature_with,
    },
};

use super::{
    TreeHead,
    cosignatures::{join_lines, stored_pair},
};
use crate::{
    storage::{
        Read, StorageError, Writes,
        tables::{Cosignatures, Meta, MetaKey},
    },
    verified::Verified,
};

/// This authority's hand on checkpoints.
#[derive(Debug)]
pub struct Cosigner {
    origin: String,
    number: u32,
    vkey: Vkey,
    cosigner_key: Box<dyn Sign>,
    log_key: Box<dyn Sign>,
    verified: Verified,
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
        cosigner_key: impl Sign + 'static,
        log_key: impl Sign + 'static,
    ) -> Self {
        let keys: (Box<dyn Sign>, Box<dyn Sign>) = (Box::new(cosigner_key), Box::new(log_key));
        Self::with_signatures(origin, set, number, keys, Verified::default())
    }

    /// The same with keys that `verified` checks the signatures of.
    ///
    /// # Panics
    /// As [`Self::new`].
    #[must_use]
    pub fn with_signatures(
        origin: &str,
        set: &AuthoritySet,
        number: u32,
        (cosigner_key, log_key): (Box<dyn Sign>, Box<dyn Sign>),
        verified: Verified,
    ) -> Self {
        let authority = &set.authorities()[number as usize];
        assert_eq!(authority.cosigner_key, cosigner_key.public(), "the cosigner key is this authority's");
        assert_eq!(authority.log_key, log_key.public(), "the log key is this authority's");
        Self {
            origin: origin.to_owned(),
            number,
            vkey: authority.cosigner(origin),
            cosigner_key,
            log_key,
            verified,
        }
    }

    /// This authority's number in its set.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The ledger's origin.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Signs the head of a final log and adds the lines, and the promise never to sign a smaller log, to `writes`. The
    /// lines returned may leave the node once these are as durable as the caller's own promises. `None` where they
    /// would not be later than those that stand: the clock went back, or no second has passed; what is signed stays,
    /// so that no as-of time goes back.
    ///
    /// # Errors
    /// See [`CosignerError`].
    pub fn cosign<R: Read>(
        &self,
        read: &R,
        head: TreeHead,
        now: TimeMs,
        writes: &mut Writes,
    ) -> Result<Option<String>, CosignerError> {
        let signed = cosigned_size(read)?;
        if head.size < signed {
            return Err(CosignerError::Below { asked: head.size.0, signed: signed.0 });
        }
        let time_s = now.0 / 1000;
        if self.last_time(read, head)?.is_some_and(|last| time_s <= last) {
            return Ok(None);
        }
        let text = head.checkpoint(&self.origin)?.to_text();
        let cosignature = sign_cosignature(&*self.cosigner_key, self.vkey.name(), &text, time_s)?;
        let name = KeyName::new(&self.origin).expect("origins are valid key names");
        let lines = join_lines(&cosignature, &sign_ed25519(&name, &*self.log_key, &text)?);
        writes.put::<Cosignatures>(&(head.size, self.number), &lines.clone().into_bytes());
        writes.put::<Meta>(&MetaKey::CosignedSize, &head.size.0.to_be_bytes().to_vec());
        Ok(Some(lines))
    }

    /// When this authority cosigned this head last, seconds since 1970.
    ///
    /// # Errors
    /// The store's.
    pub fn last_time<R: Read>(&self, read: &R, head: TreeHead) -> Result<Option<u64>, StorageError> {
        let Some((cosignature, _)) = stored_pair(read, head.size, self.number)? else { return Ok(None) };
        let damaged = |e: String| StorageError::corrupt("cosignatures", e);
        let text = head.checkpoint(&self.origin).map_err(|e| damaged(e.to_string()))?.to_text();
        let verdict: Verdict<'_> = &|key, message, signature| self.verified.verify(key, message, signature);
        verify_cosignature_with(&self.vkey, &text, &cosignature, verdict)
            .map(Some)
            .map_err(|e| damaged(e.to_string()))
    }
}

/// The largest log that this node cosigned; 0 before the first.
///
/// # Errors
/// The store's.
pub fn cosigned_size<R: Read>(read: &R) -> Result<LogSize, StorageError> {
    let Some(bytes) = read.get::<Meta>(&MetaKey::CosignedSize)? else { return Ok(LogSize(0)) };
    let bytes =
        bytes.try_into().map_err(|_| StorageError::corrupt("meta", "the cosigned size is no number"))?;
    Ok(LogSize(u64::from_be_bytes(bytes)))
}
