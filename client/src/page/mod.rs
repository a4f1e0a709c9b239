//! The citizens' page as one file: style, script, icon and trust root inside, so that it needs no server.
//!
//! Its policy allows this very script and this very style, by their hashes, a worker that the script makes, and calls of the
//! one node that was named, or of none. The same release, genesis and node give the same bytes.

mod modules;

use markstein_proto::{Hash, encoding::base64_encode, receipt::TrustRoot};

pub use modules::JoinError;

macro_rules! web {
    ($path:literal) => {
        ($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/web/", $path)))
    };
}

const INDEX: &str = include_str!("../../web/index.html");
const STYLE: &str = include_str!("../../web/style.css");
const ICON: &str = include_str!("../../web/icon.svg");

/// The module that says which edition the page is. In its place stands another one here.
const EDITION: &str = "edition.js";

const MODULES: &[modules::Module<'static>] = &[
    web!("app.js"),
    web!("dom.js"),
    web!("files.js"),
    web!("hash-worker.js"),
    web!("hashing.js"),
    web!("link.js"),
    web!("offices.js"),
    web!("open.js"),
    web!("qr.js"),
    web!("report.js"),
    web!("texts.js"),
    web!("verdict.js"),
    web!("verify/bytes.js"),
    web!("verify/formats.js"),
    web!("verify/json.js"),
    web!("verify/key.js"),
    web!("verify/log.js"),
    web!("verify/note.js"),
    web!("verify/protobuf.js"),
    web!("verify/receipt.js"),
    web!("verify/sha256.js"),
    web!("verify/verify.js"),
];

/// Why there is no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// No address that a policy can name.
    #[error(
        "{0:?} is no node's address: it must be https://HOST or https://HOST:PORT (http:// for a trial), and nothing more"
    )]
    Node(String),
    /// Its scripts do not fit.
    #[error("the page's scripts cannot be joined: {0}")]
    Join(#[from] JoinError),
    /// Something would end a script or style inside the page, or its file has another form than is known here.
    #[error("the page cannot be put together: {0}")]
    Form(&'static str),
}

/// The page as one file. With a node it offers to ask that one for newer statuses and public records; without, it asks nobody.
///
/// # Errors
/// See [`PageError`].
pub fn single_file(trust: &TrustRoot, node: Option<&str>) -> Result<String, PageError> {
    let node = node.map(origin).transpose()?;
    let script = format!("\n{}", script(trust, node)?);
    let style = format!("\n{STYLE}");
    for (text, end) in [(&script, "</script"), (&style, "</style")] {
        let lower = text.to_ascii_lowercase();
        if [end, "<script", "<!--"].iter().any(|mark| lower.contains(mark)) || lower.contains(['\r', '\0']) {
            return Err(PageError::Form("a script or style has a mark that would end it"));
        }
    }
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; worker-src blob:; img-src data:; connect-src {}; \
         base-uri 'none'; form-action 'none'",
        source(&script),
        source(&style),
        node.unwrap_or("'none'"),
    );
    let policy = format!(
        "<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n"
    );
    let icon = format!("href=\"data:image/svg+xml;base64,{}\"", base64_encode(ICON.as_bytes()));
    let mut page = INDEX.to_owned();
    for (there, here) in [
        ("<meta charset=\"utf-8\">\n", policy),
        ("href=\"/web/icon.svg\"", icon),
        ("<link rel=\"stylesheet\" href=\"/web/style.css\">", format!("<style>{style}</style>")),
        (
            "<script type=\"module\" src=\"/web/app.js\"></script>",
            format!("<script type=\"module\">{script}</script>"),
        ),
        ("    <p><a href=\"/network\" data-text=\"overview\"></a></p>\n", String::new()),
    ] {
        let Some((before, after)) = page.split_once(there) else {
            return Err(PageError::Form("its frame is another one"));
        };
        page = [before, &here, after].concat();
    }
    Ok(page)
}

