//! Runs that change statuses: against others who change them, too, and killed at every step.
#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf, sync::atomic::AtomicUsize};

use markstein_proto::{
    Batch, DocumentDigest, LeafIndex, LogSize, Reason, Record, Salt, StatusChange, TimeMs, receipt::Verified,
    status::Status,
};

use super::tests::{EAGER, Killer, Setting};
use super::*;
use crate::{
    batches::{Renewal, Statement, plan_changes},
    changes::Wish,
    keys::IssuerKey,
    node::{ANOTHERS_RECORD, Failure, NO_TARGET, STATUS_OTHER, STATUS_TERMINAL},
    observer::{Deaf, Event},
    orders::{Finder, Label, Order, Place, find_all},
    scan::{Document, receipt_beside},
    testing::{FakeNode, Fault, NOW, issuer, registry},
};

pub(super) const REVOKE: Wish = Wish::Revoke(Reason::CourtOrder);
pub(super) const SUSPEND: Wish = Wish::Suspend(Reason::Appeal);
const REINSTATE: Wish = Wish::Reinstate(Reason::Resolved);

/// Documents that are anchored.
pub(super) async fn anchored(documents: usize) -> Setting {
    let setting = Setting::new(documents);
    assert!(setting.run().await.is_complete());
    setting
}

fn name(number: usize) -> String {
    format!("{number:04}")
}

impl Setting {
    pub fn orders(&self, words: &[&str], wish: Wish, public: bool) -> Vec<Order> {
        let trust = self.node.ledger.lock().unwrap().trust().clone();
        let name = |word: &&str| match word.bytes().all(|b| b.is_ascii_digit()) && !self.path(word).exists() {
            true => (*word).to_owned(),
            false => self.path(word).to_str().unwrap().to_owned(),
        };
        let words = (1..).zip(words).map(|(number, word)| (Label { number, name: name(word) }, wish));
        let (orders, untaken) = find_all(words.collect(), Finder { trust: &trust, public, receipts: None });
        assert_eq!(untaken, []);
        orders
    }

    pub async fn change(&self, words: &[&str], wish: Wish) -> Report {
        self.change_with(vec![self.node.clone()], self.orders(words, wish, false), Arc::new(Deaf)).await
    }

    async fn change_with(
        &self,
        nodes: Vec<FakeNode>,
        orders: Vec<Order>,
        observer: Arc<dyn Observer>,
    ) -> Report {
        let job = ChangeJob { orders, batch_records: self.batch_records };
        self.session(nodes, EAGER, observer).await.change(job).await
    }

    async fn supersede(&self, pairs: &[(&str, &str)]) -> Report {
        self.supersede_with(pairs, Arc::new(Deaf)).await
    }

    async fn supersede_with(&self, pairs: &[(&str, &str)], observer: Arc<dyn Observer>) -> Report {
        let words: Vec<&str> = pairs.iter().map(|(_, old)| *old).collect();
        let document = |(new, _): &(&str, &str)| {
            let path = self.path(new);
            Document { receipt: receipt_beside(&path), path }
        };
        let orders = self.orders(&words, Wish::Supersede, false);
        let replacements = pairs.iter().map(document).zip(orders);
        let job = SupersedeJob {
            replacements: replacements.map(|(document, order)| Replacement { document, order }).collect(),
            document_type: None,
            public: false,
            valid_until: None,
            batch_records: self.batch_records,
            keep_going: self.keep_going,
        };
        self.session(vec![self.node.clone()], EAGER, observer).await.supersede(job).await
    }

    /// What the receipt beside a document proves.
    fn verified(&self, name: &str) -> Verified {
        let path = self.path(name);
        let receipt = crate::receipts::read(&receipt_beside(&path)).unwrap();
        let digest: DocumentDigest = crate::hash::digest_file(&path).unwrap();
        receipt.verify(self.node.ledger.lock().unwrap().trust(), &digest).unwrap()
    }

    pub fn index(&self, name: &str) -> LeafIndex {
        self.verified(name).index
    }

    /// A batch of somebody else with the key, or with another one.
    fn batch_of_another(&self, key: &IssuerKey, changes: &[(&str, Status, Status)]) -> Batch {
        let record = |(name, from, to): &(&str, Status, Status)| {
            Record::StatusChange(StatusChange::new(self.index(name), *from, *to, Reason::Other).unwrap())
        };
        let records: Vec<Record> = changes.iter().map(record).collect();
        let ledger = self.node.ledger.lock().unwrap().trust().ledger_id();
        Batch::sign(ledger, &key.issuer, &key.key, TimeMs(NOW.0 - 7), &records).unwrap()
    }

