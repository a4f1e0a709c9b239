//! Nodes over gRPC.

mod plain;
mod plausible;
mod reading;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use markstein_proto::{BatchId, Commitment, IssuerId, LeafIndex, LogSize, receipt::RECEIPT_MAX};
use prost::bytes::Bytes;
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Response, Status,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Uri},
};

use plausible::is_plausible;

use crate::{
    api::{
        BatchState, GetBatchReceiptsRequest, GetCheckpointRequest, GetCoseReceiptRequest, GetGenesisRequest,
        GetReceiptRequest, IssuerRecords, LookupRequest, RecordOfBatch, StatusRequest, StatusResponse,
        SubmitRequest, WatchRequest, anchoring_client::AnchoringClient, batch_state::State,
        get_receipt_request::Record, ledger_client::LedgerClient, operations_client::OperationsClient,
        verification_client::VerificationClient,
    },
    node::{Failure, Node, NodeError, Outcome, PublicRecords, ReceiptStream, Records, Steps, Taken, Whose},
};

/// Longest answer that is read, in bytes: the longest receipt and a little around it.
const ANSWER_MAX: usize = RECEIPT_MAX + 64 * 1024;
/// A node that does not answer a request within this time is taken for away. Waiting for finality is one request.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// Longest wait that a node may ask for.
const RETRY_MAX: Duration = Duration::from_secs(60);
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Why a node's URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Not a URL of a node.
    #[error(
        "{0:?} is no node's URL: write https://node.example:7443 or, on this machine, http://127.0.0.1:7001"
    )]
    Url(String),
    /// Without TLS across a network.
    #[error(
        "{0} is not encrypted and not on this machine: batches are signed, so nobody could change them, but others \
         could see who anchors what when. Use https://, or --insecure if the way there is protected otherwise"
    )]
    Plain(String),
    /// The file of certificates.
    #[error("{path}: {source}")]
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up for {url}: {why}")]
    Tls {
        /// For which node.
        url: String,
        /// Why.
        why: String,
    },
}

/// How to connect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Connection<'a> {
    /// Certificates to trust (PEM) in place of those of this machine.
    pub ca: Option<&'a Path>,
    /// Allow `http://` to other machines.
    pub insecure: bool,
}

/// A node that is asked over gRPC. Connects when first asked, and again after every loss.
#[derive(Clone, Debug)]
pub struct GrpcNode {
    url: String,
    channel: Channel,
    /// [`ANSWER_TIME`], but for tests.
    answer_time: Duration,
}

impl GrpcNode {
    /// The node at this URL. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// See [`ConnectError`]; nothing is sent yet.
    pub fn new(url: &str, connection: Connection<'_>) -> Result<Self, ConnectError> {
        let encrypted = check_url(url, connection.insecure)?;
        let endpoint = Endpoint::from_shared(url.to_owned()).map_err(|_| ConnectError::Url(url.into()))?;
        let mut endpoint = endpoint
            .connect_timeout(CONNECT_TIME)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_adaptive_window(true)
            .user_agent(concat!("markstein/", env!("CARGO_PKG_VERSION")))
            .map_err(|_| ConnectError::Url(url.into()))?;
        if encrypted {
            let tls = tls(connection.ca)?;
            endpoint = endpoint
                .tls_config(tls)
                .map_err(|e| ConnectError::Tls { url: url.into(), why: with_causes(&e) })?;
        }
        Ok(Self { url: url.into(), channel: endpoint.connect_lazy(), answer_time: ANSWER_TIME })
    }

