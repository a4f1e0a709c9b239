//! The program as scripts see it: exit codes, what is printed where, and what is left on the disk.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

fn markstein(folder: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_markstein"));
    command.current_dir(folder).env("XDG_STATE_HOME", folder.join("state")).args(line.split(' '));
    command.output().unwrap()
}

/// The exit code and what was printed for people.
fn outcome(folder: &Path, line: &str) -> (i32, String) {
    let output = markstein(folder, line);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn folder_with_key() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = outcome(folder.path(), "keygen --issuer permits.example --name Bauaufsicht --out k");
    assert_eq!(code, 0, "{text}");
    let bound =
        format!("keygen --issuer permits.example --name Bauaufsicht --out l --ledger {}", "07".repeat(32));
    let (code, text) = outcome(folder.path(), &bound);
    assert_eq!(code, 0, "{text}");
    fs::write(folder.path().join("document"), "text").unwrap();
    folder
}

#[test]
fn a_key_is_made_once() {
    let folder = folder_with_key();
    let key = fs::read(folder.path().join("k")).unwrap();
    assert_eq!(folder.path().join("k").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(folder.path().join("k.pub.toml")).unwrap().contains("permits.example"));
    let (code, text) = outcome(folder.path(), "keygen --issuer permits.example --name B --out k");
    assert_eq!(code, 2);
    assert!(text.contains("not overwritten"), "{text}");
    assert_eq!(fs::read(folder.path().join("k")).unwrap(), key);
}

#[test]
fn what_cannot_be_anchored_ends_with_2_and_a_sentence() {
    let folder = folder_with_key();
    let anchor = |rest: &str| outcome(folder.path(), &format!("anchor --timeout 0s {rest}"));
    for (rest, sentence) in [
        ("--key k --node http://10.0.0.1:7001 document", "--insecure"),
        ("--key k --node nonsense document", "no node's URL"),
        ("--key k --node http://127.0.0.1:1 gone", "gone: No such file"),
        ("--key gone --node http://127.0.0.1:1 document", "gone cannot be read or written: No such file"),
        ("--key k --node http://127.0.0.1:1 --valid-until 2001-01-01 document", "in the past"),
        ("--key k --node http://127.0.0.1:1 --genesis gone document", "ask an authority"),
        ("--key k --node http://127.0.0.1:1 document", "give the genesis of your ledger with --genesis"),
        ("--key l --node http://127.0.0.1:1 document", "refused"),
        ("--key k --node http://127.0.0.1:1", "Usage"),
    ] {
        let (code, text) = anchor(rest);
        assert_eq!(code, 2, "{rest}: {text}");
        assert!(text.contains(sentence), "{rest}: {text}");
    }
    fs::set_permissions(folder.path().join("k"), fs::Permissions::from_mode(0o644)).unwrap();
    let (code, text) = anchor("--key k --node http://127.0.0.1:1 document");
    assert_eq!(code, 2);
    assert!(text.contains("chmod 600 k"), "{text}");
    assert!(!folder.path().join("document.markstein.json").exists());
}

#[test]
fn verify_says_2_where_it_cannot_check() {
    let folder = folder_with_key();
    for line in [
        "verify document",
        "verify --genesis gone document",
        "verify --genesis k document",
        "page --genesis gone",
        "page --genesis k --out page.html",
    ] {
        let (code, text) = outcome(folder.path(), line);
        assert_eq!(code, 2, "{line}: {text}");
    }
    let output = markstein(folder.path(), "--json verify --genesis gone document");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["error"].as_str().unwrap().contains("gone"), "{answer}");
}

#[test]
fn status_of_nobody_is_2() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = outcome(folder.path(), "status --node http://127.0.0.1:1");
    assert_eq!(code, 2);
    assert!(text.contains("cannot be asked"), "{text}");
    let output = markstein(folder.path(), "status --json --node http://127.0.0.1:1");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["nodes"][0]["reachable"], false);
}

#[test]
fn what_cannot_be_printed_changes_no_code_but_0() {
    let folder = folder_with_key();
    let run = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_markstein"));
        command.current_dir(folder.path()).env("XDG_STATE_HOME", folder.path().join("state"));
        command.args(line.split(' '));
        command
    };
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (line, code) in [("completions bash", 2), ("status --node http://127.0.0.1:1", 2)] {
        let status = run(line).stdout(full()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{line}");
    }
    for line in
        ["verify --genesis gone document", "anchor --key k --node http://127.0.0.1:1 --timeout 1s document"]
    {
        let status = run(line).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(2), "{line}");
    }
    let mut child = run("completions bash").stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "a reader that has seen enough");
}

#[test]
fn a_line_end_in_a_name_makes_no_line_that_reads_like_a_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = outcome(folder.path(), "verify --genesis gone\nx.pdf:\tgenuine document");
    assert_eq!(code, 2);
    assert!(text.contains("gone\n    x.pdf:\\u{9}genuine"), "{text}");
}

#[test]
fn the_longest_patience_is_no_panic() {
    let folder = folder_with_key();
    let line = "anchor --key k --node http://10.0.0.1:1 --timeout 18446744073709551615s document";
    assert_eq!(outcome(folder.path(), line).0, 2);
    let line =
        "anchor --key k --genesis gone --node http://127.0.0.1:1 --timeout 18446744073709551615s document";
    assert_eq!(outcome(folder.path(), line).0, 2);
}

#[test]
fn shells_get_their_completions() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, text) = outcome(folder.path(), &format!("completions {shell}"));
        assert!(code == 0 && text.contains("anchor"), "{shell}");
    }
}