    fn changes(&self, name: &str) -> usize {
        let index = self.index(name);
        self.node.ledger.lock().unwrap().changes(index)
    }

    fn check_journal_is_empty(&self) {
        assert_eq!(self.names("state"), std::collections::BTreeSet::new());
    }
}

fn refusals(report: &Report) -> Vec<(usize, String)> {
    let refusal = |unchanged: &Unchanged| match &unchanged.kept {
        Kept::Refused(why) => Some((unchanged.labels[0].number, why.clone())),
        Kept::Already(_) => None,
    };
    report.unchanged.iter().filter_map(refusal).collect()
}

#[tokio::test]
async fn statuses_change_and_the_receipts_show_it() {
    let setting = Setting { batch_records: 2, ..anchored(5).await };
    let words = ["0000", "0001.markstein.json", "0002"];
    let report = setting.change(&words, SUSPEND).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.changed.iter().map(|c| c.labels[0].number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(report.changed[1].receipts, [setting.path("0001.markstein.json")]);
    assert!(setting.change(&words[..2], REINSTATE).await.is_complete());
    assert!(setting.change(&["0001", "0002"], REVOKE).await.is_complete());
    let shown = |name: &str| {
        let verified = setting.verified(name);
        (verified.status, verified.history.iter().filter_map(|event| event.reason).collect::<Vec<_>>())
    };
    assert_eq!(shown("0000"), (Status::Valid, vec![Reason::Appeal, Reason::Resolved]));
    assert_eq!(shown("0001"), (Status::Revoked, vec![Reason::Appeal, Reason::Resolved, Reason::CourtOrder]));
    assert_eq!(shown("0002"), (Status::Revoked, vec![Reason::Appeal, Reason::CourtOrder]));
    assert_eq!(shown("0003"), (Status::Valid, vec![]));
    setting.check_journal_is_empty();
}

/// Records of one batch come as one stream; what breaks off, or is rubbish, is asked for one by one.
#[tokio::test]
async fn many_records_of_one_batch_are_looked_up_at_once() {
    for fault in [None, Some(Fault::CutReceipts(3)), Some(Fault::BadReceipts(5))] {
        let setting = anchored(30).await;
        setting.node.faults.lock().unwrap().extend(fault);
        let words: Vec<String> = (0..30).filter(|number| number % 3 > 0).map(name).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let report = setting.change(&words, REVOKE).await;
        assert!(report.is_complete() && report.changed.len() == 20, "{report:?}");
        for number in 0..30 {
            let status = if number % 3 > 0 { Status::Revoked } else { Status::Valid };
            assert_eq!(setting.verified(&name(number)).status, status);
        }
    }
}

#[tokio::test]
async fn what_has_the_status_already_is_told_and_its_receipt_renewed() {
    let setting = anchored(2).await;
    let old = fs::read(setting.path("0000.markstein.json")).unwrap();
    assert!(setting.change(&["0000", "0001"], REVOKE).await.is_complete());
    fs::write(setting.path("0000.markstein.json"), old).unwrap();
    assert_eq!(setting.verified("0000").status, Status::Valid, "an older receipt");
    let report = setting.change(&["0000", "0001"], Wish::Revoke(Reason::Other)).await;
    assert!(report.is_complete() && report.changed.is_empty(), "{report:?}");
    assert!(matches!(&report.unchanged[0].kept, Kept::Already(how) if how.contains("court-order")));
    assert_eq!(setting.verified("0000").status, Status::Revoked);
    assert_eq!(setting.changes("0000"), 1);
}

#[tokio::test]
async fn what_cannot_be_changed_is_told_line_by_line_and_the_rest_goes_on() {
    let setting = anchored(5).await;
    fs::write(setting.path("new"), "successor").unwrap();
    assert!(setting.supersede(&[("new", "0001")]).await.is_complete());
    assert!(setting.change(&["0002"], REVOKE).await.is_complete());
    // Another issuer's record, by its number.
    let entry = {
        let (key, mut ledger) = (registry(), setting.node.ledger.lock().unwrap());
        let anchor = markstein_proto::Anchor {
            commitment: markstein_proto::Commitment(markstein_proto::Hash([1; 32])),
            public: false,
            document_type: 1,
            valid_until: None,
            supersedes: None,
        };
        let records = [Record::Anchor(anchor)];
        let batch = Batch::sign(ledger.trust().ledger_id(), &key.issuer, &key.key, NOW, &records).unwrap();
        ledger.append(&batch, NOW);
        batch
    };
    let others = setting.node.ledger.lock().unwrap().receipts(entry.id())[0].record.index.to_string();
    let report = setting.change(&["0000", "0001", "0002", "0003", "0", &others, "999999"], SUSPEND).await;
    assert!(!report.is_complete());
    assert_eq!(report.changed.iter().map(|c| c.labels[0].number).collect::<Vec<_>>(), [1, 4]);
    let told = refusals(&report);
    for ((number, why), (expected, part)) in told.iter().zip([
        (2, "was superseded on"),
        (3, "was revoked on"),
        (5, "no anchored document"),
        (6, "Standesamt Neustadt (registry.example), who alone"),
        (7, "no anchored document"),
    ]) {
        assert!(*number == expected && why.contains(part), "{told:?}");
    }
    assert_eq!(told.len(), 5);
}

#[tokio::test]
async fn a_record_named_twice_is_changed_once_and_not_two_ways() {
    let setting = anchored(2).await;
    let index = setting.index("0000");
    fs::copy(setting.path("0000.markstein.json"), setting.path("copy.json")).unwrap();
    let orders = setting.orders(&["0000", "copy.json", "0001"], REVOKE, false);
    let by_number = Order {
        label: Label { number: 4, name: index.to_string() },
        place: Place::Record { index, seen: LogSize(0), batch: None },
        wish: SUSPEND,
        renewals: vec![],
    };
    let nodes = vec![setting.node.clone()];
    let report = setting.change_with(nodes, [orders, vec![by_number]].concat(), Arc::new(Deaf)).await;
    assert_eq!(report.changed[0].receipts.len(), 2);
    assert_eq!(report.changed[0].labels.len(), 2);
    let told = refusals(&report);
    assert!(told.len() == 1 && told[0].0 == 4 && told[0].1.contains("number 1"), "{told:?}");
    let copy = crate::receipts::read(&setting.path("copy.json")).unwrap();
    assert_eq!(copy, crate::receipts::read(&setting.path("0000.markstein.json")).unwrap());
    assert_eq!(setting.changes("0000"), 1);
}

#[tokio::test]
async fn a_public_document_is_found_by_its_content() {
    let setting = Setting::new(2);
    let public = Statement { document_type: 1, public: true, valid_until: None };
    let setting = Setting { statement: public, ..setting };
    assert!(setting.run().await.is_complete());
    fs::remove_file(setting.path("0000.markstein.json")).unwrap();
    fs::write(setting.path("stranger"), "never anchored").unwrap();
    let orders = setting.orders(&["0000", "stranger"], REVOKE, true);
    let report = setting.change_with(vec![setting.node.clone()], orders, Arc::new(Deaf)).await;
    assert_eq!(report.changed.len(), 1);
    assert!(refusals(&report)[0].1.contains("no public record of permits.example"), "{report:?}");
    assert_eq!(setting.verified("0000").status, Status::Revoked, "it has its receipt again");
    assert_eq!(crate::receipts::read(&setting.path("0000.markstein.json")).unwrap().salt, Some(Salt::PUBLIC));
}

/// Somebody else with the same key changes a record between the look and the batch.
#[tokio::test]
async fn whoever_is_overtaken_does_the_rest() {
    let setting = anchored(5).await;
    let words: Vec<String> = (0..5).map(name).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (valid, suspended, revoked) = (Status::Valid, Status::Suspended, Status::Revoked);
    let others = [("0001", valid, revoked), ("0003", valid, suspended)];
    setting.node.fail(Fault::Overtake(Box::new(setting.batch_of_another(&issuer(), &others))));
    let report = setting.change(&words, SUSPEND).await;
    assert_eq!(report.changed.iter().map(|c| c.labels[0].number).collect::<Vec<_>>(), [1, 3, 5]);
    let told = refusals(&report);
    assert!(told.len() == 1 && told[0].0 == 2 && told[0].1.contains("revoked"), "{told:?}");
    assert!(report.unchanged.iter().any(|u| u.labels[0].number == 4), "{report:?}");
    assert_eq!(setting.verified("0003").status, suspended, "its receipt is renewed, too");
    setting.check_journal_is_empty();
    // What was suspended meanwhile can still be revoked: the change then begins elsewhere.
    setting
        .node
        .fail(Fault::Overtake(Box::new(setting.batch_of_another(&issuer(), &[("0000", suspended, valid)]))));
    let report = setting.change(&["0000", "0002"], REVOKE).await;
    assert!(report.is_complete() && report.changed.len() == 2, "{report:?}");
    assert_eq!(setting.verified("0000").status, revoked);
}

#[tokio::test]
async fn a_no_to_one_record_that_nobody_can_explain_costs_that_record_only() {
    let setting = anchored(4).await;
    let words = ["0000", "0001", "0002", "0003"];
    // All; the second half; its own second half, alone.
    (0..3).for_each(|_| setting.node.fail(Fault::Deny(STATUS_OTHER)));
    let report = setting.change(&words, REVOKE).await;
    assert_eq!(report.changed.len(), 3);
    let told = refusals(&report);
    assert!(told.len() == 1 && told[0].1.contains("fault of the test"), "{told:?}");
    setting.check_journal_is_empty();
    for reason in [ANOTHERS_RECORD, STATUS_TERMINAL] {
        let setting = anchored(1).await;
        setting.node.fail(Fault::Deny(reason));
        assert_eq!(refusals(&setting.change(&["0000"], REVOKE).await).len(), 1);
    }
}

#[tokio::test]
async fn a_node_without_the_block_is_asked_again() {
    let setting = anchored(2).await;
    setting.node.fail(Fault::Deny(NO_TARGET));
    let report = setting.change(&["0000", "0001"], REVOKE).await;
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test]
async fn a_lie_about_a_status_loses_nothing() {
    let setting = anchored(2).await;
    setting.node.fail(Fault::Refuse(STATUS_TERMINAL));
    let report = setting.change(&["0000", "0001"], REVOKE).await;
    assert!(matches!(report.stopped, Some(SessionError::Refused { .. })), "{report:?}");
    // It took the batch, says then that it is refused, and receipts show that it is final.
    let setting = anchored(2).await;
    setting.node.fail(Fault::AfterSubmit);
    setting.node.fail(Fault::Deny(STATUS_TERMINAL));
    let report = setting.change(&["0000", "0001"], REVOKE).await;
    assert!(report.is_complete() && report.changed.len() == 2, "{report:?}");
    assert_eq!(setting.changes("0000"), 1);
    // It may have taken the batch, and nothing shows what became of it.
    let setting = anchored(2).await;
    setting.node.fail(Fault::BeforeSubmit(Failure::Away));
    setting.node.fail(Fault::Deny(STATUS_OTHER));
    let report = setting.change(&["0000", "0001"], REVOKE).await;
    assert!(matches!(report.stopped, Some(SessionError::Uncertain { .. })), "{report:?}");
    let report = setting.change(&["0000", "0001"], REVOKE).await;
    assert!(report.is_complete() && report.changed.len() == 2, "{report:?}");
    assert_eq!((report.resumed, report.unchanged.len(), setting.changes("0000")), (1, 0, 1));
}

/// The node that turned a batch down, and submits it once the client has given it up.
struct Liar(FakeNode);

impl Observer for Liar {
    fn event(&self, event: &Event<'_>) {
        if let Event::PutAside(path) = event {
            let entry = Entry::decode(&fs::read(path).unwrap()).unwrap();
            self.0.ledger.lock().unwrap().append(entry.batch(), NOW);
        }
    }
}

#[tokio::test]
async fn a_no_that_was_a_lie_costs_no_salt() {
    for documents in [1, 2] {
        let setting = anchored(documents).await;
        let pairs: Vec<(String, String)> = (0..documents).map(|n| (format!("new{n}"), name(n))).collect();
        pairs.iter().for_each(|(new, _)| fs::write(setting.path(new), new).unwrap());
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(new, old)| (new.as_str(), old.as_str())).collect();
        setting.node.fail(Fault::Deny(STATUS_OTHER));
        let report = setting.supersede_with(&pairs, Arc::new(Liar(setting.node.clone()))).await;
        assert!(!report.is_complete(), "the successors that were signed instead come too late: {report:?}");
        // What became final is what was put aside: taken up again, it gives every document its receipt.
        let state = walkdir::WalkDir::new(setting.dir.path().join("state")).into_iter();
        let kept: Vec<PathBuf> = state
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.is_file() && path.parent().unwrap().ends_with("refused"))
            .collect();
        assert_eq!(kept.len(), 1, "{kept:?}");
        let journal = kept[0].parent().unwrap().with_file_name("journal");
        fs::rename(&kept[0], journal.join(kept[0].file_name().unwrap())).unwrap();
        let report = setting.change(&[], REVOKE).await;
        assert!(report.stopped.is_none(), "{report:?}");
        assert_eq!((report.resumed, report.anchored.len()), (1, documents));
        for (new, old) in pairs {
            assert_eq!(setting.verified(new).supersedes, Some(setting.index(old)));
            assert_eq!(setting.verified(old).status, Status::Superseded);
        }
        setting.check_journal_is_empty();
    }
}

