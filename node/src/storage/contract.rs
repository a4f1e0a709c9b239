//! What every backend must do: one suite, run on each.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::Arc;

use markstein_proto::{
    EpochId, Hash, Height, IssuerId, LeafIndex, LogSize, TimeMs, View as ViewNumber, status::Status,
};
use tempfile::TempDir;

use super::tables::*;
use super::*;

/// A backend that can be closed and opened again.
trait Harness: Sized {
    fn create() -> Self;
    fn backend(&self) -> Arc<dyn Backend>;
    /// Closes and opens it; no other handle may be left.
    fn reopen(self) -> Self;

    fn db(&self) -> Db {
        Db::new(self.backend())
    }
}

struct InMemory(Arc<MemoryStore>);

impl Harness for InMemory {
    fn create() -> Self {
        Self(Arc::default())
    }

    fn backend(&self) -> Arc<dyn Backend> {
        self.0.clone()
    }

    fn reopen(self) -> Self {
        self.0.crash();
        self
    }
}

struct OnDisk {
    store: Arc<RocksStore>,
    folder: TempDir,
}

impl Harness for OnDisk {
    fn create() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { store: Arc::new(RocksStore::create(&folder.path().join("db")).unwrap()), folder }
    }

    fn backend(&self) -> Arc<dyn Backend> {
        self.store.clone()
    }

    fn reopen(self) -> Self {
        let Self { store, folder } = self;
        Arc::into_inner(store).expect("no other handle is left");
        Self { store: Arc::new(RocksStore::open(&folder.path().join("db")).unwrap()), folder }
    }
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod in_memory {
            use super::Harness as _;
            $(#[test] fn $test() { super::$test(super::InMemory::create()); })*
        }
        mod on_disk {
            use super::Harness as _;
            $(#[test] fn $test() { super::$test(super::OnDisk::create()); })*
        }
    };
}

contract![
    puts_gets_and_deletes,
    the_last_write_on_a_key_counts,
    a_commit_spans_tables,
    a_commit_with_an_unknown_table_writes_nothing,
    numbers_sort_as_they_count,
    pairs_sort_by_first_then_second,
    ranges_respect_their_bounds,
    ranges_cross_pages,
    empty_ranges_are_empty,
    scans_respect_their_limit,
    finds_neighbours,
    tables_do_not_mix,
    snapshots_do_not_move,
    synced_commits_survive,
    an_empty_synced_commit_syncs_the_earlier_ones,
    damaged_keys_and_values_are_reported,
    a_range_ends_after_an_error,
    large_values_are_kept,
    versions_of_one_batch_stand_side_by_side,
];

fn put<T: Table>(db: &Db, key: &T::Key, value: &T::Value) {
    let mut writes = Writes::new();
    writes.put::<T>(key, value);
    db.commit(writes, Durability::Unsynced).unwrap();
}

fn put_journal(db: &Db, keys: impl IntoIterator<Item = u64>) {
    let mut writes = Writes::new();
    keys.into_iter().for_each(|key| _ = writes.put::<Journal>(&key, &key.to_string().into_bytes()));
    db.commit(writes, Durability::Unsynced).unwrap();
}

fn keys<T: Table>(range: Range<'_, T>) -> Vec<T::Key> {
    range.map(|entry| entry.unwrap().0).collect()
}

fn puts_gets_and_deletes(harness: impl Harness) {
    let db = harness.db();
    assert_eq!(db.get::<Journal>(&7).unwrap(), None);
    put::<Journal>(&db, &7, &b"vote".to_vec());
    assert_eq!(db.get::<Journal>(&7).unwrap(), Some(b"vote".to_vec()));
    assert!(db.contains::<Journal>(&7).unwrap());
    put::<Journal>(&db, &7, &Vec::new());
    assert_eq!(db.get::<Journal>(&7).unwrap(), Some(Vec::new()), "an empty value is a value");

    let mut writes = Writes::new();
    writes.delete::<Journal>(&7).delete::<Journal>(&8);
    db.commit(writes, Durability::Synced).unwrap();
    assert_eq!(db.get::<Journal>(&7).unwrap(), None);
    assert!(!db.contains::<Journal>(&7).unwrap());
}

