//! Mistakes of operators: each ends the program with a sentence that names the file and the remedy, and changes nothing.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use markstein_tests::{
    binaries::{Voice, binaries},
    devnet::Devnet,
    files::below,
};
use tempfile::TempDir;

use crate::support::{Ledger, text};

/// A ledger that was started once and stopped: its node's files are all there.
struct Stopped {
    folder: TempDir,
    devnet: Devnet,
}

impl Stopped {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut devnet = Devnet::start(&folder.path().join("ledger")).unwrap();
        assert!(devnet.stop().unwrap().success());
        Self { folder, devnet }
    }

    fn node(&self) -> PathBuf {
        self.devnet.dir().join("node0")
    }

    /// Another configuration of the same node.
    fn config(&self, change: impl FnOnce(String) -> String) -> PathBuf {
        let path = self.node().join("changed.toml");
        fs::write(&path, change(fs::read_to_string(self.devnet.config()).unwrap())).unwrap();
        path
    }
}

fn node(arguments: &[&str]) -> Output {
    Command::new(binaries(Voice::Quiet).unwrap().node).args(arguments).output().unwrap()
}

/// Runs the node, which must end by itself, say all these words, and leave the folder as it was.
fn assert_refused(arguments: &[&str], folder: &Path, words: &[&str]) {
    let before = contents(folder);
    let output = node(arguments);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(matches!(output.status.code(), Some(1 | 2)), "{}: {said}", output.status);
    for word in words {
        assert!(said.contains(word), "no {word:?} in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(contents(folder), before, "nothing is made or changed");
}

/// Names and bytes of all files, but for what RocksDB writes into its own log when it is only opened.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = below(folder).unwrap().into_iter();
    let files = files.filter(|path| !path.components().any(|part| part.as_os_str() == "db"));
    files.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let stopped = Stopped::new();
    let config = stopped.config(|text| text.replace("[api]\n", "[api]\nlisten_on = \"127.0.0.1:1\"\n"));
    let words = ["changed.toml", "listen_on", "unknown field", "expected"];
    assert_refused(&["run", "--config", text(&config)], stopped.folder.path(), &words);
}

#[test]
fn a_port_in_use_is_named() {
    let stopped = Stopped::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for section in ["[api]", "[operator]"] {
        let config = stopped.config(|text| {
            let place = text.find(section).unwrap();
            let (before, after) = text.split_at(place);
            before.to_owned() + &after.replacen("127.0.0.1:0", &address, 1)
        });
        let words = [address.as_str(), "in use", section, "another port"];
        assert_refused(&["run", "--config", text(&config)], stopped.folder.path(), &words);
    }
}

#[test]
fn a_data_folder_of_another_ledger_is_refused() {
    let (one, other) = (Stopped::new(), Stopped::new());
    let data = other.node().join("data");
    let config = one.config(|text| text.replace("data_dir = \"data\"", &format!("data_dir = {data:?}")));
    let words = [text(&data), "holds ledger", "genesis file"];
    assert_refused(&["run", "--config", text(&config)], one.folder.path(), &words);
    assert_refused(&["run", "--config", text(&config)], other.folder.path(), &words);
}

#[test]
fn a_data_folder_that_a_running_node_holds_is_refused_to_a_second_one() {
    let ledger = Ledger::start();
    let data = ledger.devnet.dir().join("node0/data");
    let config = ledger.devnet.config();
    let output = node(&["run", "--config", text(&config)]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(text(&data)) && said.contains("in use by another process"), "{said}");
    let output = node(&["devnet", "--authorities", "1", "--dir", text(ledger.devnet.dir())]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("another devnet runs"), "{said}");
    let status = ledger.client.run(["status", "--node", ledger.devnet.url()]).unwrap();
    assert_eq!(status.code, Some(0), "the first one serves on: {}", status.said());
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    let stopped = Stopped::new();
    let key = stopped.node().join("keys/cosigner.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let config = stopped.devnet.config();
    let words = [text(&key), "chmod 600"];
    assert_refused(&["run", "--config", text(&config)], stopped.folder.path(), &words);
}

#[test]
fn a_missing_genesis_is_named() {
    let stopped = Stopped::new();
    let genesis = stopped.devnet.genesis();
    fs::remove_file(&genesis).unwrap();
    let config = stopped.devnet.config();
    let words = ["genesis.toml", "does not exist", "ask another authority"];
    assert_refused(&["run", "--config", text(&config)], stopped.folder.path(), &words);
    let dir = stopped.devnet.dir();
    let words = ["genesis.toml", "put the file back"];
    assert_refused(&["devnet", "--authorities", "1", "--dir", text(dir)], stopped.folder.path(), &words);
}

#[test]
fn a_missing_configuration_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("none.toml");
    assert_refused(&["run", "--config", text(&config)], folder.path(), &["none.toml", "does not exist"]);
    assert_refused(&["init", "--config", text(&config)], folder.path(), &["none.toml", "does not exist"]);
    assert_refused(&["run"], folder.path(), &["--config"]);
}

#[test]
fn a_data_folder_is_made_once_and_never_missed_silently() {
    let stopped = Stopped::new();
    let config = stopped.devnet.config();
    let data = stopped.node().join("data");
    assert_refused(&["init", "--config", text(&config)], stopped.folder.path(), &["already", text(&data)]);
    fs::remove_dir_all(&data).unwrap();
    assert_refused(&["run", "--config", text(&config)], stopped.folder.path(), &["is missing", text(&data)]);
    assert_refused(&["init", "--config", text(&config)], stopped.folder.path(), &["new ones", "keys"]);
}

#[test]
fn a_genesis_with_a_weak_key_is_refused_by_every_program() {
    let ledger = Ledger::start();
    let good = fs::read_to_string(ledger.devnet.genesis()).unwrap();
    let folder = ledger.folder("weak");
    let genesis = folder.join("genesis.toml");
    // The neutral element and a point of order 8: every signature of theirs can be made up.
    let weak = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ];
    for point in weak {
        let issuers = good.find("issuers").unwrap();
        let begin = issuers + good[issuers..].find("public_key = \"").unwrap() + "public_key = \"".len();
        let mut changed = good.clone();
        changed.replace_range(begin..begin + 64, point);
        fs::write(&genesis, changed).unwrap();
        assert_refused(&["genesis", "check", text(&genesis)], &folder, &["weak", "genesis.toml"]);
        let document = folder.join("genesis.toml");
        let run = ledger.client.run(["verify", "--genesis", text(&genesis), text(&document)]).unwrap();
        assert_eq!(run.code, Some(2), "{}", run.said());
        assert!(run.stderr.contains("weak"), "{}", run.said());
    }
}
