//! Checkpoints of several authorities: which one counts, whose lines are taken, and what receipts and callers go by.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::FutureExt;
use markstein_node::{
    finality::{Decision, finality},
    ledger::{
        Cosigner, CosignerError, CountedCheckpoint, FinalState, KeptLines, LineKeys, LineRules, LinesError,
        LookupError, ReceiptFailure, Rules, State, TreeHead, Turn, batch_receipts, cosignature_times,
        cosigned_size, counted_checkpoint, execute, finalize, head_at, newer_checkpoint_of, receipt,
        record_of_batch, stored_lines, take_lines,
    },
    shutdown::StopSignal,
    storage::{
        Db, Durability, MemoryStore, Read, StorageError, Writes,
        tables::{Batches, Cosignatures, Outcome},
    },
    verified::Verified,
};
use markstein_proto::{
    Authority, Batch, EpochId, Genesis, Hash, LeafIndex, LogSize, Record, TimeMs,
    note::{CosignatureError, KeyName, sign_ed25519},
    receipt::TrustRoot,
    status::{Status, apply},
};
use support::{START, anchor, document, genesis_of, issuer, key, new_db_of, random::Random, salt};

const START_S: u64 = START / 1000;

/// One of four authorities, whose blocks become final without any network.
struct Node {
    genesis: Genesis,
    db: Db,
    state: FinalState,
    heads: Vec<TreeHead>,
    peers: Vec<Peer>,
}

/// An authority's hand, with a journal of its own.
struct Peer {
    cosigner: Cosigner,
    db: Db,
}

impl Peer {
    fn cosign(&self, head: TreeHead, time_s: u64) -> Result<Option<String>, CosignerError> {
        let mut writes = Writes::new();
        let lines = self.cosigner.cosign(&self.db, head, TimeMs(time_s * 1000 + 999), &mut writes)?;
        self.db.commit(writes, Durability::Synced).unwrap();
        Ok(lines)
    }
}

impl Node {
    fn new() -> Self {
        let genesis = genesis_of(4);
        let db = new_db_of(Arc::new(MemoryStore::new()), &genesis);
        let peer = |number: u32| Peer {
            cosigner: Cosigner::new(
                &genesis.origin,
                &genesis.authorities,
                number,
                key(20 * number as u8 + 2),
                key(20 * number as u8 + 3),
            ),
            db: Db::new(Arc::new(MemoryStore::new())),
        };
        let (state, peers) = (FinalState::load(&db).unwrap(), (0..4).map(peer).collect());
        Self { heads: vec![state.head()], genesis, db, state, peers }
    }

    fn batch(&self, numbers: std::ops::Range<u64>) -> Arc<Batch> {
        let records: Vec<Record> = numbers.map(|n| Record::Anchor(anchor(n))).collect();
        let ledger = self.genesis.ledger_id();
        Arc::new(Batch::sign(ledger, &issuer(), &key(11), TimeMs(START), &records).unwrap())
    }

    /// Makes a block final; `status` are changes as a later release will make them.
    fn block(&mut self, batches: Vec<Arc<Batch>>, status: &BTreeMap<u64, Status>) {
        let tip = self.state.tip();
        let time = TimeMs(tip.time.0 + 1000);
        let turn = Turn { epoch: EpochId(0), view: tip.view.next(), proposer: 0, time };
        let mut block = execute(&self.state, &Rules::new(&self.genesis), turn, batches).unwrap();
        block.status = apply(&self.state, status, block.header.size_before.0).unwrap();
        let writes = finalize::writes(&self.db, &block).unwrap();
        self.db.commit(writes, Durability::Synced).unwrap();
        self.state = self.state.advance(&block);
        self.heads.push(self.state.head());
    }

    fn take(&self, head: TreeHead, authority: u32, lines: &str) -> Result<bool, LinesError> {
        let verified = Verified::default();
        let at = LineRules { clock_s: START_S + 1_000_000, step_s: 1, verified: &verified };
        let writes = take_lines(&self.db, &self.keys(), head, authority, lines, at)?;
        let taken = writes.is_some();
        self.db.commit(writes.unwrap_or_default(), Durability::Unsynced).unwrap();
        Ok(taken)
    }

