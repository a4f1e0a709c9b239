//! What strangers without any key do to a node's public port, from addresses of their own choice: all of 127.0.0.0/8 is
//! this machine.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

use crate::http::{self, Answer};

/// Longer than any answer takes.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// What a batch in base64 has at most, about.
const LONG: usize = 1_400_000;

/// One of the addresses of this machine.
#[must_use]
pub fn address(number: u16) -> IpAddr {
    let [high, low] = number.to_be_bytes();
    IpAddr::from([127, 9, high, low])
}

/// A connection from an address to a node.
///
/// # Errors
/// The system's word.
pub async fn connect(url: &str, from: IpAddr) -> anyhow::Result<TcpStream> {
    let to: SocketAddr = url.strip_prefix("http://").context("no http:// URL")?.parse()?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    Ok(socket.connect(to).await?)
}

/// The same for gRPC.
///
/// # Errors
/// Where the node takes none.
pub async fn channel(url: &str, from: IpAddr) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())?.local_address(Some(from)).timeout(ANSWER_MAX);
    Ok(endpoint.connect().await?)
}

/// `GET` of a path, from an address.
///
/// # Errors
/// Where there is no whole answer.
pub async fn get(url: &str, from: IpAddr, path: &str) -> anyhow::Result<Answer> {
    let mut stream = connect(url, from).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: ledger.example\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(ANSWER_MAX, stream.read_to_end(&mut answer)).await.context("the node is silent")??;
    http::parse(&answer, false)
}

/// Whether the whole server says that it serves.
///
/// # Errors
/// The node's.
pub async fn is_healthy(url: &str, from: IpAddr) -> anyhow::Result<bool> {
    let mut client = HealthClient::new(channel(url, from).await?);
    let answer = client.check(HealthCheckRequest::default()).await?.into_inner();
    Ok(answer.status() == tonic_health::pb::health_check_response::ServingStatus::Serving)
}

/// Streams of health that never end, many on each of many connections.
#[derive(Debug, Default)]
pub struct Endless {
    /// Those that the node serves.
    pub held: Vec<Streaming<HealthCheckResponse>>,
    /// Those it refused as too many.
    pub refused: usize,
}

/// Opens a stream of health.
///
/// # Errors
/// The node's.
pub async fn watch_health(channel: Channel) -> Result<Streaming<HealthCheckResponse>, Status> {
    Ok(HealthClient::new(channel).watch(HealthCheckRequest::default()).await?.into_inner())
}

/// Opens as many streams of health as it says, and keeps those that it gets.
///
/// # Errors
/// Where a stream is refused for another reason than that there are too many.
pub async fn endless_streams(
    url: &str,
    from: IpAddr,
    connections: usize,
    streams: usize,
) -> anyhow::Result<Endless> {
    let mut all = Endless::default();
    for _ in 0..connections {
        let channel = channel(url, from).await?;
        for _ in 0..streams {
            match watch_health(channel.clone()).await {
                Ok(stream) => all.held.push(stream),
                Err(status) if status.code() == Code::ResourceExhausted => all.refused += 1,
                Err(status) => bail!("a stream was refused with {status}"),
            }
        }
    }
    Ok(all)
}

/// Connects so often, and says nothing.
///
/// # Errors
/// Where the node's system takes no connection.
pub async fn silent_connections(
    url: &str,
    count: usize,
    from: impl Fn(usize) -> IpAddr,
) -> anyhow::Result<Vec<TcpStream>> {
    let mut all = Vec::with_capacity(count);
    for number in 0..count {
        all.push(connect(url, from(number)).await?);
    }
    Ok(all)
}

/// Sends the first half of so many long submissions, by JSON and by gRPC-web in turn, each on a connection of its own.
/// Those that the node refuses meanwhile stay among them.
///
/// # Errors
/// Where the node's system takes no connection.
pub async fn half_sent(url: &str, from: IpAddr, count: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut all = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream = connect(url, from).await?;
        let (path, kind, length) = if number % 2 == 0 {
            ("/v1/batches", "application/json", LONG)
        } else {
            ("/markstein.v1.Anchoring/SubmitAndWait", "application/grpc-web+proto", LONG / 4 * 3)
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: ledger.example\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        );
        let message = u32::try_from(length - 5)?.to_be_bytes();
        let body = [&[0][..], &message, &vec![b'x'; length / 2 - 5]].concat();
        stream.write_all(head.as_bytes()).await?;
        // It may be refused before all of this is sent.
        let _ = timeout(ANSWER_MAX, stream.write_all(&body)).await;
        all.push(stream);
    }
    Ok(all)
}

/// How many of these connections the node has answered or ended. Nobody reads what it said.
#[must_use]
pub fn ended(connections: &[TcpStream]) -> usize {
    let is_ended = |stream: &&TcpStream| match stream.try_read(&mut [0; 1024]) {
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        Ok(_) => true,
    };
    connections.iter().filter(is_ended).count()
}

/// Memory of a process in bytes: `VmRSS` now, `VmHWM` at most so far.
///
/// # Errors
/// Where it has ended.
pub fn memory(pid: u32, which: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("it has no memory any more")?;
    Ok(kib.parse::<u64>()? * 1024)
}
