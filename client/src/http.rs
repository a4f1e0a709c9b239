//! Plain HTTP/1.1: what nodes serve to everybody, and what others are told by `POST`.

use std::{
    error::Error,
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode, Uri, body::Incoming, client::conn::http1, client::conn::http1::SendRequest,
    header,
};
use hyper_util::rt::TokioIo;
use prost::bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
        version::{TLS12, TLS13},
    },
};

use crate::connect::{ConnectError, Connection, check_url, with_causes};

/// Who does not answer within this time is taken for away.
const ANSWER_TIME: Duration = Duration::from_secs(30);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Connections that are kept for the next request.
const IDLE_MAX: usize = 16;
/// Longest wait that anybody may ask for.
const RETRY_MAX: Duration = Duration::from_secs(60);

type Sender = SendRequest<Full<Bytes>>;

/// Whatever bytes go through.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One server below one URL. Connects when first asked, and again after every loss.
pub struct Site {
    url: String,
    /// `host:port` as the request names it.
    authority: String,
    host: String,
    port: u16,
    /// What stands before every path, without the slash at its end.
    prefix: String,
    /// Path and query of the URL itself.
    itself: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Mutex<Vec<Sender>>,
    answer_time: Duration,
}

/// What came back, whatever its code.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The code.
    pub code: u16,
    /// The body; one byte more than was allowed where it is longer.
    pub body: Vec<u8>,
    /// How long to wait before the next try, where the server says so.
    pub retry_after: Option<Duration>,
}

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {why}")]
pub struct Away {
    /// Whom it concerns.
    pub url: String,
    /// What happened.
    pub why: String,
}

impl Site {
    /// The server at this URL, which may end in a path; nothing is sent yet.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn new(url: &str, connection: Connection<'_>) -> Result<Self, ConnectError> {
        if url.contains('?') { Err(ConnectError::Url(url.into())) } else { Self::exact(url, connection) }
    }

    /// The same for a URL that may have a query, and is used as it is.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn exact(url: &str, connection: Connection<'_>) -> Result<Self, ConnectError> {
        let encrypted = check_url(url, connection.insecure)?;
        let bad = || ConnectError::Url(url.into());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') {
            return Err(bad());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let tls = if encrypted {
            let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
            Some((connector(url, connection.ca)?, name))
        } else {
            None
        };
        Ok(Self {
            // A query may hold a secret, and the URL is told in messages.
            url: url.split('?').next().unwrap_or_default().into(),
            authority: authority.as_str().into(),
            host,
            port,
            prefix: uri.path().trim_end_matches('/').into(),
            itself: uri.path_and_query().map_or("/", |path| path.as_str()).into(),
            tls,
            idle: Mutex::default(),
            answer_time: ANSWER_TIME,
        })
    }

    /// The URL, as given, without its query.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `GET` of a path below the URL, without a slash before it. At most `max` bytes of the body are read, and one more to
    /// tell that there are more.
    ///
    /// # Errors
    /// [`Away`] where no whole answer comes in time.
    pub async fn get(&self, path: &str, max: usize) -> Result<Answer, Away> {
        self.ask(&Method::GET, &format!("{}/{path}", self.prefix), None, max).await
    }

    /// `POST` of JSON to the URL itself. The answer's body is of no interest.
    ///
    /// # Errors
    /// [`Away`] where no answer comes in time.
    pub async fn post_json(&self, body: Bytes) -> Result<Answer, Away> {
        self.ask(&Method::POST, &self.itself, Some(body), 0).await
    }

    async fn ask(
        &self,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        max: usize,
    ) -> Result<Answer, Away> {
        let asked = async {
            // A connection that was kept may have been closed meanwhile; a new one tells whether the server is there.
            while let Some(kept) = self.kept() {
                if let Ok(answer) = self.exchange(kept, method, path, body.clone(), max).await {
                    return Ok(answer);
                }
            }
            let new = self.connect().await?;
            self.exchange(new, method, path, body, max).await
        };
        let away = |why| Away { url: self.url.clone(), why };
        timeout(self.answer_time, asked)
            .await
            .map_err(|_| away("does not answer in time".into()))?
            .map_err(away)
    }

    fn kept(&self) -> Option<Sender> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }

    async fn connect(&self) -> Result<Sender, String> {
        let connected = timeout(CONNECT_TIME, TcpStream::connect((self.host.as_str(), self.port))).await;
        let stream = connected.map_err(|_| "cannot be connected to in time")?.map_err(|e| with_causes(&e))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some((tls, name)) => {
                let connected = tls.connect(name.clone(), stream).await;
                Box::new(connected.map_err(|e| format!("TLS: {}", with_causes(&e)))?)
            }
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| with_causes(&e))?;
        // It ends with the sender; what goes wrong on it, the sender tells.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    async fn exchange(
        &self,
        mut sender: Sender,
        method: &Method,
        path: &str,
        body: Option<Bytes>,
        max: usize,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.authority)
            .header(header::USER_AGENT, concat!("markstein/", env!("CARGO_PKG_VERSION")));
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body.unwrap_or_default())).map_err(|e| with_causes(&e))?;
        sender.ready().await.map_err(|e| with_causes(&e))?;
        let mut response = sender.send_request(request).await.map_err(|e| with_causes(&e))?;
        let code = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| {
            let seconds = value.to_str().ok()?.parse().ok()?;
            Some(Duration::from_secs(seconds).min(RETRY_MAX))
        });
        let (body, whole) = read(response.body_mut(), max).await?;
        if whole {
            self.keep(sender);
        }
        Ok(Answer { code, body, retry_after })
    }
}

