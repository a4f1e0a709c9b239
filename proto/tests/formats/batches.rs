//! Batches: their bounds, their heads, their names.

use markstein_proto::{
    Author, BATCH_MAX, BATCH_RECORDS_MAX, Batch, BatchHead, DecodeError, Hash, Leaf, LedgerId, Record,
    TimeMs, log,
};

use crate::{
    encoding::{random_anchor, random_grant},
    support::{
        PERMITS, Random, START_MS, anchor, genesis, issuer_id, secret,
        wire::{Field, join, split},
    },
};

fn sign(records: &[Record]) -> Result<Batch, DecodeError> {
    let key = secret(PERMITS, "issuer");
    Batch::sign(LedgerId(Hash::ZERO), &issuer_id(PERMITS), &key, TimeMs(START_MS), records)
}

#[test]
fn batches_are_bounded() {
    let mut random = Random(6);
    let mut records: Vec<Record> = (0..=BATCH_RECORDS_MAX).map(|_| random_anchor(&mut random)).collect();
    let count = |got| Err(DecodeError::Count { what: "records of a batch", min: 1, max: 10_000, got });
    assert_eq!(sign(&records), count(BATCH_RECORDS_MAX + 1));
    assert_eq!(sign(&[]), count(0));
    records.pop();
    let full = sign(&records).unwrap();
    assert_eq!(full.records().len(), BATCH_RECORDS_MAX);
    assert!(full.bytes().len() <= BATCH_MAX);

    records[7] = records[9_000].clone();
    let twice = Err(DecodeError::Value { what: "records of a batch", rule: "must all be different" });
    assert_eq!(sign(&records), twice);
    assert_eq!(sign(&[anchor(1, 1), anchor(1, 1)]), twice);

    // Anchors alone never reach the limit of bytes, grants do.
    let many: Vec<Record> = (0..6000).map(|_| random_grant(&mut random)).collect();
    assert!(matches!(sign(&many), Err(DecodeError::TooLong { what: "batch", max: BATCH_MAX, .. })));
}

#[test]
fn a_batch_is_what_its_head_says() {
    let good = sign(&[anchor(1, 1), anchor(2, 1)]).unwrap();
    let three = sign(&[anchor(1, 1), anchor(2, 1), anchor(3, 1)]).unwrap();
    let fields = split(good.bytes());
    let with = |fields: &[Field]| Batch::decode(join(fields));
    assert_eq!(with(&fields), Ok(good.clone()));
    let value = |error| match error {
        Err(DecodeError::Value { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    let count = "record count of the batch head";
    assert_eq!(value(with(&fields[..2])), count);
    assert_eq!(value(with(&[&fields[..], &split(three.bytes())[3..]].concat())), count);
    let root = "records' root of the batch head";
    assert_eq!(value(with(&[fields[0].clone(), fields[2].clone(), fields[1].clone()])), root);
    assert_eq!(value(with(&[&fields[..2], &split(three.bytes())[3..]].concat())), root);
    assert_eq!(
        with(&fields[..1]),
        Err(DecodeError::Count { what: "records of a batch", min: 1, max: 10_000, got: 0 })
    );
    assert!(with(&fields[1..]).is_err(), "without head");
    let kinds = [fields[1].value.clone(), Leaf::Header(genesis(1).header()).encode()];
    for kind in kinds {
        let head = Field { value: kind.clone(), ..fields[0].clone() };
        assert!(matches!(with(&[&[head], &fields[1..]].concat()), Err(DecodeError::WrongKind { .. })));
    }
    let record = Field { number: 2, wire_type: 2, value: fields[0].value.clone() };
    let wrong = with(&[fields[0].clone(), fields[1].clone(), record]);
    assert_eq!(wrong, Err(DecodeError::WrongKind { want: "record", found: "batch head" }));
}

/// A bad signature changes the leaf, not the name of the batch.
#[test]
fn the_id_of_a_batch_is_that_of_the_unsigned_head() {
    let good = sign(&[anchor(1, 1)]).unwrap();
    let mut head = good.head().clone();
    head.signatures[0].1.0[5] ^= 1;
    assert_eq!(head.id(), good.id());
    assert_ne!(Leaf::BatchHead(head.clone()).hash(), log::leaf_hash(good.head_leaf()));
    for change in [
        |h: &mut BatchHead| h.ledger.0.0[0] ^= 1,
        |h: &mut BatchHead| h.created_at.0 += 1,
        |h: &mut BatchHead| h.record_count += 1,
        |h: &mut BatchHead| h.records_root.0[31] ^= 1,
        |h: &mut BatchHead| h.author = Author::Genesis,
    ] {
        let mut other = head.clone();
        change(&mut other);
        assert_ne!(other.id(), good.id());
        assert_ne!(other.signing_bytes(), good.head().signing_bytes());
    }
}
