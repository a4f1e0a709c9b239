//! What peers could do to a node that is behind, was restarted, or has forgotten.

use markstein_consensus::{AuthorityNumber, Body, Effect, Fact, FinalBlock, Input, Verdict};
use markstein_proto::{Height, View};

use super::dsl::*;

#[test]
fn however_often_old_votes_are_told_the_decisive_one_is_not_pushed_out() {
    let mut d = waiting(D, vec![]);
    let old = nullify(D, 5);
    for _ in 0..2000 {
        d.take(Input::Vote(AuthorityNumber(A), old.clone()));
    }
    let newest = nullify(D, 50);
    d.take(Input::Vote(AuthorityNumber(B), newest.clone()));
    d.take(Input::Vote(AuthorityNumber(A), old));
    let last = block(40, &FinalBlock { height: Height(39), view: View(39), ..first() });
    let f = finalized([A, B, C], &last);
    d.take(Input::Synced(as_parent(&last), Box::new(f)));
    assert_eq!(d.take(Input::Admitted), vec![Effect::Amnesia(newest)]);
}

#[test]
fn a_starting_node_is_told_its_newest_votes_first() {
    let mut d = authority(D);
    for view in [1, 3, 2] {
        d.vote(nullify(A, view));
    }
    let told: Vec<u64> = d.engine.votes_of(AuthorityNumber(A)).map(|vote| vote.subject().view.0).collect();
    assert_eq!(told, [3, 2, 1]);
}

#[test]
fn who_votes_to_leave_a_view_that_this_node_left_is_told_how() {
    let (mut d, one) = (authority(D), empty(1, &first()));
    let (n, null) = (notarized([A, B, C], &one), nullified([A, B, C], 2));
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    d.certificate(&n);
    d.certificate(&null);
    assert_eq!((d.view(), d.at(60_000)), (3, vec![]), "it sleeps: an empty block needs no finishing");
    assert_eq!(d.vote(nullify(B, 1)), vec![tells(B, &n), tells(B, &null)]);
    assert_eq!(d.vote(nullify(B, 2)), vec![], "once a while");
    assert_eq!(d.vote(nullify(C, 2)), vec![tells(C, &null)]);
    d.tick = 61_000;
    assert_eq!(d.vote(notarize(B, &one)), vec![], "one that comes late is no question");
}

#[test]
fn a_restarted_node_wants_to_see_final_what_it_voted_to_finalize_also_an_empty_block() {
    let one = empty(1, &first());
    let (p, n) = (proposed(&one, None, &[]), notarized([A, B, C], &one));
    let journal =
        vec![kept(&p), Fact::Voted(notarize(B, &one)), certified(&n), Fact::Voted(finalize(B, &one))];
    let mut b = restarted(4, B, journal);
    assert!(b.effects().contains(&Effect::Check(id(&one))));
    assert_eq!(b.view(), 2);
    b.valid(&one);
    assert_eq!(b.at(20), vec![builds(2, id(&one), false)], "it leads, and finishes it");
    let f = finalized([A, C, D], &one);
    assert_eq!(b.certificate(&f), vec![records(&f), final_now(&[&one], &f)]);
    assert_eq!(b.at(60_000), vec![], "and sleeps again");
}

#[test]
fn a_leader_in_the_middle_of_a_catch_up_proposes_nothing() {
    let last = FinalBlock { view: View(4), height: Height(4), ..first() };
    let mut a = started(4, A, vec![], last, None);
    assert_eq!(a.take(Input::Pool(true)), vec![], "nothing would show that its parent is final");
}

#[test]
fn a_list_whose_check_takes_long_gives_way_to_that_of_another() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let lie = Body { batches: vec![(markstein_proto::BatchId(first().id), first().id)], ..one.clone() };
    d.certificate(&notarized([A, B, C], &one));
    assert_eq!(d.fetched(A, &lie), vec![Effect::Check(id(&one))]);
    assert_eq!(d.fetched(B, &one), vec![], "one at a time");
    assert_eq!(d.engine.next_tick(), Some(1000));
    assert_eq!(d.at(999), vec![]);
    assert_eq!(d.at(1000), vec![Effect::Fetch(id(&one))], "another is asked as well");
    assert_eq!(d.fetched(A, &one), vec![], "not by the same");
    assert_eq!(d.fetched(B, &one), vec![Effect::Check(id(&one))]);
    assert_eq!(d.fetched(A, &lie), vec![], "each has one turn");
    d.valid(&one);
    assert!(!d.at(3000).contains(&Effect::Fetch(id(&one))), "it is not asked for any more");
}

#[test]
fn a_list_that_others_confirm_goes_on() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.certificate(&notarized([A, B, C], &one));
    d.fetched(A, &one);
    assert_eq!(d.at(1000), vec![Effect::Fetch(id(&one))]);
    assert_eq!(d.fetched(B, &one), vec![]);
    assert_eq!(d.valid(&one), vec![]);
}

