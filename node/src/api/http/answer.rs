//! Answers over plain HTTP, good and bad: what gRPC says with a code, HTTP says with its own.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use markstein_proto::{Hash, encoding::base64_encode};
use serde_json::{Value, json};
use tonic::{Code, Status};

/// The kind of most answers.
pub(super) const JSON: &str = "application/json";
/// Caches ask each time whether theirs is still the newest.
pub(super) const ASK_AGAIN: &str = "no-cache";
/// What never changes need never be asked for again.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A good answer: bytes as machines check them, and a view for people.
pub(super) fn good(bytes: &[u8], view: &Value) -> Response {
    let body = json!({ "bytes": base64_encode(bytes), "view": view });
    whole(StatusCode::OK, JSON, "no-store", body.to_string().into_bytes())
}

/// An error: the same reason and sentence as over gRPC.
pub(in crate::api) fn refused(status: &Status) -> Response {
    with_code(code_of(status.code()), status)
}

/// The same where HTTP has a code that gRPC has not.
pub(super) fn with_code(code: StatusCode, status: &Status) -> Response {
    let text = |name: &str| status.metadata().get(name).and_then(|value| value.to_str().ok());
    let mut body = json!({
        "reason": text("markstein-reason").unwrap_or("INTERNAL"),
        "message": status.message(),
    });
    let retry_ms: Option<u64> = text("retry-after-ms").and_then(|ms| ms.parse().ok());
    if let Some(ms) = retry_ms {
        body["retry_after_ms"] = ms.into();
    }
    let mut response = whole(code, JSON, "no-store", body.to_string().into_bytes());
    if let Some(ms) = retry_ms {
        response.headers_mut().insert(header::RETRY_AFTER, ms.div_ceil(1000).into());
    }
    response
}

/// An answer of known length: bodies leave in pieces, which do not tell how many there are.
pub(super) fn whole(code: StatusCode, kind: &'static str, cache: &'static str, bytes: Vec<u8>) -> Response {
    let headers: [(HeaderName, HeaderValue); 4] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_LENGTH, (bytes.len() as u64).into()),
    ];
    (code, headers, Body::from(bytes)).into_response()
}

/// A good answer that caches keep, under the hash of its bytes as entity tag: who names that tag has them and gets none.
pub(super) fn kept(request: &HeaderMap, kind: &'static str, cache: &'static str, bytes: Vec<u8>) -> Response {
    let tag = format!("\"{:.32}\"", Hash::of(&[&bytes]).to_string());
    let mut response = if is_named(request, &tag) {
        let headers = [(header::CACHE_CONTROL, HeaderValue::from_static(cache))];
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        whole(StatusCode::OK, kind, cache, bytes)
    };
    let tag = HeaderValue::try_from(tag).expect("hexadecimal digits in quotes are a header's value");
    response.headers_mut().insert(header::ETAG, tag);
    response
}

/// Whether `If-None-Match` has this tag, compared weakly (RFC 9110 section 13.1.2).
fn is_named(request: &HeaderMap, tag: &str) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|named| named == "*" || named.strip_prefix("W/").unwrap_or(named) == tag)
}

const fn code_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&'static str]) -> Response {
        let mut request = HeaderMap::new();
        for value in values {
            request.append(header::IF_NONE_MATCH, HeaderValue::from_static(value));
        }
        kept(&request, JSON, ASK_AGAIN, b"abc".to_vec())
    }

    /// The first half of SHA-256("abc").
    const TAG: &str = "\"ba7816bf8f01cfea414140de5dae2223\"";

    #[test]
    fn who_has_the_bytes_gets_none() {
        for has in [
            &["*"][..],
            &[TAG],
            &["W/\"ba7816bf8f01cfea414140de5dae2223\""],
            &["\"x\", \"ba7816bf8f01cfea414140de5dae2223\" , W/\"y\""],
            &["\"x\"", TAG],
        ] {
            let response = asked(has);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{has:?}");
            assert_eq!(response.headers()[header::ETAG], TAG);
            assert_eq!(response.headers()[header::CACHE_CONTROL], ASK_AGAIN);
            assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
        }
        for has_not in
            [&[][..], &[""], &["ba7816bf8f01cfea414140de5dae2223"], &["\"x\""], &["w/\"x\", \"*\""]]
        {
            let response = asked(has_not);
            assert_eq!(response.status(), StatusCode::OK, "{has_not:?}");
            assert_eq!(response.headers()[header::ETAG], TAG);
            assert_eq!(response.headers()[header::CONTENT_LENGTH], "3");
        }
    }
}
