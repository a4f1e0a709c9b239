//! Rules 2, 4, 5 and 6, the parent rule and the clock bounds, seen by one who votes.

use markstein_consensus::{AuthorityNumber, Effect, Input, Verdict};

use super::dsl::*;
use crate::support::START;

#[test]
fn a_block_from_proposal_to_finality() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let proposal = proposed(&one, None, &[]);
    assert_eq!(d.proposal(&proposal), vec![Effect::Check(id(&one))]);
    assert_eq!(d.valid(&one), vec![casts(notarize(D, &one), vec![kept(&proposal)])]);
    let n = notarized([A, B, D], &one);
    let finalizes = casts(finalize(D, &one), vec![certified(&n)]);
    assert_eq!(d.vote(notarize(B, &one)), vec![records(&n), gossips(&n), finalizes]);
    assert_eq!(d.view(), 2);
    assert_eq!(d.vote(finalize(A, &one)), vec![]);
    let f = finalized([A, B, D], &one);
    assert_eq!(d.vote(finalize(B, &one)), vec![records(&f), gossips(&f), final_now(&[&one], &f)]);
    assert_eq!(d.engine.last_final(), as_parent(&one));
}

#[test]
fn one_notarize_vote_a_view_and_evidence_against_the_leader_once() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let other = dated(1, &first(), START + 500);
    let third = dated(1, &first(), START + 600);
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    let caught = |effects: &[Effect]| effects.iter().filter(|e| matches!(e, Effect::Evidence(_))).count();
    let effects = d.proposal(&proposed(&other, None, &[]));
    assert_eq!((effects.len(), caught(&effects)), (1, 1), "no check and no vote");
    assert_eq!(d.proposal(&proposed(&third, None, &[])), vec![], "told once");
}

#[test]
fn an_invalid_proposal_leaves_room_for_a_valid_one() {
    let (mut d, bad) = (authority(D), block(1, &first()));
    let good = dated(1, &first(), START + 500);
    let proposal = proposed(&good, None, &[]);
    d.proposal(&proposed(&bad, None, &[]));
    assert_eq!(d.take(Input::Checked(id(&bad), Verdict::Invalid)), vec![]);
    let effects = d.proposal(&proposal);
    assert!(matches!(effects[..], [Effect::Evidence(_), Effect::Check(block)] if block == id(&good)));
    assert_eq!(d.valid(&good), vec![casts(notarize(D, &good), vec![kept(&proposal)])]);
}

#[test]
fn a_block_counts_only_from_its_leader() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let proposal = proposed(&one, None, &[]);
    let passed_on = Input::Proposal(AuthorityNumber(B), Box::new(proposal));
    assert_eq!(d.take(passed_on), vec![], "nobody signs the list of batches");
    let mut by_another = block(1, &first());
    by_another.header.proposer = B;
    assert_eq!(d.proposal(&proposed(&by_another, None, &[])), vec![]);
}

#[test]
fn the_clock_bounds_hold_both_ways() {
    let clock = START + 1000;
    for (time, votes) in [(clock + 5001, 0), (clock + 5000, 1), (clock - 30_000, 1), (clock - 30_001, 0)] {
        let (mut d, one) = (authority(D), dated(1, &first(), time));
        assert_eq!(d.proposal(&proposed(&one, None, &[])), vec![Effect::Check(id(&one))]);
        assert_eq!(d.valid(&one).len(), votes, "{time}");
    }
}

#[test]
fn the_clock_does_not_matter_once_a_quorum_voted() {
    let (mut d, one) = (authority(D), dated(1, &first(), START + 90_000));
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    let f = finalized([A, B, C], &one);
    assert_eq!(d.certificate(&f), vec![records(&f), final_now(&[&one], &f)]);
}

#[test]
fn the_parent_must_be_notarized_here() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let two = block(2, &as_parent(&one));
    let n = notarized([A, B, C], &one);
    d.certificate(&nullified([A, B, C], 1));
    d.proposal(&proposed(&one, None, &[]));
    assert_eq!(d.proposal(&proposed(&two, None, &[])), vec![], "its parent is not notarized");
    let later = d.certificate(&n);
    let expected = [Effect::Check(id(&one)), casts(finalize(D, &one), vec![certified(&n)])];
    assert_eq!(later, [vec![records(&n)], expected.to_vec()].concat(), "a view can hold both certificates");
    assert_eq!(d.valid(&one), vec![Effect::Check(id(&two))], "parents first");
    assert_eq!(d.valid(&two), vec![casts(notarize(D, &two), vec![kept(&proposed(&two, None, &[]))])]);
}

#[test]
fn every_view_between_must_be_nullified() {
    let (mut d, four) = (authority(C), block(4, &first()));
    let null = |view| nullified([A, B, D], view);
    assert_eq!(d.certificate(&null(3)), vec![records(&null(3))]);
    assert_eq!((d.view(), d.certificate(&null(1))), (4, vec![records(&null(1))]));
    assert_eq!(d.proposal(&proposed(&four, None, &[])), vec![], "view 2 may hold a final block");
    assert_eq!(d.certificate(&null(2)), vec![records(&null(2)), Effect::Check(id(&four))]);
}

