//! Canonical encoding: what is written is read again, and nothing else is read as the same.

use markstein_proto::{
    Anchor, Author, AuthoritySet, BATCH_MAX, BATCH_RECORDS_MAX, Batch, BatchHead, Commitment, DecodeError,
    EpochId, Genesis, Hash, Header, Height, IssuerGrant, IssuerKey, KeyId, Leaf, LeafIndex, LedgerId,
    LogSize, Reason, Record, Signature, TimeMs, View, log, status::Status,
};

use crate::records::random_change;
use crate::support::{
    PERMITS, Random, START_MS, anchor, authority_set, change, genesis, issuer_id, public_anchor, secret,
    successor,
    wire::{Field, change_at, join, split, varint},
};

/// A decoder, reduced to what it says about the bytes: the bytes it would write.
type Decode = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

fn leaf(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Leaf::decode(bytes).map(|leaf| leaf.encode())
}

fn batch(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Batch::decode(bytes.to_vec()).map(|batch| batch.bytes().to_vec())
}

fn set(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    AuthoritySet::decode(bytes).map(|set| set.encode())
}

fn trust(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Genesis::decode(bytes).map(|genesis| genesis.encode())
}

const DECODERS: [Decode; 4] = [leaf, batch, set, trust];

pub fn random_anchor(random: &mut Random) -> Record {
    Record::Anchor(Anchor {
        commitment: Commitment(random.hash()),
        public: random.below(2) == 1,
        document_type: 1 + random.below(1 << 31) as u32,
        valid_until: (random.below(2) == 1).then(|| TimeMs(random.u64())),
        supersedes: (random.below(2) == 1).then(|| LeafIndex(random.u64())),
    })
}

pub fn random_grant(random: &mut Random) -> Record {
    let key = |random: &mut Random| {
        let not_before = random.u64();
        IssuerKey {
            key: secret(&random.hash().to_string(), "issuer").public(),
            not_before: TimeMs(not_before),
            not_after: (random.below(2) == 1).then(|| TimeMs(not_before.saturating_add(random.u64()))),
        }
    };
    let (keys, types) = (1 + random.below(3), 1 + random.below(40) as u32);
    let start = 1 + random.below(300) as u32;
    let mut keys: Vec<IssuerKey> = (0..keys).map(|_| key(random)).collect();
    keys.sort_by_key(|key| key.key.to_bytes());
    Record::IssuerGrant(IssuerGrant {
        issuer: issuer_id(PERMITS),
        name: "Bürgeramt Neustadt".repeat(1 + random.below(9) as usize),
        keys,
        document_types: (0..types).map(|i| start + i * 7).collect(),
    })
}

fn random_head(random: &mut Random) -> BatchHead {
    let issuer = random.below(4) != 0;
    let key = KeyId(random.bytes(16).try_into().unwrap());
    let signature = Signature(random.bytes(64).try_into().unwrap());
    BatchHead {
        ledger: LedgerId(random.hash()),
        created_at: TimeMs(random.u64()),
        record_count: 1 + random.below(10_000) as u32,
        records_root: random.hash(),
        signatures: if issuer { vec![(key, signature)] } else { vec![] },
        author: if issuer { Author::Issuer { issuer: issuer_id(PERMITS), key } } else { Author::Genesis },
    }
}

fn random_header(random: &mut Random) -> Header {
    let size = random.u64();
    Header {
        epoch: EpochId(random.u64()),
        height: Height(random.u64()),
        view: View(random.u64()),
        parent: random.hash(),
        time: TimeMs(random.u64()),
        proposer: random.below(64) as u32,
        first_index: LeafIndex(size - random.below(size.min(1000) + 1)),
        size_before: LogSize(size),
        root_before: random.hash(),
        status_root: random.hash(),
        authority_set: random.hash(),
    }
}

#[test]
fn leaves_are_read_as_they_were_written() {
    let mut random = Random(1);
    for _ in 0..2000 {
        let leaf = match random.below(5) {
            0 => Leaf::Record(random_anchor(&mut random)),
            1 => Leaf::Record(random_grant(&mut random)),
            2 => Leaf::BatchHead(random_head(&mut random)),
            3 => Leaf::Record(random_change(&mut random)),
            _ => Leaf::Header(random_header(&mut random)),
        };
        let bytes = leaf.encode();
        assert_eq!(Leaf::decode(&bytes), Ok(leaf));
    }
}