/// A node that says no to what is signed now, and does not answer when it is asked why.
struct Unsteady(FakeNode);

impl Observer for Unsteady {
    fn event(&self, event: &Event<'_>) {
        if matches!(event, Event::Journaled(_)) {
            self.0.fail(Fault::Deny(STATUS_OTHER));
            self.0.fail(Fault::NoReceipt(Failure::Away));
        }
    }
}

#[tokio::test]
async fn a_node_that_is_behind_does_not_say_what_became_of_a_record() {
    let setting = anchored(1).await;
    assert!(setting.change(&["0000"], SUSPEND).await.is_complete());
    let behind = FakeNode::of(setting.node.ledger.lock().unwrap().clone(), "behind");
    assert!(setting.change(&["0000"], REINSTATE).await.is_complete());
    let receipt = receipt_beside(&setting.path("0000"));
    let size = crate::receipts::log_size(&receipt).unwrap();
    // It has seen the suspension and not its end: its receipt says that all is as wanted.
    let again = Wish::Suspend(Reason::Other); // another batch than the first
    let (nodes, orders) = (vec![behind, setting.node.clone()], setting.orders(&["0000"], again, false));
    let report = setting.change_with(nodes, orders, Arc::new(Unsteady(setting.node.clone()))).await;
    assert_eq!((refusals(&report).len(), report.unchanged.len()), (1, 1), "{report:?}");
    assert!(crate::receipts::log_size(&receipt).unwrap() >= size, "the newer receipt is not taken away");
}

