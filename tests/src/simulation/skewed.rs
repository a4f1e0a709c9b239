//! An authority whose clock is far off: the others name it, and say that its vote is the one that is missing.

use markstein_node::diagnosis::{Diagnosis, Hindrance, Reason, diagnose, sentence};

use crate::simulation::{cluster::Cluster, signing::Seed};

/// Clocks of others are this far off at most, to both sides.
const USUAL_MS: u64 = 2_000;
/// It takes less than this until all is said.
const FAR_MS: i64 = 150_000;
/// What is submitted together, so that there is something that is not made too late.
const SUBMISSIONS: usize = 8;

/// One of four has a clock that is far off, ahead or behind. The other three go on without it, and name it. Then another
/// one is away. Whose clock is behind takes no block of the others and makes none on one of theirs, so that these stand
/// still, and say that one of the two would help; whose clock is ahead takes them all the same. Gives by how much the
/// clock was off.
pub fn skewed_clock(seed: impl Into<Seed>) -> i64 {
    let seed = seed.into();
    let (wrong, is_behind) = ((seed.number % 4) as usize, seed.number % 8 < 4);
    let others: Vec<usize> = (0..4).filter(|node| *node != wrong).collect();
    let mut cluster = Cluster::new(seed, 4, 0);
    let far = FAR_MS + cluster.random.below(100_000) as i64;
    let skew = if is_behind { -far } else { far };
    cluster.nodes[wrong].skew = skew;
    cluster.mistimed.push(wrong);
    cluster.start_all();
    // Twice, for two leaders: one block at least has the time of an honest clock.
    for _ in 0..2 {
        submit(&mut cluster, others[0]);
        cluster.run(cluster.now + 10_000, |_| false);
    }
    for node in others.iter().copied() {
        let (diagnosis, _) = told(&cluster, node);
        assert!(!diagnosis.stops(), "node {node}: {diagnosis:?}");
        assert_eq!(hindered(&diagnosis), [("skewed", wrong)], "node {node}: {diagnosis:?}");
        demand_skew(&diagnosis, wrong, skew);
    }
    let (own, _) = told(&cluster, wrong);
    assert!(
        own.own_clock_off && hindered(&own) == [("skewed", wrong)],
        "it knows that it is its own: {own:?}"
    );

    let away = others[(seed.number / 8 % 3) as usize];
    cluster.crash(away);
    let left: Vec<usize> = others.iter().copied().filter(|node| *node != away).collect();
    let height = cluster.watch.agreement.height();
    submit(&mut cluster, left[0]);
    let is_said = |cluster: &Cluster| {
        let goes_on = cluster.watch.agreement.height() > height;
        left.iter().all(|node| told(cluster, *node).0.is_paused() || !is_behind && goes_on)
    };
    assert!(cluster.run(cluster.now + 60_000, is_said), "nobody says it\n{}", cluster.describe());
    for node in left.iter().copied() {
        let (diagnosis, words) = told(&cluster, node);
        let named = hindered(&diagnosis);
        assert!(named.contains(&("skewed", wrong)) && named.contains(&("missing", away)), "{diagnosis:?}");
        demand_skew(&diagnosis, wrong, skew);
        if is_behind {
            let mut would_help = [wrong, away];
            would_help.sort_unstable();
            assert_eq!((diagnosis.needed_more, &diagnosis.would_help[..]), (1, &would_help[..]), "{words}");
            assert!(words.contains(&format!("clock off from this node's: authority-{wrong}")), "{words}");
        }
    }
    cluster.heal();
    cluster.demand_progress();
    skew
}

fn submit(cluster: &mut Cluster, node: usize) {
    (0..SUBMISSIONS).for_each(|_| cluster.plan_submission_to(vec![(node, 0)], 1));
}

/// What a node says hinders finality, and in words.
fn told(cluster: &Cluster, node: usize) -> (Diagnosis, String) {
    let snapshot = cluster.live(node).view.get();
    let diagnosis = diagnose(&snapshot);
    let ids: Vec<String> = (0..4).map(|number| format!("authority-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let words = sentence(&snapshot, &diagnosis, &ids).unwrap_or_default();
    (diagnosis, words)
}

fn hindered(diagnosis: &Diagnosis) -> Vec<(&'static str, usize)> {
    diagnosis.hindrances.iter().map(|it| (it.reason.word(), it.authority)).collect()
}

/// It is named with about the time by which its clock is off.
fn demand_skew(diagnosis: &Diagnosis, wrong: usize, skew: i64) {
    let is_it = |it: &&Hindrance| it.authority == wrong;
    let reasons = diagnosis.hindrances.iter().filter(is_it).map(|it| it.reason);
    let ms = reasons.filter_map(|reason| match reason {
        Reason::Skewed { ms } => Some(ms),
        _ => None,
    });
    let ms: Vec<i64> = ms.collect();
    assert!(matches!(ms[..], [ms] if ms.abs_diff(skew) <= USUAL_MS + 1_000), "{ms:?} for {skew}");
}
