//! What callers may hold of this node at once: places for requests of each kind, bytes of their bodies, turns at the
//! store, and answers that they do not take. Strangers reach the public port, so each of these has an end, in all and for
//! each address (see [`crate::shares`]).

mod answer;
mod class;
mod progress;
#[cfg(test)]
mod tests;
mod upload;

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request, State},
    http::header,
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;
use tonic::{Code, Status};

use super::{error, forwarded, http, storage_status};
use crate::{
    config::Proxies,
    finality::{Finality, Snapshot},
    server::Connection,
    shares::{Full, Holder, Share, Shares},
};

use answer::{Answer, Ends};
use class::{Asked, Class};
use progress::{Call, Progress};
use upload::Upload;

const MIB: u64 = 1024 * 1024;

/// Bytes of submissions that are on their way in, or wait for the pool's answer: in all, and of one address.
const BATCHES: (u64, u64) = (64 * MIB, 32 * MIB);
/// Bytes of other requests that are on their way in, but for those that bring next to nothing.
const QUESTIONS: (u64, u64) = (16 * MIB, 8 * MIB);
/// Answers of megabytes at once, until they are taken.
const LARGE_ANSWERS: (u64, u64) = (32, 16);
/// Batches whose receipts are sent at once: each holds a thread and a snapshot.
const RECEIPTS: (u64, u64) = (64, 32);
/// Readers that follow the blocks at once: each may hold two of them.
const FOLLOWERS: (u64, u64) = (16, 4);
/// Batches that all calls together watch: each of them is looked at after each decision.
const WATCHED: (u64, u64) = (20_000, 10_000);
/// Reads of the store at once; more wait for their turn, so that they leave threads for submissions.
const READS_MAX: usize = 64;
/// A request must be here after this time.
const UPLOAD_TIME: Duration = Duration::from_secs(60);
/// A reader that takes no piece for this long is left.
const READER_PATIENCE: Duration = Duration::from_secs(30);
/// No request takes longer, streams included: whoever wants more comes again.
const LIFETIME: Duration = Duration::from_secs(15 * 60);

tokio::task_local! {
    /// The request that is worked on.
    static CALL: Arc<Call>;
}

/// The places and turns of one node.
#[derive(Clone, Debug)]
pub struct Bounds {
    proxies: Proxies,
    requests: [Shares; Class::ALL.len()],
    batches: Shares,
    questions: Shares,
    large_answers: Shares,
    receipts: Shares,
    followers: Shares,
    watched: Shares,
    reads: Arc<Semaphore>,
}

