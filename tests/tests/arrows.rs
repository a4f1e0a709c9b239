//! The dependency arrows of the workspace: which crate may use which, and which module may see which library.
//!
//! The formats and their verification must run anywhere and give the same verdict everywhere, so the crate proto
//! sees no runtime, no network, no clock and no disk. The libraries that a node faces the world with are each known
//! to one module, so that they can be replaced, and their types do not spread.
#![allow(clippy::unwrap_used)]

mod workspace;

use std::collections::{BTreeMap, BTreeSet};

use workspace::{Source, cargo, lines_with_word, metadata, read, sources};

/// Which of our crates each of our crates may name, for any purpose.
const CRATES: &[(&str, &[&str])] = &[
    ("markstein-proto", &[]),
    ("markstein-consensus", &["markstein-proto"]),
    ("markstein-node", &["markstein-consensus", "markstein-proto"]),
    ("markstein-client", &["markstein-proto"]),
    ("markstein-tests", &["markstein-client", "markstein-consensus", "markstein-node", "markstein-proto"]),
];

/// Packages that must not be anywhere below a crate in a normal build; a `*` at the end stands for any rest.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "markstein-proto",
        &[
            "tokio*",
            "async-*",
            "futures*",
            "mio",
            "socket2",
            "hyper*",
            "http*",
            "h2",
            "tower*",
            "tonic*",
            "axum*",
            "libp2p*",
            "rustls*",
            "ring",
            "rocksdb",
            "librocksdb-sys",
            "getrandom",
            "rand",
            "rand_*",
            "rustix",
            "tempfile",
            "walkdir",
            "time",
            "chrono",
            "jiff",
            "tracing*",
            "log",
            "rayon*",
        ],
    ),
    (
        "markstein-consensus",
        &[
            "tokio*",
            "async-*",
            "futures*",
            "tonic*",
            "libp2p*",
            "rocksdb",
            "getrandom",
            "rand",
            "rand_*",
            "tracing*",
        ],
    ),
    (
        "markstein-client",
        &["rocksdb", "librocksdb-sys", "libp2p*", "axum-server", "tonic-reflection", "tonic-health"],
    ),
];

/// A word of the source, where it may stand, and why there.
struct Territory {
    /// Beginning of the paths this rule is about.
    within: &'static str,
    words: &'static [&'static str],
    /// Beginnings of paths.
    allowed: &'static [&'static str],
    why: &'static str,
}

const TERRITORIES: &[Territory] = &[
    Territory {
        within: "node/",
        words: &["rocksdb"],
        allowed: &["node/src/storage/"],
        why: "the rest of the node knows typed tables only",
    },
    Territory {
        within: "node/",
        words: &["tonic", "tonic_prost", "tonic_web", "tonic_reflection"],
        // The devnet asks the health service of the nodes it started, as any other client of theirs would.
        allowed: &["node/src/api/", "node/src/commands/devnet/child.rs"],
        why: "gRPC's types end in the API module",
    },
    Territory {
        within: "node/",
        words: &["tonic_health"],
        allowed: &["node/src/api/", "node/src/commands/devnet/child.rs"],
        why: "gRPC's types end in the API module",
    },
    Territory {
        within: "node/",
        words: &["axum"],
        // The server takes the router that the API module made, whole, counts its requests, and tells them their connection.
        allowed: &[
            "node/src/api/",
            "node/src/server/admission.rs",
            "node/src/server/drain.rs",
            "node/src/server/mod.rs",
        ],
        why: "HTTP's types end in the API module",
    },
    Territory {
        within: "node/",
        words: &["libp2p", "libp2p_stream"],
        allowed: &["node/src/network/"],
        why: "libp2p's types end in the network module",
    },
    Territory {
        within: "node/",
        words: &["axum_server", "rustls"],
        allowed: &["node/src/server/"],
        why: "listeners and TLS are the server's",
    },
    Territory {
        within: "client/",
        words: &["tonic", "tonic_prost"],
        allowed: &["client/src/api.rs", "client/src/connect.rs", "client/src/connect/"],
        why: "gRPC's types end where the client connects",
    },
    Territory {
        within: "client/",
        words: &["hyper", "hyper_util", "http_body_util", "tokio_rustls", "rustls_native_certs"],
        allowed: &["client/src/http.rs"],
        why: "the types of HTTP and TLS end there",
    },
    Territory {
        within: "client/",
        words: &["indicatif", "clap"],
        allowed: &["client/src/cli/"],
        why: "the library has no opinion on terminals",
    },
    Territory {
        within: "",
        words: &["SystemTime"],
        allowed: &["node/src/clock.rs", "node/src/commands/genesis.rs", "client/src/time.rs"],
        why: "the time of day is read in one place, so that tests can set it",
    },
    Territory {
        within: "node/src/ledger/",
        words: &["tokio", "std::time", "std::fs", "std::net", "std::thread", "std::env"],
        allowed: &[],
        why: "what a block does is a function of state and block",
    },
    Territory {
        within: "node/consensus/src/",
        words: &[
            "HashMap",
            "HashSet",
            "Instant",
            "SystemTime",
            "std::fs",
            "std::net",
            "std::thread",
            "std::env",
        ],
        allowed: &[],
        why: "the engine is a function of its inputs: no clock, no I/O, no order that differs between runs",
    },
    Territory {
        within: "proto/src/",
        words: &["std", "getrandom", "SystemTime", "Instant"],
        allowed: &[],
        why: "formats and verification have no I/O, no clock and no runtime",
    },
];