/// The body up to one byte beyond `max`, and whether that is all of it.
async fn read(body: &mut Incoming, max: usize) -> Result<(Vec<u8>, bool), String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|e| with_causes(&e))?.into_data() else { continue };
        bytes.extend_from_slice(&data[..data.len().min(max + 1 - bytes.len())]);
        if bytes.len() > max {
            return Ok((bytes, false));
        }
    }
    Ok((bytes, true))
}

impl Answer {
    /// Whether it is a good one.
    #[must_use]
    pub fn is_good(&self) -> bool {
        StatusCode::from_u16(self.code).is_ok_and(|code| code.is_success())
    }
}

fn connector(url: &str, ca: Option<&Path>) -> Result<TlsConnector, ConnectError> {
    let failed = |why: &dyn Error| ConnectError::Tls { url: url.into(), why: with_causes(why) };
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let file = |source| ConnectError::CaFile { path: path.into(), source };
        let pem = fs::read(path).map_err(file)?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|e| file(io::Error::other(e)))?;
            roots.add(certificate).map_err(|e| failed(&e))?;
        }
    } else {
        // Stores of a machine have certificates that nobody can read any more; the others count.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|e| failed(&e))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Site").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// Answers requests with these texts, one connection after the other; each ends when its texts are used up.
    fn server(connections: Vec<Vec<&'static str>>) -> (Site, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/log/", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let mut requests = Vec::new();
            for answers in connections {
                let (socket, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(socket);
                for answer in answers {
                    let mut head = String::new();
                    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                    requests.push(head);
                    reader.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            }
            requests
        });
        (Site::new(&url, Connection::default()).unwrap(), served)
    }

    #[tokio::test]
    async fn a_connection_is_used_again_and_replaced_where_it_was_lost() {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntile";
        let busy = "HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n";
        let (site, served) = server(vec![vec![good, busy], vec![good]]);
        let answer = site.get("tile/0/000", 4).await.unwrap();
        assert_eq!((answer.code, &answer.body[..], answer.retry_after), (200, &b"tile"[..], None));
        let answer = site.get("checkpoint", 4).await.unwrap();
        assert_eq!((answer.is_good(), answer.retry_after), (false, Some(Duration::from_secs(2))));
        assert_eq!(site.get("checkpoint", 3).await.unwrap().body, b"tile", "one byte more than allowed");
        let requests = served.join().unwrap();
        assert!(requests[0].starts_with("GET /log/tile/0/000 HTTP/1.1\r\n"), "{}", requests[0]);
        assert!(requests[2].starts_with("GET /log/checkpoint HTTP/1.1\r\n"), "{}", requests[2]);
    }

    #[tokio::test]
    async fn half_an_answer_is_none() {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\ntile";
        let (site, _) = server(vec![vec![half]]);
        site.get("tile/0/000", 100).await.unwrap_err();
        let nobody = Site::new("http://127.0.0.1:1", Connection::default()).unwrap();
        let away = nobody.get("checkpoint", 10).await.unwrap_err();
        assert!(away.to_string().starts_with("http://127.0.0.1:1: Connection refused"), "{away}");
    }

    #[test]
    fn only_the_url_of_a_server_is_one() {
        for url in ["127.0.0.1:1", "http://u:p@127.0.0.1", "http://127.0.0.1/?a=b", "ftp://127.0.0.1"] {
            assert!(Site::new(url, Connection::default()).is_err(), "{url}");
        }
        assert!(matches!(Site::new("http://a.example", Connection::default()), Err(ConnectError::Plain(_))));
        Site::new("https://a.example/log", Connection::default()).unwrap();
    }
}
