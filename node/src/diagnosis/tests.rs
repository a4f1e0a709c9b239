//! Situations and what is made of them.

#![allow(clippy::unwrap_used)]

use markstein_consensus::{AuthorityNumber, Timing, ViewVotes, Votes};
use markstein_proto::{Hash, Height, View};

use super::{Finality::*, *};
use crate::network_view::{AuthorityView, CatchUp, Snapshot};

const IDS: [&str; 4] = ["a", "b", "c", "d"];
/// What every sentence ends with.
const ALSO: &str = "; what is accepted waits, reads and proofs are served";

fn fine() -> AuthorityView {
    AuthorityView {
        connected: true,
        linked: true,
        voting: true,
        height: Height(9),
        view: View(17),
        heard_ms_ago: Some(400),
        ..AuthorityView::default()
    }
}

fn gone(ms: u64) -> AuthorityView {
    AuthorityView { connected: false, linked: false, heard_ms_ago: Some(ms), ..fine() }
}

fn off(clock_skew_ms: i64) -> AuthorityView {
    AuthorityView { clock_skew_ms, ..fine() }
}

/// Four authorities of which this node is the first, in view 17 for 4 s; something has waited for 12 s.
fn stuck(authorities: [AuthorityView; 4]) -> Snapshot {
    Snapshot {
        authorities: authorities.to_vec(),
        quorum: 3,
        own: Some(0),
        view: View(17),
        entered_ms_ago: 4_000,
        final_view: View(16),
        waiting_ms: Some(12_000),
        voting: true,
        ..Snapshot::default()
    }
}

fn idle(authorities: [AuthorityView; 4]) -> Snapshot {
    Snapshot { waiting_ms: None, ..stuck(authorities) }
}

fn votes(votes: [Votes; 4]) -> Vec<ViewVotes> {
    let (view, leader) = (View(17), AuthorityNumber(0));
    vec![ViewVotes {
        view,
        leader,
        proposed: vec![],
        votes: votes.to_vec(),
        notarized: None,
        nullified: false,
    }]
}

fn nullify() -> Votes {
    Votes { nullify: true, ..Votes::default() }
}

fn notarize(block: u8) -> Votes {
    Votes { notarize: Some(Hash([block; 32])), ..Votes::default() }
}

fn words(snapshot: &Snapshot) -> Vec<(usize, &'static str)> {
    diagnose(snapshot).hindrances.iter().map(|it| (it.authority, it.reason.word())).collect()
}

/// How finality stands, how many take part, how many more are needed, and who would help.
#[track_caller]
fn comes_to(snapshot: &Snapshot, finality: Finality, taking_part: usize, more: usize, help: &[usize]) {
    let it = diagnose(snapshot);
    let found = (it.finality, it.taking_part, it.needed_more, it.would_help.as_slice());
    assert_eq!(found, (finality, taking_part, more, help));
    assert_eq!((it.stops(), it.is_paused()), (finality != GoesOn, finality == Paused));
}

#[track_caller]
fn says(snapshot: &Snapshot, text: &str) {
    let said = sentence(snapshot, &diagnose(snapshot), &IDS).unwrap();
    assert_eq!(said, format!("{text}{ALSO}"));
}

#[test]
fn while_finality_goes_on_or_nothing_waits_nothing_is_said() {
    let short = |snapshot| Snapshot { waiting_ms: Some(PAUSED_AFTER_MS - 1), ..snapshot };
    for snapshot in [idle([fine(); 4]), short(stuck([fine(); 4]))] {
        comes_to(&snapshot, GoesOn, 4, 0, &[]);
        assert_eq!((words(&snapshot), sentence(&snapshot, &diagnose(&snapshot), &IDS)), (vec![], None));
    }
    assert!(PAUSED_AFTER_MS >= 5 * Timing::default().view_timeout);
    let one_gone = idle([fine(), fine(), fine(), gone(9_000)]);
    comes_to(&one_gone, GoesOn, 3, 0, &[]);
    assert_eq!(words(&one_gone), [(3, "missing")], "it is told all the same");
    assert_eq!(sentence(&one_gone, &diagnose(&one_gone), &IDS), None);
    comes_to(&Snapshot::untold(1, 1, Some(0)), GoesOn, 1, 0, &[]);
}

