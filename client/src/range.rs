//! The status of records without telling which records they are: the log is downloaded from some place below them to its
//! end, and looked through here.
//!
//! All status changes of a record come after it, so the leaves from there on tell its status. What is downloaded, with the
//! nodes of the tree to the left of it, must give the root that a quorum signed: nothing in between can be missing or
//! changed. The same pass gives the root of every size it comes by, so that it shows, too, that the log extends those that
//! were seen before. A node learns the place at which the download begins, which is a multiple of [`ALIGNED`].

use std::{collections::BTreeMap, future::Future, sync::Arc};

use markstein_proto::{
    Hash, Leaf, LeafIndex, LogSize, Reason, TimeMs,
    log::{
        Frontier, leaf_hash,
        tile::{EntryBundle, FULL_WIDTH, Tile, TileNodes, TileReadError, TileReader},
    },
    note::{NOTE_MAX, SignedCheckpoint},
    receipt::{TrustRoot, Verified, Voucher},
    status::{Status, StatusStep},
};
use tokio::task::JoinSet;

use crate::{
    node::{Failure, Node, NodeError},
    observer::{Event, Observer},
    refresh::Known,
    retry::{Nodes, RetryError},
    seen::SeenLog,
};

/// Ranges begin at a multiple of this many leaves.
pub const ALIGNED: u64 = 65_536;
/// Bundles asked for at a time.
const IN_FLIGHT: u64 = 8;
/// Longest bundle, in bytes.
const BUNDLE_MAX: usize = FULL_WIDTH as usize * (2 + markstein_proto::LEAF_MAX);
/// Longest tile, in bytes.
const TILE_MAX: usize = FULL_WIDTH as usize * 32;

/// A node that serves its log over plain HTTP.
pub trait Files: Node {
    /// What stands under a path, of at most so many bytes.
    fn get(&self, path: &str, max: usize) -> impl Future<Output = Result<Vec<u8>, NodeError>> + Send;
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The nodes.
    #[error(transparent)]
    Nodes(#[from] RetryError),
    /// What they sent.
    #[error("{0}")]
    Wrong(&'static str),
    /// The log does not extend one that was seen before.
    #[error(
        "the log of {newer} leaves that a quorum signed does not begin with the log of {older} leaves that was seen before: \
         the ledger shows two histories. Run `markstein receipt refresh`, which keeps both as evidence"
    )]
    Forked {
        /// Size of the log seen before.
        older: LogSize,
        /// Size of the log of now.
        newer: LogSize,
    },
}

/// One change of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The status from then on.
    pub status: Status,
    /// The time of its block.
    pub at: TimeMs,
    /// Why; none where the record was superseded.
    pub reason: Option<Reason>,
    /// Place of the record that changed it.
    pub index: LeafIndex,
}

/// What is known of a record now.
#[derive(Clone, Debug)]
pub struct Today {
    /// What its receipt proves, with the status and the log of now; its history is in `changes`.
    pub verified: Verified,
    /// How it came to that status: all changes, oldest first.
    pub changes: Vec<Changed>,
}

/// A checkpoint that a quorum signed.
struct Signed {
    size: u64,
    root: Hash,
    as_of_s: u64,
    vouchers: Vec<Voucher>,
}

/// The statuses of these records by the newest log that nodes have, from a multiple of `aligned` leaves on, itself a
/// multiple of 256.
///
/// # Errors
/// See [`RangeError`].
pub async fn statuses<N: Files>(
    nodes: &Arc<Nodes<N>>,
    trust: &TrustRoot,
    known: &[Known],
    seen: Option<&SeenLog>,
    aligned: u64,
    observer: &dyn Observer,
) -> Result<Vec<Today>, RangeError> {
    let Some(lowest) = known.iter().map(|it| it.verified.index.0).min() else { return Ok(Vec::new()) };
    let earlier: Vec<&SeenLog> = known.iter().map(|it| &it.log).chain(seen).collect();
    let not_before_s = known.iter().map(|it| it.log.as_of_s()).max().unwrap_or_default();
    let signed = newest(nodes, trust, &earlier, not_before_s).await?;
    let first = lowest - lowest % aligned;
    let frontier = left_of(nodes, first, signed.size).await?;
    let mut pass = Pass::new(known, &earlier, frontier);
    let width = u64::from(FULL_WIDTH);
    let bundles = first / width..signed.size.div_ceil(width);
    observer.event(&Event::Downloading {
        bundles: usize::try_from(bundles.end - bundles.start).unwrap_or(usize::MAX),
    });
    let mut next = bundles.start;
    while next < bundles.end {
        let end = bundles.end.min(next + IN_FLIGHT);
        for (_, leaves) in fetch(nodes, next..end, signed.size).await? {
            leaves.iter().for_each(|leaf| pass.take(leaf));
            observer.event(&Event::Downloaded);
        }
        next = end;
    }
    pass.end(known, &earlier, &signed)
}