    /// How the node is.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn status(&self) -> Result<StatusResponse, NodeError> {
        let mut client = OperationsClient::new(self.channel.clone());
        let status = self.answer(client.status(self.request(StatusRequest {}))).await?;
        if is_plausible(&status) { Ok(status) } else { Err(self.faulty("sent more than a status can be")) }
    }

    /// The receipt of the record at a place of the log, as JSON without its salt.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn receipt_at(&self, index: LeafIndex) -> Result<Vec<u8>, NodeError> {
        let mut client = VerificationClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        let request = GetReceiptRequest { record: Some(Record::Index(index.0)) };
        Ok(self.answer(client.get_receipt(self.request(request))).await?.receipt)
    }

    /// A leaf of the log in a COSE receipt under the root of a log of this size, signed by the authority that is asked.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn cose_receipt(&self, index: LeafIndex, size: LogSize) -> Result<Vec<u8>, NodeError> {
        let mut client = VerificationClient::new(self.channel.clone());
        let request = GetCoseReceiptRequest { index: index.0, size: Some(size.0) };
        Ok(self.answer(client.get_cose_receipt(self.request(request))).await?.receipt)
    }

    /// The newest checkpoint that a quorum cosigned, with all lines that the node knows.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub async fn checkpoint(&self) -> Result<String, NodeError> {
        let mut client = LedgerClient::new(self.channel.clone());
        Ok(self.answer(client.get_checkpoint(self.request(GetCheckpointRequest {}))).await?.checkpoint)
    }

    /// A request that the node, too, gives up in time.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.answer_time);
        request
    }

    /// The whole answer, in time: tonic's own timeout ends with the first headers, and a node could then be silent.
    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, NodeError> {
        let answer = tokio::time::timeout(self.answer_time, call).await.map_err(|_| self.late())?;
        Ok(answer.map_err(|status| self.failure(&status))?.into_inner())
    }

    fn late(&self) -> NodeError {
        NodeError::new(&self.url, Failure::Away, "does not answer in time")
    }

    fn failure(&self, status: &Status) -> NodeError {
        let metadata = |name| status.metadata().get(name).and_then(|value| value.to_str().ok());
        let wait = metadata("retry-after-ms").and_then(|ms| ms.parse().ok()).unwrap_or(1000);
        let kind = match status.code() {
            Code::ResourceExhausted => Failure::Busy(Duration::from_millis(wait).min(RETRY_MAX)),
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Aborted
            | Code::Internal => Failure::Away,
            Code::DataLoss | Code::OutOfRange => Failure::Faulty,
            _ => Failure::Denied,
        };
        let message = match (status.code(), status.message()) {
            (Code::Unimplemented, _) => {
                "does not know this request: is this the URL of a Markstein node?".into()
            }
            (code, "") => code.description().to_owned(),
            (_, message) => with_cause_of(status, message),
        };
        let reason = crate::text::safe(metadata("markstein-reason").unwrap_or_default());
        NodeError { reason, ..NodeError::new(&self.url, kind, message) }
    }

    fn faulty(&self, message: &str) -> NodeError {
        NodeError::new(&self.url, Failure::Faulty, message)
    }

    /// Where the receipts of a final batch cannot be had.
    fn no_receipt(&self, status: &Status) -> NodeError {
        match status.code() {
            // Another node may have said that the batch is final; this one will know it soon.
            Code::NotFound | Code::FailedPrecondition => {
                NodeError { kind: Failure::Away, ..self.failure(status) }
            }
            _ => self.failure(status),
        }
    }

    fn taken(&self, state: Option<BatchState>) -> Result<Taken, NodeError> {
        match state.and_then(|s| s.state) {
            Some(State::Accepted(_)) => Ok(Taken::Accepted),
            Some(State::Final(_)) => Ok(Taken::Decided(Outcome::Final)),
            Some(State::Refused(refused)) => {
                Ok(Taken::Decided(Outcome::Refused { reason: refused.reason, message: refused.message }))
            }
            Some(State::Dropped(dropped)) => Err(NodeError::new(&self.url, Failure::Away, dropped.message)),
            Some(State::Unknown(_)) | None => Err(self.faulty("did not say what became of the batch")),
        }
    }
}

impl Node for GrpcNode {
    fn name(&self) -> &str {
        &self.url
    }

    async fn genesis(&self) -> Result<Vec<u8>, NodeError> {
        let mut client = LedgerClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        Ok(self.answer(client.get_genesis(self.request(GetGenesisRequest {}))).await?.genesis)
    }

    async fn submit(&self, batch: Bytes) -> Result<Outcome, NodeError> {
        let mut client = AnchoringClient::new(self.channel.clone());
        let request = self.request(SubmitRequest { batch: batch.to_vec() });
        let answer = self.answer(client.submit_and_wait(request)).await?;
        match self.taken(answer.state)? {
            Taken::Decided(outcome) => Ok(outcome),
            Taken::Accepted => {
                Err(NodeError::new(&self.url, Failure::Away, "accepted the batch, which is not final yet"))
            }
        }
    }

    async fn receipts(&self, batch: BatchId, first: u32) -> Result<ReceiptStream, NodeError> {
        let mut client = VerificationClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        let request = GetBatchReceiptsRequest { batch_id: batch.0.0.to_vec(), first };
        // No deadline for the whole stream: what must come in time is each receipt.
        let answer = tokio::time::timeout(self.answer_time, client.get_batch_receipts(request)).await;
        let answer = answer.map_err(|_| self.late())?.map_err(|status| self.no_receipt(&status))?;
        let node = self.clone();
        Ok(Box::pin(answer.into_inner().timeout(self.answer_time).map(move |item| match item {
            Ok(Ok(response)) => Ok(response.receipt),
            Ok(Err(status)) => Err(node.failure(&status)),
            Err(_) => Err(node.late()),
        })))
    }
}