#[test]
fn batches_sets_and_geneses_are_read_as_they_were_written() {
    let mut random = Random(2);
    for i in 0..40 {
        let records: Vec<Record> = (0..=random.below(60)).map(|_| random_anchor(&mut random)).collect();
        let key = secret(PERMITS, "issuer");
        let ledger = LedgerId(random.hash());
        let made = Batch::sign(ledger, &issuer_id(PERMITS), &key, TimeMs(random.u64()), &records).unwrap();
        let read = Batch::decode(made.bytes().clone()).unwrap();
        assert_eq!(read, made);
        assert!(read.records().iter().map(|r| &r.record).eq(&records));
        let leaves: Vec<Hash> = read.leaf_hashes().collect();
        assert_eq!(leaves[0], log::leaf_hash(read.head_leaf()));
        assert_eq!(log::root_of(&leaves[1..]), read.head().records_root);

        let made = authority_set(random.u64(), 0..=i);
        assert_eq!(AuthoritySet::decode(&made.encode()), Ok(made));
    }
    for authorities in 1..=10 {
        let made = genesis(authorities);
        assert_eq!(Genesis::decode(&made.encode()), Ok(made));
    }
}

/// Every other way to write one message, by name.
fn variants(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let fields = split(message);
    let mut all: Vec<(String, Vec<u8>)> = vec![
        ("unknown number".into(), [message, &[0x80, 0x01, 0x01]].concat()),
        ("unknown text".into(), [message, &[0x82, 0x01, 0x00]].concat()),
        ("unknown fixed32".into(), [message, &[0x85, 0x01, 0, 0, 0, 0]].concat()),
        ("unknown group".into(), [message, &[0x83, 0x01, 0x84, 0x01]].concat()),
        ("trailing zero".into(), [message, &[0]].concat()),
        ("trailing 0xff".into(), [message, &[0xff]].concat()),
        ("field number zero".into(), [message, &[0x00, 0x00]].concat()),
    ];
    for (i, field) in fields.iter().enumerate() {
        let mut put = |name: &str, bytes: Vec<u8>| {
            let (before, after) = (join(&fields[..i]), join(&fields[i + 1..]));
            all.push((format!("{name} of field {}", field.number), [before, bytes, after].concat()));
        };
        let written = field.write();
        let mut long_key = written.clone();
        long_key.splice(..1, [written[0] | 0x80, 0]);
        put("long key", long_key);
        put("other wire type", Field { wire_type: 5, value: vec![0; 4], ..field.clone() }.write());
        if field.wire_type == 2 {
            let mut length = varint(field.value.len() as u64);
            *length.last_mut().unwrap() |= 0x80;
            length.push(0);
            put("long length", [varint(field.number << 3 | 2), length, field.value.clone()].concat());
            let beyond = varint(field.value.len() as u64 + 1_000_000);
            put(
                "length beyond the end",
                [varint(field.number << 3 | 2), beyond, field.value.clone()].concat(),
            );
        } else {
            let mut value = field.value.clone();
            *value.last_mut().unwrap() |= 0x80;
            value.push(0);
            put("long number", Field { value, ..field.clone() }.write());
        }
    }
    // Elements of one list may be exchanged: that is another list.
    for i in (1..fields.len()).filter(|i| fields[i - 1].number != fields[*i].number) {
        let mut swapped = fields.clone();
        swapped.swap(i - 1, i);
        all.push((format!("fields {} and {} swapped", i - 1, i), join(&swapped)));
    }
    all
}

/// Defaults written out, as field numbers of scalars, texts and bytes.
fn explicit_defaults(message: &[u8], numbers: &[u64], texts: &[u64]) -> Vec<(String, Vec<u8>)> {
    let fields = split(message);
    let scalar = numbers.iter().map(|n| Field { number: *n, wire_type: 0, value: vec![0] });
    let text = texts.iter().map(|n| Field { number: *n, wire_type: 2, value: vec![] });
    let absent = scalar.chain(text).filter(|field| fields.iter().all(|other| other.number != field.number));
    let insert = |field: Field| {
        let at = fields.iter().position(|other| other.number > field.number).unwrap_or(fields.len());
        let mut more = fields.clone();
        more.insert(at, field.clone());
        (format!("explicit default of field {}", field.number), join(&more))
    };
    absent.map(insert).collect()
}

/// A message in its canonical form, where its parts lie, and which scalars of a part may be absent.
struct Sample {
    name: &'static str,
    bytes: Vec<u8>,
    decode: Decode,
    /// Path of a message in it, and the numbers of its scalar fields whose default is left out.
    parts: &'static [(&'static [u64], &'static [u64])],
}