/// The newest checkpoint of the first node that has one as new as what was seen.
async fn newest<N: Files>(
    nodes: &Nodes<N>,
    trust: &TrustRoot,
    earlier: &[&SeenLog],
    not_before_s: u64,
) -> Result<Signed, RangeError> {
    if earlier.iter().any(|log| log.epoch() != trust.genesis().authorities.epoch()) {
        return Err(RangeError::Wrong(
            "the authorities have changed since the genesis: use --online without --by-range",
        ));
    }
    let (set, origin) = (&trust.genesis().authorities, &trust.genesis().origin);
    let ask = async |node: &N| {
        let text = node.get("/checkpoint", NOTE_MAX).await?;
        let faulty = |why: String| NodeError::new(node.name(), Failure::Faulty, why);
        let signed =
            SignedCheckpoint::parse(&text).map_err(|e| faulty(format!("sent no checkpoint: {e}")))?;
        if signed.checkpoint().origin() != origin {
            return Err(faulty("sent a checkpoint of another ledger".into()));
        }
        let count = signed.count(&set.cosigners(origin), set.quorum());
        let count = count.map_err(|e| faulty(format!("sent a checkpoint that does not count: {e}")))?;
        let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
        if let Some(log) = earlier.iter().find(|log| log.size() > size) {
            let message =
                format!("shows an older log than was seen before: {size} leaves, not {}", log.size());
            return Err(NodeError::new(node.name(), Failure::Away, message));
        }
        if count.as_of_s < not_before_s {
            let message = "sent a checkpoint as of an older time than the receipt at hand";
            return Err(NodeError::new(node.name(), Failure::Away, message));
        }
        let voucher = |i: &usize| {
            let authority = &set.authorities()[*i];
            Voucher { id: authority.id.clone(), name: authority.name.clone() }
        };
        let vouchers = count.signers.iter().map(voucher).collect();
        Ok(Signed { size: size.0, root, as_of_s: count.as_of_s, vouchers })
    };
    Ok(nodes.any(ask).await?)
}

/// Tiles that were fetched; one that is missing is named, fetched, and the question asked again.
#[derive(Default)]
struct Tiles(BTreeMap<(u8, u64), Vec<u8>>);

impl TileReader for &Tiles {
    type Error = ();

    fn tile(&self, level: u8, index: u64) -> Result<Vec<u8>, ()> {
        self.0.get(&(level, index)).cloned().ok_or(())
    }
}

/// The right edge of the log before the range.
async fn left_of<N: Files>(nodes: &Nodes<N>, first: u64, size: u64) -> Result<Frontier, RangeError> {
    const WRONG: RangeError = RangeError::Wrong("a node sent tiles that are none: ask another one");
    let mut tiles = Tiles::default();
    loop {
        let (level, index) = match Frontier::read(&TileNodes(&tiles), first) {
            Ok(frontier) => return Ok(frontier),
            Err(TileReadError::Reader { level, index, .. }) => (level, index),
            Err(TileReadError::Tile { .. }) => return Err(WRONG),
        };
        let path = format!("/{}", Tile::in_log(level, index, size).ok_or(WRONG)?.path());
        let bytes = nodes.any(async |node: &N| node.get(&path, TILE_MAX).await).await?;
        tiles.0.insert((level, index), bytes);
    }
}

/// Bundles, in order, each as its leaves.
async fn fetch<N: Files>(
    nodes: &Arc<Nodes<N>>,
    bundles: std::ops::Range<u64>,
    size: u64,
) -> Result<BTreeMap<u64, Vec<Vec<u8>>>, RangeError> {
    let mut running = JoinSet::new();
    for bundle in bundles.filter_map(|index| EntryBundle::in_log(index, size)) {
        let (nodes, path) = (nodes.clone(), format!("/{}", bundle.path()));
        running.spawn(async move {
            let ask = async |node: &N| {
                let bytes = node.get(&path, BUNDLE_MAX).await?;
                leaves_of(&bytes, bundle.width)
                    .ok_or_else(|| NodeError::new(node.name(), Failure::Faulty, "sent a bundle that is none"))
            };
            (bundle.index, nodes.any(ask).await)
        });
    }
    let mut fetched = BTreeMap::new();
    while let Some(done) = running.join_next().await {
        let (index, leaves) = done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()));
        fetched.insert(index, leaves?);
    }
    Ok(fetched)
}

