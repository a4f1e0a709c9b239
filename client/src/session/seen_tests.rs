//! What runs that change statuses make of nodes that show an older log than was seen before, another one, or nothing.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, sync::PoisonError};

use markstein_proto::{LeafIndex, TimeMs, receipt::Receipt, status::Status};

use super::{
    change_tests::{REVOKE, SUSPEND, anchored},
    tests::{EAGER, ONE_ROUND, Setting},
    *,
};
use crate::{
    node::{ANOTHERS_RECORD, Failure, STATUS_OTHER, STATUS_TERMINAL},
    observer::Deaf,
    orders::Order,
    retry::Patience,
    testing::{FakeNode, Fault, Ledger, NOW, entry, issuer},
};

impl Setting {
    /// The log as the node shows it now.
    fn ledger(&self) -> Ledger {
        self.node.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn change_by(&self, nodes: Vec<FakeNode>, patience: Patience, orders: Vec<Order>) -> Report {
        let job = ChangeJob { orders, batch_records: self.batch_records };
        self.session(nodes, patience, Arc::new(Deaf)).await.change(job).await
    }

    /// A record that is named by its number: nothing at hand has seen a log.
    fn by_number(&self, name: &str) -> Vec<Order> {
        self.orders(&[&self.index(name).0.to_string()], REVOKE, false)
    }
}

fn stopped(report: &Report) -> String {
    report.stopped.as_ref().map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn an_older_log_than_an_earlier_run_saw_is_noticed() {
    let setting = anchored(2).await;
    let old = FakeNode::of(setting.ledger(), "old");
    assert!(setting.change(&["0000"], SUSPEND).await.is_complete());
    let by_number = || setting.by_number("0001");
    let report = setting.change_by(vec![old.clone()], ONE_ROUND, by_number()).await;
    assert!(stopped(&report).contains("old: shows an older log than was seen before"), "{report:?}");
    assert_eq!(old.submitted.lock().unwrap().len(), 0);
    old.fail(Fault::BeforeSubmit(Failure::Away));
    let report = setting.change_by(vec![old, setting.node.clone()], EAGER, by_number()).await;
    assert_eq!((report.changed.len(), stopped(&report)), (1, String::new()));
}

#[tokio::test]
async fn what_a_run_saw_is_kept_before_a_receipt_rests_on_it_and_is_what_verify_and_refresh_keep() {
    let setting = anchored(1).await;
    assert!(setting.change(&["0000"], SUSPEND).await.is_complete());
    let trust = setting.ledger().trust().clone();
    let newest = Memory::open(&setting.dir.path().join("state"), &trust).unwrap().newest().unwrap().unwrap();
    assert_eq!(newest.size(), setting.ledger().size());
}

#[tokio::test]
async fn a_newer_receipt_is_not_replaced_by_an_older_one() {
    let setting = anchored(1).await;
    let (index, receipt) = (setting.index("0000"), setting.path("0000.markstein.json"));
    // A run that is killed before it renews the receipt; then somebody reinstates the record, and the receipt shows it.
    setting.node.fail(Fault::AfterSubmit);
    let orders = setting.orders(&["0000"], SUSPEND, false);
    let report = setting.change_by(vec![setting.node.clone()], ONE_ROUND, orders).await;
    assert!(matches!(report.stopped, Some(SessionError::Nodes(_))), "{report:?}");
    let behind = FakeNode::of(setting.ledger(), "behind");
    setting.node.ledger.lock().unwrap().set_status(index, Status::Valid, TimeMs(NOW.0 + 5));
    let salt = crate::receipts::read(&receipt).unwrap().salt;
    let newer = setting.ledger().receipt_at(index).unwrap();
    let newer = Receipt { salt, ..newer }.to_json();
    std::fs::write(&receipt, &newer).unwrap();
    let report = setting.change_by(vec![behind.clone()], ONE_ROUND, Vec::new()).await;
    assert!(stopped(&report).contains("behind: shows an older log than was seen before"), "{report:?}");
    assert_eq!(std::fs::read_to_string(&receipt).unwrap(), newer);
    let report = setting.change_by(vec![behind, setting.node.clone()], EAGER, Vec::new()).await;
    assert_eq!((report.resumed, report.changed[0].status), (1, Status::Valid), "{report:?}");
    assert_eq!(std::fs::read_to_string(&receipt).unwrap(), newer);
}

#[tokio::test]
async fn another_history_stops_the_run_before_anything_is_sent() {
    let setting = anchored(2).await;
    let before = setting.ledger();
    assert!(setting.change(&["0000"], SUSPEND).await.is_complete());
    let by_number = setting.by_number("0001");
    for more in [1, 3] {
        let mut other = before.clone();
        (0..more).for_each(|i| other.append(entry(&[&format!("other {i}")], NOW).batch(), TimeMs(NOW.0 + i)));
        let other = FakeNode::of(other, "other");
        let report = setting.change_by(vec![other.clone()], EAGER, by_number.clone()).await;
        assert!(matches!(report.stopped, Some(SessionError::Fork(_))), "{report:?}");
        assert_eq!((report.changed.len(), other.submitted.lock().unwrap().len()), (0, 0));
    }
}

#[tokio::test]
async fn that_there_is_no_record_one_node_does_not_decide() {
    let setting = anchored(1).await;
    let blind = FakeNode::of(Ledger::new(), "blind");
    // Nothing was seen yet: the state folder is another one.
    std::fs::remove_dir_all(setting.dir.path().join("state")).unwrap();
    let nodes = || vec![blind.clone(), setting.node.clone()];
    let report = setting.change_by(nodes(), EAGER, setting.by_number("0000")).await;
    assert_eq!((report.changed.len(), report.unchanged.len()), (1, 0), "{report:?}");
    let nothing = setting.orders(&["4711"], REVOKE, false);
    let report = setting.change_by(nodes(), EAGER, nothing).await;
    assert!(matches!(&report.unchanged[0].kept, Kept::Refused(why) if why.starts_with("is no anchored")));
}

#[tokio::test]
async fn a_no_that_receipts_contradict_sends_the_same_batch_to_another_node_and_signs_nothing_anew() {
    for reason in [STATUS_OTHER, STATUS_TERMINAL, ANOTHERS_RECORD] {
        let setting = anchored(3).await;
        let (liar, other) = (setting.node.another("liar"), setting.node.another("other"));
        liar.fail(Fault::Deny(reason));
        setting.node.submitted.lock().unwrap().clear();
        let orders = setting.orders(&["0000", "0001", "0002"], SUSPEND, false);
        let report = setting.change_by(vec![liar.clone(), other], EAGER, orders.clone()).await;
        assert_eq!((report.changed.len(), stopped(&report)), (3, String::new()), "{report:?}");
        let submitted = setting.node.submitted.lock().unwrap().clone(); // by both
        assert!(submitted.len() == 2 && submitted[0] == submitted[1], "{submitted:?}");
        assert_eq!(setting.names("state"), BTreeSet::new(), "neither in the journal nor put aside");
    }
}

#[tokio::test]
async fn where_nobody_else_answers_a_batch_that_was_turned_down_against_all_receipts_stays_as_it_is() {
    let setting = anchored(1).await;
    let (liar, away) = (setting.node.another("liar"), setting.node.another("away"));
    liar.fail(Fault::Deny(STATUS_OTHER));
    away.fail(Fault::BeforeSubmit(Failure::Away));
    let orders = setting.orders(&["0000"], SUSPEND, false);
    let report = setting.change_by(vec![liar, away], ONE_ROUND, orders.clone()).await;
    assert!(matches!(report.stopped, Some(SessionError::Nodes(_))), "{report:?}");
    assert_eq!(setting.names("state").len(), 1);
    assert!(setting.change(&["0000"], SUSPEND).await.is_complete());
    let submitted = setting.node.submitted.lock().unwrap().clone();
    assert!(
        submitted[1..].iter().all(|batch| *batch == submitted[1]),
        "one batch, besides that which anchored"
    );
}

#[tokio::test]
async fn a_public_record_is_found_whatever_one_node_says() {
    let statement = crate::batches::Statement { document_type: 1, public: true, valid_until: None };
    let setting = Setting { statement, ..Setting::new(1) };
    assert!(setting.run().await.is_complete());
    std::fs::remove_file(setting.path("0000.markstein.json")).unwrap();
    for named in [vec![], vec![LeafIndex(u64::MAX - 1)], vec![LeafIndex(0)]] {
        let liar = FakeNode { named: Some(vec![(issuer().issuer, named)]), ..setting.node.another("liar") };
        let orders = setting.orders(&["0000"], SUSPEND, true);
        let report = setting.change_by(vec![liar, setting.node.clone()], EAGER, orders).await;
        assert!(report.is_complete(), "{report:?}");
    }
}
