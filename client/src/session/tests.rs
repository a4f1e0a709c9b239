//! Whole runs against a node that fails, and runs that are killed at every step.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use markstein_proto::{BATCH_AGE_MAX_MS, status::Status};

use super::*;
use crate::{
    batches::{Statement, plan},
    node::{EXPIRED, Failure},
    observer::Deaf,
    retry::{Patience, RetryError},
    scan::scan,
    testing::{FakeNode, Fault, NOW, issuer},
    verify::{Terms, verify_file},
};

const SALTED: Statement = Statement { document_type: 1, public: false, valid_until: None };

/// Rounds follow each other at once: what is tested is their order, not the waiting.
pub(super) const EAGER: Patience =
    Patience { total: Duration::from_secs(60), first_delay: Duration::ZERO, longest_delay: Duration::ZERO };
/// There is no time for a second round.
pub(super) const ONE_ROUND: Patience = Patience {
    total: Duration::ZERO,
    first_delay: Duration::from_secs(60),
    longest_delay: Duration::from_secs(60),
};

/// After so long a batch has expired.
const DAY_MS: u64 = BATCH_AGE_MAX_MS;

/// Documents, a state folder and a node.
pub(super) struct Setting {
    pub dir: tempfile::TempDir,
    pub node: FakeNode,
    pub statement: Statement,
    pub batch_records: usize,
    pub keep_going: bool,
}

impl Setting {
    pub fn new(documents: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        for i in 0..documents {
            fs::write(dir.path().join(format!("in/{i:04}")), format!("document {i}")).unwrap();
        }
        Self { dir, node: FakeNode::new(), statement: SALTED, batch_records: 10_000, keep_going: false }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("in").join(name)
    }

    fn job(&self) -> Job {
        Job {
            scan: scan(&[self.dir.path().join("in")], None).unwrap(),
            statement: self.statement,
            batch_records: self.batch_records,
            keep_going: self.keep_going,
        }
    }

    pub async fn run(&self) -> Report {
        self.run_with(vec![self.node.clone()], EAGER, Arc::new(Deaf)).await
    }

    async fn run_with(
        &self,
        nodes: Vec<FakeNode>,
        patience: Patience,
        observer: Arc<dyn Observer>,
    ) -> Report {
        self.session(nodes, patience, observer).await.run(self.job()).await
    }

    pub async fn session(
        &self,
        nodes: Vec<FakeNode>,
        patience: Patience,
        observer: Arc<dyn Observer>,
    ) -> Session<FakeNode> {
        let trust = self.node.ledger.lock().unwrap().trust().clone();
        let nodes = Nodes::new(nodes, patience, observer.clone());
        let state = self.dir.path().join("state");
        Session::open(nodes, trust, issuer(), &state, || NOW, observer).await.unwrap()
    }

    pub fn names(&self, folder: &str) -> BTreeSet<String> {
        let walk = walkdir::WalkDir::new(self.dir.path().join(folder));
        let files = walk.into_iter().map(Result::unwrap).filter(|e| e.file_type().is_file());
        files
            .map(|e| e.file_name().to_str().unwrap().to_owned())
            .filter(|n| n != "lock" && !n.starts_with("newest."))
            .collect()
    }

    /// Every document has a receipt that verifies, and every record is in the ledger once.
    fn check_all_anchored(&self) {
        let trust = self.node.ledger.lock().unwrap().trust().clone();
        for document in self.job().scan.documents {
            let verdict = verify_file(
                &trust,
                &document.path,
                &document.receipt,
                Terms { now: NOW, max_age: None },
                None,
            );
            assert_eq!(verdict.exit_code(), 0, "{}: {verdict:?}", document.path.display());
        }
        let ledger = self.node.ledger.lock().unwrap();
        assert!(ledger.anchored.values().all(|count| *count == 1), "a record is in the ledger twice");
        assert!(!self.names("in").iter().any(|name| name.ends_with(".part")));
        assert_eq!(self.names("state"), BTreeSet::new(), "the journal is empty");
    }

    fn records(&self) -> usize {
        self.node.ledger.lock().unwrap().anchored.len()
    }
}

