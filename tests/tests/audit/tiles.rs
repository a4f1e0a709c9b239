//! Nodes that serve something else than the authorities signed.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use markstein_client::{
    audit::{
        auditor::Terms,
        report::{FindingKind, Report, Verdict},
    },
    retry::Patience,
};
use markstein_tests::{
    made::MadeLog,
    tile_server::{Files, Reply, TileServer},
};

use crate::support::{NONE, World, anchors, assert_found, audit, filled, found, signed};

/// An audit of a node that changes one file, alone and beside an honest one.
fn of_liar(log: &MadeLog, path: &'static str, change: fn(Vec<u8>) -> Reply, words: &str) -> (Report, Report) {
    let liar = || {
        TileServer::changed(
            signed(log),
            move |asked, file| {
                if asked == path { change(file) } else { Ok(file) }
            },
        )
    };
    let alone = audit(log, liar());
    assert_eq!((alone.verdict(), alone.size), (Verdict::Wrong, 0), "{path}");
    let accused = found(&alone).iter().any(|(kind, message)| {
        *kind == FindingKind::WrongTile && message.contains(path) && message.contains(words)
    });
    assert!(accused, "{path}: {:?}", found(&alone));
    let (liar, honest) = (liar(), TileServer::honest(signed(log)));
    // Who is asked first depends on the number of the tile: with one of the two orders it is the liar.
    let beside = [[&liar, &honest], [&honest, &liar]].map(|nodes| World::new().audit(log, &nodes));
    for report in &beside {
        assert_eq!(report.size, log.size(), "the honest node has all of it");
        assert!(
            report.findings.iter().all(|f| f.node.as_ref() == Some(&liar.url())),
            "{:?}",
            report.findings
        );
    }
    let caught = beside.into_iter().find(|report| !report.findings.is_empty()).expect("it was asked");
    assert_found(&caught, FindingKind::WrongTile, words);
    assert_eq!(caught.verdict(), Verdict::Wrong, "somebody lies");
    (alone, caught)
}

fn pop(mut file: Vec<u8>) -> Reply {
    file.pop();
    Ok(file)
}

fn push(mut file: Vec<u8>) -> Reply {
    file.push(0);
    Ok(file)
}

fn flip(mut file: Vec<u8>) -> Reply {
    let middle = file.len() / 2;
    file[middle] ^= 1;
    Ok(file)
}

#[test]
fn short_long_and_changed_tiles_are_named() {
    let log = filled(4);
    let last: &'static str = Box::leak(format!("tile/0/002.p/{}", log.size() - 512).into_boxed_str());
    for path in [last, "tile/1/000.p/2"] {
        of_liar(&log, path, pop, "it is too short");
        of_liar(&log, path, push, "it is too long");
        of_liar(&log, path, flip, "of another tree");
        of_liar(&log, path, |_| Err(404), "does not have it, though its checkpoint covers it");
    }
}

#[test]
fn short_long_and_changed_bundles_are_named() {
    let log = filled(4);
    let last: &'static str = Box::leak(format!("tile/entries/002.p/{}", log.size() - 512).into_boxed_str());
    for path in ["tile/entries/000", "tile/entries/001", last] {
        of_liar(&log, path, pop, "it is too short");
        of_liar(&log, path, push, "it is too long");
        of_liar(&log, path, flip, "");
        of_liar(&log, path, |_| Err(410), "does not have it, though its checkpoint covers it");
    }
}

#[test]
fn a_bundle_without_one_record_or_with_another_is_named() {
    let log = filled(4);
    // The first leaf in the bundle is left out: all lengths are right, and one leaf is missing.
    let drop_first = |file: Vec<u8>| {
        let length = usize::from(u16::from_be_bytes([file[0], file[1]]));
        Ok(file[2 + length..].to_vec())
    };
    of_liar(&log, "tile/entries/001", drop_first, "it is too short: 255 of 256");
    // The last byte of a record belongs to its document type or commitment: a good record, and another one.
    of_liar(
        &log,
        "tile/entries/001",
        |mut file| {
            file[2 + 20] ^= 1;
            Ok(file)
        },
        "of another tree",
    );
}

#[test]
fn a_node_that_is_busy_is_asked_again_and_another_one_meanwhile() {
    let log = filled(4);
    let busy = |refusals: usize| {
        let asked = AtomicUsize::new(0);
        TileServer::changed(signed(&log), move |path, file| {
            let refuse = path != "checkpoint" && asked.fetch_add(1, Ordering::SeqCst) < refusals;
            if refuse { Err(429) } else { Ok(file) }
        })
    };
    let minute = Patience { total: Duration::from_secs(60), ..NONE };
    let pass = |nodes: &[&TileServer], patience| {
        let world = World::new();
        let mut auditor = world.patient(&log, nodes, Terms::default(), patience);
        world.pass(&mut auditor)
    };
    let report = pass(&[&busy(20)], minute);
    assert_eq!((report.verdict(), found(&report)), (Verdict::Sound, vec![]));
    let report = pass(&[&TileServer::honest(signed(&log)), &busy(usize::MAX)], NONE);
    assert_eq!((report.verdict(), found(&report)), (Verdict::Sound, vec![]), "the other one has all of it");
    let report = pass(&[&busy(usize::MAX)], NONE);
    assert_eq!((report.verdict(), report.size), (Verdict::NotAudited, 0));
    assert_found(&report, FindingKind::Incomplete, "gave up after 0 s: http://127.0.0.1:");
    assert_found(&report, FindingKind::Incomplete, "answers HTTP 429");
}

#[test]
fn tiles_of_another_tree_are_named() {
    let log = filled(4);
    let mut other = MadeLog::new(4);
    while other.size() + 2 < log.size() {
        let records = (log.size() - other.size() - 2).min(300) as usize;
        other.block(&[anchors(&other, records, other.size())]);
    }
    assert_eq!(other.size(), log.size());
    let (mine, theirs) = (signed(&log), signed(&other));
    let checkpoint = String::from_utf8(mine.get("checkpoint").unwrap()).unwrap();
    let report = audit(&log, TileServer::honest(Files::of(&other, checkpoint)));
    assert_eq!((report.verdict(), report.size), (Verdict::Wrong, 0));
    let path = format!("tile/0/002.p/{}, tile/1/000.p/2: it is of another tree", log.size() - 512);
    assert!(
        found(&report)
            .contains(&(FindingKind::WrongTile, &format!("{path} than the one that the authorities signed"))),
        "{report:?}"
    );
    // Only the bundles are of another tree.
    let node = TileServer::changed(mine, move |path, file| {
        Ok(if path.contains("entries") { theirs.get(path).unwrap() } else { file })
    });
    let report = audit(&log, node);
    // Several are under way at once: any of them may be looked at first.
    let is_it = |m: &str| m.starts_with("tile/entries/") && m.contains("it is of another tree");
    let found = found(&report);
    assert!(found.iter().any(|(kind, m)| *kind == FindingKind::WrongTile && is_it(m)), "{found:?}");
}