#[test]
fn a_node_that_catches_up_is_no_pause_of_the_ledger() {
    let catch_up = Some(CatchUp { from: Height(2), to: Height(9) });
    comes_to(&Snapshot { catch_up, ..stuck([fine(); 4]) }, GoesOn, 4, 0, &[]);
    let alone = stuck([fine(), fine(), gone(9_000), gone(9_000)]);
    comes_to(&Snapshot { catch_up, ..alone }, Paused, 2, 1, &[2, 3]);
}

#[test]
fn who_is_missing_is_named_with_since_when_and_how_many_help() {
    let two = stuck([fine(), fine(), gone(15_000), gone(14_400)]);
    comes_to(&two, Paused, 2, 1, &[2, 3]);
    says(
        &two,
        "nothing has become final for 12 s (view 17, entered 4 s ago): not heard: c for 15 s, d for 14 s. 2 of 4 \
         authorities take part and 3 are needed: finality comes back by itself when one of c, d is back",
    );
    comes_to(&idle([fine(), fine(), gone(15_000), gone(14_400)]), NoQuorum, 2, 1, &[2, 3]);
    says(
        &idle([fine(), fine(), gone(15_000), gone(14_400)]),
        "no quorum: 2 of 4 authorities take part and 3 are needed; not heard: c for 15 s, d for 14 s. finality comes back \
         by itself when one of c, d is back",
    );

    let never = AuthorityView { heard_ms_ago: None, ..gone(0) };
    let here = AuthorityView { view: View(20), ..fine() };
    let all = Snapshot { view: View(20), ..stuck([here, never, gone(600_000), gone(8_000_000)]) };
    comes_to(&all, Paused, 1, 2, &[1, 2, 3]);
    says(
        &all,
        "nothing has become final for 12 s (view 20, entered 4 s ago; 3 views ended without a final block): not heard: b \
         since this node started, c for 10 min, d for 2 h. 1 of 4 authorities take part and 3 are needed: finality comes \
         back by itself when 2 of b, c, d are back; this node hears nobody, so look at its own network first",
    );
    let observer = Snapshot { own: None, ..stuck([fine(), gone(9_000), gone(9_000), gone(9_000)]) };
    comes_to(&observer, Paused, 1, 2, &[1, 2, 3]);
}

#[test]
fn one_that_stands_still_on_an_open_connection_is_told_apart() {
    let held = AuthorityView { linked: true, ..gone(7_000) };
    let snapshot = stuck([fine(), fine(), held, gone(9_000)]);
    let said = sentence(&snapshot, &diagnose(&snapshot), &IDS).unwrap();
    assert!(said.contains("not heard: d for 9 s; silent although connected: c for 7 s."), "{said}");
}

#[test]
fn one_that_does_not_vote_counts_as_little_as_one_that_is_missing() {
    let mute = AuthorityView { voting: false, ..fine() };
    let snapshot = stuck([fine(), fine(), mute, gone(9_000)]);
    comes_to(&snapshot, Paused, 2, 1, &[2, 3]);
    says(
        &snapshot,
        "nothing has become final for 12 s (view 17, entered 4 s ago): not heard: d for 9 s; not voting: c. 2 of 4 \
         authorities take part and 3 are needed: finality comes back with one more of: d back; c voting again, whose own \
         status says why not",
    );
    let unheard = AuthorityView { heard_ms_ago: None, ..mute };
    comes_to(&idle([fine(), fine(), fine(), unheard]), GoesOn, 4, 0, &[]);
}

