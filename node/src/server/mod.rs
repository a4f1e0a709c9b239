//! Listeners: bound before anything is served, so that a port in use is said at once and ports may be left to the
//! system; with TLS where the configuration has it; bounded in connections, headers and idle time.
//!
//! One port serves gRPC (HTTP/2, with prior knowledge where there is no TLS), and gRPC-web and plain HTTP over either.

mod address;
mod admission;
mod drain;
mod error;
#[cfg(test)]
mod tests;
mod tls;

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use ipnet::IpNet;
use socket2::SockRef;
use tokio::task::JoinSet;

pub use address::{Address, AddressFile, read_address_file, write_address_file};
pub use admission::Connection;
pub use error::ServerError;

use crate::config::ListenerConfig;
use admission::Admission;
use drain::Requests;

/// Connections that the system holds until this node takes them, where it allows so many. A newcomer beyond them is not
/// heard at first and tries again after a second, and the usual 128 are there within a moment.
const BACKLOG: i32 = 4096;
/// A connection that has not brought its first request after this time is closed.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the headers of an HTTP/1.1 request, and for a kept-alive connection to bring the next one.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// HTTP/2 connections are pinged this often and closed when no answer comes.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of a request's headers.
const HEADER_BYTES_MAX: u32 = 32 * 1024;
/// Most headers of an HTTP/1.1 request.
const HEADERS_MAX: usize = 100;
/// Most requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// What a caller may send before it is read, on one request and on one connection.
const REQUEST_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;
/// What is made of one answer before its caller has taken what was made before.
const SEND_AHEAD: usize = 64 * 1024;

/// Listeners that hold their ports; nothing is answered until [`Bound::serve`].
#[derive(Debug)]
pub struct Bound {
    listeners: Vec<Listener>,
    connections_max: usize,
    proxies: Arc<[IpNet]>,
}

#[derive(Debug)]
struct Listener {
    socket: TcpListener,
    address: Address,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Bound {
    /// Binds all listeners and reads their certificates. Each takes at most `connections_max` connections at once.
    ///
    /// # Errors
    /// See [`ServerError`]; nothing stays bound then.
    pub fn bind(listeners: &[ListenerConfig], connections_max: usize) -> Result<Self, ServerError> {
        let listeners = listeners.iter().map(Listener::bind).collect::<Result<_, _>>()?;
        Ok(Self { listeners, connections_max, proxies: Arc::default() })
    }

    /// Connections from these addresses carry the requests of many callers.
    #[must_use]
    pub fn behind(self, proxies: Arc<[IpNet]>) -> Self {
        Self { proxies, ..self }
    }

    /// Where they listen, ports chosen by the system included; in the order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> Vec<Address> {
        self.listeners.iter().map(|listener| listener.address).collect()
    }

    /// Serves `router` on all listeners until `shutdown` resolves; then takes no new connections, lets requests end
    /// for `drain_max`, and closes what is still open then, or a moment after the last request. Handlers find the peer's
    /// address in `axum::extract::ConnectInfo<SocketAddr>`. Streams that never end by themselves must be ended by
    /// whoever serves them, or they use up the whole of `drain_max`.
    ///
    /// # Errors
    /// [`ServerError::Stopped`] where a listener ends by itself; the others are closed then.
    pub async fn serve(
        self,
        router: Router,
        shutdown: impl Future<Output = ()> + Send,
        drain_max: Duration,
    ) -> Result<(), ServerError> {
        let handle = Handle::new();
        let requests = Requests::default();
        let router = router.layer(middleware::from_fn_with_state(requests.clone(), drain::count));
        let mut serving = JoinSet::new();
        for listener in self.listeners {
            let admission = Admission::new(self.connections_max, Arc::clone(&self.proxies));
            serving.spawn(listener.serve(router.clone(), admission, handle.clone()));
        }
        let ended = tokio::select! {
            () = shutdown => None,
            ended = serving.join_next() => ended,
        };
        if let Some(result) = ended {
            handle.shutdown();
            return result.map_err(ServerError::panicked)?.and(Err(ServerError::ended()));
        }
        handle.graceful_shutdown(None);
        let mut ended = pin!(async {
            while let Some(result) = serving.join_next().await {
                result.map_err(ServerError::panicked)??;
            }
            Ok(())
        });
        tokio::select! {
            result = &mut ended => return result,
            () = requests.are_over(drain::PARTING_TIME) => {
                tracing::info!(connections = handle.connection_count(), "callers leave connections open: they are closed");
            }
            () = tokio::time::sleep(drain_max) => {
                tracing::warn!(connections = handle.connection_count(), "requests did not end in time: connections are closed");
            }
        }
        handle.shutdown();
        ended.await
    }
}

impl Listener {
    fn bind(config: &ListenerConfig) -> Result<Self, ServerError> {
        let tls = config.tls.as_ref().map(tls::server_config).transpose()?;
        let failed = |source| ServerError::bind(config, source);
        let socket = TcpListener::bind(config.address).map_err(failed)?;
        SockRef::from(&socket).listen(BACKLOG).map_err(failed)?;
        let address = Address { socket: socket.local_addr().map_err(failed)?, tls: tls.is_some() };
        Ok(Self { socket, address, tls })
    }

    async fn serve(
        self,
        router: Router,
        admission: Admission,
        handle: Handle<SocketAddr>,
    ) -> Result<(), ServerError> {
        let stopped = |source| ServerError::Stopped { address: self.address, source };
        let server = axum_server::from_tcp(self.socket).map_err(stopped)?.handle(handle);
        let server = bounded(server);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let result = match self.tls {
            None => server.acceptor(admission).serve(service).await,
            Some(config) => {
                let tls = RustlsAcceptor::new(RustlsConfig::from_config(config));
                let acceptor = tls.handshake_timeout(HANDSHAKE_TIMEOUT).acceptor(admission);
                server.acceptor(acceptor).serve(service).await
            }
        };
        result.map_err(stopped)
    }
}

/// Sets the bounds of a connection and of what it may bring.
fn bounded<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut server = server.first_request_timeout(FIRST_REQUEST_TIMEOUT).accept_error_handler(log_refused);
    let http = server.http_builder();
    http.http1().header_read_timeout(HEADER_READ_TIMEOUT).max_headers(HEADERS_MAX);
    http.http1().max_buf_size(HEADER_BYTES_MAX as usize);
    http.http2()
        .max_header_list_size(HEADER_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(REQUEST_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_AHEAD)
        .keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    server
}

/// Peers that talk nonsense are their own fault; it is the operator's only where no connection can be taken at all.
fn log_refused(peer: Option<&SocketAddr>, error: &std::io::Error) {
    match peer {
        Some(peer) => tracing::debug!(%peer, %error, "a connection was refused"),
        None => tracing::warn!(%error, "connections cannot be taken; trying again"),
    }
}
