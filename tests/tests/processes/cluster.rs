//! Several nodes: a devnet that loses one, and nodes that are run, held and killed one by one.

use std::fs;

use markstein_client::api::{Role, batch_state::State};
use markstein_tests::{
    client::Client, cluster::Cluster, craft::Signer, devnet::Devnet, grpc::Api, random::Random,
};

use crate::support::{runtime, submissions};

fn missing(status: &markstein_client::api::StatusResponse) -> Vec<&str> {
    status.authorities.iter().filter(|a| !a.connected).map(|a| a.authority_id.as_str()).collect()
}

#[test]
fn a_devnet_of_several_goes_on_without_one_and_says_who_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut devnet = Devnet::start_with(&folder.path().join("ledger"), 4, 1).unwrap();
    assert_eq!((devnet.nodes().len(), devnet.observers().len()), (4, 1));
    let pids: Vec<_> = devnet.nodes().iter().chain(devnet.observers()).map(|node| node.pid).collect();
    assert!(pids.iter().enumerate().all(|(i, pid)| !pids[..i].contains(pid)), "{pids:?}");

    devnet.kill_node(2).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", pids[2])).exists());
    let document = folder.path().join("decision.txt");
    fs::write(&document, "Bescheid 63/2026").unwrap();
    let client = Client::new(&folder.path().join("state")).unwrap();
    let (key, paper) = (devnet.issuer_key(), document.to_str().unwrap().to_owned());
    // Given to the observer, which passes it on.
    let (url, key) = (devnet.observers()[0].grpc.clone(), key.to_str().unwrap().to_owned());
    let anchor = ["anchor", "--node", &url, "--key", &key, "--type", "decision", &paper];
    let anchored = client.run(anchor).unwrap();
    assert_eq!(anchored.code, Some(0), "{}", anchored.said());
    let genesis = devnet.genesis();
    let verified = client.run(["verify", "--genesis", genesis.to_str().unwrap(), &paper]).unwrap();
    assert_eq!(verified.code, Some(0), "{}", verified.said());
    assert!(devnet.stop().unwrap().success());
}

#[test]
fn each_node_of_a_cluster_is_run_held_and_killed_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::prepare(&folder.path().join("ledger"), 4, 1).unwrap();
    assert!((0..5).all(|i| !cluster.is_running(i) && cluster.log(i).is_empty()));
    cluster.start_all().unwrap();
    let status = cluster.status(4).unwrap();
    assert_eq!((status.role(), status.voting, status.authorities.len()), (Role::Observer, false, 4));

    // Two of four are too few: reads go on, what is accepted waits, and it is said who is missing.
    cluster.kill(3).unwrap();
    cluster.pause(2).unwrap();
    let [c, d] = [2, 3].map(|i| format!("authority-{i}.devnet.example"));
    cluster.wait_status(0, "misses two", |status| missing(status) == [&c, &d] && !status.serving).unwrap();
    let status = cluster.status(0).unwrap();
    assert!(
        status.conditions[0].starts_with("no quorum: 2 of 4 authorities take part and 3 are needed"),
        "{status:?}"
    );
    let client = Client::new(&folder.path().join("state")).unwrap();
    let said = client.run(["status", "--node", &cluster.url(0).unwrap()]).unwrap();
    assert_eq!(said.code, Some(3), "{}", said.said());
    assert!(said.stdout.contains(&format!("missing: {c}, {d}")), "{}", said.said());

    let signer = Signer::read(&cluster.issuer_key()).unwrap();
    let submission = submissions(&signer, &mut Random::new(3), 1).remove(0);
    let runtime = runtime();
    runtime.block_on(async {
        let api = Api::connect(&cluster.url(0).unwrap()).await.unwrap();
        let state = api.submit(submission.bytes()).await.unwrap();
        assert!(matches!(state.state, Some(State::Accepted(_))), "{state:?}");
    });

    // One comes back, and it is decided without anyone's help.
    cluster.resume(2).unwrap();
    cluster.wait_status(0, "misses one", |status| missing(status) == [&d] && status.serving).unwrap();
    runtime.block_on(async {
        let api = Api::connect(&cluster.url(0).unwrap()).await.unwrap();
        let states = api.decided(&[submission.id()]).await.unwrap();
        assert!(matches!(states[0].state, Some(State::Final(_))), "{states:?}");
    });

    // The one that was killed catches up.
    cluster.start(3).unwrap();
    cluster.wait_ready(3).unwrap();
    let height = cluster.status(0).unwrap().height;
    cluster.wait_status(3, "has caught up", |status| status.height >= height && status.voting).unwrap();
    for i in 0..5 {
        assert!(cluster.stop(i).unwrap().success(), "{}", cluster.log(i));
    }
}
