//! A damaged data folder: refused in plain words, repaired, and filled again by the others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use markstein_client::api::{StatusResponse, batch_state::State};
use markstein_tests::binaries::{Voice, binaries};

use crate::{
    load::Load,
    support::{Net, repeats, wait_for},
};

const DAMAGED: usize = 3;
const BLOCKS: u64 = 60;

#[test]
fn a_repaired_authority_keeps_its_promises_and_its_vote_counts_again() {
    let mut net = with_blocks();
    restart(&mut net, DAMAGED); // what the log of writes held is in table files now
    let mut all = vec![net.anchor(DAMAGED)];
    (0..3).for_each(|node| net.cluster.kill(node).unwrap());
    let waiting = net.submission();
    assert!(matches!(net.submit(DAMAGED, &waiting), State::Accepted(_)), "nobody else has heard of it");
    net.cluster.kill(DAMAGED).unwrap();

    damage_table(&data(&net), "tiles");
    assert_refused(&mut net, "table 'tiles'");
    for _ in 0..repeats(4) {
        let mut repair = node_command(&net, &["repair"]).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(net.random.below(120)));
        let _ = repair.kill(); // in the middle of it, or after its end
        repair.wait().unwrap();
    }
    let repaired = node_command(&net, &["repair"]).output().unwrap();
    assert!(repaired.status.success(), "{}", said(&repaired));
    assert!(data(&net).join("db.damaged-1").is_dir(), "the damaged data is kept");
    assert!(!data(&net).join("db.damaged-2").exists(), "and was taken aside once");
    let again = node_command(&net, &["repair"]).output().unwrap();
    assert!(again.status.success() && said(&again).contains("nothing is damaged"), "{}", said(&again));

    (0..4).for_each(|node| net.cluster.start(node).unwrap());
    net.cluster.wait_answers(DAMAGED).unwrap();
    let refused = node_command(&net, &["repair"]).output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("in use"), "{}", said(&refused));
    let place = net.wait_final(DAMAGED, &waiting);
    all.push((waiting, place));
    net.wait_votes(DAMAGED);
    net.cluster.kill(0).unwrap(); // now the quorum needs the one that was repaired
    for node in [DAMAGED, 1, 2, DAMAGED] {
        all.push(net.anchor(node));
    }
    net.cluster.start(0).unwrap();
    net.cluster.wait_ready(0).unwrap();
    net.assert_recorded(&all);
    for node in 0..4 {
        let conditions = net.cluster.status(node).unwrap().conditions;
        assert!(!conditions.iter().any(|text| text.contains("contradicted")), "{conditions:?}");
    }
    net.assert_same_logs(&[0, 1, 2, 3]);
    restart(&mut net, DAMAGED);
    net.wait_votes(DAMAGED);
}

#[test]
fn an_authority_whose_journal_was_destroyed_follows_and_says_so() {
    let mut net = with_blocks();
    restart(&mut net, DAMAGED);
    net.cluster.kill(DAMAGED).unwrap();
    damage_list_of_files(&data(&net));
    assert_refused(&mut net, "is damaged");
    let repaired = node_command(&net, &["repair"]).output().unwrap();
    let words = said(&repaired);
    assert!(repaired.status.success(), "{words}");
    assert!(words.contains("THE JOURNAL IS LOST") && words.contains("keys new"), "{words}");

    let mute = |status: &StatusResponse| {
        let text = |text: &String| text.contains("its journal was lost") && text.contains("keys new");
        !status.voting && status.conditions.iter().any(text)
    };
    let mut all = Vec::new();
    for _ in 0..2 {
        net.cluster.start(DAMAGED).unwrap();
        net.cluster.wait_status(DAMAGED, "says that its journal is lost", mute).unwrap();
        for node in [0, 1, 2, DAMAGED] {
            all.push(net.anchor(node)); // through the damaged one as well: it follows as an observer does
        }
        assert!(!net.cluster.status(DAMAGED).unwrap().voting);
        assert!(net.cluster.log(DAMAGED).contains("journal was lost"));
        net.assert_recorded(&all);
        net.assert_same_logs(&[0, 1, 2, 3]);
        net.cluster.kill(DAMAGED).unwrap();
    }
}

/// Four authorities with some blocks.
fn with_blocks() -> Net {
    let mut net = Net::start(0);
    let load = Load::start(&mut net, &[0, 1, 2], 1);
    wait_for(
        || format!("there are {BLOCKS} blocks"),
        || (net.cluster.status(DAMAGED).unwrap().height >= BLOCKS).then_some(()),
    );
    assert!(load.end(&net).open.is_empty());
    net
}

fn restart(net: &mut Net, node: usize) {
    let ended = net.cluster.stop(node).unwrap();
    assert!(ended.success(), "{ended}: {}", net.cluster.log(node));
    net.cluster.start(node).unwrap();
    net.wait_votes(node);
}

fn data(net: &Net) -> PathBuf {
    net.cluster.node_dir(DAMAGED).join("data")
}

/// `check` and `run` say what is damaged and what to do, and end.
fn assert_refused(net: &mut Net, what: &str) {
    let checked = node_command(net, &["check"]).output().unwrap();
    let words = said(&checked);
    assert_eq!(checked.status.code(), Some(1), "{words}");
    assert!(words.contains(what) && words.contains("markstein-node repair"), "{words}");
    net.cluster.start(DAMAGED).unwrap();
    assert_eq!(net.cluster.wait_ended(DAMAGED).unwrap().code(), Some(1));
    let log = net.cluster.log(DAMAGED);
    let last = log.lines().last().unwrap();
    assert!(last.contains(what) && last.contains("markstein-node repair"), "{last}");
}

/// A command on the configuration of the damaged node.
fn node_command(net: &Net, arguments: &[&str]) -> Command {
    let mut command = Command::new(binaries(Voice::Quiet).unwrap().node);
    command.args(arguments).arg("--config").arg(net.cluster.node_dir(DAMAGED).join("node.toml"));
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// Flips a bit in the first entry of each file of a table. A table file names its table near its end.
fn damage_table(data: &Path, table: &str) {
    let is_its = |path: &PathBuf| {
        let is_table = path.extension().is_some_and(|extension| extension == "sst");
        is_table && fs::read(path).unwrap().windows(table.len()).any(|part| part == table.as_bytes())
    };
    let files: Vec<PathBuf> = store_files(data).filter(is_its).collect();
    assert!(!files.is_empty(), "no file of table {table}");
    files.iter().for_each(|path| flip(path, 20));
}

/// Flips a bit in the first record of the store's list of files: nothing of the store can be opened then.
fn damage_list_of_files(data: &Path) {
    let is_list = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST");
    let files: Vec<PathBuf> = store_files(data).filter(is_list).collect();
    assert!(!files.is_empty());
    files.iter().for_each(|path| flip(path, 10));
}

fn store_files(data: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(data.join("db")).unwrap().map(|entry| entry.unwrap().path())
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}