fn samples() -> Vec<Sample> {
    let mut random = Random(3);
    let plain = Leaf::Record(anchor(1, 1)).encode();
    let public = Leaf::Record(public_anchor(1, 1)).encode();
    let replaces = Leaf::Record(successor(1, 1, 0)).encode();
    let revoked = Leaf::Record(change(300, Status::Valid, Status::Revoked, Reason::Unlawful)).encode();
    let reinstated = Leaf::Record(change(7, Status::Suspended, Status::Valid, Reason::Resolved)).encode();
    let grant = Leaf::Record(random_grant(&mut random)).encode();
    let genesis = genesis(2);
    let block_0 = genesis.header();
    let key = secret(PERMITS, "issuer");
    let made = Batch::sign(
        genesis.ledger_id(),
        &issuer_id(PERMITS),
        &key,
        TimeMs(START_MS),
        &[anchor(1, 1), anchor(2, 1)],
    )
    .unwrap();
    let sample = |name, bytes, decode, parts| Sample { name, bytes, decode, parts };
    vec![
        sample("anchor", plain, leaf as Decode, &[(&[], &[]), (&[2], &[]), (&[2, 2], &[2])]),
        sample("public anchor", public, leaf, &[(&[2, 2], &[])]),
        sample("successor", replaces, leaf, &[(&[2, 2], &[2])]),
        sample("revocation", revoked, leaf, &[(&[2], &[]), (&[2, 4], &[2])]),
        sample("reinstatement", reinstated, leaf, &[(&[2], &[]), (&[2, 4], &[3])]),
        sample("grant", grant, leaf, &[(&[2], &[]), (&[2, 3], &[]), (&[2, 3, 3], &[])]),
        sample(
            "head",
            made.head_leaf().to_vec(),
            leaf,
            &[(&[], &[]), (&[1], &[]), (&[1, 6], &[]), (&[1, 7], &[])],
        ),
        sample("genesis head", genesis.batch().head_leaf().to_vec(), leaf, &[(&[1], &[]), (&[1, 8], &[])]),
        sample("header", Leaf::Header(block_0).encode(), leaf, &[(&[], &[]), (&[3], &[2, 3, 4, 7, 8])]),
        sample(
            "batch",
            made.bytes().to_vec(),
            batch,
            &[(&[], &[]), (&[1], &[]), (&[2], &[]), (&[2, 2], &[])],
        ),
        sample("set", authority_set(0, 0..3).encode(), set, &[(&[], &[1]), (&[2], &[])]),
        sample(
            "genesis",
            genesis.encode(),
            trust,
            &[(&[], &[]), (&[5], &[]), (&[6], &[]), (&[6, 3], &[2]), (&[7], &[]), (&[7, 1], &[])],
        ),
    ]
}

#[test]
fn one_message_has_one_encoding() {
    for Sample { name, bytes, decode, parts } in samples() {
        assert_eq!(decode(&bytes).as_ref(), Ok(&bytes), "{name}");
        for (path, scalars) in parts {
            let whole = std::cell::RefCell::new(Vec::new());
            change_at(&bytes, path, &|message| {
                whole.borrow_mut().extend(variants(message));
                whole.borrow_mut().extend(explicit_defaults(message, scalars, &[]));
                message.to_vec()
            });
            for (variant, message) in whole.into_inner() {
                let changed = change_at(&bytes, path, &|_| message.clone());
                assert_ne!(changed, bytes);
                assert!(decode(&changed).is_err(), "{name} at {path:?}: {variant}");
            }
        }
    }
}

#[test]
fn a_truncated_message_is_refused() {
    for Sample { name, bytes, decode, .. } in samples() {
        for length in 0..bytes.len() {
            // Cut between two authorities, a set is a smaller set.
            let smaller = name == "set" && AuthoritySet::decode(&bytes[..length]).is_ok();
            assert!(smaller || decode(&bytes[..length]).is_err(), "{name} cut to {length} bytes");
        }
    }
}

/// No decoder reads two messages with one bit between them as the same.
#[test]
fn every_bit_has_a_meaning() {
    for Sample { name, bytes, decode, .. } in samples() {
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[position] ^= 1 << bit;
                if let Ok(again) = decode(&changed) {
                    assert_eq!(again, changed, "{name}: bit {bit} of byte {position}");
                }
            }
        }
    }
}

