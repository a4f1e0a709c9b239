//! Cosigning after finality, and the lines of the others.

use std::{collections::BTreeMap, sync::Arc};

use markstein_proto::{Hash, LogSize, View};

use super::{Audience, Driver, DriverError};
use crate::{
    ledger::{
        Cosigner, CountedCheckpoint, ExecutedBlock, KeptLines, LineKeys, LineRules, LinesError, State,
        TreeHead, counted_checkpoint, head_at, newer_checkpoint_of, stored_lines, take_lines,
    },
    messages::{CosignatureLines, Message},
    peer::{Misbehaviour, Peer},
    storage::{Durability, Writes},
    verified::Verified,
};

/// Final tree heads that are kept, to verify lines of others against.
const HEADS_MAX: usize = 256;
/// Lines that are ahead of this node, for each peer and authority.
const EARLY_MAX: usize = 16;

/// What is known of checkpoints.
#[derive(Debug)]
pub(super) struct Checkpoints {
    cosigner: Option<Cosigner>,
    /// After a restart nothing is cosigned until this node's own finalize votes are decided.
    from: Option<View>,
    /// Final tree heads, by size: the newest, and those that were read because lines on them came.
    heads: BTreeMap<LogSize, Hash>,
    /// Lines on checkpoints that this node has not reached, by who brought them: nobody replaces what another says.
    early: BTreeMap<(Peer, u32, LogSize), CosignatureLines>,
    /// Lines that are stored.
    kept: KeptLines,
    keys: LineKeys,
    verified: Verified,
    /// The newest checkpoint that a quorum cosigned.
    counted: Option<LogSize>,
    as_of_s: u64,
    cosigned: LogSize,
    recosign: u64,
    recosign_at: Option<u64>,
}

impl Checkpoints {
    pub(super) fn new(
        cosigner: Option<Cosigner>,
        kept: KeptLines,
        (keys, verified): (LineKeys, Verified),
        from: Option<View>,
        recosign: u64,
    ) -> Self {
        Self {
            kept,
            keys,
            verified,
            cosigner,
            from,
            heads: BTreeMap::new(),
            early: BTreeMap::new(),
            counted: None,
            as_of_s: 0,
            cosigned: LogSize(0),
            recosign,
            recosign_at: None,
        }
    }

    /// This node lost its memory: it signs nothing any more.
    pub(super) fn stop(&mut self) {
        (self.cosigner, self.recosign_at) = (None, None);
    }

    pub(super) const fn next_tick(&self) -> Option<u64> {
        self.recosign_at
    }

    /// The as-of time of the newest checkpoint with a quorum, seconds since 1970.
    pub(super) const fn as_of_s(&self) -> u64 {
        self.as_of_s
    }

    /// The newest checkpoint this node cosigned.
    pub(super) const fn cosigned(&self) -> LogSize {
        self.cosigned
    }

    /// Size and as-of time of the newest checkpoint with a quorum; zeros before the first.
    fn newest(&self) -> (LogSize, u64) {
        (self.counted.unwrap_or(LogSize(0)), self.as_of_s)
    }

    fn add_head(&mut self, head: TreeHead) {
        self.heads.insert(head.size, head.root);
        if self.heads.len() > HEADS_MAX {
            self.heads.pop_first();
        }
    }
}

impl Driver {
    /// Cosigns each block that became final just now, oldest first, so that a quorum meets on each.
    pub(super) fn cosign_live(&mut self, chain: &[Arc<ExecutedBlock>]) -> Result<(), DriverError> {
        for block in chain {
            let head = TreeHead { size: LogSize(block.frontier.size()), root: block.frontier.root() };
            self.checkpoints.add_head(head);
            // The promise not to cosign less is kept by the journal: after a restart nothing is cosigned before the own
            // finalize votes are decided, and those were synced, or else the block was.
            self.cosign(head, block.header.view, Durability::Unsynced)?;
        }
        self.take_early()
    }

    /// Cosigns the newest checkpoint: at the start, after a catch-up, and again while nothing is written.
    pub(super) fn cosign_newest(&mut self) -> Result<(), DriverError> {
        let head = self.state.head();
        self.checkpoints.add_head(head);
        // In the middle of a catch-up the block may not be durable yet: what is synced here makes it so.
        self.cosign(head, self.state.tip().view, Durability::Synced)?;
        self.take_early()
    }

    /// Cosigns the head that a block of `view` ends with. What was cosigned before a restart ends at or below the last
    /// view in which the journal holds an own finalize vote: a block below that view may be smaller, and is left out.
    fn cosign(&mut self, head: TreeHead, view: View, durability: Durability) -> Result<(), DriverError> {
        self.checkpoints.recosign_at = Some(self.now.tick + self.checkpoints.recosign);
        let decided = self.checkpoints.from.is_none_or(|from| view >= from);
        let Some(cosigner) = &self.checkpoints.cosigner else { return Ok(()) };
        if !decided || !self.engine.is_voting() {
            return Ok(());
        }
        let mut writes = Writes::new();
        // Nobody dates a checkpoint before the block it ends with.
        let now = self.now.clock.max(self.state.tip().time);
        let Some(lines) = cosigner.cosign(&self.db, head, now, &mut writes)? else { return Ok(()) };
        let authority = cosigner.number();
        self.db.commit(writes, durability)?;
        self.checkpoints.kept.add(head.size, authority);
        self.checkpoints.cosigned = head.size;
        let lines = CosignatureLines { size: head.size, authority, lines };
        self.outbox.broadcast(Audience::All, Message::Cosignature(lines));
        self.count_checkpoint_of(head)
    }

