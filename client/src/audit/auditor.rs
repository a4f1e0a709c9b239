//! One pass after the other: ask all nodes for their checkpoints, read what is new, compare.

use std::{
    collections::VecDeque,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use markstein_proto::{IssuerId, LeafIndex, TimeMs, receipt::TrustRoot};
use tokio::task::{JoinHandle, JoinSet, block_in_place};

use super::{
    checkpoint::View,
    nodes::{AT_ONCE, Nodes, Source, Unavailable},
    replay::{Counts, Replay, ReplayError},
    report::{Finding, FindingKind, NodeReport, Report},
    state::{Audited, StateError, StateFolder},
    tile::{BUNDLE_MAX, Bundle},
    tree::Tree,
    wrong::{Breach, Wrong},
};

/// Bundles under way, from however many nodes: what is read ahead stays in memory.
const AHEAD_MAX: usize = 32;
/// Progress is kept after so many leaves, or so long.
const SAVE_LEAVES: u64 = 1 << 19;
const SAVE_TIME: Duration = Duration::from_secs(15);

/// What an audit is to look for beside what is always wrong.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Issuers whose batches are to be told.
    pub watch: Vec<IssuerId>,
    /// How old the word of a quorum may be.
    pub max_age: Option<Duration>,
}

/// An audit under way.
pub struct Auditor {
    trust: TrustRoot,
    nodes: Arc<Nodes>,
    terms: Terms,
    state: StateFolder,
    replay: Replay,
    /// The newest checkpoint that was found good.
    known: Option<String>,
    /// Where the log was found wrong, and how: it is not read so far again.
    broken: Option<(LeafIndex, Finding)>,
    /// What the folder says, and since when.
    saved: (u64, Instant),
    saved_known: Option<String>,
}

/// Why reading stopped.
enum Stop {
    Wrong(Wrong),
    Unavailable(Unavailable),
    State(StateError),
}

