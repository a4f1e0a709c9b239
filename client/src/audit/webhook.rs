//! Tells a web server what was found, as JSON by `POST`.

use std::time::Duration;

use prost::bytes::Bytes;
use serde_json::Value;

use crate::{
    connect::{ConnectError, Connection},
    http::Site,
};

/// Alerts in one request.
const ALERTS_MAX: usize = 100;
/// How often a request is tried, and the time before the second try; it doubles.
const TRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// A web server that wants to hear.
#[derive(Debug)]
pub struct Webhook {
    site: Site,
    first_pause: Duration,
    /// The last request failed for good: the next one is tried once, so that a dead server does not hold up the audit.
    failing: bool,
}

impl Webhook {
    /// The server at this URL.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub fn new(url: &str, connection: Connection<'_>) -> Result<Self, ConnectError> {
        Ok(Self { site: Site::exact(url, connection)?, first_pause: FIRST_PAUSE, failing: false })
    }

    /// Sends `{"alerts": […]}`, up to 100 at a time. Each request is tried five times, with 15 s of
    /// pauses in all; what cannot be delivered then is lost, and why is the answer.
    ///
    /// # Errors
    /// The last failure, in words.
    pub async fn tell(&mut self, alerts: &[Value]) -> Result<(), String> {
        for some in alerts.chunks(ALERTS_MAX) {
            let body = Bytes::from(serde_json::json!({ "alerts": some }).to_string());
            let sent = self.send(&body).await;
            self.failing = sent.is_err();
            sent?;
        }
        Ok(())
    }

    async fn send(&self, body: &Bytes) -> Result<(), String> {
        let tries = if self.failing { 1 } else { TRIES };
        let mut pause = self.first_pause;
        let mut last = String::new();
        for number in 1..=tries {
            match self.site.post_json(body.clone()).await {
                Ok(answer) if answer.is_good() => return Ok(()),
                Ok(answer) => last = format!("{}: answers HTTP {}", self.site.url(), answer.code),
                Err(away) => last = away.to_string(),
            }
            if number < tries {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Err(last)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read, Write},
        net::TcpListener,
        thread,
    };

    use serde_json::json;

    use super::*;

    /// A server that answers with these codes and gives back what it was sent.
    fn server(codes: Vec<u16>) -> (Webhook, thread::JoinHandle<Vec<Value>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hooks/audit?token=secret", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let mut bodies = Vec::new();
            for code in codes {
                let mut reader = BufReader::new(listener.accept().unwrap().0);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                assert!(head.starts_with("POST /hooks/audit?token=secret HTTP/1.1\r\n"), "{head}");
                let length = head.to_lowercase();
                let length = length.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
                let mut body = vec![0; length.parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                bodies.push(serde_json::from_slice(&body).unwrap());
                let answer = format!("HTTP/1.1 {code} X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                reader.get_mut().write_all(answer.as_bytes()).unwrap();
            }
            bodies
        });
        let webhook = Webhook::new(&url, Connection::default()).unwrap();
        (Webhook { first_pause: Duration::from_millis(1), ..webhook }, served)
    }

    #[tokio::test]
    async fn an_alert_is_told_again_until_it_is_taken() {
        let (mut webhook, served) = server(vec![500, 503, 204, 200]);
        let alerts: Vec<Value> = (0..150).map(|n| json!({ "n": n })).collect();
        webhook.tell(&alerts).await.unwrap();
        let bodies = served.join().unwrap();
        assert_eq!(bodies[0], bodies[2]);
        let lengths: Vec<usize> = bodies.iter().map(|b| b["alerts"].as_array().unwrap().len()).collect();
        assert_eq!(lengths, [100, 100, 100, 50]);
    }

    #[tokio::test]
    async fn nobody_is_told_for_ever() {
        let (mut webhook, served) = server(vec![500, 500, 500, 500, 500, 500, 200]);
        let error = webhook.tell(&[json!({})]).await.unwrap_err();
        assert!(error.ends_with("/hooks/audit: answers HTTP 500"), "{error}");
        webhook.tell(&[json!({})]).await.unwrap_err();
        webhook.tell(&[json!({})]).await.unwrap();
        assert_eq!(served.join().unwrap().len(), 7);
    }
}
