//! Damage on real folders: found at a start or harmless, and repaired without losing what the node promised.
//!
//! `MARKSTEIN_SEEDS` looks at more ways of damage, `MARKSTEIN_SEED` begins elsewhere.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{
    env, fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use markstein_node::{
    check::{Extent, at_start, check},
    config::NodeConfig,
    driver::Event,
    files::{SECRET_FILE, write_new},
    ledger::{cosigned_size, leaf_at},
    repair::{Outcome, Report, Step, repair},
    setup,
    storage::{
        DataFolder, Db, Durability, MemoryStore, Pair, Read, StorageError, Table, Writes,
        tables::{self, Batches, Evidence, Heights, Journal, Meta, MetaKey, Pool, PoolEntry},
    },
};
use markstein_proto::{
    EpochId, Hash, Height, LeafIndex, LogSize, TimeMs, View,
    consensus::{Ballot, Subject, Vote},
};
use rustix::process::{Signal, getpid, kill_process};
use support::{Ledger, START, batch, dump, genesis, key, random::Random};
use tempfile::TempDir;

const BLOCKS: u64 = 300;
const PARTS: usize = 3;
/// Tells the child where to work and at which step to end.
const CHILD: &str = "MARKSTEIN_TEST_REPAIR";

/// A node's folder with a few hundred blocks, a promise in the journal, and an accepted batch that waits.
struct Made {
    folder: TempDir,
    tip: Height,
    size: LogSize,
    leaves: Vec<Vec<u8>>,
    promise: Vec<u8>,
    waiting: Hash,
}

fn made() -> Made {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut ledger = Ledger::new();
    for number in 0..BLOCKS {
        let one = batch(START, number * 100..number * 100 + 1 + number % 40);
        runtime.block_on(ledger.pool.submit(one)).unwrap();
        assert!(ledger.cut());
    }
    ledger.after(0, Event::Tick).unwrap();
    let (tip, index) = ledger.db.last::<Heights>().unwrap().unwrap();
    let leaves = (0..=index.0).map(|i| leaf_at(&ledger.db, LeafIndex(i)).unwrap().unwrap()).collect();

    let subject = Subject { epoch: EpochId(0), view: View(10_000), ballot: Ballot::Nullify };
    let mut promise = vec![1];
    promise.extend(Vote::sign(&genesis().ledger_id(), subject, 0, &key(1)).encode());
    let waiting = batch(START, 90_000..90_400);
    let entry = PoolEntry { batch_id: waiting.id().0, accepted_at: TimeMs(START) };
    let mut more = Writes::new();
    more.put::<Journal>(&7, &promise).put::<Batches>(&entry.batch_id, &waiting.bytes().to_vec());
    more.put::<Pool>(&3, &entry).put::<Evidence>(&(View(2), 0), &vec![1, 2, 3]);
    ledger.db.commit(more, Durability::Synced).unwrap();

    let folder = TempDir::new().unwrap();
    configure(folder.path());
    fs::create_dir(folder.path().join("keys")).unwrap();
    let config = config(folder.path());
    setup::init(&config, &genesis()).unwrap();
    fill(&config.data_dir, &ledger.db);
    Made { folder, tip, size: LogSize(index.0 + 1), leaves, promise, waiting: entry.batch_id }
}

/// Writes what is in `from` in parts, so that the folder has table files, blob files and a log.
fn fill(data: &Path, from: &Db) {
    for part in 0..PARTS {
        let open = DataFolder::open(data, &genesis().ledger_id().0).unwrap();
        let mut writes = Writes::new();
        macro_rules! copy {
            ($($table:ident),*) => {$(copy::<tables::$table>(from, part, &mut writes);)*};
        }
        copy!(
            Meta,
            Headers,
            Heights,
            Batches,
            BatchAt,
            BatchAuthors,
            Outcomes,
            Pool,
            PublicRecords,
            PublicStandings,
            Tiles,
            StatusChunks,
            StatusNodes,
            StatusSteps,
            StatusHistory,
            ChangeHeads,
            Registry,
            AuthoritySets,
            Journal,
            Evidence,
            ProposedBatches,
            Finalizations,
            Cosignatures
        );
        open.db().commit(writes, Durability::Synced).unwrap();
    }
}

fn copy<T: Table>(from: &Db, part: usize, writes: &mut Writes) {
    for (_, entry) in from.range::<T>(..).enumerate().filter(|(number, _)| number % PARTS == part) {
        let (key, value) = entry.unwrap();
        writes.put::<T>(&key, &value);
    }
}

