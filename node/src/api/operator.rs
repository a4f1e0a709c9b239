//! The operators' HTTP routes: `/metrics` for Prometheus.

use axum::{Router, extract::State, http::header, response::IntoResponse, routing::get};

use super::Context;

pub(super) fn routes(context: &Context) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(context.clone())
}

async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.render(context.pool.size(), context.pool.waiting()))
}
