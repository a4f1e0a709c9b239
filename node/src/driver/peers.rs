//! What this node knows of the others: who is there, how far they are, what their clocks say.

use std::collections::BTreeMap;

use markstein_consensus::{AuthorityNumber, Engine, Now};
use markstein_proto::{AuthoritySet, Hash, Height, LogSize, View};

use super::{Audience, Driver, mutant::Mutant, runs::Runs};
use crate::{
    ledger::{FinalState, State},
    messages::{Heartbeat, Message, POOLED_MAX},
    network_view::{AuthorityView, Snapshot},
    peer::{Misbehaviour, Peer},
    release::Release,
};

/// Views ahead of everybody that no honest vote is: more than a node goes through between two heartbeats.
const FAR_AHEAD: u64 = 10_000;
/// An authority not heard for this long is missing, in milliseconds.
const SILENCE: u64 = 3_500;

/// Views that operators are told of.
const VIEWS_SHOWN: usize = 4;

/// Blocks that a peer is given within half a retry.
const TOLD_MAX: usize = 64;
/// A peer that comes and goes is told all again after this time, in milliseconds.
const TELL_ALL_AGAIN: u64 = 1_000;

/// One peer.
#[derive(Clone, Debug, Default)]
struct Known {
    connected: bool,
    heard: Option<u64>,
    beat: Option<Heartbeat>,
    /// Their clock minus ours, when they said it.
    skew_ms: i64,
    /// Blocks it was given, and until when it is not given them again.
    told: BTreeMap<Hash, u64>,
    runs: Runs,
    /// When it was told all that it may have missed.
    told_all: Option<u64>,
}

/// All peers.
pub(super) struct Peers {
    known: BTreeMap<Peer, Known>,
    cosigned: Vec<LogSize>,
    me: Option<u32>,
    forgot: bool,
    lost: bool,
    pooled_cursor: u64,
    /// Of this node's own start.
    run: u64,
}

impl Peers {
    pub(super) fn new(set: &AuthoritySet, me: Option<u32>, run: u64) -> Self {
        let authorities = set.authorities().len();
        let others = (0..authorities as u32).filter(|number| Some(*number) != me);
        Self {
            known: others.map(|number| (Peer::Authority(number), Known::default())).collect(),
            cosigned: vec![LogSize(0); authorities],
            me,
            forgot: false,
            lost: false,
            pooled_cursor: 0,
            run,
        }
    }

    pub(super) fn connected(&mut self, peer: Peer) {
        self.known.entry(peer).or_default().connected = true;
    }

    /// Whether a peer may be given this block again, and not another time before `until`.
    pub(super) fn may_tell_block(&mut self, peer: Peer, block: &Hash, now: u64, until: u64) -> bool {
        let told = &mut self.known.entry(peer).or_default().told;
        told.retain(|_, until| *until > now);
        if told.contains_key(block) || told.len() >= TOLD_MAX {
            return false;
        }
        told.insert(*block, until);
        true
    }

    /// Whether a peer may be told all that it may have missed, and not again for a while.
    fn may_tell_all(&mut self, peer: Peer, now: u64) -> bool {
        let known = self.known.entry(peer).or_default();
        let may = known.told_all.is_none_or(|at| now >= at + TELL_ALL_AGAIN);
        if may {
            known.told_all = Some(now);
        }
        may
    }

    pub(super) fn disconnected(&mut self, peer: Peer) {
        self.known.entry(peer).or_default().connected = false;
    }

    pub(super) fn heard(&mut self, peer: Peer, tick: u64) {
        self.known.entry(peer).or_default().heard = Some(tick);
    }

    /// This node does not vote any more; its journal is lost, or a vote told it so.
    pub(super) const fn forgot(&mut self, lost: bool) {
        (self.forgot, self.lost) = (true, lost);
    }

    pub(super) fn cosigned(&mut self, authority: u32, size: LogSize) {
        if let Some(known) = self.cosigned.get_mut(authority as usize) {
            *known = (*known).max(size);
        }
    }

    /// Whether a vote is for a view far ahead of where its sender said it is, and of where this node is.
    pub(super) fn is_far_ahead(&self, peer: Peer, view: View, here: View) -> bool {
        let said = self.known.get(&peer).and_then(|known| known.beat).map(|beat| beat.view);
        said.is_some_and(|said| view.0 > said.max(here).0.saturating_add(FAR_AHEAD))
    }

    /// Connected peers that have blocks above a height, as far as they said; those that said nothing yet come last.
    pub(super) fn above(&self, height: Height) -> Vec<Peer> {
        let connected = || self.known.iter().filter(|(_, known)| known.connected);
        let ahead = connected().filter(|(_, k)| k.beat.is_some_and(|beat| beat.height > height));
        let unknown = connected().filter(|(_, k)| k.beat.is_none());
        let peers: Vec<Peer> = ahead.chain(unknown).map(|(peer, _)| *peer).collect();
        if peers.is_empty() { connected().map(|(peer, _)| *peer).collect() } else { peers }
    }

