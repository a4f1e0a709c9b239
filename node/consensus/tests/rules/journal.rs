//! Restarts: in each phase, with the journal and without it.

use markstein_consensus::{AuthorityNumber, Effect, Input};

use super::dsl::*;

#[test]
fn own_votes_count_again_and_are_not_cast_again() {
    let one = block(1, &first());
    let p = proposed(&one, None, &[]);
    let mut d = restarted(4, D, vec![kept(&p), markstein_consensus::Fact::Voted(notarize(D, &one))]);
    assert_eq!(d.effects(), vec![]);
    let other = dated_other();
    d.proposal(&proposed(&other, None, &[]));
    assert_eq!(d.valid(&other), vec![], "it voted in this view");
    d.vote(notarize(B, &one));
    let n = notarized([B, C, D], &one);
    let finalizes = casts(finalize(D, &one), vec![certified(&n)]);
    let expected = vec![records(&n), gossips(&n), Effect::Check(id(&one)), finalizes];
    assert_eq!(d.vote(notarize(C, &one)), expected);
}

fn dated_other() -> markstein_consensus::Body {
    dated(1, &first(), crate::support::START + 500)
}

#[test]
fn a_nullified_view_is_not_finalised_after_a_restart() {
    let one = block(1, &first());
    let mut d = restarted(4, D, vec![markstein_consensus::Fact::Voted(nullify(D, 1))]);
    let n = notarized([A, B, C], &one);
    assert_eq!(d.certificate(&n), vec![records(&n), Effect::Fetch(id(&one))]);
}

#[test]
fn a_notarization_on_disk_without_a_finalize_vote_gets_one() {
    let one = block(1, &first());
    let n = notarized([A, B, C], &one);
    let mut d = restarted(4, D, vec![certified(&n)]);
    let finalizes = casts(finalize(D, &one), vec![certified(&n)]);
    assert_eq!(d.effects(), vec![finalizes, Effect::Fetch(id(&one))]);
    assert_eq!(d.view(), 2);
}

#[test]
fn alone_it_resumes_in_each_phase() {
    use markstein_consensus::Fact::Voted;
    let one = block(1, &first());
    let p = proposed(&one, None, &[]);
    let n = crate::support::certificate(&[A], 1, notarize(A, &one).subject().ballot);
    let f = crate::support::certificate(&[A], 1, finalize(A, &one).subject().ballot);
    let phases = [
        vec![kept(&p), Voted(notarize(A, &one))],
        vec![kept(&p), Voted(notarize(A, &one)), certified(&n)],
        vec![kept(&p), Voted(notarize(A, &one)), certified(&n), Voted(finalize(A, &one))],
        vec![kept(&p), Voted(notarize(A, &one)), certified(&n), Voted(finalize(A, &one)), certified(&f)],
    ];
    for journal in phases {
        let mut a = restarted(1, A, journal);
        assert!(a.effects().contains(&Effect::Check(id(&one))));
        assert_eq!(a.valid(&one), vec![final_now(&[&one], &f)]);
    }
}

#[test]
fn facts_at_or_below_the_final_view_are_passed_over() {
    let one = block(1, &first());
    let f = finalized([A, B, C], &one);
    let journal = vec![kept(&proposed(&one, None, &[])), certified(&notarized([A, B, C], &one))];
    let mut d = started(4, D, journal, as_parent(&one), Some(f));
    assert_eq!((d.effects(), d.view(), d.engine.size()), (vec![], 2, (0, 0)));
}

#[test]
fn an_own_vote_that_the_journal_does_not_know_ends_voting() {
    let one = block(1, &first());
    let unknown = notarize(D, &one);
    let mut d = authority(D);
    let input = Input::Vote(AuthorityNumber(A), unknown.clone());
    assert_eq!(d.take(input.clone()), vec![Effect::Amnesia(unknown)]);
    assert!(!d.engine.is_voting());
    assert_eq!(d.take(input), vec![], "said once");
    d.proposal(&proposed(&one, None, &[]));
    assert_eq!(d.valid(&one), vec![]);
}

#[test]
fn also_where_it_stands_in_a_certificate_only() {
    let null = nullified([A, B, D], 1);
    let mut d = authority(D);
    assert_eq!(d.certificate(&null), vec![Effect::Amnesia(nullify(D, 1)), records(&null)]);
    let mut b = authority(B);
    b.certificate(&nullified([A, C, D], 1));
    let known: Vec<_> = b.engine.votes_of(AuthorityNumber(D)).collect();
    assert_eq!(known, vec![nullify(D, 1)], "peers tell it of these too");
}

#[test]
fn own_votes_that_come_back_are_known() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    assert_eq!(d.take(Input::Vote(AuthorityNumber(A), notarize(D, &one))), vec![]);
    assert!(d.engine.is_voting());
}

#[test]
fn who_waits_follows_and_votes_only_once_admitted() {
    let one = block(1, &first());
    let mut d = waiting(D, vec![]);
    let p = proposed(&one, None, &[]);
    assert_eq!(d.proposal(&p), vec![]);
    assert_eq!(d.at(4_000), vec![], "it only listens");
    assert_eq!(d.take(Input::Admitted), vec![Effect::Check(id(&one))]);
    assert_eq!(d.valid(&one), vec![casts(notarize(D, &one), vec![kept(&p)])]);
    assert!(d.engine.is_voting());
}

#[test]
fn who_waits_makes_good_for_a_missing_finalize_vote_once_admitted() {
    let one = block(1, &first());
    let n = notarized([A, B, C], &one);
    let mut d = waiting(D, vec![certified(&n)]);
    d.effects();
    assert_eq!(d.take(Input::Admitted), vec![casts(finalize(D, &one), vec![certified(&n)])]);
}

#[test]
fn a_forgotten_vote_ends_voting_at_admission_unless_it_is_below_the_final_view() {
    let one = block(1, &first());
    let mut d = waiting(D, vec![]);
    assert_eq!(d.take(Input::Vote(AuthorityNumber(A), notarize(D, &one))), vec![]);
    assert_eq!(d.take(Input::Admitted), vec![Effect::Amnesia(notarize(D, &one))]);
    assert!(!d.engine.is_voting());
    assert_eq!(d.take(Input::Admitted), vec![], "for good");

    let mut d = waiting(D, vec![]);
    d.take(Input::Vote(AuthorityNumber(A), notarize(D, &one)));
    let f = finalized([A, B, C], &one);
    d.take(Input::Synced(as_parent(&one), Box::new(f)));
    assert_eq!(d.take(Input::Admitted), vec![]);
    assert!(d.engine.is_voting());
}

#[test]
fn what_the_journal_knows_is_no_claim() {
    let one = block(1, &first());
    let known = vec![kept(&proposed(&one, None, &[])), markstein_consensus::Fact::Voted(notarize(D, &one))];
    let mut d = waiting(D, known);
    d.take(Input::Vote(AuthorityNumber(A), notarize(D, &one)));
    d.take(Input::Admitted);
    assert!(d.engine.is_voting());
}
