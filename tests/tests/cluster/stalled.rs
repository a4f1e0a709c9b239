//! A network that stands still says why: in the status, the log and the health of its nodes.

use markstein_client::api::{FinalityState, HindranceReason, StatusResponse};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{Net, id, wait_for};

/// What health answers for the services: submissions, and what is read.
pub fn health(net: &Net, node: usize) -> (ServingStatus, ServingStatus) {
    let url = net.cluster.url(node).unwrap();
    net.runtime.block_on(async {
        let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        let mut client = HealthClient::new(channel);
        let mut of = async |service: &str| {
            let request = HealthCheckRequest { service: service.into() };
            client.check(request).await.unwrap().into_inner().status()
        };
        let reads = of("markstein.v1.Verification").await;
        assert_eq!(reads, of("").await);
        assert_eq!(reads, of("markstein.v1.Ledger").await);
        (of("markstein.v1.Anchoring").await, reads)
    })
}

#[test]
fn a_stall_says_who_is_missing_in_which_view_since_when_and_what_helps() {
    let mut net = Net::start(0);
    let (old, place) = net.anchor(0);
    assert_eq!(health(&net, 0), (ServingStatus::Serving, ServingStatus::Serving));

    net.cluster.kill(2).unwrap();
    net.cluster.kill(3).unwrap();
    let waiting = net.submission();
    net.submit(0, &waiting);
    let gone = [id(2), id(3)];
    let explains = |status: &StatusResponse| {
        let Some(finality) = &status.finality else { return false };
        let missing = finality.hindrances.iter().filter(|it| it.reason() == HindranceReason::Missing);
        let missing: Vec<_> = missing.map(|it| it.authority_id.clone()).collect();
        finality.state() == FinalityState::Paused && missing == gone && finality.waiting_ms >= 5_000
    };
    for node in [0, 1] {
        net.cluster.wait_status(node, "says who is missing", explains).unwrap();
        let status = net.cluster.status(node).unwrap();
        let finality = status.finality.as_ref().unwrap();
        assert_eq!((finality.taking_part, finality.needed_more), (2, 1), "{status:?}");
        assert_eq!(finality.would_help, gone);
        assert!(!status.serving && !finality.views.is_empty() && finality.views[0].view == status.view);
        let what = || format!("the log of {node} says it: {}", net.cluster.log(node));
        wait_for(what, || net.cluster.log(node).contains(&gone[0]).then_some(()));
        assert_eq!(health(&net, node), (ServingStatus::NotServing, ServingStatus::Serving));
    }

    let url = net.cluster.url(0).unwrap();
    let run = net.client.run(["status", "--node", &url]).unwrap();
    let words = ["PAUSED since", "; view ", "1 more needed of", "comes back by itself when one of"];
    for word in words.into_iter().chain(gone.iter().map(String::as_str)) {
        assert!(run.stdout.contains(word), "'{word}' is missing: {}", run.said());
    }
    assert_eq!(run.code, Some(3));
    // What was final is still served, with its proof.
    let receipt = net.runtime.block_on(net.api(1).receipt(place.head_index + 1));
    let mut receipt = receipt.unwrap();
    receipt.salt = Some(old.papers[0].salt);
    receipt.verify(&net.trust, &old.papers[0].digest).unwrap();

    net.cluster.start(3).unwrap();
    net.wait_final(0, &waiting);
    net.cluster.wait_ready(0).unwrap();
    let what = || format!("finality is back: {:?}, {}", net.cluster.status(0), net.cluster.log(0));
    wait_for(what, || {
        let is_said = net.cluster.log(0).contains("finality is back");
        (is_said && health(&net, 0).0 == ServingStatus::Serving).then_some(())
    });
    let status = net.cluster.status(0).unwrap();
    assert_eq!(status.finality.unwrap().state(), FinalityState::GoesOn);
}
