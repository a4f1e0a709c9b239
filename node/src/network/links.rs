//! The connections of one peer, and which of them is written to.
//!
//! Two nodes may dial each other at once, and a node that was cut off may come back while its old connection still
//! looks alive. All connections are read from; the newest one with streams is written to; and of the two sides only
//! one, the elder, closes those that are older than it. So the two never close each other's. An older one on which
//! nothing is heard any more is closed by either: nobody writes to it, or heartbeats would come.

use std::time::Instant;

use libp2p::{Stream, swarm::ConnectionId};
use tokio::task::AbortHandle;

use super::{
    dial::Dial,
    ear::Ear,
    limits::{COMINGS_BURST, COMINGS_PER_SECOND, DOUBTED_AFTER, LogGate, SILENT_AFTER, TokenBucket},
};
use crate::messages::Class;

/// One connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) address: String,
    /// This node's urgent stream is open: the peer belongs to this ledger.
    pub(super) ready: bool,
    pub(super) ear: Ear,
    /// The peer's streams, until there is somebody who may be told what they say.
    waiting: [Option<Stream>; 3],
    readers: [Option<AbortHandle>; 3],
    writers: Vec<AbortHandle>,
}

/// All of one peer.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) dial: Dial,
    pub(super) blocked_until: Option<Instant>,
    /// When the peer will be blocked, since it belongs to another ledger.
    pub(super) parting: Option<Instant>,
    /// The inbox was told of the peer.
    pub(super) connected: bool,
    pub(super) log_blocked: LogGate,
    links: Vec<Link>,
    /// The last connection that ended: what came in on it is still read. One only, or a peer that comes and goes while
    /// the inbox is slow would leave more and more behind.
    ended: Option<Link>,
    comings_and_goings: TokenBucket,
}

impl Link {
    pub(super) fn new(id: ConnectionId, address: String) -> Self {
        Self {
            id,
            address,
            ready: false,
            ear: Ear::new(Instant::now()),
            waiting: Default::default(),
            readers: Default::default(),
            writers: Vec::new(),
        }
    }

    /// Keeps a stream of the peer for later; it replaces an earlier one.
    pub(super) fn keep(&mut self, class: Class, stream: Stream) {
        self.waiting[class as usize] = Some(stream);
    }

    /// Streams that were kept.
    pub(super) fn kept(&mut self) -> impl Iterator<Item = (Class, Stream)> + use<> {
        let kept = Class::ALL.into_iter().zip(std::mem::take(&mut self.waiting));
        kept.filter_map(|(class, stream)| Some((class, stream?)))
    }

    /// Somebody reads this stream now; whoever read an earlier one stops.
    pub(super) fn read_by(&mut self, class: Class, reader: AbortHandle) {
        if let Some(earlier) = self.readers[class as usize].replace(reader) {
            earlier.abort();
        }
    }

    /// Somebody writes to it.
    pub(super) fn written_by(&mut self, writer: AbortHandle) {
        self.writers.push(writer);
    }

    /// Whether the peer has nothing more to say on any stream.
    pub(super) fn is_finished(&self) -> bool {
        self.readers.iter().flatten().all(AbortHandle::is_finished)
    }

    /// Its readers stop.
    fn stop_reading(&mut self) {
        for reader in self.readers.iter_mut().filter_map(Option::take) {
            reader.abort();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop_reading();
        for writer in &self.writers {
            writer.abort();
        }
    }
}

impl Links {
    pub(super) fn new(dial: Dial) -> Self {
        Self {
            dial,
            blocked_until: None,
            parting: None,
            connected: false,
            log_blocked: LogGate::default(),
            links: Vec::new(),
            ended: None,
            comings_and_goings: TokenBucket::new(COMINGS_PER_SECOND, COMINGS_BURST, Instant::now()),
        }
    }

