//! Every rule of the consensus has a mutant: a cluster whose nodes break it must fail a scenario, or the simulation proves
//! nothing.
//!
//! `cargo test --release -p markstein-tests --features mutants --test mutants -- --nocapture` lists what catches which.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};

use markstein_consensus::Mutant as Rule;
use markstein_node::{driver::Mutant, pool::Mutant as PoolRule};
use markstein_tests::simulation::{
    Hostile, Seed, damage, four_with_crashes, four_with_one_silent, four_with_traitor, four_with_twins,
    hostile_issuer, outage_after_a_cosignature, restored_copy, seven_with_twins, six_with_crashes,
    slow_links,
};

type Scenario = (&'static str, fn(Seed));

const CRASHES: Scenario = ("four with crashes", |seed| drop(four_with_crashes(seed)));
const SILENT: Scenario = ("four, one silent", |seed| drop(four_with_one_silent(seed)));
const TWINS: Scenario = ("four with twins", |seed| drop(four_with_twins(seed)));
const SIX: Scenario = ("six with crashes", |seed| drop(six_with_crashes(seed)));
const SEVEN: Scenario = ("seven with twins", |seed| drop(seven_with_twins(seed)));
const RESTORED: Scenario = ("a restored copy", |seed| _ = restored_copy(seed, 4));
const DAMAGE: Scenario = ("a damaged disk", |seed| _ = damage(seed, 4));
const OUTAGE: Scenario = ("an outage of all", |seed| outage_after_a_cosignature(seed, 4));
const SLOW: Scenario = ("slow links", |seed| slow_links(seed, 4));
const MISLEADER: Scenario = ("four, one misleading", |seed| drop(four_with_traitor(seed, "misleader")));
const FORGER: Scenario = ("four, one forging", |seed| drop(four_with_traitor(seed, "forger")));
const RELABELLER: Scenario = ("four, one relabelling", |seed| drop(four_with_traitor(seed, "relabeller")));
const FAR: Scenario = ("four, one far ahead", |seed| drop(four_with_traitor(seed, "far future")));
const FUTURE: Scenario =
    ("four, one in the future", |seed| drop(four_with_traitor(seed, "builder in the future")));
const PAST: Scenario = ("four, one in the past", |seed| drop(four_with_traitor(seed, "builder in the past")));
const BACKWARDS: Scenario =
    ("four, one before the parent", |seed| drop(four_with_traitor(seed, "builder before the parent")));
const BESIDE: Scenario =
    ("four, one beside the parent", |seed| drop(four_with_traitor(seed, "builder beside the parent")));
const STATUS: Scenario =
    ("four, one with wrong roots", |seed| drop(four_with_traitor(seed, "builder of wrong status roots")));

const COLLIDING: Scenario = ("colliding changes", |seed| hostile(seed, Hostile::Colliding));
const DEAR: Scenario = ("dear batches", |seed| hostile(seed, Hostile::Dear));
const DIVIDED: Scenario = ("pools that differ", |seed| hostile(seed, Hostile::Divided));
const BACKLOG: Scenario = ("a backlog", |seed| hostile(seed, Hostile::Backlog));
const FULL: Scenario = ("full pools", |seed| hostile(seed, Hostile::Full));
const CROWD: Scenario = ("a crowd", |seed| hostile(seed, Hostile::Crowd));

fn hostile(seed: Seed, hostile: Hostile) {
    drop(hostile_issuer(seed, hostile, 5_000));
}

/// Seeds within which a mutant must be caught.
const SEEDS: u64 = 300;

const fn rule(rule: Rule) -> Mutant {
    Mutant::Engine(rule)
}

/// The same where work takes time: what is slow is slow with every seed.
const HOSTILE_SEEDS: u64 = 2;

/// Each with the scenarios that may catch it, where work takes time.
const BUSY_MUTANTS: &[(Mutant, &[Scenario])] = &[
    (Mutant::LookAtAll, &[COLLIDING]),
    (Mutant::Pool(PoolRule::LookAgain), &[COLLIDING]),
    (Mutant::Pool(PoolRule::ForgetNotNow), &[COLLIDING, DIVIDED]),
    (Mutant::Pool(PoolRule::AskWithoutRoom), &[FULL]),
    (Mutant::Pool(PoolRule::AcceptAll), &[CROWD, BACKLOG]),
    (Mutant::Pool(PoolRule::NoTurns), &[BACKLOG, CROWD]),
    (Mutant::UrgentVerdicts, &[COLLIDING, DEAR, DIVIDED, BACKLOG, CROWD]),
    (Mutant::UrgentBatches, &[CROWD, BACKLOG, COLLIDING]),
];

const STORMS: &[Scenario] = &[CRASHES, SILENT, TWINS, SEVEN];

/// Each with the scenarios that may catch it.
const MUTANTS: &[(Mutant, &[Scenario])] = &[
    (Mutant::CosignUndecided, &[OUTAGE]),
    (rule(Rule::ForgetVotes), STORMS),
    (rule(Rule::ThinNotarize), STORMS),
    (Mutant::SendFirst, STORMS),
    (Mutant::Unsynced, STORMS),
    (Mutant::IgnoreFailure, STORMS),
    (Mutant::ThinBatches, STORMS),
    (rule(Rule::VoteEach), &[CRASHES, TWINS, SEVEN]),
    (rule(Rule::FinalizeAfterNullify), STORMS),
    (rule(Rule::NullifyAfterFinalize), STORMS),
    (rule(Rule::AnyParent), &[BESIDE]),
    (Mutant::BeforeParent, &[BACKWARDS]),
    (rule(Rule::AnySkew), &[CRASHES, FUTURE]),
    (rule(Rule::AnyAge), &[CRASHES, PAST]),
    (Mutant::AnyHeader, &[STATUS]),
    (Mutant::NoInquiry, &[RESTORED]),
    (rule(Rule::IgnoreClaims), &[RESTORED]),
    (Mutant::VoteAfterLoss, &[DAMAGE]),
    (rule(Rule::NoOwnVoteReplay), STORMS),
    (rule(Rule::NoCertificateGossip), STORMS),
    (rule(Rule::NoResend), STORMS),
    (rule(Rule::NoProof), STORMS),
    (rule(Rule::NoFinish), &[CRASHES]),
    (rule(Rule::NoFetchRetry), STORMS),
    (rule(Rule::TrustLists), &[CRASHES, TWINS, SEVEN, MISLEADER]),
    (rule(Rule::DeafAfterNullify), STORMS),
    (rule(Rule::NoGrowth), &[SLOW]),
    (Mutant::NoReconciliation, STORMS),
    (Mutant::AnyRange, &[MISLEADER]),
    (Mutant::AnyBatches, &[MISLEADER]),
    (Mutant::AnySignature, &[FORGER]),
    (Mutant::AnyLedger, &[RELABELLER]),
    (Mutant::AnyEpoch, &[RELABELLER]),
    (Mutant::AnyView, &[RELABELLER]),
    (Mutant::AnyKind, &[RELABELLER]),
    (rule(Rule::SmallQuorum), &[SIX]),
    (Mutant::FarViews, &[FAR]),
];

/// What noticed a mutant, and how it said so.
type Catch = (&'static str, u64, String);

fn caught(mutant: Mutant, scenarios: &[Scenario], seeds: u64) -> Option<Catch> {
    let fails = |seed: u64, (name, run): &Scenario| {
        let panic = catch_unwind(AssertUnwindSafe(|| run(Seed::from(seed).breaking(mutant)))).err()?;
        Some((*name, seed, said(&*panic)))
    };
    (0..seeds).find_map(|seed| scenarios.iter().find_map(|scenario| fails(seed, scenario)))
}

/// Whether nothing is noticed in the same run where nothing is broken.
fn is_clean(scenarios: &[Scenario], catch: &Catch) -> bool {
    let run = scenarios.iter().find(|(name, _)| *name == catch.0).unwrap().1;
    catch_unwind(|| run(Seed::from(catch.1))).is_ok()
}

/// The first line of what a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    text.lines().next().unwrap_or_default().chars().take(90).collect()
}

#[test]
fn every_broken_rule_is_noticed() {
    notice(MUTANTS, SEEDS);
}

#[test]
fn every_cause_of_a_standstill_is_noticed() {
    notice(BUSY_MUTANTS, HOSTILE_SEEDS);
}

fn notice(mutants: &[(Mutant, &[Scenario])], seeds: u64) {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((mutant, scenarios)) = mutants.get(next.fetch_add(1, Relaxed)) {
            let start = Instant::now();
            let by = caught(*mutant, scenarios, seeds);
            println!("{mutant:?}: {by:?}, {:.1} s", start.elapsed().as_secs_f64());
            if !by.is_some_and(|by| is_clean(scenarios, &by)) {
                missed.lock().unwrap().push(*mutant);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    std::panic::set_hook(hook);
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "nothing notices {missed:?}, or what does it does so without them, too");
}
