//! Processes that stand still and go on: a slow machine, a debugger, a partition that heals.

use markstein_client::api::batch_state::State;

use crate::support::{AUTHORITIES, Net};

#[test]
fn whichever_authority_stands_still_the_others_go_on_and_it_follows_when_it_goes_on() {
    let mut net = Net::start(0);
    let mut all = Vec::new();
    for held in 0..AUTHORITIES {
        net.cluster.pause(held).unwrap();
        for more in 1..=AUTHORITIES {
            let node = (held + more) % AUTHORITIES;
            if node != held {
                all.push(net.anchor(node)); // one of these views is the turn of the one that stands still
                all.push(net.anchor(node));
            }
        }
        net.cluster.resume(held).unwrap();
        all.push(net.anchor(held));
    }
    net.assert_recorded(&all);
    net.assert_same_logs(&[0, 1, 2, 3]);
}

#[test]
fn two_that_stand_still_hold_up_everything_and_lose_nothing() {
    let mut net = Net::start(0);
    net.anchor(0);
    let mut all = Vec::new();
    for held in [[2, 3], [0, 3]] {
        let going: Vec<usize> = (0..AUTHORITIES).filter(|node| !held.contains(node)).collect();
        held.iter().for_each(|node| net.cluster.pause(*node).unwrap());
        let submissions = [net.submission(), net.submission()];
        for (node, submission) in going.iter().zip(&submissions) {
            assert!(matches!(net.submit(*node, submission), State::Accepted(_)));
        }
        for node in &going {
            let stuck = |status: &markstein_client::api::StatusResponse| {
                !status.serving && status.pool_batches == submissions.len() as u64
            };
            net.cluster.wait_status(*node, "says that there is no quorum", stuck).unwrap();
        }
        for (node, submission) in going.iter().zip(&submissions) {
            assert!(matches!(net.state(*node, submission), State::Accepted(_)));
        }
        held.iter().for_each(|node| net.cluster.resume(*node).unwrap());
        for submission in submissions {
            let place = net.wait_final(held[0], &submission);
            all.push((submission, place));
        }
    }
    for node in 0..AUTHORITIES {
        net.cluster.wait_ready(node).unwrap();
    }
    net.assert_recorded(&all);
    net.assert_same_logs(&[0, 1, 2, 3]);
}