fn the_last_write_on_a_key_counts(harness: impl Harness) {
    let db = harness.db();
    let (one, two) = (b"one".to_vec(), b"two".to_vec());
    let mut writes = Writes::new();
    writes.put::<Journal>(&1, &one).put::<Journal>(&1, &two).put::<Journal>(&2, &one).delete::<Journal>(&2);
    let mut more = Writes::new();
    more.delete::<Journal>(&3).put::<Journal>(&3, &two);
    assert_eq!(writes.append(more).len(), 6);
    db.commit(writes, Durability::Synced).unwrap();
    assert_eq!(keys(db.range::<Journal>(..)), [1, 3]);
    assert_eq!(db.get::<Journal>(&1).unwrap(), Some(two));
}

fn a_commit_spans_tables(harness: impl Harness) {
    let db = harness.db();
    let mut writes = Writes::new();
    writes.put::<Heights>(&Height(3), &LeafIndex(40));
    writes.put::<Headers>(&LeafIndex(40), &b"header".to_vec());
    db.commit(writes, Durability::Synced).unwrap();
    assert_eq!(db.get::<Heights>(&Height(3)).unwrap(), Some(LeafIndex(40)));
    assert_eq!(db.get::<Headers>(&LeafIndex(40)).unwrap(), Some(b"header".to_vec()));
}

/// A table that is on no list.
enum Unlisted {}

impl Table for Unlisted {
    const NAME: &'static str = "unlisted";
    const PAGE: usize = 1;
    type Key = u64;
    type Value = ();
}

fn a_commit_with_an_unknown_table_writes_nothing(harness: impl Harness) {
    let db = harness.db();
    let mut writes = Writes::new();
    writes.put::<Journal>(&1, &Vec::new()).put::<Unlisted>(&1, &());
    assert!(matches!(db.commit(writes, Durability::Synced), Err(StorageError::Write { .. })));
    assert_eq!(db.last::<Journal>().unwrap(), None);
    assert!(matches!(db.get::<Unlisted>(&1), Err(StorageError::Read { table: "unlisted", .. })));
    assert!(matches!(db.last::<Unlisted>(), Err(StorageError::Read { table: "unlisted", .. })));
    put_journal(&db, [1]);
}

fn numbers_sort_as_they_count(harness: impl Harness) {
    let db = harness.db();
    let ordered =
        [0, 1, 9, 10, 255, 256, 257, 65_535, 65_536, u64::from(u32::MAX) + 1, u64::MAX - 1, u64::MAX];
    put_journal(&db, ordered.into_iter().rev());
    assert_eq!(keys(db.range::<Journal>(..)), ordered);
    assert!(keys(db.range_reverse::<Journal>(..)).into_iter().rev().eq(ordered));
}

fn pairs_sort_by_first_then_second(harness: impl Harness) {
    let db = harness.db();
    let ordered = [(0, 300), (1, 2), (1, 256), (2, 0), (255, u64::MAX)];
    ordered.iter().rev().for_each(|key| put::<StatusNodes>(&db, key, &Hash::ZERO));
    assert_eq!(keys(db.range::<StatusNodes>(..)), ordered);
    assert_eq!(keys(db.range::<StatusNodes>((1, 0)..=(1, u64::MAX))), [(1, 2), (1, 256)]);

    // By commitment, issuer, status and place: an id that another one begins with comes before it.
    let place = |commitment, issuer, status, since| PublicPlace {
        commitment: Hash([commitment; 32]),
        issuer: IssuerId::new(issuer).unwrap(),
        status,
        since: LeafIndex(since),
    };
    let ordered = [
        place(1, "0", Status::Valid, 9),
        place(1, "a", Status::Valid, 300),
        place(1, "a", Status::Revoked, 2),
        place(1, "a", Status::Superseded, u64::MAX),
        place(1, "a-b", Status::Valid, 0),
        place(1, "a.b", Status::Suspended, 256),
        place(1, "ab", Status::Valid, 1),
        place(2, "a", Status::Valid, 0),
    ];
    ordered.iter().rev().for_each(|key| put::<PublicRecords>(&db, key, &key.since));
    assert_eq!(keys(db.range::<PublicRecords>(..)), ordered);
}

