//! What an auditor keeps: how far it came, and what it must know to go on from there.
//!
//! ```text
//! <folder>/                    mode 0700, one audit at a time
//!     lock
//!     progress                 SHA-256 of the rest (32) ‖ Progress
//!     batches, others, blocks  places in the log; they only grow, and count up to what `progress` says
//!     evidence/                signed checkpoints that contradict each other
//! ```
//! `progress` is written beside its name, synced and renamed, after the other files were synced: whatever happens, the
//! folder says what was audited at the end of some block.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use markstein_proto::{
    BatchId, Hash, Height, Leaf, LeafIndex, TimeMs, log::Frontier, receipt::TrustRoot, status::Chunk,
};
use prost::Message;

use super::{
    places::{Places, Table},
    replay::{Counts, Replay, Total, Written},
    seen::{Mark, Seen},
    statuses::Statuses,
};

/// Where the progress stands.
const PROGRESS: &str = "progress";
/// What a file that is not complete ends in.
const UNFINISHED: &str = "progress.part";

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system's word.
    #[error("the state folder cannot be used: {path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody else uses it.
    #[error(
        "another audit is using {0}: wait for it to end, or give this one a folder of its own with --state"
    )]
    Busy(PathBuf),
    /// Not as it was written.
    #[error("{0} is damaged: remove the folder, and the audit begins anew")]
    Damaged(PathBuf),
    /// Of something else.
    #[error("{0} is of the audit of another ledger: give this one another folder with --state")]
    AnotherLedger(PathBuf),
}

/// The open, locked folder.
#[derive(Debug)]
pub struct StateFolder {
    root: PathBuf,
    _lock: File,
}

/// A log as far as it was audited, and the signed checkpoint that covers it.
#[derive(Debug)]
pub struct Audited {
    /// The log.
    pub replay: Replay,
    /// The newest checkpoint that was found good, none at first.
    pub checkpoint: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Progress {
    #[prost(bytes = "vec", tag = "1")]
    ledger: Vec<u8>,
    #[prost(string, optional, tag = "2")]
    checkpoint: Option<String>,
    /// The leaf of the newest header; absent where nothing is read yet.
    #[prost(bytes = "vec", tag = "3")]
    header: Vec<u8>,
    /// The frontier of the log with it.
    #[prost(bytes = "vec", tag = "4")]
    frontier: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    chunks: Vec<ChunkMessage>,
    #[prost(message, repeated, tag = "6")]
    seen: Vec<HourMessage>,
    /// Rows of batches, others and blocks that count.
    #[prost(uint64, repeated, tag = "7")]
    rows: Vec<u64>,
    /// Blocks, batches, records, changes of a status.
    #[prost(uint64, repeated, tag = "8")]
    counts: Vec<u64>,
    #[prost(message, repeated, tag = "9")]
    totals: Vec<TotalMessage>,
    #[prost(uint64, tag = "10")]
    watch_from: u64,
    #[prost(message, repeated, tag = "11")]
    written: Vec<WrittenMessage>,
    #[prost(uint64, tag = "12")]
    untold: u64,
}

#[derive(Clone, PartialEq, Message)]
struct ChunkMessage {
    #[prost(uint64, tag = "1")]
    index: u64,
    #[prost(bytes = "vec", tag = "2")]
    bits: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct HourMessage {
    #[prost(uint64, tag = "1")]
    hour: u64,
    #[prost(bytes = "vec", tag = "2")]
    marks: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct TotalMessage {
    #[prost(uint64, tag = "1")]
    batches: u64,
    #[prost(uint64, tag = "2")]
    records: u64,
    #[prost(uint64, tag = "3")]
    last_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
struct WrittenMessage {
    /// Number of the issuer.
    #[prost(uint32, tag = "1")]
    issuer: u32,
    #[prost(bytes = "vec", tag = "2")]
    batch: Vec<u8>,
    #[prost(uint64, tag = "3")]
    first: u64,
    #[prost(uint32, tag = "4")]
    records: u32,
    #[prost(uint64, tag = "5")]
    height: u64,
    #[prost(uint64, tag = "6")]
    time_ms: u64,
}

impl StateFolder {
    /// Opens the folder, making it where needed.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(root: &Path) -> Result<Self, StateError> {
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(io(root))?;
        let path = root.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = file.map_err(io(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.into(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StateError::Busy(root.into())),
            Err(TryLockError::Error(e)) => Err(io(&path)(e)),
        }
    }

    /// The folder, to tell people.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// What was audited of this ledger; nothing at first.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn load(&self, trust: &TrustRoot) -> Result<Audited, StateError> {
        let path = self.root.join(PROGRESS);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Ok(Audited { replay: Replay::new(trust, self.places([0; 3])?), checkpoint: None });
            }
            Err(e) => return Err(io(&path)(e)),
        };
        let damaged = || StateError::Damaged(path.clone());
        let (sum, message) = bytes.split_first_chunk::<32>().ok_or_else(damaged)?;
        if Hash::of(&[message]).0 != *sum {
            return Err(damaged());
        }
        let progress = Progress::decode(message).map_err(|_| damaged())?;
        if progress.ledger != trust.ledger_id().0.0 {
            return Err(StateError::AnotherLedger(self.root.clone()));
        }
        let rows = progress.rows[..].try_into().map_err(|_| damaged())?;
        let mut replay = Replay::new(trust, self.places(rows)?);
        let checkpoint = progress.checkpoint.clone();
        restore(&mut replay, progress).ok_or_else(damaged)?;
        let root = replay.places.root_at(replay.size()).map_err(io(&self.root.join("blocks")))?;
        if replay.size() > 0 && root != Some(replay.root()) {
            return Err(StateError::Damaged(self.root.join("blocks")));
        }
        Ok(Audited { replay, checkpoint })
    }

