//! The lines of each authority on the checkpoints: taken from peers, kept, and removed again.

use std::collections::{BTreeMap, BTreeSet};

use markstein_proto::{
    AuthoritySet, LogSize, Verdict,
    note::{CosignatureError, NoteSignature, SignedCheckpoint, Vkey, verify_cosignature_with},
};

use super::TreeHead;
use crate::{
    messages::LINES_MAX,
    storage::{Read, StorageError, Writes, tables::Cosignatures},
    verified::Verified,
};

/// Why the lines of an authority on a checkpoint were not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinesError {
    /// More than two lines ever are.
    #[error("the lines have {0} bytes, at most {LINES_MAX} are allowed")]
    TooLong(usize),
    /// Not a cosignature line and a log line, each ended by a newline.
    #[error("these are not two signature lines")]
    Form,
    /// The set has no such authority.
    #[error("there is no authority number {0}")]
    Authority(u32),
    /// The first line is not that authority's cosignature of this checkpoint.
    #[error("the cosignature: {0}")]
    Cosignature(#[from] CosignatureError),
    /// The second line is not by that authority's log key on this checkpoint.
    #[error("the log line is not by the authority's log key on this checkpoint")]
    LogLine,
    /// Later than this node's clock by more than clocks may differ.
    #[error("a cosignature {0} s ahead of this clock")]
    Ahead(u64),
    /// Our disk is to blame; all others are whoever sent the lines.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// How far the time of a line may be ahead of this node's clock, in seconds: as far as a verifier takes an as-of time.
const AHEAD_MAX_S: u64 = 300;

/// The keys that the lines on a log's checkpoints are by. Each is named by a hash, so they are put together once.
#[derive(Clone, Debug)]
pub struct LineKeys {
    pub(super) origin: String,
    pub(super) cosigners: Vec<Vkey>,
    logs: Vec<Vkey>,
    pub(super) quorum: usize,
}

impl LineKeys {
    /// Those of a set, on the log of this origin.
    #[must_use]
    pub fn new(set: &AuthoritySet, origin: &str) -> Self {
        let logs = set.authorities().iter().map(|authority| authority.log_vkey(origin)).collect();
        Self { origin: origin.to_owned(), cosigners: set.cosigners(origin), logs, quorum: set.quorum() }
    }
}

/// How lines are taken in.
#[derive(Clone, Copy, Debug)]
pub struct LineRules<'a> {
    /// This node's clock, in seconds.
    pub clock_s: u64,
    /// Lines of one authority on one checkpoint are taken only this much after each other, in seconds: less than the
    /// pause between two re-cosignatures.
    pub step_s: u64,
    /// What was verified a moment ago.
    pub verified: &'a Verified,
}

/// Checks that `lines` are those of authority number `authority` on exactly this head, and says what to write: nothing
/// where this node holds lines of it that are as late, or nearly, and then no signature is looked at. A line's time is
/// its signer's word; whoever lies about it moves no as-of time past those of the honest, since that is the smallest of a
/// quorum's.
///
/// # Errors
/// See [`LinesError`].
pub fn take_lines<R: Read>(
    read: &R,
    keys: &LineKeys,
    head: TreeHead,
    authority: u32,
    lines: &str,
    rules: LineRules<'_>,
) -> Result<Option<Writes>, LinesError> {
    if lines.len() > LINES_MAX {
        return Err(LinesError::TooLong(lines.len()));
    }
    let of = authority as usize;
    let (Some(cosigner), Some(log)) = (keys.cosigners.get(of), keys.logs.get(of)) else {
        return Err(LinesError::Authority(authority));
    };
    let held = read.get::<Cosignatures>(&(head.size, authority))?;
    if held.as_deref() == Some(lines.as_bytes()) {
        return Ok(None); // most often: every peer passes them on
    }
    let (cosignature, log_line) = split_lines(lines).ok_or(LinesError::Form)?;
    let claimed = time_of(&cosignature).map_err(|_| LinesError::Form)?;
    if let Some((held, _)) = held.map(|bytes| parse_lines(&bytes)).transpose()?
        && claimed < time_of(&held)?.saturating_add(rules.step_s.max(1))
    {
        return Ok(None);
    }
    let checkpoint = head
        .checkpoint(&keys.origin)
        .map_err(|e| StorageError::corrupt("meta", format!("the origin: {e}")))?;
    let verdict: Verdict<'_> = &|key, message, signature| rules.verified.verify(key, message, signature);
    let text = checkpoint.to_text();
    let time_s = verify_cosignature_with(cosigner, &text, &cosignature, verdict)?;
    if time_s > rules.clock_s.saturating_add(AHEAD_MAX_S) {
        return Err(LinesError::Ahead(time_s - rules.clock_s));
    }
    let canonical = join_lines(&cosignature, &log_line);
    let signed =
        SignedCheckpoint::with_signatures(checkpoint, [log_line]).map_err(|_| LinesError::LogLine)?;
    signed.note().verify_ed25519_with(log, verdict).map_err(|_| LinesError::LogLine)?;
    let mut writes = Writes::new();
    writes.put::<Cosignatures>(&(head.size, authority), &canonical.into_bytes());
    Ok(Some(writes))
}

