//! Every rule has a mutant: an engine that breaks it must fail a scenario, or the scenarios prove nothing.
//!
//! `cargo test -p markstein-consensus --features mutants --test mutants -- --nocapture` lists what catches which.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::panic::catch_unwind;

use markstein_consensus::{
    AuthorityNumber, Effect, Engine, Fact, Input, Mutant, Now, Recipient, Setup, Timing, Verdict,
};
use markstein_proto::{
    EpochId, TimeMs,
    consensus::{Ballot, CheckedProposal, Proposal},
};
use support::{Cluster, KeyedSigner, START, Traitor, quiet, storm, traitors, whisper};

type Scenario = (&'static str, fn(u64, Mutant));

fn breaking(mutant: Mutant) -> impl Fn(&mut Cluster) {
    move |cluster| cluster.mutant = mutant
}

/// The second authority of four, alone with its journal.
fn engine(journal: Vec<Fact>, mutant: Mutant) -> Engine {
    let setup = Setup {
        epoch: EpochId(0),
        authorities: 4,
        me: AuthorityNumber(1),
        voting: markstein_consensus::Voting::Now,
        timing: Timing::default(),
        signer: Box::new(KeyedSigner(1)),
        last_final: support::genesis_block(),
        finalization: None,
    };
    Engine::with_mutant(setup, journal, at(0), mutant)
}

fn at(tick: u64) -> Now {
    Now { tick, clock: TimeMs(START + tick) }
}

/// A notarization reaches it before the block, with a finalize vote kept over a restart; then it leads.
fn alone(mutant: Mutant) {
    let block = support::body(&support::genesis_block(), 1, 0, START + 1, vec![support::batch(1)]);
    let id = block.header.block_id();
    let notarization = support::certificate(&[0, 2, 3], 1, Ballot::Notarize(id));
    let mut before = engine(vec![], mutant);
    let drain = |engine: &mut Engine| std::iter::from_fn(|| engine.poll_effect()).collect::<Vec<_>>();
    before.handle(at(0), Input::Certificate(AuthorityNumber(0), notarization));
    let committed = drain(&mut before).into_iter().filter_map(|effect| match effect {
        Effect::Commit { facts, .. } => Some(facts),
        _ => None,
    });
    let mut after = engine(committed.flatten().collect(), mutant);
    drain(&mut after);
    assert_eq!(after.view().0, 2, "a finalize vote is kept with its notarization");
    after.handle(at(200), Input::Tick);
    assert!(drain(&mut after).contains(&Effect::Fetch(id)), "asked for again");
    after.handle(at(201), Input::Fetched(AuthorityNumber(0), Box::new(block)));
    after.handle(at(202), Input::Checked(id, Verdict::Valid));
    let finishes = |effect: &Effect| matches!(effect, Effect::Build { batches: false, .. });
    assert!(drain(&mut after).iter().any(finishes), "an unfinished block is finished");
}

/// It meets a leader that says nothing, an authority that says two things, and one that is late.
fn watchful(mutant: Mutant) {
    let mut engine = engine(vec![], mutant);
    let later = Timing::default().skip_after + 1;
    engine.handle(at(later), Input::Pool(true));
    let nullifies = |effect: &Effect| match effect {
        Effect::Commit { facts, .. } => facts
            .iter()
            .any(|fact| matches!(fact, Fact::Voted(vote) if vote.subject().ballot == Ballot::Nullify)),
        _ => false,
    };
    let effects: Vec<_> = std::iter::from_fn(|| engine.poll_effect()).collect();
    assert!(effects.iter().any(nullifies), "a silent leader is passed over on entry");
    for block in [[1; 32], [2; 32]] {
        let vote = support::vote(2, 2, Ballot::Notarize(markstein_proto::Hash(block)));
        engine.handle(at(later + 1), Input::Vote(AuthorityNumber(2), vote));
    }
    let effects: Vec<_> = std::iter::from_fn(|| engine.poll_effect()).collect();
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Evidence(_))), "who says both is caught");
    let block = support::body(&support::genesis_block(), 3, 2, START + 1, vec![]).header;
    let finalization = support::certificate(&[0, 2, 3], 3, Ballot::Finalize(block.block_id()));
    let synced = Input::Synced(support::final_block(&block), Box::new(finalization));
    engine.handle(at(later + 2), synced);
    engine.handle(at(later + 2), Input::Heard(AuthorityNumber(3)));
    std::iter::from_fn(|| engine.poll_effect()).for_each(drop);
    let late = support::vote(3, 1, Ballot::Nullify);
    engine.handle(at(later + 3), Input::Vote(AuthorityNumber(3), late));
    let effects: Vec<_> = std::iter::from_fn(|| engine.poll_effect()).collect();
    let tells = |effect: &Effect| matches!(effect, Effect::Send(send) if send.to == Recipient::One(AuthorityNumber(3)));
    assert!(effects.iter().any(tells), "who is late is told what is final");
}

