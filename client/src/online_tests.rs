//! Verdicts of today, with and without a receipt.
#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use markstein_proto::{TimeMs, receipt::Receipt, status::Status};

use super::*;
use crate::{
    batches::Statement,
    entry::Entry,
    keys::IssuerKey,
    node::Failure,
    observer::Deaf,
    retry::{Nodes, Patience},
    testing::{FakeNode, Fault, Ledger, NOW, entry_by, entry_of, issuer, registry},
};

const TERMS: Terms = Terms { now: NOW, max_age: None };

fn signed(content: &str, public: bool) -> Entry {
    entry_of(&[content], Statement { document_type: 1, public, valid_until: None }, NOW)
}

/// A document with its text as its name, a place for its receipt, and a node.
struct Case {
    dir: tempfile::TempDir,
    node: FakeNode,
    /// The issuer that is asked for.
    issuer: Option<IssuerId>,
}

impl Case {
    fn new(anchored: &[&Entry]) -> Self {
        let mut ledger = Ledger::new();
        anchored.iter().for_each(|entry| ledger.append(entry.batch(), NOW));
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("paper"), "paper").unwrap();
        Self { dir, node: FakeNode::of(ledger, "node"), issuer: None }
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
        check(&refresher, &self.dir.path().join("paper"), receipt, terms, self.issuer.as_ref()).await
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
    assert_eq!((online.verdict.exit_code(), told(&online)), (0, vec![("permits.example", 0, 0)]));
    fs::write(case.dir.path().join("paper"), "other").unwrap();
    let online = case.check(None).await.unwrap();
    assert!(matches!(online.verdict, Verdict::CouldNotCheck(NotChecked::NoRecord { .. })), "{online:?}");
}

/// The offices: id, exit code, and how many other records each has.
fn told(online: &Online) -> Vec<(&str, u8, usize)> {
    let of = |it: &'_ Office| (it.verdict.exit_code(), it.others.len());
    online.offices.iter().map(|it| (it.verified.issuer.as_str(), of(it).0, of(it).1)).collect()
}

/// A public statement about the paper; each `end` makes another record of it.
fn public_by(key: &IssuerKey, end: u64) -> Entry {
    let valid_until = (end > 0).then_some(TimeMs(NOW.0 + 1_000_000_000 + end));
    entry_by(key, &["paper"], Statement { document_type: 1, public: true, valid_until }, NOW)
}

impl Case {
    fn index(&self, entry: &Entry) -> LeafIndex {
        self.ledger().receipts(entry.batch().id())[0].record.index
    }

    fn revoke(&self, key: &IssuerKey, index: LeafIndex) {
        self.ledger().set_status_by(key, index, Status::Revoked, TimeMs(NOW.0 + 1));
    }
}

#[tokio::test]
async fn of_one_issuer_what_it_said_last_counts() {
    let (first, second) = (public_by(&issuer(), 0), public_by(&issuer(), 1));
    let case = Case::new(&[&first, &second]);
    let online = case.check(None).await.unwrap();
    assert_eq!((online.verdict.exit_code(), told(&online)), (0, vec![("permits.example", 0, 1)]));
    case.revoke(&issuer(), case.index(&first));
    let online = case.check(None).await.unwrap();
    let Verdict::Genuine { verified, .. } = &online.verdict else { panic!("{online:?}") };
    assert_eq!((online.verdict.exit_code(), verified.status), (3, Status::Revoked), "after the second one");
    let third = public_by(&issuer(), 2);
    case.ledger().append(third.batch(), NOW);
    let online = case.check(None).await.unwrap();
    let Verdict::Genuine { verified, .. } = &online.verdict else { panic!("{online:?}") };
    assert_eq!((online.verdict.exit_code(), verified.index), (0, case.index(&third)));
}