#[tokio::test]
async fn documents_get_their_receipts_and_are_not_anchored_again() {
    let setting = Setting::new(25);
    let setting = Setting { batch_records: 10, ..setting };
    let report = setting.run().await;
    assert!(report.is_complete(), "{:?}", report.stopped);
    assert_eq!((report.anchored.len(), report.already.len()), (25, 0));
    setting.check_all_anchored();
    let again = setting.run().await;
    assert_eq!((again.anchored.len(), again.already.len(), setting.records()), (0, 25, 25));
    assert_eq!(again.already[0].1, report.anchored[0].index);
    fs::write(setting.path("new"), "new").unwrap();
    assert_eq!(setting.run().await.anchored.len(), 1);
    setting.check_all_anchored();
}

/// Panics at the step it is told, as a kill would end the run there.
pub(super) struct Killer {
    pub steps_left: AtomicUsize,
}

impl Observer for Killer {
    fn event(&self, event: &Event<'_>) {
        if !matches!(event, Event::Read(_)) && self.steps_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            std::panic::resume_unwind(Box::new("killed"));
        }
    }
}

/// Kills runs one step later each time, until one comes through; after each kill the next run must repair all.
async fn killed_at_every_step(setting: impl Fn() -> Setting) {
    for step in 0.. {
        let setting = setting();
        let killer = Arc::new(Killer { steps_left: AtomicUsize::new(step) });
        let nodes = vec![setting.node.clone()];
        let setting = Arc::new(setting);
        let victim = setting.clone();
        let run = tokio::spawn(async move { victim.run_with(nodes, EAGER, killer).await });
        let survived = run.await.is_ok();
        let report = setting.run().await;
        assert!(report.is_complete(), "after step {step}: {:?}", report.stopped);
        setting.check_all_anchored();
        assert_eq!(setting.records(), 5, "after step {step}");
        if survived {
            assert!(step > 15, "only {step} steps were seen");
            return;
        }
    }
}

#[tokio::test]
async fn a_run_killed_at_any_step_is_completed_by_the_next() {
    killed_at_every_step(|| Setting { batch_records: 2, ..Setting::new(5) }).await;
}

#[tokio::test]
async fn also_when_it_is_signing_again() {
    killed_at_every_step(|| {
        let setting = Setting::new(5);
        // An entry signed long ago, as a run killed before its submission leaves it.
        let setting = Setting { batch_records: 2, ..setting };
        leave_entry(&setting, DAY_MS + 1);
        setting
    })
    .await;
}

/// Puts a batch with the first two documents into the journal, signed some time ago and never sent.
fn leave_entry(setting: &Setting, age_ms: u64) {
    let trust = setting.node.ledger.lock().unwrap().trust().clone();
    let key = issuer();
    let documents = setting.job().scan.documents.into_iter().take(2);
    let digests =
        documents.map(|d| (d.clone(), crate::hash::digest_file(&d.path).unwrap())).collect::<Vec<_>>();
    let planned = plan(digests, setting.statement, 10, getrandom::fill).unwrap().remove(0);
    let signer = Signer { ledger: trust.ledger_id(), issuer: &key.issuer, key: &key.key };
    let entry = Entry::sign(planned, signer, TimeMs(NOW.0 - age_ms)).unwrap();
    let state = setting.dir.path().join("state");
    Journal::open(&state, trust.ledger_id(), key.id(), || ()).unwrap().write(&entry).unwrap();
}

#[tokio::test]
async fn a_failing_node_is_asked_again_and_nothing_is_anchored_twice() {
    let faults = [
        Fault::BeforeSubmit(Failure::Away),
        Fault::BeforeSubmit(Failure::Busy(Duration::ZERO)),
        Fault::AfterSubmit,
        Fault::CutReceipts(0),
        Fault::CutReceipts(3),
        Fault::CutReceipts(300),
    ];
    for fault in faults {
        let setting = Setting::new(310);
        setting.node.fail(fault.clone());
        let report = setting.run().await;
        assert!(report.is_complete(), "{fault:?}: {:?}", report.stopped);
        assert_eq!(report.anchored.len(), 310, "{fault:?}");
        setting.check_all_anchored();
    }
}

#[tokio::test]
async fn another_node_helps_out() {
    let setting = Setting::new(3);
    let second = setting.node.another("second");
    setting.node.fail(Fault::BeforeSubmit(Failure::Away));
    second.fail(Fault::BadReceipts(1));
    let nodes = vec![setting.node.clone(), second];
    let report = setting.run_with(nodes, EAGER, Arc::new(Deaf)).await;
    assert!(report.is_complete(), "{:?}", report.stopped);
    setting.check_all_anchored();
}