fn ranges_respect_their_bounds(harness: impl Harness) {
    let db = harness.db();
    put_journal(&db, [10, 20, 30, 40]);
    assert_eq!(keys(db.range::<Journal>(20..40)), [20, 30]);
    assert_eq!(keys(db.range::<Journal>(20..=40)), [20, 30, 40]);
    assert_eq!(keys(db.range::<Journal>(11..=39)), [20, 30]);
    assert_eq!(keys(db.range::<Journal>(..30)), [10, 20]);
    assert_eq!(keys(db.range::<Journal>(30..)), [30, 40]);
    let above_20 = (std::ops::Bound::Excluded(20), std::ops::Bound::Unbounded);
    assert_eq!(keys(db.range::<Journal>(above_20)), [30, 40]);
    assert_eq!(keys(db.range_reverse::<Journal>(20..40)), [30, 20]);
    assert_eq!(keys(db.range_reverse::<Journal>(above_20)), [40, 30]);
    assert_eq!(keys(db.range_reverse::<Journal>(..=30)), [30, 20, 10]);
}

fn ranges_cross_pages(harness: impl Harness) {
    let db = harness.db();
    let page = u64::try_from(Journal::PAGE).unwrap();
    for count in [page - 1, page, page + 1, 2 * page, 2 * page + 3] {
        put_journal(&db, 0..count);
        assert!(keys(db.range::<Journal>(..)).into_iter().eq(0..count), "{count} entries forward");
        assert!(keys(db.range_reverse::<Journal>(..)).into_iter().eq((0..count).rev()), "{count} in reverse");
    }
    assert!(keys(db.snapshot().range::<Journal>(5..page + 9)).into_iter().eq(5..page + 9));
}

fn empty_ranges_are_empty(harness: impl Harness) {
    let db = harness.db();
    assert_eq!(keys(db.range::<Journal>(..)), [0; 0]);
    put_journal(&db, [10, 20]);
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
    let reversed = 20..10;
    assert_eq!(keys(db.range::<Journal>(reversed.clone())), [0; 0]);
    assert_eq!(keys(db.range_reverse::<Journal>(reversed)), [0; 0]);
    assert_eq!(keys(db.range::<Journal>(10..10)), [0; 0]);
    assert_eq!(keys(db.range::<Journal>(11..=19)), [0; 0]);
    let none = (std::ops::Bound::Excluded(10), std::ops::Bound::Excluded(10));
    assert_eq!(keys(db.range::<Journal>(none)), [0; 0]);
}

fn scans_respect_their_limit(harness: impl Harness) {
    let db = harness.db();
    put_journal(&db, 0..5);
    let scan = |direction, limit| {
        let scan = Scan { from: vec![0; 8], to: None, direction, limit };
        let pairs = harness.backend().scan(Journal::NAME, &scan).unwrap();
        pairs.into_iter().map(|(key, _)| key[7]).collect::<Vec<_>>()
    };
    assert_eq!(scan(Direction::Forward, 0), [0; 0]);
    assert_eq!(scan(Direction::Forward, 2), [0, 1]);
    assert_eq!(scan(Direction::Reverse, 2), [4, 3]);
    assert_eq!(scan(Direction::Reverse, 9), [4, 3, 2, 1, 0]);
}

fn finds_neighbours(harness: impl Harness) {
    let db = harness.db();
    let key = |entry: Option<(u64, Vec<u8>)>| entry.map(|(key, _)| key);
    assert_eq!(db.last_at_or_below::<Journal>(&u64::MAX).unwrap(), None);
    assert_eq!(db.last::<Journal>().unwrap(), None);
    put_journal(&db, [10, 20, 300]);
    for (at, below, above) in
        [(0, None, Some(10)), (10, Some(10), Some(10)), (19, Some(10), Some(20)), (301, Some(300), None)]
    {
        assert_eq!(key(db.last_at_or_below::<Journal>(&at).unwrap()), below, "at or below {at}");
        assert_eq!(key(db.first_at_or_above::<Journal>(&at).unwrap()), above, "at or above {at}");
    }
    assert_eq!(db.last_at_or_below::<Journal>(&u64::MAX).unwrap(), Some((300, b"300".to_vec())));
    assert_eq!(key(db.first::<Journal>().unwrap()), Some(10));
    assert_eq!(key(db.last::<Journal>().unwrap()), Some(300));
}

