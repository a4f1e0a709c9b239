//! Nodes that no honest operator starts: a second one with the same keys, one with another genesis, a stranger.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::Instant,
};

use markstein_tests::binaries::{Voice, binaries};

use crate::support::{AUTHORITIES, Net, PATIENCE, id, wait_for};

#[test]
fn two_nodes_with_one_key_are_found_out_and_hold_up_nobody() {
    let mut net = Net::start(0);
    net.anchor(3);
    assert!(net.cluster.stop(3).unwrap().success());
    let twin = net.cluster.adopt("twin");
    copy_node(&net, twin);
    net.cluster.start(3).unwrap();
    net.cluster.start(twin).unwrap();
    let mut all = Vec::new();
    // Whoever is connected with both says so. That they vote differently shows sooner or later, as the connections change.
    let found_out =
        |net: &Net| (0..3).any(|node| net.cluster.log(node).contains("two nodes run with its keys"));
    let (mut rounds, until) = (0, Instant::now() + PATIENCE);
    while !found_out(&net) || rounds < 4 {
        for node in 0..3 {
            let anchored = net.anchor(node);
            if rounds < 20 {
                all.push(anchored);
            }
        }
        rounds += 1;
        assert!(Instant::now() < until, "nobody notices in {rounds} rounds: {}", net.cluster.log(3));
    }
    eprintln!("found out after {rounds} rounds at most");
    for node in 0..3 {
        all.push(net.anchor(node));
    }
    net.cluster.kill(twin).unwrap();
    let height = net.cluster.status(0).unwrap().height;
    net.cluster.wait_status(3, "follows all the same", |status| status.height >= height).unwrap();
    net.assert_recorded(&all);
    net.assert_same_logs(&[0, 1, 2, 3]);
}

#[test]
fn a_node_with_another_genesis_is_named_and_harms_nobody() {
    let mut net = Net::start(0);
    net.anchor(3);
    assert!(net.cluster.stop(3).unwrap().success());

    // As it is: its own marker stops it.
    let other = other_genesis(&net);
    let config = net.cluster.node_dir(3).join("node.toml");
    let right = fs::read_to_string(&config).unwrap();
    fs::write(&config, right.replace("../genesis.toml", "../other.toml")).unwrap();
    let run = node(&["run", "--config", config.to_str().unwrap()]);
    assert!(
        !run.status.success() && said(&run).contains("each ledger needs keys of its own"),
        "{}",
        said(&run)
    );
    fs::write(&config, &right).unwrap();

    // With the marker and the data out of the way it starts, and finds nobody.
    let wrong = net.cluster.adopt("wrong");
    copy_node(&net, wrong);
    let dir = net.cluster.node_dir(wrong).to_owned();
    fs::remove_dir_all(dir.join("data")).unwrap();
    fs::remove_file(dir.join("keys/journal-created")).unwrap();
    fs::write(dir.join("node.toml"), right.replace("../genesis.toml", other)).unwrap();
    let run = node(&["init", "--config", dir.join("node.toml").to_str().unwrap()]);
    assert!(run.status.success(), "{}", said(&run));
    net.cluster.start(wrong).unwrap();
    net.cluster.wait_answers(wrong).unwrap();
    let mut all = Vec::new();
    for node in 0..3 {
        all.push(net.anchor(node));
        wait_logged(&net, node, &["does not speak of this ledger", &id(3)]);
    }
    wait_logged(&net, wrong, &["does not speak of this ledger"]);
    all.push(net.anchor(0));
    assert_eq!(net.cluster.status(wrong).unwrap().height, 0);
    net.cluster.kill(wrong).unwrap();

    net.cluster.start(3).unwrap();
    net.wait_votes(3);
    net.cluster.kill(0).unwrap(); // the others take it for what it is again
    all.push(net.anchor(3));
    net.cluster.start(0).unwrap();
    net.cluster.wait_ready(0).unwrap();
    net.assert_recorded(&all[1..]);
}

#[test]
fn a_stranger_is_refused_and_named() {
    let mut net = Net::prepare(1);
    let stranger = AUTHORITIES;
    for node in 0..AUTHORITIES {
        let config = net.cluster.node_dir(node).join("node.toml");
        let text = fs::read_to_string(&config).unwrap();
        let left: Vec<&str> = text.lines().filter(|line| !line.contains("key = ")).collect();
        assert_eq!(left.len() + 1, text.lines().count(), "it was let in by one line: {text}");
        fs::write(&config, left.join("\n")).unwrap();
        net.cluster.start(node).unwrap();
    }
    (0..AUTHORITIES).for_each(|node| net.cluster.wait_ready(node).unwrap());
    net.cluster.start(stranger).unwrap();
    net.cluster.wait_answers(stranger).unwrap();
    for node in 0..AUTHORITIES {
        wait_logged(&net, node, &["a stranger was refused"]);
        net.anchor(node);
    }
    let status = net.cluster.status(stranger).unwrap();
    assert_eq!((status.height, status.serving), (0, false), "{status:?}");
    assert!(status.authorities.iter().all(|authority| !authority.connected), "{status:?}");
}

/// Copies all of node 3 but its addresses, which are its own.
fn copy_node(net: &Net, to: usize) {
    let (from, to) = (net.cluster.node_dir(3), net.cluster.node_dir(to));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    let _ = fs::remove_file(to.join("listening.json")); // a node that stopped may have removed it
    fs::remove_file(to.join("log")).unwrap();
}

/// The same authorities, issuers and parameters, and another nonce; its place as seen from a node's folder.
fn other_genesis(net: &Net) -> &'static str {
    let text = fs::read_to_string(net.cluster.genesis()).unwrap();
    let line = text.lines().find(|line| line.starts_with("nonce = ")).unwrap();
    let nonce = format!("nonce = \"{}\"", "07".repeat(32));
    fs::write(net.cluster.dir().join("other.toml"), text.replace(line, &nonce)).unwrap();
    "../other.toml"
}

fn wait_logged(net: &Net, node: usize, words: &[&str]) {
    let is_there = |log: &str| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    wait_for(
        || format!("node {node} says {words:?}: {}", net.cluster.log(node)),
        || is_there(&net.cluster.log(node)).then_some(()),
    );
}

fn node(arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries(Voice::Quiet).unwrap().node);
    let path: &Path = Path::new("/");
    command.args(arguments).current_dir(path).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
