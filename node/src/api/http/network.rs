//! `/v1/network`: what the overview shows, made once a second at most, however many look.

use std::time::{Duration, Instant};

use axum::{extract::State, http::StatusCode, response::Response};
use tokio::sync::Mutex;
use tonic::Status;

use super::{
    Shared,
    answer::{JSON, refused, whole},
};
use crate::api::{Context, overview::overview};

/// Where it is served.
pub(super) const NETWORK: &str = "/v1/network";
/// For so long it is shown to all who ask. The driver tells how things stand once a second.
const KEPT_FOR: Duration = Duration::from_secs(1);

/// The newest overview.
#[derive(Debug, Default)]
pub(super) struct Newest(Mutex<Option<(Instant, Vec<u8>)>>);

impl Newest {
    /// It, or a new one where it is old. Who comes while one is made waits for that.
    async fn get(&self, context: &Context, peers: bool) -> Result<Vec<u8>, Status> {
        let mut newest = self.0.lock().await;
        if let Some((made, bytes)) = &*newest
            && made.elapsed() < KEPT_FOR
        {
            return Ok(bytes.clone());
        }
        let (all, finality) = (context.clone(), &context.finality);
        let view = context.bounds.read(finality, move |snapshot| overview(&all, snapshot, peers)).await?;
        let bytes = view.to_string().into_bytes();
        *newest = Some((Instant::now(), bytes.clone()));
        Ok(bytes)
    }
}

/// How the authorities are and what became final lately.
pub(super) async fn network(State(services): State<Shared>) -> Response {
    match services.newest.get(&services.context, services.peers).await {
        Ok(bytes) => whole(StatusCode::OK, JSON, "no-store", bytes),
        Err(status) => refused(&status),
    }
}