fn tables_do_not_mix(harness: impl Harness) {
    let db = harness.db();
    put::<Headers>(&db, &LeafIndex(1), &b"header".to_vec());
    put::<Finalizations>(&db, &Height(2), &b"finalization".to_vec());
    assert_eq!(db.last::<Journal>().unwrap(), None);
    assert_eq!(db.get::<Finalizations>(&Height(1)).unwrap(), None);
    assert_eq!(keys(db.range::<Headers>(..)), [LeafIndex(1)]);
}

fn snapshots_do_not_move(harness: impl Harness) {
    let db = harness.db();
    put_journal(&db, [1, 2]);
    let view = db.snapshot();
    let mut writes = Writes::new();
    writes.put::<Journal>(&1, &b"changed".to_vec()).delete::<Journal>(&2).put::<Journal>(&3, &Vec::new());
    writes.put::<Heights>(&Height(1), &LeafIndex(1));
    db.commit(writes, Durability::Synced).unwrap();

    assert_eq!(view.get::<Journal>(&1).unwrap(), Some(b"1".to_vec()));
    assert_eq!(view.get::<Journal>(&3).unwrap(), None);
    assert_eq!(view.get::<Heights>(&Height(1)).unwrap(), None);
    assert_eq!(keys(view.range::<Journal>(..)), [1, 2]);
    assert_eq!(view.last::<Journal>().unwrap(), Some((2, b"2".to_vec())));
    drop(view);
    assert_eq!(keys(db.range::<Journal>(..)), [1, 3]);
    assert_eq!(keys(db.snapshot().range_reverse::<Journal>(..)), [3, 1]);
}

fn synced_commits_survive(harness: impl Harness) {
    let db = harness.db();
    put_journal(&db, [1, 2]);
    let mut writes = Writes::new();
    writes
        .put::<Journal>(&3, &b"promise".to_vec())
        .delete::<Journal>(&1)
        .put::<Heights>(&Height(0), &LeafIndex(4));
    db.commit(writes, Durability::Synced).unwrap();
    drop(db);
    let db = harness.reopen();
    let db = db.db();
    assert_eq!(keys(db.range::<Journal>(..)), [2, 3], "synced, and what came before");
    assert_eq!(db.get::<Journal>(&3).unwrap(), Some(b"promise".to_vec()));
    assert_eq!(db.get::<Heights>(&Height(0)).unwrap(), Some(LeafIndex(4)));
}

fn an_empty_synced_commit_syncs_the_earlier_ones(harness: impl Harness) {
    let db = harness.db();
    put_journal(&db, [1]);
    db.commit(Writes::new(), Durability::Unsynced).unwrap();
    db.commit(Writes::new(), Durability::Synced).unwrap();
    drop(db);
    assert_eq!(keys(harness.reopen().db().range::<Journal>(..)), [1]);
}

fn put_raw(harness: &impl Harness, table: &'static str, key: &[u8], value: &[u8]) {
    let op = WriteOp::Put { table, key: key.to_vec(), value: value.to_vec() };
    harness.backend().commit(WriteSet { ops: vec![op] }, Durability::Synced).unwrap();
}

fn damaged_keys_and_values_are_reported(harness: impl Harness) {
    let db = harness.db();
    put_raw(&harness, Heights::NAME, &Height(1).encode_key(), &[1, 2, 3]);
    let StorageError::Corrupt { table, reason } = db.get::<Heights>(&Height(1)).unwrap_err() else {
        panic!("a damaged value is reported as such")
    };
    assert_eq!((table, reason.as_str()), ("heights", "a value of 3 bytes is none of this table's"));
    assert!(db.last::<Heights>().unwrap_err().is_corruption());

    put_raw(&harness, Journal::NAME, &[9; 7], b"");
    assert!(db.first::<Journal>().unwrap_err().is_corruption());
    put_raw(&harness, Meta::NAME, b"no such entry", b"");
    assert!(db.snapshot().first::<Meta>().unwrap_err().is_corruption());
}

fn a_range_ends_after_an_error(harness: impl Harness) {
    put_raw(&harness, Heights::NAME, &Height(1).encode_key(), &[]);
    put_raw(&harness, Heights::NAME, &Height(2).encode_key(), &LeafIndex(5).encode_value());
    let db = harness.db();
    let mut range = db.range::<Heights>(..);
    assert!(range.next().unwrap().is_err());
    assert!(range.next().is_none());
    assert!(range.next().is_none());
}