    fn keys(&self) -> LineKeys {
        LineKeys::new(&self.genesis.authorities, &self.genesis.origin)
    }

    /// An authority cosigns, and this node hears of it.
    fn hear(&self, authority: u32, head: TreeHead, time_s: u64) {
        if let Some(lines) = self.peers[authority as usize].cosign(head, time_s).unwrap() {
            assert!(self.take(head, authority, &lines).unwrap());
        }
    }

    fn counted(&self) -> Option<CountedCheckpoint> {
        counted_checkpoint(&self.db, &self.state, &self.genesis.origin, &Verified::default()).unwrap()
    }

    fn prune(&self, below: LogSize) {
        let mut writes = Writes::new();
        KeptLines::load(&self.db).unwrap().prune(below, &mut writes);
        self.db.commit(writes, Durability::Unsynced).unwrap();
    }
}

fn none() -> BTreeMap<u64, Status> {
    BTreeMap::new()
}

/// What counts by definition: the newest size with three authorities; as of the third largest of their times.
fn expected(lines: &BTreeMap<(LogSize, u32), u64>, tip: LogSize) -> Option<(LogSize, u64)> {
    let sizes: BTreeSet<LogSize> = lines.keys().map(|(size, _)| *size).collect();
    sizes.into_iter().rev().filter(|size| *size <= tip).find_map(|size| {
        let mut times: Vec<u64> = lines.range((size, 0)..=(size, 3)).map(|(_, time)| *time).collect();
        times.sort_unstable();
        times.into_iter().rev().nth(2).map(|as_of| (size, as_of))
    })
}