fn configure(folder: &Path) {
    write_new(&folder.join("genesis.toml"), genesis().to_toml().as_bytes(), SECRET_FILE).unwrap();
    let text = "authority = \"neustadt\"\ngenesis = \"genesis.toml\"\ndata_dir = \"data\"\nkeys_dir = \"keys\"\n\
                [api]\nlisten = [\"127.0.0.1:0\"]\n[operator]\nlisten = \"127.0.0.1:0\"\n";
    fs::write(folder.join("node.toml"), text).unwrap();
}

fn config(folder: &Path) -> NodeConfig {
    NodeConfig::load(&folder.join("node.toml")).unwrap()
}

/// What a start of `run` looks at; gives the log and the highest block, or the words of the refusal.
fn start(folder: &Path) -> Result<(Height, Vec<Vec<u8>>), String> {
    let open = DataFolder::open(&folder.join("data"), &genesis().ledger_id().0).map_err(|e| e.to_string())?;
    let found = at_start(open.db(), &genesis(), Some(0)).map_err(|e| e.to_string())?;
    let leaf = |index| leaf_at(open.db(), LeafIndex(index)).map_err(|e| e.to_string());
    let leaves = (0..found.size.0).map(|index| Ok(leaf(index)?.unwrap_or_default()));
    Ok((found.tip, leaves.collect::<Result<_, String>>()?))
}

fn run_repair(folder: &Path) -> Outcome {
    repair(&config(folder), &genesis(), |_| ()).unwrap()
}

/// Opens the folder after a repair and checks what a node would find in it.
fn assert_repaired(made: &Made, folder: &Path, report: &Report) {
    assert!(report.aside.is_dir(), "the damaged data is kept");
    let open = DataFolder::open(&folder.join("data"), &genesis().ledger_id().0).unwrap();
    let found = check(open.db(), &genesis(), Some(0), Extent::All, |_| ()).unwrap();
    assert_eq!(found.tip, Height(0));
    let has = |key| open.db().contains::<Meta>(&key).unwrap();
    let journal: Vec<_> = open.db().range::<Journal>(..).map(Result::unwrap).collect();
    assert!(has(MetaKey::CatchUpTo));
    match &report.journal {
        Ok((facts, view)) => {
            assert!(!has(MetaKey::JournalLost));
            assert_eq!(journal.len(), *facts);
            assert_eq!(journal[0], (7, made.promise.clone()), "the promise is kept");
            assert!(*view >= View(BLOCKS), "what was final is not voted on again: {view}");
            assert_eq!(cosigned_size(open.db()).unwrap(), made.size, "cosigned_size is kept");
        }
        Err(why) => {
            assert!(has(MetaKey::JournalLost), "{why}");
            assert!(journal.is_empty());
        }
    }
    let pooled = open.db().range::<Pool>(..).count();
    assert_eq!(pooled, report.accepted);
    let told = !report.lost.is_empty() || report.unlisted.is_some();
    assert!(pooled == 1 || told, "a batch that was accepted is kept, or named");
    assert!(report.lost.iter().all(|id| *id == made.waiting));
}

fn files(data: &Path, kind: &str) -> Vec<PathBuf> {
    let is_kind = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.ends_with(kind) || name.starts_with(kind)
    };
    let entries = fs::read_dir(data.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(is_kind).collect();
    files.retain(|path| fs::metadata(path).unwrap().len() > 0);
    files.sort();
    files
}

fn copy_folder(from: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(copy.path()).status();
    assert!(status.unwrap().success());
    copy
}

/// Flips a bit of a file, or cuts its end off; says what it did.
fn damage(path: &Path, random: &mut Random) -> String {
    let mut bytes = fs::read(path).unwrap();
    let (length, name) = (bytes.len() as u64, path.file_name().unwrap().to_string_lossy().into_owned());
    let what = if random.below(3) == 0 {
        let kept = random.below(length);
        bytes.truncate(kept as usize);
        format!("{name}, cut to {kept} of {length}")
    } else {
        let (at, bit) = (random.below(length), random.below(8));
        bytes[at as usize] ^= 1 << bit;
        format!("{name}, bit {bit} of byte {at} of {length}")
    };
    fs::write(path, bytes).unwrap();
    what
}

const KINDS: [&str; 5] = [".sst", ".blob", ".log", "MANIFEST", "CURRENT"];

