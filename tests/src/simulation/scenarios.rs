//! What is done to a cluster.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use markstein_consensus::Timing;
use markstein_node::{
    ledger::State,
    messages::RANGE_HEADERS_MAX,
    peer::Peer,
    storage::{
        Read,
        tables::{Meta, MetaKey},
    },
};
use markstein_proto::status::Status;

use crate::simulation::{
    cluster::{Cluster, Event},
    signing::{Seed, Signing},
    support::HOUR,
    traitors::{self, Traitor},
};

/// Runs a scenario for each seed; one that fails says how to run it again.
pub fn each_seed(test: &str, count: u64, mut scenario: impl FnMut(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let first = number("MARKSTEIN_FIRST_SEED").unwrap_or(0);
    for seed in first..first + number("MARKSTEIN_SEEDS").unwrap_or(count) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            eprintln!(
                "\nAgain: MARKSTEIN_FIRST_SEED={seed} MARKSTEIN_SEEDS=1 cargo test --release -p markstein-tests \
                 --test simulation {test}\n"
            );
            resume_unwind(panic);
        }
    }
}

/// How long faults go on in the tests, in milliseconds.
pub const STORM: u64 = 20_000;
/// Submissions in that time.
const SUBMISSIONS: u64 = 30;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Events.
    pub steps: u64,
    /// Milliseconds of the simulated time.
    pub simulated_ms: u64,
    /// Final blocks.
    pub height: u64,
    /// Batches that clients submitted.
    pub submissions: usize,
    /// Records whose status was changed.
    pub changed: usize,
    /// Names of the traitors.
    pub traitors: Vec<&'static str>,
    /// The most views without a final block after all faults had ended.
    pub views: u64,
    /// What they were named for.
    pub named: BTreeSet<&'static str>,
    /// What was signed with.
    pub signing: Signing,
    /// The longest that an honest issuer waited where others were hostile, and the longest that no block came meanwhile, in
    /// milliseconds.
    pub waited_ms: u64,
    /// See there.
    pub stood_ms: u64,
    /// The most of a second that a thread worked when they had ended, in milliseconds.
    pub worked_ms: u64,
    /// A hash over all events in their order.
    pub trace: String,
}

impl Outcome {
    pub(super) fn of(cluster: &Cluster) -> Self {
        Self {
            steps: cluster.steps,
            simulated_ms: cluster.now,
            height: cluster.watch.agreement.height(),
            submissions: cluster.clients.submissions.len(),
            changed: cluster.watch.validity.anchors().iter().filter(|(_, s)| *s != Status::Valid).count(),
            traitors: cluster.traitors.values().map(|traitor| traitor.name()).collect(),
            views: cluster.watch.progress.most,
            named: cluster.named.keys().map(|(_, kind)| *kind).collect(),
            signing: cluster.world.signing,
            waited_ms: cluster.watch.fair.longest(),
            worked_ms: cluster.watch.rested.most,
            stood_ms: cluster.watch.stalled.longest,
            trace: cluster.trace().to_string(),
        }
    }
}

/// Crashes, power cuts, loss and partitions under load for a while, with an observer, and now and then a wrong clock.
pub fn storm(seed: impl Into<Seed>, n: usize, span: u64) -> Outcome {
    let mut cluster = Cluster::new(seed, n, 1);
    weather(&mut cluster, span);
    cluster.demand_silence();
    Outcome::of(&cluster)
}

/// The same with as many traitors as may be, of any kinds.
pub fn storm_with_traitors(seed: impl Into<Seed>, n: usize, span: u64) -> Outcome {
    let mut cluster = Cluster::new(seed, n, 1);
    for _ in 0..cluster.world.faulty_max() {
        let mut kinds = traitors::all();
        let kind = cluster.random.below(kinds.len() as u64 + 1) as usize;
        let node = cluster.random.below(n as u64) as usize;
        if kind == kinds.len() && cluster.is_honest(node) {
            cluster.twin(node);
        } else {
            betray(&mut cluster, node, kinds.swap_remove(kind.min(kinds.len() - 1)));
        }
    }
    weather(&mut cluster, span);
    Outcome::of(&cluster)
}

pub(super) fn weather(cluster: &mut Cluster, span: u64) {
    if cluster.traitors.is_empty() && cluster.chance(20) {
        let node = cluster.any_node();
        cluster.mistime(node);
    }
    cluster.start_all();
    cluster.network.duplicates = 5;
    cluster.network.loss = cluster.random.below(10);
    for _ in 0..SUBMISSIONS * span / STORM {
        let delay = cluster.random.below(span);
        cluster.plan_submission(delay);
    }
    let delay = cluster.random.below(1500);
    cluster.at(delay, Event::Chaos);
    cluster.run(cluster.now + span, |_| false);
    cluster.heal();
    cluster.plan_submission(1);
    cluster.demand_progress();
}

