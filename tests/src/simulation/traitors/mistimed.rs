//! Honest, with a clock that is hours off and stays so.

use super::Traitor;
use crate::{random::Random, simulation::support::HOUR};

pub struct Mistimed;

impl Traitor for Mistimed {
    fn name(&self) -> &'static str {
        "mistimed"
    }

    /// Where it is ahead. One that is behind dates its blocks just after their parents, which is late and no lie.
    fn kinds(&self) -> &'static [&'static str] {
        &["dated_ahead", "cosignature_ahead"]
    }

    /// Cosignatures of the others are of its future, and it gets no checkpoint.
    fn follows(&self) -> bool {
        false
    }

    fn skew(&self, random: &mut Random) -> i64 {
        let hours = HOUR as i64 + random.below(9 * HOUR) as i64;
        if random.below(2) == 0 { hours } else { -hours }
    }
}