#[test]
fn damage_is_found_or_harmless_and_a_repair_keeps_what_was_promised() {
    let number = |name, default| env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seed, seeds): (u64, u64) = (number("MARKSTEIN_SEED", 1), number("MARKSTEIN_SEEDS", 40));
    let made = made();
    let (mut refused, mut kept, mut lost) = (0, 0, 0);
    for seed in seed..seed + seeds {
        let (one, mut random) = (copy_folder(made.folder.path()), Random::new(seed));
        let kind = KINDS[(seed % KINDS.len() as u64) as usize];
        let files = files(&one.path().join("data"), kind);
        let file = &files[random.below(files.len() as u64) as usize];
        let what = format!("seed {seed}: {}", damage(file, &mut random));
        let two = copy_folder(one.path());

        let started = start(one.path());
        match &started {
            Ok((tip, leaves)) => {
                // A log that ends early looks like a power cut; what is there is what was written.
                assert!(kind == ".log" || *tip == made.tip, "{what}: blocks are missing");
                assert_eq!(leaves[..], made.leaves[..leaves.len()], "{what}");
            }
            Err(words) => {
                refused += 1;
                assert!(
                    words.contains("is damaged") && words.contains("markstein-node repair"),
                    "{what}: {words}"
                );
            }
        }
        // After a refusal, and of a folder that nothing but a repair has looked at.
        for folder in [one.path(), two.path()] {
            match run_repair(folder) {
                Outcome::Sound(_) => assert!(started.is_ok(), "{what}: refused, and a repair finds nothing"),
                Outcome::Repaired(report) => {
                    assert_repaired(&made, folder, &report);
                    kept += usize::from(report.journal.is_ok());
                    lost += usize::from(report.journal.is_err());
                    assert_eq!(start(folder).map(|(tip, _)| tip), Ok(Height(0)), "{what}");
                }
                Outcome::Continued => panic!("{what}: nothing was interrupted"),
            }
        }
    }
    eprintln!(
        "{seeds} ways of damage, {refused} refused; repaired: {kept} with their journal, {lost} without"
    );
    assert!(refused > 0 && kept > 0 && lost > 0);
}

/// Step by step: the child is killed at a step, the next repair goes on.
#[test]
fn a_repair_that_is_killed_at_any_step_goes_on() {
    let made = made();
    let tile = files(&made.folder.path().join("data"), ".blob").remove(0);
    let length = fs::metadata(&tile).unwrap().len();
    let mut bytes = fs::read(&tile).unwrap();
    bytes[(length / 2) as usize] ^= 1;
    fs::write(&tile, bytes).unwrap();
    let whole = copy_folder(made.folder.path());
    let Outcome::Repaired(report) = run_repair(whole.path()) else { panic!("it is damaged") };
    assert!(report.journal.is_ok(), "{report:?}");
    let expected = contents(whole.path());
    let mut steps = 0;
    loop {
        let folder = copy_folder(made.folder.path());
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "repair_that_is_killed", "--ignored", "--nocapture"])
            .env(CHILD, folder.path())
            .env("MARKSTEIN_TEST_STEP", steps.to_string())
            .output()
            .unwrap();
        if child.status.success() {
            break;
        }
        assert_eq!(child.status.signal(), Some(9), "{}", String::from_utf8_lossy(&child.stdout));
        let again = run_repair(folder.path());
        assert!(matches!(again, Outcome::Repaired(_) | Outcome::Continued | Outcome::Sound(_)), "{again:?}");
        assert_eq!(contents(folder.path()), expected, "killed at step {steps}");
        let aside = folder.path().join("data/db.damaged-1");
        assert!(aside.is_dir() && !folder.path().join("data/db.damaged-2").exists(), "one is kept");
        assert!(setup::check(&config(folder.path()), &genesis()).is_ok(), "the marker is as it was");
        steps += 1;
    }
    assert!(steps >= 6, "{steps}");
}

fn contents(folder: &Path) -> Vec<(&'static str, Vec<Pair>)> {
    dump(DataFolder::open(&folder.join("data"), &genesis().ledger_id().0).unwrap().db())
}

