//! One issuer with an ordinary grant that means harm, or two clerks at one moment: nobody else waits for what they do.

use markstein_client::api::{StatusResponse, batch_state::State};
use markstein_tests::{
    craft::Submission,
    grpc::Api,
    hostile::{Hostile, Poured, pour},
    random::Random,
};
use tokio::task::JoinHandle;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::{
    idle::{has_passed, heard},
    stalled::health,
    support::{AUTHORITIES, Net, wait_for},
};

/// Batches of ten thousand changes that wait, enough to keep a node busy for longer than a view lasts if it looks at
/// all of them for each block.
const DEAR: usize = 240;
/// After a restart of all, where nobody waits for what was decided before.
const DEAR_AT_RESTART: usize = 120;
/// Batches that a group of them leaves waiting, all but one; they are under way at one time.
const GROUP: usize = 8;
/// So many wait at least before anything is demanded.
const WAITING: u64 = 24;
/// Fewer, so that blocks are made whatever these cost: here they are fetched, again and again.
const DEAR_TO_FETCH: usize = 12;
/// By a node's clock: so long nothing may be fetched, while some heartbeats pass.
const QUIET_MS: u64 = 10_000;
const QUIET_BEATS: u64 = 3;
/// The least that a batch of ten thousand changes has, in bytes.
const DEAR_BYTES: u64 = 140_000;
/// For so long, by its own clock, each node goes on saying that it serves: some times longer than it takes it to notice
/// that nothing becomes final.
const SERVES_MS: u64 = 15_000;

/// A running ledger, and an issuer whose anchors are final on all nodes.
fn ledger() -> (Net, Hostile) {
    let (mut net, mut offices) = Net::prepare_with(0, &["mallory.example"]);
    net.cluster.start_all().unwrap();
    let mut hostile = Hostile::new(offices.remove(0), Random::new(net.random.next()));
    net.runtime.block_on(hostile.settle(&net.api(0))).unwrap();
    let size = net.cluster.status(0).unwrap().log_size;
    for node in 0..AUTHORITIES {
        net.cluster.wait_status(node, "has the anchors", |status| status.log_size >= size).unwrap();
    }
    (net, hostile)
}

/// Kills nodes 2 and 3, so that nothing is decided, and submits these to the two others.
fn fill(net: &mut Net, batches: Vec<Submission>) -> Poured {
    for node in [2, 3] {
        net.cluster.kill(node).unwrap();
    }
    let apis: Vec<Api> = [0, 1].map(|node| net.api(node)).into();
    let batches = batches.iter().map(Submission::bytes).collect();
    let poured = net.runtime.block_on(pour(&apis, batches));
    assert!(poured.taken.len() >= 2, "a node that has no quorum still takes some: {poured:?}");
    eprintln!("{} taken, turned down: {:?}", poured.taken.len(), poured.turned_down);
    poured
}

fn colliding(hostile: &mut Hostile, count: usize) -> Vec<Submission> {
    (0..count).map(|_| hostile.colliding().unwrap()).collect()
}

/// Goes on submitting to all nodes that run, until it is dropped: batches that wait, and batches that are refused after much work.
struct Onslaught(JoinHandle<()>);

impl Onslaught {
    fn start(net: &Net, hostile: &Hostile) -> Self {
        let apis: Vec<Api> = net.running().into_iter().map(|node| net.api(node)).collect();
        let mut hostile = hostile.clone();
        Self(net.runtime.spawn(async move {
            loop {
                hostile.turn();
                let mut group: Vec<_> =
                    colliding(&mut hostile, GROUP).iter().map(Submission::bytes).collect();
                group.push(hostile.refused().unwrap().bytes());
                pour(&apis, group).await;
            }
        }))
    }
}