#[test]
fn packed_numbers_have_one_form_and_order() {
    let Record::IssuerGrant(grant) = random_grant(&mut Random(9)) else { panic!("it makes grants") };
    let with = |types: &[u32]| {
        let document_types = types.to_vec();
        Leaf::Record(Record::IssuerGrant(IssuerGrant { document_types, ..grant.clone() })).encode()
    };
    assert!(leaf(&with(&[1, 2, 300])).is_ok());
    for bad in [&[2, 1][..], &[1, 1], &[0], &[0, 1], &[]] {
        assert!(leaf(&with(bad)).is_err(), "{bad:?}");
    }
    let all: Vec<u32> = (1..=257).collect();
    assert!(leaf(&with(&all[..256])).is_ok());
    assert!(leaf(&with(&all)).is_err());

    let bytes = with(&[1, 2, 300]);
    let rewrite = |types: Vec<Field>| {
        change_at(&bytes, &[2, 3], &|grant| {
            let fields = split(grant).into_iter().filter(|field| field.number != 4);
            join(&fields.chain(types.clone()).collect::<Vec<_>>())
        })
    };
    let one = |value: u64| Field { number: 4, wire_type: 0, value: varint(value) };
    let packed = |value: Vec<u8>| Field { number: 4, wire_type: 2, value };
    assert_eq!(rewrite(vec![packed(vec![1, 2, 0xac, 2])]), bytes);
    assert!(leaf(&rewrite(vec![one(1), one(2), one(300)])).is_err(), "not packed");
    assert!(leaf(&rewrite(vec![packed(vec![1]), packed(vec![2, 0xac, 2])])).is_err(), "in two parts");
    assert!(leaf(&rewrite(vec![packed(vec![1, 0x82, 0, 0xac, 2])])).is_err(), "long number");
    assert!(leaf(&rewrite(vec![packed(vec![1, 2, 0xac, 0x82, 0x80, 0x80, 0x10])])).is_err(), "above 32 bits");
}

#[test]
fn a_oneof_holds_one_thing() {
    let anchor = Leaf::Record(anchor(1, 1)).encode();
    let header = Leaf::Header(genesis(1).header()).encode();
    assert!(leaf(&[anchor.clone(), header].concat()).is_err());
    assert!(leaf(&anchor.repeat(2)).is_err());
    assert_eq!(leaf(&[]), Err(DecodeError::Missing("kind of the leaf")));
    assert_eq!(leaf(&[0x12, 2, 8, 1]), Err(DecodeError::Missing("kind of the record")));
    assert!(leaf(&[0x0a, 0]).is_err() && leaf(&[0x1a, 0]).is_err());
}

#[test]
fn values_are_checked() {
    let mut random = Random(4);
    let header = random_header(&mut random);
    let beyond = Header { first_index: LeafIndex(6), size_before: LogSize(5), ..header.clone() };
    assert!(leaf(&Leaf::Header(beyond).encode()).is_err());
    let full = Header { size_before: LogSize(u64::MAX), ..header };
    assert!(leaf(&Leaf::Header(full).encode()).is_err());

    let head = random_head(&mut random);
    for record_count in [0, 10_001, u32::MAX] {
        assert!(leaf(&Leaf::BatchHead(BatchHead { record_count, ..head.clone() }).encode()).is_err());
    }
    let key = KeyId([1; 16]);
    let by_issuer = BatchHead {
        author: Author::Issuer { issuer: issuer_id(PERMITS), key },
        signatures: vec![(key, Signature([2; 64]))],
        ..head
    };
    assert!(leaf(&Leaf::BatchHead(by_issuer.clone()).encode()).is_ok());
    let unsigned = BatchHead { signatures: vec![], ..by_issuer.clone() };
    assert!(leaf(&Leaf::BatchHead(unsigned).encode()).is_err());
    let signatures = by_issuer.signatures.repeat(2);
    assert!(leaf(&Leaf::BatchHead(BatchHead { signatures, ..by_issuer.clone() }).encode()).is_err());
    let genesis_signed = BatchHead { author: Author::Genesis, ..by_issuer };
    assert!(leaf(&Leaf::BatchHead(genesis_signed).encode()).is_err());

    let Record::IssuerGrant(grant) = random_grant(&mut random) else { panic!("it makes grants") };
    let refused = |grant: IssuerGrant| leaf(&Leaf::Record(Record::IssuerGrant(grant)).encode()).is_err();
    let ends = IssuerKey { not_before: TimeMs(5), not_after: Some(TimeMs(4)), ..grant.keys[0].clone() };
    assert!(refused(IssuerGrant { keys: vec![ends], ..grant.clone() }));
    assert!(refused(IssuerGrant { keys: vec![], ..grant.clone() }));
    assert!(refused(IssuerGrant { keys: vec![grant.keys[0].clone(); 2], ..grant.clone() }));
    let key = |n: usize| IssuerKey {
        key: secret(&n.to_string(), "issuer").public(),
        not_before: TimeMs(0),
        not_after: None,
    };
    let sorted = |count| {
        let mut keys: Vec<IssuerKey> = (0..count).map(key).collect();
        keys.sort_by_key(|key| key.key.to_bytes());
        keys
    };
    assert!(!refused(IssuerGrant { keys: sorted(16), ..grant.clone() }));
    assert!(refused(IssuerGrant { keys: sorted(17), ..grant.clone() }));
    let reversed = sorted(16).into_iter().rev().collect();
    assert!(refused(IssuerGrant { keys: reversed, ..grant }), "keys have one order");
}

