//! Batches and records that may not stand where they do, though a quorum signed the log.

use markstein_client::audit::{
    report::FindingKind,
    wrong::{BatchBreach, Breach},
};
use markstein_proto::{
    AuthorError, Batch, BatchHead, IssuerId, Leaf, LeafIndex, LedgerId, Record, SecretKey, TimeMs,
    status::{Status, StepError},
};
use markstein_tests::{
    craft::{Paper, Signer},
    made::MadeLog,
    random::Random,
    tile_server::TileServer,
};

use crate::support::{
    anchors, anchors_of, assert_found, audit, batch_breach, breach, change, filled, records_of, signed,
};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A log with one block more, of the leaves of a batch whose head was changed.
fn with_head(change: impl FnOnce(&mut BatchHead)) -> MadeLog {
    let mut log = filled(4);
    let batch = anchors(&log, 3, 5);
    let mut head = batch.head().clone();
    change(&mut head);
    log.push(Leaf::BatchHead(head).encode());
    batch.records().iter().for_each(|record| log.push(record.bytes.to_vec()));
    log.close(|_| ());
    log
}

fn with_batch(batch: impl FnOnce(&MadeLog) -> Batch) -> MadeLog {
    let mut log = filled(4);
    let batch = batch(&log);
    log.block(&[batch]);
    log
}

fn papers(seed: u64, count: usize) -> Vec<Paper> {
    let mut random = Random::new(seed);
    (0..count).map(|_| Paper::random(&mut random)).collect()
}

#[test]
fn a_bad_signature_is_found_and_named() {
    let log = with_head(|head| head.signatures[0].1.0[5] ^= 1);
    assert_eq!(batch_breach(&log), BatchBreach::Author(AuthorError::BadSignature));
    let report = audit(&log, TileServer::honest(signed(&log)));
    assert_found(&report, FindingKind::WrongLog, "the signature on the batch is not valid");
}

#[test]
fn a_key_counts_for_its_issuer_and_its_time_only() {
    let log = with_batch(|log| {
        let key = SecretKey::from_seed(&[99; 32]);
        Signer { key, ..log.signer(0) }.submission(log.next_time(), papers(5, 3)).unwrap().batch
    });
    assert_eq!(batch_breach(&log), BatchBreach::Author(AuthorError::KeyNotValid));
    let log = with_head(|head| head.signatures[0].0.0[0] ^= 1);
    assert_eq!(batch_breach(&log), BatchBreach::Author(AuthorError::WrongSigners));
    let stranger = IssuerId::new("stranger.example").unwrap();
    let log = with_batch(|log| {
        let signer = Signer { issuer: stranger.clone(), ..log.signer(0) };
        signer.submission(log.next_time(), papers(5, 3)).unwrap().batch
    });
    assert_eq!(batch_breach(&log), BatchBreach::NoGrant(stranger));
}

#[test]
fn a_batch_is_for_this_ledger_and_this_day() {
    let other = LedgerId(markstein_proto::Hash([1; 32]));
    let log = with_batch(|log| {
        let signer = Signer { ledger: other, ..log.signer(0) };
        signer.submission(log.next_time(), papers(5, 3)).unwrap().batch
    });
    assert_eq!(batch_breach(&log), BatchBreach::AnotherLedger(other));
    for (offset, good) in [(DAY_MS as i64, true), (DAY_MS as i64 + 1, false), (-(DAY_MS as i64) - 1, false)] {
        let log = with_batch(|log| {
            let time = TimeMs(log.next_time().0.checked_add_signed(offset).unwrap());
            log.signer(0).submission(time, papers(5, 3)).unwrap().batch
        });
        match crate::support::replay(&log) {
            Ok(_) => assert!(good),
            Err(wrong) => assert!(
                !good && matches!(wrong.what, Breach::Batch { why: BatchBreach::Age { .. }, .. }),
                "{wrong}"
            ),
        }
    }
    let genesis = filled(4).trust().genesis().batch();
    assert_eq!(batch_breach(&with_batch(|_| genesis)), BatchBreach::GenesisAuthor);
}

#[test]
fn a_dropped_record_is_found_though_all_roots_are_computed_anew() {
    let mut log = filled(4);
    let batch = anchors(&log, 3, 5);
    log.push(batch.head_leaf().to_vec());
    batch.records()[1..].iter().for_each(|record| log.push(record.bytes.to_vec()));
    let (stopped, next) = (log.clone(), anchors(&log, 1, 6));
    log.close(|_| ());
    assert_eq!(breach(&log), Breach::Cut { batch: batch.id(), found: 2, count: 3 });
    let report = audit(&log, TileServer::honest(signed(&log)));
    assert_found(&report, FindingKind::WrongLog, "ends after 2 of its 3 records: a record is missing");
    let mut log = stopped;
    log.push_batch(&next);
    log.close(|_| ());
    assert_eq!(breach(&log), Breach::Cut { batch: batch.id(), found: 2, count: 3 });
}

