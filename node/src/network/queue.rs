//! What waits to be written to one peer: bounded, never blocking who adds, emptied when the peer is gone.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use libp2p::swarm::ConnectionId;
use tokio::sync::Notify;

/// Frames that a writer takes at once, in bytes.
const TAKEN_MAX: usize = 256 * 1024;

/// The queue of one class of messages to one peer. Each connection of the peer has a writer, and only that of the
/// connection which is written to gets frames: so a writer is never stopped in the middle of one.
#[derive(Debug)]
pub(super) struct Queue {
    frames_max: usize,
    bytes_max: usize,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Bytes>,
    bytes: usize,
    open: bool,
    closing: bool,
    written_to: Option<ConnectionId>,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Queued,
    /// The queue is full, it was dropped.
    Full,
    /// The peer is not connected.
    NotConnected,
}

impl Queue {
    pub(super) fn new(frames_max: usize, bytes_max: usize) -> Self {
        Self { frames_max, bytes_max, inner: Mutex::default(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame, or drops it where it does not fit.
    pub(super) fn push(&self, frame: Bytes) -> Pushed {
        let mut inner = self.lock();
        if !inner.open || inner.closing {
            return Pushed::NotConnected;
        }
        if inner.frames.len() >= self.frames_max || inner.bytes + frame.len() > self.bytes_max {
            return Pushed::Full;
        }
        inner.bytes += frame.len();
        inner.frames.push_back(frame);
        drop(inner);
        self.changed.notify_waiters();
        Pushed::Queued
    }

    /// The peer is connected and written to over this connection; none where all its connections are still without
    /// streams.
    pub(super) fn open(&self, connection: Option<ConnectionId>) {
        let mut inner = self.lock();
        inner.open = true;
        inner.written_to = connection;
        drop(inner);
        self.changed.notify_waiters();
    }

    /// The peer is gone: what waits is dropped.
    pub(super) fn shut(&self) {
        let mut inner = self.lock();
        *inner = Inner { closing: inner.closing, ..Inner::default() };
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Nothing is added any more; writers end once it is empty.
    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_waiters();
    }

    /// The next frames for the writer of this connection, and whether the queue is empty then. `None` once it is
    /// closed and empty.
    pub(super) async fn take(&self, connection: ConnectionId) -> Option<(Vec<Bytes>, bool)> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(taken) = self.try_take(connection) {
                return taken;
            }
            changed.await;
        }
    }

    /// What [`Self::take`] gives, if there is something to give now.
    fn try_take(&self, connection: ConnectionId) -> Option<Option<(Vec<Bytes>, bool)>> {
        let mut inner = self.lock();
        let mine = inner.written_to == Some(connection);
        if mine && !inner.frames.is_empty() {
            return Some(Some(inner.pop()));
        }
        inner.closing.then_some(None)
    }
}

impl Inner {
    fn pop(&mut self) -> (Vec<Bytes>, bool) {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(frame) = self.frames.front()
            && (bytes == 0 || bytes + frame.len() <= TAKEN_MAX)
        {
            bytes += frame.len();
            taken.extend(self.frames.pop_front());
        }
        self.bytes -= bytes;
        (taken, self.frames.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn this() -> ConnectionId {
        ConnectionId::new_unchecked(1)
    }

    fn other() -> ConnectionId {
        ConnectionId::new_unchecked(2)
    }

    #[test]
    fn it_is_bounded_in_frames_and_in_bytes() {
        let queue = Queue::new(2, 10);
        assert_eq!(queue.push(Bytes::from_static(b"x")), Pushed::NotConnected);
        queue.open(None);
        assert_eq!(queue.push(Bytes::from(vec![0; 11])), Pushed::Full);
        assert_eq!(queue.push(Bytes::from_static(b"a")), Pushed::Queued);
        assert_eq!(queue.push(Bytes::from_static(b"b")), Pushed::Queued);
        assert_eq!(queue.push(Bytes::from_static(b"c")), Pushed::Full);
    }

    #[test]
    fn only_the_connection_that_is_written_to_gets_frames() {
        let queue = Queue::new(8, 100);
        queue.open(Some(this()));
        queue.push(Bytes::from_static(b"a"));
        assert!(queue.take(other()).now_or_never().is_none());
        assert_eq!(queue.take(this()).now_or_never().unwrap(), Some((vec![Bytes::from_static(b"a")], true)));
        queue.push(Bytes::from_static(b"b"));
        queue.open(Some(other()));
        assert!(queue.take(this()).now_or_never().is_none());
        assert!(queue.take(other()).now_or_never().is_some());
    }

    #[test]
    fn a_peer_that_comes_back_is_not_sent_what_waited_for_it() {
        let queue = Queue::new(8, 100);
        queue.open(Some(this()));
        queue.push(Bytes::from_static(b"a"));
        queue.shut();
        assert_eq!(queue.push(Bytes::from_static(b"b")), Pushed::NotConnected);
        queue.open(Some(other()));
        assert!(queue.take(other()).now_or_never().is_none());
    }

    #[test]
    fn a_closed_queue_is_emptied_before_its_writer_ends() {
        let queue = Queue::new(8, 100);
        queue.open(Some(this()));
        queue.push(Bytes::from_static(b"a"));
        queue.close();
        assert_eq!(queue.push(Bytes::from_static(b"b")), Pushed::NotConnected);
        assert!(queue.take(this()).now_or_never().unwrap().is_some());
        assert_eq!(queue.take(this()).now_or_never().unwrap(), None);
    }
}
