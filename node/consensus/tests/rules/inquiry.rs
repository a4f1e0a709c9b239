//! What an operator asks an engine: who voted what, and since when nothing became final.

use markstein_consensus::{AuthorityNumber, Input, Votes};
use markstein_proto::View;

use super::dsl::*;

#[test]
fn it_tells_who_voted_what_in_the_views_since_the_final_one() {
    let (mut d, one, two) = (authority(D), block(1, &first()), block(2, &first()));
    d.take(Input::Pool(true));
    d.proposal(&proposed(&one, None, &[]));
    d.vote(notarize(B, &one));
    d.vote(nullify(B, 1));
    d.at(1000);
    d.certificate(&nullified([A, B, C], 1));
    d.tick = 1700;
    d.vote(notarize(C, &two));

    let views = d.engine.views(8);
    assert_eq!(views.iter().map(|it| it.view).collect::<Vec<_>>(), [View(2), View(1)]);
    let (none, null) = (Votes::default(), Votes { nullify: true, ..Votes::default() });
    let both = Votes { notarize: Some(id(&one)), ..null };
    assert_eq!(views[1].votes, [both, both, null, null], "those of a certificate included");
    assert_eq!((views[1].leader, views[1].nullified), (AuthorityNumber(A), true));
    assert_eq!((&views[1].proposed[..], views[1].notarized), (&[id(&one)][..], None));
    let other = Votes { notarize: Some(id(&two)), ..none };
    assert_eq!(views[0].votes, [none, none, other, none]);
    assert!(none.is_none() && !other.is_none() && !null.is_none());
    assert_eq!((d.engine.entered(), d.engine.views(1).len()), (1000, 1));
}

#[test]
fn it_tells_since_when_something_waits_and_only_finality_ends_that() {
    let (mut a, one) = (authority(A), block(1, &first()));
    a.at(5);
    assert_eq!(a.engine.waiting_since(), None, "an idle network waits for nothing");
    a.tick = 10;
    a.take(Input::Pool(true));
    a.tick = 20;
    a.take(Input::Built(View(1), None));
    assert_eq!(a.engine.waiting_since(), Some(10), "a leader without a block is no progress");
    a.tick = 30;
    a.take(Input::Pool(true));
    assert_eq!(a.engine.waiting_since(), Some(10));
    a.tick = 40;
    a.take(Input::Synced(as_parent(&one), Box::new(finalized([B, C, D], &one))));
    assert_eq!(a.engine.waiting_since(), Some(40), "the pool is not empty yet");
    a.take(Input::Pool(false));
    assert_eq!(a.engine.waiting_since(), None);
}

#[test]
fn a_block_that_is_not_final_waits_although_the_pool_is_empty() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.tick = 7;
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    assert_eq!(d.engine.waiting_since(), None);
    d.certificate(&notarized([A, B, C], &one));
    assert_eq!(d.engine.waiting_since(), Some(7));
    d.take(Input::Pool(false));
    assert_eq!(d.engine.waiting_since(), Some(7));
    d.certificate(&finalized([A, B, C], &one));
    assert_eq!(d.engine.waiting_since(), None);
}