#[test]
fn this_nodes_own_silence_has_a_cause() {
    let mute = AuthorityView { voting: false, ..fine() };
    let own = |change: Snapshot| {
        let it = Snapshot { voting: false, ..stuck([mute, fine(), fine(), gone(9_000)]) };
        let it = Snapshot { forgot: change.forgot, lost: change.lost, unanswered: change.unanswered, ..it };
        diagnose(&it).hindrances[0].reason
    };
    let changed = Snapshot::default;
    for (change, why) in [
        (Snapshot { forgot: true, ..changed() }, NotVoting::Forgot),
        (Snapshot { forgot: true, lost: true, ..changed() }, NotVoting::JournalLost),
        (Snapshot { unanswered: 2, ..changed() }, NotVoting::Asking(2)),
        (changed(), NotVoting::Behind),
    ] {
        assert_eq!(own(change), Reason::NotVoting(why));
    }
}

#[test]
fn a_clock_beyond_the_bound_costs_a_vote() {
    comes_to(&stuck([fine(), fine(), off(5_000), off(-5_000)]), Paused, 4, 0, &[]);
    let halves = stuck([fine(), fine(), off(6_000), off(6_100)]);
    comes_to(&halves, Paused, 4, 1, &[2, 3]);
    says(
        &halves,
        "nothing has become final for 12 s (view 17, entered 4 s ago): clock off from this node's: c 6 s ahead, d 6 s \
         ahead (more than 5 s is too much). 4 of 4 authorities take part and 3 are needed: finality comes back with one \
         more of: the clock of c, d set right (NTP)",
    );
    let one = idle([fine(), fine(), fine(), off(-90_000)]);
    comes_to(&one, GoesOn, 4, 0, &[]);
    assert_eq!(words(&one), [(3, "skewed")], "one alone stops nothing and is told");
}

#[test]
fn where_most_clocks_agree_against_this_nodes_it_is_this_nodes() {
    let own = stuck([fine(), off(-60_000), off(-60_100), gone(9_000)]);
    let it = diagnose(&own);
    assert!(it.own_clock_off);
    assert_eq!(words(&own), [(0, "skewed"), (3, "missing")]);
    assert_eq!(it.hindrances[0].reason, Reason::Skewed { ms: 60_000 });
    says(
        &own,
        "nothing has become final for 12 s (view 17, entered 4 s ago): not heard: d for 9 s; clock off from those of most: \
         this node 60 s ahead (more than 5 s is too much). 3 of 4 authorities take part and 3 are needed: finality comes \
         back with one more of: d back; the clock of this node set right (NTP)",
    );
    // Each differs from this node and from the others: nobody knows better.
    let apart = clocks(&stuck([fine(), off(-60_000), off(60_000), off(90_000)]), 5_000);
    assert_eq!((apart.own, apart.others.len(), apart.heard), (None, 3, 3));
    let pair = clocks(&stuck([fine(), off(9_000), gone(0), gone(0)]), 5_000);
    assert_eq!((pair.own, pair.others), (None, vec![(1, 9_000)]), "of two neither is the majority");
    let extreme = clocks(&stuck([fine(), off(i64::MIN), off(i64::MIN), off(i64::MAX)]), 5_000);
    assert_eq!(extreme.heard, 3, "what others say is any number");
}

#[test]
fn who_is_behind_is_told_with_how_far() {
    let behind = AuthorityView { height: Height(5), view: View(10), ..fine() };
    let snapshot = stuck([fine(), fine(), behind, gone(9_000)]);
    comes_to(&snapshot, Paused, 3, 1, &[2, 3]);
    assert_eq!(words(&snapshot), [(2, "lagging"), (2, "other_view"), (3, "missing")]);
    says(
        &snapshot,
        "nothing has become final for 12 s (view 17, entered 4 s ago): not heard: d for 9 s; behind: c 4 blocks and 7 \
         views; in another view: c in 10. 3 of 4 authorities take part and 3 are needed: finality comes back with one more \
         of: d back; c caught up, which they do by themselves",
    );
    let elsewhere = AuthorityView { view: View(16), ..fine() };
    let entered_just_now = Snapshot { entered_ms_ago: 900, ..stuck([fine(), fine(), fine(), elsewhere]) };
    assert_eq!(words(&entered_just_now), [], "what it said of its view is older");
    assert_eq!(words(&stuck([fine(), fine(), fine(), elsewhere])), [(3, "other_view")]);
}

