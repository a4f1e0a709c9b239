//! What is done to a cluster: faults first, then heal, then demand progress on every honest node.

use super::{Cluster, Random, TRAITORS, Traitor};

/// Crashes, loss and partitions under load, with these traitors.
pub fn storm(seed: u64, n: u32, traitors: &[Traitor], prepare: impl Fn(&mut Cluster)) -> Cluster {
    let mut cluster = Cluster::new(seed, n, traitors);
    prepare(&mut cluster);
    cluster.start_all();
    cluster.duplicates = 5;
    cluster.loss = cluster.random.below(15);
    for _ in 0..20 {
        let at = cluster.random.below(20_000);
        cluster.submit(at);
    }
    cluster.chaos(500);
    cluster.run(22_000, |_| false);
    cluster.heal();
    cluster.submit(1);
    let deadline = cluster.now + 300_000;
    let done = cluster.run(deadline, Cluster::all_final);
    assert!(done, "seed {seed}, {n} nodes: no progress after healing\n{}", cluster.describe());
    cluster
}

/// As many traitors as a cluster of `n` bears, all kinds over the seeds.
pub fn traitors(seed: u64, n: u32) -> Vec<Traitor> {
    let mut random = Random::new(seed ^ 0x5EED);
    let mut one = || TRAITORS[random.below(TRAITORS.len() as u64) as usize];
    (0..(n - 1) / 3).map(|_| one()).collect()
}

/// A quiet network, whose nodes are told of a few batches.
pub fn quiet(n: u32, prepare: impl Fn(&mut Cluster)) {
    let mut cluster = Cluster::new(1, n, &[]);
    prepare(&mut cluster);
    cluster.start_all();
    cluster.delay = 1;
    for batch in 0..3 {
        let started = cluster.now;
        cluster.submit(10);
        assert!(cluster.run(started + 2000, Cluster::all_final), "{}", cluster.describe());
        let took = cluster.now - started - 10;
        assert!(took <= 30, "batch {batch} final after {took} ticks of {n} nodes");
        cluster.run(started + 60_000, |_| false);
        let steps = cluster.steps;
        cluster.run(started + 600_000, |_| false);
        assert_eq!(cluster.steps, steps, "{n} idle nodes say nothing: {}", cluster.describe());
    }
}

/// Only one node is told of a batch, on an idle network: the others must take part until it is final.
pub fn whisper(seed: u64, n: u32, prepare: impl Fn(&mut Cluster)) {
    let mut cluster = Cluster::new(seed, n, &[]);
    prepare(&mut cluster);
    cluster.start_all();
    cluster.run(10_000, |_| false);
    let node = cluster.random.below(u64::from(n)) as usize;
    cluster.submitted = 1;
    cluster.nodes[node].pool.insert(0);
    cluster.drive(node, markstein_consensus::Input::Pool(true));
    let done = cluster.run(60_000, Cluster::all_final);
    assert!(done, "seed {seed}: what one node knows becomes final\n{}", cluster.describe());
}
