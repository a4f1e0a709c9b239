//! Nodes that lie. A traitor runs the honest code and says something else: instead of what that code says, or beside it.

mod builder;
mod catch_up;
mod cosigner;
mod equivocator;
mod far_future;
mod foreign;
mod latecomer;
mod malformed;
mod memory;
mod mistimed;
mod mute;
mod oversized;
mod relabeller;
mod replay;
mod signatures;
mod silent_leader;
mod twins;
mod withholder;

use markstein_node::{messages::Message, storage::Db};
use markstein_proto::{
    EpochId, View,
    consensus::{Ballot, Subject, Vote},
};

use crate::random::Random;
use crate::simulation::node::World;

use builder::{Builder, Fault};
pub use mute::Mute;

/// What a traitor has to lie with.
pub struct Lie<'a> {
    pub world: &'a World,
    /// Who it is.
    pub me: usize,
    pub now: u64,
    pub random: &'a mut Random,
    /// Its store, while it runs.
    pub db: Option<&'a Db>,
    /// The view it is in.
    pub view: u64,
}

pub trait Traitor {
    fn name(&self) -> &'static str;

    /// How the honest name what it does; empty where it does nothing that shows who it is.
    fn kinds(&self) -> &'static [&'static str];

    /// What it really says to somebody where its honest code said `message`: frames.
    fn say(&mut self, _: &mut Lie<'_>, _to: usize, message: &Message) -> Vec<Vec<u8>> {
        vec![message.encode()]
    }

    /// Whether it passes batches on to somebody.
    fn floods(&self, _to: usize) -> bool {
        true
    }

    /// Whether its own node comes to where the others are.
    fn follows(&self) -> bool {
        true
    }

    /// How far its clock is off.
    fn skew(&self, _: &mut Random) -> i64 {
        0
    }

    /// What it says to everybody unasked, now and then.
    fn beside(&mut self, _: &mut Lie<'_>) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

/// One of each kind.
pub fn all() -> Vec<Box<dyn Traitor>> {
    let mut all: Vec<Box<dyn Traitor>> = vec![
        Box::new(malformed::Malformed),
        Box::new(oversized::Oversized),
        Box::new(signatures::Forger),
        Box::new(replay::Replayer::default()),
        Box::new(relabeller::Relabeller::default()),
        Box::new(far_future::FarFuture),
        Box::new(foreign::Messenger::default()),
        Box::new(catch_up::Misleader),
        Box::new(cosigner::Miscosigner),
        Box::new(memory::Misreminder::default()),
        Box::new(latecomer::Latecomer::default()),
        Box::new(equivocator::Equivocator),
        Box::new(silent_leader::SilentLeader),
        Box::new(withholder::Withholder::default()),
        Box::new(mistimed::Mistimed),
    ];
    all.extend(Fault::ALL.map(|fault| Box::new(Builder::new(fault)) as Box<dyn Traitor>));
    all
}

impl Lie<'_> {
    /// Its vote on whatever, rightly signed.
    pub fn vote(&self, view: u64, ballot: Ballot) -> Vote {
        let subject = Subject { epoch: EpochId(0), view: View(view), ballot };
        Vote::sign(&self.world.ledger, subject, self.me as u32, &*self.world.key(self.me, 1))
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.random.below(256) as u8).collect()
    }
}