    pub(super) fn add(&mut self, link: Link) {
        self.links.push(link);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub(super) fn find(&mut self, id: ConnectionId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// A connection ended: what came in on it is read to its end. True where it was there.
    pub(super) fn remove(&mut self, id: ConnectionId) -> bool {
        let Some(at) = self.links.iter().position(|link| link.id == id) else { return false };
        self.ended = Some(self.links.remove(at));
        true
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Link> {
        self.links.iter_mut()
    }

    /// Nothing of the peer is read any more.
    pub(super) fn stop_reading(&mut self) {
        self.ended = None;
        self.links.iter_mut().for_each(Link::stop_reading);
    }

    /// Whether to log that the peer came or went: not while it does so all the time.
    pub(super) fn may_log(&mut self, now: Instant) -> bool {
        self.comings_and_goings.take(1.0, now).is_zero()
    }

    /// The connection that is written to: the newest one with streams.
    pub(super) fn written_to(&self) -> Option<&Link> {
        self.links.iter().rev().find(|link| link.ready)
    }

    /// Those that came before the one that is written to.
    pub(super) fn superseded(&self) -> Vec<ConnectionId> {
        let Some(current) = self.written_to() else { return Vec::new() };
        self.links.iter().map(|link| link.id).take_while(|id| *id != current.id).collect()
    }

    /// Whether nothing was heard for long on any of its connections, none of which is new. What came, or could not, before
    /// `awake` says nothing: this node itself stood still.
    pub(super) fn is_silent(&self, now: Instant, awake: Instant) -> bool {
        let doubted = |link: &Link| {
            is_silent(link, now, awake)
                && now.saturating_duration_since(link.ear.began().max(awake)) >= DOUBTED_AFTER
        };
        self.connected && self.blocked_until.is_none() && self.links.iter().all(doubted)
    }

    /// Those that came before the one that is written to, on which nothing was heard for long while it is heard.
    pub(super) fn dead(&self, now: Instant, awake: Instant) -> Vec<ConnectionId> {
        let alive = self.written_to().is_some_and(|link| !is_silent(link, now, awake));
        let superseded = if alive { self.superseded() } else { Vec::new() };
        let links = self.links.iter().filter(|link| superseded.contains(&link.id));
        links.filter(|link| is_silent(link, now, awake)).map(|link| link.id).collect()
    }

    /// Nothing says yet that the peer is to be kept out.
    pub(super) fn is_welcome(&self) -> bool {
        self.blocked_until.is_none() && self.parting.is_none()
    }

    /// Whether something is to be done at a time, and when.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.blocked_until {
            Some(until) => Some(until),
            None => self.parting.into_iter().chain(self.dial.due()).min(),
        }
    }
}

fn is_silent(link: &Link, now: Instant, awake: Instant) -> bool {
    now.saturating_duration_since(link.ear.heard(now).max(awake)) >= SILENT_AFTER
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn links() -> Links {
        let mut links = Links::new(Dial::new(None, Instant::now()));
        for number in 1..=3 {
            links.add(Link::new(id(number), String::new()));
        }
        links
    }

    #[test]
    fn the_newest_connection_with_streams_is_written_to() {
        let mut links = links();
        assert!(links.written_to().is_none());
        assert!(links.superseded().is_empty());
        links.find(id(1)).unwrap().ready = true;
        assert_eq!(links.written_to().unwrap().id, id(1));
        assert!(links.superseded().is_empty());
        links.find(id(2)).unwrap().ready = true;
        assert_eq!(links.written_to().unwrap().id, id(2));
        assert_eq!(links.superseded(), [id(1)], "the third may still become ready");
    }

    #[test]
    fn a_peer_is_silent_where_none_of_its_connections_is_heard_for_long_and_none_is_new() {
        let (mut links, began) = (links(), Instant::now());
        let at = |ms: u64| began + Duration::from_millis(ms);
        links.connected = true;
        assert!(!links.is_silent(at(4_900), began), "they are new");
        assert!(links.is_silent(at(5_100), began));
        assert!(!links.is_silent(at(5_100), at(5_000)), "this node stood still itself");
        links.find(id(2)).unwrap().ear.hear(at(4_000));
        assert!(!links.is_silent(at(6_900), began));
        assert!(links.is_silent(at(7_100), began));
        links.blocked_until = Some(at(9_000));
        assert!(!links.is_silent(at(7_100), began), "it is kept out");
    }

    #[test]
    fn a_peer_that_is_parting_is_due_at_its_end_and_a_blocked_one_when_it_is_let_in_again() {
        let (mut links, now) = (links(), Instant::now());
        assert!(links.is_welcome());
        assert_eq!(links.due(), None, "it is dialled nowhere");
        links.parting = Some(now);
        assert!(!links.is_welcome());
        assert_eq!(links.due(), Some(now));
        (links.parting, links.blocked_until) = (None, Some(now + Duration::from_secs(10)));
        assert!(!links.is_welcome());
        assert_eq!(links.due(), links.blocked_until);
    }

    #[test]
    fn an_older_connection_is_dead_where_only_the_newer_one_is_heard() {
        let (mut links, began) = (links(), Instant::now());
        let at = |ms: u64| began + Duration::from_millis(ms);
        links.find(id(1)).unwrap().ready = true;
        links.find(id(2)).unwrap().ready = true;
        assert!(links.dead(at(4_000), began).is_empty(), "neither is heard");
        links.find(id(2)).unwrap().ear.hear(at(3_000));
        assert_eq!(links.dead(at(4_000), began), [id(1)]);
        assert!(links.dead(at(4_000), at(2_000)).is_empty(), "this node stood still itself");
        links.find(id(1)).unwrap().ear.hear(at(3_500));
        assert!(links.dead(at(4_000), began).is_empty(), "the peer writes to it still");
    }

    #[test]
    fn the_older_one_is_written_to_again_where_the_newer_ends() {
        let mut links = links();
        links.find(id(1)).unwrap().ready = true;
        links.find(id(3)).unwrap().ready = true;
        assert!(links.remove(id(3)));
        assert!(!links.remove(id(3)));
        assert_eq!(links.written_to().unwrap().id, id(1));
    }
}