    /// Cosigns again when it is time.
    pub(super) fn run_recosign(&mut self) -> Result<(), DriverError> {
        if self.checkpoints.recosign_at.is_some_and(|at| at <= self.now.tick) {
            self.cosign_newest()?;
        }
        Ok(())
    }

    /// Lines of an authority, from whoever passes them on.
    pub(super) fn on_cosignature(&mut self, from: Peer, lines: CosignatureLines) -> Result<(), DriverError> {
        let tip = self.state.tip().size;
        if from == Peer::Authority(lines.authority) && lines.size >= tip {
            self.has_cosigned_tip(lines.authority);
        }
        if self.checkpoints.counted.is_some_and(|counted| lines.size < counted)
            || lines.authority as usize >= self.set.authorities().len()
            || Some(lines.authority) == self.me
        {
            return Ok(());
        }
        if lines.size > tip {
            self.keep_early(from, lines);
            return Ok(());
        }
        let Some(head) = self.head(lines.size)? else { return Ok(()) };
        let at = LineRules {
            clock_s: self.now.clock.0 / 1000,
            step_s: self.checkpoints.recosign / 2000,
            verified: &self.checkpoints.verified,
        };
        let keys = &self.checkpoints.keys;
        match take_lines(&self.db, keys, head, lines.authority, &lines.lines, at) {
            Ok(Some(writes)) => {
                self.db.commit(writes, Durability::Unsynced)?;
                self.checkpoints.kept.add(lines.size, lines.authority);
                self.peers.cosigned(lines.authority, lines.size);
                self.count_checkpoint_of(head)
            }
            Ok(None) => Ok(()),
            Err(LinesError::Storage(error)) => Err(error.into()),
            Err(error @ LinesError::Ahead(_)) => {
                let who = format!("lines of authority {} on size {}: {error}", lines.authority, lines.size);
                self.outbox.misbehaved(from, Misbehaviour::excusable("cosignature_ahead", who));
                Ok(())
            }
            Err(error) => {
                let who = format!("lines of authority {} on size {}: {error}", lines.authority, lines.size);
                self.outbox.misbehaved(from, Misbehaviour::new("bad_cosignature", who));
                Ok(())
            }
        }
    }

    /// The tree head of a final block that ends there, if one does.
    fn head(&mut self, size: LogSize) -> Result<Option<TreeHead>, DriverError> {
        if let Some(root) = self.checkpoints.heads.get(&size).copied() {
            return Ok(Some(TreeHead { size, root }));
        }
        let read = head_at(&self.db, size)?;
        read.into_iter().for_each(|head| self.checkpoints.add_head(head));
        Ok(read)
    }

    fn keep_early(&mut self, from: Peer, lines: CosignatureLines) {
        let authority = lines.authority;
        let early = &mut self.checkpoints.early;
        early.insert((from, authority, lines.size), lines);
        let of = (from, authority, LogSize(0))..=(from, authority, LogSize(u64::MAX));
        if early.range(of.clone()).count() > EARLY_MAX {
            // The largest goes: what is near is counted first, and the newest is said again.
            let last = early.range(of).next_back().map(|(key, _)| *key);
            last.map(|key| early.remove(&key));
        }
    }

    fn take_early(&mut self) -> Result<(), DriverError> {
        let tip = self.state.tip().size;
        let (now, later): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.checkpoints.early).into_iter().partition(|((.., size), _)| *size <= tip);
        self.checkpoints.early = later;
        now.into_iter().try_for_each(|((from, ..), lines)| self.on_cosignature(from, lines))
    }

    /// Publishes the newest checkpoint with a quorum that is stored.
    pub(super) fn count_checkpoint(&mut self) -> Result<(), DriverError> {
        let counted = counted_checkpoint(&self.db, &self.state, &self.origin, &self.checkpoints.verified)?;
        counted.map_or(Ok(()), |counted| self.publish_checkpoint(counted))
    }

    /// The same after a line on a log with this head was stored: no other can have come to count by it.
    fn count_checkpoint_of(&mut self, head: TreeHead) -> Result<(), DriverError> {
        let Checkpoints { keys, verified, .. } = &self.checkpoints;
        let counted = newer_checkpoint_of(&self.db, keys, head, self.checkpoints.newest(), verified)?;
        counted.map_or(Ok(()), |counted| self.publish_checkpoint(counted))
    }

    /// Publishes a checkpoint, if it is newer, and removes what it makes superfluous.
    fn publish_checkpoint(&mut self, counted: CountedCheckpoint) -> Result<(), DriverError> {
        if (counted.size, counted.as_of_s) > self.checkpoints.newest() {
            if self.checkpoints.counted != Some(counted.size) {
                let mut writes = Writes::new();
                self.checkpoints.kept.prune(counted.size, &mut writes);
                if !writes.is_empty() {
                    self.db.commit(writes, Durability::Unsynced)?;
                }
            }
            (self.checkpoints.counted, self.checkpoints.as_of_s) = (Some(counted.size), counted.as_of_s);
            self.publisher.checkpoint(counted);
        }
        Ok(())
    }

    /// All lines from the newest counted checkpoint on, for a peer that was away.
    pub(super) fn tell_cosignatures(&self, to: Peer) -> Result<(), DriverError> {
        let from = self.checkpoints.counted.unwrap_or(LogSize(0));
        for (size, authority, lines) in stored_lines(&self.db, from)? {
            self.outbox.send(to, Message::Cosignature(CosignatureLines { size, authority, lines }));
        }
        Ok(())
    }
}