impl Records for GrpcNode {
    async fn current_receipt(&self, index: LeafIndex) -> Result<Vec<u8>, NodeError> {
        self.receipt_at(index).await
    }

    async fn lookup(&self, commitment: Commitment, whose: Whose) -> Result<PublicRecords, NodeError> {
        let mut client = VerificationClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        let (mut issuer, mut after_issuer) = (String::new(), String::new());
        match &whose {
            Whose::All => {}
            Whose::After(id) => after_issuer = id.to_string(),
            Whose::Of(id) => issuer = id.to_string(),
        }
        let request = LookupRequest { commitment: commitment.0.0.to_vec(), issuer, after_issuer };
        let answer = self.answer(client.lookup(self.request(request))).await?;
        let id = |id: &str| IssuerId::new(id).map_err(|_| self.faulty("sent what is no issuer's id"));
        let mut found = PublicRecords::default();
        for IssuerRecords { issuer, records } in answer.issuers {
            let records = records.iter().map(|record| LeafIndex(record.index)).collect();
            found.by_issuer.push((id(&issuer)?, records));
        }
        if !answer.next_after.is_empty() {
            found.next = Some(id(&answer.next_after)?);
        }
        found.check(&whose).map_err(|why| self.faulty(why))?;
        Ok(found)
    }
}

impl Steps for GrpcNode {
    async fn accept(&self, batch: Bytes) -> Result<Taken, NodeError> {
        let mut client = AnchoringClient::new(self.channel.clone());
        let request = self.request(SubmitRequest { batch: batch.to_vec() });
        let answer = self.answer(client.submit(request)).await?;
        self.taken(answer.state)
    }

    async fn decided(&self, batch: BatchId) -> Result<Outcome, NodeError> {
        let mut client = AnchoringClient::new(self.channel.clone());
        let request = WatchRequest { batch_ids: vec![batch.0.0.to_vec()] };
        // The decision may take long; that the node is there, HTTP/2's pings tell.
        let mut states = self.answer(client.watch(request)).await?;
        while let Some(state) = states.message().await.map_err(|status| self.failure(&status))? {
            if let Taken::Decided(outcome) = self.taken(Some(state))? {
                return Ok(outcome);
            }
        }
        Err(NodeError::new(&self.url, Failure::Away, "stopped telling what becomes of a batch"))
    }

    async fn receipt(&self, batch: BatchId, position: u32) -> Result<Vec<u8>, NodeError> {
        let mut client = VerificationClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_MAX);
        let record = Record::OfBatch(RecordOfBatch { batch_id: batch.0.0.to_vec(), position });
        let request = self.request(GetReceiptRequest { record: Some(record) });
        let answer = tokio::time::timeout(self.answer_time, client.get_receipt(request)).await;
        let answer = answer.map_err(|_| self.late())?.map_err(|status| self.no_receipt(&status))?;
        Ok(answer.into_inner().receipt)
    }
}

/// Whether to use TLS with this URL.
pub(crate) fn check_url(url: &str, insecure: bool) -> Result<bool, ConnectError> {
    let parsed: Uri = url.parse().map_err(|_| ConnectError::Url(url.into()))?;
    let host = parsed.host().ok_or_else(|| ConnectError::Url(url.into()))?;
    match parsed.scheme_str() {
        Some("https") => Ok(true),
        Some("http") if insecure || is_loopback(host) => Ok(false),
        Some("http") => Err(ConnectError::Plain(url.into())),
        _ => Err(ConnectError::Url(url.into())),
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn tls(ca: Option<&Path>) -> Result<ClientTlsConfig, ConnectError> {
    let Some(path) = ca else { return Ok(ClientTlsConfig::new().with_native_roots()) };
    let pem = fs::read(path).map_err(|source| ConnectError::CaFile { path: path.into(), source })?;
    Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
}

/// The message and what lies at its bottom: "tcp connect error" alone helps nobody.
fn with_cause_of(status: &Status, message: &str) -> String {
    let cause = std::error::Error::source(status).map(with_causes).unwrap_or_default();
    joined([message.to_owned(), cause])
}

pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |e| e.source());
    joined(causes.map(ToString::to_string))
}

