//! What peers get for what they say: evidence, answers, bounds.

use markstein_consensus::{AuthorityNumber, Effect, Evidence, Input};
use markstein_proto::{Hash, consensus::Ballot};

use super::dsl::*;

fn other(view: u64, kind: fn(Hash) -> Ballot) -> markstein_proto::consensus::CheckedVote {
    vote(A, view, kind(Hash([5; 32])))
}

#[test]
fn evidence_for_all_three_kinds_and_once_each() {
    let one = block(1, &first());
    let pairs = [
        (notarize(A, &one), other(1, Ballot::Notarize)),
        (finalize(A, &one), other(1, Ballot::Finalize)),
        (finalize(A, &one), nullify(A, 1)),
        (nullify(A, 1), finalize(A, &one)),
    ];
    for (first, second) in pairs {
        let mut d = authority(D);
        assert_eq!(d.vote(first.clone()), vec![]);
        let evidence = Effect::Evidence(Box::new(Evidence { first, second: second.clone() }));
        assert_eq!(d.vote(second.clone()), vec![evidence]);
        assert_eq!(d.vote(second), vec![]);
    }
    let mut d = authority(D);
    d.vote(notarize(A, &one));
    assert_eq!(d.vote(nullify(A, 1)), vec![], "this pair is legal");
}

#[test]
fn a_second_vote_never_counts() {
    let one = block(1, &first());
    let mut d = authority(D);
    d.vote(other(1, Ballot::Notarize));
    d.vote(notarize(A, &one));
    d.vote(notarize(B, &one));
    assert_eq!(d.vote(notarize(C, &one)), vec![], "two votes");
    let n = notarized([A, B, C], &one);
    let expected = vec![records(&n), Effect::Fetch(id(&one)), casts(finalize(D, &one), vec![certified(&n)])];
    assert_eq!(
        d.certificate(&n),
        expected,
        "who saw the other half of an equivocation takes the certificate"
    );
}

#[test]
fn what_is_at_or_below_the_final_view_is_answered_by_the_finalization() {
    let one = block(1, &first());
    let f = finalized([A, B, C], &one);
    let mut d = started(4, D, vec![], as_parent(&one), Some(f.clone()));
    assert_eq!(d.vote(nullify(A, 1)), vec![tells(A, &f)]);
    assert_eq!(d.vote(nullify(A, 1)), vec![], "once a while");
    assert_eq!(d.vote(nullify(B, 1)), vec![tells(B, &f)]);
    assert_eq!(d.proposal(&proposed(&one, None, &[])), vec![]);
    d.tick = 200;
    assert_eq!(d.proposal(&proposed(&one, None, &[])), vec![tells(A, &f)]);
    d.tick = 1000;
    assert_eq!(d.certificate(&f), vec![], "who says this knows it: no answers to answers");
    assert_eq!(d.certificate(&notarized([A, B, C], &one)), vec![tells(A, &f)]);
    d.tick = 2000;
    let passed_on = Input::Vote(AuthorityNumber(C), nullify(A, 1));
    assert_eq!(d.take(passed_on), vec![tells(C, &f)], "the answer goes to who asked");
}

#[test]
fn far_views_are_not_kept() {
    let mut d = authority(D);
    d.vote(nullify(A, 66));
    assert_eq!(d.engine.size(), (0, 0));
    d.vote(nullify(A, 65));
    assert_eq!(d.engine.size(), (1, 0));
    let far = block(10, &first());
    d.proposal(&proposed(&far, None, &[]));
    assert_eq!(d.engine.size(), (2, 0), "the vote counts, the block does not");
}

#[test]
fn a_node_that_jumps_far_ahead_counts_its_own_vote() {
    let far = block(101, &first());
    let mut d = authority(D);
    d.certificate(&notarized([A, B, C], &far));
    d.vote(finalize(A, &far));
    let f = finalized([A, B, D], &far);
    assert_eq!(d.vote(finalize(B, &far)), vec![records(&f), gossips(&f), Effect::Sync(f)]);
}

#[test]
fn proposals_of_nullified_views_are_forgotten() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.proposal(&proposed(&one, None, &[]));
    assert_eq!(d.engine.size(), (1, 1));
    d.certificate(&nullified([A, B, C], 1));
    assert_eq!(d.engine.size(), (1, 0));
}

#[test]
fn only_what_is_valid_here_is_offered() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.proposal(&proposed(&one, None, &[]));
    assert!(d.engine.offered(&id(&one)).is_none() && d.engine.body(&id(&one)).is_some());
    d.valid(&one);
    assert!(d.engine.offered(&id(&one)).is_some());
}
