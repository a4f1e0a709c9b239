//! Faults: crashes, partitions and loss, and their end.

use super::{Cluster, Event};

impl Cluster {
    pub fn chaos(&mut self, delay: u64) {
        self.at(delay, Event::Chaos);
    }

    /// One fault, and the next one planned.
    pub fn shake(&mut self) {
        if self.healed {
            return;
        }
        let all = self.nodes.len();
        let any = |cluster: &mut Self| cluster.random.below(all as u64) as usize;
        match self.random.below(10) {
            0..=3 => {
                let node = any(self);
                self.fell(node, 4000);
            }
            4 => (0..all).for_each(|node| self.fell(node, 3000)),
            5..=6 => {
                self.cut.clear();
                let side: Vec<bool> = (0..all).map(|_| self.random.chance(50)).collect();
                let pairs = (0..all).flat_map(|a| (0..all).map(move |b| (a, b)));
                self.cut.extend(pairs.filter(|(a, b)| side[*a] != side[*b]));
            }
            7 => {
                let one_way = (any(self), any(self));
                self.cut.insert(one_way);
            }
            8 => self.cut.clear(),
            _ => self.loss = self.random.below(40),
        }
        let delay = self.random.below(2500) + 200;
        self.chaos(delay);
    }

    fn fell(&mut self, node: usize, longest: u64) {
        if !self.down.contains(&node) {
            self.crash(node);
            let delay = self.random.below(longest) + 1;
            self.at(delay, Event::Restart { node });
        }
    }

    pub fn heal(&mut self) {
        self.healed = true;
        self.cut.clear();
        self.loss = 0;
        (0..self.nodes.len()).for_each(|node| self.restart(node));
    }
}
