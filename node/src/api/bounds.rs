//! What callers may hold of this node at once: places for requests, room for submissions on their way in, turns at the
//! store, and answers that they do not take. Strangers reach the public port, so each of these has an end.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    http::HeaderMap,
    middleware::Next,
    response::Response,
};
use http_body::Frame;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
    time::{Instant, Sleep},
};
use tonic::{Code, Status};

use super::{error, http, storage_status};
use crate::finality::{Finality, Snapshot};

/// Requests at once.
const REQUESTS_MAX: usize = 4096;
/// Submissions on their way in at once: each may hold 1 MiB.
const UPLOADS_MAX: usize = 256;
/// What a request may bring that is no submission, for which no such room is held: a message and its frame.
const SMALL_UPLOAD_MAX: usize = super::SMALL_REQUEST_MAX + 1024;
/// A request must be here after this time.
const UPLOAD_TIME: Duration = Duration::from_secs(60);
/// Reads of the store at once; more wait for their turn, so that they leave threads for submissions.
const READS_MAX: usize = 64;
/// Answers of megabytes at once, until they are taken.
const LARGE_ANSWERS_MAX: usize = 64;
/// An answer goes out in pieces of this size: the next one is made when the reader takes the one before.
const PIECE: usize = 16 * 1024;
/// A reader that takes no piece for this long is left.
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// The places and turns of one node.
#[derive(Clone, Debug)]
pub struct Bounds {
    requests: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    large_answers: Arc<Semaphore>,
}

/// Room for a large answer; it travels with the answer as an extension.
#[derive(Clone, Debug)]
pub(super) struct LargeAnswer(#[allow(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// A node that has as many of something as it can.
pub(super) fn busy() -> Status {
    let message = "this node answers as many requests as it can: ask again in a moment";
    error::retry(Code::ResourceExhausted, "BUSY", message)
}

impl Default for Bounds {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            requests: places(REQUESTS_MAX),
            uploads: places(UPLOADS_MAX),
            reads: places(READS_MAX),
            large_answers: places(LARGE_ANSWERS_MAX),
        }
    }
}

impl Bounds {
    /// Room for an answer of megabytes.
    pub(super) fn large_answer(&self) -> Result<LargeAnswer, Status> {
        let permit = Arc::clone(&self.large_answers).try_acquire_owned().map_err(|_| busy())?;
        Ok(LargeAnswer(Arc::new(permit)))
    }

    /// Reads from one snapshot of the store, where blocking is allowed, when it is this reader's turn.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        finality: &Finality,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, Status> + Send + 'static,
    ) -> Result<T, Status> {
        let turn = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| busy())?;
        let finality = finality.clone();
        super::blocking(move || {
            let _turn = turn; // held to the end of the read, also where the caller has gone
            read(&finality.snapshot().map_err(|e| storage_status(&e))?)
        })
        .await
    }
}

/// Gives each request its place until its answer is taken, and bounds what it may bring and leave.
pub(super) async fn bound(
    State((bounds, finality)): State<(Bounds, Finality)>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let is_grpc = path.starts_with("/markstein.v1.") || path.starts_with("/grpc.");
    let refused = || if is_grpc { busy().into_http() } else { http::refused(&busy()) };
    let Ok(place) = Arc::clone(&bounds.requests).try_acquire_owned() else { return refused() };
    // Health and reflection stream for as long as the caller likes; nothing but a stop ends them.
    let is_endless = path.starts_with("/grpc.");
    let stop = is_endless.then(|| Box::pin(finality.stopped()) as Stop);
    let mut room = None;
    if path.starts_with("/markstein.v1.Anchoring/Submit") || path == http::SUBMIT {
        let Ok(taken) = Arc::clone(&bounds.uploads).try_acquire_owned() else { return refused() };
        room = Some(taken);
    }
    let request = if is_endless { request } else { request.map(|body| Body::new(Upload::new(body, room))) };
    let mut response = next.run(request).await;
    let large = response.extensions_mut().remove::<LargeAnswer>();
    response.map(|body| Body::new(Answer::new(body, (place, large), stop, READER_PATIENCE)))
}