#[test]
fn the_newest_size_with_a_quorum_counts() {
    for seed in 0..30 {
        let (mut node, mut random) = (Node::new(), Random::new(seed));
        let (mut lines, mut newest, mut first) = (BTreeMap::new(), [None; 4], 0);
        for _ in 0..60 {
            match random.below(5) {
                0 => {
                    let count = 1 + random.below(200);
                    let batch = node.batch(first..first + count);
                    first += count;
                    node.block(vec![batch], &none());
                }
                1 => {
                    if let Some(counted) = node.counted() {
                        node.prune(counted.size);
                        lines.retain(|(size, authority), _| {
                            *size >= counted.size || newest[*authority as usize] == Some(*size)
                        });
                    }
                }
                _ => {
                    let (authority, time) = (random.below(4) as u32, START_S + random.below(1000));
                    let signed = cosigned_size(&node.peers[authority as usize].db).unwrap();
                    let from = node.heads.iter().position(|head| head.size >= signed).unwrap();
                    let head = node.heads[from + random.below((node.heads.len() - from) as u64) as usize];
                    node.hear(authority, head, time);
                    let held = lines.entry((head.size, authority)).or_insert(time);
                    *held = time.max(*held);
                    newest[authority as usize] = Some(head.size);
                }
            }
            let counted = node.counted();
            let told = counted.as_ref().map(|c| (c.size, c.as_of_s));
            assert_eq!(told, expected(&lines, node.state.tip().size), "seed {seed}");
            if let Some(counted) = counted {
                let head = *node.heads.iter().find(|head| head.size == counted.size).unwrap();
                assert_eq!(counted.root, head.root);
                assert_eq!(counted.cosigned.checkpoint(), &head.checkpoint(&node.genesis.origin).unwrap());
                let signers = counted.cosigned.note().signatures().len();
                assert_eq!(counted.full.note().signatures().len(), 2 * signers);
                let log_keys = node.genesis.authorities.authorities().iter();
                let signed = |a: &&Authority| {
                    let vkey = a.log_vkey(&node.genesis.origin);
                    counted.full.note().verify_ed25519(&vkey).is_ok()
                };
                assert_eq!(log_keys.filter(signed).count(), signers);
            }
            let stored = stored_lines(&node.db, LogSize(0)).unwrap();
            let stored: Vec<_> = stored.into_iter().map(|(size, authority, _)| (size, authority)).collect();
            assert_eq!(stored, lines.keys().copied().collect::<Vec<_>>(), "seed {seed}");
            let times = cosignature_times(&node.db, &node.genesis.authorities).unwrap();
            let known =
                (0..4).zip(newest).map(|(n, size)| size.map(|size: LogSize| (size, lines[&(size, n)])));
            assert_eq!(times, known.collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

#[test]
fn heads_are_those_of_blocks_only() {
    let mut node = Node::new();
    for number in 0..6 {
        let batch = node.batch(number * 400..number * 400 + 300);
        node.block(vec![batch], &none());
    }
    for size in 0..node.state.tip().size.0 + 3 {
        let known = node.heads.iter().find(|head| head.size.0 == size);
        assert_eq!(head_at(&node.db, LogSize(size)).unwrap().as_ref(), known, "{size}");
    }
}

#[test]
fn only_the_lines_of_that_authority_on_that_checkpoint_are_taken() {
    let mut node = Node::new();
    node.block(vec![node.batch(0..3)], &none());
    let (old, head) = (node.heads[0], node.heads[1]);
    let lines = |number: usize, head| node.peers[number].cosign(head, START_S + 5).unwrap().unwrap();
    let on_old = lines(1, old);
    let (one, two) = (lines(1, head), lines(2, head));
    let split = |lines: &str| -> (String, String) {
        let (first, second) = lines.trim_end().split_once('\n').unwrap();
        (first.to_owned(), second.to_owned())
    };
    let ((cosigned, logged), (_, other_log)) = (split(&one), split(&two));
    let other_root = TreeHead { root: Hash([1; 32]), ..head };
    let name = KeyName::new(&node.genesis.origin).unwrap();
    let other_text = other_root.checkpoint(&node.genesis.origin).unwrap().to_text();
    let log_of_other_text = sign_ed25519(&name, &key(23), &other_text).unwrap();
    let signature = |e| LinesError::Cosignature(e);
    let cases = [
        (head, 2, one.clone(), signature(CosignatureError::OtherKey)),
        (head, 4, one.clone(), LinesError::Authority(4)),
        (head, 1, on_old, signature(CosignatureError::Signature)),
        (old, 1, one.clone(), signature(CosignatureError::Signature)),
        (other_root, 1, one.clone(), signature(CosignatureError::Signature)),
        (head, 1, format!("{cosigned}\n{other_log}\n"), LinesError::LogLine),
        (head, 1, format!("{cosigned}\n{log_of_other_text}\n"), LinesError::LogLine),
        (head, 1, format!("{cosigned}\n{cosigned}\n"), LinesError::LogLine),
        (head, 1, format!("{logged}\n{cosigned}\n"), signature(CosignatureError::OtherKey)),
        (head, 1, one.trim_end().to_owned(), LinesError::Form),
        (head, 1, format!("{one}\n"), LinesError::Form),
        (head, 1, format!("{one}{logged}\n"), LinesError::Form),
        (head, 1, format!("{cosigned}\n"), LinesError::Form),
        (head, 1, String::new(), LinesError::Form),
        (head, 1, one.repeat(10), LinesError::TooLong(one.len() * 10)),
    ];
    for (head, authority, lines, refused) in cases {
        assert_eq!(node.take(head, authority, &lines), Err(refused), "{lines}");
    }
    let other = LineKeys::new(&node.genesis.authorities, "neustadt.example/other");
    let verified = Verified::default();
    let at = LineRules { clock_s: START_S + 1_000_000, step_s: 1, verified: &verified };
    let elsewhere = take_lines(&node.db, &other, head, 1, &one, at);
    assert_eq!(elsewhere, Err(signature(CosignatureError::OtherKey)));
    assert_eq!(node.db.range::<Cosignatures>(..).count(), 0, "nothing of it is kept");
    assert_eq!(node.take(head, 1, &one), Ok(true));
    assert_eq!(stored_lines(&node.db, LogSize(0)), Ok(vec![(head.size, 1, one)]));
}

#[test]
fn of_one_authority_the_latest_lines_are_kept() {
    let node = Node::new();
    let head = node.state.head();
    let at = |time_s: u64| {
        let fresh = Node::new(); // signs whatever it is told to
        fresh.peers[3].cosign(head, START_S + time_s).unwrap().unwrap()
    };
    for (time_s, taken) in [(20, true), (20, false), (19, false), (21, true), (1, false), (500_000, true)] {
        assert_eq!(node.take(head, 3, &at(time_s)), Ok(taken), "{time_s}");
    }
    let set = &node.genesis.authorities;
    let times = cosignature_times(&node.db, set).unwrap();
    assert_eq!(times, [None, None, None, Some((head.size, START_S + 500_000))]);
    // One that is far ahead moves the as-of time no further than the honest do.
    node.hear(0, head, START_S + 7);
    node.hear(1, head, START_S + 9);
    assert_eq!(node.counted().unwrap().as_of_s, START_S + 7);
}

#[test]
fn lines_that_make_nothing_count_later_are_not_counted_again() {
    let node = Node::new();
    let head = node.state.head();
    let verified = Verified::default();
    let newer =
        |before| newer_checkpoint_of(&node.db, &node.keys(), head, (head.size, before), &verified).unwrap();
    node.hear(0, head, START_S + 7);
    node.hear(1, head, START_S + 9);
    assert_eq!(newer(0), None, "two of four are no quorum");
    node.hear(2, head, START_S + 8);
    assert_eq!(newer(0), node.counted());
    assert_eq!(newer(START_S + 6), node.counted());
    assert_eq!(newer(START_S + 7), None, "it counted as of that time before");
    node.hear(3, head, START_S + 1);
    assert_eq!(newer(START_S + 7), None, "the line of one who is late changes nothing");
    node.hear(0, head, START_S + 60);
    let later = newer(START_S + 7).unwrap();
    assert_eq!((later.as_of_s, Some(later)), (START_S + 8, node.counted()));
}

#[test]
fn lines_that_come_too_soon_after_others_or_from_the_future_are_not_taken() {
    let node = Node::new();
    let head = node.state.head();
    let take = |time_s: u64| {
        let lines = Node::new().peers[3].cosign(head, START_S + time_s).unwrap().unwrap();
        let verified = Verified::default();
        let at = LineRules { clock_s: START_S + 100, step_s: 30, verified: &verified };
        let writes = take_lines(&node.db, &node.keys(), head, 3, &lines, at)?;
        let taken = writes.is_some();
        node.db.commit(writes.unwrap_or_default(), Durability::Unsynced).unwrap();
        Ok(taken)
    };
    assert_eq!([10, 11, 39, 40].map(take), [Ok(true), Ok(false), Ok(false), Ok(true)]);
    assert_eq!(take(400), Ok(true), "five minutes ahead");
    assert_eq!(Node::new().take(head, 3, "\n\n"), Err(LinesError::Form));
    assert_eq!(take(401), Ok(false), "too soon after the last one");
    assert_eq!(take(431), Err(LinesError::Ahead(331)));
}

#[test]
fn a_cosigner_signs_no_smaller_log_and_no_earlier_time() {
    let mut node = Node::new();
    node.block(vec![], &none());
    let (small, large) = (node.heads[0], node.heads[1]);
    let peer = &node.peers[0];
    assert!(peer.cosign(small, START_S + 10).unwrap().is_some());
    let before = stored_lines(&peer.db, LogSize(0)).unwrap();
    for earlier in [10, 9, 0] {
        assert_eq!(peer.cosign(small, START_S + earlier).unwrap(), None);
    }
    assert_eq!(stored_lines(&peer.db, LogSize(0)).unwrap(), before);
    let lines = peer.cosign(small, START_S + 11).unwrap().unwrap();
    assert_eq!(stored_lines(&peer.db, LogSize(0)).unwrap(), [(small.size, 0, lines)]);
    assert!(peer.cosign(large, START_S + 12).unwrap().is_some());
    assert_eq!(cosigned_size(&peer.db).unwrap(), large.size);
    assert_eq!(stored_lines(&peer.db, LogSize(0)).unwrap().len(), 2, "others may still need the old ones");
    let below = peer.cosign(small, START_S + 20);
    let (asked, signed) = (small.size.0, large.size.0);
    assert!(
        matches!(below, Err(CosignerError::Below { asked: a, signed: s }) if (a, s) == (asked, signed)),
        "{below:?}"
    );
    assert_eq!(peer.cosigner.last_time(&peer.db, large).unwrap(), Some(START_S + 12));
}

#[test]
fn receipts_are_under_the_checkpoint_for_what_it_covers() {
    let mut node = Node::new();
    let (one, two) = (node.batch(0..150), node.batch(150..153));
    node.block(vec![one.clone()], &none());
    for authority in [0, 2, 3] {
        node.hear(authority, node.state.head(), START_S + 40);
    }
    let checkpoint = node.counted().unwrap();
    node.block(vec![two.clone()], &none());
    node.hear(0, node.state.head(), START_S + 50);
    node.hear(1, node.state.head(), START_S + 50);
    assert_eq!(node.counted().unwrap(), checkpoint, "two of four do not count");

    let trust = TrustRoot::new(node.genesis.clone());
    let index = record_of_batch(&node.db, &one.id(), 149).unwrap();
    let mut good = receipt(&node.db, Some(&checkpoint), index).unwrap();
    good.salt = Some(salt(149));
    let verified = good.verify(&trust, &document(149)).unwrap();
    assert_eq!((verified.as_of_s, verified.vouchers.len()), (START_S + 40, 3));
    assert_eq!(good.latest_header.index, checkpoint.header_index());
    assert_eq!(batch_receipts(&node.db, Some(&checkpoint), &one.id()).unwrap().len(), 150);

    let uncovered = record_of_batch(&node.db, &two.id(), 0).unwrap();
    let refused = receipt(&node.db, Some(&checkpoint), uncovered);
    assert!(matches!(refused, Err(ReceiptFailure::NoCheckpoint)), "{refused:?}");
    assert!(matches!(receipt(&node.db, None, index), Err(ReceiptFailure::NoCheckpoint)));
    let refused = batch_receipts(&node.db, Some(&checkpoint), &two.id());
    assert!(matches!(refused, Err(ReceiptFailure::NoCheckpoint)), "{refused:?}");

    node.hear(2, node.state.head(), START_S + 51);
    let mut later = receipt(&node.db, node.counted().as_ref(), uncovered).unwrap();
    later.salt = Some(salt(150));
    assert_eq!(later.verify(&trust, &document(150)).unwrap().as_of_s, START_S + 50);
}

#[test]
fn a_batch_that_the_disk_changed_makes_no_receipt_of_what_was_changed() {
    let mut node = Node::new();
    let one = node.batch(0..150);
    node.block(vec![one.clone()], &none());
    (0..3).for_each(|authority| node.hear(authority, node.state.head(), START_S + 40));
    let checkpoint = node.counted().unwrap();
    let whole = node.db.get::<Batches>(&one.id().0).unwrap().unwrap();
    let head_end = whole.len() - one.records().iter().map(|record| record.bytes.len() + 2).sum::<usize>();
    for (at, position) in [(head_end - 5, 7), (whole.len() - 5, 149), (whole.len() - 40, 149)] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        put(&node.db, &one, &changed);
        let index = record_of_batch(&node.db, &one.id(), position).unwrap();
        let refused = receipt(&node.db, Some(&checkpoint), index);
        assert!(matches!(refused, Err(ReceiptFailure::Lookup(LookupError::Storage(_)))), "{refused:?}");
    }
    let last = whole.len() - one.records()[149].bytes.len() - 2;
    put(&node.db, &one, &whole[..last].to_vec());
    for position in [3, 149] {
        let index = record_of_batch(&node.db, &one.id(), position).unwrap();
        let refused = receipt(&node.db, Some(&checkpoint), index);
        assert!(matches!(refused, Err(ReceiptFailure::Lookup(LookupError::Storage(_)))), "{refused:?}");
    }
    put(&node.db, &one, &whole);
    let index = record_of_batch(&node.db, &one.id(), 3).unwrap();
    assert!(receipt(&node.db, Some(&checkpoint), index).is_ok());
}

fn put(db: &Db, batch: &Batch, bytes: &Vec<u8>) {
    let mut writes = Writes::new();
    writes.put::<Batches>(&batch.id().0, bytes);
    db.commit(writes, Durability::Unsynced).unwrap();
}

#[test]
fn a_status_that_is_newer_than_the_checkpoint_is_not_proven_under_it() {
    let mut node = Node::new();
    let one = node.batch(0..3);
    node.block(vec![one.clone()], &none());
    (0..3).for_each(|authority| node.hear(authority, node.state.head(), START_S + 40));
    let checkpoint = node.counted().unwrap();
    let index = record_of_batch(&node.db, &one.id(), 0).unwrap();
    assert!(receipt(&node.db, Some(&checkpoint), index).is_ok());
    node.block(vec![], &BTreeMap::from([(index.0, Status::Revoked)]));
    let refused = receipt(&node.db, Some(&checkpoint), index);
    let corrupt =
        matches!(&refused, Err(ReceiptFailure::Lookup(LookupError::Storage(StorageError::Corrupt { .. }))));
    assert!(corrupt, "{refused:?}");
}

#[tokio::test]
async fn callers_hear_final_once_a_checkpoint_covers_it() {
    let mut node = Node::new();
    let (publisher, mut reader) = finality(node.state.clone(), node.counted(), StopSignal::new());
    let one = node.batch(0..3);
    let decision = |id| reader_decision(&reader, id);
    assert_eq!(decision(&one.id()), Decision::Open);
    node.block(vec![one.clone()], &none());
    publisher.publish(node.state.clone());
    assert!(reader.next_state().await);
    assert!(reader.changed().now_or_never().is_none(), "nothing is decided for those who wait for it");
    let decision = |id| reader_decision(&reader, id);
    assert_eq!(decision(&one.id()), Decision::Uncovered, "final, but no receipt yet");
    assert!(reader.checkpoint().is_none());

    (0..3).for_each(|authority| node.hear(authority, node.heads[0], START_S + 1));
    publisher.checkpoint(node.counted().unwrap());
    assert!(reader.changed().await);
    assert_eq!(reader_decision(&reader, &one.id()), Decision::Uncovered, "that one is older");

    (0..3).for_each(|authority| node.hear(authority, node.state.head(), START_S + 40));
    let counted = node.counted().unwrap();
    publisher.checkpoint(counted.clone());
    assert!(reader.changed().await);
    let made = reader_decision(&reader, &one.id());
    assert!(matches!(made, Decision::Made(Outcome::Final { head_index: LeafIndex(3), .. })), "{made:?}");

    // One that says less is not published: nothing that callers saw goes back.
    let older = Node::new();
    (0..3).for_each(|authority| older.hear(authority, older.state.head(), START_S + 90));
    publisher.checkpoint(older.counted().unwrap());
    publisher.checkpoint(counted.clone());
    assert_eq!(reader.checkpoint().as_deref(), Some(&counted));
    (0..3).for_each(|authority| node.hear(authority, node.state.head(), START_S + 100));
    publisher.checkpoint(node.counted().unwrap());
    assert_eq!(reader.checkpoint().unwrap().as_of_s, START_S + 100);
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(snapshot.checkpoint, node.counted().map(Arc::new));
    assert_eq!(snapshot.state.tip(), node.state.tip());
}

fn reader_decision(reader: &markstein_node::finality::Finality, id: &markstein_proto::BatchId) -> Decision {
    reader.snapshot().unwrap().decision(id).unwrap()
}

#[test]
fn a_start_takes_up_the_checkpoint_that_counted() {
    let mut node = Node::new();
    node.block(vec![node.batch(0..3)], &none());
    (1..4).for_each(|authority| node.hear(authority, node.state.head(), START_S + 40));
    let before = node.counted();
    node.prune(node.state.tip().size);
    node.block(vec![], &none());
    let state = FinalState::load(&node.db).unwrap();
    let again = counted_checkpoint(&node.db, &state, &node.genesis.origin, &Verified::default()).unwrap();
    assert!(before.is_some());
    assert_eq!(again, before);
}