#[tokio::test]
async fn when_the_time_is_up_the_same_command_resumes() {
    let setting = Setting::new(3);
    setting.node.fail(Fault::AfterSubmit);
    let report = setting.run_with(vec![setting.node.clone()], ONE_ROUND, Arc::new(Deaf)).await;
    assert!(matches!(report.stopped, Some(SessionError::Nodes(RetryError::TimedOut { .. }))));
    let report = setting.run().await;
    assert_eq!((report.resumed, report.anchored.len(), report.already.len()), (1, 3, 0));
    setting.check_all_anchored();
}

#[tokio::test]
async fn a_lying_node_alone_ends_the_run_and_loses_nothing() {
    let setting = Setting::new(3);
    setting.node.fail(Fault::BadReceipts(2));
    let report = setting.run().await;
    let stopped = report.stopped.unwrap();
    assert!(matches!(stopped, SessionError::Nodes(RetryError::Denied(_))), "{stopped}");
    assert!(stopped.to_string().contains("sent what is no receipt"), "{stopped}");
    let report = setting.run().await;
    assert_eq!((report.resumed, setting.records()), (1, 3));
    setting.check_all_anchored();
}

#[tokio::test]
async fn what_expired_is_signed_again_with_the_same_salts() {
    let setting = Setting::new(2);
    leave_entry(&setting, DAY_MS + 1);
    let report = setting.run().await;
    assert!(report.is_complete(), "{:?}", report.stopped);
    assert_eq!((report.resumed, report.anchored.len(), setting.records()), (1, 2, 2));
    let submitted = setting.node.submitted.lock().unwrap().clone();
    assert_eq!(submitted.len(), 2);
    assert_ne!(submitted[0], submitted[1]);
    setting.check_all_anchored();
}

#[tokio::test]
async fn a_batch_that_cannot_have_expired_is_never_signed_again() {
    for age_ms in [0, DAY_MS] {
        let setting = Setting::new(2);
        leave_entry(&setting, age_ms);
        setting.node.fail(Fault::Refuse(EXPIRED));
        let stopped = setting.run().await.stopped.unwrap();
        assert!(matches!(stopped, SessionError::Uncertain { .. }), "{stopped}");
        assert!(stopped.to_string().contains("clocks is wrong"), "{stopped}");
        let report = setting.run().await;
        assert_eq!(
            (report.resumed, setting.records()),
            (1, 2),
            "the same batch, from a node that does not lie"
        );
        setting.check_all_anchored();
    }
}

#[tokio::test]
async fn another_node_is_asked_where_one_lies_about_the_time() {
    let setting = Setting::new(2);
    let liar = setting.node.another("liar");
    liar.fail(Fault::Refuse(EXPIRED));
    let report = setting.run_with(vec![liar, setting.node.clone()], EAGER, Arc::new(Deaf)).await;
    assert!(report.is_complete(), "{:?}", report.stopped);
    assert_eq!(setting.node.submitted.lock().unwrap().iter().collect::<BTreeSet<_>>().len(), 1);
    setting.check_all_anchored();
}

#[tokio::test]
async fn a_refused_batch_is_put_aside() {
    let setting = Setting::new(2);
    setting.node.fail(Fault::Refuse("KEY_WITHDRAWN"));
    let Some(SessionError::Refused { reason, aside, .. }) = setting.run().await.stopped else { panic!() };
    assert_eq!(reason, "KEY_WITHDRAWN");
    assert!(aside.exists() && aside.parent().unwrap().ends_with("refused"));
    fs::remove_file(aside).unwrap();
    assert!(setting.run().await.is_complete(), "the next run begins anew");
    setting.check_all_anchored();
}

#[tokio::test]
async fn a_batch_turned_down_leaves_the_journal_only_where_nobody_can_have_it() {
    let setting = Setting::new(2);
    setting.node.fail(Fault::BeforeSubmit(Failure::Denied));
    let stopped = setting.run().await.stopped.unwrap();
    assert!(matches!(stopped, SessionError::TurnedDown { .. }), "{stopped}");

    let setting = Setting::new(2);
    setting.node.fail(Fault::AfterSubmit);
    setting.node.fail(Fault::BeforeSubmit(Failure::Denied));
    let stopped = setting.run().await.stopped.unwrap();
    assert!(matches!(stopped, SessionError::Uncertain { .. }), "{stopped}");
    let report = setting.run().await;
    assert_eq!((report.resumed, setting.records()), (1, 2));
    setting.check_all_anchored();
}

