//! One authority killed with -9 at a random moment and started again, over and over, while documents are anchored.

use std::{
    path::PathBuf,
    process::{Child, Output},
    thread,
    time::Duration,
};

use markstein_proto::{Leaf, Record};

use crate::support::{AUTHORITIES, Net, repeats};

/// An anchoring takes about this long; a kill comes somewhere in it.
const SPAN_MS: u64 = 120;

#[test]
fn every_receipt_verifies_and_the_logs_are_the_same_after_kills_at_random_moments() {
    let mut net = Net::start(0);
    let repeats = repeats(200);
    let mut anchored = 0;
    for repeat in 0..repeats {
        let documents: Vec<PathBuf> = (0..=net.random.below(3))
            .map(|number| net.document(&format!("documents/{repeat}-{number}.txt")))
            .collect();
        let victim = net.random.below(AUTHORITIES as u64) as usize;
        let (before, after) = (net.random.below(SPAN_MS), net.random.below(SPAN_MS));
        let client = anchor(&mut net, &documents);
        thread::sleep(Duration::from_millis(before));
        net.cluster.kill(victim).unwrap();
        thread::sleep(Duration::from_millis(after));
        net.cluster.start(victim).unwrap();
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "repeat {repeat}, {victim} killed: {}", said(&output));
        assert_verify(&net, &documents);
        anchored += documents.len();
        net.cluster.wait_answers(victim).unwrap();
    }
    for node in 0..AUTHORITIES {
        net.wait_votes(node);
        let conditions = net.cluster.status(node).unwrap().conditions;
        assert!(!conditions.iter().any(|text| text.contains("contradicted")), "{conditions:?}");
    }
    let log = net.assert_same_logs(&[0, 1, 2, 3]);
    let anchors = log.iter().filter(|leaf| matches!(leaf, Leaf::Record(Record::Anchor(_)))).count();
    assert_eq!(anchors, anchored, "each document is in once");
    eprintln!("{repeats} kills, {anchored} documents, {} leaves, four logs alike", log.len());
}

/// `markstein anchor` through all nodes, a random one first.
fn anchor(net: &mut Net, documents: &[PathBuf]) -> Child {
    let first = net.random.below(AUTHORITIES as u64) as usize;
    let urls = (0..AUTHORITIES).map(|i| net.cluster.url((first + i) % AUTHORITIES).unwrap());
    let mut arguments = vec!["anchor".to_owned(), "--type".to_owned(), "decision".to_owned()];
    arguments.extend(urls.flat_map(|url| ["--node".to_owned(), url]));
    arguments.extend(["--key".to_owned(), net.cluster.issuer_key().display().to_string()]);
    arguments.extend(documents.iter().map(|path| path.display().to_string()));
    net.client.command(arguments).spawn().unwrap()
}

fn assert_verify(net: &Net, documents: &[PathBuf]) {
    let genesis = net.cluster.genesis();
    let mut arguments = vec!["verify".to_owned(), "--genesis".to_owned(), genesis.display().to_string()];
    arguments.extend(documents.iter().map(|path| path.display().to_string()));
    let run = net.client.run(arguments).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.said());
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}