/// An entry as a run leaves it that was killed before it sent anything.
fn leave_change(setting: &Setting, names: &[&str], age_ms: u64) {
    let key = issuer();
    let change = |name: &&str| {
        let receipt = setting.path(&format!("{name}.markstein.json"));
        let salt = crate::receipts::read(&receipt).unwrap().salt;
        let change =
            StatusChange::new(setting.index(name), Status::Valid, Status::Revoked, Reason::Other).unwrap();
        (change, vec![Renewal { like: receipt.clone(), receipt, salt }])
    };
    let planned = plan_changes(names.iter().map(change).collect(), 10).remove(0);
    let ledger = setting.node.ledger.lock().unwrap().trust().ledger_id();
    let signer = Signer { ledger, issuer: &key.issuer, key: &key.key };
    let entry = Entry::sign(planned, signer, TimeMs(NOW.0 - age_ms)).unwrap();
    let state: PathBuf = setting.dir.path().join("state");
    Journal::open(&state, ledger, key.id(), || ()).unwrap().write(&entry).unwrap();
}

#[tokio::test]
async fn what_an_earlier_run_left_is_completed_by_any_command() {
    let day = markstein_proto::BATCH_AGE_MAX_MS;
    for age in [0, day + 1] {
        let setting = anchored(2).await;
        leave_change(&setting, &["0000", "0001"], age);
        fs::write(setting.path("new"), "one more").unwrap();
        let report = setting.run().await;
        assert!(report.is_complete(), "{report:?}");
        assert_eq!((report.resumed, report.changed.len(), report.anchored.len()), (1, 2, 1));
        assert_eq!(setting.verified("0001").status, Status::Revoked);
        setting.check_journal_is_empty();
    }
}

