//! Plain HTTP/1.1 by hand, as any program could speak it: one request, one connection, the whole answer.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use anyhow::{Context, bail};

/// What a node answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The code.
    pub code: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, of exactly the length that was announced.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, or nothing at all.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        let text = || format!("{} {:?}", self.code, String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).with_context(text)
    }
}

/// `GET` of a path from the node at a URL such as `http://127.0.0.1:4600`.
///
/// # Errors
/// As [`request`].
pub fn get(node: &str, path: &str) -> anyhow::Result<Answer> {
    request(node, "GET", path, &[], b"")
}

/// Any request. It names the node it goes to, unless `headers` have a `Host` of their own.
///
/// # Errors
/// Where the node cannot be reached, or its answer is no HTTP or not as long as it said.
pub fn request(
    node: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let mut answer = Vec::new();
    send(node, method, path, headers, body)?.read_to_end(&mut answer)?;
    parse(&answer, method == "HEAD")
}

/// The same of a server that leaves the connection open: the answer ends where its announced length does.
///
/// # Errors
/// As [`request`].
pub fn request_of_length(
    server: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<Answer> {
    let mut stream = BufReader::new(send(server, method, path, headers, body)?);
    let (mut answer, mut length) = (Vec::new(), 0);
    loop {
        let from = answer.len();
        if stream.read_until(b'\n', &mut answer)? == 0 {
            bail!("the answer ends in its head");
        }
        let line = std::str::from_utf8(&answer[from..])?.trim().to_lowercase();
        if let Some(digits) = line.strip_prefix("content-length:") {
            length = digits.trim().parse()?;
        }
        if line.is_empty() {
            break;
        }
    }
    stream.take(length).read_to_end(&mut answer)?;
    parse(&answer, method == "HEAD")
}

fn send(
    node: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> anyhow::Result<TcpStream> {
    let host = node.strip_prefix("http://").context("no http:// URL")?;
    let mut stream = TcpStream::connect(host)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += &format!("Host: {host}\r\n");
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    // A node that refuses a long body may close before it has all of it; its answer is there nevertheless.
    let _ = stream.write_all(body);
    Ok(stream)
}

pub(crate) fn parse(answer: &[u8], head_only: bool) -> anyhow::Result<Answer> {
    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").context("an answer without head")?;
    let mut lines = std::str::from_utf8(&answer[..split])?.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let code = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).context("no status line")?;
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let body = answer[split + 4..].to_vec();
    let code = code.parse()?;
    // What the caller has already is not announced.
    let length: usize = match headers.get("content-length") {
        None if code == 304 => 0,
        length => length.context("an answer of unknown length")?.parse()?,
    };
    if body.len() != if head_only { 0 } else { length } {
        bail!("{length} bytes were announced and {} came", body.len());
    }
    Ok(Answer { code, headers, body })
}