/// The leaves of a bundle: each after its length, and as many as its name says.
fn leaves_of(mut bytes: &[u8], width: u16) -> Option<Vec<Vec<u8>>> {
    let mut leaves = Vec::with_capacity(usize::from(width));
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (leaf, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        leaves.push(leaf.to_vec());
        bytes = rest;
    }
    (bytes.is_empty() && leaves.len() == usize::from(width)).then_some(leaves)
}

/// One way through the leaves.
struct Pass {
    frontier: Frontier,
    /// Roots of the sizes that were seen before.
    roots: BTreeMap<u64, Option<Hash>>,
    /// By place: the record's bytes as they were met, and its changes, without their times.
    records: BTreeMap<u64, (Option<Hash>, Vec<Changed>)>,
    /// Records with a change whose block's header did not come yet.
    open: Vec<u64>,
    possible: bool,
}

impl Pass {
    fn new(known: &[Known], earlier: &[&SeenLog], frontier: Frontier) -> Self {
        Self {
            frontier,
            roots: earlier.iter().map(|log| (log.size().0, None)).collect(),
            records: known.iter().map(|it| (it.verified.index.0, (None, Vec::new()))).collect(),
            open: Vec::new(),
            possible: true,
        }
    }

    /// What is no leaf is found out by the root.
    fn take(&mut self, bytes: &[u8]) {
        let (index, hash) = (self.frontier.size(), leaf_hash(bytes));
        self.frontier.push(hash);
        if let Some(root) = self.roots.get_mut(&self.frontier.size()) {
            *root = Some(self.frontier.root());
        }
        if let Some((met, _)) = self.records.get_mut(&index) {
            *met = Some(hash);
        }
        match Leaf::decode(bytes) {
            Ok(Leaf::Record(record)) => {
                if let Some(step) = record.status_step() {
                    self.step(step, LeafIndex(index));
                }
            }
            Ok(Leaf::Header(header)) => {
                for target in self.open.drain(..) {
                    let changes = self.records.get_mut(&target).map(|(_, changes)| changes);
                    let open = changes.into_iter().flatten().filter(|change| change.at.0 == 0);
                    open.for_each(|change| change.at = header.time);
                }
            }
            Ok(Leaf::BatchHead(_)) | Err(_) => {}
        }
    }

    fn step(&mut self, step: StatusStep, index: LeafIndex) {
        let target = step.target().0;
        let Some((_, changes)) = self.records.get_mut(&target) else { return };
        let before = changes.last().map_or(Status::Valid, |change| change.status);
        match step.applied_to(before) {
            Ok(status) => {
                let reason = match step {
                    StatusStep::Change(change) => Some(change.reason()),
                    StatusStep::Supersede(_) => None,
                };
                changes.push(Changed { status, at: TimeMs(0), reason, index });
                self.open.push(target);
            }
            Err(_) => self.possible = false,
        }
    }

    fn end(self, known: &[Known], earlier: &[&SeenLog], signed: &Signed) -> Result<Vec<Today>, RangeError> {
        if (self.frontier.size(), self.frontier.root()) != (signed.size, signed.root) {
            return Err(RangeError::Wrong(
                "what was downloaded is not the log that a quorum signed: ask one node only, or another one",
            ));
        }
        // The memory may end before the range begins; then the pass does not come by its size.
        let other = earlier.iter().find(|log| {
            self.roots.get(&log.size().0).copied().flatten().is_some_and(|root| root != log.root())
        });
        if let Some(log) = other {
            return Err(RangeError::Forked { older: log.size(), newer: LogSize(signed.size) });
        }
        let met = |it: &Known| {
            let (met, changes) = self.records.get(&it.verified.index.0)?;
            (*met == Some(leaf_hash(&it.receipt.record.bytes))).then(|| changes.clone())
        };
        let met: Option<Vec<Vec<Changed>>> = known.iter().map(met).collect();
        let Some(met) = met.filter(|_| self.possible) else {
            return Err(RangeError::Wrong(
                "the log that a quorum signed breaks the ledger's rules: tell the authorities",
            ));
        };
        let today = known.iter().zip(met).map(|(it, changes)| {
            let mut verified = it.verified.clone();
            verified.status = changes.last().map_or(Status::Valid, |change| change.status);
            verified.history.clear();
            verified.as_of_s = signed.as_of_s;
            verified.log_size = LogSize(signed.size);
            verified.vouchers.clone_from(&signed.vouchers);
            Today { verified, changes }
        });
        Ok(today.collect())
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