    fn places(&self, rows: [u64; 3]) -> Result<Places, StateError> {
        let [batches, others, blocks] = ["batches", "others", "blocks"].map(|name| self.root.join(name));
        let failed = |path: &Path| {
            let path = path.to_path_buf();
            move |source: io::Error| match source.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => StateError::Damaged(path),
                _ => StateError::Io { path, source },
            }
        };
        Ok(Places {
            batches: Table::open(&batches, rows[0]).map_err(failed(&batches))?,
            others: Table::open(&others, rows[1]).map_err(failed(&others))?,
            blocks: Table::open(&blocks, rows[2]).map_err(failed(&blocks))?,
        })
    }

    /// Keeps how far the audit came, which must be the end of a block.
    ///
    /// # Errors
    /// See [`StateError`]; the folder says then what it said before.
    pub fn save(&self, replay: &mut Replay, checkpoint: Option<&str>) -> Result<(), StateError> {
        replay.places.flush().map_err(io(&self.root))?;
        let message = progress_of(replay, checkpoint).encode_to_vec();
        let (unfinished, path) = (self.root.join(UNFINISHED), self.root.join(PROGRESS));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let mut file = file.map_err(io(&unfinished))?;
        let sum = Hash::of(&[&message]).0;
        let written = file.write_all(&sum).and_then(|()| file.write_all(&message));
        written.and_then(|()| file.sync_all()).map_err(io(&unfinished))?;
        fs::rename(&unfinished, &path).map_err(io(&path))?;
        sync_folder(&self.root)
    }

    /// Keeps two signed checkpoints of one ledger that cannot both be true, and says in which folder.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn keep_fork(&self, known: &str, other: &str, what: &str) -> Result<PathBuf, StateError> {
        let evidence = self.root.join("evidence");
        let name = Hash::of(&[known.as_bytes(), &[0], other.as_bytes()]).to_string();
        let folder = evidence.join(format!("fork-{}", &name[..16]));
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io(&folder))?;
        for (name, text) in [("known.checkpoint", known), ("other.checkpoint", other), ("what.txt", what)] {
            let path = folder.join(name);
            let written = File::create(&path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
            written.map_err(io(&path))?;
        }
        for folder in [&folder, &evidence, &self.root] {
            sync_folder(folder)?;
        }
        Ok(folder)
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_path_buf();
    |source| StateError::Io { path, source }
}

