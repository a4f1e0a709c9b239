//! Simplex consensus (Chan and Pass, TCC 2023) as a pure state machine.
//!
//! [`Engine::handle`] takes an input and the time; [`Engine::poll_effect`] gives what is to be done. There is no
//! clock, no I/O, no randomness and no runtime in here, and only checked votes come in. The rule that what is sent
//! must be durable first is part of the type of an effect ([`Effect::Commit`]).
//!
//! Invariants, whatever comes in:
//! 1. one notarize vote a view, one finalize vote a view;
//! 2. never both nullify and finalize in one view (nullify after notarize is legal);
//! 3. nothing is voted in a view at or below the final one;
//! 4. the final blocks form one chain, each final block the parent's child.

mod effect;
mod engine;
mod input;
mod journal;
mod mutant;
mod slot;
mod timing;

pub use effect::{Divergence, Effect, Message, Recipient, Send};
pub use engine::{Engine, FinalBlock, Setup, ViewVotes, Votes, Voting};
pub use input::{Body, Input, Now, Verdict};
pub use journal::Fact;
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use slot::Evidence;
pub use timing::Timing;

use markstein_proto::{Signature, View, consensus::Subject};

/// The consensus core's own name for an authority: its number in the epoch's set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthorityNumber(pub u32);

/// Signs this authority's votes: a pure function of the key and the subject.
pub trait VoteSigner {
    /// The signature over the subject's signing bytes.
    fn sign(&self, subject: &Subject) -> Signature;
}

/// Leader of a view: round robin over the epoch's authorities.
///
/// # Panics
/// For view 0, which has no leader.
#[must_use]
pub const fn leader(view: View, authorities: u32) -> AuthorityNumber {
    AuthorityNumber(((view.0 - 1) % authorities as u64) as u32)
}