fn large_values_are_kept(harness: impl Harness) {
    let db = harness.db();
    for byte in 0..9 {
        put::<Batches>(&db, &Hash([byte; 32]), &vec![byte; 1 << 20]);
    }
    db.commit(Writes::new(), Durability::Synced).unwrap();
    drop(db);
    let harness = harness.reopen();
    let db = harness.db();
    let entries: Vec<_> = db.range::<Batches>(..).map(Result::unwrap).collect();
    assert_eq!(entries.len(), 9);
    assert!(entries.iter().all(|(id, bytes)| *bytes == vec![id.0[0]; 1 << 20]));
}

fn versions_of_one_batch_stand_side_by_side(harness: impl Harness) {
    let db = harness.db();
    let (one, two) = (Hash([1; 32]), Hash([2; 32]));
    for (id, head) in [(two, one), (one, two), (one, one)] {
        put::<ProposedBatches>(&db, &(id, head), &vec![id.0[0] * 16 + head.0[0]; 1 << 20]);
    }
    db.commit(Writes::new(), Durability::Synced).unwrap();
    drop(db);
    let harness = harness.reopen();
    let db = harness.db();
    let of_one = db.range::<ProposedBatches>((one, Hash::ZERO)..=(one, Hash([255; 32])));
    let of_one: Vec<_> = of_one.map(|entry| entry.unwrap()).map(|(key, bytes)| (key, bytes[0])).collect();
    assert_eq!(of_one, [((one, one), 0x11), ((one, two), 0x12)]);
    let mut writes = Writes::new();
    writes.delete::<ProposedBatches>(&(one, two));
    db.commit(writes, Durability::Unsynced).unwrap();
    assert_eq!(keys(db.range::<ProposedBatches>(..)), [(one, one), (two, one)]);
}

#[test]
fn a_power_cut_takes_unsynced_commits_and_no_others() {
    let store = Arc::new(MemoryStore::new());
    let db = Db::new(store.clone());
    put_journal(&db, [1]);
    db.commit(Writes::new(), Durability::Synced).unwrap();
    put_journal(&db, [2]);
    put_journal(&db, [3]);
    let mut writes = Writes::new();
    writes.delete::<Journal>(&1).put::<Journal>(&2, &Vec::new()).delete::<Journal>(&2);
    db.commit(writes, Durability::Unsynced).unwrap();
    assert_eq!(store.unsynced(), 3);
    assert_eq!(keys(db.range::<Journal>(..)), [3]);

    store.crash_keeping(2);
    assert_eq!(keys(db.range::<Journal>(..)), [1, 2, 3]);
    assert_eq!(db.get::<Journal>(&2).unwrap(), Some(b"2".to_vec()));
    store.crash();
    assert_eq!(keys(db.range::<Journal>(..)), [1, 2, 3], "what a crash left is on the disk");
    put_journal(&db, [4]);
    store.crash();
    assert_eq!(keys(db.range::<Journal>(..)), [1, 2, 3]);
}

#[test]
fn a_failed_write_poisons_memory() {
    let store = Arc::new(MemoryStore::new());
    let db = Db::new(store.clone());
    store.fail_after(1, WriteFailure::NoSpace);
    put_journal(&db, [1]);
    let mut writes = Writes::new();
    writes.put::<Journal>(&2, &Vec::new());
    let error = db.commit(writes.clone(), Durability::Synced).unwrap_err();
    assert!(matches!(error, StorageError::NoSpace { .. }));
    let poisoned = StorageError::Poisoned { cause: error.to_string() };
    assert_eq!(db.commit(writes.clone(), Durability::Synced), Err(poisoned.clone()));
    assert_eq!(db.commit(Writes::new(), Durability::Synced), Err(poisoned));
    assert_eq!(keys(db.range::<Journal>(..)), [1], "reading goes on");
    store.reopen();
    db.commit(writes, Durability::Synced).unwrap();
    assert_eq!(keys(db.range::<Journal>(..)), [1, 2]);
}

