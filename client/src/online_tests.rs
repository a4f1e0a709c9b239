//! Verdicts of today, with and without a receipt.
#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use markstein_proto::{TimeMs, receipt::Receipt, status::Status};

use super::*;
use crate::{
    batches::Statement,
    entry::Entry,
    node::Failure,
    observer::Deaf,
    retry::{Nodes, Patience},
    testing::{FakeNode, Fault, Ledger, NOW, entry_of},
};

const TERMS: Terms = Terms { now: NOW, max_age: None };

fn signed(content: &str, public: bool) -> Entry {
    entry_of(&[content], Statement { document_type: 1, public, valid_until: None }, NOW)
}

/// A document with its text as its name, a place for its receipt, and a node.
struct Case {
    dir: tempfile::TempDir,
    node: FakeNode,
}

impl Case {
    fn new(anchored: &[&Entry]) -> Self {
        let mut ledger = Ledger::new();
        anchored.iter().for_each(|entry| ledger.append(entry.batch(), NOW));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("paper"), "paper").unwrap();
        Self { dir, node: FakeNode::of(ledger, "node") }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.node.ledger.lock().unwrap()
    }

    fn receipt(&self, entry: &Entry) -> PathBuf {
        let mut receipt = self.ledger().receipts(entry.batch().id()).remove(0);
        receipt.salt = Some(entry.records()[0].paper.as_ref().unwrap().salt);
        let path = self.dir.path().join("paper.markstein.json");
        fs::write(&path, receipt.to_json()).unwrap();
        path
    }

    async fn check(&self, receipt: Option<&Path>) -> Result<Online, Box<Fork>> {
        self.ask(vec![self.node.clone()], receipt).await
    }

    async fn ask(&self, nodes: Vec<FakeNode>, receipt: Option<&Path>) -> Result<Online, Box<Fork>> {
        self.ask_on(TERMS, nodes, receipt).await
    }

    async fn ask_on(
        &self,
        terms: Terms,
        nodes: Vec<FakeNode>,
        receipt: Option<&Path>,
    ) -> Result<Online, Box<Fork>> {
        let millis = Duration::from_millis;
        let patience = Patience { total: millis(20), first_delay: millis(1), longest_delay: millis(1) };
        let nodes = Nodes::new(nodes, patience, Arc::new(Deaf));
        let trust = self.ledger().trust().clone();
        let refresher = Refresher::new(nodes, trust, None, || TimeMs(NOW.0 + 2 * 24 * 60 * 60 * 1000));
        check(&refresher, &self.dir.path().join("paper"), receipt, terms).await
    }

    async fn code(&self, receipt: Option<&Path>) -> u8 {
        self.check(receipt).await.unwrap().verdict.exit_code()
    }
}

#[tokio::test]
async fn the_receipt_names_the_record_and_the_node_its_status() {
    let entry = signed("paper", false);
    let case = Case::new(&[&entry]);
    let receipt = case.receipt(&entry);
    let before = fs::read(&receipt).unwrap();
    assert_eq!(case.code(Some(&receipt)).await, 0);
    let index = Receipt::from_json(&before).unwrap().record.index;
    case.ledger().set_status(index, Status::Revoked, TimeMs(NOW.0 + 1));
    let online = case.check(Some(&receipt)).await.unwrap();
    assert_eq!((online.verdict.exit_code(), online.node.as_deref()), (3, Some("node")));
    assert_eq!(fs::read(&receipt).unwrap(), before, "nothing is written");
}

#[tokio::test]
async fn what_the_receipt_refuses_no_node_makes_good() {
    let entry = signed("paper", false);
    let case = Case::new(&[&entry]);
    let receipt = case.receipt(&entry);
    fs::write(case.dir.path().join("paper"), "another").unwrap();
    assert_eq!(case.code(Some(&receipt)).await, 1);
    fs::write(&receipt, "notes").unwrap();
    assert_eq!(case.code(Some(&receipt)).await, 2);
    fs::remove_file(&receipt).unwrap();
    assert_eq!(case.code(Some(&receipt)).await, 2, "what was named must be there");
}

#[tokio::test]
async fn a_node_that_does_not_answer_well_leaves_it_open() {
    let entry = signed("paper", false);
    let case = Case::new(&[&entry]);
    let receipt = case.receipt(&entry);
    case.node.fail(Fault::Receipt(|r| r.proof.clear()));
    let online = case.check(Some(&receipt)).await.unwrap();
    assert!(matches!(online.verdict, Verdict::CouldNotCheck(NotChecked::Nodes(_))), "{online:?}");
}