#[test]
fn our_crates_depend_on_each_other_along_the_arrows_only() {
    let metadata = metadata();
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        if !members.contains(package["id"].as_str().unwrap()) {
            continue;
        }
        let names = package["dependencies"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap());
        let ours = names.filter(|name| name.starts_with("markstein-")).collect();
        found.insert(package["name"].as_str().unwrap(), ours);
    }
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        CRATES.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    assert_eq!(found, allowed);
}

#[test]
fn no_crate_pulls_in_what_it_must_not_see() {
    for (name, forbidden) in FORBIDDEN {
        let tree =
            cargo(&["tree", "--locked", "-p", name, "-e", "normal", "--prefix", "none", "--format", "{p}"]);
        let below: BTreeSet<&str> =
            tree.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        assert!(below.len() > 10, "{name}: this is not a list of packages: {tree}");
        for package in below {
            let hit = forbidden.iter().find(|pattern| matches(pattern, package));
            assert!(
                hit.is_none(),
                "{name} must not depend on {package}; see: cargo tree -p {name} -e normal -i {package}"
            );
        }
    }
}

#[test]
fn each_library_stays_in_its_module() {
    let mut wrong = Vec::new();
    let sources = sources();
    for territory in TERRITORIES {
        let Territory { within, words, allowed, why } = territory;
        let outside = |source: &&Source| {
            source.file.starts_with(within) && !allowed.iter().any(|start| source.file.starts_with(start))
        };
        for source in sources.iter().filter(outside) {
            for word in *words {
                for line in lines_with_word(&source.production, word) {
                    wrong.push(format!("{}:{line} uses {word}: {why}", source.file));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn a_territory_that_nobody_lives_in_is_struck_off() {
    let sources = sources();
    let sources: Vec<&Source> = sources.iter().filter(|source| !source.is_test()).collect();
    for Territory { words, allowed, .. } in TERRITORIES {
        for start in *allowed {
            let used = sources
                .iter()
                .filter(|source| source.file.starts_with(start))
                .any(|source| words.iter().any(|word| !lines_with_word(&source.production, word).is_empty()));
            assert!(used, "{start} is allowed to use one of {words:?} and does not");
        }
    }
}

#[test]
fn proto_needs_no_operating_system() {
    let lib = read("proto/src/lib.rs");
    assert!(lib.lines().any(|line| line == "#![no_std]"), "proto must be no_std");
    let manifest: toml::Table = read("proto/Cargo.toml").parse().unwrap();
    assert!(!manifest.contains_key("features"), "a feature of proto could let the standard library in");
    // Features of libraries that would bring it in through the back door. prost's macros run on the build machine.
    let tree =
        cargo(&["tree", "--locked", "-p", "markstein-proto", "-e", "normal,features", "--prefix", "none"]);
    let build_only = ["anyhow", "either", "itertools", "proc-macro2", "quote", "syn"];
    for line in tree.lines().filter(|line| line.ends_with("feature \"std\"")) {
        let package = line.split_whitespace().next().unwrap();
        assert!(
            build_only.contains(&package),
            "proto has {line}; see: cargo tree -p markstein-proto -e features"
        );
    }
}

fn matches(pattern: &str, package: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == package, |start| package.starts_with(start))
}