#[tokio::test]
async fn equal_public_documents_share_a_record() {
    let setting = Setting::new(2);
    fs::write(setting.path("copy"), "document 0").unwrap();
    let setting = Setting { statement: Statement { public: true, ..SALTED }, ..setting };
    let report = setting.run().await;
    assert_eq!((report.anchored.len(), setting.records()), (3, 2));
    setting.check_all_anchored();
}

#[tokio::test]
async fn an_unreadable_document_stops_the_run_unless_it_shall_go_on() {
    let setting = Setting::new(2);
    fs::write(setting.path("empty"), "").unwrap();
    let report = setting.run().await;
    assert!(matches!(report.stopped, Some(SessionError::Unreadable(1))));
    assert!(report.failed[0].why.starts_with("is empty"), "{:?}", report.failed);
    assert_eq!(setting.records(), 0);
    let setting = Setting { keep_going: true, ..setting };
    let report = setting.run().await;
    assert_eq!((report.anchored.len(), report.failed.len(), report.is_complete()), (2, 1, false));
}

#[tokio::test]
async fn a_receipt_of_something_else_is_never_lost() {
    let setting = Setting::new(2);
    assert!(setting.run().await.is_complete());
    let receipt = fs::read(setting.path("0000.markstein.json")).unwrap();
    fs::write(setting.path("0000"), "changed").unwrap();
    let report = setting.run().await;
    assert!(report.failed[0].why.contains("in the way"), "{:?}", report.failed);
    assert_eq!(fs::read(setting.path("0000.markstein.json")).unwrap(), receipt);
    fs::remove_file(setting.path("0000.markstein.json")).unwrap();
    assert_eq!(setting.run().await.anchored.len(), 1);
}

#[tokio::test]
async fn a_receipts_place_taken_meanwhile_keeps_the_batch_in_the_journal() {
    let setting = Setting::new(2);
    leave_entry(&setting, 3_600_000);
    fs::write(setting.path("0001.markstein.json"), "somebody's notes").unwrap();
    let stopped = setting.run().await.stopped.unwrap();
    assert!(matches!(stopped, SessionError::Receipt(_)), "{stopped}");
    fs::remove_file(setting.path("0001.markstein.json")).unwrap();
    assert_eq!(setting.run().await.resumed, 1);
    setting.check_all_anchored();
}

#[tokio::test]
async fn a_revoked_document_is_still_anchored() {
    let setting = Setting::new(1);
    let index = setting.run().await.anchored[0].index;
    setting.node.ledger.lock().unwrap().set_status(index, Status::Revoked, TimeMs(NOW.0 + 1));
    assert_eq!(setting.run().await.already.len(), 1);
}

#[tokio::test]
async fn a_document_reached_on_two_ways_is_anchored_once() {
    let setting = Setting::new(2);
    std::os::unix::fs::symlink(setting.dir.path().join("in"), setting.dir.path().join("link")).unwrap();
    let paths = ["in", "link", "in/../in"].map(|p| setting.dir.path().join(p));
    let job = Job { scan: scan(&paths, None).unwrap(), ..setting.job() };
    let session = setting.session(vec![setting.node.clone()], EAGER, Arc::new(Deaf)).await;
    let report = session.run(job).await;
    assert!(report.is_complete(), "{:?}", report.stopped);
    assert_eq!((report.anchored.len(), setting.records()), (2, 2));
    setting.check_all_anchored();
}

#[tokio::test]
async fn a_link_to_nowhere_in_a_receipts_place_stops_the_run_before_anything_is_sent() {
    let setting = Setting::new(1);
    std::os::unix::fs::symlink("gone", setting.path("0000.markstein.json")).unwrap();
    let report = setting.run().await;
    assert!(matches!(report.stopped, Some(SessionError::Unreadable(1))), "{:?}", report.stopped);
    assert!(report.failed[0].why.contains("in the way"), "{:?}", report.failed);
    assert_eq!(setting.records(), 0);
}