#[tokio::test]
async fn a_public_document_needs_no_receipt() {
    let (salted, public) = (signed("other", false), signed("paper", true));
    let case = Case::new(&[&salted, &public]);
    let online = case.check(None).await.unwrap();
    assert_eq!((online.verdict.exit_code(), online.others.len()), (0, 0));
    fs::write(case.dir.path().join("paper"), "other").unwrap();
    let online = case.check(None).await.unwrap();
    assert!(matches!(online.verdict, Verdict::CouldNotCheck(NotChecked::NoRecord { .. })), "{online:?}");
}

#[tokio::test]
async fn of_several_public_records_the_first_good_one_counts() {
    let (first, second) = (
        signed("paper", true),
        entry_of(
            &["paper"],
            Statement { document_type: 1, public: true, valid_until: Some(TimeMs(NOW.0 + 1)) },
            NOW,
        ),
    );
    let case = Case::new(&[&first, &second]);
    let index = case.ledger().receipts(first.batch().id())[0].record.index;
    let online = case.check(None).await.unwrap();
    assert_eq!((online.verdict.exit_code(), online.others.len()), (0, 1));
    case.ledger().set_status(index, Status::Revoked, TimeMs(NOW.0 + 1));
    let online = case.check(None).await.unwrap();
    let Verdict::Genuine { verified, .. } = &online.verdict else { panic!("{online:?}") };
    assert!(online.verdict.exit_code() == 0 && verified.index > index);
    assert_eq!(online.others[0].index, index);
}

#[tokio::test]
async fn another_history_is_no_verdict() {
    let (entry, one, other) = (signed("paper", false), signed("one", false), signed("other", false));
    let case = Case::new(&[&entry, &one]);
    let receipt = case.receipt(&entry);
    *case.ledger() = Case::new(&[&entry, &other]).ledger().clone();
    assert!(case.check(Some(&receipt)).await.is_err());
}

/// A record, with the receipt at hand where it is not public, and an old node that withholds what comes from now on; what
/// both nodes show is signed by a quorum.
fn withheld(public: bool) -> (Case, FakeNode, LeafIndex, Option<PathBuf>) {
    let entry = signed("paper", public);
    let case = Case::new(&[&entry]);
    let receipt = (!public).then(|| case.receipt(&entry));
    let index = case.ledger().receipts(entry.batch().id())[0].record.index;
    let old = FakeNode::of(case.ledger().clone(), "old");
    (case, old, index, receipt)
}

#[tokio::test]
async fn a_node_that_shows_a_status_of_long_ago_does_not_decide() {
    const DAY: u64 = 24 * 60 * 60 * 1000;
    for public in [false, true] {
        let (case, old, index, receipt) = withheld(public);
        let terms = Terms::online(TimeMs(NOW.0 + DAY + 1000), None);
        let alone = case.ask_on(terms, vec![old.clone()], receipt.as_deref()).await.unwrap();
        assert_eq!(alone.verdict.exit_code(), 3, "{alone:?}");
        case.ledger().set_status(index, Status::Revoked, TimeMs(NOW.0 + 1));
        case.ledger().cosigned_at = terms.now;
        let both = vec![old, case.node.clone()];
        let online = case.ask_on(terms, both, receipt.as_deref()).await.unwrap();
        let Verdict::Genuine { verified, .. } = &online.verdict else { panic!("{online:?}") };
        assert_eq!((verified.status, online.node.as_deref()), (Status::Revoked, Some("node")));
    }
    assert_eq!(Terms::online(NOW, Some(Duration::MAX)).max_age, Some(Duration::MAX));
}

#[tokio::test]
async fn a_node_that_shows_a_status_of_an_hour_ago_decides_only_where_no_other_shows_a_newer_one() {
    const HOUR: u64 = 60 * 60 * 1000;
    for public in [false, true] {
        let (case, old, index, receipt) = withheld(public);
        let terms = Terms::online(TimeMs(NOW.0 + HOUR), None);
        let alone = case.ask_on(terms, vec![old.clone()], receipt.as_deref()).await.unwrap();
        assert_eq!(alone.verdict.exit_code(), 0, "the time of the status is told with it: {alone:?}");
        case.ledger().set_status(index, Status::Suspended, TimeMs(NOW.0 + 1));
        case.ledger().cosigned_at = terms.now;
        let both = vec![old, case.node.clone()];
        let online = case.ask_on(terms, both, receipt.as_deref()).await.unwrap();
        assert_eq!((online.verdict.exit_code(), online.node.as_deref()), (3, Some("node")), "{online:?}");
    }
    let genesis = Case::new(&[]).ledger().trust().genesis().clone();
    let prompt = |max_age| Terms { now: NOW, max_age }.prompt(&genesis).max_age.unwrap().as_secs();
    assert_eq!((prompt(None), prompt(Some(Duration::MAX)), prompt(Some(Duration::ZERO))), (900, 900, 0));
    let mut slow = genesis.clone();
    slow.parameters.recosign_interval_ms = HOUR;
    assert_eq!(TERMS.prompt(&slow).max_age.unwrap().as_secs(), 36_000);
}

