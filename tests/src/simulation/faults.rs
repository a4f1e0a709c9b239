//! Faults from the seed, and their end.

use crate::simulation::cluster::{Cluster, Event};

impl Cluster {
    /// One fault, and the next one planned.
    pub fn shake(&mut self) {
        if self.healed {
            return;
        }
        let all = self.nodes.len();
        match self.random.below(12) {
            0..=2 => {
                let node = self.any_node();
                self.fell(node, 3000);
            }
            3 => (0..all).for_each(|node| self.fell(node, 2000)),
            4..=5 => self.fail_a_disk(),
            6..=7 => {
                self.part();
                self.deal_twins();
            }
            8 => {
                let one_way = (self.any_node(), self.any_node());
                self.network.cut.insert(one_way);
            }
            9 => self.network.cut.clear(),
            10 => self.network.loss = self.random.below(30),
            _ => self.network.delay = 2 + self.random.below(300),
        }
        let delay = 200 + self.random.below(self.pause);
        self.at(delay, Event::Chaos);
    }

    /// A node falls now, and comes back within a while.
    pub fn fell(&mut self, node: usize, longest: u64) {
        if self.nodes[node].live.is_some() {
            self.crash(node);
            let delay = 1 + self.random.below(longest);
            self.at(delay, Event::Restart { node });
        }
    }

    /// The power of a node goes at one of its next commits.
    fn fail_a_disk(&mut self) {
        let (node, commits, taken) = (self.any_node(), self.random.below(8), self.chance(50));
        if self.nodes[node].live.is_some() {
            self.nodes[node].disk.fail_after(commits, taken);
        }
    }

    /// Two sides that cannot talk.
    fn part(&mut self) {
        let all = self.nodes.len();
        let side: Vec<bool> = (0..all).map(|_| self.chance(50)).collect();
        let pairs = (0..all).flat_map(|a| (0..all).map(move |b| (a, b)));
        self.network.cut = pairs.filter(|(a, b)| side[*a] != side[*b]).collect();
    }

    /// A clock goes wrong by more than any block may.
    pub fn mistime(&mut self, node: usize) {
        let wrong = 6_000 + self.random.below(60_000) as i64;
        self.nodes[node].skew = if self.chance(50) { wrong } else { -wrong };
        self.mistimed.push(node);
    }

    /// All faults end: everybody is up, connected, and has the time.
    pub fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        for node in self.mistimed.clone() {
            self.nodes[node].skew = 0;
            self.crash(node);
        }
        for node in 0..self.nodes.len() {
            if self.absent.contains(&node) {
                continue;
            }
            if self.nodes[node].disk.has_failed() || self.nodes[node].live.is_none() {
                self.crash(node);
                self.start(node);
            }
            self.nodes[node].disk.fail_never();
        }
        let views = self.nodes.iter().flat_map(|node| &node.live).map(|live| live.driver.engine().view());
        self.watch.progress.healed(views.max().unwrap_or_default(), self.world.n, self.world.faulty_max());
    }
}