#[test]
#[ignore = "started by a_repair_that_is_killed_at_any_step_goes_on"]
fn repair_that_is_killed() {
    let folder = PathBuf::from(env::var_os(CHILD).unwrap());
    let mut left: u32 = env::var("MARKSTEIN_TEST_STEP").unwrap().parse().unwrap();
    repair(&config(&folder), &genesis(), |step| {
        if matches!(step, Step::Checking(_)) {
            return;
        }
        if left == 0 {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        left -= 1;
    })
    .unwrap();
}

#[test]
fn a_sound_folder_is_left_alone_and_a_node_that_runs_too() {
    let made = made();
    let before = contents(made.folder.path());
    assert!(matches!(run_repair(made.folder.path()), Outcome::Sound(found) if found.tip == made.tip));
    assert_eq!(contents(made.folder.path()), before);
    let open = DataFolder::open(&made.folder.path().join("data"), &genesis().ledger_id().0).unwrap();
    let refused = repair(&config(made.folder.path()), &genesis(), |_| ()).unwrap_err();
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    drop(open);
}

#[test]
fn what_does_not_belong_together_is_found_though_every_checksum_is_right() {
    let made = made();
    let wrong = |table: &str, change: &dyn Fn(&Db, &mut Writes)| {
        let folder = copy_folder(made.folder.path());
        let open = DataFolder::open(&folder.path().join("data"), &genesis().ledger_id().0).unwrap();
        let mut writes = Writes::new();
        change(open.db(), &mut writes);
        open.db().commit(writes, Durability::Synced).unwrap();
        let error = at_start(open.db(), &genesis(), Some(0)).unwrap_err();
        assert!(matches!(&error, StorageError::Corrupt { table: found, .. } if *found == table), "{error}");
    };
    let tip = |db: &Db| db.last::<Heights>().unwrap().unwrap();
    let last_batch = |db: &Db| db.last::<tables::BatchAt>().unwrap().unwrap();
    wrong("headers", &|db, writes| _ = writes.delete::<Heights>(&tip(db).0)); // one header too many
    wrong("headers", &|db, writes| _ = writes.delete::<tables::Headers>(&tip(db).1));
    wrong("batches", &|db, writes| _ = writes.delete::<Batches>(&last_batch(db).1));
    wrong("batch_at", &|db, writes| _ = writes.delete::<tables::BatchAt>(&last_batch(db).0));
    wrong("batch_authors", &|db, writes| _ = writes.delete::<tables::BatchAuthors>(&last_batch(db).0));
    wrong("status_steps", &|db, writes| _ = writes.put::<tables::StatusSteps>(&tip(db).1, &LeafIndex(4)));
    wrong("outcomes", &|db, writes| _ = writes.delete::<tables::Outcomes>(&last_batch(db).1));
    wrong("registry", &|_, writes| _ = writes.delete::<tables::Registry>(&support::issuer().to_string()));
    wrong("batches", &|_, writes| _ = writes.delete::<Batches>(&made.waiting));
    wrong("journal", &|_, writes| _ = writes.put::<Journal>(&9, &vec![1, 2, 3]));
    wrong("tiles", &|db, writes| {
        let (key, mut tile) = db.last_at_or_below::<tables::Tiles>(&(0, u64::MAX)).unwrap().unwrap();
        tile[0] ^= 1;
        writes.put::<tables::Tiles>(&key, &tile);
    });
    wrong("heights", &|_, writes| {
        writes.put::<Meta>(&MetaKey::CosignedSize, &(made.size.0 + 1).to_be_bytes().to_vec());
    });
}

/// A ledger of one authority whose `meta` says what a repair wrote there.
fn repaired(key: MetaKey, value: &[u8]) -> Ledger {
    let store = Arc::new(MemoryStore::new());
    let db = support::new_db(store.clone());
    let mut writes = Writes::new();
    writes.put::<Meta>(&key, &value.to_vec());
    db.commit(writes, Durability::Synced).unwrap();
    let mut ledger = Ledger::open(store, START + 1000);
    ledger.after(0, Event::Tick).unwrap();
    ledger
}

#[test]
fn a_repaired_node_votes_only_when_it_is_back_where_it_was() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let votes = |mut ledger: Ledger| {
        runtime.block_on(ledger.pool.submit(batch(START, 0..3))).unwrap();
        let (cut, votes) = (ledger.cut(), ledger.driver.engine().is_voting());
        assert_eq!(cut, votes);
        let cosigned = ledger.db.range::<tables::Cosignatures>(..).count();
        assert_eq!(cosigned > 0, votes, "who does not vote does not cosign");
        votes
    };
    assert!(!votes(repaired(MetaKey::CatchUpTo, &5_u64.to_be_bytes())), "view 5 was final here once");
    assert!(!votes(repaired(MetaKey::CosignedSize, &500_u64.to_be_bytes())), "500 leaves were cosigned once");
    assert!(!votes(repaired(MetaKey::JournalLost, b"gone")), "what was signed is not known");
    let back = repaired(MetaKey::CatchUpTo, &0_u64.to_be_bytes());
    assert!(!back.db.contains::<Meta>(&MetaKey::CatchUpTo).unwrap(), "it is a node like any other again");
    assert!(votes(back));
}
