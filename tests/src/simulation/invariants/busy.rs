//! No node wakes itself again and again at one moment: that would be a processor running hot.

/// Each block a node builds by itself takes a step.
const STEPS_MAX: u32 = 200;

pub struct Busy(Vec<(u64, u32)>);

impl Busy {
    pub fn new(nodes: usize) -> Self {
        Self(vec![(0, 0); nodes])
    }

    pub fn admit_node(&mut self) {
        self.0.push((0, 0));
    }

    pub fn woken(&mut self, node: usize, now: u64) {
        let (at, steps) = &mut self.0[node];
        *steps = if *at == now { *steps + 1 } else { 0 };
        *at = now;
        assert!(*steps < STEPS_MAX, "at {now}: node {node} spins");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "node 0 spins")]
    fn a_node_that_spins_is_seen() {
        let mut busy = Busy::new(1);
        (0..=STEPS_MAX).for_each(|_| busy.woken(0, 7));
    }
}
