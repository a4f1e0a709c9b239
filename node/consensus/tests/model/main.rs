//! The real engine, four authorities, few views: every order of everything, breadth first.
//!
//! `cargo test --release -p markstein-consensus --test model -- --nocapture` prints what was explored;
//! `MARKSTEIN_MODEL=deep` goes further, and the feature `mutants` adds engines that break a rule, which must fail here.
//!
//! **A state** is what each honest authority sent and knows. The network is the set of all that was ever said: anything in it
//! can come at any time, more than once or never, so loss, repetition and reordering need no moves of their own. The traitor
//! adds no state: all its votes, on every subject, and all its blocks (two on each earlier block) are there from the start,
//! and whoever likes hears them. So a certificate can be had where two of the three honest ones voted alike. What an honest
//! fourth would say is among this, so a run of four honest ones in which one crashes is covered too: a fork is between two
//! nodes, and one of the other two plays the traitor's part.
//!
//! **Moves** of an authority: its timeout ends, its block is built, a leader's block comes, a certificate comes, or its power
//! goes, between two steps or in the middle of one: any number of its last writes that let no vote out are lost. Each is made
//! on a real engine, rebuilt from its inputs ([`node`]); what follows from what is remembered ([`locals`]), so that the search
//! of all states ([`explore`]) works on numbers.
//!
//! **Reductions**, and why nothing is lost by them:
//! - Votes come as certificates. Fewer than a quorum of votes move nothing but what a timeout or a certificate moves as
//!   well. Where the last vote of a quorum is cast in the same step, the model makes two steps of it, with all that lies
//!   between. That certificates and single votes, repeated and in either order, come to the same is demanded of each step.
//! - A block that is not voted for as it comes is taken to come later. Certificates travel by themselves, not in proposals.
//! - A quiet step (no vote) is put off where the engine shows that it can be made after the vote to the same end.
//! - Bodies that are fetched, checks and ranges are answered at once, and all blocks are valid.
//! - Histories are one state where all that the engine shows is equal: view, final block, certificates, own votes, blocks, and the
//!   journal while a crash is still to come. Some histories of each state are made to go on side by side and must agree.
//! - Authorities that lead no view within the bound are interchangeable.
//!
//! **Bounds**: the views; one traitor; one crash; two blocks of a traitor on one parent; no clock bounds, no silent leaders.
//!
//! Its own search and not a general model checker (stateright would do, MIT): that one wants states that can be copied and
//! compared and every interleaving as a transition, while here the engine is neither, and most interleavings are put off.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod explore;
mod locals;
mod node;
mod world;

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "mutants")]
mod mutants;

use explore::{Plan, Violation, explore};

#[cfg(feature = "mutants")]
use markstein_consensus::Mutant;

/// Without the feature no rule can be broken.
#[cfg(not(feature = "mutants"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// None is.
    None,
}

fn plan(views: u64, traitor: Option<u32>, crash: Option<u32>) -> Plan {
    Plan { views, traitor, crash, mutant: Mutant::None, forks_only: false }
}

fn tell(violation: &Violation) {
    println!("{}", violation.fault);
    violation.trace.iter().for_each(|line| println!("    {line}"));
}

fn holds(plan: Plan) {
    match explore(plan) {
        Ok(count) => {
            let Plan { views, traitor, crash, .. } = plan;
            println!("{views} views, traitor {traitor:?}, crash {crash:?}: {count:?}");
            assert!(count.final_blocks > 0, "something becomes final");
        }
        Err(violation) => {
            tell(&violation);
            panic!("{plan:?}: {}", violation.fault);
        }
    }
}

#[test]
fn two_views_with_a_traitor() {
    (0..3).for_each(|traitor| holds(plan(2, Some(traitor), None)));
}

#[test]
fn two_views_with_a_traitor_and_a_crash() {
    // Authorities 2 and 3 are alike here.
    for (traitor, crash) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 3)] {
        holds(plan(2, Some(traitor), Some(crash)));
    }
}

#[test]
fn two_views_of_four_honest_ones() {
    holds(plan(2, None, None));
}

#[test]
fn three_views_with_a_traitor() {
    if std::env::var("MARKSTEIN_MODEL").is_ok_and(|bound| bound == "deep") {
        [3, 2, 0, 1].into_iter().for_each(|traitor| holds(plan(3, Some(traitor), None)));
    } else {
        println!("three views: only with MARKSTEIN_MODEL=deep");
    }
}
