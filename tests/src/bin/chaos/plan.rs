//! Which faults come when: drawn from a seed before anything runs, so that the same seed gives the same schedule.

use std::{fmt, time::Duration};

use markstein_tests::random::Random;

/// How many authorities there are; one of them may be lost for good.
pub const AUTHORITIES: usize = 4;

/// Nothing happens before this, and nothing begins in as long a time at the end.
const CALM: Duration = Duration::from_secs(4);
const LOSS_PERCENT: [u32; 4] = [5, 15, 30, 60];
const SLOW_KBIT: [u32; 3] = [128, 512, 2000];
const CLOCK_SECONDS: [i64; 6] = [-3600, -120, -20, 20, 120, 3600];
const KINDS: u64 = 11;
/// Of so many episodes one has a second fault within the first.
const OVERLAP_ONE_IN: u64 = 3;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of one node, which is started again at the end.
    Kill(usize),
    /// SIGSTOP of one node.
    Pause(usize),
    /// One node hears nobody and is not heard.
    CutOff(usize),
    /// Node 0 and this one on one side, the other two on the other.
    Halves(usize),
    /// Packets of one node are lost.
    Loss(usize, u32),
    /// The link of one node carries this many kbit/s, and what waits for it is late.
    Slow(usize, u32),
    /// SIGKILL of all nodes at once.
    KillAll,
    /// The disk of one node is full.
    FullDisk(usize),
    /// A file of one node's store is cut short, or a bit of it is another. That node counts as lost from then on.
    Damage(usize, Harm),
    /// The clock of one node jumps by this many seconds, and back.
    Clock(usize, i64),
    /// An issuer with a grant like any other means harm. What it has in the pools stays there when the fault ends.
    Hostile(Attack),
}

/// What a hostile issuer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// Batches of ten thousand changes that wait, since another one came first.
    Collide,
    /// Small batches through all nodes, as many as they take.
    Flood,
    /// Batches that cost much before they are refused, again and again.
    Refuse,
    /// As many large batches through this node as it takes.
    Backlog(usize),
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Its end is gone.
    Truncate,
    /// One bit is another.
    FlipBit,
}

/// A fault with its time, counted from where its episode begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When it begins.
    pub begins: Duration,
    /// When it ends.
    pub ends: Duration,
    /// What it is.
    pub fault: Fault,
}

/// One fault, or two that overlap; then everything is whole again and must recover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// When it begins, or else as soon as the one before has been recovered from.
    pub at: Duration,
    /// In the order of their begin.
    pub faults: Vec<Planned>,
    /// For what the faults leave open, such as which file is damaged.
    pub seed: u64,
}

/// All of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// In their order.
    pub episodes: Vec<Episode>,
    /// For what the clients submit.
    pub seed: u64,
}

impl Plan {
    /// The schedule of a seed for this time.
    pub fn draw(seed: u64, length: Duration) -> Self {
        let mut draw = Draw {
            random: Random::new(seed),
            lost: None,
            bag: Vec::new(),
            attacks: Vec::new(),
            clock: 0,
            damages: true,
        };
        draw.clock = draw.node();
        let clients = draw.random.next();
        let (mut episodes, mut at) = (Vec::new(), CALM);
        loop {
            let faults = draw.faults();
            let ends = faults.iter().map(|planned| planned.ends).max().unwrap_or_default();
            if at + ends + CALM > length && !episodes.is_empty() {
                return Self { episodes, seed: clients };
            }
            episodes.push(Episode { at, faults, seed: draw.random.next() });
            at += ends + draw.between(2500, 6000);
        }
    }

    /// All faults in their order.
    pub fn faults(&self) -> impl Iterator<Item = Fault> {
        self.episodes.iter().flat_map(|episode| episode.faults.iter().map(|planned| planned.fault))
    }
}