/// A leader that proposed another block than the one that was notarized; then eight blocks with batches that are notarized
/// and not final, and it leads.
fn crowded(mutant: Mutant) {
    let mut engine = engine(vec![], mutant);
    let mut parent = support::genesis_block();
    let drain = |engine: &mut Engine| std::iter::from_fn(|| engine.poll_effect()).collect::<Vec<_>>();
    for view in 1..=9 {
        let leader = ((view - 1) % 4) as u32;
        let block = support::body(&parent, view, leader, START + view, vec![support::batch(view)]);
        let id = block.header.block_id();
        if view == 1 {
            let other = support::body(&parent, view, leader, START + 7, vec![support::batch(70)]);
            let vote = support::vote(leader, view, Ballot::Notarize(other.header.block_id()));
            let proposal = CheckedProposal::own(Proposal {
                header: other.header,
                batches: other.batches,
                vote: vote.get().clone(),
                parent: None,
                nullifications: vec![],
            });
            engine.handle(at(1), Input::Proposal(AuthorityNumber(leader), Box::new(proposal)));
            drain(&mut engine);
        }
        let certificate = support::certificate(&[0, 2, 3], view, Ballot::Notarize(id));
        engine.handle(at(view), Input::Certificate(AuthorityNumber(0), certificate));
        assert!(drain(&mut engine).contains(&Effect::Fetch(id)), "a notarized block is asked for");
        engine.handle(at(view), Input::Fetched(AuthorityNumber(0), Box::new(block.clone())));
        engine.handle(at(view), Input::Checked(id, Verdict::Valid));
        parent = support::final_block(&block.header);
    }
    engine.handle(at(20), Input::Pool(true));
    engine.handle(at(500), Input::Tick);
    let builds = |effect: &Effect| match effect {
        Effect::Build { batches, .. } => Some(*batches),
        _ => None,
    };
    let built: Vec<bool> = drain(&mut engine).iter().filter_map(builds).collect();
    assert_eq!(built, [false], "no batches on so many unfinalised blocks");
}

const SCENARIOS: [Scenario; 9] = [
    ("one authority in a storm", |seed, mutant| drop(storm(seed, 1, &[], breaking(mutant)))),
    ("four in a storm", |seed, mutant| drop(storm(seed, 4, &[], breaking(mutant)))),
    ("four, one a traitor", |seed, mutant| drop(storm(seed, 4, &traitors(seed, 4), breaking(mutant)))),
    ("four, one misdating", |seed, mutant| drop(storm(seed, 4, &[Traitor::Misdater], breaking(mutant)))),
    ("one node knows a batch", |seed, mutant| whisper(seed, 4, breaking(mutant))),
    ("a quiet network", |_, mutant| quiet(4, breaking(mutant))),
    ("an engine by itself", |_, mutant| alone(mutant)),
    ("a watchful engine", |_, mutant| watchful(mutant)),
    ("a crowded engine", |_, mutant| crowded(mutant)),
];

/// The scenario and seed that notice the mutant first.
fn caught(mutant: Mutant, seeds: u64) -> Option<(&'static str, u64)> {
    let fails = |seed, run: fn(u64, Mutant)| catch_unwind(move || run(seed, mutant)).is_err();
    (0..seeds)
        .find_map(|seed| SCENARIOS.iter().find(|(_, run)| fails(seed, *run)).map(|(name, _)| (*name, seed)))
}

#[test]
fn every_broken_rule_is_noticed() {
    let mutants = [
        Mutant::ForgetVotes,
        Mutant::FinalizeAfterNullify,
        Mutant::NoOwnVoteReplay,
        Mutant::NoCertificateGossip,
        Mutant::NoResend,
        Mutant::AnyParent,
        Mutant::AnyTime,
        Mutant::NoSkip,
        Mutant::NoLateAnswer,
        Mutant::OverwriteVotes,
        Mutant::ThinNotarize,
        Mutant::ThinFinalize,
        Mutant::NoIdleWake,
        Mutant::NoFinish,
        Mutant::NoFetchRetry,
        Mutant::TrustLists,
        Mutant::NoBlockLimit,
        Mutant::WaitForBlock,
        Mutant::OneHalf,
    ];
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let found: Vec<_> = mutants.into_iter().map(|mutant| (mutant, caught(mutant, 300))).collect();
    let none = caught(Mutant::None, 30);
    std::panic::set_hook(hook);
    found.iter().for_each(|(mutant, by)| println!("{mutant:?}: {by:?}"));
    assert_eq!(none, None, "an engine that breaks nothing passes");
    let missed: Vec<_> = found.iter().filter(|(_, by)| by.is_none()).collect();
    assert!(missed.is_empty(), "nothing noticed {missed:?}");
}