/// Room for a large answer; it travels with the answer as an extension.
#[derive(Clone, Debug)]
pub(super) struct LargeAnswer(#[allow(dead_code, reason = "held, not read")] Arc<Share>);

/// A node that has as many of something as it can.
pub(super) fn busy() -> Status {
    let message = "this node answers as many requests as it can: ask again in a moment";
    error::retry(Code::ResourceExhausted, "BUSY", message)
}

fn full(full: Full) -> Status {
    match full {
        Full::InAll => busy(),
        Full::OfOneAddress => {
            let message =
                "this node does for this address as much at once as it does for one: ask again in a moment";
            error::retry(Code::ResourceExhausted, "BUSY", message)
        }
    }
}

/// A request that had to give way.
fn gave_way() -> Status {
    let message =
        "others came that hold less of this node, or that it need not wait for: ask again in a moment";
    error::retry(Code::ResourceExhausted, "BUSY", message)
}

/// A stream, or a wait, that was as long as any may be.
fn over() -> Status {
    let message =
        format!("nothing takes longer than {} minutes here: ask again to go on", LIFETIME.as_secs() / 60);
    error::retry(Code::Unavailable, "TIME_IS_OVER", message)
}

impl Bounds {
    /// With the bounds of this file; `proxies` are believed when they tell who asks.
    #[must_use]
    pub fn new(proxies: Proxies) -> Self {
        let shares = |(total, each)| Shares::new(total, each);
        Self {
            proxies,
            requests: Class::ALL.map(|class| shares(class.places())),
            batches: shares(BATCHES),
            questions: shares(QUESTIONS),
            large_answers: shares(LARGE_ANSWERS),
            receipts: shares(RECEIPTS),
            followers: shares(FOLLOWERS),
            watched: shares(WATCHED),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        }
    }

    /// Room for an answer of megabytes.
    pub(super) fn large_answer(&self) -> Result<LargeAnswer, Status> {
        Ok(LargeAnswer(Arc::new(of_call(&self.large_answers, 1)?)))
    }

    /// A place for sending the receipts of a batch.
    pub(super) fn receipts(&self) -> Result<Share, Status> {
        of_call(&self.receipts, 1)
    }

    /// A place for following the blocks.
    pub(super) fn follower(&self) -> Result<Share, Status> {
        of_call(&self.followers, 1)
    }

    /// Places for watching so many batches.
    pub(super) fn watched(&self, batches: usize) -> Result<Share, Status> {
        of_call(&self.watched, batches as u64)
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

    /// A place for a request, and room for its body: first the one and then the other, before anything is read.
    fn admit(&self, request: &Request, asked: Asked) -> Result<Admitted, Full> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
        let holder = forwarded::holder(peer, request.headers(), &self.proxies);
        let progress = Arc::new(Progress::new());
        let used_for = || Arc::<Progress>::clone(&progress);
        let place = self.requests[asked.class.index()].take(holder, 1, used_for())?;
        let body = match asked.class {
            _ if asked.is_submission => Some(&self.batches),
            Class::Read | Class::Wait => Some(&self.questions),
            // These are tiny, or are read message by message.
            Class::Health | Class::Page | Class::Submit | Class::Endless => None,
        };
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let reserved = upload::reservation(asked, length, request.body().is_end_stream());
        let body = body.filter(|_| reserved > 0);
        let body = body.map(|bytes| bytes.take(holder, reserved as u64, used_for())).transpose()?;
        if reserved == 0 {
            progress.works();
        }
        let call = Arc::new(Call { holder, progress, body: Mutex::new(body) });
        Ok(Admitted { call, place, reserved })
    }
}

/// A request that has its place.
struct Admitted {
    call: Arc<Call>,
    place: Share,
    /// Bytes for its body.
    reserved: usize,
}

/// A share for the request that is worked on; if it has to give way, so does the request. Operators take theirs as a
/// proxy would.
fn of_call(shares: &Shares, amount: u64) -> Result<Share, Status> {
    let call = CALL.try_with(Arc::clone).ok();
    let holder = call.as_ref().map_or(Holder::Proxy, |call| call.holder);
    let progress = call.map_or_else(|| Arc::new(Progress::new()), |call| Arc::clone(&call.progress));
    shares.take(holder, amount, progress).map_err(full)
}

/// The batch that was submitted is in the pool, or refused: its bytes are held no more by whoever waits for more.
pub(super) fn is_taken() {
    let _ = CALL.try_with(|call| call.give_back()); // operators submit nothing
}

/// Gives each request its place until its answer is taken, and bounds what it may bring and leave.
pub(super) async fn bound(
    State((bounds, finality)): State<(Bounds, Finality)>,
    request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let refused = |status: Status| if asked.is_grpc { status.into_http() } else { http::refused(&status) };
    let Admitted { call, place, reserved } = match bounds.admit(&request, asked) {
        Ok(admitted) => admitted,
        Err(why) => return refused(full(why)),
    };
    let connection = request.extensions().get::<Connection>().cloned();
    // A stream without end brings message after message.
    let request = if asked.class == Class::Endless {
        call.progress.works();
        request
    } else {
        let upload = |body| Upload::new(body, Arc::clone(&call), asked, reserved, UPLOAD_TIME);
        request.map(|body| Body::new(upload(body)))
    };
    let over_at = tokio::time::Instant::now() + LIFETIME;
    let progress = Arc::clone(&call.progress);
    let mut response = tokio::select! {
        response = CALL.scope(call, next.run(request)) => response,
        () = progress.gone() => return refused(gave_way()),
        () = tokio::time::sleep_until(over_at) => return refused(over()),
    };
    let large = response.extensions_mut().remove::<LargeAnswer>();
    let gone = progress.gone();
    let time = async move {
        tokio::select! {
            () = gone => gave_way(),
            () = tokio::time::sleep_until(over_at) => over(),
            // Health and reflection go on for as long as the caller likes; other answers end by themselves at a stop.
            () = finality.stopped(), if asked.class == Class::Endless => super::anchoring::stopping(),
        }
    };
    let ends = Ends { time, patience: READER_PATIENCE, connection };
    response.map(|body| Body::new(Answer::new(body, (place, large), progress, asked.is_grpc, ends)))
}

const _: () = assert!(UPLOAD_TIME.as_secs() < LIFETIME.as_secs());
