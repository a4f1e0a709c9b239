//! Repairs a simulated disk with the code that an operator runs: its tables go to a folder with a real store, damaged in
//! the same place, and what the repair makes there comes back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use markstein_node::{
    config::NodeConfig,
    repair::{Outcome, Report, repair},
    setup,
    storage::{Backend, Durability, ReadBytes, RocksStore, WriteOp, WriteSet, tables::TABLES},
};

use crate::simulation::{
    disk::{Disk, Harm},
    node::World,
};

/// Repairs the disk of an authority: a new one, and what was carried over to it.
pub fn repaired(world: &World, authority: usize, disk: &Disk) -> (Disk, Report) {
    let folder = tempfile::tempdir().unwrap();
    let config = configure(folder.path(), world, authority);
    setup::init(&config, &world.genesis).unwrap();
    let path = config.data_dir.join("db");
    let store = RocksStore::open(&path).unwrap();
    disk.copy_to(&store);
    match disk.harm().expect("something is damaged") {
        Harm::Entry(table, key) => {
            cut(&store, table, key);
            drop(store);
        }
        Harm::Log => {
            drop(store);
            tear(&path);
        }
    }
    let outcome = repair(&config, &world.genesis, |_| ()).unwrap();
    let Outcome::Repaired(report) = outcome else { panic!("{:?} is not found: {outcome:?}", disk.harm()) };
    let all: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
    (Disk::of(&RocksStore::open_to_read(&path, &all).unwrap()), report)
}

fn configure(folder: &Path, world: &World, authority: usize) -> NodeConfig {
    let id = &world.genesis.authorities.authorities()[authority].id;
    fs::write(folder.join("genesis.toml"), world.genesis.to_toml()).unwrap();
    let text = format!(
        "authority = \"{}\"\ngenesis = \"genesis.toml\"\ndata_dir = \"data\"\nkeys_dir = \"keys\"\n\
         [api]\nlisten = [\"127.0.0.1:0\"]\n[operator]\nlisten = \"127.0.0.1:0\"\n",
        id.as_str()
    );
    fs::write(folder.join("node.toml"), text).unwrap();
    fs::create_dir(folder.join("keys")).unwrap();
    NodeConfig::load(&folder.join("node.toml")).unwrap()
}

/// Takes the last byte of an entry: it stands for a block whose checksum is wrong, and no decoder takes it either.
fn cut(store: &RocksStore, table: &'static str, key: Vec<u8>) {
    let Some(mut value) = store.get(table, &key).unwrap() else { return };
    value.pop();
    let ops = vec![WriteOp::Put { table, key, value }];
    store.commit(WriteSet { ops }, Durability::Synced).unwrap();
}

/// Turns a bit in the middle of the store's log.
fn tear(store: &Path) {
    let is_log = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "log");
    let logs = fs::read_dir(store).unwrap().map(|entry| entry.unwrap().path()).filter(is_log);
    let log = logs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 16;
    fs::write(log, bytes).unwrap();
}