/// A request's body that must come in time, and is small where no room is held for it.
struct Upload {
    body: Body,
    left: usize,
    ends: Pin<Box<Sleep>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Upload {
    fn new(body: Body, room: Option<OwnedSemaphorePermit>) -> Self {
        let left = if room.is_some() { usize::MAX } else { SMALL_UPLOAD_MAX };
        Self { body, left, ends: Box::pin(tokio::time::sleep(UPLOAD_TIME)), _room: room }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ends.as_mut().poll(cx).is_ready() {
            let late = Status::deadline_exceeded("the request did not come in time: send it again");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(left) = self.left.checked_sub(length) else {
                let long = Status::out_of_range("a request of this kind is shorter");
                return Poll::Ready(Some(Err(axum::Error::new(long))));
            };
            self.left = left;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An answer's body that goes out piece by piece, and that is dropped where its reader takes none.
struct Answer<H: Send + 'static> {
    shared: Arc<Mutex<Shared<H>>>,
    guard: JoinHandle<()>,
    stop: Option<Stop>,
}

struct Shared<H> {
    /// `None` once the reader was left.
    open: Option<Open<H>>,
    /// When the reader was given a piece; `None` while this node is to give the next one.
    given: Option<Instant>,
}

struct Open<H> {
    body: Body,
    rest: Bytes,
    _held: H,
}

impl<H: Send + 'static> Answer<H> {
    /// The answer `body`, during which `held` is held, and which ends with `stop`.
    fn new(body: Body, held: H, stop: Option<Stop>, patience: Duration) -> Self {
        let open = Some(Open { body, rest: Bytes::new(), _held: held });
        let shared = Arc::new(Mutex::new(Shared { open, given: None }));
        Self { guard: tokio::spawn(guard(Arc::clone(&shared), patience)), shared, stop }
    }
}

fn lock<H>(shared: &Mutex<Shared<H>>) -> MutexGuard<'_, Shared<H>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves a reader that takes nothing: drops the answer, and what is held for it.
async fn guard<H>(shared: Arc<Mutex<Shared<H>>>, patience: Duration) {
    let mut look = Instant::now() + patience;
    loop {
        tokio::time::sleep_until(look).await;
        let mut shared = lock(&shared);
        let since = shared.given.unwrap_or_else(Instant::now);
        look = since + patience;
        if look <= Instant::now() {
            tracing::debug!("a reader took nothing of its answer and is left");
            shared.open = None;
            return;
        }
    }
}

impl<H> Shared<H> {
    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(open) = &mut self.open else {
            let left = Status::deadline_exceeded("the answer was not taken in time: ask again");
            return Poll::Ready(Some(Err(axum::Error::new(left))));
        };
        self.given = None;
        if open.rest.is_empty() {
            match Pin::new(&mut open.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => open.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return other,
            }
        }
        self.given = Some(Instant::now());
        let piece = open.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(open.rest.split_to(piece)))))
    }
}

impl<H: Send + Unpin + 'static> HttpBody for Answer<H> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = lock(&self.shared).poll(cx);
        if polled.is_pending()
            && let Some(stop) = &mut self.stop
            && stop.as_mut().poll(cx).is_ready()
        {
            self.stop = None;
            lock(&self.shared).open = None;
            let mut trailers = HeaderMap::new();
            let _ = super::anchoring::stopping().add_header(&mut trailers); // without them the stream ends as well
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        polled
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{future::poll_fn, sync::Weak};

    use super::*;
    use crate::shutdown::StopSignal;

    async fn next<B: HttpBody + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    }

    const LONG: Duration = Duration::from_secs(3600);

    fn answer(body: Body, patience: Duration) -> (Answer<Arc<()>>, Weak<()>) {
        let held = Arc::new(());
        let watched = Arc::downgrade(&held);
        (Answer::new(body, held, None, patience), watched)
    }

    #[tokio::test]
    async fn an_answer_goes_out_whole_in_pieces() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut answer, held) = answer(Body::from(bytes.clone()), LONG);
        let mut read = Vec::new();
        while let Some(frame) = next(&mut answer).await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE);
            read.extend_from_slice(&piece);
        }
        assert_eq!(read, bytes);
        assert!(answer.is_end_stream());
        assert!(held.upgrade().is_some(), "the place is held as long as the answer");
        drop(answer);
        assert!(held.upgrade().is_none(), "and not longer");
    }

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_left_and_one_that_waits_is_not() {
        let (mut stuck, held) = answer(Body::from(vec![7; 3 * PIECE]), Duration::from_millis(5));
        next(&mut stuck).await.unwrap().unwrap();
        let (mut waits, waits_held) = answer(Body::new(Never), Duration::from_millis(1));
        let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut waits).poll_frame(cx).is_pending())).await;
        assert!(pending);
        while held.upgrade().is_some() {
            tokio::task::yield_now().await; // until its memory and its place are free
        }
        assert!(next(&mut stuck).await.unwrap().is_err());
        assert!(waits_held.upgrade().is_some());
    }

    #[tokio::test]
    async fn a_stop_ends_streams_that_never_end_by_themselves() {
        let stop = StopSignal::new();
        let mut answer = Answer::new(Body::new(Never), (), Some(Box::pin(stop.stopped())), LONG);
        let (ended, ()) = tokio::join!(next(&mut answer), async { stop.stop() });
        let trailers = ended.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "14");
    }

    #[tokio::test]
    async fn an_upload_that_does_not_come_gives_its_room_back() {
        let room = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&room).try_acquire_owned().unwrap();
        let ends = Box::pin(tokio::time::sleep(Duration::ZERO));
        let mut upload = Upload { body: Body::new(Never), left: 0, ends, _room: Some(permit) };
        assert!(next(&mut upload).await.unwrap().is_err());
        drop(upload);
        assert_eq!(room.available_permits(), 1);
    }

    #[tokio::test]
    async fn only_what_has_room_may_be_long() {
        let body = || Body::from(vec![7; SMALL_UPLOAD_MAX + 1]);
        assert!(next(&mut Upload::new(body(), None)).await.unwrap().is_err());
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        assert!(next(&mut Upload::new(body(), Some(room))).await.unwrap().is_ok());
        assert!(next(&mut Upload::new(Body::from(vec![7; SMALL_UPLOAD_MAX]), None)).await.unwrap().is_ok());
    }

    /// A body that brings nothing and never ends.
    struct Never;

    impl HttpBody for Never {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut TaskContext<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Pending
        }
    }
}
