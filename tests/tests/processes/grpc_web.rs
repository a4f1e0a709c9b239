//! gRPC-web on the same port: what a browser's page sends, over plain HTTP/1.1.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use markstein_client::api::StatusResponse;
use markstein_tests::devnet::Devnet;

/// One frame of a gRPC-web body: its flag, its bytes, and what follows.
fn frame(body: &[u8]) -> (u8, &[u8], &[u8]) {
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap()) as usize;
    (body[0], &body[5..5 + length], &body[5 + length..])
}

/// Puts a chunked HTTP/1.1 body together.
fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|w| w == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
}

#[test]
fn a_page_in_a_browser_can_ask_a_node_over_grpc_web() {
    let dir = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(&dir.path().join("ledger")).unwrap();
    let mut stream = TcpStream::connect(devnet.url().trim_start_matches("http://")).unwrap();
    let head = "POST /markstein.v1.Operations/Status HTTP/1.1\r\nHost: node\r\n\
                Content-Type: application/grpc-web+proto\r\nX-Grpc-Web: 1\r\nContent-Length: 5\r\n\
                Connection: close\r\n\r\n";
    stream.write_all(&[head.as_bytes(), &[0; 5]].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();

    let split = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..split].to_vec()).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("application/grpc-web+proto"), "{head}");
    let body = &answer[split + 4..];
    let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_vec() };
    let (flag, message, rest) = frame(&body);
    assert_eq!(flag, 0, "first the message");
    let status: StatusResponse = prost::Message::decode(message).unwrap();
    assert_eq!(status.ledger_id, devnet.trust().unwrap().ledger_id().0.0.to_vec());
    let (flag, trailers, rest) = frame(rest);
    assert_eq!((flag, rest.len()), (0x80, 0), "then the trailers, and nothing after");
    let trailers = String::from_utf8(trailers.to_vec()).unwrap();
    assert!(trailers.replace(' ', "").contains("grpc-status:0"), "{trailers}");
}
