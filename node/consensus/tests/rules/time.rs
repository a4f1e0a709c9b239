//! Rule 3: timeouts, re-sends, silent leaders and idle views.

use markstein_consensus::{AuthorityNumber, Effect, Input, Message, Recipient, Send};

use super::dsl::*;

#[test]
fn an_idle_view_never_ends() {
    let mut d = authority(D);
    assert_eq!(d.engine.next_tick(), None);
    assert_eq!(d.at(1_000_000), vec![]);
}

#[test]
fn a_pooled_batch_or_a_message_for_the_view_wakes_it() {
    let (mut c, mut d) = (authority(C), authority(D));
    c.tick = 70;
    assert_eq!((c.take(Input::Pool(true)), c.engine.next_tick()), (vec![], Some(1070)));
    d.tick = 90;
    assert_eq!((d.vote(nullify(A, 1)), d.engine.next_tick()), (vec![], Some(1090)));
    assert_eq!((c.take(Input::Pool(false)), c.engine.next_tick()), (vec![], None), "idle again");
}

#[test]
fn it_nullifies_on_timeout_and_says_it_again_ever_more_rarely() {
    let mut d = authority(D);
    d.take(Input::Pool(true));
    let own = says(Message::Vote(nullify(D, 1)));
    assert_eq!(d.at(999), vec![]);
    assert_eq!(d.at(1000), vec![casts(nullify(D, 1), vec![]), own.clone()]);
    let mut at = 1000;
    for pause in [1000, 2000, 4000, 8000, 16_000, 16_000, 16_000] {
        at += pause;
        assert_eq!(d.engine.next_tick(), Some(at));
        assert_eq!(d.at(at), vec![own.clone()]);
    }
    let null = nullified([A, B, D], 1);
    [A, B].into_iter().for_each(|from| drop(d.take(Input::Heard(AuthorityNumber(from)))));
    assert_eq!(d.vote(nullify(A, 1)), vec![]);
    assert_eq!(d.vote(nullify(B, 1)), vec![records(&null), gossips(&null)]);
    assert_eq!((d.view(), d.engine.next_tick()), (2, Some(at + 2000)), "one view since the final one");
}

#[test]
fn while_stuck_an_authority_that_was_silent_is_told_at_once_what_it_may_lack() {
    let mut d = authority(D);
    d.take(Input::Pool(true));
    d.at(1000);
    let heard = |d: &mut Probe, from: u32, tick: u64| {
        d.tick = tick;
        d.take(Input::Heard(AuthorityNumber(from)))
    };
    let to_b = Send { to: Recipient::One(AuthorityNumber(B)), message: Message::Vote(nullify(D, 1)) };
    assert_eq!(heard(&mut d, A, 1999), vec![], "not silent for long");
    d.at(2000);
    assert_eq!(heard(&mut d, B, 2000), vec![Effect::Send(to_b.clone())]);
    assert_eq!(heard(&mut d, B, 2001), vec![], "once");
    assert_eq!(heard(&mut d, B, 2900), vec![], "heartbeats come in time");
    assert_eq!(d.engine.next_tick(), Some(4000), "all the others when it is due");
    let mut calm = authority(D);
    assert_eq!(heard(&mut calm, B, 60_000), vec![], "with nothing to say again");
}

#[test]
fn timeouts_grow_and_are_capped_and_start_anew_with_finality() {
    let mut d = authority(D);
    d.take(Input::Pool(true));
    let timeouts = [2000, 4000, 8000, 16_000, 16_000];
    for (view, timeout) in (1..).zip(timeouts) {
        d.certificate(&nullified([A, B, C], view));
        assert_eq!(d.engine.next_tick().filter(|_| view != 3), Some(timeout).filter(|_| view != 3));
    }
    let four = block(4, &first());
    let f = finalized([A, B, C], &four);
    d.take(Input::Synced(as_parent(&four), Box::new(f)));
    assert_eq!((d.view(), d.engine.next_tick()), (6, Some(2000)), "one view since the final one");
}

#[test]
fn after_a_finalize_vote_it_does_not_nullify() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    d.certificate(&notarized([A, B, C], &one));
    let effects = d.at(60_000);
    assert!(effects.contains(&casts(nullify(D, 2), vec![])));
    assert!(!effects.contains(&casts(nullify(D, 1), vec![])));
}

#[test]
fn nullify_after_notarize_is_legal() {
    let (mut d, one) = (authority(D), block(1, &first()));
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    let again = [says(Message::Vote(notarize(D, &one))), says(Message::Vote(nullify(D, 1)))];
    assert_eq!(d.at(1000), [vec![casts(nullify(D, 1), vec![])], again.to_vec()].concat());
}

#[test]
fn a_silent_leader_is_nullified_on_entry_but_not_just_after_a_start() {
    let mut early = authority(D);
    early.tick = 4999;
    assert_eq!((early.take(Input::Pool(true)), early.engine.next_tick()), (vec![], Some(5999)));
    let mut late = authority(D);
    late.tick = 5000;
    assert!(late.take(Input::Pool(true)).contains(&casts(nullify(D, 1), vec![])));
    let mut heard = authority(D);
    heard.tick = 4000;
    heard.take(Input::Heard(AuthorityNumber(A)));
    heard.tick = 8000;
    assert_eq!(heard.take(Input::Pool(true)), vec![]);
}

#[test]
fn while_stuck_all_certificates_since_the_final_block_are_said_again() {
    let (mut d, one) = (authority(D), block(1, &first()));
    let (n, null) = (notarized([A, B, C], &one), nullified([A, B, C], 2));
    d.proposal(&proposed(&one, None, &[]));
    d.valid(&one);
    d.certificate(&n);
    d.certificate(&null);
    let said: Vec<Effect> = d.at(4000).into_iter().filter(|e| matches!(e, Effect::Send(_))).collect();
    let votes = [finalize(D, &one), nullify(D, 3)].map(|vote| says(Message::Vote(vote)));
    let [first_vote, second_vote] = votes;
    assert_eq!(said, vec![repeats(&n), first_vote, repeats(&null), second_vote]);
}

#[test]
fn nullifications_are_said_again_in_turn_so_that_every_gap_closes() {
    let mut d = authority(D);
    d.take(Input::Pool(true));
    (1..=200).for_each(|view| drop(d.certificate(&nullified([A, B, C], view))));
    let mut told = std::collections::BTreeSet::new();
    for round in 1..=4 {
        for effect in d.at(20_000 * round) {
            if let Effect::Send(send) = effect
                && let Message::Certificate(certificate) = send.message
            {
                told.insert(certificate.view().0);
            }
        }
    }
    assert_eq!(told, (1..=200).collect());
}