pub(super) fn betray(cluster: &mut Cluster, node: usize, traitor: Box<dyn Traitor>) {
    if cluster.traitors.is_empty() {
        cluster.at(100, Event::Beside);
    }
    let skew = traitor.skew(&mut cluster.random);
    cluster.nodes[node].skew += skew;
    if !traitor.follows() {
        cluster.excused.insert(node);
    }
    cluster.traitors.insert(node, traitor);
    if let Peer::Authority(number) = cluster.world.peer(node) {
        cluster.watch.votes.traitors.insert(number);
    }
}

/// Each traitor is named for what it does, by some honest node in some seed.
pub fn names_every_traitor() {
    let names: Vec<_> = traitors::all().iter().map(|traitor| (traitor.name(), traitor.kinds())).collect();
    for (number, (name, kinds)) in names.into_iter().enumerate() {
        let mut named = BTreeSet::new();
        each_seed("every_traitor_is_named", 4, |seed| {
            named.extend(traitor(seed, 4, traitors::all().swap_remove(number)));
        });
        let missing: Vec<_> = kinds.iter().filter(|kind| !named.contains(*kind)).collect();
        assert!(missing.is_empty(), "the {name} is named {named:?}, and not {missing:?}");
    }
}

/// One traitor among honest nodes, one of which is away for a while: they go on, and name it. Gives the kinds.
fn traitor(seed: u64, n: usize, traitor: Box<dyn Traitor>) -> BTreeSet<&'static str> {
    let mut cluster = Cluster::new(seed, n, 1);
    let node = (seed % n as u64) as usize;
    betray(&mut cluster, node, traitor);
    cluster.start_all();
    for step in 0..12 {
        cluster.plan_submission(2000 + 700 * step);
    }
    let start = cluster.now;
    cluster.run(start + 3000, |_| false);
    let away = (node + 1) % n;
    cluster.crash(away);
    cluster.run(start + 8000, |_| false);
    cluster.start(away);
    cluster.run(start + 14_000, |_| false);
    cluster.demand_progress();
    cluster.named.keys().filter(|(named, _)| *named == node).map(|(_, kind)| *kind).collect()
}

/// Everybody loses power right after a submission was accepted, and comes back soon, or after more than a day: what was
/// accepted becomes final, or is refused as too old. Gives how many were refused.
pub fn outage(seed: u64, n: usize) -> usize {
    let mut cluster = Cluster::new(seed, n, 1);
    cluster.start_all();
    cluster.plan_submission(1);
    cluster.demand_progress();
    let spread = 1 + cluster.random.below(60);
    for _ in 0..5 {
        let delay = 1 + cluster.random.below(spread);
        cluster.plan_submission(delay);
    }
    cluster.run(cluster.now + spread, |_| false);
    let is_long = cluster.chance(50);
    let all = 0..cluster.nodes.len();
    all.for_each(|node| cluster.crash(node));
    cluster.run(cluster.now + if is_long { 25 * HOUR } else { 3000 }, |_| false);
    cluster.clients.submissions.iter_mut().for_each(|one| one.late |= is_long);
    cluster.start_all();
    cluster.demand_progress();
    cluster.demand_silence();
    cluster.refused()
}

/// The power of all goes right after one has cosigned a block, whose finalize votes are on the disks and which may not be
/// on any itself. Whoever cosigned it cosigns nothing older when it is back.
pub fn outage_after_a_cosignature(seed: impl Into<Seed>, n: usize) {
    let mut cluster = Cluster::new(seed, n, 1);
    cluster.start_all();
    cluster.plan_submission(1);
    cluster.demand_progress();
    for _ in 0..3 {
        let (before, until) = (cluster.watch.cosigned.largest(), cluster.now + 10_000);
        cluster.plan_submission(1);
        while cluster.watch.cosigned.largest() == before && cluster.now < until {
            cluster.run(cluster.now + 1, |_| false);
        }
        (0..cluster.nodes.len()).for_each(|node| cluster.crash(node));
        cluster.run(cluster.now + 3000, |_| false);
        cluster.start_all();
        cluster.demand_progress();
    }
    cluster.demand_silence();
}

/// Messages take longer than the first timeout of a view, up to several times as long, and always will: blocks become
/// final all the same, since views are given more time.
pub fn slow_links(seed: impl Into<Seed>, n: usize) {
    let mut cluster = Cluster::new(seed, n, 1);
    cluster.network.delay = 4 * Timing::default().view_timeout;
    cluster.start_all();
    (0..5).for_each(|step| cluster.plan_submission(1 + 3000 * step));
    cluster.demand_progress();
}

