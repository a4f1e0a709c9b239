//! Engines that break a rule: the model must see it.

use super::{Mutant, explore::Plan, explore::explore, plan, tell};

/// The first plan in which something goes wrong, and what.
fn caught(mutant: Mutant, forks_only: bool) -> Option<String> {
    let plans = [(0, None), (1, None), (0, Some(2)), (1, Some(2)), (1, Some(0))];
    plans.into_iter().find_map(|(traitor, crash)| {
        let plan = Plan { mutant, forks_only, ..plan(2, Some(traitor), crash) };
        let violation = explore(plan).err()?;
        println!("{mutant:?}, traitor {traitor}, crash {crash:?}:");
        tell(&violation);
        Some(violation.fault)
    })
}

#[test]
fn broken_rules_are_seen() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let rules = [Mutant::FinalizeAfterNullify, Mutant::ForgetVotes, Mutant::AnyParent];
    let missed: Vec<_> = rules.into_iter().filter(|rule| caught(*rule, false).is_none()).collect();
    let no_fork: Vec<_> = rules.into_iter().filter(|rule| caught(*rule, true).is_none()).collect();
    std::panic::set_hook(hook);
    assert!(missed.is_empty(), "nothing goes wrong with {missed:?}");
    assert!(no_fork.is_empty(), "no two nodes come to differ with {no_fork:?}");
}
