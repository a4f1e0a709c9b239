//! The consensus engine: bytes as a sequence of inputs, with one of four authorities faulty. Its invariants hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::{bytes::Bytes, rules::property::World};

/// More steps only take longer.
const STEPS_MAX: usize = 2000;

fuzz_target!(|bytes: &[u8]| {
    let mut world = World::new(Bytes::new(bytes));
    // A step takes one byte at least; the last ones may find none, and then decide on 0.
    (0..bytes.len().div_ceil(3).min(STEPS_MAX)).for_each(|_| world.step());
});
