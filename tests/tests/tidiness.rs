//! Tidiness: what every source of the workspace keeps to, so that nobody has to look for it in a review.
#![allow(clippy::unwrap_used)]

mod workspace;

use std::collections::BTreeSet;

use workspace::{Source, cargo, files, lines_with_word, metadata, read, sources};

/// What lies at the top of the workspace; names that begin with a dot are free.
const TOP: &[&str] = &[
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "client",
    "config",
    "node",
    "proto",
    "tests",
];

/// Lines of production code in one file beyond which its header must say why, in a line that begins with [`REASON`].
const LINES_MAX: usize = 500;
const REASON: &str = "//! Length: ";

/// Licences of what we link, all of them compatible with distribution under the EUPL-1.2: they ask for notices only.
const LICENCES: &[&str] =
    &["Apache-2.0", "BSD-3-Clause", "EUPL-1.2", "ISC", "MIT", "Unicode-3.0", "Unlicense", "Zlib"];

/// Published vectors, kept as they were published.
const VECTORS: &str = "proto/tests/vectors/";

#[test]
fn every_source_begins_by_saying_what_it_is_for() {
    check(&sources(), |source| {
        let first = source.text.lines().next().unwrap_or_default();
        if first.starts_with("//! ") && first.len() > 8 { vec![] } else { vec![1] }
    });
}

#[test]
fn nothing_is_left_to_do_later() {
    for word in ["todo!", "unimplemented!", "dbg!"] {
        check(&sources(), |source| lines_with_word(&source.code, word));
    }
}

#[test]
fn nothing_is_unsafe() {
    check(&sources(), |source| lines_with_word(&source.code, "unsafe"));
}

#[test]
fn only_tests_unwrap() {
    for word in [".unwrap()", ".unwrap_err()"] {
        check(&sources(), |source| lines_with_word(&source.production, word));
    }
}

#[test]
fn a_test_that_is_ignored_says_why() {
    check(&sources(), |source| lines_with_word(&source.code, "#[ignore]"));
}

#[test]
fn a_long_file_says_why_it_is_long() {
    check(&sources(), |source| {
        let lines = source.text.lines().zip(source.production.lines());
        // Comments count, tests do not: a line counts unless all of its code stands in a test.
        let blanked = |(text, production): &(&str, &str)| {
            production.trim().is_empty() && !text.trim().is_empty() && !text.trim_start().starts_with("//")
        };
        let count = if source.is_test() { 0 } else { lines.filter(|line| !blanked(line)).count() };
        let explained = source.text.lines().take(10).any(|line| line.starts_with(REASON));
        if count > LINES_MAX && !explained { vec![count] } else { vec![] }
    });
}

#[test]
fn every_source_is_compiled() {
    let sources = sources();
    // What cargo takes for a crate of its own: a file directly in such a folder, or `main.rs` one level below.
    let is_root = |file: &str| {
        let crates = ["/src/bin/", "/tests/", "/benches/", "/examples/", "/fuzz_targets/"];
        let alone = |rest: &str| {
            !rest.contains('/') || (rest.ends_with("/main.rs") && rest.matches('/').count() == 1)
        };
        ["/src/lib.rs", "/src/main.rs", "/build.rs"].iter().any(|end| file.ends_with(end))
            || crates.iter().any(|folder| file.split_once(folder).is_some_and(|(_, rest)| alone(rest)))
    };
    let declared = |source: &Source, name: &str| {
        let words = source.code.split([' ', '\n']).collect::<Vec<_>>();
        words.windows(2).any(|pair| pair[0] == "mod" && pair[1] == format!("{name};"))
    };
    check(&sources, |source| {
        if is_root(&source.file) {
            return vec![];
        }
        let path = source.file.trim_end_matches(".rs").trim_end_matches("/mod");
        let (folder, name) = path.rsplit_once('/').unwrap();
        let parents = [
            format!("{folder}/mod.rs"),
            format!("{folder}/lib.rs"),
            format!("{folder}/main.rs"),
            format!("{folder}.rs"),
        ];
        // A file below `tests/` may belong to any of the test binaries beside its folder.
        let is_parent = |other: &&Source| {
            parents.contains(&other.file)
                || other.file.rsplit_once('/').is_some_and(|(place, _)| place == folder)
        };
        let by_path = format!("#[path = \"{}\"]", source.file.rsplit_once('/').unwrap().1);
        let found =
            sources.iter().filter(is_parent).any(|it| declared(it, name) || it.text.contains(&by_path));
        if found { vec![] } else { vec![1] }
    });
}