#[test]
fn a_proposal_brings_what_justifies_it() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let three = block(3, &as_parent(&one));
    let (n, null) = (notarized([A, B, C], &one), nullified([A, B, C], 2));
    let proposal = proposed(&three, Some(&n), std::slice::from_ref(&null));
    let finalizes = casts(finalize(D, &one), vec![certified(&n)]);
    let expected = vec![records(&n), Effect::Fetch(id(&one)), finalizes, records(&null)];
    assert_eq!((d.proposal(&proposal), d.view()), (expected, 3));
    assert_eq!(d.fetched(B, &one), vec![Effect::Check(id(&one))]);
    assert_eq!(d.valid(&one), vec![Effect::Check(id(&three))]);
    assert_eq!(d.valid(&three), vec![casts(notarize(D, &three), vec![kept(&proposal)])]);
}

#[test]
fn nothing_is_built_below_the_own_final_block() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let (n, f) = (notarized([A, B, C], &one), finalized([A, B, C], &one));
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    d.certificate(&f);
    let fork = block(2, &first());
    assert_eq!(d.proposal(&proposed(&fork, None, &[])), vec![]);
    assert_eq!(d.certificate(&n), vec![tells(A, &f)]);
}

#[test]
fn a_notarization_counts_after_nullifying_and_gets_no_finalize_vote() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.proposal(&proposed(&one, None, &[]));
    d.at(1000);
    let n = notarized([A, B, C], &one);
    let doubts = Effect::Fetch(id(&one)); // its check has no answer for so long that the list may be wrong
    assert_eq!(d.certificate(&n), vec![records(&n), doubts]);
    assert_eq!(d.view(), 2);
    let again = d.at(30_000);
    assert!(again.iter().any(|e| matches!(e, Effect::Commit { .. })), "nullify of view 2");
    assert!(!again.contains(&casts(finalize(D, &one), vec![certified(&n)])));
}

#[test]
fn a_notarized_block_is_fetched_and_asked_for_again() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let n = notarized([A, B, C], &one);
    let finalizes = casts(finalize(D, &one), vec![certified(&n)]);
    assert_eq!(d.certificate(&n), vec![records(&n), Effect::Fetch(id(&one)), finalizes]);
    assert_eq!(d.view(), 2, "entered without the block");
    assert_eq!(d.at(199), vec![]);
    assert_eq!(d.vote(nullify(A, 3)), vec![], "what else happens does not put it off");
    assert_eq!(d.at(200), vec![Effect::Fetch(id(&one))]);
    assert_eq!(d.at(400), vec![Effect::Fetch(id(&one))]);
    assert_eq!(d.fetched(B, &one), vec![Effect::Check(id(&one))]);
    assert_eq!(d.at(600), vec![]);
}

#[test]
fn a_wrong_list_of_batches_stops_nobody() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let lie = markstein_consensus::Body { batches: vec![], ..one.clone() };
    d.certificate(&notarized([A, B, C], &one));
    d.fetched(A, &lie);
    assert_eq!(d.take(Input::Checked(id(&one), Verdict::Invalid)), vec![Effect::Fetch(id(&one))]);
    assert_eq!(d.fetched(A, &lie), vec![], "once a block");
    assert_eq!(d.fetched(B, &one), vec![Effect::Check(id(&one))]);
    let diverged = d.take(Input::Checked(id(&one), Verdict::Invalid));
    assert!(matches!(diverged[..], [Effect::Diverged(_)]), "two of four gave what is not valid here");
}

#[test]
fn batches_that_nobody_has_hold_nobody_up() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.certificate(&notarized([A, B, C], &one));
    d.fetched(A, &one);
    assert_eq!(d.take(Input::Checked(id(&one), Verdict::Missing)), vec![Effect::Fetch(id(&one))]);
    assert_eq!(d.fetched(A, &one), vec![]);
    d.at(16_000);
    d.take(Input::Heard(AuthorityNumber(A)));
    assert_eq!(d.fetched(A, &one), vec![Effect::Check(id(&one))], "it may have had no time");
}

#[test]
fn an_unknown_final_chain_is_asked_for_until_it_comes() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let two = block(2, &as_parent(&one));
    let f = finalized([A, B, C], &two);
    assert_eq!(d.certificate(&f), vec![records(&f), Effect::Sync(f.clone())]);
    assert_eq!(d.at(999), vec![]);
    assert!(d.at(1000).contains(&Effect::Sync(f.clone())));
    assert_eq!(d.take(Input::Synced(as_parent(&two), Box::new(f))), vec![]);
    assert_eq!((d.engine.last_final(), d.view()), (as_parent(&two), 3));
}
