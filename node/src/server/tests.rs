//! Listeners answer over plain and encrypted connections, in both versions of HTTP, and stop in order.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use axum::extract::ConnectInfo;
use axum::routing::get;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::config::TlsFiles;
use crate::shutdown::StopSignal;

const LONG: Duration = Duration::from_secs(3600);

struct Running {
    address: Address,
    stop: StopSignal,
    task: JoinHandle<Result<(), ServerError>>,
}

fn listener(address: &str, tls: Option<TlsFiles>) -> ListenerConfig {
    ListenerConfig { address: address.parse().unwrap(), tls, place: "[api] listen" }
}

fn start(router: Router, tls: Option<TlsFiles>, connections_max: usize) -> Running {
    let bound = Bound::bind(&[listener("127.0.0.1:0", tls)], connections_max).unwrap();
    let address = bound.addresses()[0];
    assert_ne!(address.socket.port(), 0);
    let stop = StopSignal::new();
    let task = tokio::spawn(bound.serve(router, stop.stopped(), LONG));
    Running { address, stop, task }
}

impl Running {
    async fn end(self) {
        self.stop.stop();
        self.task.await.unwrap().unwrap();
    }
}

fn hello() -> Router {
    Router::new().route(
        "/hello",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
            assert!(peer.ip().is_loopback());
            "hello"
        }),
    )
}