#[test]
fn domain_tags_stand_in_one_file() {
    let tags = read("proto/src/domain.rs");
    assert!(tags.contains("b\"markstein/v1/"), "the tags are no longer where this test looks for them");
    let is_tag = |line: &str| line.contains("b\"markstein/") || line.contains("\\0\"");
    check(&sources(), |source| {
        let lines = source.text.lines().zip(source.production.lines()).enumerate();
        let tagged = lines.filter(|(_, (text, production))| is_tag(text) && !production.trim().is_empty());
        if source.file == "proto/src/domain.rs" {
            vec![]
        } else {
            tagged.map(|(number, _)| number + 1).collect()
        }
    });
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    let places = ["work", "root", "tmp", "home", "Users", "mnt"].map(|folder| format!("/{folder}/"));
    let mut wrong = Vec::new();
    for file in files().into_iter().filter(|file| !file.starts_with(VECTORS)) {
        let Ok(text) = std::fs::read_to_string(workspace::root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            // Only where the path begins there: "proto/tests/work/" names nothing on a machine.
            let absolute = |place: &String| {
                line.match_indices(place.as_str()).any(|(at, _)| {
                    let before = line[..at].chars().next_back();
                    !before.is_some_and(|c| {
                        c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '}' | '>')
                    })
                })
            };
            if places.iter().any(absolute) {
                wrong.push(format!("{file}:{}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_top_of_the_workspace_is_as_agreed() {
    let names: BTreeSet<String> =
        files().iter().map(|file| file.split('/').next().unwrap().to_owned()).collect();
    let unknown: Vec<&String> =
        names.iter().filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}: find them a place in one of the folders");
}

#[test]
fn every_crate_keeps_the_rules_of_the_workspace() {
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let profiles: Vec<&String> = workspace["profile"].as_table().unwrap().keys().collect();
    assert_eq!(profiles, ["release"], "there is one profile: each further one would compile RocksDB again");
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        let member = member.as_str().unwrap();
        let manifest: toml::Table = read(&format!("{member}/Cargo.toml")).parse().unwrap();
        let inherits = |table: &str, key: &str| {
            let table = manifest.get(table).and_then(|table| table.get(key));
            table.is_some_and(|it| it.as_bool().or_else(|| it.get("workspace")?.as_bool()) == Some(true))
        };
        assert!(inherits("lints", "workspace"), "{member}: [lints] workspace = true");
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            assert!(inherits("package", key), "{member}: {key}.workspace = true");
        }
    }
}

#[test]
fn every_library_may_be_distributed_with_ours() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    // The lock file also names what optional features of libraries would pull in; what is built is in the tree.
    let tree = cargo(&["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}"]);
    let built =
        |package: &str| tree.lines().any(|line| line == package || line.starts_with(&format!("{package} ")));
    let mut looked_at = 0;
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        if !built(&format!("{name} v{version}")) {
            continue;
        }
        looked_at += 1;
        let package = format!("{name} {version}");
        assert!(
            is_allowed(licence),
            "{package} has the licence {licence:?}, which is not one of {LICENCES:?}"
        );
    }
    assert!(looked_at > 100, "the tree names what is built");
}

#[test]
fn every_library_comes_from_the_public_registry() {
    let locks =
        ["Cargo.lock", "tests/fuzz/Cargo.lock"].map(|lock| read(lock).parse::<toml::Table>().unwrap());
    for package in locks.iter().flat_map(|lock| lock["package"].as_array().unwrap()) {
        let name = package["name"].as_str().unwrap();
        match package.get("source") {
            None => assert!(name.starts_with("markstein-"), "{name} is not ours and has no source"),
            Some(source) => {
                assert_eq!(
                    source.as_str(),
                    Some("registry+https://github.com/rust-lang/crates.io-index"),
                    "{name}"
                );
                assert!(package.get("checksum").is_some(), "{name} has no checksum");
            }
        }
    }
}

#[test]
fn licence_expressions_are_read_as_written() {
    for allowed in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(MIT OR GPL-3.0) AND ISC", "MIT AND (ISC OR X)"]
    {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "MIT WITH Something", "OR"]
    {
        assert!(!is_allowed(refused), "{refused}");
    }
}

/// Does an SPDX expression offer a choice of licences that are all in [`LICENCES`]? An exception makes it another one.
fn is_allowed(expression: &str) -> bool {
    // `A/B` is how `A OR B` was once written.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words) -> bool {
    let mut allowed = all_of(words);
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all_of(words);
    }
    allowed
}

fn all_of(words: &mut Words) -> bool {
    let mut allowed = one(words);
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words);
    }
    allowed
}

fn one(words: &mut Words) -> bool {
    match words.next() {
        Some("(") => any_of(words) & (words.next() == Some(")")),
        Some(licence) => {
            let exception = words.next_if_eq(&"WITH").and_then(|_| words.next());
            LICENCES.contains(&licence) && exception.is_none()
        }
        None => false,
    }
}

/// Fails with `file:line` for every line that `wrong` finds.
fn check(sources: &[Source], wrong: impl Fn(&Source) -> Vec<usize>) {
    assert!(sources.len() > 50, "the sources were not found");
    let found: Vec<String> = sources
        .iter()
        .flat_map(|source| wrong(source).into_iter().map(|line| format!("{}:{line}", source.file)))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}
