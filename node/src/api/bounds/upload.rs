//! A request's body: counted before it is read, and here in time.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http_body::Frame;
use tokio::time::Sleep;
use tonic::Status;

use super::{
    busy,
    class::{Asked, FRAME},
    progress::Call,
};

/// What is reserved for a message of gRPC before its first bytes tell how long it is.
const FIRST: usize = 16 * 1024;

/// A body, for which as many bytes are reserved as it may bring.
pub(super) struct Upload {
    body: Body,
    pub(super) call: Arc<Call>,
    asked: Asked,
    reserved: usize,
    received: usize,
    /// The first bytes of a message of gRPC.
    frame: Vec<u8>,
    ends: Pin<Box<Sleep>>,
}

/// What to reserve before anything of a body is read: all that it may bring, as far as that is known.
pub(super) fn reservation(asked: Asked, length: Option<usize>, is_empty: bool) -> usize {
    match length {
        _ if is_empty => 0,
        Some(length) => length.min(asked.body_max),
        None if asked.is_grpc => FIRST.min(asked.body_max),
        None => asked.body_max,
    }
}

impl Upload {
    /// The body of a call that has reserved this much, and must be here in time.
    pub(super) fn new(body: Body, call: Arc<Call>, asked: Asked, reserved: usize, time: Duration) -> Self {
        let ends = Box::pin(tokio::time::sleep(time));
        Self { body, call, asked, reserved, received: 0, frame: Vec::new(), ends }
    }

    /// Counts what came, before anybody gets it.
    fn count(&mut self, data: &[u8]) -> Result<(), Status> {
        self.received = self.received.saturating_add(data.len());
        self.call.progress.received(data.len());
        if self.received > self.asked.body_max {
            return Err(Status::out_of_range("a request of this kind is shorter"));
        }
        let mut needed = self.received;
        if self.asked.is_grpc && self.frame.len() < FRAME {
            self.frame.extend(data.iter().take(FRAME - self.frame.len()));
            if let [_, a, b, c, d] = *self.frame {
                let length = u32::from_be_bytes([a, b, c, d]) as usize;
                needed = needed.max(length.saturating_add(FRAME).min(self.asked.body_max));
            }
        }
        let more = needed.saturating_sub(self.reserved);
        if more > 0 && !self.call.grow(more) {
            return Err(busy());
        }
        self.reserved = self.reserved.max(needed);
        Ok(())
    }

    fn is_over(&self) {
        self.call.progress.works();
        // A batch is held until it is in the pool.
        if !self.asked.is_submission {
            self.call.give_back();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.is_over();
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.ends.as_mut().poll(cx).is_ready() {
            let late = Status::deadline_exceeded("the request did not come in time: send it again");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref()
                    && let Err(status) = self.count(data)
                {
                    return Poll::Ready(Some(Err(axum::Error::new(status))));
                }
                if self.body.is_end_stream() {
                    self.call.progress.works();
                }
            }
            Poll::Ready(_) => self.call.progress.works(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}
