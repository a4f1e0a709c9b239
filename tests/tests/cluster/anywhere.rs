//! Submission anywhere: to any node, to several at once, and to one that dies after it said *accepted*.

use markstein_client::api::{Final, batch_state::State};
use tokio::task::JoinSet;

use crate::support::{AUTHORITIES, Net};

#[test]
fn a_batch_given_to_any_node_becomes_final_and_given_to_several_is_in_once() {
    let mut net = Net::start(0);
    let mut all = Vec::new();
    for node in 0..AUTHORITIES {
        all.push(net.anchor(node));
    }
    for _ in 0..8 {
        let submission = net.submission();
        let mut tasks = JoinSet::new();
        for node in 0..AUTHORITIES {
            let (api, bytes) = (net.api(node), submission.bytes());
            tasks.spawn_on(async move { api.submit_and_wait(bytes).await.unwrap() }, net.runtime.handle());
        }
        let answers = net.runtime.block_on(tasks.join_all());
        let places: Vec<Final> = answers
            .into_iter()
            .map(|answer| match answer.state {
                Some(State::Final(place)) => place,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
        all.push((submission, places[0]));
    }
    net.assert_recorded(&all);
    for (submission, place) in &all {
        for node in 0..AUTHORITIES {
            assert_eq!(net.submit(node, submission), State::Final(*place), "the first outcome again");
        }
    }
    net.assert_same_logs(&[0, 1, 2, 3]);
}

#[test]
fn a_batch_given_to_a_node_that_dies_after_accepted_becomes_final_when_that_node_returns() {
    let mut net = Net::start(0);
    net.anchor(0);
    for node in 0..3 {
        net.cluster.kill(node).unwrap();
    }
    let accepted = [net.submission(), net.submission()];
    for submission in &accepted {
        assert!(matches!(net.submit(3, submission), State::Accepted(_)));
    }
    net.cluster.kill(3).unwrap();
    for node in 0..3 {
        net.cluster.start(node).unwrap();
    }
    for node in 0..3 {
        net.cluster.wait_ready(node).unwrap();
    }
    let other = net.anchor(1);
    for submission in &accepted {
        assert!(matches!(net.state(0, submission), State::Unknown(_)), "only the dead node has it");
    }
    net.cluster.start(3).unwrap();
    net.cluster.wait_answers(3).unwrap();
    let mut all = vec![other];
    for submission in accepted {
        let place = net.wait_final(0, &submission);
        all.push((submission, place));
    }
    net.assert_recorded(&all);
    net.assert_same_logs(&[0, 1, 2, 3]);
}
