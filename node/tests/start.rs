//! A start that fails late: whatever runs by then is stopped, and the store is closed before the process ends, which
//! takes down what threads within RocksDB still use.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_markstein-node");
/// How often each start is tried: a store that is left open meets the end of the process only now and then.
const TRIES: usize = 30;

fn call(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).output().unwrap()
}

/// The configuration of an authority whose node has run nowhere yet.
fn prepared(folder: &Path) -> PathBuf {
    let made = call(folder, &["devnet", "--prepare", "--dir", ".", "--authorities", "1", "--observers", "1"]);
    assert!(made.status.success(), "{made:?}");
    folder.join("node0/node.toml")
}

/// Starts a node again and again; each time it must end by itself, with these reasons.
#[track_caller]
fn fails(folder: &Path, config: &Path, reasons: &[&str]) {
    for _ in 0..TRIES {
        let ended = call(folder, &["run", "--config", config.to_str().unwrap()]);
        let log =
            format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert_eq!(ended.status.code(), Some(1), "{:?} {log}", ended.status);
        let is_told = |reason: &&str| log.contains(reason);
        assert!(reasons.iter().chain(&["phase ended phase=flush and close store"]).all(is_told), "{log}");
    }
}

/// The same configuration with `from`, which stands in it once, in other words.
fn edit(config: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(config).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{text}");
    fs::write(config, text.replace(from, to)).unwrap();
}

/// A start in which the address is taken that `setting` names, which stands once in the configuration. The message names
/// it, and has `reason`.
#[track_caller]
fn fails_where_taken(setting: &str, reason: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config = prepared(folder.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    edit(&config, setting, &setting.replace("127.0.0.1:0", &address));
    fails(folder.path(), &config, &[&address, reason]);
}

#[test]
fn a_taken_api_port_ends_a_start_in_order() {
    fails_where_taken("[api]\nlisten = [\"127.0.0.1:0\"]", "is in use by another program");
}

#[test]
fn a_taken_operators_port_ends_a_start_in_order() {
    fails_where_taken("[operator]\nlisten = \"127.0.0.1:0\"", "is in use by another program");
}

#[test]
fn a_network_that_cannot_start_ends_a_start_in_order() {
    fails_where_taken("]\nlisten = [\"127.0.0.1:0\"]\nobservers", "in use");
}

#[test]
fn an_address_file_that_cannot_be_written_ends_a_start_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepared(folder.path());
    edit(&config, "address_file = \"listening.json\"", "address_file = \"nowhere/listening.json\"");
    fails(folder.path(), &config, &["address file"]);
}
