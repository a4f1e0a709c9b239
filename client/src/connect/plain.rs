//! Plain HTTP on the connection that gRPC has: tiles, entry bundles, the checkpoint.

use std::{future::poll_fn, pin::pin, time::Duration};

use tonic::{
    body::Body,
    codegen::{
        Body as _, Service,
        http::{Request, StatusCode, header::RETRY_AFTER},
    },
};

use super::{GrpcNode, RETRY_MAX, with_causes};
use crate::{
    node::{Failure, NodeError},
    range::Files,
};

impl Files for GrpcNode {
    async fn get(&self, path: &str, max: usize) -> Result<Vec<u8>, NodeError> {
        let answer = tokio::time::timeout(self.answer_time, self.get_whole(path, max)).await;
        answer.map_err(|_| self.late())?
    }
}

impl GrpcNode {
    async fn get_whole(&self, path: &str, max: usize) -> Result<Vec<u8>, NodeError> {
        let away = |e: &dyn std::error::Error| NodeError::new(&self.url, Failure::Away, with_causes(e));
        let request = Request::get(path).body(Body::empty()).map_err(|_| self.faulty("has no such path"))?;
        let mut channel = self.channel.clone();
        poll_fn(|cx| channel.poll_ready(cx)).await.map_err(|e| away(&e))?;
        let response = channel.call(request).await.map_err(|e| away(&e))?;
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let failure = match response.status() {
            StatusCode::OK => None,
            StatusCode::NOT_FOUND => Some((Failure::Away, "does not have that part of the log yet")),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                let wait = Duration::from_secs(seconds.unwrap_or(1)).min(RETRY_MAX);
                Some((Failure::Busy(wait), "has no time just now"))
            }
            _ => Some((
                Failure::Faulty,
                "does not serve its log over plain HTTP: is this the URL of a Markstein node?",
            )),
        };
        if let Some((kind, message)) = failure {
            return Err(NodeError::new(&self.url, kind, message));
        }
        let (mut body, mut bytes) = (pin!(response.into_body()), Vec::new());
        while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            if let Ok(data) = frame.map_err(|e| away(&e))?.into_data() {
                bytes.extend_from_slice(&data);
            }
            if bytes.len() > max {
                return Err(self.faulty("sent more than a part of the log can be"));
            }
        }
        Ok(bytes)
    }
}
