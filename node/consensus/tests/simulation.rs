//! Clusters from a seed: faults first, then heal, then demand progress on every node.
//!
//! One seed again: `MARKSTEIN_FIRST_SEED=17 MARKSTEIN_SEEDS=1 cargo test -p markstein-consensus --test simulation`.
#![allow(clippy::unwrap_used)]

mod support;

use support::{quiet, storm, traitors, whisper};

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|s| s.parse().ok());
    let first = number("MARKSTEIN_FIRST_SEED").unwrap_or(0);
    first..first + number("MARKSTEIN_SEEDS").unwrap_or(300)
}

#[test]
fn four_authorities_agree_and_come_back() {
    seeds().for_each(|seed| drop(storm(seed, 4, &[], |_| ())));
}

#[test]
fn seven_authorities_agree_and_come_back() {
    seeds().for_each(|seed| drop(storm(seed, 7, &[], |_| ())));
}

#[test]
fn one_traitor_of_four_changes_nothing() {
    let caught: usize = seeds().map(|seed| storm(seed, 4, &traitors(seed, 4), |_| ()).evidence).sum();
    assert!(caught > 0, "equivocators get caught");
}

#[test]
fn two_traitors_of_seven_change_nothing() {
    seeds().for_each(|seed| drop(storm(seed, 7, &traitors(seed, 7), |_| ())));
}

#[test]
fn one_authority_is_enough_for_itself() {
    (0..20).for_each(|seed| drop(storm(seed, 1, &[], |_| ())));
}

#[test]
fn a_quiet_network_needs_three_delays_and_then_falls_silent() {
    [1, 4, 7].into_iter().for_each(|n| quiet(n, |_| ()));
}

#[test]
fn a_batch_that_one_node_knows_becomes_final() {
    seeds().for_each(|seed| whisper(seed, 4, |_| ()));
}