impl Auditor {
    /// Goes on where the audit in this folder stopped, or begins one.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(trust: TrustRoot, nodes: Nodes, folder: &Path, terms: Terms) -> Result<Self, StateError> {
        let state = StateFolder::open(folder)?;
        let Audited { replay, checkpoint } = state.load(&trust)?;
        let saved = (replay.size(), Instant::now());
        let (nodes, known) = (Arc::new(nodes), checkpoint);
        let saved_known = known.clone();
        let mut auditor =
            Self { trust, nodes, terms, state, replay, known, broken: None, saved, saved_known };
        auditor.watch();
        Ok(auditor)
    }

    fn watch(&mut self) {
        for issuer in &self.terms.watch {
            if let Some(number) = self.replay.rules.number_of(issuer) {
                self.replay.watched[number as usize] = true;
            }
        }
    }

    /// Leaves audited so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.replay.size()
    }

    /// The folder with the state.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.state.folder()
    }

    /// Audits what is new since the last time, and compares the nodes. `clock` is this machine's. Must be called on a
    /// runtime of several threads.
    ///
    /// # Errors
    /// See [`StateError`]; everything else is in the report.
    pub async fn pass(&mut self, clock: TimeMs) -> Result<Report, StateError> {
        let (start, before, bytes) = (Instant::now(), self.replay.counts(), self.nodes.received());
        let size = self.replay.size();
        let mut findings = Vec::new();
        let views = self.views(clock, &mut findings).await;
        if size == 0 && self.known.is_none() {
            // Who has just begun to watch is not told what was written in all the years before.
            let largest = views.iter().flatten().map(View::size).max();
            self.replay.watch_from = LeafIndex(largest.unwrap_or_default());
        }
        self.read_on(&views, &mut findings).await?;
        self.compare(&views, &mut findings)?;
        self.note_age(&views, clock, &mut findings);
        if self.saved.0 != self.replay.size() || self.saved_known != self.known {
            self.save()?;
        }
        findings.extend(self.accusations());
        let largest = views.iter().flatten().map(View::size).max();
        let counts = self.replay.counts();
        let totals = |issuer: &IssuerId| {
            let number = self.replay.rules.number_of(issuer)?;
            Some((issuer.clone(), self.replay.totals[number as usize]))
        };
        Ok(Report {
            complete: largest.is_some_and(|largest| largest <= self.replay.size()),
            as_of: self.newest_as_of(&views),
            nodes: (0..).zip(views).map(|(node, view)| self.node_report(node, view)).collect(),
            findings,
            size: self.replay.size(),
            root: self.replay.root(),
            tip: self.replay.tip().map(|tip| (tip.height, tip.time)),
            counts,
            new: difference(counts, before),
            new_leaves: self.replay.size() - size,
            bytes: self.nodes.received() - bytes,
            elapsed: start.elapsed(),
            watched: self.terms.watch.iter().filter_map(totals).collect(),
            written: self.replay.written.clone(),
            untold: self.replay.untold,
        })
    }

    /// What the last report said was written by issuers under watch has been told, and need not be told again.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn told(&mut self) -> Result<(), StateError> {
        if self.replay.written.is_empty() && self.replay.untold == 0 {
            return Ok(());
        }
        self.replay.written.clear();
        self.replay.untold = 0;
        self.save()
    }

    fn node_report(&self, node: usize, view: Option<View>) -> NodeReport {
        NodeReport { url: self.nodes.url(node).into(), view }
    }

    /// The newest checkpoint of each node, where it counts.
    async fn views(&self, clock: TimeMs, findings: &mut Vec<Finding>) -> Vec<Option<View>> {
        let mut asked = JoinSet::new();
        for node in 0..self.nodes.len() {
            let nodes = Arc::clone(&self.nodes);
            asked.spawn(async move { (node, nodes.checkpoint(node).await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(node, _)| *node);
        let mut views = Vec::new();
        for (node, answer) in answers {
            let found = |kind, message: String| {
                let node = Some(self.nodes.url(node).into());
                Finding { kind, node, message, evidence: None }
            };
            let checked = match answer {
                Err(away) => Err(found(FindingKind::Unreachable, away.why)),
                Ok(note) => View::check(self.trust.genesis(), &note, clock).map_err(|why| {
                    found(FindingKind::WrongCheckpoint, format!("its checkpoint does not count: {why}"))
                }),
            };
            let view = checked.map_err(|finding| findings.push(finding)).ok();
            self.nodes.covers(node, view.as_ref().map_or(0, View::size));
            views.push(view);
        }
        views
    }

    /// Reads up to the largest log that a quorum signed and that begins with what is audited.
    async fn read_on(
        &mut self,
        views: &[Option<View>],
        findings: &mut Vec<Finding>,
    ) -> Result<(), StateError> {
        let mut larger: Vec<&View> = views.iter().flatten().collect();
        larger.sort_by_key(|view| std::cmp::Reverse(view.size()));
        let mut failure = None;
        for view in larger {
            let beyond = self.broken.as_ref().is_some_and(|(at, _)| at.0 < view.size());
            if beyond || view.size() <= self.replay.size() {
                continue;
            }
            let same = |other: &Option<View>| {
                other.as_ref().is_some_and(|it| (it.size(), it.root()) == (view.size(), view.root()))
            };
            let holders: Vec<usize> = (0..views.len()).filter(|&i| same(&views[i])).collect();
            match self.read_view(view, &holders, findings).await {
                Ok(()) => {}
                Err(Stop::State(e)) => return Err(e),
                Err(Stop::Unavailable(e)) => {
                    failure = Some(e);
                    self.go_back()?;
                }
                Err(Stop::Wrong(wrong)) => {
                    self.broken = Some((wrong.at, wrong_log(&wrong, &self.nodes, &holders)));
                    self.go_back()?;
                }
            }
        }
        findings.extend(self.broken.as_ref().map(|(_, finding)| finding.clone()));
        if let Some(failure) = failure {
            let message = format!("the log could not be read to its end: {failure}");
            findings.push(Finding { kind: FindingKind::Incomplete, node: None, message, evidence: None });
        }
        Ok(())
    }

    /// What is in memory may be in the midst of a block: only what was kept counts.
    fn go_back(&mut self) -> Result<(), StateError> {
        let Audited { replay, checkpoint } = self.state.load(&self.trust)?;
        let watch_from = self.replay.watch_from;
        self.saved = (replay.size(), Instant::now());
        self.saved_known.clone_from(&checkpoint);
        (self.replay, self.known) = (replay, checkpoint);
        self.replay.watch_from = watch_from.max(self.replay.watch_from);
        self.watch();
        Ok(())
    }

    async fn read_view(
        &mut self,
        view: &View,
        holders: &[usize],
        findings: &mut Vec<Finding>,
    ) -> Result<(), Stop> {
        let nodes = Arc::clone(&self.nodes);
        let mut tree = Tree::open(&nodes, view, holders).await?;
        let audited = self.replay.size();
        if audited > 0 && tree.frontier(&nodes, audited).await? != self.replay.frontier {
            let what = format!(
                "the log of {} leaves that a quorum signed does not begin with the {audited} that were audited \
                 before, whose root is {}: history was rewritten",
                view.size(),
                self.replay.root()
            );
            findings.push(self.fork(view, &nodes, holders, what)?);
            return Ok(());
        }
        // Whatever is kept on the way is of this log.
        self.known.get_or_insert_with(|| view.note());
        nodes.observer().begins(view.size(), audited);
        self.read_bundles(&mut tree).await?;
        self.known = Some(view.note());
        Ok(self.save()?)
    }

    async fn read_bundles(&mut self, tree: &mut Tree) -> Result<(), Stop> {
        let nodes = Arc::clone(&self.nodes);
        let width = u64::from(markstein_proto::log::tile::FULL_WIDTH);
        let mut next = self.replay.size() / width;
        let mut skip = (self.replay.size() % width) as usize;
        let ahead = (AT_ONCE * nodes.len()).min(AHEAD_MAX);
        let mut under_way = InOrder(VecDeque::new());
        loop {
            while under_way.0.len() < ahead {
                let Some((bundle, expected)) = tree.bundle(&nodes, next).await? else { break };
                let (nodes, size) = (Arc::clone(&nodes), tree.size());
                under_way.0.push_back(tokio::spawn(async move {
                    let leaves = (bundle.index * width + u64::from(bundle.width)).min(size);
                    let from = Source::Covering { leaves, turn: bundle.index };
                    let check = |bytes| expected.check(bytes, bundle.width);
                    nodes.fetch(&bundle.path(), BUNDLE_MAX, from, check).await
                }));
                next += 1;
            }
            let Some(first) = under_way.0.pop_front() else { break };
            let bundle = first.await.expect("a download is never cancelled, and does not panic")?;
            block_in_place(|| self.read_bundle(&bundle, skip))?;
            skip = 0;
        }
        if self.replay.is_at_block_end() {
            return Ok(());
        }
        let at = LeafIndex(self.replay.size() - 1);
        let height = self.replay.tip().map_or_else(Default::default, |tip| tip.height.next());
        Err(Stop::Wrong(Wrong { at, height, what: Breach::OpenEnd }))
    }

    fn read_bundle(&mut self, bundle: &Bundle, skip: usize) -> Result<(), Stop> {
        for (bytes, hash) in bundle.leaves().skip(skip) {
            let closed = self.replay.leaf(bytes, hash).map_err(|e| match e {
                ReplayError::Wrong(wrong) => Stop::Wrong(wrong),
                ReplayError::Places(source) => {
                    Stop::State(StateError::Io { path: self.state.folder().into(), source })
                }
            })?;
            let (size, time) = self.saved;
            if closed && (self.replay.size() - size >= SAVE_LEAVES || time.elapsed() >= SAVE_TIME) {
                self.save()?;
            }
        }
        self.nodes.observer().read((bundle.hashes().len() - skip) as u64);
        Ok(())
    }

    fn save(&mut self) -> Result<(), StateError> {
        self.state.save(&mut self.replay, self.known.as_deref())?;
        self.saved = (self.replay.size(), Instant::now());
        self.saved_known.clone_from(&self.known);
        Ok(())
    }

    /// Every checkpoint that is not larger than what is audited must be of the same log.
    fn compare(&mut self, views: &[Option<View>], findings: &mut Vec<Finding>) -> Result<(), StateError> {
        for (node, view) in views.iter().enumerate() {
            let Some(view) = view.as_ref().filter(|view| view.size() <= self.replay.size()) else { continue };
            let root = self
                .replay
                .places
                .root_at(view.size())
                .map_err(|source| StateError::Io { path: self.state.folder().into(), source })?;
            if root == Some(view.root()) {
                if view.size() == self.replay.size() {
                    self.known = Some(view.note());
                }
                continue;
            }
            let audited = root.map_or_else(
                || "in the log that was audited no block ends there".to_owned(),
                |root| format!("the log that was audited has the root {root} there"),
            );
            let what = format!(
                "a quorum signed a log of {} leaves with the root {}, and {audited}: there are two logs",
                view.size(),
                view.root()
            );
            findings.push(self.fork(view, &self.nodes, &[node], what)?);
        }
        Ok(())
    }

    fn fork(
        &self,
        view: &View,
        nodes: &Nodes,
        holders: &[usize],
        what: String,
    ) -> Result<Finding, StateError> {
        let known = self.known.as_deref().unwrap_or_default();
        let evidence = self.state.keep_fork(known, &view.note(), &format!("{what}\n"))?;
        let node = holders.first().map(|&node| nodes.url(node).into());
        Ok(Finding { kind: FindingKind::Fork, node, message: what, evidence: Some(evidence) })
    }

    fn newest_as_of(&self, views: &[Option<View>]) -> Option<TimeMs> {
        let of_audited = views.iter().flatten().filter(|view| view.size() == self.replay.size());
        of_audited.map(View::as_of).max()
    }

    fn note_age(&self, views: &[Option<View>], clock: TimeMs, findings: &mut Vec<Finding>) {
        let newest = views.iter().flatten().map(View::as_of).max();
        let (Some(max), Some(newest)) = (self.terms.max_age, newest) else { return };
        let age = Duration::from_millis(clock.0.saturating_sub(newest.0));
        if age > max {
            let message = format!(
                "the last word of a quorum is {} s old, {} s are accepted: the authorities do not agree, or the nodes \
                 hide what is new",
                age.as_secs(),
                max.as_secs()
            );
            findings.push(Finding { kind: FindingKind::Stale, node: None, message, evidence: None });
        }
    }

    fn accusations(&self) -> Vec<Finding> {
        let finding = |accused: super::nodes::Accusation| Finding {
            kind: FindingKind::WrongTile,
            node: Some(self.nodes.url(accused.node).into()),
            message: format!("{}: {}", accused.path, accused.why),
            evidence: None,
        };
        self.nodes.take_accused().into_iter().map(finding).collect()
    }
}

fn wrong_log(wrong: &Wrong, nodes: &Nodes, holders: &[usize]) -> Finding {
    let (kind, who) = if wrong.what.is_unknown_version() {
        (FindingKind::UnknownVersion, "the log cannot be read on")
    } else {
        (FindingKind::WrongLog, "a quorum signed a log that breaks the rules")
    };
    let node = holders.first().map(|&node| nodes.url(node).into());
    Finding { kind, node, message: format!("{who}: {wrong}"), evidence: None }
}

fn difference(now: Counts, before: Counts) -> Counts {
    Counts {
        blocks: now.blocks - before.blocks,
        batches: now.batches - before.batches,
        records: now.records - before.records,
        status_changes: now.status_changes - before.status_changes,
    }
}

/// Downloads in the order of the log; those that nobody waits for any more are stopped.
struct InOrder(VecDeque<JoinHandle<Result<Bundle, Unavailable>>>);

impl Drop for InOrder {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl From<Unavailable> for Stop {
    fn from(e: Unavailable) -> Self {
        Self::Unavailable(e)
    }
}

impl From<StateError> for Stop {
    fn from(e: StateError) -> Self {
        Self::State(e)
    }
}
