//! While a node runs, its newest final block never goes back. A crash may take unsynced blocks, which come back.

pub struct Heights(Vec<u64>);

impl Heights {
    pub fn new(nodes: usize) -> Self {
        Self(vec![0; nodes])
    }

    pub fn admit_node(&mut self) {
        self.0.push(0);
    }

    pub fn look(&mut self, node: usize, height: u64, now: u64) {
        let before = self.0[node];
        assert!(height >= before, "at {now}: node {node} goes back from block {before} to {height}");
        self.0[node] = height;
    }

    pub fn restarted(&mut self, node: usize) {
        self.0[node] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "goes back from block 4 to 3")]
    fn a_block_taken_back_is_seen() {
        let mut heights = Heights::new(1);
        heights.look(0, 4, 1);
        heights.look(0, 3, 2);
    }

    #[test]
    fn a_crash_may_take_blocks() {
        let mut heights = Heights::new(1);
        heights.look(0, 4, 1);
        heights.restarted(0);
        heights.look(0, 3, 2);
    }
}
