//! When a connection was heard last: any byte counts, and so does a ping's answer.
//!
//! A peer is silent where nothing comes. Where this node itself does not read, since the peer sends too fast or the
//! inbox is full, that is no silence.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::AsyncRead;

/// What is known of one connection; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Ear(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    /// Milliseconds since then.
    heard: AtomicU64,
    /// Readers that do not read now.
    held_up: AtomicUsize,
}

/// While it lives, a stream of the connection is not read because of this node.
#[derive(Debug)]
pub(super) struct HeldUp(Ear);

/// A stream whose bytes are noted as they come.
#[derive(Debug)]
pub(super) struct Listening<S> {
    stream: S,
    ear: Ear,
}

impl Ear {
    /// Of a connection that has just come about, which counts as heard.
    pub(super) fn new(now: Instant) -> Self {
        Self(Arc::new(Inner { began: now, heard: AtomicU64::new(0), held_up: AtomicUsize::new(0) }))
    }

    /// When the connection came about.
    pub(super) fn began(&self) -> Instant {
        self.0.began
    }

    /// It is heard now.
    pub(super) fn hear(&self, now: Instant) {
        let after = now.saturating_duration_since(self.0.began).as_millis();
        self.0.heard.fetch_max(u64::try_from(after).unwrap_or(u64::MAX), Relaxed);
    }

    /// Notes that a stream of it is not read until the guard is dropped.
    pub(super) fn hold_up(&self) -> HeldUp {
        self.0.held_up.fetch_add(1, Relaxed);
        HeldUp(self.clone())
    }

    /// When it was heard last.
    pub(super) fn heard(&self, now: Instant) -> Instant {
        if self.0.held_up.load(Relaxed) > 0 {
            return now;
        }
        self.0.began + Duration::from_millis(self.0.heard.load(Relaxed))
    }
}

impl Drop for HeldUp {
    fn drop(&mut self) {
        self.0.hear(Instant::now());
        self.0.0.held_up.fetch_sub(1, Relaxed);
    }
}

impl<S> Listening<S> {
    pub(super) const fn new(stream: S, ear: Ear) -> Self {
        Self { stream, ear }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Listening<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if matches!(read, Ok(bytes) if bytes > 0) {
            self.ear.hear(Instant::now());
        }
        Poll::Ready(read)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::{AsyncReadExt, executor::block_on};

    use super::*;

    #[test]
    fn bytes_are_heard_and_the_end_of_a_stream_is_not() {
        let began = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let ear = Ear::new(began);
        assert_eq!(ear.heard(Instant::now()), began);
        let mut stream = Listening::new(&b"ab"[..], ear.clone());
        let mut buffer = [0; 2];
        block_on(stream.read_exact(&mut buffer)).unwrap();
        let heard = ear.heard(Instant::now());
        assert!(heard >= began + Duration::from_secs(59));
        assert_eq!(block_on(stream.read(&mut buffer)).unwrap(), 0);
        assert_eq!(ear.heard(Instant::now()), heard);
    }

    #[test]
    fn what_this_node_does_not_read_is_no_silence() {
        let began = Instant::now();
        let (ear, later) = (Ear::new(began), began + Duration::from_secs(100));
        let held_up = ear.hold_up();
        assert_eq!(ear.heard(later), later);
        drop(held_up);
        assert!(ear.heard(later) < began + Duration::from_secs(50));
        ear.hear(later);
        ear.hear(began);
        assert_eq!(ear.heard(later), later, "never back");
    }
}
