//! Blocks as a pure function of state and batches, and the rules of who may write.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use markstein_node::{
    ledger::{BatchRefusal, ExecuteError, InvalidBlock, Rules, State, Turn, check_batch, execute},
    storage::Read,
};
use markstein_proto::{
    Anchor, AuthorError, Batch, EpochId, Genesis, Hash, IssuerId, LeafIndex, LedgerId, LogSize, Record,
    TimeMs, View, log, status,
};
use support::{DAY, Ledger, START, anchor, batch, genesis, issuer, key, signed};

fn turn(time: u64) -> Turn {
    Turn { epoch: EpochId(0), view: View(1), proposer: 0, time: TimeMs(time) }
}

fn refusal(ledger: &Ledger, batch: &Batch, time: u64) -> Option<BatchRefusal> {
    check_batch(ledger.state(), &Rules::new(&genesis()), batch, TimeMs(time)).unwrap().err()
}

fn invalid(ledger: &Ledger, turn: Turn, batches: Vec<Arc<Batch>>) -> InvalidBlock {
    match execute(ledger.state(), &Rules::new(&genesis()), turn, batches) {
        Err(ExecuteError::Invalid(invalid)) => invalid,
        other => panic!("expected an invalid block, got {other:?}"),
    }
}

#[test]
fn block_zero_is_the_one_the_genesis_names() {
    let ledger = Ledger::new();
    let tip = ledger.state().tip().clone();
    assert_eq!(tip.block_id, genesis().block_id());
    assert_eq!(tip.size, LogSize(3), "batch head, one grant, header");
    assert!(ledger.state().grant(&issuer()).unwrap().is_some());
}

#[test]
fn the_header_follows_from_state_and_batches_alone() {
    let ledger = Ledger::new();
    let state = ledger.state();
    let batches = vec![batch(START, 0..3), batch(START, 3..5)];
    let run = || execute(state, &Rules::new(&genesis()), turn(START + 5), batches.clone()).unwrap();
    let (one, two) = (run(), run());
    assert_eq!(one.header, two.header);
    let header = &one.header;
    assert_eq!((header.height.0, header.parent), (1, genesis().block_id()));
    assert_eq!((header.first_index, header.size_before), (LeafIndex(3), LogSize(3 + 1 + 3 + 1 + 2)));
    assert_eq!(header.authority_set, genesis().authorities.hash());
    assert_eq!(header.status_root, status::all_valid_root(header.size_before));
    assert_eq!(one.batches[0].0, LeafIndex(3));
    assert_eq!(one.batches[1].0, LeafIndex(7));
    // The roots equal a recomputation from scratch.
    let zero = genesis();
    let mut leaves: Vec<Hash> = zero.batch().leaf_hashes().collect();
    leaves.push(zero.block_id());
    leaves.extend(batches.iter().flat_map(|b| b.leaf_hashes().collect::<Vec<_>>()));
    assert_eq!(header.root_before, log::root_of(&leaves));
    leaves.push(header.block_id());
    assert_eq!(one.frontier.root(), log::root_of(&leaves));
}

#[test]
fn a_block_is_later_than_its_parent_and_of_its_epoch() {
    let ledger = Ledger::new();
    assert_eq!(invalid(&ledger, turn(START), vec![]), InvalidBlock::Time);
    let other = Turn { epoch: EpochId(1), ..turn(START + 1) };
    assert_eq!(invalid(&ledger, other, vec![]), InvalidBlock::Epoch);
}

#[tokio::test]
async fn a_batch_stands_in_the_ledger_once() {
    let mut ledger = Ledger::new();
    let one = batch(START, 0..2);
    assert_eq!(
        invalid(&ledger, turn(START + 1), vec![one.clone(), one.clone()]),
        InvalidBlock::Twice(one.id())
    );
    ledger.pool.submit(one.clone()).await.unwrap();
    assert!(ledger.cut());
    assert_eq!(refusal(&ledger, &one, START + 2_000), Some(BatchRefusal::Duplicate));
    assert_eq!(
        invalid(&ledger, turn(START + 2_000), vec![one.clone()]),
        InvalidBlock::Batch { id: one.id(), refusal: BatchRefusal::Duplicate }
    );
}