fn sync_folder(folder: &Path) -> Result<(), StateError> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(io(folder))
}

fn progress_of(replay: &Replay, checkpoint: Option<&str>) -> Progress {
    let Counts { blocks, batches, records, status_changes } = replay.counts;
    let places = &replay.places;
    let total = |t: &Total| TotalMessage { batches: t.batches, records: t.records, last_ms: t.last.0 };
    let written = |w: &Written| WrittenMessage {
        issuer: replay.rules.number_of(&w.issuer).unwrap_or_default(),
        batch: w.batch.0.0.to_vec(),
        first: w.first.0,
        records: w.records,
        height: w.height.0,
        time_ms: w.time.0,
    };
    let hour = |(hour, marks): (u64, &HashSet<Mark>)| HourMessage {
        hour,
        marks: marks.iter().flatten().copied().collect(),
    };
    Progress {
        ledger: replay.rules.ledger.0.0.to_vec(),
        checkpoint: checkpoint.map(str::to_owned),
        header: replay.tip.as_ref().map_or_else(Vec::new, |tip| Leaf::Header(tip.clone()).encode()),
        frontier: replay.frontier.nodes().iter().flat_map(|hash| hash.0).collect(),
        chunks: replay
            .statuses
            .changed()
            .map(|(index, chunk)| ChunkMessage { index, bits: chunk.0.to_vec() })
            .collect(),
        seen: replay.seen.hours().map(hour).collect(),
        rows: vec![places.batches.len(), places.others.len(), places.blocks.len()],
        counts: vec![blocks, batches, records, status_changes],
        totals: replay.totals.iter().map(total).collect(),
        watch_from: replay.watch_from.0,
        written: replay.written.iter().map(written).collect(),
        untold: replay.untold,
    }
}

/// Puts a log of which nothing is read where it was; nothing where the progress is none of this ledger's.
fn restore(replay: &mut Replay, progress: Progress) -> Option<()> {
    let [blocks, batches, records, status_changes] = progress.counts[..].try_into().ok()?;
    replay.counts = Counts { blocks, batches, records, status_changes };
    replay.watch_from = LeafIndex(progress.watch_from);
    replay.untold = progress.untold;
    if progress.totals.len() != replay.totals.len() {
        return None;
    }
    let total = |t: &TotalMessage| Total { batches: t.batches, records: t.records, last: TimeMs(t.last_ms) };
    replay.totals = progress.totals.iter().map(total).collect();
    let written = |w: &WrittenMessage| {
        Some(Written {
            issuer: replay.rules.issuers().get(w.issuer as usize)?.issuer.clone(),
            batch: BatchId(Hash::try_from(&w.batch[..]).ok()?),
            first: LeafIndex(w.first),
            records: w.records,
            height: Height(w.height),
            time: TimeMs(w.time_ms),
        })
    };
    replay.written = progress.written.iter().map(written).collect::<Option<_>>()?;
    if progress.header.is_empty() {
        return Some(());
    }
    let header = Leaf::decode(&progress.header).and_then(Leaf::into_header).ok()?;
    let (nodes, rest) = progress.frontier.as_chunks::<32>();
    let nodes = nodes.iter().map(|node| Hash(*node)).collect();
    replay.frontier = Frontier::from_parts(header.size_before.next().0, nodes).ok()?;
    let chunk = |c: &ChunkMessage| Some((c.index, Chunk::try_from(&c.bits[..]).ok()?));
    let chunks = progress.chunks.iter().map(chunk).collect::<Option<Vec<_>>>()?;
    replay.statuses = Statuses::restore(header.size_before.0, chunks)?;
    let hour = |h: HourMessage| {
        let (marks, rest) = h.marks.as_chunks();
        rest.is_empty().then(|| (h.hour, marks.iter().copied().collect::<HashSet<Mark>>()))
    };
    replay.seen = Seen::restore(progress.seen.into_iter().map(hour).collect::<Option<Vec<_>>>()?);
    replay.tip = Some(header);
    rest.is_empty().then_some(())
}
