//! What was audited is not downloaded again, and nothing of it is lost.

use std::{fs, sync::Arc};

use markstein_client::{
    audit::{
        auditor::{Auditor, Terms},
        nodes::{Deaf, Nodes},
        report::Verdict,
        state::{Audited, StateError, StateFolder},
    },
    connect::Connection,
};
use markstein_proto::{log::leaf_hash, status::Status};
use markstein_tests::{made::MadeLog, tile_server::TileServer};

use crate::support::{NONE, World, anchors, change, filled, found, records_of, replay, signed};

#[test]
fn a_later_audit_goes_on_where_the_first_one_stopped() {
    let mut log = filled(4);
    let (world, node) = (World::new(), TileServer::honest(signed(&log)));
    assert_eq!(world.audit(&log, &[&node]).verdict(), Verdict::Sound);
    assert!(node.asked().contains(&"tile/entries/000".into()));
    let again = world.audit(&log, &[&node]);
    assert_eq!((again.verdict(), again.new_leaves, again.size), (Verdict::Sound, 0, log.size()));
    assert_eq!(node.asked(), ["checkpoint"]);
    // What the first run learned is needed here: a record of its blocks changes, and a batch must not come twice.
    let target = MadeLog::new(4).size() + 5;
    log.block(&[records_of(&log, 0, &[change(target, Status::Valid, Status::Suspended)])]);
    log.block(&[anchors(&log, 600, 41)]);
    node.replace(signed(&log));
    let report = world.audit(&log, &[&node]);
    assert_eq!((report.verdict(), found(&report)), (Verdict::Sound, vec![]));
    assert_eq!((report.size, report.new.records, report.counts.status_changes), (log.size(), 601, 3));
    assert!(!node.asked().iter().any(|path| path == "tile/entries/000" || path == "tile/entries/001"));
    let fresh = World::new().audit(&log, &[&node]);
    assert_eq!((fresh.counts, fresh.root), (report.counts, report.root));
}

#[test]
fn a_batch_of_an_earlier_run_is_known_in_a_later_one() {
    let mut log = filled(4);
    let batch = anchors(&log, 3, 5);
    log.block(std::slice::from_ref(&batch));
    let (world, node) = (World::new(), TileServer::honest(signed(&log)));
    assert_eq!(world.audit(&log, &[&node]).verdict(), Verdict::Sound);
    let size = log.size();
    log.block(&[batch]);
    node.replace(signed(&log));
    let report = world.audit(&log, &[&node]);
    assert!(found(&report)[0].1.contains("it stands in the log twice"), "{report:?}");
    assert_eq!((report.verdict(), report.size), (Verdict::Wrong, size), "what was good before still is");
}

#[test]
fn a_node_that_is_behind_is_compared_where_it_stands() {
    let old = filled(4);
    let mut log = old.clone();
    log.block(&[anchors(&log, 300, 5)]);
    let (behind, node) = (TileServer::honest(signed(&old)), TileServer::honest(signed(&log)));
    let world = World::new();
    for _ in 0..2 {
        let report = world.audit(&log, &[&behind, &node]);
        assert_eq!((report.verdict(), found(&report)), (Verdict::Sound, vec![]));
        assert_eq!(report.size, log.size());
    }
}

#[test]
fn after_a_crash_an_audit_goes_on_from_the_end_of_a_block() {
    let log = filled(4);
    let whole = replay(&log).unwrap();
    let leaves = || log.leaves().iter().map(|leaf| (leaf, leaf_hash(leaf)));
    for saved in 0..5 {
        let world = World::new();
        let folder = StateFolder::open(world.state()).unwrap();
        let mut replay = folder.load(log.trust()).unwrap().replay;
        let mut blocks = 0;
        for (leaf, hash) in leaves() {
            if replay.leaf(leaf, hash).unwrap() {
                blocks += 1;
                if blocks == saved {
                    folder.save(&mut replay, Some("note")).unwrap();
                }
            }
        }
        // What is written first was written, and then the power went.
        replay.places_mut().flush().unwrap();
        drop(replay);
        let Audited { mut replay, checkpoint } = folder.load(log.trust()).unwrap();
        assert_eq!(replay.counts().blocks, saved);
        assert_eq!(checkpoint.is_some(), saved > 0);
        for (leaf, hash) in leaves().skip(replay.size() as usize) {
            replay.leaf(leaf, hash).unwrap();
        }
        assert_eq!((replay.counts(), replay.root()), (whole.counts(), whole.root()), "{saved}");
    }
}

#[test]
fn a_damaged_folder_is_said_to_be_damaged() {
    let log = filled(4);
    let node = TileServer::honest(signed(&log));
    let open = |world: &World, log: &MadeLog| {
        let nodes = Nodes::new(&[node.url()], Connection::default(), NONE, Arc::new(Deaf)).unwrap();
        Auditor::open(log.trust().clone(), nodes, world.state(), Terms::default()).map(drop)
    };
    for file in ["progress", "batches", "others", "blocks"] {
        let world = World::new();
        world.audit(&log, &[&node]);
        open(&world, &log).unwrap();
        assert!(matches!(open(&world, &MadeLog::new(3)), Err(StateError::AnotherLedger(_))));
        let path = world.state().join(file);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(open(&world, &log), Err(StateError::Damaged(_))), "{file}");
    }
    let world = World::new();
    let _open = world.auditor(&log, &[&node], Terms::default());
    assert!(matches!(open(&world, &log), Err(StateError::Busy(_))));
}
