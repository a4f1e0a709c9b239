//! Plain HTTP: checkpoint and tiles as C2SP tlog-tiles has them, JSON for those whom gRPC does not reach, and the pages
//! for citizens and operators.

mod answer;
mod cose;
mod json;
mod network;
mod page;
mod tiles;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderValue, Method, header},
    middleware::{self, Next},
    response::Response,
    routing::{MethodRouter, get, post},
};
use markstein_proto::BATCH_MAX;

use super::{Context, bounds};
use crate::config::Pages;

use network::NETWORK;

pub(super) use answer::refused;

/// Where batches are submitted.
pub(super) const SUBMIT: &str = "/v1/batches";
/// Longest request: a batch in base64 and what is around it.
pub(super) const REQUEST_MAX: usize = BATCH_MAX.div_ceil(3) * 4 + 64 * 1024;

/// What the handlers work on.
type Shared = Arc<json::Services>;

/// The public routes, with the pages that are wanted.
pub(super) fn routes(context: &Context, pages: Pages) -> Router {
    let held = (context.bounds.clone(), context.finality.clone());
    let table = table().into_iter().filter(|(path, _)| pages.network || *path != NETWORK);
    router(table.chain(page::routes(pages)))
        .layer(DefaultBodyLimit::max(REQUEST_MAX))
        .layer(middleware::from_fn_with_state(held, bounds::bound))
        .layer(middleware::from_fn(share))
        .with_state(Arc::new(json::Services::new(context, false)))
}

/// The operators' overview, with the peers. Pages of other origins may not read it.
pub(super) fn operators(context: &Context) -> Router {
    let pages = page::routes(Pages { citizens: false, network: true });
    router(pages.chain([(NETWORK, get(network::network))]))
        .with_state(Arc::new(json::Services::new(context, true)))
}

fn router(table: impl Iterator<Item = (&'static str, MethodRouter<Shared>)>) -> Router<Shared> {
    table.fold(Router::new(), |router, (path, methods)| router.route(path, methods))
}

fn table() -> Vec<(&'static str, MethodRouter<Shared>)> {
    vec![
        ("/checkpoint", get(tiles::checkpoint)),
        ("/tile/{*path}", get(tiles::tile)),
        ("/openapi.json", get(json::description)),
        (SUBMIT, post(json::submit)),
        ("/v1/batches/{id}", get(json::batch)),
        ("/v1/batches/{id}/receipts/{position}", get(json::receipt_of_batch)),
        ("/v1/receipts/{index}", get(json::receipt)),
        ("/v1/receipts/{index}/cose", get(cose::newest)),
        ("/v1/receipts/{index}/cose/{size}", get(cose::of_size)),
        ("/v1/lookup/{commitment}", get(json::lookup)),
        ("/v1/lookup/{commitment}/after/{issuer}", get(json::lookup_after)),
        ("/v1/lookup/{commitment}/of/{issuer}", get(json::lookup_of)),
        ("/v1/lookup/{commitment}/of/{issuer}/{status}", get(json::public_records)),
        ("/v1/lookup/{commitment}/of/{issuer}/{status}/before/{since}", get(json::public_records)),
        ("/v1/status", get(json::status)),
        (NETWORK, get(network::network)),
        ("/v1/genesis", get(json::genesis)),
        ("/v1/checkpoint", get(json::checkpoint)),
        ("/v1/consistency/{old}/{new}", get(json::consistency)),
    ]
}

/// Lets pages of any origin read: all of it is public. What they may not do is submit.
async fn share(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = next.run(request).await;
    if reads {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let description: serde_json::Value = serde_json::from_str(json::DESCRIPTION).unwrap();
        let described: BTreeSet<&str> =
            description["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        let tiles = ["/tile/{level}/{index}", "/tile/entries/{index}"];
        let served = table().into_iter().map(|(path, _)| path).filter(|path| *path != "/tile/{*path}");
        assert_eq!(described, served.chain(tiles).collect());
    }
}
