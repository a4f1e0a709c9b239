//! An answer's body: it goes out piece by piece, and is dropped where its reader takes none, or has had its time.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::HeaderMap,
};
use http_body::Frame;
use tokio::task::JoinHandle;
use tonic::Status;

use super::progress::Progress;
use crate::server::Connection;

/// An answer goes out in pieces of this size: the next one is made when the reader takes the one before.
pub(super) const PIECE: usize = 16 * 1024;

/// An answer, while which something is held.
pub(super) struct Answer<H: Send + 'static> {
    shared: Arc<Mutex<Shared<H>>>,
    guard: JoinHandle<()>,
    is_grpc: bool,
}

struct Shared<H> {
    /// `None` once the answer is over, or the reader was left.
    open: Option<Open<H>>,
    progress: Arc<Progress>,
    /// What to say to a reader whose answer was ended before its own end.
    last: Option<Status>,
    waker: Option<Waker>,
}

struct Open<H> {
    body: Body,
    rest: Bytes,
    _held: H,
}

/// How an answer ends before its own end.
pub(super) struct Ends<F> {
    /// Completes with what to say when its time is over.
    pub(super) time: F,
    /// A reader that takes nothing for this long is left.
    pub(super) patience: Duration,
    /// The reader's connection, which is left with it.
    pub(super) connection: Option<Connection>,
}

impl<H: Send + 'static> Answer<H> {
    /// The answer `body`, during which `held` is held.
    pub(super) fn new(
        body: Body,
        held: H,
        progress: Arc<Progress>,
        is_grpc: bool,
        ends: Ends<impl Future<Output = Status> + Send + 'static>,
    ) -> Self {
        let open = Some(Open { body, rest: Bytes::new(), _held: held });
        progress.works();
        let shared = Arc::new(Mutex::new(Shared { open, progress, last: None, waker: None }));
        Self { guard: tokio::spawn(guard(Arc::clone(&shared), ends)), shared, is_grpc }
    }
}

fn lock<H>(shared: &Mutex<Shared<H>>) -> MutexGuard<'_, Shared<H>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the answer when its time is over, and leaves a reader that takes nothing: drops what there is to say, and what is
/// held for it.
async fn guard<H>(shared: Arc<Mutex<Shared<H>>>, ends: Ends<impl Future<Output = Status>>) {
    let Ends { time, patience, connection } = ends;
    let mut time = std::pin::pin!(time);
    let mut look = Instant::now() + patience;
    loop {
        let last = tokio::select! {
            status = &mut time => Some(status),
            () = tokio::time::sleep_until(look.into()) => None,
        };
        let mut shared = lock(&shared);
        if last.is_none() {
            let since = shared.progress.given_since().unwrap_or_else(Instant::now);
            look = since + patience;
            if look > Instant::now() {
                continue;
            }
            tracing::debug!("a reader took nothing of its answer and is left");
        }
        // Between two messages it can be said why; within one the reader has to see that the rest is missing.
        let is_between = shared.open.take().is_some_and(|open| open.rest.is_empty());
        shared.last = last.filter(|_| is_between);
        // A reader that waits for more hears of the end. One that does not take what it was given hears of nothing.
        if shared.progress.given_since().is_some()
            && let Some(connection) = &connection
        {
            connection.leave();
        }
        if let Some(waker) = shared.waker.take() {
            waker.wake();
        }
        return;
    }
}

impl<H> Shared<H> {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        is_grpc: bool,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(open) = &mut self.open else {
            let Some(last) = self.last.take() else {
                let cut = Status::deadline_exceeded("the answer was not taken in time: ask again");
                return Poll::Ready(Some(Err(axum::Error::new(cut))));
            };
            let mut trailers = HeaderMap::new();
            if is_grpc && last.add_header(&mut trailers).is_ok() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            return Poll::Ready(Some(Err(axum::Error::new(last))));
        };
        self.progress.works();
        if open.rest.is_empty() {
            match Pin::new(&mut open.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => open.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Poll::Pending => {
                    self.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                other => return other,
            }
        }
        self.progress.given(Instant::now());
        let piece = open.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(open.rest.split_to(piece)))))
    }
}

impl<H: Send + Unpin + 'static> HttpBody for Answer<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let is_grpc = self.is_grpc;
        lock(&self.shared).poll(cx, is_grpc)
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.shared).open.as_ref().is_some_and(|open| open.rest.is_empty() && open.body.is_end_stream())
    }
}

impl<H: Send + 'static> Drop for Answer<H> {
    fn drop(&mut self) {
        self.guard.abort();
        lock(&self.shared).open = None; // the guard may take a moment to let go of it
    }
}
