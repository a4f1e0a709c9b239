//! A disk that does not give back what was written, and the repair of its node.

use std::{collections::BTreeSet, sync::Arc};

use markstein_node::{
    check::at_start,
    driver::DriverError,
    pool::PoolFailure,
    storage::{Db, StorageError},
};
use markstein_proto::Hash;

use crate::simulation::{
    cluster::{Cluster, Event},
    folder::repaired,
    signing::Seed,
};

/// Tables whose damage the scenario knows to look for, the journal among them.
const TABLES: [&str; 6] = ["headers", "heights", "batches", "batch_at", "tiles", "journal"];

/// What became of a damaged node.
pub struct Mended {
    /// What was damaged; `None` is the log of the store.
    pub table: Option<&'static str>,
    /// Whether the node met it while it ran.
    pub met: bool,
    /// Whether it met it when it was started again.
    pub refused: bool,
    /// Whether the journal was whole, so that it votes again.
    pub kept: bool,
}

/// One authority's disk is damaged while all go on. It stops and names the table where it meets that, or goes on as if
/// nothing were; it is repaired, comes back, and votes again if its journal was whole, and never where it was not.
pub fn damage(seed: impl Into<Seed>, n: usize) -> Mended {
    let seed = seed.into().with_real_signatures(); // what operators run knows no stand-ins
    let mut cluster = Cluster::new(seed, n, 1);
    let node = (seed.number % n as u64) as usize;
    cluster.start_all();
    cluster.network.loss = cluster.random.below(5);
    (0..12).for_each(|step| cluster.plan_submission(200 + 700 * step));
    let span = 2000 + cluster.random.below(2500);
    cluster.run(cluster.now + span, |_| false);
    let table = harm(&mut cluster, node);
    let at_work = cluster.nodes[node].live.is_some();
    let span = 1000 + cluster.random.below(3000);
    cluster.run(cluster.now + span, |_| false);
    let met = cluster.broken.contains(&node) && at_work;
    if !cluster.broken.contains(&node) {
        cluster.crash(node);
        cluster.start(node);
    }
    let refused = cluster.broken.contains(&node) && !met;
    cluster.run(cluster.now + 1000, |_| false);
    let is_damaged = cluster.nodes[node].disk.harm().is_some();
    let kept = !is_damaged || cluster.repair(node, table);
    cluster.network.heal();
    cluster.plan_submission(1);
    cluster.demand_progress();
    if kept {
        let until = cluster.now + 20_000;
        assert!(cluster.run(until, |cluster| cluster.is_voting(node)), "node {node} does not vote again");
    } else {
        assert!(!cluster.is_voting(node), "node {node} has no journal, and votes");
    }
    Mended { table, met, refused, kept }
}

/// Damages an entry of some table, or the log of the store.
fn harm(cluster: &mut Cluster, node: usize) -> Option<&'static str> {
    let (kind, entry) = (cluster.random.below(8) as usize, cluster.random.below(1000) as usize);
    let disk = Arc::clone(&cluster.nodes[node].disk);
    let mut table = TABLES.get(kind).copied();
    if let Some(name) = table {
        // The journal has entries only while something is decided.
        let until = cluster.now + 4000;
        while !disk.rot(name, entry) && cluster.now < until {
            cluster.run(cluster.now + 10, |_| false);
        }
        table = table.filter(|_| disk.harm().is_some());
    }
    if table.is_none() {
        disk.tear_log();
    }
    // A log, and a journal that is pruned soon, are read where the store is opened.
    if table.is_none_or(|table| table == "journal") {
        cluster.crash(node);
        cluster.start(node);
        let is_there = disk.harm().is_some();
        assert!(!is_there || cluster.broken.contains(&node), "node {node} opens a damaged store");
    }
    table
}

impl Cluster {
    /// What a start looks at before anything runs; only a damaged disk is worth the time.
    pub fn is_startable(&mut self, node: usize) -> bool {
        let disk = &self.nodes[node].disk;
        if disk.harm().is_none() {
            return true;
        }
        let own = (node < self.world.n).then_some(node as u32);
        let look = |()| at_start(&Db::new(disk.clone()), &self.world.genesis, own).map(drop);
        match disk.open().and_then(look) {
            Ok(()) => true,
            Err(error) => {
                self.meet_damage(node, &error);
                false
            }
        }
    }

    /// Whether a node ended because its disk is damaged: it waits for a repair then.
    pub fn is_broken_by(&mut self, node: usize, error: &DriverError) -> bool {
        let (DriverError::Storage(error) | DriverError::Pool(PoolFailure::Storage(error))) = error else {
            return false;
        };
        if !error.is_corruption() || self.nodes[node].disk.harm().is_none() {
            return false;
        }
        let error = error.clone();
        self.crash(node);
        self.meet_damage(node, &error);
        true
    }

    fn meet_damage(&mut self, node: usize, error: &StorageError) {
        assert!(error.is_corruption(), "node {node} takes damage for something else: {error}");
        self.broken.insert(node);
    }

    /// Repairs the node's disk and starts it. Tells whether its journal was kept.
    fn repair(&mut self, node: usize, table: Option<&'static str>) -> bool {
        self.crash(node);
        let (disk, report) = repaired(&self.world, node, &self.nodes[node].disk);
        let named = table.is_none_or(|table| report.damage.contains(&format!("'{table}'")));
        assert!(named, "{table:?} is damaged, and the repair says: {}", report.damage);
        let is_whole = table.is_some_and(|table| table != "journal");
        assert_eq!(report.journal.is_ok(), is_whole, "{table:?} is damaged: {:?}", report.journal);
        let lost: BTreeSet<Hash> = report.lost.iter().copied().collect();
        let unlisted = report.unlisted.is_some();
        for one in &mut self.clients.submissions {
            // That a batch was refused is not carried over: it is refused again when it is submitted again.
            if unlisted || one.late || lost.contains(&one.id.0) {
                one.accepted.remove(&node);
            }
        }
        if !is_whole {
            self.watch.votes.silence(node as u32);
        }
        self.nodes[node].disk = Arc::new(disk);
        self.broken.remove(&node);
        self.at(1, Event::Restart { node });
        is_whole
    }
}
