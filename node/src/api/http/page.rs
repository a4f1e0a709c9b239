//! The pages: a few files that are part of this program. That of citizens checks documents in the browser and sends
//! none; that of operators shows what `/v1/network` says.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::Response,
    routing::{MethodRouter, get},
};
use tonic::Code;

use super::answer::{kept, with_code};
use crate::{api::error, config::Pages};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// A file: its path, its kind and its bytes.
type File = (&'static str, &'static str, &'static [u8]);

macro_rules! file {
    ($path:literal, $kind:ident) => {
        (
            concat!("/web/", $path),
            $kind,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../client/web/", $path)) as &[u8],
        )
    };
}

const INDEX: File = ("/", HTML, include_bytes!("../../../../client/web/index.html"));

const NETWORK: File = ("/network", HTML, include_bytes!("../../../../client/web/network.html"));

const FILES: &[File] = &[
    INDEX,
    NETWORK,
    ("/web/icon.svg", "image/svg+xml", include_bytes!("../../../../client/web/icon.svg")),
    file!("style.css", STYLE),
    file!("app.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("edition.js", SCRIPT),
    file!("files.js", SCRIPT),
    file!("hash-worker.js", SCRIPT),
    file!("hashing.js", SCRIPT),
    file!("link.js", SCRIPT),
    file!("offices.js", SCRIPT),
    file!("open.js", SCRIPT),
    file!("qr.js", SCRIPT),
    file!("report.js", SCRIPT),
    file!("network.css", STYLE),
    file!("network.js", SCRIPT),
    file!("network-chart.js", SCRIPT),
    file!("network-texts.js", SCRIPT),
    file!("network-view.js", SCRIPT),
    file!("texts.js", SCRIPT),
    file!("verdict.js", SCRIPT),
    file!("verify/bytes.js", SCRIPT),
    file!("verify/formats.js", SCRIPT),
    file!("verify/json.js", SCRIPT),
    file!("verify/key.js", SCRIPT),
    file!("verify/log.js", SCRIPT),
    file!("verify/note.js", SCRIPT),
    file!("verify/protobuf.js", SCRIPT),
    file!("verify/receipt.js", SCRIPT),
    file!("verify/sha256.js", SCRIPT),
    file!("verify/verify.js", SCRIPT),
];

/// What the page may do: load its own files, and ask its own node. Nothing else, of nobody else.
const POLICY: &str = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where the pages that are wanted are served. None leads to one that is not.
pub(super) fn routes<S: Clone + Send + Sync + 'static>(
    pages: Pages,
) -> impl Iterator<Item = (&'static str, MethodRouter<S>)> {
    let shown = [(pages.citizens, INDEX), (pages.network, NETWORK)];
    let left_out: Vec<&str> = shown.iter().filter(|(shown, _)| !shown).map(|(_, (path, ..))| *path).collect();
    let page = move |(path, kind, bytes): File| {
        let bytes = without_links(bytes, &left_out);
        (path, get(move |headers: HeaderMap| async move { answer(&headers, kind, bytes) }))
    };
    let files = (pages.citizens || pages.network).then(|| ("/web/{*path}", get(file)));
    shown.into_iter().filter(|(shown, _)| *shown).map(move |(_, it)| page(it)).chain(files)
}

/// A page without the lines that link to some paths.
fn without_links(html: &[u8], paths: &[&str]) -> Vec<u8> {
    let links: Vec<String> = paths.iter().map(|path| format!("href=\"{path}\"")).collect();
    let is_kept = |line: &&[u8]| {
        let has = |link: &String| line.windows(link.len()).any(|part| part == link.as_bytes());
        !links.iter().any(has)
    };
    html.split_inclusive(|byte| *byte == b'\n').filter(is_kept).flatten().copied().collect()
}

/// One of their files.
async fn file(uri: Uri, headers: HeaderMap) -> Response {
    let Some((_, kind, bytes)) = FILES.iter().find(|(path, ..)| *path == uri.path()) else {
        return with_code(
            StatusCode::NOT_FOUND,
            &error::status(Code::NotFound, "NOT_FOUND", "there is no such file"),
        );
    };
    answer(&headers, kind, bytes.to_vec())
}

/// A browser keeps it, and asks each time whether it is still the same.
fn answer(headers: &HeaderMap, kind: &'static str, bytes: Vec<u8>) -> Response {
    let mut response = kept(headers, kind, "no-cache", bytes);
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    /// All files below a folder, as they are served.
    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                below(&entry.path(), &format!("{name}/"), found)
            } else {
                _ = found.insert(name)
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let mut found = BTreeSet::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/web"), "/web/", &mut found);
        for (file, path) in [("/web/index.html", "/"), ("/web/network.html", "/network")] {
            assert!(found.remove(file) && found.insert(path.into()));
        }
        assert_eq!(FILES.iter().map(|(path, ..)| String::from(*path)).collect::<BTreeSet<_>>(), found);
    }

    #[test]
    fn no_page_leads_to_one_that_is_switched_off() {
        for (page, other) in [(INDEX, NETWORK), (NETWORK, INDEX)] {
            let link = format!("href=\"{}\"", other.0);
            let has_link = |html: &[u8]| str::from_utf8(html).unwrap().matches(&link).count();
            assert_eq!(has_link(page.2), 1);
            assert_eq!(has_link(&without_links(page.2, &[other.0])), 0);
            assert_eq!(without_links(page.2, &[]), page.2);
        }
        let served = |citizens, network| {
            routes::<()>(Pages { citizens, network }).map(|(path, _)| path).collect::<Vec<_>>()
        };
        assert_eq!(served(true, true), ["/", "/network", "/web/{*path}"]);
        assert_eq!(served(false, true), ["/network", "/web/{*path}"]);
        assert_eq!(served(false, false), [""; 0]);
    }

    #[test]
    fn the_first_load_is_small() {
        let loaded = FILES.iter().filter(|(path, ..)| !path.contains("network"));
        let bytes: usize = loaded.map(|(.., bytes)| bytes.len()).sum();
        assert!(bytes < 200 * 1000, "{bytes}");
    }

    #[test]
    fn nothing_stands_inside_the_page_that_its_policy_forbids() {
        for (path, _, bytes) in [INDEX, NETWORK] {
            let html = str::from_utf8(bytes).unwrap();
            for forbidden in [" style=", "onclick", "<style", "http://", "https://"] {
                assert!(!html.contains(forbidden), "{path}: {forbidden}");
            }
            assert_eq!(
                html.matches("<script").count(),
                html.matches("<script type=\"module\" src=\"/web/").count(),
                "{path}"
            );
        }
        for (path, _, bytes) in FILES.iter().filter(|(path, ..)| path.ends_with(".js")) {
            let script = str::from_utf8(bytes).unwrap();
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "eval(",
                "Function(",
                "document.write",
                "document.cookie",
                "localStorage",
            ] {
                assert!(!script.contains(forbidden), "{path}: {forbidden}");
            }
        }
    }
}
