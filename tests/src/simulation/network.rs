//! The virtual network: bytes on their way between nodes, and what happens to them there.

use std::collections::{BTreeMap, BTreeSet};

use markstein_node::messages::{Class, Message};

use crate::random::Random;

/// What a frame has around its bytes.
const FRAME: u64 = 4;

/// Messages go by three streams between two nodes; batches are flooded, as by gossipsub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Urgent,
    Blocks,
    Bulk,
    Gossip,
}

impl Way {
    /// Those with a reader of their own.
    pub const STREAMS: [Self; 3] = [Self::Urgent, Self::Blocks, Self::Bulk];

    /// The stream that a message takes.
    pub const fn of(message: &Message) -> Self {
        match message.class() {
            Class::Urgent => Self::Urgent,
            Class::Blocks => Self::Blocks,
            Class::Bulk => Self::Bulk,
        }
    }
}

pub struct Network {
    /// Percent lost, and duplicated.
    pub loss: u64,
    pub duplicates: u64,
    /// Longest delay.
    pub delay: u64,
    /// From whom nothing comes through to whom.
    pub cut: BTreeSet<(usize, usize)>,
    /// Who never speaks to each other, smaller number first.
    pub apart: BTreeSet<(usize, usize)>,
    /// Who is connected, smaller number first.
    links: BTreeSet<(usize, usize)>,
    /// Bytes sent from one to another.
    pub sent: BTreeMap<(usize, usize), u64>,
    /// Messages that a network with nothing to do does not send, by kind.
    pub busy: BTreeMap<&'static str, u64>,
}

impl Network {
    pub const fn new() -> Self {
        Self {
            loss: 0,
            duplicates: 0,
            delay: 20,
            cut: BTreeSet::new(),
            apart: BTreeSet::new(),
            links: BTreeSet::new(),
            sent: BTreeMap::new(),
            busy: BTreeMap::new(),
        }
    }

    pub fn is_linked(&self, one: usize, other: usize) -> bool {
        self.links.contains(&(one.min(other), one.max(other)))
    }

    /// Connects and disconnects two nodes; tells whether that was news. Where one direction works, a connection stays:
    /// nobody notices for a while.
    pub fn relink(&mut self, one: usize, other: usize, up: bool) -> Option<bool> {
        let pair = (one.min(other), one.max(other));
        let is_cut = self.cut.contains(&(one, other)) && self.cut.contains(&(other, one));
        let works = up && !is_cut && !self.apart.contains(&pair);
        let changed = if works { self.links.insert(pair) } else { self.links.remove(&pair) };
        changed.then_some(works)
    }

    /// After which delays something of this length arrives, and once more.
    pub fn arrivals(
        &mut self,
        from: usize,
        to: usize,
        length: usize,
        random: &mut Random,
    ) -> [Option<u64>; 2] {
        if !self.is_linked(from, to) {
            return [None; 2];
        }
        *self.sent.entry((from, to)).or_default() += length as u64 + FRAME;
        if self.cut.contains(&(from, to)) || random.below(100) < self.loss {
            return [None; 2];
        }
        let again = random.below(100) < self.duplicates;
        let first = 1 + random.below(self.delay);
        [Some(first), again.then(|| 1 + random.below(self.delay))]
    }

    pub fn heal(&mut self) {
        self.cut.clear();
        (self.loss, self.duplicates, self.delay) = (0, 0, 20);
    }
}