#[test]
fn an_own_block_whose_batches_are_not_found_is_looked_at_again_later_and_not_at_once() {
    let one = block(1, &first());
    let n = notarized([A, B, C], &one);
    let mut d = restarted(4, D, vec![kept(&proposed(&one, None, &[])), certified(&n)]);
    assert!(d.effects().contains(&Effect::Check(id(&one))));
    assert_eq!(d.take(Input::Checked(id(&one), Verdict::Missing)), vec![]);
    let f = finalized([A, B, C], &one);
    assert_eq!(d.certificate(&f), vec![records(&f)]);
    assert_eq!(d.at(199), vec![]);
    assert_eq!(d.at(200), vec![Effect::Check(id(&one))]);
}

#[test]
fn a_vote_that_was_on_its_way_when_its_block_became_final_is_no_question_but_said_again_it_is() {
    let one = block(1, &first());
    let f = finalized([A, B, C], &one);
    let mut d = started(4, D, vec![], as_parent(&one), Some(f.clone()));
    assert_eq!(d.vote(finalize(A, &one)), vec![]);
    assert_eq!(d.vote(notarize(A, &one)), vec![]);
    assert_eq!(d.vote(finalize(A, &one)), vec![tells(A, &f)]);
    let other = dated(1, &first(), crate::support::START + 500);
    assert_eq!(d.vote(notarize(B, &other)), vec![tells(B, &f)], "who votes for another block lacks this one");
}

/// A chain of blocks without batches, one in each view, on the first block.
fn chain(views: u64) -> Vec<Body> {
    let mut blocks: Vec<Body> = Vec::new();
    for view in 1..=views {
        let parent = blocks.last().map_or_else(first, as_parent);
        blocks.push(empty(view, &parent));
    }
    blocks
}

fn asked(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| matches!(effect, Effect::Fetch(_))).count()
}

#[test]
fn who_is_far_behind_asks_for_few_blocks_at_a_time_the_lowest_and_the_newest() {
    let (mut d, blocks) = (authority(D), chain(1000));
    let mut asks = 0;
    for block in &blocks {
        asks += asked(&d.certificate(&notarized([A, B, C], block)));
    }
    assert!(asks <= blocks.len(), "each once at most");
    let wanted: Vec<_> = d.at(60_000);
    assert_eq!(asked(&wanted), 16);
    for block in blocks.iter().take(8).chain(blocks.iter().skip(992)) {
        assert!(wanted.contains(&Effect::Fetch(id(block))));
    }
    // Those between come as soon as there is room, also after the ledger was brought forward.
    let f = finalized([A, B, C], &blocks[499]);
    let after = d.take(Input::Synced(as_parent(&blocks[499]), Box::new(f)));
    assert_eq!(asked(&after), 16);
    assert!(after.contains(&Effect::Fetch(id(&blocks[500]))));
    let next = d.fetched(A, &blocks[500]);
    assert_eq!((asked(&next), next.contains(&Effect::Check(id(&blocks[500])))), (1, true));
}

#[test]
fn all_blocks_of_a_long_backlog_come_in_the_end_where_no_range_does() {
    let (mut d, blocks) = (authority(D), chain(200));
    let mut todo: Vec<Effect> = Vec::new();
    for block in &blocks {
        todo.extend(d.certificate(&notarized([A, B, C], block)));
    }
    while let Some(effect) = todo.pop() {
        match effect {
            Effect::Fetch(wanted) => {
                let block = blocks.iter().find(|block| id(block) == wanted).expect("one of them");
                todo.extend(d.fetched(A, block));
            }
            Effect::Check(block) => todo.extend(d.take(Input::Checked(block, Verdict::Valid))),
            _ => {}
        }
    }
    assert!(blocks.iter().all(|block| d.engine.offered(&id(block)).is_some()), "all were found valid");
}

#[test]
fn who_is_far_behind_and_stuck_says_again_a_part_of_what_it_knows_and_all_of_it_in_turn() {
    let (mut d, blocks) = (authority(D), chain(1000));
    let certificates: Vec<_> = blocks.iter().map(|block| notarized([A, B, C], block)).collect();
    for certificate in &certificates {
        d.certificate(certificate);
    }
    d.take(Input::Pool(true));
    let mut said = std::collections::BTreeSet::new();
    for round in 1..=40 {
        let effects = d.at(round * 100_000);
        let now: Vec<u64> = (certificates.iter())
            .filter(|certificate| effects.contains(&repeats(certificate)))
            .map(|certificate| certificate.view().0)
            .collect();
        assert!(now.len() <= 2 * 64, "{} at once", now.len());
        assert!(now.is_empty() || now.contains(&1000), "the newest each time");
        said.extend(now);
    }
    assert_eq!(said.len(), certificates.len());
}
