//! The API: gRPC, gRPC-web and plain HTTP on one port, and the operators' listener. Only this module sees tonic and axum.
//!
//! Bytes come in here and are checked before anything else sees them; nothing of tonic's types goes further in.

mod anchoring;
mod bounds;
mod callers;
mod error;
mod finality;
mod forwarded;
mod health;
mod http;
mod ledger;
mod operations;
mod operator;
pub mod operators;
mod overview;
#[allow(missing_docs, clippy::all, clippy::pedantic, unused_qualifications, dead_code)]
mod schema {
    tonic::include_proto!("markstein.v1");
    pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.bin"));
}
mod standing;
mod verification;

use std::{sync::Arc, time::Instant};

use axum::{Router, middleware};
use markstein_proto::{BATCH_MAX, Genesis};
use tonic::service::Routes;

pub use bounds::Bounds;
pub use health::Health;

use crate::{
    clock::Clock,
    config::{Pages, Role},
    finality::Finality,
    ingress::Link,
    ledger::{PathCache, RootSigner},
    metrics::Metrics,
    network_view::NetworkView,
    pool::Pool,
    storage::StorageError,
};

/// Longest request: a batch and its frame.
const REQUEST_MAX: usize = BATCH_MAX + 64 * 1024;
/// Longest request that brings no batch: to watch 1,000 of them.
const SMALL_REQUEST_MAX: usize = 64 * 1024;
/// Longest answer: a block of 4 MiB and its frame.
const ANSWER_MAX: usize = 5 * 1024 * 1024;

/// What the services work on.
#[derive(Clone, Debug)]
pub struct Context {
    /// The trust root.
    pub genesis: Arc<Genesis>,
    /// Who this node is.
    pub role: Role,
    /// The newest final state.
    pub finality: Finality,
    /// The pool.
    pub pool: Pool,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// When the node started.
    pub started: Instant,
    /// What callers may hold at once.
    pub bounds: Bounds,
    /// How the authorities are.
    pub network: NetworkView,
    /// The network, which knows the peers; empty where none runs.
    pub link: Link,
    /// Signs roots for COSE receipts; an observer has none.
    pub root_signer: Option<Arc<RootSigner>>,
    /// Paths of batches whose receipts were asked for before, over gRPC or HTTP.
    pub paths: Arc<PathCache>,
}

/// The public routes, with the pages that are wanted, and the health they show. Health starts as not serving.
///
/// # Errors
/// Where the built-in service descriptors are damaged, which a build does not produce.
pub async fn public(
    context: &Context,
    pages: Pages,
) -> Result<(Router, Health), tonic_reflection::server::Error> {
    use schema::{
        anchoring_server::AnchoringServer, ledger_server::LedgerServer, operations_server::OperationsServer,
        verification_server::VerificationServer,
    };
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health = Health::new(reporter);
    health.stop().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(schema::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Stock clients of other languages still ask by the older name of the service.
    let (reflection_v1, reflection_v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    let service = |context: &Context| context.clone();
    let routes = Routes::new(
        AnchoringServer::new(anchoring::AnchoringService::new(service(context)))
            .max_decoding_message_size(REQUEST_MAX),
    )
    .add_service(
        VerificationServer::new(verification::VerificationService::new(service(context)))
            .max_decoding_message_size(SMALL_REQUEST_MAX),
    )
    .add_service(
        LedgerServer::new(ledger::LedgerService::new(service(context)))
            .max_decoding_message_size(SMALL_REQUEST_MAX)
            .max_encoding_message_size(ANSWER_MAX),
    )
    .add_service(
        OperationsServer::new(operations::OperationsService { context: service(context), peers: false })
            .max_decoding_message_size(SMALL_REQUEST_MAX),
    )
    .add_service(health_service.max_decoding_message_size(SMALL_REQUEST_MAX))
    .add_service(reflection_v1.max_decoding_message_size(SMALL_REQUEST_MAX))
    .add_service(reflection_v1alpha.max_decoding_message_size(SMALL_REQUEST_MAX));
    let held = (context.bounds.clone(), context.finality.clone());
    let router = routes
        .prepare()
        .into_axum_router()
        .layer(middleware::from_fn_with_state(held, bounds::bound))
        .layer(tonic_web::GrpcWebLayer::new())
        .reset_fallback();
    // Beside gRPC-web, not under it: that layer refuses whatever else comes over HTTP/1.1.
    Ok((router.merge(http::routes(context, pages)), health))
}

/// The operators' routes: `/metrics`, the overview, and Operations, both with peers; for whoever asks for an IP address,
/// `localhost` or one of `hosts`.
pub fn operator(context: &Context, hosts: &[String]) -> Router {
    use schema::operations_server::OperationsServer;
    let service = operations::OperationsService { context: context.clone(), peers: true };
    let service = OperationsServer::new(service).max_decoding_message_size(SMALL_REQUEST_MAX);
    let grpc = Routes::new(service).prepare().into_axum_router().reset_fallback();
    let routes = operator::routes(context).merge(http::operators(context)).merge(grpc);
    routes.layer(middleware::from_fn_with_state(Arc::from(hosts), callers::check))
}

/// Runs a read of the store where blocking is allowed.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, tonic::Status> + Send + 'static,
) -> Result<T, tonic::Status> {
    tokio::task::spawn_blocking(read).await.map_err(|e| {
        tracing::error!("a request failed in an unforeseen way: {e}");
        error::status(tonic::Code::Internal, "INTERNAL", "this node failed to answer: try another one")
    })?
}

/// Our own disk failed: the caller is told no details.
fn storage_status(error: &StorageError) -> tonic::Status {
    tracing::error!("the store failed a request: {error}");
    error::status(
        tonic::Code::Internal,
        "STORAGE",
        "this node's store failed: try another node, and tell the operator of this one",
    )
}