#[tokio::test]
async fn what_another_issuer_anchors_makes_nothing_valid_that_was_revoked() {
    let own = public_by(&issuer(), 0);
    let mut case = Case::new(&[&own]);
    case.revoke(&issuer(), case.index(&own));
    assert_eq!(case.code(None).await, 3);
    let other = public_by(&registry(), 0);
    case.ledger().append(other.batch(), NOW);
    let online = case.check(None).await.unwrap();
    assert_eq!(told(&online), [("permits.example", 3, 0), ("registry.example", 0, 0)]);
    let Verdict::CouldNotCheck(why) = &online.verdict else { panic!("{online:?}") };
    let said = why.to_string();
    for part in [
        "whose decision",
        "Bauaufsicht Neustadt (permits.example) revoked it",
        "registry.example",
        "--issuer",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for (issuer, code, named) in
        [("permits.example", 3, 1), ("registry.example", 0, 1), ("nobody.example", 2, 0)]
    {
        case.issuer = Some(IssuerId::new(issuer).unwrap());
        let online = case.check(None).await.unwrap();
        assert_eq!((online.verdict.exit_code(), online.offices.len()), (code, named), "{issuer}");
    }
    let online = case.check(None).await.unwrap();
    let Verdict::CouldNotCheck(why) = &online.verdict else { panic!("{online:?}") };
    assert!(why.to_string().contains("public record of it by nobody.example"), "{why}");
}

#[tokio::test]
async fn however_many_another_issuer_has_none_is_hidden_by_them() {
    let own = public_by(&issuer(), 0);
    let copies: Vec<Entry> = (0..60).map(|end| public_by(&registry(), end)).collect();
    let mut case = Case::new(&copies.iter().chain([&own]).collect::<Vec<_>>());
    case.node.page = 1; // one issuer in each answer
    copies.iter().for_each(|entry| case.revoke(&registry(), case.index(entry)));
    let online = case.check(None).await.unwrap();
    assert_eq!(online.verdict.exit_code(), 2);
    assert_eq!(told(&online), [("registry.example", 3, 59), ("permits.example", 0, 0)]);
    case.issuer = Some(issuer().issuer);
    assert_eq!(case.code(None).await, 0);
}

#[tokio::test]
async fn all_issuers_that_say_the_same_are_named() {
    let (one, other) = (public_by(&issuer(), 0), public_by(&registry(), 0));
    let case = Case::new(&[&one, &other]);
    let online = case.check(None).await.unwrap();
    assert_eq!(online.verdict.exit_code(), 0);
    assert_eq!(told(&online), [("permits.example", 0, 0), ("registry.example", 0, 0)]);
    case.revoke(&registry(), case.index(&other));
    let index = case.index(&one);
    case.ledger().set_status(index, Status::Suspended, TimeMs(NOW.0 + 1));
    let online = case.check(None).await.unwrap();
    assert_eq!(online.verdict.exit_code(), 3);
    assert_eq!(told(&online), [("registry.example", 3, 0), ("permits.example", 3, 0)], "the worst first");
}

#[tokio::test]
async fn a_receipt_of_another_issuer_than_the_one_asked_for_decides_nothing() {
    let entry = signed("paper", false);
    let mut case = Case::new(&[&entry]);
    let receipt = case.receipt(&entry);
    for (asked, code) in [("permits.example", 0), ("registry.example", 2)] {
        case.issuer = Some(IssuerId::new(asked).unwrap());
        let online = case.check(Some(&receipt)).await.unwrap();
        assert_eq!(online.verdict.exit_code(), code, "{online:?}");
    }
}

#[tokio::test]
async fn a_record_that_one_node_withholds_another_one_shows() {
    let (own, other) = (public_by(&issuer(), 0), public_by(&registry(), 0));
    let case = Case::new(&[&own, &other]);
    case.revoke(&issuer(), case.index(&own));
    let liar = named_by(&case, "hides", &[(registry().issuer, vec![case.index(&other)])]);
    let online = case.ask(vec![liar, case.node.clone()], None).await.unwrap();
    assert_eq!(online.verdict.exit_code(), 2, "{online:?}");
    // Who names a record and does not show it may be hiding what speaks against the document.
    let broken =
        named_by(&case, "broken", &[(registry().issuer, vec![case.index(&other), LeafIndex(u64::MAX - 1)])]);
    let online = case.ask(vec![broken], None).await.unwrap();
    let Verdict::CouldNotCheck(why) = &online.verdict else { panic!("{online:?}") };
    assert!(why.to_string().starts_with("broken: "), "{why}");
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

/// A node that names these records of the first issuer whatever it is asked for.
fn liar(case: &Case, name: &str, named: &[u64]) -> FakeNode {
    let indices: Vec<LeafIndex> = named.iter().copied().map(LeafIndex).collect();
    let named = if indices.is_empty() { Vec::new() } else { vec![(issuer().issuer, indices)] };
    named_by(case, name, &named)
}

fn named_by(case: &Case, name: &str, named: &[(IssuerId, Vec<LeafIndex>)]) -> FakeNode {
    FakeNode { named: Some(named.to_vec()), ..case.node.another(name) }
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
    let (first, second) = (public_by(&issuer(), 0), public_by(&issuer(), 1));
    let case = Case::new(&[&first]);
    let index = case.index(&first);
    case.revoke(&issuer(), index);
    case.ledger().append(second.batch(), NOW);
    let nodes = vec![liar(&case, "hides", &[index.0]), case.node.clone()];
    let online = case.ask(nodes, None).await.unwrap();
    assert_eq!((online.verdict.exit_code(), told(&online)), (0, vec![("permits.example", 0, 1)]));
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