#[test]
fn authorities_are_counted_and_distinct() {
    assert!(set(&authority_set(0, 0..64).encode()).is_ok());
    let members = authority_set(0, 0..64).authorities().to_vec();
    assert!(AuthoritySet::new(EpochId(0), vec![]).is_err());
    let more = [members.clone(), authority_set(0, 64..65).authorities().to_vec()].concat();
    assert!(matches!(AuthoritySet::new(EpochId(0), more), Err(DecodeError::Count { got: 65, .. })));
    assert!(AuthoritySet::new(EpochId(0), vec![members[0].clone(); 2]).is_err());
    for own in 0..5 {
        for other in 0..5 {
            let mut pair = members[..2].to_vec();
            let [first, second] = pair.as_mut_slice() else { panic!("two were taken") };
            let keys = |a: &markstein_proto::Authority| {
                [a.consensus_key, a.cosigner_key, a.log_key, a.governance_key, a.network_key]
            };
            let shared = keys(first)[own];
            *[
                &mut second.consensus_key,
                &mut second.cosigner_key,
                &mut second.log_key,
                &mut second.governance_key,
                &mut second.network_key,
            ][other] = shared;
            assert!(AuthoritySet::new(EpochId(0), pair).is_err(), "{own} {other}");
        }
    }
    for (n, f, q) in
        [(1, 0, 1), (2, 0, 2), (3, 0, 3), (4, 1, 3), (6, 1, 5), (7, 2, 5), (10, 3, 7), (64, 21, 43)]
    {
        let set = authority_set(0, 0..n);
        assert_eq!((set.faults(), set.quorum()), (f, q), "{n}");
    }
}

/// Half a million records of no bytes, and other counts far above what is allowed, are refused by counting alone.
#[test]
fn elements_are_counted_before_they_are_decoded() {
    let records = [0x12, 0].repeat(BATCH_MAX / 2);
    let error = Batch::decode(records).unwrap_err();
    assert!(matches!(error, DecodeError::Count { max: BATCH_RECORDS_MAX, got: 524_288, .. }), "{error}");
    assert!(matches!(Batch::decode(vec![0; BATCH_MAX + 1]), Err(DecodeError::TooLong { .. })));

    let nested = |outer: &[u64], field: u64, times: usize| {
        let inner = Field { number: field, wire_type: 2, value: vec![] }.write().repeat(times);
        outer.iter().rev().fold(inner, |value, n| Field { number: *n, wire_type: 2, value }.write())
    };
    let what = |result: Result<Vec<u8>, DecodeError>| match result {
        Err(DecodeError::Count { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(leaf(&nested(&[1], 6, 65))), "signatures of a batch head");
    assert_eq!(what(leaf(&nested(&[2, 3], 3, 17))), "keys of an issuer");
    assert_eq!(what(leaf(&nested(&[2, 3], 3, 5).repeat(4))), "keys of an issuer");
    assert_eq!(what(set(&nested(&[], 2, 65))), "authorities");
    assert_eq!(what(trust(&nested(&[], 5, 65))), "authorities");
    assert_eq!(what(trust(&nested(&[], 6, 1001))), "grants");
    assert_eq!(what(trust(&nested(&[6], 3, 16_001))), "keys of the issuers");
    assert_eq!(what(trust(&nested(&[7], 1, 257))), "document types");
    assert!(matches!(leaf(&[0; markstein_proto::LEAF_MAX + 1]), Err(DecodeError::TooLong { .. })));
}

#[test]
fn random_bytes_are_refused_without_a_panic() {
    let mut random = Random(7);
    let samples = samples();
    for round in 0..100_000_u64 {
        let bytes = if round % 2 == 0 {
            let length = random.below(80);
            random.bytes(length)
        } else {
            let mut bytes = samples[random.below(samples.len() as u64) as usize].bytes.clone();
            bytes.truncate(300);
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.below(256) as u8;
            bytes
        };
        let decode = DECODERS[random.below(4) as usize];
        if let Ok(again) = decode(&bytes) {
            assert_eq!(again, bytes);
        }
    }
}