#[tokio::test]
async fn what_can_never_follow_any_more_is_left_out_of_an_earlier_runs_batch() {
    let day = markstein_proto::BATCH_AGE_MAX_MS;
    for (status, age, expected) in
        [(Status::Revoked, 0, 1), (Status::Suspended, day + 1, 2), (Status::Superseded, 5, 1)]
    {
        let setting = anchored(2).await;
        leave_change(&setting, &["0000", "0001"], age);
        let index = setting.index("0000");
        setting.node.ledger.lock().unwrap().set_status(index, status, NOW);
        let report = setting.change(&["0001"], REVOKE).await;
        assert_eq!(
            (report.changed.len(), report.is_complete()),
            (expected, status != Status::Superseded),
            "{report:?}"
        );
        assert_eq!(setting.verified("0001").status, Status::Revoked);
        setting.check_journal_is_empty();
    }
    // Until it is a day old it may still become final, once the suspension is lifted.
    let setting = anchored(2).await;
    leave_change(&setting, &["0000", "0001"], day - 1);
    let index = setting.index("0000");
    setting.node.ledger.lock().unwrap().set_status(index, Status::Suspended, NOW);
    let report = setting.change(&["0001"], REVOKE).await;
    assert!(matches!(report.stopped, Some(SessionError::Uncertain { .. })), "{report:?}");
}

