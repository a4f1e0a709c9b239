//! The commands as people and scripts call them: real processes, their words, their exit codes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use markstein_node::config::keys;
use markstein_node::files;
use markstein_proto::{Genesis, IssuerEntry, IssuerKeyEntry, KeyPurpose};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_markstein-node");

struct Answer {
    code: Option<i32>,
    out: String,
    err: String,
}

fn call(folder: &Path, arguments: &[&str]) -> Answer {
    let output = Command::new(PROGRAM).args(arguments).current_dir(folder).output().unwrap();
    Answer {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Answer {
    #[track_caller]
    fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    #[track_caller]
    fn bad(self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word:?} is not in: {}", self.err);
        }
    }
}

const NEW_KEYS: [&str; 8] =
    ["keys", "new", "--dir", "keys", "--authority", "stadtarchiv.neustadt.example", "--name", "Stadtarchiv"];

/// A folder with keys, an issuer's public file, a genesis and a configuration.
fn made() -> TempDir {
    let folder = TempDir::new().unwrap();
    call(folder.path(), &NEW_KEYS).good();
    let issuer = IssuerEntry {
        id: "bauaufsicht.neustadt.example".into(),
        name: "Bauaufsicht".into(),
        document_types: Vec::new(),
        keys: vec![IssuerKeyEntry {
            public_key: hex::encode(keys::new_key().unwrap().public().to_bytes()),
            not_before_ms: 0,
            not_after_ms: None,
        }],
    };
    fs::write(folder.path().join("issuer.toml"), issuer.to_toml()).unwrap();
    call(folder.path(), &NEW_GENESIS).good();
    configure(folder.path(), 0, "");
    folder
}

const NEW_GENESIS: [&str; 14] = [
    "genesis",
    "new",
    "--origin",
    "neustadt.example/test",
    "--authority",
    "keys/authority.toml",
    "--issuer",
    "issuer.toml:permit,letter",
    "--document-type",
    "2=letter",
    "--document-type",
    "1=permit",
    "--recosign-interval-s",
    "5",
];

fn configure(folder: &Path, port: u16, more: &str) {
    let text = format!(
        "authority = \"stadtarchiv.neustadt.example\"\ngenesis = \"genesis.toml\"\ndata_dir = \"data\"\n\
         keys_dir = \"keys\"\n{more}[api]\nlisten = [\"127.0.0.1:{port}\"]\naddress_file = \"listening.json\"\n\
         [operator]\nlisten = \"127.0.0.1:0\"\n"
    );
    fs::write(folder.join("node.toml"), text).unwrap();
}

const INIT: [&str; 3] = ["init", "--config", "node.toml"];
const RUN: [&str; 3] = ["run", "--config", "node.toml"];

