//! Whole clusters from a seed, with the real driver, execution, journal and pool, on one thread and on time that is made up, with
//! keyed hashes for signatures but for every tenth seed: faults first, then heal, then demand progress and silence. Same seed, same run, byte for byte.
//!
//! What must always hold is looked at after every step, one file each (`invariants`); what must come to be once all
//! faults have ended is in `demands`. Traitors, one behaviour a file, run the honest code and say something else.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // what fails here is a finding: it ends the run with its seed

mod busy;
mod clients;
mod cluster;
mod damage;
mod delivery;
mod demands;
mod disk;
mod faults;
mod folder;
mod hostile;
mod invariants;
mod issuers;
mod network;
mod node;
mod scenarios;
mod signing;
mod skewed;
mod storms;
mod support;
mod traitors;
#[cfg(feature = "mutants")]
mod unbound;
mod variant;

pub use damage::{Mended, damage};
pub use hostile::{Hostile, hostile_issuer};
pub use scenarios::{
    Outcome, STORM, catch_up, each_seed, long_catch_up, names_every_traitor, outage,
    outage_after_a_cosignature, restored_copy, slow_links, storm, storm_with_traitors,
};
pub use signing::{Seed, Signing};
pub use skewed::skewed_clock;
pub use storms::{
    four_with_crashes, four_with_one_silent, four_with_traitor, four_with_twins, seven_with_twins,
    six_with_crashes,
};
