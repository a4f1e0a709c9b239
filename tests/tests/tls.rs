//! TLS from end to end: a node with a certificate of its own, a client that is told to trust it.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use markstein_tests::{
    binaries::{Voice, binaries},
    client::Client,
    devnet::Devnet,
    process,
};
use rustix::process::Signal;

/// A node that does not serve by then never will.
const SERVES_MAX: Duration = Duration::from_secs(60);

/// A node as an operator starts it, ended with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        process::signal(self.0.id(), Signal::TERM);
        let _ = process::end(&mut self.0, SERVES_MAX);
    }
}

/// Starts the devnet's node by hand with TLS on its public port; tells its URL.
fn serve_with_tls(dir: &Path) -> (Node, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    fs::write(dir.join("node0/certificate.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("node0/tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(dir.join("node0/tls.key"), fs::Permissions::from_mode(0o600)).unwrap();
    let config = fs::read_to_string(dir.join("node0/node.toml")).unwrap();
    let tls = "[api]\ntls = { certificate = \"certificate.pem\", key = \"tls.key\" }\n";
    let config = config.replace("[api]\n", tls).replace("listening.json", "listening-tls.json");
    fs::write(dir.join("node0/tls.toml"), config).unwrap();
    let program = binaries(Voice::Quiet).unwrap().node;
    let child = Command::new(program)
        .args(["run", "--config"])
        .arg(dir.join("node0/tls.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut node = Node(child);
    let (addresses, begun) = (dir.join("node0/listening-tls.json"), Instant::now());
    while !addresses.exists() {
        assert!(node.0.try_wait().unwrap().is_none(), "the node ended");
        assert!(begun.elapsed() < SERVES_MAX, "the node does not serve");
        thread::sleep(Duration::from_millis(20));
    }
    let addresses: serde_json::Value = serde_json::from_slice(&fs::read(addresses).unwrap()).unwrap();
    (node, addresses["api"][0].as_str().unwrap().to_owned())
}

#[test]
fn a_client_anchors_over_tls_with_a_node_it_was_told_to_trust_and_with_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger");
    let mut devnet = Devnet::start(&ledger).unwrap();
    assert!(devnet.stop().unwrap().success());
    let (_node, url) = serve_with_tls(&ledger);
    assert!(url.starts_with("https://"), "{url}");

    let document = dir.path().join("decision.txt");
    fs::write(&document, "Bescheid 63/2026").unwrap();
    let client = Client::new(&dir.path().join("state")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (key, paper) = (text(&ledger.join("issuer.key")), text(&document));
    let anchor = |extra: &[&str]| {
        let mut arguments = vec!["anchor", "--node", &url, "--key", &key, "--timeout", "3s"];
        arguments.extend(extra);
        arguments.push(&paper);
        client.run(arguments).unwrap()
    };

    let refused = anchor(&[]);
    assert_eq!(refused.code, Some(2), "{}", refused.said());
    assert!(!dir.path().join("decision.txt.markstein.json").exists());

    let certificate = text(&ledger.join("node0/certificate.pem"));
    let anchored = anchor(&["--ca", &certificate]);
    assert_eq!(anchored.code, Some(0), "{}", anchored.said());
    let genesis = text(&ledger.join("genesis.toml"));
    let verified = client.run(["verify", "--genesis", &genesis, &paper]).unwrap();
    assert_eq!(verified.code, Some(0), "{}", verified.said());

    let status = client.run(["status", "--node", &url, "--ca", &certificate]).unwrap();
    assert_eq!(status.code, Some(0), "{}", status.said());
    let audit = ["audit", "--genesis", &genesis, "--node", &url, "--timeout", "1s"];
    let audited = client.run(audit).unwrap();
    assert_eq!(audited.code, Some(2), "{}", audited.said());
    assert!(audited.stdout.contains("TLS: invalid peer certificate"), "{}", audited.said());
    let audited = client.run([&audit[..], &["--ca", &certificate]].concat()).unwrap();
    assert_eq!(audited.code, Some(0), "{}", audited.said());
    let plain = url.replace("https://", "http://");
    let status = client.run(["status", "--node", &plain]).unwrap();
    assert_eq!(status.code, Some(2), "plain text to a TLS port: {}", status.said());
}