/// A self-signed certificate for `localhost` and its key, made for this one test.
fn certificate(folder: &Path) -> (TlsFiles, CertifiedKey<rcgen::KeyPair>) {
    let made = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let files = TlsFiles { certificate: folder.join("c.pem"), key: folder.join("k.pem") };
    fs::write(&files.certificate, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
    (files, made)
}

/// One HTTP/1.1 request over any stream; the whole answer.
fn request(mut stream: impl io::Read + io::Write) -> io::Result<String> {
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_answered_and_ends_in_order() {
    let running = start(hello(), None, 8);
    assert_eq!(running.address.to_string(), format!("http://{}", running.address.socket));
    let socket = running.address.socket;
    let answer = blocking(move || request(std::net::TcpStream::connect(socket)?)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
    running.end().await;
    assert!(TcpStream::connect(socket).await.is_err(), "the port is free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_answered_without_tls_by_prior_knowledge() {
    let (reporter, service) = tonic_health::server::health_reporter();
    reporter.set_service_status("x", ServingStatus::Serving).await;
    let grpc = tonic::service::Routes::new(service).prepare().into_axum_router();
    let running = start(hello().merge(grpc), None, 8);
    let channel = tonic::transport::Endpoint::from_shared(running.address.to_string()).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let answer = client.check(HealthCheckRequest { service: "x".into() }).await.unwrap();
    assert_eq!(
        answer.into_inner().status,
        i32::from(tonic_health::pb::health_check_response::ServingStatus::Serving)
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_both_versions_of_http() {
    let folder = TempDir::new().unwrap();
    let (files, made) = certificate(folder.path());
    let running = start(hello(), Some(files), 8);
    let socket = running.address.socket;
    assert!(running.address.to_string().starts_with("https://"));
    for (offered, chosen) in [(vec!["h2", "http/1.1"], "h2"), (vec!["http/1.1"], "http/1.1")] {
        let trusted = made.cert.der().clone();
        let (answer, protocol) = blocking(move || over_tls(socket, trusted, &offered)).await.unwrap();
        assert_eq!(protocol.as_deref(), Some(chosen.as_bytes()));
        if chosen == "http/1.1" {
            assert!(answer.ends_with("hello"), "{answer}");
        }
    }
    let plain = blocking(move || request(std::net::TcpStream::connect(socket)?)).await;
    assert!(!plain.is_ok_and(|answer| answer.contains("hello")), "nothing is said in clear");
    running.end().await;
}

/// Handshake with these protocols on offer, then, on HTTP/1.1, a request.
fn over_tls(
    socket: SocketAddr,
    trusted: rustls::pki_types::CertificateDer<'static>,
    offered: &[&str],
) -> io::Result<(String, Option<Vec<u8>>)> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tcp = std::net::TcpStream::connect(socket)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    let protocol = connection.alpn_protocol().map(<[u8]>::to_vec);
    let http1 = protocol.as_deref() == Some(b"http/1.1");
    let answer = if http1 { request(rustls::Stream::new(&mut connection, &mut tcp))? } else { String::new() };
    Ok((answer, protocol))
}

/// A connection on which a request was answered, and that is open still.
fn used(socket: SocketAddr, from: &str) -> std::net::TcpStream {
    use io::{Read, Write};
    let mut stream = connect_from(socket, from);
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let mut piece = [0; 64];
    while !answer.ends_with(b"hello") {
        let length = stream.read(&mut piece).unwrap();
        assert!(length > 0, "{:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&piece[..length]);
    }
    stream
}

/// Connects from another address of this machine: all of 127.0.0.0/8 are its own.
fn connect_from(to: SocketAddr, from: &str) -> std::net::TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(from.parse().unwrap(), 0)).unwrap();
    let stream = tokio::runtime::Handle::current().block_on(socket.connect(to)).unwrap();
    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Whether the other side has ended it.
fn is_ended(mut stream: &std::net::TcpStream) -> bool {
    use io::Read;
    stream.set_nonblocking(true).unwrap();
    !matches!(stream.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_give_way_to_newcomers_those_of_the_same_address_first() {
    let running = start(hello(), None, 4);
    let socket = running.address.socket;
    blocking(move || {
        let others = used(socket, "127.0.0.2");
        // Silent from the beginning, and after a request; two are one address's share.
        let silent = connect_from(socket, "127.0.0.3");
        let first = used(socket, "127.0.0.3");
        let _second = used(socket, "127.0.0.3");
        while !is_ended(&silent) {
            std::thread::yield_now();
        }
        let _third = used(socket, "127.0.0.3");
        while !is_ended(&first) {
            std::thread::yield_now();
        }
        assert!(!is_ended(&others), "another address keeps what it has");
        // All four places are taken then. Whoever holds nothing is served, at the cost of whoever holds most.
        let _fourth = used(socket, "127.0.0.4");
        let _fifth = used(socket, "127.0.0.5");
        assert!(!is_ended(&others));
    })
    .await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_use_gives_way_to_none_of_its_own_address_and_gives_its_place_back() {
    let (entered, mut enters) = tokio::sync::mpsc::channel::<()>(1);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = Arc::clone(&gate);
    let router = Router::new().route(
        "/hello",
        get(move || async move {
            entered.send(()).await.unwrap();
            held.acquire().await.unwrap().forget();
            "hello"
        }),
    );
    let running = start(router, None, 1);
    let socket = running.address.socket;
    let ask = move || request(std::net::TcpStream::connect(socket)?);
    let asked = tokio::spawn(blocking(ask));
    enters.recv().await.unwrap();
    let refused = blocking(ask).await;
    assert!(!refused.is_ok_and(|answer| answer.contains("hello")), "all places are in use");
    gate.add_permits(1);
    assert!(asked.await.unwrap().unwrap().ends_with("hello"));
    gate.add_permits(100);
    let drained = tokio::spawn(async move { while enters.recv().await.is_some() {} });
    while !blocking(ask).await.is_ok_and(|answer| answer.contains("hello")) {
        tokio::task::yield_now().await;
    }
    drained.abort();
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_are_in_use_one_of_whoever_has_most_gives_way_to_whoever_has_none() {
    let (entered, mut enters) = tokio::sync::mpsc::channel::<()>(8);
    let router = Router::new().route(
        "/wait",
        get(move || async move {
            entered.send(()).await.unwrap();
            std::future::pending::<()>().await
        }),
    );
    let bound = Bound::bind(&[listener("127.0.0.1:0", None)], 4).unwrap();
    let socket = bound.addresses()[0].socket;
    let stop = StopSignal::new();
    let router = router.merge(hello());
    let task = tokio::spawn(bound.serve(router, stop.stopped(), Duration::ZERO));
    let held = blocking(move || {
        use io::Write;
        let froms = ["127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"];
        froms.map(|from| {
            let mut stream = connect_from(socket, from);
            stream.write_all(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            stream
        })
    })
    .await;
    for _ in 0..held.len() {
        enters.recv().await.unwrap();
    }
    let ended = blocking(move || {
        let _newcomer = used(socket, "127.0.0.9");
        while !held.iter().any(is_ended) {
            std::thread::yield_now();
        }
        held.iter().filter(|stream| is_ended(stream)).count()
    });
    assert_eq!(ended.await, 1);
    stop.stop();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_a_named_proxy_are_those_of_many_callers() {
    let bound = Bound::bind(&[listener("127.0.0.1:0", None)], 4).unwrap();
    let bound = bound.behind(["127.0.0.7/32".parse().unwrap()].into());
    let socket = bound.addresses()[0].socket;
    let stop = StopSignal::new();
    let task = tokio::spawn(bound.serve(hello(), stop.stopped(), LONG));
    blocking(move || {
        let proxied: Vec<_> = (0..4).map(|_| used(socket, "127.0.0.7")).collect();
        assert!(!proxied.iter().any(is_ended), "more than one address may have");
    })
    .await;
    stop.stop();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_there_are_answered_before_the_end() {
    let (entered, mut enters) = tokio::sync::mpsc::channel::<()>(1);
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let (held, release) = (Arc::clone(&gate), gate);
    let router = Router::new().route(
        "/hello",
        get(move || async move {
            entered.send(()).await.unwrap();
            let _ = held.acquire().await.unwrap();
            "late"
        }),
    );
    let running = start(router, None, 8);
    let socket = running.address.socket;
    let asked = tokio::spawn(blocking(move || request(std::net::TcpStream::connect(socket)?)));
    enters.recv().await.unwrap();
    running.stop.stop();
    release.add_permits(1);
    running.task.await.unwrap().unwrap();
    assert!(asked.await.unwrap().unwrap().ends_with("late"));
}

#[tokio::test]
async fn requests_that_never_end_are_cut_at_the_deadline() {
    let (entered, mut enters) = tokio::sync::mpsc::channel::<()>(1);
    let router = Router::new().route(
        "/hello",
        get(move || async move {
            entered.send(()).await.unwrap();
            std::future::pending::<()>().await
        }),
    );
    let bound = Bound::bind(&[listener("127.0.0.1:0", None)], 8).unwrap();
    let socket = bound.addresses()[0].socket;
    let stop = StopSignal::new();
    let task = tokio::spawn(bound.serve(router, stop.stopped(), Duration::ZERO));
    let asked = tokio::spawn(blocking(move || request(std::net::TcpStream::connect(socket)?)));
    enters.recv().await.unwrap();
    stop.stop();
    task.await.unwrap().unwrap();
    assert!(!asked.await.unwrap().is_ok_and(|answer| answer.contains("200")));
}

#[test]
fn newcomers_are_heard_while_the_node_is_busy() {
    let bound = Bound::bind(&[listener("127.0.0.1:0", None)], 8).unwrap();
    let socket = bound.addresses()[0].socket;
    // Nobody takes them yet: they are many more than the system holds where it is not told to.
    let connect = || std::net::TcpStream::connect_timeout(&socket, LONG).unwrap();
    let _waiting: Vec<_> = (0..400).map(|_| connect()).collect();
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let message = Bound::bind(&[listener(&address.to_string(), None)], 8).unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "{address} is in use by another program; stop that one, or write another port under [api] listen"
        )
    );
    let message = Bound::bind(&[listener("192.0.2.1:0", None)], 8).unwrap_err().to_string();
    assert!(message.contains("this machine has no address 192.0.2.1"), "{message}");
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let folder = TempDir::new().unwrap();
    let (files, _) = certificate(folder.path());
    let bind = |files: &TlsFiles| {
        Bound::bind(&[listener("127.0.0.1:0", Some(files.clone()))], 8).unwrap_err().to_string()
    };
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    let (others, _) = certificate(&other);
    let mixed = TlsFiles { key: others.key, ..files.clone() };
    assert!(bind(&mixed).contains("cannot be used together"), "{}", bind(&mixed));
    let swapped = TlsFiles { certificate: files.key.clone(), key: files.key.clone() };
    assert!(bind(&swapped).contains("no certificate chain"), "{}", bind(&swapped));
    let missing = TlsFiles { certificate: folder.path().join("nowhere.pem"), ..files.clone() };
    assert!(bind(&missing).contains("nowhere.pem does not exist"), "{}", bind(&missing));
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(bind(&files).contains("chmod o="), "{}", bind(&files));
    fs::copy(&files.certificate, &files.key).unwrap();
    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(bind(&files).contains("no private key"), "{}", bind(&files));
}

#[test]
fn the_address_file_is_written_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("listening.json");
    assert_eq!(read_address_file(&path).unwrap(), None);
    let api = Address { socket: "127.0.0.1:1".parse().unwrap(), tls: true };
    let operator = Address { socket: "[::1]:2".parse().unwrap(), tls: false };
    let network = ["127.0.0.1:3".parse().unwrap()];
    write_address_file(&path, &AddressFile::new(&[api], &operator, &network)).unwrap();
    let read = read_address_file(&path).unwrap().unwrap();
    assert_eq!(read.api, ["https://127.0.0.1:1"]);
    assert_eq!(read.operator, "http://[::1]:2");
    assert_eq!(read.network, ["127.0.0.1:3"]);
    fs::write(&path, "{\"api\": [], \"operator\": \"x\"}").unwrap();
    assert!(read_address_file(&path).unwrap().unwrap().network.is_empty(), "as earlier releases wrote it");
    fs::write(&path, "{").unwrap();
    assert!(read_address_file(&path).is_err());
}