#[tokio::test]
async fn a_successor_is_anchored_in_the_moment_in_which_the_old_one_ends() {
    let setting = anchored(3).await;
    ["new", "newer", "stranger"].iter().for_each(|name| fs::write(setting.path(name), name).unwrap());
    let report = setting.supersede(&[("new", "0000"), ("newer", "0001.markstein.json")]).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.anchored.len(), report.changed.len()), (2, 2));
    assert_eq!(setting.verified("new").supersedes, Some(setting.index("0000")));
    let old = setting.verified("0000");
    assert_eq!((old.status, old.history[0].index), (Status::Superseded, setting.index("new")));
    // The same again is done already; another document comes too late.
    let again = setting.supersede(&[("new", "0000"), ("newer", "0001")]).await;
    assert!(again.is_complete() && again.already.len() == 2, "{again:?}");
    let late = setting.supersede(&[("stranger", "0000")]).await;
    assert!(refusals(&late)[0].1.contains("superseded on"), "{late:?}");
    assert!(!receipt_beside(&setting.path("stranger")).exists());
    // What was anchored for itself does not become a successor.
    let other = setting.supersede(&[("0002", "newer")]).await;
    assert!(other.failed[0].why.contains("does not replace that one"), "{other:?}");
    let twice = setting.supersede(&[("stranger", "newer"), ("0003", "newer")]).await;
    assert!(twice.stopped.is_some(), "{twice:?}");
    setting.check_journal_is_empty();
}

#[tokio::test]
async fn a_run_killed_at_any_step_never_changes_twice() {
    for step in 0.. {
        let setting = Arc::new(Setting { batch_records: 2, ..anchored(5).await });
        let killer = Arc::new(Killer { steps_left: AtomicUsize::new(step) });
        let victim = setting.clone();
        let run = tokio::spawn(async move {
            let orders = victim.orders(&["0000", "0001", "0002", "0003", "0004"], SUSPEND, false);
            victim.change_with(vec![victim.node.clone()], orders, killer).await
        });
        let survived = run.await.is_ok();
        let report = setting.change(&["0000", "0001", "0002", "0003", "0004"], SUSPEND).await;
        assert!(report.is_complete(), "after step {step}: {report:?}");
        for number in 0..5 {
            assert_eq!(setting.verified(&name(number)).status, Status::Suspended, "after step {step}");
            assert_eq!(setting.changes(&name(number)), 1, "after step {step}");
        }
        setting.check_journal_is_empty();
        if survived {
            assert!(step > 20, "only {step} steps were seen");
            return;
        }
    }
}

#[tokio::test]
async fn a_run_killed_at_any_step_never_supersedes_twice() {
    for step in 0.. {
        let setting = Arc::new(Setting { batch_records: 1, ..anchored(2).await });
        ["new", "newer"].iter().for_each(|name| fs::write(setting.path(name), name).unwrap());
        let killer = Arc::new(Killer { steps_left: AtomicUsize::new(step) });
        let victim = setting.clone();
        let run = tokio::spawn(async move {
            victim.supersede_with(&[("new", "0000"), ("newer", "0001")], killer).await
        });
        let survived = run.await.is_ok();
        let report = setting.supersede(&[("new", "0000"), ("newer", "0001")]).await;
        assert!(report.is_complete(), "after step {step}: {report:?}");
        assert_eq!(setting.verified("new").supersedes, Some(setting.index("0000")), "after step {step}");
        assert_eq!(setting.verified("0001").status, Status::Superseded, "after step {step}");
        assert_eq!(setting.node.ledger.lock().unwrap().anchored.len(), 4, "after step {step}");
        setting.check_journal_is_empty();
        if survived {
            assert!(step > 10, "only {step} steps were seen");
            return;
        }
    }
}
