//! Whole clusters from a seed, with the real driver, execution, journal, pool and signatures: faults first, then heal,
//! then demand progress and silence.
//!
//! One seed again: `MARKSTEIN_FIRST_SEED=17 MARKSTEIN_SEEDS=1 cargo test --release -p markstein-node --test simulation`.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod clients;
mod cluster;
mod demands;
mod disk;
mod faults;
mod invariants;
mod network;
mod node;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
mod traitors;
mod variant;

use std::collections::BTreeSet;

use scenarios::{catch_up, each_seed, outage, restored_copy, storm, storm_with_traitors, traitor};

#[test]
fn four_authorities_agree_and_come_back() {
    each_seed("four_authorities_agree_and_come_back", 300, |seed| storm(seed, 4));
}

#[test]
fn seven_authorities_agree_and_come_back() {
    each_seed("seven_authorities_agree_and_come_back", 300, |seed| storm(seed, 7));
}

#[test]
fn a_traitor_of_four_changes_nothing() {
    each_seed("a_traitor_of_four_changes_nothing", 150, |seed| storm_with_traitors(seed, 4));
}

#[test]
fn two_traitors_of_seven_change_nothing() {
    each_seed("two_traitors_of_seven_change_nothing", 150, |seed| storm_with_traitors(seed, 7));
}

#[test]
fn every_traitor_is_named() {
    let names: Vec<_> = traitors::all().iter().map(|traitor| (traitor.name(), traitor.kinds())).collect();
    for (number, (name, kinds)) in names.into_iter().enumerate() {
        let mut named = BTreeSet::new();
        each_seed("every_traitor_is_named", 4, |seed| {
            named.extend(traitor(seed, 4, traitors::all().swap_remove(number)));
        });
        let missing: Vec<_> = kinds.iter().filter(|kind| !named.contains(*kind)).collect();
        assert!(missing.is_empty(), "the {name} is named {named:?}, and not {missing:?}");
    }
}

#[test]
fn what_was_accepted_outlives_an_outage_of_all() {
    each_seed("what_was_accepted_outlives_an_outage_of_all", 60, |seed| outage(seed, 4));
}

#[test]
fn catch_up_goes_on_after_a_power_cut_at_any_commit() {
    each_seed("catch_up_goes_on_after_a_power_cut_at_any_commit", 40, |seed| catch_up(seed, 4));
}

#[test]
fn a_restored_copy_does_not_vote_where_it_voted() {
    let mut forgot = 0;
    each_seed("a_restored_copy_does_not_vote_where_it_voted", 40, |seed| {
        let n = if seed.is_multiple_of(2) { 4 } else { 7 };
        forgot += usize::from(restored_copy(seed, n));
    });
    assert!(forgot > 0, "some are told in time what they said");
}
