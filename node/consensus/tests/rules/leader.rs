//! Rule 1: the leader's block.

use markstein_consensus::{Effect, Input};
use markstein_proto::View;

use super::dsl::*;

#[test]
fn a_leader_proposes_what_its_pool_holds() {
    let (mut a, one) = (authority(A), block(1, &first()));
    assert_eq!(a.take(Input::Tick), vec![], "nothing to propose");
    assert_eq!(a.take(Input::Pool(true)), vec![builds(1, first().id, true)]);
    assert_eq!(a.take(Input::Pool(true)), vec![], "asked for once");
    let built = Input::Built(View(1), Some(Box::new(one.clone())));
    assert_eq!(a.take(built.clone()), vec![proposes(&proposed(&one, None, &[]))]);
    assert_eq!(a.take(built), vec![], "and proposed once");
}

#[test]
fn others_do_not_propose() {
    assert_eq!(authority(B).take(Input::Pool(true)), vec![]);
}

#[test]
fn a_block_that_comes_too_late_is_dropped() {
    let (mut a, one) = (authority(A), block(1, &first()));
    a.take(Input::Pool(true));
    a.certificate(&nullified([B, C, D], 1));
    assert_eq!(a.take(Input::Built(View(1), Some(Box::new(one)))), vec![]);
}

#[test]
fn what_comes_into_the_pool_while_a_block_is_built_is_not_forgotten() {
    let mut a = authority(A);
    a.take(Input::Pool(true));
    a.take(Input::Pool(true));
    assert_eq!(a.take(Input::Built(View(1), None)), vec![builds(1, first().id, true)]);
    assert_eq!(a.take(Input::Built(View(1), None)), vec![]);
}

#[test]
fn an_unfinished_block_is_finished_by_an_empty_one_after_a_while() {
    let (mut b, one) = (authority(B), block(1, &first()));
    let (p, n) = (proposed(&one, None, &[]), notarized([A, C, D], &one));
    b.proposal(&p);
    b.valid(&one);
    b.certificate(&n);
    assert_eq!((b.view(), b.engine.next_tick()), (2, Some(20)));
    assert_eq!(b.at(19), vec![]);
    assert_eq!(b.at(20), vec![builds(2, id(&one), false)]);
    let two = empty(2, &as_parent(&one));
    let proposal = proposed(&two, Some(&n), &[]);
    assert_eq!(b.take(Input::Built(View(2), Some(Box::new(two)))), vec![proposes(&proposal)]);
}

#[test]
fn an_empty_block_needs_no_finishing() {
    let (mut b, one) = (authority(B), empty(1, &first()));
    b.proposal(&proposed(&one, None, &[]));
    b.valid(&one);
    b.certificate(&notarized([A, C, D], &one));
    assert_eq!(b.engine.next_tick(), None);
    assert_eq!(b.at(100_000), vec![]);
}

#[test]
fn at_most_eight_unfinalised_blocks_carry_batches() {
    let (mut b, mut parent) = (authority(B), first());
    for view in 1..=13 {
        if view % 4 == 2 {
            b.certificate(&nullified([A, C, D], view)); // its own
            continue;
        }
        let next = if [4, 12].contains(&view) { empty(view, &parent) } else { block(view, &parent) };
        b.proposal(&proposed(&next, None, &[]));
        b.valid(&next);
        b.certificate(&notarized([A, C, D], &next));
        parent = as_parent(&next);
    }
    assert_eq!(b.take(Input::Pool(true)), vec![], "eight blocks wait");
    assert_eq!(b.at(20), vec![builds(14, parent.id, false)]);
}

#[test]
fn it_builds_on_the_highest_notarized_block_over_nullified_views() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let (n, nulls) = (notarized([A, B, C], &one), [nullified([A, B, C], 2), nullified([A, B, C], 3)]);
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    d.certificate(&n);
    d.certificate(&nulls[1]);
    assert_eq!(d.take(Input::Pool(true)), vec![], "view 2 is open");
    assert_eq!(d.certificate(&nulls[0]), vec![records(&nulls[0]), builds(4, id(&one), true)]);
    let four = block(4, &as_parent(&one));
    let proposal = proposed(&four, Some(&n), &nulls);
    assert_eq!(d.take(Input::Built(View(4), Some(Box::new(four)))), vec![proposes(&proposal)]);
}

#[test]
fn after_many_views_without_a_final_block_an_empty_one_is_proposed() {
    let mut a = authority(A);
    for view in 1..=32 {
        a.certificate(&nullified([B, C, D], view));
    }
    assert_eq!(a.view(), 33);
    assert_eq!(a.at(20), vec![builds(33, first().id, false)]);
}

#[test]
fn alone_it_is_its_own_quorum() {
    let (mut a, one) = (restarted(1, A, vec![]), block(1, &first()));
    a.take(Input::Pool(true));
    let effects = a.take(Input::Built(View(1), Some(Box::new(one.clone()))));
    let is_final = |e: &Effect| matches!(e, Effect::Finalized { blocks, .. } if *blocks == vec![id(&one)]);
    assert_eq!(effects.iter().filter(|e| is_final(e)).count(), 1);
    assert_eq!(a.engine.last_final(), as_parent(&one));
}