/// Encodes and decodes; no shorter or longer bytes may decode to a value of fixed length.
fn round_trip<T: Fixed + Debug + PartialEq>(values: impl IntoIterator<Item = T>) {
    for value in values {
        let bytes = value.encode_key();
        assert_eq!(bytes.len(), T::LEN);
        assert_eq!(bytes, value.encode_value());
        assert_eq!(T::decode_key(&bytes), Some(value));
        assert_eq!(T::decode_value(&[&bytes[..], &[0]].concat()), None);
        assert!((0..bytes.len()).all(|len| T::decode_key(&bytes[..len]).is_none()));
    }
}

#[test]
fn codecs_round_trip() {
    let numbers = [0, 1, 255, 256, u64::MAX];
    round_trip(numbers);
    round_trip(numbers.map(Height));
    round_trip(numbers.map(ViewNumber));
    round_trip(numbers.map(EpochId));
    round_trip(numbers.map(LeafIndex));
    round_trip(numbers.map(LogSize));
    round_trip(numbers.map(TimeMs));
    round_trip(numbers.map(|number| (7_u8, number)));
    round_trip([0, 77, u32::MAX]);
    round_trip([0, 77, u16::MAX]);
    round_trip([()]);
    round_trip((0..4).map(Status::from_bits));
    round_trip([(LeafIndex(3), LeafIndex(1 << 40))]);
    assert_eq!(Status::decode_value(&[4]), None);
    round_trip([Hash([3; 32])]);
    round_trip([(Hash([3; 32]), LeafIndex(9))]);
    round_trip([PoolEntry { batch_id: Hash([4; 32]), accepted_at: TimeMs(5) }]);

    assert_eq!(String::decode_key(&"amt-münchen".to_owned().encode_key()).as_deref(), Some("amt-münchen"));
    assert_eq!(String::decode_value(&[0xff]), None);
    assert_eq!(Vec::<u8>::decode_value(&vec![1, 2].encode_value()), Some(vec![1, 2]));
    assert!(MetaKey::ALL.into_iter().all(|key| MetaKey::decode_key(&key.encode_key()) == Some(key)));
}

#[test]
fn outcomes_round_trip_and_have_frozen_bytes() {
    let settled = Outcome::Final { height: Height(1), head_index: LeafIndex(0x0203) };
    let refused = Outcome::Refused { reason: 0x0405, at: TimeMs(6) };
    assert_eq!(settled.encode_value(), [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 3]);
    assert_eq!(refused.encode_value(), [2, 4, 5, 0, 0, 0, 0, 0, 0, 0, 6]);
    for outcome in [settled, refused] {
        let bytes = outcome.encode_value();
        assert_eq!(Outcome::decode_value(&bytes), Some(outcome));
        assert!((0..bytes.len()).all(|len| Outcome::decode_value(&bytes[..len]).is_none()));
        assert_eq!(Outcome::decode_value(&[&bytes[..], &[0]].concat()), None);
    }
    assert_eq!(Outcome::decode_value(&[3; 17]), None);
}

#[test]
fn authors_of_batches_round_trip() {
    let issuer = || IssuerId::new("amt.example").unwrap();
    let mixed: Vec<bool> = (0..19).map(|n| n != 3 && n != 18).collect();
    for anchors in [vec![true], vec![true; 16], vec![false], vec![false; 8], mixed] {
        let author = BatchAuthor::new(issuer(), anchors.iter().copied());
        let bytes = author.encode_value();
        assert_eq!(BatchAuthor::decode_value(&bytes), Some(author.clone()));
        let found: Vec<bool> = (0..anchors.len() as u32 + 20).map(|n| author.is_anchor(n)).collect();
        assert!(found[..anchors.len()] == anchors && !found[anchors.len()..].contains(&true));
        for bad in [[&bytes[..], &[1]].concat(), [&bytes[..], &[0]].concat(), bytes[..10].to_vec()] {
            let read = BatchAuthor::decode_value(&bad);
            assert!(read.is_none_or(|other| other != author && other.encode_value() == bad));
        }
    }
}

#[test]
fn table_names_are_distinct() {
    let names: std::collections::BTreeSet<_> = TABLES.iter().map(|table| table.name).collect();
    assert_eq!(names.len(), TABLES.len());
    assert!(!names.contains("default"), "RocksDB keeps this name for itself");
}