    /// The highest block that a connected peer says it has.
    pub(super) fn highest(&self) -> Height {
        let beats = self.known.values().filter(|known| known.connected).filter_map(|known| known.beat);
        beats.map(|beat| beat.height).max().unwrap_or(Height(0))
    }

    /// How things stand with each authority.
    fn authorities(&self, state: &FinalState, engine: &Engine, now: Now) -> Vec<AuthorityView> {
        let silent = engine.silent_for(SILENCE);
        let authorities = (0..self.cosigned.len() as u32).map(|number| {
            if Some(number) == self.me {
                return AuthorityView {
                    connected: true,
                    linked: true,
                    voting: engine.is_voting(),
                    height: state.tip().height,
                    view: engine.view(),
                    clock_skew_ms: 0,
                    heard_ms_ago: Some(0),
                    cosigned: self.cosigned[number as usize],
                    release: Some(Release::OWN),
                };
            }
            let known = self.known.get(&Peer::Authority(number)).cloned().unwrap_or_default();
            let beat = known.beat.unwrap_or_default();
            AuthorityView {
                connected: known.connected && !silent.contains(&AuthorityNumber(number)),
                linked: known.connected,
                voting: beat.voting,
                height: beat.height,
                view: beat.view,
                clock_skew_ms: known.skew_ms,
                heard_ms_ago: known.heard.map(|at| now.tick.saturating_sub(at)),
                cosigned: self.cosigned[number as usize].max(beat.cosigned),
                release: beat.release,
            }
        });
        authorities.collect()
    }
}

impl Driver {
    /// How things stand.
    pub(super) fn snapshot(&self) -> Snapshot {
        let (engine, tick) = (&self.engine, self.now.tick);
        let waiting = engine.waiting_since();
        Snapshot {
            authorities: self.peers.authorities(&self.state, engine, self.now),
            quorum: self.set.quorum(),
            own: self.me.map(|number| number as usize),
            view: engine.view(),
            entered_ms_ago: tick.saturating_sub(engine.entered()),
            final_view: engine.last_final().view,
            waiting_ms: waiting.map(|since| tick.saturating_sub(since)),
            views: waiting.map_or_else(Vec::new, |_| engine.views(VIEWS_SHOWN)),
            voting: engine.is_voting(),
            forgot: self.peers.forgot,
            lost: self.peers.lost,
            unanswered: self.recovery.missing(),
            catch_up: self.sync.progress(self.peers.highest()),
        }
    }

    pub(super) fn on_connected(&mut self, peer: Peer) -> Result<(), super::DriverError> {
        self.peers.connected(peer);
        if !self.peers.may_tell_all(peer, self.now.tick) {
            return Ok(()); // it comes and goes; what is new it hears
        }
        self.outbox.send(peer, Message::Heartbeat(self.heartbeat()));
        if let Some(finalization) = self.engine.finalization() {
            self.outbox.send(peer, Message::Certificate(finalization.get().clone()));
        }
        if self.recovery.missing() > 0 && matches!(peer, Peer::Authority(_)) {
            self.outbox.send(peer, Message::AskMemory);
        }
        let waiting = self.pool.offers(0, POOLED_MAX).0;
        if !waiting.is_empty() && !self.breaks(Mutant::NoReconciliation) {
            self.outbox.send(peer, Message::Pooled(waiting));
        }
        self.tell_cosignatures(peer)
    }

    pub(super) fn on_heartbeat(&mut self, peer: Peer, beat: Heartbeat) {
        let skew = i128::from(beat.clock.0) - i128::from(self.now.clock.0);
        let known = self.peers.known.entry(peer).or_default();
        known.skew_ms = i64::try_from(skew).unwrap_or(i64::MAX);
        let lags = beat.height < self.state.tip().height
            && known.beat.is_some_and(|before| before.height == beat.height);
        known.beat = Some(beat);
        if known.runs.is_second(&beat) {
            let what = "two nodes run with its keys: each of them says what the other does not know";
            self.outbox.misbehaved(peer, Misbehaviour::excusable("two_nodes", what));
        }
        if let Some(finalization) = self.engine.finalization().filter(|_| lags) {
            self.outbox.send(peer, Message::Certificate(finalization.get().clone()));
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            height: self.state.tip().height,
            view: self.engine.view(),
            clock: self.now.clock,
            cosigned: self.checkpoints.cosigned(),
            voting: self.engine.is_voting(),
            run: self.peers.run,
            release: Some(Release::OWN),
        }
    }

    pub(super) fn say_heartbeat(&self) {
        self.outbox.broadcast(Audience::All, Message::Heartbeat(self.heartbeat()));
    }

    /// Pools reconcile: a batch whose gossip was lost must not sleep for ever. A part of the pool at a time.
    pub(super) fn say_pooled(&mut self) {
        let (offers, next) = self.pool.offers(self.peers.pooled_cursor, POOLED_MAX);
        self.peers.pooled_cursor = next;
        if !offers.is_empty() && !self.breaks(Mutant::NoReconciliation) {
            self.outbox.broadcast(Audience::Authorities, Message::Pooled(offers));
        }
    }
}