/// A process that is ended with the test, however the test ends.
struct Running(Child);

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Waits for the line that says `ready`.
    #[track_caller]
    fn ready(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line:?} {}", self.errors());
        line
    }

    fn errors(&mut self) -> String {
        let mut text = String::new();
        let _ = self.0.kill();
        self.0.stderr.as_mut().unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_new_makes_five_private_keys_and_never_overwrites() {
    let folder = TempDir::new().unwrap();
    let out = call(folder.path(), &NEW_KEYS).good();
    assert!(out.contains("authority.toml (public)") && out.contains("kept offline"), "{out}");
    let names = |_: ()| {
        let mut names: Vec<_> = fs::read_dir(folder.path().join("keys"))
            .unwrap()
            .map(|entry| (entry.as_ref().unwrap().file_name(), fs::read(entry.unwrap().path()).unwrap()))
            .collect();
        names.sort();
        names
    };
    let before = names(());
    assert_eq!(before.len(), 6);
    call(folder.path(), &NEW_KEYS).bad(&["never overwritten", "choose another folder"]);
    assert_eq!(names(()), before);
    call(folder.path(), &["keys", "new", "--dir", "k", "--authority", "Neu Stadt", "--name", "x"])
        .bad(&["a-z"]);
}

#[test]
fn an_observer_is_made_and_set_up_with_one_key() {
    let folder = made();
    let keys = ["keys", "observer", "--out", "reader/keys", "--name", "lesesaal.neustadt.example"];
    let out = call(folder.path(), &keys).good();
    let line = out.lines().find(|line| line.contains("{ name = ")).unwrap().trim().to_owned();
    let key = folder.path().join("reader/keys/network.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    call(folder.path(), &keys).bad(&["never overwritten"]);

    let observer = "observer = \"lesesaal.neustadt.example\"\ngenesis = \"../genesis.toml\"\ndata_dir = \"data\"\n\
                    keys_dir = \"keys\"\n[network]\n";
    let peers = "peers = [{ authority = \"stadtarchiv.neustadt.example\", address = \"127.0.0.1:4602\" }]\n";
    let file = folder.path().join("reader/node.toml");
    let init = ["init", "--config", "reader/node.toml"];
    fs::write(&file, observer).unwrap();
    call(folder.path(), &init).bad(&["reader/node.toml", "an observer follows authorities"]);
    fs::write(&file, format!("{observer}{peers}")).unwrap();
    let out = call(folder.path(), &init).good();
    assert!(out.contains("the observer lesesaal.neustadt.example") && out.contains(&line), "{out}");
    call(folder.path(), &init).bad(&["journal-created", "an observer signs nothing"]);

    // The line is one that an authority's configuration takes.
    configure(folder.path(), 0, "");
    let mut text = fs::read_to_string(folder.path().join("node.toml")).unwrap();
    text.push_str(&format!("[network]\nlisten = [\"127.0.0.1:0\"]\nobservers = [{line}]\n"));
    fs::write(folder.path().join("node.toml"), text).unwrap();
    call(folder.path(), &INIT).good();
}

#[test]
fn genesis_new_and_check_agree() {
    let folder = made();
    let genesis =
        Genesis::from_toml(&fs::read_to_string(folder.path().join("genesis.toml")).unwrap()).unwrap();
    assert_eq!(genesis.parameters.recosign_interval_ms, 5000);
    assert_eq!(genesis.grants[0].document_types, [1, 2]);
    let out = call(folder.path(), &["genesis", "check", "genesis.toml"]).good();
    let id = genesis.ledger_id().to_string();
    for word in [id.as_str(), "q = 1", "Stadtarchiv", "may anchor: permit, letter", "2 = letter", "every 5 s"]
    {
        assert!(out.contains(word), "{word:?} is not in: {out}");
    }
    call(folder.path(), &NEW_GENESIS).bad(&["genesis.toml exists already"]);
}

#[test]
fn a_genesis_that_is_none_is_refused_with_the_reason() {
    let folder = made();
    let good = fs::read_to_string(folder.path().join("genesis.toml")).unwrap();
    let check = |text: &str, words: &[&str]| {
        fs::write(folder.path().join("bad.toml"), text).unwrap();
        call(folder.path(), &["genesis", "check", "bad.toml"]).bad(words);
    };
    check("", &["bad.toml", "missing field"]);
    check(&format!("colour = 1\n{good}"), &["colour"]);
    check(&good.replace("version = 1", "version = 2"), &["newer release"]);
    call(folder.path(), &["genesis", "check", "nowhere.toml"]).bad(&["nowhere.toml does not exist"]);
    let mut arguments = NEW_GENESIS;
    arguments[7] = "issuer.toml";
    call(folder.path(), &arguments).bad(&["issuer.toml lists no document types", "issuer.toml:TYPE"]);
    arguments[7] = "issuer.toml:song";
    call(folder.path(), &arguments).bad(&["song"]);
    arguments[7] = "keys/authority.toml:permit";
    call(folder.path(), &arguments).bad(&["no public file of an issuer"]);
    arguments = NEW_GENESIS;
    arguments[9] = "letter";
    call(folder.path(), &arguments).bad(&["CODE=NAME"]);
}

#[test]
fn init_is_done_once_and_run_never_does_it() {
    let folder = made();
    call(folder.path(), &RUN).bad(&["'run' never makes one", "init --config node.toml"]);
    assert!(!folder.path().join("data").exists());
    call(folder.path(), &INIT).good();
    call(folder.path(), &INIT).bad(&["journal-created", "sign the opposite"]);
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    call(folder.path(), &RUN).bad(&["is missing"]);
    call(folder.path(), &INIT).bad(&["sign the opposite"]);
}

#[test]
fn what_is_wrong_before_a_start_is_said() {
    let folder = made();
    call(folder.path(), &INIT).good();
    configure(folder.path(), 0, "colour = \"red\"\n");
    call(folder.path(), &RUN).bad(&["node.toml", "unknown field `colour`"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    configure(folder.path(), taken.local_addr().unwrap().port(), "");
    call(folder.path(), &RUN).bad(&["is in use by another program", "[api] listen"]);
    configure(folder.path(), 0, "");
    let key = keys::key_path(&folder.path().join("keys"), KeyPurpose::Cosigner);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    call(folder.path(), &RUN).bad(&["can be read by others", "chmod 600"]);
}

#[test]
fn a_node_runs_alone_in_its_folder_and_stops_on_sigterm() {
    let folder = made();
    call(folder.path(), &INIT).good();
    let mut node = Running::start(folder.path(), &RUN);
    let addresses = folder.path().join("listening.json");
    while !addresses.exists() {
        assert_eq!(node.0.try_wait().unwrap(), None, "{}", node.errors());
        std::thread::yield_now();
    }
    call(folder.path(), &RUN).bad(&["in use by another process"]);
    node.signal(Signal::TERM);
    assert_eq!(node.0.wait().unwrap().code(), Some(0));
    let log = node.errors();
    for word in ["governance key lies here", "flush and close store", "stopped"] {
        assert!(log.contains(word), "{word:?} is not in: {log}");
    }
}

/// Where the one node of a devnet answers.
fn grpc_address(dir: &Path) -> String {
    let endpoints: serde_json::Value =
        serde_json::from_str(&files::read_text(&dir.join("endpoints.json")).unwrap()).unwrap();
    assert_eq!(endpoints["nodes"][0]["authority"], "authority-0.devnet.example");
    assert!(endpoints["nodes"][0]["operator"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    endpoints["nodes"][0]["grpc"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned()
}

const DEVNET: [&str; 5] = ["devnet", "--dir", "net", "--authorities", "1"];

#[test]
fn a_devnet_starts_stops_and_starts_again() {
    let folder = TempDir::new().unwrap();
    let net = folder.path().join("net");
    let mut ledgers = Vec::new();
    for _ in 0..2 {
        let mut devnet = Running::start(folder.path(), &DEVNET);
        devnet.ready();
        TcpStream::connect(grpc_address(&net)).unwrap();
        call(folder.path(), &DEVNET).bad(&["another devnet runs in"]);
        devnet.signal(Signal::TERM);
        assert_eq!(devnet.0.wait().unwrap().code(), Some(0), "{}", devnet.errors());
        assert!(TcpStream::connect(grpc_address(&net)).is_err(), "the node is gone as well");
        let genesis = Genesis::from_toml(&files::read_text(&net.join("genesis.toml")).unwrap()).unwrap();
        let key = keys::read_key_file(&net.join("issuer.key"), KeyPurpose::Issuer).unwrap();
        assert_eq!(key.ledger, Some(genesis.ledger_id()));
        ledgers.push(genesis.ledger_id());
    }
    assert_eq!(ledgers[0], ledgers[1]);
    let log = files::read_text(&net.join("node0/log")).unwrap();
    assert!(!log.contains("governance"), "a devnet keeps the governance key apart: {log}");
}

#[test]
fn a_prepared_devnet_runs_nothing_and_says_how() {
    let folder = TempDir::new().unwrap();
    let prepare = |authorities: &str, more: &[&str]| {
        let devnet = ["devnet", "--dir", "net", "--prepare", "--authorities", authorities];
        call(folder.path(), &[&devnet, more].concat())
    };
    let out = prepare("4", &["--observers", "1"]).good();
    let net = folder.path().join("net").canonicalize().unwrap();
    assert!(out.starts_with("prepared: 4 authorities and 1 observers of ledger "), "{out}");
    for node in ["node0", "node3", "observer0"] {
        let config = net.join(node).join("node.toml");
        assert!(out.contains(&format!("markstein-node run --config {}\n", config.display())), "{out}");
        assert!(config.exists() && net.join(node).join("keys/journal-created").exists(), "{node}");
        assert!(!net.join(node).join("log").exists(), "{node} was run");
    }
    assert_eq!(prepare("4", &["--observers", "1"]).good(), out, "nothing is made twice");
    prepare("3", &[]).bad(&["--authorities 4"]);
    prepare("4", &["--base-port", "65530"]).bad(&["node 0 would have no port left"]);
    prepare("65", &[]).bad(&["1 to 64"]);
}

#[test]
fn nodes_do_not_outlive_a_killed_devnet() {
    let folder = TempDir::new().unwrap();
    let mut devnet = Running::start(folder.path(), &DEVNET);
    devnet.ready();
    let address = grpc_address(&folder.path().join("net"));
    devnet.signal(Signal::KILL);
    devnet.0.wait().unwrap();
    let log = folder.path().join("net/node0/log");
    while !files::read_text(&log).unwrap().trim_end().ends_with("stopped") {
        std::thread::yield_now();
    }
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn a_node_that_cannot_start_ends_the_devnet_with_its_reason() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["devnet", "--dir", "net", "--authorities", "1", "--base-port", &port];
    call(folder.path(), &arguments).bad(&["node 0 ended", "node0/log", "is in use by another program"]);
}

#[test]
fn check_and_repair_tell_sound_from_damaged_data() {
    let folder = made();
    let (check, full) = (["check", "--config", "node.toml"], ["check", "--full", "--config", "node.toml"]);
    let repair = ["repair", "--config", "node.toml"];
    let could_not = call(folder.path(), &check);
    assert_eq!(could_not.code, Some(2), "{}", could_not.err);
    call(folder.path(), &repair).bad(&["init --config node.toml"]);
    call(folder.path(), &INIT).good();
    assert!(call(folder.path(), &check).good().contains("nothing is damaged in blocks 0 to 0"));
    assert!(call(folder.path(), &full).good().contains("in all tables"));
    assert!(call(folder.path(), &repair).good().contains("nothing was changed"));

    let db = folder.path().join("data/db");
    fs::write(db.join("CURRENT"), "MANIFEST-").unwrap();
    call(folder.path(), &check).bad(&["is damaged", "markstein-node repair"]);
    call(folder.path(), &RUN).bad(&["is damaged", "markstein-node repair"]);
    let out = call(folder.path(), &repair).good();
    for word in ["data/db.damaged-1", "THE JOURNAL IS LOST", "keys new", "no other authority", "run --config"]
    {
        assert!(out.contains(word), "{word:?} is not in: {out}");
    }
    call(folder.path(), &full).good();

    // Killed between two renames.
    fs::rename(&db, folder.path().join("data/db.repaired")).unwrap();
    call(folder.path(), &RUN).bad(&["was interrupted", "repair --config node.toml"]);
    assert_eq!(call(folder.path(), &check).code, Some(2));
    assert!(call(folder.path(), &repair).good().contains("Ended the repair"));
    call(folder.path(), &full).good();
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    call(folder.path(), &repair).bad(&["is missing"]);
}
