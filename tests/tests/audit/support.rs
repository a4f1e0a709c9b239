//! Ledgers to audit, and an audit of them.

use std::{path::Path, sync::Arc, time::Duration};

use markstein_client::{
    audit::{
        auditor::{Auditor, Terms},
        nodes::{Deaf, Nodes},
        places::Places,
        replay::{Replay, ReplayError},
        report::{FindingKind, Report},
        wrong::{BatchBreach, Breach, Wrong},
    },
    connect::Connection,
    retry::Patience,
};
use markstein_proto::{
    Batch, LeafIndex, Reason, Record, StatusChange, TimeMs, log::leaf_hash, status::Status,
};
use markstein_tests::{
    craft::Paper,
    made::MadeLog,
    random::Random,
    tile_server::{Files, TileServer},
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// This machine's clock, long after every made-up block.
pub const CLOCK: TimeMs = TimeMs(1_795_000_000_000);
/// Whoever is away is asked once.
pub const NONE: Patience = Patience {
    total: Duration::ZERO,
    first_delay: Duration::from_millis(1),
    longest_delay: Duration::from_millis(1),
};

/// Records in all, of a ledger that fills some tiles.
pub const RECORDS: usize = 700;

/// A batch of issuer 0 for the next block.
pub fn anchors(log: &MadeLog, count: usize, seed: u64) -> Batch {
    anchors_of(log, 0, count, seed)
}

pub fn anchors_of(log: &MadeLog, issuer: u8, count: usize, seed: u64) -> Batch {
    let mut random = Random::new(seed);
    let papers = (0..count).map(|_| Paper::random(&mut random)).collect();
    log.signer(issuer).submission(log.next_time(), papers).unwrap().batch
}

/// A batch of these records for the next block.
pub fn records_of(log: &MadeLog, issuer: u8, records: &[Record]) -> Batch {
    log.signer(issuer).records(log.next_time(), records).unwrap().batch
}

pub fn change(target: u64, from: Status, to: Status) -> Record {
    Record::StatusChange(StatusChange::new(LeafIndex(target), from, to, Reason::Other).unwrap())
}

/// A log of some blocks: anchors, one revoked, one superseded, a block without batches.
pub fn filled(authorities: u8) -> MadeLog {
    let mut log = MadeLog::new(authorities);
    let first = log.size() + 1;
    log.block(&[anchors(&log, RECORDS - 100, 1), anchors_of(&log, 1, 50, 2)]);
    let Record::Anchor(mut anchor) = Paper::random(&mut Random::new(3)).record() else { panic!() };
    anchor.supersedes = Some(LeafIndex(first + 1));
    let records = [change(first, Status::Valid, Status::Revoked), Record::Anchor(anchor)];
    log.block(&[records_of(&log, 0, &records)]);
    log.block(&[]);
    log.block(&[anchors(&log, 48, 4)]);
    log
}

/// What all four authorities say of a log.
pub fn signed(log: &MadeLog) -> Files {
    Files::of(log, log.checkpoint(0..log.trust().genesis().authorities.authorities().len() as u8))
}

pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// An auditor of these nodes with its folder.
pub struct World {
    pub runtime: Runtime,
    pub folder: TempDir,
}

impl World {
    pub fn new() -> Self {
        Self { runtime: runtime(), folder: tempfile::tempdir().unwrap() }
    }

    pub fn state(&self) -> &Path {
        self.folder.path()
    }

    pub fn auditor(&self, log: &MadeLog, nodes: &[&TileServer], terms: Terms) -> Auditor {
        self.patient(log, nodes, terms, NONE)
    }

    pub fn patient(&self, log: &MadeLog, nodes: &[&TileServer], terms: Terms, patience: Patience) -> Auditor {
        let urls: Vec<String> = nodes.iter().map(|node| node.url()).collect();
        let nodes = Nodes::new(&urls, Connection::default(), patience, Arc::new(Deaf)).unwrap();
        Auditor::open(log.trust().clone(), nodes, self.state(), terms).unwrap()
    }

    /// One run of `markstein audit`.
    pub fn audit(&self, log: &MadeLog, nodes: &[&TileServer]) -> Report {
        let mut auditor = self.auditor(log, nodes, Terms::default());
        self.pass(&mut auditor)
    }

    pub fn pass(&self, auditor: &mut Auditor) -> Report {
        self.runtime.block_on(auditor.pass(CLOCK)).unwrap()
    }
}

/// One audit of one node, from the beginning.
pub fn audit(log: &MadeLog, node: TileServer) -> Report {
    World::new().audit(log, &[&node])
}

/// Kinds and words of all findings.
pub fn found(report: &Report) -> Vec<(FindingKind, &str)> {
    report.findings.iter().map(|finding| (finding.kind, finding.message.as_str())).collect()
}

/// Checks that this is all that was found.
#[track_caller]
pub fn assert_found(report: &Report, kind: FindingKind, words: &str) {
    let found = found(report);
    assert!(matches!(found[..], [(k, message)] if k == kind && message.contains(words)), "{found:?}");
}

/// Reads a log without any node; what is wrong with it.
pub fn replay(log: &MadeLog) -> Result<Replay, Wrong> {
    let mut replay = Replay::new(log.trust(), Places::in_memory());
    for leaf in log.leaves() {
        match replay.leaf(leaf, leaf_hash(leaf)) {
            Ok(_) => {}
            Err(ReplayError::Wrong(wrong)) => return Err(wrong),
            Err(e) => panic!("{e}"),
        }
    }
    Ok(replay)
}

/// What is wrong with a log.
#[track_caller]
pub fn breach(log: &MadeLog) -> Breach {
    replay(log).expect_err("something is wrong with it").what
}

/// What is wrong with a batch in it.
#[track_caller]
pub fn batch_breach(log: &MadeLog) -> BatchBreach {
    match breach(log) {
        Breach::Batch { why, .. } => why,
        other => panic!("{other}"),
    }
}
