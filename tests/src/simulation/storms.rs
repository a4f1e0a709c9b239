//! Storms of one kind each, as hard as they come: faults follow fast, then all heal and progress is demanded of everybody
//! who is not faulty himself.

use crate::simulation::{
    cluster::Cluster,
    scenarios::{Outcome, STORM, betray, weather},
    signing::Seed,
    traitors::{self, Mute},
};

/// The longest pause between two faults.
const PAUSE: u64 = 1200;

/// Four honest authorities and an observer: crashes, power cuts at any commit, loss, partitions that move.
pub fn four_with_crashes(seed: impl Into<Seed>) -> Outcome {
    storm(seed, 4, |_| ())
}

/// Six honest authorities, who bear one faulty one and whose quorum is five: two halves must not decide by themselves.
pub fn six_with_crashes(seed: impl Into<Seed>) -> Outcome {
    storm(seed, 6, |_| ())
}

/// One of four never says anything: it is down, or it is mute.
pub fn four_with_one_silent(seed: impl Into<Seed>) -> Outcome {
    storm(seed, 4, |cluster| {
        let node = cluster.random.below(4) as usize;
        if cluster.chance(50) {
            cluster.absent.insert(node);
            cluster.excused.insert(node);
        } else {
            betray(cluster, node, Box::new(Mute));
        }
    })
}

/// The keys of one of four run on two nodes.
pub fn four_with_twins(seed: impl Into<Seed>) -> Outcome {
    storm(seed, 4, |cluster| {
        let authority = cluster.random.below(4) as usize;
        cluster.twin(authority);
    })
}

/// The keys of two of seven run on two nodes each.
pub fn seven_with_twins(seed: impl Into<Seed>) -> Outcome {
    storm(seed, 7, |cluster| {
        let first = cluster.random.below(7) as usize;
        let second = (first + 1 + cluster.random.below(6) as usize) % 7;
        cluster.twin(first);
        cluster.twin(second);
    })
}

/// One of four is a traitor, of the kind with this name.
pub fn four_with_traitor(seed: impl Into<Seed>, kind: &str) -> Outcome {
    storm(seed, 4, |cluster| {
        let node = cluster.random.below(4) as usize;
        let traitor = traitors::all().into_iter().find(|traitor| traitor.name() == kind);
        betray(cluster, node, traitor.expect("a traitor of this name"));
    })
}

fn storm(seed: impl Into<Seed>, n: usize, prepare: impl FnOnce(&mut Cluster)) -> Outcome {
    let mut cluster = Cluster::new(seed, n, 1);
    cluster.pause = PAUSE;
    prepare(&mut cluster);
    weather(&mut cluster, STORM);
    Outcome::of(&cluster)
}
