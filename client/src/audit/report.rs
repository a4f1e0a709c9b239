//! What an audit came to.

use std::{path::PathBuf, time::Duration};

use markstein_proto::{Hash, Height, IssuerId, TimeMs};

use super::{
    checkpoint::View,
    replay::{Counts, Total, Written},
};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The node that shows it, where it is one.
    pub node: Option<String>,
    /// What it is, in words.
    pub message: String,
    /// Where the proof of it was kept.
    pub evidence: Option<PathBuf>,
}

/// Kinds of findings, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// A node does not answer, or has no checkpoint.
    Unreachable,
    /// No quorum has vouched for the ledger for longer than is accepted.
    Stale,
    /// Written by a later release, so this one cannot tell.
    UnknownVersion,
    /// No node gave what was needed to read on.
    Incomplete,
    /// A node serves a checkpoint that does not count.
    WrongCheckpoint,
    /// A node serves something else than the authorities signed.
    WrongTile,
    /// The authorities signed a log that breaks the rules.
    WrongLog,
    /// The authorities signed two logs.
    Fork,
}

impl FindingKind {
    /// A stable word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Stale => "stale",
            Self::UnknownVersion => "unknown-version",
            Self::Incomplete => "incomplete",
            Self::WrongCheckpoint => "wrong-checkpoint",
            Self::WrongTile => "wrong-tile",
            Self::WrongLog => "wrong-log",
            Self::Fork => "fork",
        }
    }

    const fn verdict(self) -> Verdict {
        match self {
            Self::Unreachable | Self::Stale => Verdict::Doubtful,
            Self::UnknownVersion | Self::Incomplete => Verdict::NotAudited,
            Self::WrongCheckpoint | Self::WrongTile | Self::WrongLog => Verdict::Wrong,
            Self::Fork => Verdict::Fork,
        }
    }
}

/// What can be said of the ledger, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All of it was audited, and all nodes have it.
    Sound,
    /// All of it was audited, and one of the nodes could not be compared, or no quorum vouched for it lately.
    Doubtful,
    /// It could not be audited to its end.
    NotAudited,
    /// Something is wrong.
    Wrong,
    /// There are two ledgers.
    Fork,
}

impl Verdict {
    /// 0 sound, 1 wrong, 2 could not be audited, 3 sound with a doubt, 4 fork.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Sound => 0,
            Self::Wrong => 1,
            Self::NotAudited => 2,
            Self::Doubtful => 3,
            Self::Fork => 4,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Doubtful => "sound-but",
            Self::NotAudited => "not-audited",
            Self::Wrong => "wrong",
            Self::Fork => "fork",
        }
    }
}

/// One node and what it showed.
#[derive(Clone, Debug)]
pub struct NodeReport {
    /// Its URL.
    pub url: String,
    /// Its newest checkpoint, where that counts.
    pub view: Option<View>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order in which they were given.
    pub nodes: Vec<NodeReport>,
    /// In no order.
    pub findings: Vec<Finding>,
    /// Leaves audited, now and before.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The newest block audited, and its time; none where nothing is.
    pub tip: Option<(Height, TimeMs)>,
    /// When a quorum had seen nothing newer.
    pub as_of: Option<TimeMs>,
    /// All that was audited.
    pub counts: Counts,
    /// What of it this run audited.
    pub new: Counts,
    /// Leaves that this run audited.
    pub new_leaves: u64,
    /// Bytes that this run received.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// What the issuers under watch have written in all.
    pub watched: Vec<(IssuerId, Total)>,
    /// What of it nobody was told yet.
    pub written: Vec<Written>,
    /// How many batches more.
    pub untold: u64,
    /// Whether the audit came to the end of the largest log that a quorum signed.
    pub complete: bool,
}

impl Report {
    /// What all of it comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let found = self.findings.iter().map(|finding| finding.kind.verdict());
        let least = if self.complete { Verdict::Sound } else { Verdict::NotAudited };
        found.fold(least, Verdict::max)
    }

    /// Records audited in a second of this run.
    #[must_use]
    pub fn records_per_second(&self) -> u64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 { (self.new.records as f64 / seconds) as u64 } else { 0 }
    }
}
