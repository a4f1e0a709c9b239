//! Tests on stores and folders that are damaged, taken or not what they should be.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use markstein_proto::{Hash, LeafIndex};

use super::tables::{Batches, Headers, Journal, Meta, MetaKey};
use super::*;

const LEDGER: Hash = Hash([7; 32]);

/// Tells a child test which store is in use.
const TAKEN: &str = "MARKSTEIN_TEST_TAKEN_STORE";

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension() == Some(OsStr::new(extension)));
    files.sort();
    files
}

fn flip_byte(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn commit_journal(db: &Db, key: u64) {
    let mut writes = Writes::new();
    writes.put::<Journal>(&key, &vec![0x55; 100]);
    db.commit(writes, Durability::Synced).unwrap();
}

#[test]
fn a_store_is_never_created_by_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    assert_eq!(RocksStore::open(&path).unwrap_err(), StorageError::Missing { path: path.clone() });
    assert!(!path.exists(), "trying leaves nothing behind");
    fs::create_dir(&path).unwrap();
    assert_eq!(RocksStore::open(&path).unwrap_err(), StorageError::Missing { path: path.clone() });
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    fs::write(path.join("stranger"), "").unwrap();
    assert_eq!(RocksStore::create(&path).unwrap_err(), StorageError::Exists { path: path.clone() });
    assert!(RocksStore::open(&path).is_err());
}

#[test]
fn a_store_without_its_entry_point_is_damaged_not_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    drop(RocksStore::create(&path).unwrap());
    fs::remove_file(path.join("CURRENT")).unwrap();
    assert!(RocksStore::open(&path).unwrap_err().is_corruption());
}

#[test]
fn a_store_is_opened_once_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = RocksStore::create(&path).unwrap();
    assert_eq!(RocksStore::open(&path).unwrap_err(), StorageError::Locked { path: path.clone() });
    drop(store);
    RocksStore::open(&path).unwrap();
}

#[test]
fn a_store_in_use_by_another_process_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let _store = RocksStore::create(folder.path()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "storage::damage::open_in_another_process", "--ignored", "--nocapture"])
        .env(TAKEN, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "needs a store in use: started by a_store_in_use_by_another_process_is_locked"]
fn open_in_another_process() {
    let path = PathBuf::from(std::env::var_os(TAKEN).unwrap());
    assert_eq!(RocksStore::open(&path).unwrap_err(), StorageError::Locked { path });
}

/// Writes, damages each table file at its first entry, and gives what reading says.
fn read_damaged(extension: &str, write: impl Fn(&mut Writes), read: impl Fn(&Db) -> Option<StorageError>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Arc::new(RocksStore::create(&path).unwrap());
    let mut writes = Writes::new();
    write(&mut writes);
    Db::new(store.clone()).commit(writes, Durability::Synced).unwrap();
    store.flush();
    drop(store);

    let damaged = files(&path, extension);
    assert!(!damaged.is_empty());
    damaged.iter().for_each(|file| flip_byte(file, 100));
    let db = Db::new(Arc::new(RocksStore::open(&path).unwrap()));
    let error = read(&db).expect("damage is noticed");
    assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");
    assert!(read(&db).is_some(), "and again");
}

#[test]
fn a_flipped_byte_in_a_table_file_is_reported() {
    let write = |writes: &mut Writes| {
        for index in 0..100 {
            writes.put::<Headers>(&LeafIndex(index), &Hash::of(&[&index.to_be_bytes()]).0.to_vec());
        }
    };
    read_damaged("sst", write, |db| db.get::<Headers>(&LeafIndex(5)).err());
    read_damaged("sst", write, |db| db.range::<Headers>(..).find_map(Result::err));
    read_damaged("sst", write, |db| db.range_reverse::<Headers>(..).find_map(Result::err));
    read_damaged("sst", write, |db| db.snapshot().last_at_or_below::<Headers>(&LeafIndex(7)).err());
}

#[test]
fn a_flipped_byte_in_a_large_value_is_reported() {
    let write = |writes: &mut Writes| _ = writes.put::<Batches>(&LEDGER, &vec![0x55; 100_000]);
    read_damaged("blob", write, |db| db.get::<Batches>(&LEDGER).err());
    read_damaged("blob", write, |db| db.range::<Batches>(..).find_map(Result::err));
}

