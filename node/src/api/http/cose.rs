//! COSE receipts as bytes, for whoever fetches them with a tool for HTTP.

use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use tonic::{Request, Status};

use super::{
    Shared,
    answer::{ASK_AGAIN, FOR_EVER, kept, refused},
    json::{Services, number, part},
};
use crate::api::schema::{GetCoseReceiptRequest, verification_server::Verification};

/// Its media type (RFC 9052 section 10.2), without the parameter that says what the tag says.
const KIND: &str = "application/cose";

/// Under the newest checkpoint, which the next block replaces.
pub(super) async fn newest(State(services): State<Shared>, headers: HeaderMap, uri: Uri) -> Response {
    let answer = async { read(&services, number(part(&uri, 3))?, None).await };
    answered(answer.await, &headers, ASK_AGAIN)
}

/// Under the root of a log of a given size: always the same bytes, since Ed25519 draws nothing at random.
pub(super) async fn of_size(State(services): State<Shared>, headers: HeaderMap, uri: Uri) -> Response {
    let answer = async {
        let (index, size) = (number(part(&uri, 3))?, number(part(&uri, 5))?);
        read(&services, index, Some(size)).await
    };
    answered(answer.await, &headers, FOR_EVER)
}

async fn read(services: &Services, index: u64, size: Option<u64>) -> Result<Vec<u8>, Status> {
    let request = Request::new(GetCoseReceiptRequest { index, size });
    Ok(services.verification.get_cose_receipt(request).await?.into_inner().receipt)
}

fn answered(answer: Result<Vec<u8>, Status>, headers: &HeaderMap, cache: &'static str) -> Response {
    answer.map_or_else(|status| refused(&status), |bytes| kept(headers, KIND, cache, bytes))
}