#[test]
fn a_block_is_bounded() {
    let ledger = Ledger::new();
    let batches: Vec<_> = (0..6).map(|n| batch(START, n * 10_000..n * 10_000 + 9_000)).collect();
    assert_eq!(invalid(&ledger, turn(START + 1), batches), InvalidBlock::TooLarge);
}

#[test]
fn twenty_four_hours_are_the_bound_both_ways() {
    let ledger = Ledger::new();
    let at = START + 3 * DAY;
    for (created_at, expected) in [
        (at - DAY, None),
        (at - DAY - 1, Some(BatchRefusal::Expired)),
        (at + DAY, None),
        (at + DAY + 1, Some(BatchRefusal::FromTheFuture)),
        (at - 7 * DAY, Some(BatchRefusal::Expired)),
    ] {
        assert_eq!(refusal(&ledger, &batch(created_at, 0..1), at), expected, "{created_at}");
    }
}

#[test]
fn only_who_may_write_writes() {
    let ledger = Ledger::new();
    let record = |anchor: Anchor| vec![Record::Anchor(anchor)];
    let sign = |ledger: LedgerId, issuer: &str, seed: u8, records: &[Record]| {
        Batch::sign(ledger, &IssuerId::new(issuer).unwrap(), &key(seed), TimeMs(START), records).unwrap()
    };
    let (here, name) = (genesis().ledger_id(), issuer().to_string());
    let elsewhere = Genesis { nonce: [8; 32], ..genesis() }.ledger_id();
    let grant = vec![Record::IssuerGrant(genesis().grants[0].clone())];
    let cases = [
        (sign(elsewhere, &name, 11, &record(anchor(1))), BatchRefusal::AnotherLedger(elsewhere)),
        (
            sign(here, "stranger.example", 11, &record(anchor(1))),
            BatchRefusal::UnknownIssuer(IssuerId::new("stranger.example").unwrap()),
        ),
        (sign(here, &name, 12, &record(anchor(1))), BatchRefusal::Author(AuthorError::KeyNotValid)),
        (
            sign(here, &name, 11, &record(Anchor { document_type: 3, ..anchor(1) })),
            BatchRefusal::OutOfScope(3),
        ),
        (
            sign(here, &name, 11, &record(Anchor { document_type: 4, ..anchor(1) })),
            BatchRefusal::UnregisteredType(4),
        ),
        (sign(here, &name, 11, &grant), BatchRefusal::RecordKind),
        (genesis().batch(), BatchRefusal::GenesisAuthor),
    ];
    for (batch, expected) in cases {
        assert_eq!(refusal(&ledger, &batch, START + 1), Some(expected));
    }
    assert_eq!(refusal(&ledger, &sign(here, &name, 11, &record(anchor(1))), START + 1), None);
}

#[test]
fn a_key_counts_at_the_time_of_the_block() {
    let ledger = Ledger::new();
    let end = START + 7 * DAY; // key 10 is good until then
    let old = signed(end, 10, &[Record::Anchor(anchor(1))]);
    assert_eq!(refusal(&ledger, &old, end), None);
    assert_eq!(refusal(&ledger, &old, end + 1), Some(BatchRefusal::Author(AuthorError::KeyNotValid)));
    assert_eq!(refusal(&ledger, &old, START), Some(BatchRefusal::FromTheFuture));
    assert_eq!(refusal(&ledger, &old, end + 2 * DAY), Some(BatchRefusal::Author(AuthorError::KeyNotValid)));
    let early = signed(START, 10, &[Record::Anchor(anchor(1))]);
    assert_eq!(refusal(&ledger, &early, START - 1), Some(BatchRefusal::Author(AuthorError::KeyNotValid)));
}

#[test]
fn a_bad_signature_is_refused_and_does_not_poison_the_batch_id() {
    let ledger = Ledger::new();
    let good = batch(START, 0..1);
    let signature = good.head().signatures[0].1.0;
    let mut bytes = good.bytes().to_vec();
    let at = bytes.windows(64).position(|w| w == signature).unwrap();
    bytes[at] ^= 1;
    let bad = Batch::decode(bytes).unwrap();
    assert_eq!(bad.id(), good.id());
    assert_eq!(refusal(&ledger, &bad, START + 1), Some(BatchRefusal::Author(AuthorError::BadSignature)));
    assert_eq!(refusal(&ledger, &good, START + 1), None);
    assert!(ledger.db.last::<markstein_node::storage::tables::Pool>().unwrap().is_none());
}
