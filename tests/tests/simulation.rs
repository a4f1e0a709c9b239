//! The simulation over many seeds. One of them again, or more of them: `cargo sim --help`.

use std::collections::BTreeSet;

use markstein_tests::simulation::{
    Hostile, Mended, STORM, catch_up, damage, each_seed, four_with_crashes, four_with_one_silent,
    four_with_twins, hostile_issuer, long_catch_up, names_every_traitor, outage, outage_after_a_cosignature,
    restored_copy, seven_with_twins, skewed_clock, slow_links, storm, storm_with_traitors,
};

#[test]
fn four_authorities_agree_and_come_back() {
    let mut changed = 0;
    each_seed("four_authorities_agree_and_come_back", 300, |seed| changed += storm(seed, 4, STORM).changed);
    assert!(changed > 0, "some documents are revoked, suspended or superseded");
}

#[test]
fn seven_authorities_agree_and_come_back() {
    each_seed("seven_authorities_agree_and_come_back", 300, |seed| drop(storm(seed, 7, STORM)));
}

#[test]
fn a_traitor_of_four_changes_nothing() {
    each_seed("a_traitor_of_four_changes_nothing", 150, |seed| drop(storm_with_traitors(seed, 4, STORM)));
}

#[test]
fn two_traitors_of_seven_change_nothing() {
    each_seed("two_traitors_of_seven_change_nothing", 150, |seed| drop(storm_with_traitors(seed, 7, STORM)));
}

#[test]
fn the_same_seed_is_the_same_run_byte_for_byte() {
    for seed in 0..3 {
        assert_eq!(storm_with_traitors(seed, 4, STORM), storm_with_traitors(seed, 4, STORM));
    }
    assert_ne!(storm(0, 4, STORM).trace, storm(1, 4, STORM).trace);
}

#[test]
fn every_traitor_is_named() {
    names_every_traitor();
}

#[test]
fn what_was_accepted_outlives_an_outage_of_all() {
    let mut refused = 0;
    each_seed("what_was_accepted_outlives_an_outage_of_all", 60, |seed| refused += outage(seed, 4));
    assert!(refused > 0, "some were too old at last");
}

#[test]
fn links_slower_than_a_view_halt_nothing() {
    each_seed("links_slower_than_a_view_halt_nothing", 40, |seed| slow_links(seed, 4));
}

#[test]
fn a_clock_that_is_far_off_is_named() {
    let mut skews = Vec::new();
    each_seed("a_clock_that_is_far_off_is_named", 24, |seed| skews.push(skewed_clock(seed)));
    assert!(skews.iter().any(|ms| *ms > 0) && skews.iter().any(|ms| *ms < 0), "{skews:?}");
}

#[test]
fn catch_up_goes_on_after_a_power_cut_at_any_commit() {
    each_seed("catch_up_goes_on_after_a_power_cut_at_any_commit", 40, |seed| catch_up(seed, 4));
}

#[test]
fn more_blocks_than_one_answer_holds_are_caught_up_among_liars() {
    let mut named = BTreeSet::new();
    each_seed("more_blocks_than_one_answer_holds_are_caught_up_among_liars", 4, |seed| {
        named.extend(long_catch_up(seed));
    });
    assert!(named.contains("bad_range") && named.contains("bad_batches"), "{named:?}");
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

#[test]
fn four_authorities_stand_the_hardest_crashes() {
    each_seed("four_authorities_stand_the_hardest_crashes", 40, |seed| drop(four_with_crashes(seed)));
}

#[test]
fn one_silent_authority_of_four_halts_nothing() {
    each_seed("one_silent_authority_of_four_halts_nothing", 40, |seed| drop(four_with_one_silent(seed)));
}

#[test]
fn twins_of_one_of_four_change_nothing() {
    let mut caught = 0;
    each_seed("twins_of_one_of_four_change_nothing", 40, |seed| {
        caught += usize::from(four_with_twins(seed).named.contains("equivocation"));
    });
    assert!(caught > 0, "the two do contradict each other");
}

#[test]
fn twins_of_two_of_seven_change_nothing() {
    each_seed("twins_of_two_of_seven_change_nothing", 25, |seed| drop(seven_with_twins(seed)));
}

#[test]
fn a_damaged_node_is_repaired_and_votes_only_where_it_remembers() {
    let mut all = Vec::new();
    each_seed("a_damaged_node_is_repaired_and_votes_only_where_it_remembers", 24, |seed| {
        all.push(damage(seed, if seed.is_multiple_of(3) { 7 } else { 4 }));
    });
    let some = |is: fn(&Mended) -> bool| all.iter().any(is);
    assert!(some(|one| one.met) && some(|one| one.refused), "damage is met at work, and at a start");
    assert!(some(|one| one.kept) && some(|one| one.table == Some("journal")), "journals are kept, and lost");
}

#[test]
fn who_cosigned_right_before_an_outage_of_all_cosigns_nothing_older() {
    each_seed("who_cosigned_right_before_an_outage_of_all_cosigns_nothing_older", 100, |seed| {
        outage_after_a_cosignature(seed, 4);
    });
}

/// Milliseconds in which hostile issuers are, in a test.
const HOSTILE: u64 = 5_000;

fn honest_issuer_is_served(test: &str, hostile: Hostile) {
    let mut waited = Vec::new();
    each_seed(test, 2, |seed| waited.push(hostile_issuer(seed, hostile, HOSTILE).waited_ms));
    assert!(waited.iter().all(|ms| *ms > 0), "an honest issuer wrote something: {waited:?}");
}

#[test]
fn an_issuer_without_others_waits_for_next_to_nothing() {
    each_seed("an_issuer_without_others_waits_for_next_to_nothing", 10, |seed| {
        let waited = hostile_issuer(seed, Hostile::Nobody, HOSTILE).waited_ms;
        assert!(waited < 50, "{waited} ms on an idle network");
    });
}

#[test]
fn colliding_changes_hold_up_nobody_else() {
    honest_issuer_is_served("colliding_changes_hold_up_nobody_else", Hostile::Colliding);
}

#[test]
fn a_ledger_that_starts_anew_with_full_pools_goes_on() {
    honest_issuer_is_served("a_ledger_that_starts_anew_with_full_pools_goes_on", Hostile::Restart);
}

#[test]
fn a_flood_of_dear_and_refused_batches_holds_up_nobody_else() {
    honest_issuer_is_served("a_flood_of_dear_and_refused_batches_holds_up_nobody_else", Hostile::Dear);
}

#[test]
fn pools_that_differ_do_not_fetch_from_each_other_for_ever() {
    honest_issuer_is_served("pools_that_differ_do_not_fetch_from_each_other_for_ever", Hostile::Divided);
}

#[test]
fn one_senders_huge_backlog_holds_up_nobody_else() {
    honest_issuer_is_served("one_senders_huge_backlog_holds_up_nobody_else", Hostile::Backlog);
}

#[test]
fn pools_that_are_full_do_not_ask_for_more() {
    honest_issuer_is_served("pools_that_are_full_do_not_ask_for_more", Hostile::Full);
}

#[test]
fn what_is_accepted_of_a_crowd_is_final_soon() {
    honest_issuer_is_served("what_is_accepted_of_a_crowd_is_final_soon", Hostile::Crowd);
}