/// All lines on checkpoints of at least `from` leaves: size, number of the authority, lines; ascending.
///
/// # Errors
/// The store's.
pub fn stored_lines<R: Read>(read: &R, from: LogSize) -> Result<Vec<(LogSize, u32, String)>, StorageError> {
    let text = |bytes| String::from_utf8(bytes).map_err(|_| damaged());
    read.range::<Cosignatures>((from, 0)..)
        .map(|entry| entry.and_then(|((size, authority), bytes)| Ok((size, authority, text(bytes)?))))
        .collect()
}

/// Whose lines on which checkpoints are stored. Kept in memory, since the store is slow to walk over what was removed from
/// it a moment ago.
#[derive(Debug, Default)]
pub struct KeptLines {
    sizes: BTreeSet<(LogSize, u32)>,
    newest: BTreeMap<u32, LogSize>,
}

impl KeptLines {
    /// Those in the store.
    ///
    /// # Errors
    /// The store's.
    pub fn load<R: Read>(read: &R) -> Result<Self, StorageError> {
        let mut kept = Self::default();
        for entry in read.range::<Cosignatures>(..) {
            let ((size, authority), _) = entry?;
            kept.add(size, authority);
        }
        Ok(kept)
    }

    /// Lines are stored.
    pub fn add(&mut self, size: LogSize, authority: u32) {
        self.sizes.insert((size, authority));
        let newest = self.newest.entry(authority).or_default();
        *newest = (*newest).max(size);
    }

    /// Removes what nobody needs once a quorum cosigned a log of `below` leaves: lines on smaller ones, but for each
    /// authority's newest, which tell operators since when it is silent.
    pub fn prune(&mut self, below: LogSize, writes: &mut Writes) {
        let newest = &self.newest;
        let needless = |(size, authority): &&(LogSize, u32)| newest.get(authority) != Some(size);
        let old: Vec<(LogSize, u32)> = self.sizes.range(..(below, 0)).filter(needless).copied().collect();
        for key in old {
            writes.delete::<Cosignatures>(&key);
            self.sizes.remove(&key);
        }
    }
}

/// For each authority of the set the newest size it cosigned, as far as this node knows, and its time in seconds since
/// 1970; in the set's order.
///
/// # Errors
/// The store's.
pub fn cosignature_times<R: Read>(
    read: &R,
    set: &AuthoritySet,
) -> Result<Vec<Option<(LogSize, u64)>>, StorageError> {
    let mut times = vec![None; set.authorities().len()];
    for entry in read.range_reverse::<Cosignatures>(..) {
        let ((size, authority), bytes) = entry?;
        if let Some(newest @ None) = times.get_mut(authority as usize) {
            *newest = Some((size, time_of(&parse_lines(&bytes)?.0)?));
        }
        if times.iter().all(Option::is_some) {
            break;
        }
    }
    Ok(times)
}

/// The lines as they are kept and sent.
pub(super) fn join_lines(cosignature: &NoteSignature, log_line: &NoteSignature) -> String {
    format!("{cosignature}\n{log_line}\n")
}

fn split_lines(lines: &str) -> Option<(NoteSignature, NoteSignature)> {
    let (cosignature, log_line) = lines.strip_suffix('\n')?.split_once('\n')?;
    Some((NoteSignature::parse(cosignature).ok()?, NoteSignature::parse(log_line).ok()?))
}

fn damaged() -> StorageError {
    StorageError::corrupt("cosignatures", "an entry is not two signature lines")
}

/// Lines that were checked when they were kept.
pub(super) fn parse_lines(bytes: &[u8]) -> Result<(NoteSignature, NoteSignature), StorageError> {
    std::str::from_utf8(bytes).ok().and_then(split_lines).ok_or_else(damaged)
}

pub(super) fn stored_pair<R: Read>(
    read: &R,
    size: LogSize,
    authority: u32,
) -> Result<Option<(NoteSignature, NoteSignature)>, StorageError> {
    read.get::<Cosignatures>(&(size, authority))?.map(|bytes| parse_lines(&bytes)).transpose()
}

/// The time in a cosignature that was checked when it was kept.
pub(super) fn time_of(cosignature: &NoteSignature) -> Result<u64, StorageError> {
    let time = cosignature.signature.first_chunk::<8>().ok_or_else(damaged)?;
    Ok(u64::from_be_bytes(*time))
}
