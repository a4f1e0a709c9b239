//! How much work was done, in steps that are the same on every machine.
//!
//! Who does what costs time says so here ([`charge`]), on the thread that does it. Nobody has to look: whoever wants to
//! know what something took asks before and after ([`done`]). A simulation makes time of the difference; a bound on work
//! counts the same steps, so that what it lets through does not depend on the machine.
//!
//! A step is an addition to a number of the thread's own: less than a nanosecond.

use std::{cell::Cell, ops::Sub};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A record was checked by the rules for batches.
    Record,
    /// A change of a status was looked up in the ledger's state and applied.
    Change,
    /// A signature was verified, and not found among those that were.
    Signature,
    /// A byte of a batch was decoded and hashed.
    Byte,
    /// A leaf was appended to a log.
    Leaf,
    /// The store was asked for a key, or for a page of a range.
    Read,
    /// A byte was read from the store.
    ReadByte,
    /// A key was written to the store, or deleted.
    Write,
    /// A byte was written to the store.
    WrittenByte,
    /// The store was synced.
    Sync,
    /// An entry of the pool was looked at.
    Entry,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Record,
        Self::Change,
        Self::Signature,
        Self::Byte,
        Self::Leaf,
        Self::Read,
        Self::ReadByte,
        Self::Write,
        Self::WrittenByte,
        Self::Sync,
        Self::Entry,
    ];
}

/// Numbers of steps of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps([u64; Step::ALL.len()]);

impl Steps {
    /// How many of this kind.
    #[must_use]
    pub const fn of(&self, step: Step) -> u64 {
        self.0[step as usize]
    }

    /// All kinds, weighed: the sum of `weight` times the number of each.
    #[must_use]
    pub fn weighed(&self, weight: impl Fn(Step) -> u64) -> u64 {
        Step::ALL.into_iter().map(|step| self.of(step).saturating_mul(weight(step))).sum()
    }
}

impl Sub for Steps {
    type Output = Self;

    /// What came between `earlier` and this.
    fn sub(self, earlier: Self) -> Self {
        let mut between = self;
        for (number, earlier) in between.0.iter_mut().zip(earlier.0) {
            *number = number.wrapping_sub(earlier);
        }
        between
    }
}

thread_local! {
    static DONE: [Cell<u64>; Step::ALL.len()] = const { [const { Cell::new(0) }; Step::ALL.len()] };
}

/// Counts `number` steps of a kind on this thread.
#[inline]
pub fn charge(step: Step, number: usize) {
    DONE.with(|done| {
        let done = &done[step as usize];
        done.set(done.get().wrapping_add(number as u64));
    });
}

/// All that this thread did so far.
#[must_use]
pub fn done() -> Steps {
    DONE.with(|done| Steps(std::array::from_fn(|kind| done[kind].get())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_between_two_looks_is_their_difference() {
        charge(Step::Read, 7);
        let before = done();
        charge(Step::Read, 2);
        charge(Step::Sync, 1);
        let spent = done() - before;
        assert_eq!((spent.of(Step::Read), spent.of(Step::Sync), spent.of(Step::Byte)), (2, 1, 0));
        assert_eq!(spent.weighed(|step| if step == Step::Sync { 100 } else { 3 }), 106);
    }

    #[test]
    fn each_thread_counts_its_own() {
        let before = done();
        assert!(std::thread::spawn(|| charge(Step::Entry, 5)).join().is_ok());
        assert_eq!((done() - before).of(Step::Entry), 0);
    }

    #[test]
    fn every_kind_has_a_place_of_its_own() {
        let places: Vec<usize> = Step::ALL.iter().map(|step| *step as usize).collect();
        assert_eq!(places, (0..Step::ALL.len()).collect::<Vec<_>>());
    }
}
