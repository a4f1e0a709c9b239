//! A node asks another's pool only for what it has room for: little of what comes is turned away because its pool is full.

/// Batches that may be turned away in a second whatever was taken: room goes while they are on their way.
const TURNED_AWAY_MAX: u64 = 256;
/// And of each so many that were taken another one.
const TAKEN_FOR_ONE: u64 = 4;

#[derive(Default)]
pub struct Room {
    /// Of each node the second, the batches that it asked for and that were taken in it, and those that were not for want of
    /// room.
    nodes: Vec<(u64, u64, u64)>,
}

impl Room {
    /// A batch that a node asked for came, and there was room for it or not.
    pub fn came(&mut self, node: usize, is_full: bool, now: u64) {
        self.nodes.resize(self.nodes.len().max(node + 1), (0, 0, 0));
        if self.nodes[node].0 != now / 1000 {
            self.nodes[node] = (now / 1000, 0, 0);
        }
        let (_, taken, full) = &mut self.nodes[node];
        *(if is_full { &mut *full } else { &mut *taken }) += 1;
        assert!(
            *full <= TURNED_AWAY_MAX + *taken / TAKEN_FOR_ONE,
            "at {now}: node {node} asked for {full} batches without room for them in a second, and took {taken}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "node 1 asked for 258 batches without room for them in a second, and took 4")]
    fn batches_in_vain_are_seen() {
        let mut room = Room::default();
        (0..4).for_each(|now| room.came(1, false, now));
        (0..258).for_each(|now| room.came(1, true, now));
    }
}