impl Drop for Onslaught {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts nodes again, and waits until much waits in the pools of all that run: where those without a quorum took little,
/// by an onslaught.
fn start_with_much_that_waits(net: &mut Net, hostile: &Hostile, nodes: &[usize]) {
    for node in nodes {
        net.cluster.start(*node).unwrap();
        net.cluster.wait_answers(*node).unwrap();
    }
    let onslaught = Onslaught::start(net, hostile);
    for node in net.running() {
        let much = |status: &StatusResponse| status.pool_batches >= WAITING;
        net.cluster.wait_status(node, "has much that waits", much).unwrap();
    }
    drop(onslaught);
}

#[test]
fn colliding_batches_of_one_issuer_do_not_hold_up_anothers() {
    let (mut net, mut hostile) = ledger();
    let batches = colliding(&mut hostile, DEAR);
    fill(&mut net, batches);
    start_with_much_that_waits(&mut net, &hostile, &[2, 3]);
    let anchor_everywhere = |net: &mut Net| {
        for node in 0..AUTHORITIES {
            let (_, place) = net.anchor(node);
            eprintln!("through node {node}: final in block {}", place.height);
        }
    };
    anchor_everywhere(&mut net);
    let onslaught = Onslaught::start(&net, &hostile);
    anchor_everywhere(&mut net);
    drop(onslaught);
    anchor_everywhere(&mut net);
}

#[test]
fn a_ledger_whose_pools_are_full_of_colliding_batches_comes_back_after_a_restart_of_all() {
    let (mut net, mut hostile) = ledger();
    let batches = colliding(&mut hostile, DEAR_AT_RESTART);
    fill(&mut net, batches);
    start_with_much_that_waits(&mut net, &hostile, &[2, 3]);
    for node in 0..AUTHORITIES {
        net.cluster.kill(node).unwrap();
    }
    net.cluster.start_all().unwrap();
    for node in 0..AUTHORITIES {
        net.anchor(node);
    }
}

#[test]
fn two_changes_of_one_record_at_one_moment_keep_no_node_from_saying_that_it_serves() {
    let (mut net, mut hostile) = ledger();
    let both = [hostile.single().unwrap(), hostile.single().unwrap()];
    let poured = fill(&mut net, both.to_vec());
    assert_eq!(poured.taken, [0, 1], "neither knows of the other: {poured:?}");
    for node in [2, 3] {
        net.cluster.start(node).unwrap();
    }
    let is_final = |net: &Net, batch| matches!(net.state(0, batch), State::Final(_));
    wait_for(
        || "one of both is final".into(),
        || both.iter().any(|batch| is_final(&net, batch)).then_some(()),
    );
    for node in 0..AUTHORITIES {
        net.cluster.wait_ready(node).unwrap();
        net.anchor(node);
        let is_served = || (health(&net, node).0 == ServingStatus::Serving).then_some(());
        wait_for(|| format!("node {node} serves"), is_served);
    }
    let started = net.cluster.status(0).unwrap().uptime_ms;
    loop {
        for node in 0..AUTHORITIES {
            let status = net.cluster.status(node).unwrap();
            assert!(status.serving, "node {node} takes what becomes final, and says: {status:#?}");
            for condition in &status.conditions {
                let blames = |word: &&str| condition.contains(*word);
                let blamed = ["logs", "disks", "links", "not heard"].iter().find(|word| blames(word));
                assert_eq!(blamed, None, "node {node} has nobody to blame, and says: {condition}");
            }
            let (submissions, reads) = health(&net, node);
            assert_eq!((submissions, reads), (ServingStatus::Serving, ServingStatus::Serving), "{node}");
        }
        if net.cluster.status(0).unwrap().uptime_ms >= started + SERVES_MS {
            break;
        }
    }
    let (submission, _) = net.anchor(0); // and it was true
    assert!(is_final(&net, &submission));
}

#[test]
fn pools_that_differ_for_a_reason_do_not_fetch_from_each_other_for_ever() {
    let (mut net, mut hostile) = ledger();
    let batches = colliding(&mut hostile, DEAR_TO_FETCH);
    fill(&mut net, batches);
    // With one more node, one of them becomes final. The last node then learns of that before it hears of the others,
    // and may not take them.
    start_with_much_that_waits(&mut net, &hostile, &[2]);
    net.wait_votes(2);
    net.anchor(0);
    net.anchor(1);
    net.cluster.start(3).unwrap();
    net.cluster.wait_ready(3).unwrap();
    net.wait_votes(3);
    net.anchor(3);
    let what = || format!("nothing is fetched for {QUIET_MS} ms: {:?}", net.cluster.status(3));
    wait_for(what, || {
        let (first, started) = (heard(&net), net.cluster.status(3).unwrap().uptime_ms);
        let passed = || {
            let is_over = net.cluster.status(3).unwrap().uptime_ms >= started + QUIET_MS;
            (is_over && has_passed(&first, &heard(&net), QUIET_BEATS)).then_some(())
        };
        wait_for(|| "heartbeats".into(), passed);
        let last = heard(&net);
        let most = last.iter().map(|(link, peer)| peer.bytes_in - first[link].bytes_in).max().unwrap();
        eprintln!("{QUIET_MS} ms: at most {most} bytes came on one link");
        (most < DEAR_BYTES).then_some(())
    });
}
