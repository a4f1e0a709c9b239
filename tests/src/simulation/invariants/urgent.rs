//! Votes never wait: what comes on a stream for what is urgent is read at once, whatever else comes.

/// Milliseconds that it may wait: for those before it on its stream, all of which are small.
const WAITS_MAX: u64 = 50;

#[derive(Default)]
pub struct Urgent {
    /// The longest that anything waited, in milliseconds.
    pub longest: u64,
}

impl Urgent {
    /// A node read what had come to it for so many milliseconds.
    pub fn read(&mut self, node: usize, from: usize, waited: u64, now: u64) {
        self.longest = self.longest.max(waited);
        assert!(
            waited <= WAITS_MAX,
            "at {now}: what node {from} said to node {node} is urgent, and was not read for {waited} ms"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "what node 1 said to node 0 is urgent, and was not read for 51 ms")]
    fn what_waits_is_seen() {
        let mut urgent = Urgent::default();
        urgent.read(0, 1, 50, 7);
        urgent.read(0, 1, 51, 8);
    }
}
