//! Checkpoints that do not count.

use std::time::Duration;

use markstein_client::audit::{
    auditor::Terms,
    report::{FindingKind, Report, Verdict},
};
use markstein_proto::TimeMs;
use markstein_tests::{
    made::MadeLog,
    tile_server::{Files, TileServer},
};

use crate::support::{CLOCK, World, assert_found, audit, filled, signed};

fn under(log: &MadeLog, checkpoint: String) -> Report {
    audit(log, TileServer::honest(Files::of(log, checkpoint)))
}

#[test]
fn a_checkpoint_under_a_quorum_does_not_count() {
    let log = filled(4);
    assert_eq!(under(&log, log.checkpoint(0..3)).verdict(), Verdict::Sound);
    let report = under(&log, log.checkpoint(0..2));
    assert_eq!((report.verdict(), report.size), (Verdict::Wrong, 0));
    assert_found(&report, FindingKind::WrongCheckpoint, "cosignatures of 2 known authorities, it needs 3");
    let twice = [log.lines_of(0), log.lines_of(1)].concat();
    let later = log.cosignature_of(1, CLOCK);
    let report = under(&log, log.note([twice, vec![later]].concat()));
    assert_found(&report, FindingKind::WrongCheckpoint, "cosignatures of 2 known authorities, it needs 3");
}

#[test]
fn a_cosignature_by_a_stranger_is_named() {
    let log = filled(4);
    let lines = |numbers: &[u8]| numbers.iter().flat_map(|n| log.lines_of(*n)).collect::<Vec<_>>();
    let report = under(&log, log.note(lines(&[0, 1, 2, 3, 7])));
    assert_found(&report, FindingKind::WrongCheckpoint, "a line of neustadt.example/test/stadt-7");
    let mut own = lines(&[0, 1, 2]);
    own.push(log.log_line_of(7));
    let report = under(&log, log.note(own));
    assert_found(&report, FindingKind::WrongCheckpoint, "a line of neustadt.example/test, which is no key");
}

#[test]
fn a_bad_line_of_an_authority_is_named() {
    let log = filled(4);
    for line in 0..8 {
        let mut lines: Vec<_> = (0..4).flat_map(|number| log.lines_of(number)).collect();
        *lines[line].signature.last_mut().unwrap() ^= 1;
        let report = under(&log, log.note(lines));
        assert_found(&report, FindingKind::WrongCheckpoint, "is refused");
    }
    let old = log.checkpoint(0..4);
    let mut grown = log.clone();
    grown.block(&[]);
    let body = grown.checkpoint(0..4).split("\n\n").next().unwrap().to_owned();
    let spliced = format!("{body}\n\n{}", old.split_once("\n\n").unwrap().1);
    assert_found(&under(&grown, spliced), FindingKind::WrongCheckpoint, "is refused");
}

#[test]
fn other_logs_and_other_times_do_not_count() {
    let log = filled(4);
    let report = under(&log, log.checkpoint(0..4).replace("neustadt", "altstadt"));
    assert_found(&report, FindingKind::WrongCheckpoint, "it is of the log altstadt.example/test");
    assert_found(
        &under(&log, "hello\n".into()),
        FindingKind::WrongCheckpoint,
        "its checkpoint does not count",
    );
    let ahead = TimeMs(CLOCK.0 + 6 * 60_000);
    let lines = (0..4).map(|number| log.cosignature_of(number, ahead)).collect();
    assert_found(&under(&log, log.note(lines)), FindingKind::WrongCheckpoint, "one of the clocks is wrong");
}

#[test]
fn a_word_that_is_too_old_is_a_doubt() {
    let log = filled(4);
    let (world, node) = (World::new(), TileServer::honest(signed(&log)));
    let terms = Terms { watch: vec![], max_age: Some(Duration::from_secs(3600)) };
    let report = world.pass(&mut world.auditor(&log, &[&node], terms));
    assert_eq!((report.verdict().exit_code(), report.size), (3, log.size()));
    assert_found(&report, FindingKind::Stale, "the last word of a quorum is");
}

#[test]
fn a_node_that_is_away_is_a_doubt_and_with_nobody_else_no_audit() {
    let log = filled(4);
    let (world, good) = (World::new(), TileServer::honest(signed(&log)));
    let starting = TileServer::changed(signed(&log), |_, _| Err(503));
    let report = world.audit(&log, &[&good, &starting]);
    assert_eq!(report.verdict().exit_code(), 3);
    assert_found(&report, FindingKind::Unreachable, "HTTP 503");
    let report = World::new().audit(&log, &[&starting]);
    assert_eq!((report.verdict().exit_code(), report.size), (2, 0));
}