/// How a policy names a text that stands in the page.
fn source(text: &str) -> String {
    format!("'sha256-{}'", base64_encode(Hash::of(&[text.as_bytes()]).as_bytes()))
}

/// The address as a policy has it, without a slash at its end.
fn origin(node: &str) -> Result<&str, PageError> {
    let refused = || PageError::Node(node.into());
    let origin = node.strip_suffix('/').unwrap_or(node);
    let rest =
        origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")).ok_or_else(refused)?;
    let (host, port) = rest.split_once(':').unwrap_or((rest, "1"));
    let of_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if host.is_empty() || !host.chars().all(of_host) || !is_port {
        return Err(refused());
    }
    Ok(origin)
}

/// All of the script. The worker's stands in it as a text.
fn script(trust: &TrustRoot, node: Option<&str>) -> Result<String, PageError> {
    let worker = format!("\"use strict\";\n{}", modules::join("hash-worker.js", MODULES)?);
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let edition = format!(
        "// One file, made by `markstein page`.\nexport const GENESIS = {};\nexport const NODE = {};\nconst WORKER = {};\n\
         export function startHashWorker() {{\n  const script = new Blob([WORKER], {{ type: \"text/javascript\" }});\n  \
         return new Worker(URL.createObjectURL(script));\n}}\n",
        quoted(&base64_encode(&trust.genesis().encode())),
        node.map_or_else(|| "null".into(), quoted),
        quoted(&worker),
    );
    let mut all = MODULES.to_vec();
    all.push((EDITION, &edition));
    Ok(modules::join("app.js", &all)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::Ledger;

    fn page(node: Option<&str>) -> String {
        single_file(Ledger::new().trust(), node).unwrap()
    }

    #[test]
    fn the_same_gives_the_same_and_all_is_inside() {
        let made = page(None);
        assert_eq!(made, page(None));
        for outside in [" src=", "url(", "@import", "/web/", "import.meta", "\nimport ", "\nexport "] {
            assert!(!made.contains(outside), "{outside}");
        }
        let links: Vec<&str> =
            made.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(links.len() == 2 && links[0].starts_with("data:") && links[1] == "#main", "{links:?}");
        assert_eq!(made.matches("<script").count(), 1);
        assert!(made.contains(&base64_encode(&Ledger::new().trust().genesis().encode())));
    }

    #[test]
    fn the_policy_names_this_script_and_this_style() {
        let made = page(None);
        let policy =
            made.split("Content-Security-Policy\" content=\"").nth(1).unwrap().split('"').next().unwrap();
        assert!(
            made.find("Content-Security-Policy") < made.find("<style>"),
            "it stands before what it is for"
        );
        for (begin, end, directive) in
            [("<script type=\"module\">", "</script>", "script-src"), ("<style>", "</style>", "style-src")]
        {
            let text = made.split(begin).nth(1).unwrap().split(end).next().unwrap();
            assert!(policy.contains(&format!("{directive} {};", source(text))), "{policy}");
        }
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("connect-src 'none';"),
            "{policy}"
        );
        assert!(page(Some("https://node.example:4600/")).contains("connect-src https://node.example:4600;"));
    }

    #[test]
    fn a_node_is_named_by_its_origin_alone() {
        for node in [
            "",
            "https://",
            "node.example",
            "ftp://a",
            "https://a/b",
            "https://a?b",
            "https://a;b",
            "https://a b",
            "https://*",
            "https://a:",
            "https://a:0",
            "https://a:99999",
            "https://a:+1",
            "https://a:1:2",
            "https://A",
            "https://'none'",
            "https://a//",
            "https://[::1]",
        ] {
            assert_eq!(origin(node), Err(PageError::Node(node.into())), "{node}");
        }
        for node in ["https://node.example", "http://127.0.0.1:4600"] {
            assert_eq!(origin(node), Ok(node));
        }
    }
}