/// A node that was away for many blocks catches up, and its power goes at any commit of that, again and again.
pub fn catch_up(seed: u64, n: usize) {
    let mut cluster = Cluster::new(seed, n, 1);
    cluster.start_all();
    let (away, blocks) = (cluster.any_node(), 50 + cluster.random.below(25));
    let keeps = cluster.random.below(4);
    cluster.run(cluster.now + keeps * 500, |_| false);
    cluster.crash(away);
    let present = (0..cluster.nodes.len()).find(|node| *node != away).unwrap_or(0);
    (0..blocks).for_each(|step| cluster.plan_submission_to(vec![(present, 0)], 500 + 120 * step));
    cluster.run(cluster.now + 1500 + 120 * blocks, |_| false);
    if cluster.watch.agreement.height() <= 16 {
        return; // no more than is asked for at once: the storm of this seed made few blocks
    }
    let disk = Arc::clone(&cluster.nodes[away].disk);
    for _ in 0..6 {
        let (commits, taken) = (cluster.random.below(12), cluster.chance(50));
        cluster.start(away);
        disk.fail_after(commits, taken);
        cluster.network.loss = cluster.random.below(20);
        let span = 500 + cluster.random.below(3000);
        cluster.run(cluster.now + span, |_| false);
    }
    cluster.heal();
    cluster.demand_progress();
    cluster.demand_silence();
}

/// A node that was away for more blocks than one answer has headers for gets them from peers of whom one lies about all of it, and
/// its power goes meanwhile. Gives what the liar was named for.
pub fn long_catch_up(seed: u64) -> BTreeSet<&'static str> {
    let mut cluster = Cluster::new(seed, 4, 1);
    let (liar, away) = ((seed % 4) as usize, ((seed + 1) % 4) as usize);
    let misleads = traitors::all().into_iter().find(|traitor| traitor.name() == "misleader");
    betray(&mut cluster, liar, misleads.expect("it is one of them"));
    cluster.start_all();
    cluster.crash(away);
    let (present, blocks) = ((away + 1) % 4, RANGE_HEADERS_MAX as u64 + 200);
    (0..blocks).for_each(|step| cluster.plan_submission_to(vec![(present, 0)], 500 + 100 * step));
    cluster.run(cluster.now + 1000 + 100 * blocks, |_| false);
    let behind = cluster.watch.agreement.height();
    assert!(behind > RANGE_HEADERS_MAX as u64, "{behind} blocks fit into one answer");
    let commits = cluster.random.below(behind);
    cluster.start(away);
    cluster.nodes[away].disk.fail_after(commits, true);
    cluster.run(cluster.now + 20_000, |_| false);
    cluster.heal();
    cluster.plan_submission(1);
    cluster.demand_progress();
    cluster.named.keys().filter(|(named, _)| *named == liar).map(|(_, kind)| *kind).collect()
}

/// An authority's disk is put back to an older copy after it voted, without a quorum: it never votes again where it
/// voted before, and follows. Gives whether it knows that it forgot.
pub fn restored_copy(seed: impl Into<Seed>, n: usize) -> bool {
    let seed = seed.into();
    let mut cluster = Cluster::new(seed, n, 1);
    let node = (seed.number % n as u64) as usize;
    cluster.start_all();
    cluster.plan_submission(1);
    cluster.demand_progress();
    let copy = cluster.nodes[node].disk.copy();
    cluster.plan_submission(1);
    cluster.run(cluster.now + 2000, |_| false);
    // Some only listen, so that nothing becomes final, and all know what this node says.
    let silent: Vec<usize> = (1..=cluster.world.faulty_max() + 1).map(|step| (node + step) % n).collect();
    let all = cluster.nodes.len();
    let cuts = silent.iter().flat_map(|from| (0..all).map(move |to| (*from, to)));
    cluster.network.cut = cuts.filter(|(_, to)| !silent.contains(to)).collect();
    cluster.plan_submission_to(vec![(node, 0)], 1);
    cluster.run(cluster.now + 4000, |_| false);
    let newest = cluster.watch.votes.forget(node as u32);
    let last_final = cluster.live(node).driver.state().tip().view.0;
    if newest <= last_final {
        return false; // it had no turn to say anything that is not decided
    }
    cluster.crash(node);
    cluster.nodes[node].disk = Arc::new(copy);
    cluster.network.heal();
    cluster.start(node);
    // What it accepted is lost with its disk, unless others have it.
    cluster.clients.submissions.iter_mut().for_each(|one| {
        one.accepted.remove(&node);
    });
    cluster.demand_progress();
    let live = cluster.live(node);
    let forgot = live.db.contains::<Meta>(&MetaKey::Amnesia).unwrap();
    assert_eq!(forgot, !cluster.is_voting(node), "who forgot does not vote");
    forgot
}
