//! What is told of records without asking for them, and what a node may not do on the way.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use markstein_proto::receipt::Receipt;

use super::*;
use crate::{
    observer::Deaf,
    retry::Patience,
    testing::{FakeNode, Fault, Ledger, NOW, entry},
};

/// A ledger with 600 documents, and then these, a block each.
fn ledger(more: &[&str]) -> Ledger {
    let names: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut ledger = Ledger::new();
    for (number, names) in (0..).zip(names.chunks(200).chain(more.chunks(1))) {
        ledger.append(entry(names, NOW).batch(), TimeMs(NOW.0 + number));
    }
    ledger
}

fn known(ledger: &Ledger, name: &str) -> Known {
    let receipt: Receipt = ledger.receipts(entry(&[name], NOW).batch().id()).remove(0);
    Known::verify(receipt, ledger.trust()).unwrap()
}

async fn ask(node: &FakeNode, known: &[Known], seen: Option<&SeenLog>) -> Result<Vec<Today>, RangeError> {
    let millis = Duration::from_millis;
    let patience = Patience { total: millis(20), first_delay: millis(1), longest_delay: millis(1) };
    let nodes = Arc::new(Nodes::new(vec![node.clone()], patience, Arc::new(Deaf)));
    let trust = node.ledger.lock().unwrap().trust().clone();
    statuses(&nodes, &trust, known, seen, 256, &Deaf).await
}

#[tokio::test]
async fn the_status_of_each_record_is_found_with_its_history() {
    let mut ledger = ledger(&["a", "b", "c"]);
    let known = ["a", "b", "c"].map(|name| known(&ledger, name));
    let [a, b, _] = [0, 1, 2].map(|i| known[i].verified.index);
    let time = |seconds: u64| TimeMs(NOW.0 + seconds * 1000);
    ledger.set_status(a, Status::Suspended, time(1));
    ledger.set_status(a, Status::Valid, time(2));
    ledger.set_status(a, Status::Revoked, time(3));
    ledger.set_status(b, Status::Superseded, time(4));
    ledger.cosigned_at = time(5);
    let (size, node) = (ledger.size(), FakeNode::of(ledger, "node"));
    let today = ask(&node, &known, None).await.unwrap();
    let statuses: Vec<Status> = today.iter().map(|it| it.verified.status).collect();
    assert_eq!(statuses, [Status::Revoked, Status::Superseded, Status::Valid]);
    let history: Vec<(Status, TimeMs)> = today[0].changes.iter().map(|it| (it.status, it.at)).collect();
    let expected = [(Status::Suspended, time(1)), (Status::Valid, time(2)), (Status::Revoked, time(3))];
    assert_eq!(history, expected);
    assert_eq!((today[1].changes[0].reason, today[2].changes.len()), (None, 0));
    assert!(today.iter().all(|it| it.verified.log_size == size && it.verified.as_of_s == time(5).0 / 1000));
}

#[tokio::test]
async fn a_node_learns_where_the_range_begins_and_no_more() {
    let ledger = ledger(&["a", "b"]);
    let mut asked = Vec::new();
    for name in ["a", "b"] {
        let node = FakeNode::of(ledger.clone(), "node");
        ask(&node, &[known(&ledger, name)], None).await.unwrap();
        let mut paths = node.paths.lock().unwrap().clone();
        paths.sort();
        assert!(paths.iter().any(|path| path.starts_with("/tile/1/")), "the nodes to the left: {paths:?}");
        assert!(!paths.contains(&"/tile/entries/000".into()), "{paths:?}");
        asked.push(paths);
    }
    assert_eq!(asked[0], asked[1]);
}

#[tokio::test]
async fn nothing_can_be_left_out_or_changed() {
    let mut ledger = ledger(&["a"]);
    let known = [known(&ledger, "a")];
    ledger.set_status(known[0].verified.index, Status::Revoked, TimeMs(NOW.0 + 9));
    let node = FakeNode::of(ledger, "node");
    type Change = fn(&mut Vec<u8>);
    let changes: [(&str, Change, &str); 8] = [
        ("/tile/entries/", |bytes| bytes[40] ^= 1, "not the log that a quorum signed"),
        ("/tile/entries/", |bytes| _ = bytes.pop(), "a bundle that is none"),
        ("/tile/entries/", |bytes| bytes.push(0), "a bundle that is none"),
        ("/tile/entries/", |bytes| bytes.extend([0, 0]), "a bundle that is none"),
        ("/tile/1/", |bytes| bytes[40] ^= 1, "not the log that a quorum signed"),
        ("/tile/1/", |bytes| _ = bytes.pop(), "tiles that are none"),
        ("/checkpoint", |bytes| bytes[30] ^= 1, "checkpoint"),
        ("/checkpoint", |bytes| bytes.truncate(80), "no checkpoint"),
    ];
    for (part, change, why) in changes {
        node.fail(Fault::Bytes(part, change));
        let error = ask(&node, &known, None).await.unwrap_err().to_string();
        assert!(error.contains(why), "{part}: {error}");
    }
    assert_eq!(ask(&node, &known, None).await.unwrap()[0].verified.status, Status::Revoked);
}

#[tokio::test]
async fn an_older_log_and_another_history_are_told() {
    let (short, long) = (ledger(&["a"]), ledger(&["a", "b"]));
    let (old, new) = (known(&short, "a"), known(&long, "a"));
    let behind = FakeNode::of(short.clone(), "behind");
    for result in [
        ask(&behind, std::slice::from_ref(&new), None).await,
        ask(&behind, std::slice::from_ref(&old), Some(&new.log)).await,
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("behind: shows an older log than was seen before"), "{error}");
    }
    let mut stale = short;
    stale.cosigned_at = TimeMs(NOW.0 - 1000);
    let error = ask(&FakeNode::of(stale, "stale"), std::slice::from_ref(&old), None).await.unwrap_err();
    assert!(error.to_string().contains("older time than the receipt at hand"), "{error}");

    let other = FakeNode::of(ledger(&["a", "c", "d"]), "other");
    for (known, seen) in [(&new, None), (&old, Some(&new.log))] {
        let error = ask(&other, std::slice::from_ref(known), seen).await.unwrap_err();
        assert!(matches!(error, RangeError::Forked { older, .. } if older == new.log.size()), "{error}");
    }
}
