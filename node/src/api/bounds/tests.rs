//! Places are held as long as they must be, and not longer.
#![allow(clippy::unwrap_used)]

use std::{
    future::{pending, poll_fn},
    pin::Pin,
    sync::Weak,
    task::{Context as TaskContext, Poll},
};

use axum::{body::Bytes, http::HeaderMap};
use http_body::Frame;

use super::{answer::PIECE, class::FRAME, *};
use crate::{config::ProxyHeader, shares::Prefix, shutdown::StopSignal};

async fn next<B: HttpBody + Unpin>(body: &mut B) -> Option<Result<Frame<B::Data>, B::Error>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}

const LONG: Duration = Duration::from_secs(3600);

fn at(last: u8) -> Holder {
    Holder::Address(Prefix::of_caller([192, 0, 2, last].into()))
}

fn ends<F>(time: F, patience: Duration) -> Ends<F> {
    Ends { time, patience, connection: None }
}

fn answer(body: Body, patience: Duration) -> (Answer<Arc<()>>, Weak<()>) {
    let held = Arc::new(());
    let watched = Arc::downgrade(&held);
    (Answer::new(body, held, Arc::new(Progress::new()), true, ends(pending(), patience)), watched)
}

fn status_of(frame: Frame<Bytes>) -> (String, String) {
    let trailers: HeaderMap = frame.into_trailers().unwrap();
    let text = |name| trailers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (text("grpc-status"), text("markstein-reason"))
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
    let is_pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut waits).poll_frame(cx).is_pending())).await;
    assert!(is_pending);
    while held.upgrade().is_some() {
        tokio::task::yield_now().await; // until its memory and its place are free
    }
    assert!(next(&mut stuck).await.unwrap().is_err());
    assert!(waits_held.upgrade().is_some());
}

#[tokio::test]
async fn a_stream_that_never_ends_by_itself_ends_with_the_reason() {
    let stop = StopSignal::new();
    let stopped = stop.stopped();
    let time = async move {
        stopped.await;
        over()
    };
    let mut answer = Answer::new(Body::new(Never), (), Arc::new(Progress::new()), true, ends(time, LONG));
    let (ended, ()) = tokio::join!(next(&mut answer), async { stop.stop() });
    assert_eq!(status_of(ended.unwrap().unwrap()), ("14".into(), "TIME_IS_OVER".into()));
}

#[tokio::test]
async fn an_answer_that_is_no_grpc_breaks_off() {
    let time = async { gave_way() };
    let mut answer = Answer::new(Body::new(Never), (), Arc::new(Progress::new()), false, ends(time, LONG));
    assert!(next(&mut answer).await.unwrap().is_err());
}

fn asked(is_submission: bool, body_max: usize) -> Asked {
    let class = if is_submission { Class::Submit } else { Class::Read };
    Asked { class, is_grpc: true, is_submission, body_max }
}

/// A body for which `reserved` bytes are taken of `bodies`.
fn upload(bodies: &Shares, body: Body, asked: Asked, reserved: usize, time: Duration) -> Upload {
    let progress = Arc::new(Progress::new());
    let share = bodies.take(at(1), reserved as u64, Arc::<Progress>::clone(&progress)).unwrap();
    let call = Arc::new(Call { holder: at(1), progress, body: Mutex::new(Some(share)) });
    Upload::new(body, call, asked, reserved, time)
}

/// A message of gRPC of which `here` bytes are there.
fn message(length: u32, here: usize) -> Body {
    Body::from([&[0][..], &length.to_be_bytes(), &vec![7; here]].concat())
}

#[tokio::test]
async fn an_upload_that_does_not_come_gives_its_room_back() {
    let bodies = Shares::new(100, 100);
    let mut upload = upload(&bodies, Body::new(Never), asked(false, 100), 10, Duration::ZERO);
    assert!(next(&mut upload).await.unwrap().is_err());
    assert_eq!(bodies.used(), 10);
    drop(upload);
    assert_eq!(bodies.used(), 0);
}

#[tokio::test]
async fn a_body_is_no_longer_than_its_kind_may_be() {
    let bodies = Shares::new(1000, 1000);
    let of = |length| upload(&bodies, Body::from(vec![0; length]), asked(false, 100), 0, LONG);
    assert!(next(&mut of(101)).await.unwrap().is_err());
    assert!(next(&mut of(100)).await.unwrap().is_ok());
}

#[tokio::test]
async fn the_first_bytes_of_a_message_reserve_room_for_all_of_it() {
    let bodies = Shares::new(1000, 600);
    let mut first = upload(&bodies, message(400, 50), asked(true, 1000), 16, LONG);
    next(&mut first).await.unwrap().unwrap();
    assert_eq!(bodies.used(), 400 + FRAME as u64);
    let mut second = upload(&bodies, message(400, 50), asked(true, 1000), 16, LONG);
    let refused = next(&mut second).await.unwrap().unwrap_err();
    let status = Status::from_error(refused.into());
    assert_eq!(status.code(), Code::ResourceExhausted, "before more of it is read");
    assert!(status.metadata().get("retry-after-ms").is_some());
    drop((first, second));
    assert_eq!(bodies.used(), 0);
}