/// A node that names these records whatever it is asked for.
fn liar(case: &Case, name: &str, named: &[u64]) -> FakeNode {
    let named = Some(named.iter().copied().map(LeafIndex).collect());
    FakeNode { named, ..case.node.another(name) }
}

#[tokio::test]
async fn a_record_that_one_node_shows_counts_whatever_others_say() {
    let (salted, public) = (signed("other", false), signed("paper", true));
    let case = Case::new(&[&salted, &public]);
    let other = case.ledger().receipts(salted.batch().id())[0].record.index.0;
    let right = case.node.another("right");
    for (named, lie) in [
        (vec![], None),
        (vec![u64::MAX - 1], Some("liar: fault of the test (NOT_FOUND)".to_owned())),
        (vec![other], Some(format!("liar: named record {other}, which is of another document"))),
    ] {
        let online = case.ask(vec![liar(&case, "liar", &named), right.clone()], None).await.unwrap();
        assert_eq!((online.verdict.exit_code(), online.node.as_deref()), (0, Some("right")), "{named:?}");
        assert_eq!(online.wrong, Vec::from_iter(lie));
    }
    let forger = case.node.another("forger");
    forger.fail(Fault::Receipt(|r| r.proof.clear()));
    let online = case.ask(vec![forger, right.clone()], None).await.unwrap();
    assert_eq!((online.verdict.exit_code(), online.node.as_deref()), (0, Some("right")));
    assert!(online.wrong[0].starts_with("forger: sent a receipt that does not verify"), "{:?}", online.wrong);
    let away = case.node.another("away");
    (0..9).for_each(|_| away.fail(Fault::NoReceipt(Failure::Away)));
    let online = case.ask(vec![away, right], None).await.unwrap();
    assert_eq!(online.verdict.exit_code(), 0);
}

#[tokio::test]
async fn a_record_that_was_revoked_does_not_hide_a_good_one_that_another_node_shows() {
    let (first, second) = (signed("paper", true), signed("paper", true));
    let later = Statement { document_type: 1, public: true, valid_until: Some(TimeMs(NOW.0 + 1)) };
    let (case, second) = (Case::new(&[&first, &entry_of(&["paper"], later, NOW)]), second);
    let index = case.ledger().receipts(second.batch().id())[0].record.index;
    case.ledger().set_status(index, Status::Revoked, TimeMs(NOW.0 + 1));
    let nodes = vec![liar(&case, "hides", &[index.0]), case.node.clone()];
    let online = case.ask(nodes, None).await.unwrap();
    assert_eq!((online.verdict.exit_code(), online.others.len()), (0, 1));
    assert_eq!(case.ask(vec![liar(&case, "hides", &[index.0])], None).await.unwrap().verdict.exit_code(), 3);
}

#[tokio::test]
async fn not_found_says_how_many_nodes_said_so_and_who_said_something_else() {
    let case = Case::new(&[&signed("other", false)]);
    let nodes = vec![case.node.clone(), liar(&case, "liar", &[3]), case.node.another("second")];
    let online = case.ask(nodes, None).await.unwrap();
    let Verdict::CouldNotCheck(why) = &online.verdict else { panic!("{online:?}") };
    assert!(matches!(why, NotChecked::NoRecord { asked: 2, .. }), "{why}");
    let text = why.to_string();
    assert!(text.contains("none of the 2 nodes that answered") && text.contains("; liar: "), "{text}");
    let online = case.ask(vec![liar(&case, "liar", &[3])], None).await.unwrap();
    let Verdict::CouldNotCheck(why) = &online.verdict else { panic!("{online:?}") };
    assert!(matches!(why, NotChecked::Nodes(_)) && why.to_string().starts_with("liar: "), "{why}");
    assert_eq!(online.verdict.exit_code(), 2);
}
