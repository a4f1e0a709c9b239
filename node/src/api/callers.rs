//! Whom the operators' listener answers. It takes everybody who reaches it for an operator, and an operator's browser
//! reaches it for whatever page is open in it: so a request must ask for this listener, and not for another site.
//!
//! A page elsewhere may let its name lead to this machine once it is loaded (DNS rebinding). The browser then takes the
//! listener for a part of that page, but still asks for it by that name: a name which is not the listener's is refused.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, request::Parts, uri::Authority},
    middleware::Next,
    response::Response,
};
use tonic::{Code, Status};

use super::{error, http};

/// What a browser tells of the page that asks (W3C Fetch Metadata). No page can change it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Lets in who asks for this listener: by an IP address, as `localhost`, or by one of `names`.
pub(super) async fn check(State(names): State<Arc<[String]>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Err(status) = admit(&parts, &names) else { return next.run(Request::from_parts(parts, body)).await };
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if is_grpc { status.into_http() } else { http::refused(&status) }
}

fn admit(parts: &Parts, names: &[String]) -> Result<(), Status> {
    let asked = asked(parts).filter(|asked| asked.iter().all(|it| is_ours(it.host(), names)));
    let Some(asked) = asked else {
        let help = "ask by IP address or as localhost, or list the name under [operator] hosts";
        return Err(refusal("OTHER_HOST", &format!("this is not the name of this listener: {help}")));
    };
    let mut origins = parts.headers.get_all(header::ORIGIN).iter();
    let is_own = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
        let origin = origin.and_then(|origin| origin.into_parts().authority);
        origin.is_some_and(|origin| {
            asked.contains(&origin) || names.iter().any(|name| is_named(origin.host(), name))
        })
    };
    if !origins.all(is_own) || !is_own_page(&parts.method, &parts.headers) {
        return Err(refusal("OTHER_SITE", "pages of other sites may not ask this listener"));
    }
    Ok(())
}

fn refusal(reason: &'static str, message: &str) -> Status {
    error::status(Code::PermissionDenied, reason, message)
}

/// Every host that the request names: in HTTP/2 `:authority`, in HTTP/1.1 `Host`. `None` where one cannot be read or
/// there is none at all.
fn asked(parts: &Parts) -> Option<Vec<Authority>> {
    let mut asked: Vec<Authority> = parts.uri.authority().cloned().into_iter().collect();
    for host in parts.headers.get_all(header::HOST) {
        asked.push(Authority::try_from(host.as_bytes()).ok()?);
    }
    (!asked.is_empty()).then_some(asked)
}

fn is_ours(host: &str, names: &[String]) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
        || names.iter().map(String::as_str).chain(["localhost"]).any(|name| is_named(host, name))
}

/// Names end in a dot or do not, and case means nothing.
fn is_named(host: &str, name: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).eq_ignore_ascii_case(name)
}

/// Whether a page of this listener asks, or no page at all. A link from elsewhere may lead here: it shows the operator
/// something, and tells nothing to the page that it stands on.
fn is_own_page(method: &Method, headers: &HeaderMap) -> bool {
    let says = |name: &HeaderName, word: &str| headers.get(name).is_some_and(|value| value == word);
    let follows_link =
        *method == Method::GET && says(&FETCH_MODE, "navigate") && says(&FETCH_DEST, "document");
    let site = headers.get(&FETCH_SITE);
    site.is_none_or(|site| site == "same-origin" || site == "none") || follows_link
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is said to a request for `uri` with these headers, the listener having the name `ops.example`.
    fn said(uri: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let said = admit(&parts, &["ops.example".to_owned()]);
        said.map_err(|status| status.metadata().get("markstein-reason").unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn the_listener_is_asked_by_its_addresses_and_names_only() {
        let ours =
            ["127.0.0.1:4601", "127.0.0.1", "[::1]:4601", "[2001:db8::1]", "localhost", "LocalHost.:4601"];
        for host in ours.into_iter().chain(["ops.example", "OPS.example:443"]) {
            assert_eq!(said("/v1/network", &[("host", host)]), Ok(()), "{host}");
            assert_eq!(said(&format!("http://{host}/v1/network"), &[]), Ok(()), "{host}");
        }
        let others =
            ["evil.example", "evil.example:4601", "localhost.evil.example", "127.0.0.1.evil.example"];
        for host in others.into_iter().chain([
            "xops.example",
            "127.0.0.1:80:80",
            "",
            "a b",
            "ops.example,evil.example",
        ]) {
            assert_eq!(said("/v1/network", &[("host", host)]), Err("OTHER_HOST".into()), "{host}");
        }
        assert_eq!(said("http://evil.example/metrics", &[("host", "localhost")]), Err("OTHER_HOST".into()));
        assert_eq!(
            said("/metrics", &[("host", "localhost"), ("host", "evil.example")]),
            Err("OTHER_HOST".into())
        );
        assert_eq!(said("/metrics", &[]), Err("OTHER_HOST".into()));
    }

    #[test]
    fn pages_of_other_sites_are_refused_and_links_are_followed() {
        let with =
            |more: &[(&str, &str)]| said("/v1/network", &[&[("host", "127.0.0.1:4601")], more].concat());
        for own in [
            &[("origin", "http://127.0.0.1:4601")][..],
            &[("origin", "https://ops.example")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")],
            &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
            &[
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
        ] {
            assert_eq!(with(own), Ok(()), "{own:?}");
        }
        for others in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "http://127.0.0.1:8080")],
            &[("origin", "null")],
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")],
            &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "cors")],
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        ] {
            assert_eq!(with(others), Err("OTHER_SITE".into()), "{others:?}");
        }
    }
}