#[test]
fn who_voted_otherwise_is_told_and_costs_no_vote() {
    let all = [notarize(1), notarize(1), notarize(2), Votes::default()];
    let split = Snapshot { views: votes(all), ..stuck([fine(); 4]) };
    comes_to(&split, Paused, 4, 0, &[]);
    assert_eq!(words(&split), [(2, "voted_otherwise"), (3, "no_vote")]);
    says(
        &split,
        "nothing has become final for 12 s (view 17, entered 4 s ago): votes in view 17: 2 for block 01010101… (this node, \
         b), 1 for block 02020202… (c). 4 of 4 authorities take part and 3 are needed: enough could vote, and this node \
         does not know why they do not agree: if it lasts, compare what the logs of the authorities say of these views",
    );
    // Nullify after notarize counts for both; of equal halves that of this node is what the others differ from.
    let both = Votes { nullify: true, ..notarize(1) };
    let halves = [nullify(), both, notarize(1), Votes::default()];
    let halves = Snapshot { views: votes(halves), ..stuck([fine(), fine(), fine(), gone(9_000)]) };
    assert_eq!(words(&halves), [(2, "voted_otherwise"), (3, "missing")]);
    let nobody = Snapshot { views: votes([Votes::default(); 4]), ..stuck([fine(); 4]) };
    assert_eq!(words(&nobody), [], "a timeout that runs is nobody's fault");
}

#[test]
fn the_log_speaks_once_then_of_new_causes_and_of_the_end() {
    let mut watch = Watch::default();
    let (quiet, waits) = (diagnose(&idle([fine(); 4])), Some(12_000));
    let two = diagnose(&stuck([fine(), fine(), gone(9_000), gone(9_000)]));
    let other = diagnose(&stuck([fine(), gone(9_000), gone(9_000), gone(9_000)]));
    assert_eq!(watch.look(&quiet, None, false, 0), None);
    assert_eq!(watch.look(&two, waits, false, 20_000), Some(News::Paused));
    assert_eq!(watch.look(&two, waits, false, 21_000), None);
    assert_eq!(watch.look(&other, waits, false, 22_000), None, "not so soon again");
    assert_eq!(watch.look(&other, waits, false, 50_000), Some(News::Paused));
    assert_eq!(watch.look(&other, waits, false, 500_000), None, "nothing new");
    let idle_without = diagnose(&idle([fine(), fine(), gone(9_000), gone(9_000)]));
    assert_eq!(
        watch.look(&idle_without, None, false, 506_000),
        None,
        "what waited is refused, and no quorum is there"
    );
    assert_eq!(watch.look(&quiet, None, true, 507_000), None, "this node is behind");
    assert_eq!(watch.look(&quiet, None, false, 508_000), Some(News::Back(500_000)));
    assert_eq!(watch.look(&quiet, None, false, 509_000), None, "said once");
    // One that comes soon after the last warning is told of later, or not at all where it is short.
    assert_eq!(watch.look(&two, waits, false, 520_000), Some(News::Paused));
    assert_eq!(watch.look(&quiet, None, false, 521_000), Some(News::Back(13_000)));
    assert_eq!(watch.look(&two, waits, false, 530_000), None);
    assert_eq!(watch.look(&quiet, None, false, 531_000), None);
    assert_eq!(watch.look(&two, waits, false, 540_000), None);
    assert_eq!(watch.look(&two, Some(22_000), false, 550_000), Some(News::Paused));
}

#[test]
fn spans_are_said_in_the_unit_that_fits() {
    let said = [0, 999, 1_000, 119_999, 120_000, 7_199_999, 7_200_000, u64::MAX].map(span);
    assert_eq!(said[..7], ["0 ms", "999 ms", "1 s", "119 s", "2 min", "119 min", "2 h"]);
}