#[tokio::test]
async fn what_says_less_than_it_brings_is_counted_as_it_comes() {
    let bodies = Shares::new(1000, 30);
    let mut upload = upload(&bodies, message(0, 50), asked(true, 1000), 10, LONG);
    assert!(next(&mut upload).await.unwrap().is_err());
}

#[test]
fn what_is_not_known_of_a_body_is_taken_for_the_worst() {
    let mut asked = asked(true, 1_000_000);
    assert_eq!(upload::reservation(asked, None, true), 0);
    assert_eq!(upload::reservation(asked, Some(7), false), 7);
    assert_eq!(upload::reservation(asked, Some(2_000_000), false), 1_000_000);
    assert_eq!(upload::reservation(asked, None, false), 16 * 1024, "its first bytes tell more");
    asked.is_grpc = false;
    assert_eq!(upload::reservation(asked, None, false), 1_000_000);
}

#[test]
fn what_is_counted_for_one_kind_of_bodies_is_not_missed_by_another() {
    let bounds = bounds();
    let from = |path: &str, length: usize| {
        let peer = ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 1)));
        let request = Request::post(path).header("content-length", length).extension(peer);
        let request = request.body(Body::new(Never)).unwrap();
        admit(&bounds, &request)
    };
    for (path, length, most) in [
        ("/markstein.v1.Anchoring/Submit", 1 << 20, 32),
        ("/markstein.v1.Verification/GetReceipt", 1 << 16, 128),
    ] {
        let held: Vec<Admitted> = (0..most).map(|_| from(path, length).unwrap()).collect();
        assert_eq!(from(path, length).err(), Some(Full::OfOneAddress), "{path}");
        std::mem::forget(held); // the next kind is asked for while this one is all taken
    }
    for path in
        ["/grpc.health.v1.Health/Check", "/markstein.v1.Operations/Status", "/grpc.health.v1.Health/Watch"]
    {
        from(path, 5).unwrap();
    }
}

#[tokio::test]
async fn a_batch_is_counted_until_the_pool_has_it() {
    let bodies = Shares::new(1000, 1000);
    let mut upload = upload(&bodies, message(10, 10), asked(true, 1000), 15, LONG);
    while next(&mut upload).await.is_some() {}
    let call = Arc::clone(&upload.call);
    drop(upload);
    assert_eq!(bodies.used(), 15);
    CALL.scope(call, async { is_taken() }).await;
    assert_eq!(bodies.used(), 0);
}

fn bounds() -> Bounds {
    Bounds::new(Proxies { nets: ["10.0.0.0/8".parse().unwrap()].into(), header: ProxyHeader::XForwardedFor })
}

fn request(path: &str, from: [u8; 4], told: &str) -> Request {
    let peer = ConnectInfo(SocketAddr::from((from, 1)));
    let request = Request::get(path).header("x-forwarded-for", told).extension(peer);
    request.body(Body::empty()).unwrap()
}

fn admit(bounds: &Bounds, request: &Request) -> Result<Admitted, Full> {
    bounds.admit(request, Asked::of(request))
}

#[test]
fn each_kind_has_places_of_its_own_and_each_address_its_share() {
    let bounds = bounds();
    for class in ["/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check", "/", "/tile/0/000"] {
        let one = request(class, [192, 0, 2, 1], "");
        let (_, each) = Asked::of(&one).class.places();
        let held: Vec<Admitted> = (0..each).map(|_| admit(&bounds, &one).unwrap()).collect();
        assert_eq!(admit(&bounds, &one).err(), Some(Full::OfOneAddress), "{class}");
        admit(&bounds, &request(class, [192, 0, 2, 2], "")).unwrap();
        drop(held);
        let held: Vec<Admitted> = (0..each).map(|_| admit(&bounds, &one).unwrap()).collect();
        std::mem::forget(held); // the next kind is asked for while this one is all taken
    }
}

#[test]
fn behind_a_named_proxy_shares_are_those_of_its_callers() {
    let bounds = bounds();
    let path = "/grpc.health.v1.Health/Watch";
    let (_, each) = Class::Endless.places();
    let of = |from, told: &str| admit(&bounds, &request(path, from, told));
    let _held: Vec<Admitted> = (0..each).map(|_| of([10, 0, 0, 1], "203.0.113.1").unwrap()).collect();
    assert_eq!(of([10, 0, 0, 1], "203.0.113.1").err(), Some(Full::OfOneAddress));
    assert_eq!(of([10, 0, 0, 2], "203.0.113.1").err(), Some(Full::OfOneAddress), "by another proxy");
    let _other = of([10, 0, 0, 1], "203.0.113.2").unwrap();
    // Nobody else is believed: it takes its own share, whatever it says.
    let _liar: Vec<Admitted> =
        (0..each).map(|n| of([192, 0, 2, 1], &format!("203.0.113.{n}")).unwrap()).collect();
    assert_eq!(of([192, 0, 2, 1], "203.0.113.9").err(), Some(Full::OfOneAddress));
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
