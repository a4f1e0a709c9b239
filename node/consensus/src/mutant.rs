//! Rules that can be broken on purpose, so that the tests can show that they notice. Only with the feature `mutants`,
//! which nothing but tests switch on.

/// The rule that is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), allow(dead_code))]
pub enum Mutant {
    /// None is.
    #[default]
    None,
    /// Votes are sent without being in the journal.
    ForgetVotes,
    /// Finalizes a view that it nullified.
    FinalizeAfterNullify,
    /// After a restart own votes are remembered and not counted.
    NoOwnVoteReplay,
    /// Certificates are neither gossiped, nor said again, nor given to whoever lacks them.
    NoCertificateGossip,
    /// While stuck nothing is said again.
    NoResend,
    /// Votes for a block on any valid parent.
    AnyParent,
    /// Votes for a block of any time.
    AnyTime,
    /// Votes for a block of long ago.
    AnyAge,
    /// Votes for a block far ahead of its clock.
    AnySkew,
    /// Nullifies a view that it finalised. Who keeps the notarization beside that vote has left the view, so it keeps none.
    NullifyAfterFinalize,
    /// Notarizes every valid proposal of a view.
    VoteEach,
    /// Takes no notarization of a view that it nullified.
    DeafAfterNullify,
    /// Views take no longer while nothing becomes final.
    NoGrowth,
    /// Goes on voting when it meets a vote of its own that its journal does not know.
    IgnoreClaims,
    /// Who asks about what is final gets no answer.
    NoLateAnswer,
    /// Proposes without showing why it may build where it does.
    NoProof,
    /// Counts the last vote of an authority, not the first, and keeps no evidence.
    OverwriteVotes,
    /// Waits for a silent leader as for any other.
    NoSkip,
    /// Notarizes without keeping the block.
    ThinNotarize,
    /// Finalizes without keeping the notarization.
    ThinFinalize,
    /// Sleeps in a view of others until its own pool holds something.
    NoIdleWake,
    /// Leaves a block with batches unfinished where nothing follows it.
    NoFinish,
    /// Asks once for a block that it misses.
    NoFetchRetry,
    /// Takes the first list of batches for what the leader meant, and stops where it does not fit.
    TrustLists,
    /// Counts 2f + 1 for a quorum, which is too few where there are more than 3f + 1.
    SmallQuorum,
    /// Keeps votes and proposals of views however far ahead.
    FarViews,
    /// Puts batches on however many unfinalised blocks.
    NoBlockLimit,
    /// Does not enter the next view on a notarization before it has the block.
    WaitForBlock,
    /// Does not ask for a notarized block where its leader proposed it another one.
    OneHalf,
}

#[cfg(feature = "mutants")]
impl crate::Engine {
    /// An engine that breaks a rule.
    #[must_use]
    pub fn with_mutant(
        setup: crate::Setup,
        journal: impl IntoIterator<Item = crate::Fact>,
        now: crate::Now,
        mutant: Mutant,
    ) -> Self {
        Self::start(setup, journal, now, mutant)
    }

    pub(crate) fn breaks(&self, rule: Mutant) -> bool {
        self.mutant() == rule
    }
}

#[cfg(not(feature = "mutants"))]
impl crate::Engine {
    #[allow(clippy::unused_self)] // with the feature it is a question to the engine
    pub(crate) const fn breaks(&self, _: Mutant) -> bool {
        false
    }
}