/// So many bytes that no compression makes less of.
fn noise(length: usize) -> Vec<u8> {
    (0_u64..).flat_map(|number| Hash::of(&[&number.to_be_bytes()]).0).take(length).collect()
}

/// An unchecked read brings a damaged value as it is, and a checked one after it must not take it for read: what nobody
/// verified stays out of the cache. Small values lie in table files, large ones in files of their own.
#[test]
fn what_was_read_unchecked_is_never_given_to_who_relies_on_it() {
    for (extension, length) in [("sst", 1_000), ("blob", 100_000)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let store = Arc::new(RocksStore::create(&path).unwrap());
        let value = noise(length);
        let mut writes = Writes::new();
        writes.put::<Batches>(&LEDGER, &value);
        Db::new(store.clone()).commit(writes, Durability::Synced).unwrap();
        store.flush();
        drop(store);

        let (file, at) = find(&files(&path, extension), &value[value.len() / 2..]);
        flip_byte(&file, at);
        let db = Db::new(Arc::new(RocksStore::open(&path).unwrap()));
        for _ in 0..3 {
            let unchecked = db.snapshot().get_unchecked::<Batches>(&LEDGER).unwrap().unwrap();
            assert!(unchecked.len() == value.len() && unchecked != value, "{extension}: the damage was read");
            let snapshot = db.snapshot();
            for checked in [db.get::<Batches>(&LEDGER), snapshot.get::<Batches>(&LEDGER)] {
                let error = checked.expect_err("what is damaged is not given");
                assert!(matches!(error, StorageError::Corrupt { .. }), "{extension}: {error:?}");
            }
            assert!(db.range::<Batches>(..).any(|entry| entry.is_err()), "{extension}");
        }
    }
}

/// The one of these files that holds these bytes, and where.
fn find(files: &[PathBuf], bytes: &[u8]) -> (PathBuf, usize) {
    let place = |file: &PathBuf| {
        let at = fs::read(file).unwrap().windows(bytes.len()).position(|window| window == bytes)?;
        Some((file.clone(), at))
    };
    files.iter().find_map(place).expect("one of them holds it as it is")
}

/// A store whose log holds ten synced commits and no table file; gives the log's path.
fn store_with_log(path: &Path) -> PathBuf {
    let db = Db::new(Arc::new(RocksStore::create(path).unwrap()));
    (0..10).for_each(|key| commit_journal(&db, key));
    drop(db);
    files(path, "log").pop().unwrap()
}

#[test]
fn a_torn_tail_of_the_log_is_tolerated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let log = store_with_log(&path);
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(length - 30).unwrap();
    let db = Db::new(Arc::new(RocksStore::open(&path).unwrap()));
    assert_eq!(db.last::<Journal>().unwrap().map(|(key, _)| key), Some(8), "only the torn commit is gone");
}

#[test]
fn a_tail_of_zeros_in_the_log_is_tolerated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let log = store_with_log(&path);
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(length + 5000).unwrap();
    let db = Db::new(Arc::new(RocksStore::open(&path).unwrap()));
    assert_eq!(db.last::<Journal>().unwrap().map(|(key, _)| key), Some(9));
}

#[test]
fn damage_within_the_log_is_reported_not_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let log = store_with_log(&path);
    flip_byte(&log, usize::try_from(fs::metadata(&log).unwrap().len() / 2).unwrap());
    let error = RocksStore::open(&path).unwrap_err();
    assert!(matches!(error, StorageError::CorruptStore { .. }), "{error:?}");
}

#[test]
fn a_lost_table_file_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let store = Arc::new(RocksStore::create(&path).unwrap());
    commit_journal(&Db::new(store.clone()), 1);
    store.flush();
    drop(store);
    files(&path, "sst").iter().for_each(|file| fs::remove_file(file).unwrap());
    assert!(RocksStore::open(&path).unwrap_err().is_corruption());
}

