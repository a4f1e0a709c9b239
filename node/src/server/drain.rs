//! How listeners end: they wait for requests, not for what callers do with their connections.
//!
//! HTTP/2 is left in two steps: the server says that it leaves, and closes once the caller's answer shows that nothing is on
//! its way any more. A caller that is stuck, or suspended, or gone without a word gives no such answer; all others give it
//! at once. So connections are closed a moment after the last answer was taken, in any case.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body::{Frame, SizeHint};
use tokio::sync::watch;

use super::admission::{Busy, Connection};

/// Time for callers to close their connections once no request is left. What was answered is on its way by then, but for
/// what a connection buffers.
pub(super) const PARTING_TIME: Duration = Duration::from_secs(3);

/// How many requests are under way, until their answers are handed to their connections; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(watch::Sender<usize>);

/// One of them.
struct UnderWay(watch::Sender<usize>);

impl Requests {
    fn begin(&self) -> UnderWay {
        self.0.send_modify(|count| *count += 1);
        UnderWay(self.0.clone())
    }

    /// Resolves when for a time of `parting` no request was under way: connections that are open then, their callers leave
    /// open.
    pub(super) async fn are_over(&self, parting: Duration) {
        let mut count = self.0.subscribe();
        loop {
            let _ = count.wait_for(|count| *count == 0).await; // the sender lives in `self`
            let another = count.wait_for(|count| *count > 0);
            if tokio::time::timeout(parting, another).await.is_err() {
                return;
            }
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Counts a request until its answer is taken, of all and of those of its connection.
pub(super) async fn count(State(requests): State<Requests>, request: Request, next: Next) -> Response {
    let busy = request.extensions().get::<Connection>().map(Connection::request);
    let under_way = (requests.begin(), busy);
    next.run(request).await.map(|body| Body::new(Counted { body, _under_way: under_way }))
}

/// The body of an answer, which counts as under way as long as it lives.
struct Counted {
    body: Body,
    _under_way: (UnderWay, Option<Busy>),
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn requests_are_over_when_the_last_one_is_and_no_other_came() {
        let requests = Requests::default();
        let mut over = Box::pin(requests.are_over(Duration::ZERO));
        let [first, second] = [requests.begin(), requests.begin()];
        assert!(poll!(&mut over).is_pending());
        drop(first);
        assert!(poll!(&mut over).is_pending(), "one is under way");
        drop(second);
        over.await;

        let mut over = Box::pin(requests.are_over(Duration::MAX));
        assert!(poll!(&mut over).is_pending(), "another may come");
        let third = requests.begin();
        assert!(poll!(&mut over).is_pending(), "it came");
        drop(third);
    }
}
