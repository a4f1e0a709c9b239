//! Rules that can be broken on purpose, so that the simulation of whole clusters can show that it notices. Only with the
//! feature `mutants`, which nothing but that simulation's test switches on.

use super::Driver;

/// The rule that is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(not(feature = "mutants"), allow(dead_code))]
pub enum Mutant {
    /// None is.
    #[default]
    None,
    /// One of the engine's.
    #[cfg(feature = "mutants")]
    Engine(markstein_consensus::Mutant),
    /// Votes are sent, and then made durable.
    SendFirst,
    /// Votes are written without waiting for the disk.
    Unsynced,
    /// A failed write of a vote does not end the driver.
    IgnoreFailure,
    /// A vote is durable without the batches of its block.
    ThinBatches,
    /// A starting authority does not ask what it said before.
    NoInquiry,
    /// Votes with a journal that was lost.
    VoteAfterLoss,
    /// Pools are not compared.
    NoReconciliation,
    /// After a restart all that is final is cosigned, whatever of this node's finalize votes is not decided.
    CosignUndecided,
    /// Headers of a catch-up need not lead to their finalization.
    AnyRange,
    /// What a catch-up brings is not compared with its header.
    AnyBatches,
    /// A proposed header is not compared with the one that execution gives.
    AnyHeader,
    /// A block may be dated before its parent.
    BeforeParent,
    /// Votes and proposals of views however far ahead are passed on and kept.
    FarViews,
    /// What is signed does not bind the ledger. As with [`Mutant::AnySignature`], whoever makes the inspector and the keys
    /// sees to it, and to the next three.
    AnyLedger,
    /// Nor the epoch.
    AnyEpoch,
    /// Nor the view.
    AnyView,
    /// Nor the kind of the vote.
    AnyKind,
    /// The whole pool is looked at for each block, on the thread that votes.
    LookAtAll,
    /// Batches travel on the urgent stream: whoever makes the streams sees to it, and to the next one.
    UrgentBatches,
    /// And the reader of the urgent stream waits for what becomes of them.
    UrgentVerdicts,
    /// One of the pool's: whoever opens it sees to it.
    #[cfg(feature = "mutants")]
    Pool(crate::pool::Mutant),
    /// Signatures of peers are not looked at: whoever makes the driver's [`super::Inspector`] sees to it.
    AnySignature,
}

#[cfg(feature = "mutants")]
impl Driver {
    /// A driver that breaks a rule. Otherwise as [`Driver::start`].
    ///
    /// # Errors
    /// See [`super::DriverError`].
    pub fn with_mutant(
        parts: super::Parts,
        now: markstein_consensus::Now,
        mutant: Mutant,
    ) -> Result<Self, super::DriverError> {
        Self::open(parts, now, mutant)
    }

    pub(super) fn breaks(&self, rule: Mutant) -> bool {
        self.mutant == rule
    }

    /// Looks at every batch of the pool, where that rule is broken.
    pub(super) fn look_at_all(
        &self,
        branch: &crate::ledger::Branch,
        time: markstein_proto::TimeMs,
    ) -> Result<(), super::DriverError> {
        if self.breaks(Mutant::LookAtAll) {
            for waiting in self.pool.list(0, usize::MAX).0 {
                if let Some(batch) = self.pool.batch(&self.db, &waiting.id)? {
                    let _ = crate::ledger::check_batch(branch, &self.rules, &batch, time)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(feature = "mutants")]
pub(super) fn engine(
    setup: markstein_consensus::Setup,
    facts: Vec<markstein_consensus::Fact>,
    now: markstein_consensus::Now,
    mutant: Mutant,
) -> markstein_consensus::Engine {
    let rule = match mutant {
        Mutant::Engine(rule) => rule,
        Mutant::FarViews => markstein_consensus::Mutant::FarViews,
        _ => markstein_consensus::Mutant::None,
    };
    markstein_consensus::Engine::with_mutant(setup, facts, now, rule)
}

#[cfg(not(feature = "mutants"))]
impl Driver {
    #[allow(clippy::unused_self)] // with the feature it is a question to the driver
    pub(super) const fn breaks(&self, _: Mutant) -> bool {
        false
    }

    #[allow(clippy::unused_self, clippy::unnecessary_wraps)] // see the other one
    pub(super) const fn look_at_all(
        &self,
        _: &crate::ledger::Branch,
        _: markstein_proto::TimeMs,
    ) -> Result<(), super::DriverError> {
        Ok(())
    }
}

#[cfg(not(feature = "mutants"))]
pub(super) fn engine(
    setup: markstein_consensus::Setup,
    facts: Vec<markstein_consensus::Fact>,
    now: markstein_consensus::Now,
    _: Mutant,
) -> markstein_consensus::Engine {
    markstein_consensus::Engine::new(setup, facts, now)
}