/// Layers repeat each other: what was said already is left out, and so is what says nothing.
fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let mut said: Vec<String> = Vec::new();
    for text in texts.into_iter().flat_map(|t| t.split(": ").map(str::to_owned).collect::<Vec<_>>()) {
        if !text.is_empty() && text != "transport error" && !said.contains(&text) {
            said.push(text);
        }
    }
    said.join(": ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in ["http://127.0.0.1:7001", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9"] {
            assert!(!check_url(url, false).unwrap(), "{url}");
        }
        for url in
            ["http://node.example:7001", "http://10.0.0.1", "http://localhost.example", "http://[::2]:1"]
        {
            let error = check_url(url, false).unwrap_err();
            assert!(matches!(error, ConnectError::Plain(_)), "{url}");
            assert!(!check_url(url, true).unwrap(), "{url}");
        }
        assert!(check_url("https://node.example:7443", false).unwrap());
        for url in ["", "node.example:7001", "127.0.0.1:7001", "ftp://127.0.0.1", "http://", "http:/x"] {
            assert!(matches!(check_url(url, true), Err(ConnectError::Url(_))), "{url:?}");
        }
    }

    #[tokio::test]
    async fn codes_and_reasons_tell_what_follows() {
        let node = GrpcNode::new("http://127.0.0.1:1", Connection::default()).unwrap();
        let mut busy = Status::resource_exhausted("pool full");
        busy.metadata_mut().insert("retry-after-ms", "250".parse().unwrap());
        busy.metadata_mut().insert("markstein-reason", "POOL_FULL".parse().unwrap());
        let failure = node.failure(&busy);
        assert_eq!(failure.kind, Failure::Busy(Duration::from_millis(250)));
        assert_eq!(failure.to_string(), "http://127.0.0.1:1: pool full (POOL_FULL)");
        busy.metadata_mut().insert("retry-after-ms", u64::MAX.to_string().parse().unwrap());
        assert_eq!(node.failure(&busy).kind, Failure::Busy(RETRY_MAX), "nobody is kept waiting for years");
        assert_eq!(node.failure(&Status::unavailable("x")).kind, Failure::Away);
        assert_eq!(node.failure(&Status::permission_denied("x")).kind, Failure::Denied);
        assert!(node.failure(&Status::unimplemented("")).message.contains("Markstein node"));
    }

    #[tokio::test]
    async fn a_node_that_is_not_there_is_away() {
        // Port 1 of the loopback interface: nobody listens there.
        let node = GrpcNode::new("http://127.0.0.1:1", Connection::default()).unwrap();
        let failure = node.status().await.unwrap_err();
        assert_eq!(failure.kind, Failure::Away);
        assert_eq!(failure.message, "tcp connect error: Connection refused (os error 111)");
    }

    /// Says over HTTP/2 that an answer follows, and then nothing more.
    fn silent_node() -> String {
        const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
        const PONG: [u8; 9] = [0, 0, 8, 6, 1, 0, 0, 0, 0];
        const HEADERS: [u8; 13] = [0, 0, 20, 1, 4, 0, 0, 0, 1, 0x88, 0x0f, 0x10, 16]; // 200, of the content type
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            socket.read_exact(&mut [0; 24]).unwrap();
            socket.write_all(&[SETTINGS, SETTINGS_ACK].concat()).unwrap();
            let mut frame = [0; 9];
            while socket.read_exact(&mut frame).is_ok() {
                let length = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
                let mut payload = vec![0; length as usize];
                socket.read_exact(&mut payload).unwrap();
                match (frame[3], frame[4]) {
                    (1, _) => socket.write_all(&[&HEADERS[..], b"application/grpc"].concat()).unwrap(),
                    (6, 0) => socket.write_all(&[&PONG[..], &payload].concat()).unwrap(), // it looks alive
                    _ => {}
                }
            }
        });
        url
    }

    #[tokio::test]
    async fn a_node_that_begins_an_answer_and_falls_silent_is_away() {
        let node = GrpcNode::new(&silent_node(), Connection::default()).unwrap();
        let node = GrpcNode { answer_time: Duration::from_millis(500), ..node };
        assert_eq!(node.status().await.unwrap_err().kind, Failure::Away);
    }

    #[tokio::test]
    async fn a_missing_file_of_certificates_is_named() {
        let connection = Connection { ca: Some(Path::new("/no/such/ca.pem")), insecure: false };
        let error = GrpcNode::new("https://node.example", connection).unwrap_err();
        assert!(error.to_string().starts_with("/no/such/ca.pem: "), "{error}");
    }
}