#[test]
fn a_data_folder_is_private_and_bound_to_its_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("var/node");
    assert!(!DataFolder::is_initialised(&path));
    let data = DataFolder::create(&path, &LEDGER).unwrap();
    assert!(DataFolder::is_initialised(&path));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!((data.ledger_id(), data.path()), (&LEDGER, path.as_path()));
    commit_journal(data.db(), 1);
    assert!(matches!(DataFolder::open(&path, &LEDGER), Err(FolderError::Locked { .. })));
    assert!(matches!(DataFolder::create(&path, &LEDGER), Err(FolderError::AlreadyInitialised { .. })));
    drop(data);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap(); // as some backups leave it
    let data = DataFolder::open(&path, &LEDGER).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(data.db().contains::<Journal>(&1).unwrap());
    drop(data);
    let other = Hash([8; 32]);
    let error = DataFolder::open(&path, &other).unwrap_err();
    assert!(
        matches!(error, FolderError::AnotherLedger { found: LEDGER, expected, .. } if expected == other),
        "{error}"
    );
}

#[test]
fn a_data_folder_takes_over_nothing_foreign() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert!(matches!(DataFolder::open(path, &LEDGER), Err(FolderError::NotInitialised { .. })));
    assert!(matches!(
        DataFolder::open(&path.join("absent"), &LEDGER),
        Err(FolderError::NotInitialised { .. })
    ));
    fs::write(path.join("holiday.jpg"), "").unwrap();
    let error = DataFolder::create(path, &LEDGER).unwrap_err();
    assert!(matches!(&error, FolderError::NotEmpty { found, .. } if found == "holiday.jpg"), "{error}");
    assert!(!DataFolder::is_initialised(path));
}

#[test]
fn an_interrupted_creation_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(RocksStore::create(&path.join("db.new")).unwrap());
    assert!(matches!(DataFolder::open(path, &LEDGER), Err(FolderError::NotInitialised { .. })));
    DataFolder::create(path, &LEDGER).unwrap();
    assert!(!path.join("db.new").exists());
}

#[test]
fn a_folder_being_created_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let held = fs::File::open(folder.path()).unwrap();
    held.lock().unwrap();
    assert!(matches!(DataFolder::create(folder.path(), &LEDGER), Err(FolderError::Locked { .. })));
}

fn put_meta(path: &Path, key: MetaKey, value: Vec<u8>) {
    let db = Db::new(Arc::new(RocksStore::open(&path.join("db")).unwrap()));
    let mut writes = Writes::new();
    writes.put::<Meta>(&key, &value);
    db.commit(writes, Durability::Synced).unwrap();
}

#[test]
fn a_newer_format_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(DataFolder::create(path, &LEDGER).unwrap());
    // A later release may also have tables that this one has never heard of.
    let mut raw = rocksdb::DB::open_cf(
        &rocksdb::Options::default(),
        path.join("db"),
        rocksdb::DB::list_cf(&rocksdb::Options::default(), path.join("db")).unwrap(),
    )
    .unwrap();
    raw.create_cf("of_tomorrow", &rocksdb::Options::default()).unwrap();
    drop(raw);
    DataFolder::open(path, &LEDGER).unwrap();
    put_meta(path, MetaKey::FormatVersion, 2_u32.encode_value());
    let error = DataFolder::open(path, &LEDGER).unwrap_err();
    assert!(matches!(error, FolderError::NewerFormat { found: 2, known: FORMAT_VERSION, .. }), "{error}");
}

#[test]
fn damaged_facts_about_the_store_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    drop(DataFolder::create(path, &LEDGER).unwrap());
    put_meta(path, MetaKey::LedgerId, vec![7; 31]);
    let error = DataFolder::open(path, &LEDGER).unwrap_err();
    assert!(matches!(&error, FolderError::Storage(error) if error.is_corruption()), "{error}");
}

#[test]
fn errors_are_sentences_that_say_what_to_do() {
    let locked = StorageError::Locked { path: "/var/lib/markstein/db".into() };
    assert_eq!(
        locked.to_string(),
        "the store in /var/lib/markstein/db is in use by another process; stop that one first, two must never share \
         a store"
    );
    let missing = FolderError::NotInitialised { path: "/var/lib/markstein".into() };
    assert_eq!(
        missing.to_string(),
        "/var/lib/markstein holds no ledger yet; run 'markstein-node init' first"
    );
}
