//! Clusters from a seed: faults first, then heal, then demand progress on every node.
#![allow(clippy::unwrap_used)]

mod support;

use support::Cluster;

fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("MARKSTEIN_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(300);
    let first = std::env::var("MARKSTEIN_FIRST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    first..first + count
}

fn run(seed: u64, n: u32) -> Cluster {
    let mut cluster = Cluster::new(seed, n);
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

#[test]
fn four_authorities_agree_and_come_back() {
    for seed in seeds() {
        run(seed, 4);
    }
}

#[test]
fn seven_authorities_agree_and_come_back() {
    for seed in seeds() {
        run(seed, 7);
    }
}

#[test]
fn one_authority_is_enough_for_itself() {
    for seed in 0..20 {
        run(seed, 1);
    }
}

#[test]
fn a_quiet_network_needs_three_delays_and_then_falls_silent() {
    for n in [1, 4, 7] {
        let mut cluster = Cluster::new(1, n);
        cluster.delay = 1;
        cluster.submit(10);
        assert!(cluster.run(2000, Cluster::all_final), "{}", cluster.describe());
        let took = cluster.now - 10;
        assert!(took <= 30, "final after {took} ticks of {n} nodes");
        cluster.run(60_000, |_| false);
        let steps = cluster.steps;
        cluster.run(600_000, |_| false);
        assert_eq!(cluster.steps, steps, "{n} idle nodes say nothing: {}", cluster.describe());
    }
}