impl Episode {
    /// What to do when, in order: the number of a fault, and whether it begins.
    pub fn steps(&self) -> Vec<(Duration, usize, bool)> {
        let both = |(i, planned): (usize, &Planned)| [(planned.begins, i, true), (planned.ends, i, false)];
        let mut steps: Vec<_> = self.faults.iter().enumerate().flat_map(both).collect();
        steps.sort_by_key(|(when, _, _)| *when);
        steps
    }
}

struct Draw {
    random: Random,
    /// The damaged node.
    lost: Option<usize>,
    /// Kinds that have not been since the last time all were.
    bag: Vec<u64>,
    /// The same of attacks.
    attacks: Vec<u64>,
    /// The only node whose clock jumps.
    clock: usize,
    /// Whether there may be a damage yet.
    damages: bool,
}

impl Draw {
    fn faults(&mut self) -> Vec<Planned> {
        let lasts = self.between(2000, 8000);
        let fault = self.first();
        let mut faults = vec![Planned { begins: Duration::ZERO, ends: lasts, fault }];
        if (fault.one_node().is_some() || fault.kind() == "hostile")
            && !matches!(fault, Fault::Damage(..))
            && self.random.below(OVERLAP_ONE_IN) == 0
        {
            let other = self.node_but(fault.one_node());
            let begins = lasts / 2;
            let ends = begins + self.between(1500, 6000);
            let fault = match self.random.below(4) {
                0 => Fault::Kill(other),
                1 => Fault::Pause(other),
                2 => Fault::Loss(other, self.one_of(&LOSS_PERCENT)),
                _ => Fault::CutOff(other),
            };
            faults.push(Planned { begins, ends, fault });
        }
        faults
    }

    fn first(&mut self) -> Fault {
        if self.bag.is_empty() {
            self.bag = (0..KINDS).filter(|kind| *kind != 8 || self.damages).collect();
        }
        let place = self.random.below(self.bag.len() as u64) as usize;
        match self.bag.swap_remove(place) {
            0 => Fault::Kill(self.node()),
            1 => Fault::Pause(self.node()),
            2 => Fault::CutOff(self.node()),
            3 => Fault::Halves(1 + self.random.below(AUTHORITIES as u64 - 1) as usize),
            4 => Fault::Loss(self.node(), self.one_of(&LOSS_PERCENT)),
            5 => Fault::Slow(self.node(), self.one_of(&SLOW_KBIT)),
            6 => Fault::KillAll,
            7 => Fault::FullDisk(self.node()),
            8 => {
                self.damages = false;
                let node = self.node_but(Some(self.clock));
                self.lost = Some(node);
                Fault::Damage(node, self.one_of(&[Harm::Truncate, Harm::FlipBit]))
            }
            9 => Fault::Clock(self.clock, self.one_of(&CLOCK_SECONDS)),
            _ => Fault::Hostile(self.attack()),
        }
    }

    fn attack(&mut self) -> Attack {
        if self.attacks.is_empty() {
            self.attacks = (0..4).collect();
        }
        let place = self.random.below(self.attacks.len() as u64) as usize;
        match self.attacks.swap_remove(place) {
            0 => Attack::Collide,
            1 => Attack::Flood,
            2 => Attack::Refuse,
            _ => Attack::Backlog(self.node()),
        }
    }

    fn node(&mut self) -> usize {
        self.node_but(None)
    }

    fn node_but(&mut self, not: Option<usize>) -> usize {
        let nodes: Vec<usize> =
            (0..AUTHORITIES).filter(|i| Some(*i) != not && Some(*i) != self.lost).collect();
        self.one_of(&nodes)
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.below(of.len() as u64) as usize]
    }

    fn between(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_millis(from_ms + self.random.below(to_ms - from_ms))
    }
}

