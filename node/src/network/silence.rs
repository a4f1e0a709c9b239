//! Peers that are connected and silent: their packets are lost, or they stand still.
//!
//! Nobody is punished for it. A silent peer is dialled beside the connections there are, which stay: where it was only
//! slow or stopped, they go on. As soon as a new one has its streams it is written to, and the old ones end.

use std::time::{Duration, Instant};

use super::{
    actor::Actor,
    limits::{LOOK_EVERY, SILENT_AFTER},
};

/// Two looks further apart than this say that this node itself stood still: then nobody was silent.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// When it was looked last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    looked: Instant,
    /// Since when this node has run without standing still.
    awake: Instant,
}

impl Watch {
    pub(super) const fn new(now: Instant) -> Self {
        Self { looked: now, awake: now }
    }

    /// When to look again.
    pub(super) fn due(&self) -> Instant {
        self.looked + LOOK_EVERY
    }

    /// Since when this node has run without standing still.
    pub(super) const fn awake(&self) -> Instant {
        self.awake
    }

    fn look(&mut self, now: Instant) {
        if now.saturating_duration_since(self.looked) >= LOOK_EVERY + STOOD_STILL {
            self.awake = now;
        }
        self.looked = now;
    }
}

impl Actor {
    /// Has silent peers dialled, and closes connections that newer ones have replaced and nobody uses any more.
    pub(super) fn look_for_silence(&mut self, now: Instant) {
        if now < self.watch.due() {
            return;
        }
        self.watch.look(now);
        let awake = self.watch.awake();
        for (links, record) in self.links.iter_mut().zip(self.shared.peers.all()) {
            if links.is_silent(now, awake) && links.dial.doubt(now) && links.may_log(now) {
                let seconds = SILENT_AFTER.as_secs();
                tracing::info!(peer = %record.peer, name = record.name, seconds, "a connected peer is silent: it is dialled anew");
            }
            for dead in links.dead(now, awake) {
                tracing::debug!(peer = %record.peer, %dead, "a connection that was replaced is silent");
                self.swarm.close_connection(dead);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stood_still_itself_has_heard_nobody_only_since_then() {
        let start = Instant::now();
        let mut watch = Watch::new(start);
        let mut now = start;
        for _ in 0..10 {
            now = watch.due();
            watch.look(now);
        }
        assert_eq!(watch.awake(), start);
        now += Duration::from_secs(10);
        watch.look(now);
        assert_eq!(watch.awake(), now);
        watch.look(now + LOOK_EVERY);
        assert_eq!(watch.awake(), now);
    }
}
