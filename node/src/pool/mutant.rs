//! Rules of the pool that can be broken on purpose, so that the simulation can show that it notices. Only with the feature
//! `mutants`, which nothing but that simulation's test switches on.

/// The rule that is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), allow(dead_code))]
pub enum Mutant {
    /// None is.
    #[default]
    None,
    /// What waits is looked at again whatever changed.
    LookAgain,
    /// What waits is offered to other nodes, and what was not taken is not remembered.
    ForgetNotNow,
    /// Whatever is offered is asked for, whether or not there is room.
    AskWithoutRoom,
    /// What is accepted does not depend on how fast batches become final.
    AcceptAll,
    /// Issuers have no turns: what came first goes first, and all is accepted.
    NoTurns,
}
