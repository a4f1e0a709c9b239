//! Who may have a connection of a listener: shared by address, and idle ones give way.
//!
//! A connection is idle while no request is under way on it, so also before its first one, while its handshake or the
//! headers of a request are half here. A newcomer from another address is let in as long as any connection is idle, or
//! somebody holds two.

use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::http::Request;
use axum_server::accept::Accept;
use futures::task::AtomicWaker;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::shares::{Full, Holder, Prefix, Share, Shares, Use};

/// Connections that one address may have of a listener: this part of all.
const PART_OF_ONE_ADDRESS: u64 = 2;

/// Lets in a bounded number of connections; what is refused is closed at once, so that its peer tries elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    places: Shares,
    proxies: Arc<[IpNet]>,
}

/// A connection that holds its place until it is dropped, and ends when it has to give way.
#[derive(Debug)]
pub(super) struct Admitted {
    stream: TcpStream,
    connection: Connection,
    _place: Share,
}

/// What is known of a connection; clones share it. Its requests find it among their extensions.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whether it carries the requests of many callers.
    is_shared: bool,
    state: Mutex<State>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

#[derive(Debug)]
struct State {
    requests: usize,
    /// When the last request ended, or the connection began.
    idle_since: Instant,
    is_over: bool,
}

/// A request on a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Busy(Connection);

impl Admission {
    /// With this many places. Connections of `proxies` carry many callers: the share of one address does not bind them.
    pub(super) fn new(connections_max: usize, proxies: Arc<[IpNet]>) -> Self {
        let total = connections_max as u64;
        Self { places: Shares::new(total, (total / PART_OF_ONE_ADDRESS).max(1)), proxies }
    }

    fn holder(&self, peer: IpAddr) -> Holder {
        let peer = peer.to_canonical();
        let is_proxy = self.proxies.iter().any(|net| net.contains(&peer));
        if is_proxy { Holder::Proxy } else { Holder::Address(Prefix::of_caller(peer)) }
    }

    fn admit(&self, stream: TcpStream) -> io::Result<Admitted> {
        let holder = self.holder(stream.peer_addr()?.ip());
        let connection = Connection::new(holder == Holder::Proxy);
        let place = self.places.take(holder, 1, Arc::<Inner>::clone(&connection.0));
        let place = place.map_err(|full| {
            io::Error::other(match full {
                Full::OfOneAddress => "this address has as many connections in use as one may",
                Full::InAll => "as many connections as allowed are in use already",
            })
        })?;
        // Answers are small; waiting to fill a packet would cost them tens of milliseconds.
        stream.set_nodelay(true)?;
        Ok(Admitted { stream, connection, _place: place })
    }
}

impl<S> Accept<TcpStream, S> for Admission {
    type Stream = Admitted;
    type Service = Known<S>;
    type Future = Ready<io::Result<(Admitted, Known<S>)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        ready(self.admit(stream).map(|stream| {
            let connection = stream.connection.clone();
            (stream, Known { service, connection })
        }))
    }
}

/// A service whose requests know their connection.
#[derive(Clone, Debug)]
pub(super) struct Known<S> {
    service: S,
    connection: Connection,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for Known<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(self.connection.clone());
        self.service.call(request)
    }
}

impl Connection {
    fn new(is_shared: bool) -> Self {
        let state = State { requests: 0, idle_since: Instant::now(), is_over: false };
        Self(Arc::new(Inner {
            is_shared,
            state: Mutex::new(state),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
        }))
    }

    /// Ends it where its caller leaves answers untaken: what was written for it would stay in memory for as long as it is
    /// open. One that a proxy shares among its callers goes on.
    pub fn leave(&self) {
        if !self.0.is_shared {
            self.0.give_way();
        }
    }

    /// A request is under way as long as what this gives lives.
    pub(super) fn request(&self) -> Busy {
        self.0.with(|state| state.requests += 1);
        Busy(self.clone())
    }

    /// Nothing where the connection goes on; `waker` is woken when it has to give way.
    fn over(&self, waker: &AtomicWaker, cx: &Context<'_>) -> io::Result<()> {
        waker.register(cx.waker());
        if self.0.with(|state| state.is_over) {
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the connection gave way to others",
            ));
        }
        Ok(())
    }
}

impl Inner {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Use for Inner {
    fn idle(&self, now: Instant) -> Option<Duration> {
        self.with(|state| (state.requests == 0).then(|| now.saturating_duration_since(state.idle_since)))
    }

    fn give_way(&self) {
        self.with(|state| state.is_over = true);
        self.reader.wake();
        self.writer.wake();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.with(|state| {
            state.requests -= 1;
            state.idle_since = Instant::now();
        });
    }
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.connection.over(&self.connection.0.reader, cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.over(&self.connection.0.writer, cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.over(&self.connection.0.writer, cx)?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