impl Fault {
    /// A word for programs.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Pause(_) => "pause",
            Self::CutOff(_) => "cut-off",
            Self::Halves(_) => "halves",
            Self::Loss(..) => "loss",
            Self::Slow(..) => "slow",
            Self::KillAll => "kill-all",
            Self::FullDisk(_) => "full-disk",
            Self::Damage(..) => "damage",
            Self::Clock(..) => "clock",
            Self::Hostile(_) => "hostile",
        }
    }

    /// The node it is about, where it is about one.
    pub fn one_node(self) -> Option<usize> {
        match self {
            Self::Kill(i) | Self::Pause(i) | Self::CutOff(i) | Self::Loss(i, _) | Self::Slow(i, _) => Some(i),
            Self::FullDisk(i) | Self::Damage(i, _) | Self::Clock(i, _) => Some(i),
            Self::Halves(_) | Self::KillAll | Self::Hostile(_) => None,
        }
    }
}

/// As people say it.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Kill(i) => write!(f, "node {i} killed (-9)"),
            Self::Pause(i) => write!(f, "node {i} paused"),
            Self::CutOff(i) => write!(f, "node {i} cut off"),
            Self::Halves(i) => write!(f, "nodes 0 and {i} | the other two"),
            Self::Loss(i, percent) => write!(f, "node {i} loses {percent} %"),
            Self::Slow(i, kbit) => write!(f, "node {i} on {kbit} kbit/s"),
            Self::KillAll => write!(f, "all nodes killed (-9)"),
            Self::FullDisk(i) => write!(f, "node {i}'s disk full"),
            Self::Damage(i, Harm::Truncate) => write!(f, "node {i}: a file cut short"),
            Self::Damage(i, Harm::FlipBit) => write!(f, "node {i}: a bit flipped"),
            Self::Clock(i, seconds) => write!(f, "node {i}'s clock {seconds:+} s"),
            Self::Hostile(Attack::Collide) => write!(f, "an issuer collides"),
            Self::Hostile(Attack::Flood) => write!(f, "an issuer floods"),
            Self::Hostile(Attack::Refuse) => write!(f, "an issuer is refused"),
            Self::Hostile(Attack::Backlog(i)) => write!(f, "an issuer fills node {i}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        let plan = |seed| Plan::draw(seed, Duration::from_secs(180));
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn within_some_minutes_every_kind_of_fault_occurs_and_at_most_one_node_is_damaged() {
        for seed in 0..200 {
            let plan = Plan::draw(seed, Duration::from_secs(300));
            let kinds: std::collections::BTreeSet<_> = plan.faults().map(Fault::kind).collect();
            assert_eq!(kinds.len() as u64, KINDS, "seed {seed}");
            assert_eq!(plan.faults().filter(|fault| fault.kind() == "damage").count(), 1);
            let faults: Vec<Fault> = plan.faults().collect();
            let damage = faults.iter().position(|fault| fault.kind() == "damage").expect("there is one");
            let lost = faults[damage].one_node();
            assert!(faults[damage + 1..].iter().all(|fault| fault.one_node() != lost), "seed {seed}");
            let clocks = faults.iter().filter(|fault| fault.kind() == "clock");
            assert!(clocks.clone().all(|fault| fault.one_node() != lost));
            assert_eq!(
                clocks.map(|fault| fault.one_node()).collect::<std::collections::BTreeSet<_>>().len(),
                1
            );
        }
    }

    #[test]
    fn steps_come_in_order_and_two_faults_at_once_are_of_two_nodes() {
        for seed in 0..200 {
            for episode in Plan::draw(seed, Duration::from_secs(60)).episodes {
                let steps = episode.steps();
                assert_eq!(steps.len(), 2 * episode.faults.len());
                assert!(steps.windows(2).all(|pair| pair[0].0 <= pair[1].0) && steps[0].2);
                let nodes: Vec<_> = episode.faults.iter().map(|planned| planned.fault.one_node()).collect();
                assert!(nodes.len() == 1 || nodes[0] != nodes[1]);
            }
        }
    }

    #[test]
    fn a_short_run_has_a_fault_too() {
        assert_eq!(Plan::draw(1, Duration::from_secs(1)).episodes.len(), 1);
    }
}