#[test]
fn records_are_those_that_were_signed() {
    let exchanged = |records: &dyn Fn(&Batch) -> Vec<Vec<u8>>| {
        let mut log = filled(4);
        let batch = anchors(&log, 3, 5);
        log.push(batch.head_leaf().to_vec());
        records(&batch).into_iter().for_each(|record| log.push(record));
        log.close(|_| ());
        log
    };
    let bytes = |batch: &Batch, at: usize| batch.records()[at].bytes.to_vec();
    let log = exchanged(&|batch| vec![bytes(batch, 1), bytes(batch, 0), bytes(batch, 2)]);
    assert_eq!(batch_breach(&log), BatchBreach::RecordsRoot);
    let log = exchanged(&|batch| [0, 1, 2, 2].map(|at| bytes(batch, at)).to_vec());
    assert_eq!(breach(&log), Breach::StrayRecord);
    let log = exchanged(&|_| vec![b"no leaf".to_vec()]);
    assert!(matches!(breach(&log), Breach::Leaf(_)));
    // The same record twice, and signed so.
    let mut log = filled(4);
    let record = papers(5, 1)[0].record().to_leaf();
    let leaves = [record.clone(), record];
    let batch = log.signer(0).batch_of(log.next_time(), &leaves);
    let leaves = Batch::split(batch).unwrap();
    let records = (0..leaves.record_count()).filter_map(|position| leaves.record(position));
    [leaves.head()].into_iter().chain(records).for_each(|leaf| log.push(leaf.to_vec()));
    log.close(|_| ());
    assert_eq!(batch_breach(&log), BatchBreach::SameRecord);
}

#[test]
fn a_batch_stands_in_the_log_once() {
    let mut log = filled(4);
    let batch = anchors(&log, 3, 5);
    log.block(std::slice::from_ref(&batch));
    let mut twice_in_one = log.clone();
    log.block(&[]);
    log.block(&[batch]);
    assert_eq!(batch_breach(&log), BatchBreach::Duplicate);
    let next = anchors(&twice_in_one, 3, 6);
    twice_in_one.block(&[next.clone(), next]);
    assert_eq!(batch_breach(&twice_in_one), BatchBreach::Duplicate);
}

#[test]
fn issuers_write_what_they_may() {
    let Record::Anchor(mut anchor) = papers(5, 1)[0].record() else { panic!() };
    anchor.document_type = 2;
    let record = Record::Anchor(anchor.clone());
    let at = LeafIndex(filled(4).size() + 1);
    let log = with_batch(|log| records_of(log, 0, std::slice::from_ref(&record)));
    assert_eq!(batch_breach(&log), BatchBreach::OutOfScope { at, kind: 2 });
    crate::support::replay(&with_batch(|log| records_of(log, 1, &[record]))).unwrap();
    anchor.document_type = 3;
    let log = with_batch(|log| records_of(log, 1, &[Record::Anchor(anchor)]));
    assert_eq!(batch_breach(&log), BatchBreach::OutOfScope { at, kind: 3 }, "not registered");
    let log = with_batch(|log| {
        let grant = log.trust().genesis().grants[0].clone();
        records_of(log, 0, &[Record::IssuerGrant(grant)])
    });
    assert_eq!(batch_breach(&log), BatchBreach::RecordKind(at));
}

#[test]
fn a_status_is_changed_by_its_issuer_and_by_the_rules() {
    let mut log = MadeLog::new(1);
    let first = log.size() + 1; // the first record of issuer 0
    log.block(&[anchors(&log, 5, 1), anchors_of(&log, 1, 5, 2)]);
    let revoke = |target| change(target, Status::Valid, Status::Revoked);
    let breach_of = |records: &[Record]| {
        let mut log = log.clone();
        let at = LeafIndex(log.size() + 1);
        let batch = records_of(&log, 0, records);
        log.block(&[batch]);
        (at, batch_breach(&log))
    };
    let no_anchors = [0, 1, first - 1, first + 11, log.size() + 1, log.size() + 7, u64::MAX];
    for target in no_anchors {
        let (at, why) = breach_of(&[revoke(target)]);
        assert_eq!(why, BatchBreach::NoTarget { at, target: LeafIndex(target) });
    }
    let (at, why) = breach_of(&[revoke(first + 6)]);
    assert_eq!(why, BatchBreach::AnothersRecord { at, target: LeafIndex(first + 6) });
    let target = LeafIndex(first);
    let lift = change(first, Status::Suspended, Status::Valid);
    let (at, why) = breach_of(std::slice::from_ref(&lift));
    let other = StepError::Other { expected: Status::Suspended, found: Status::Valid };
    assert_eq!(why, BatchBreach::Status { at, target, why: other });
    let (at, why) = breach_of(&[revoke(first), lift]);
    let terminal = StepError::Terminal(Status::Revoked);
    assert_eq!(why, BatchBreach::Status { at: at.next(), target, why: terminal });
}
