//! The ledger does not stand still while a quorum is up and connected and somebody waits for it; and no node stays behind.

#[derive(Default)]
pub struct Stalled {
    /// The longest pause, in milliseconds; none where nothing is demanded.
    pause_max: Option<u64>,
    /// The newest height of any node, and since when nothing was newer while somebody waited.
    height: u64,
    since: Option<u64>,
    /// Height of each node, and since when it is behind.
    nodes: Vec<(u64, Option<u64>)>,
    /// The longest pause there was.
    pub longest: u64,
}

impl Stalled {
    /// With a bound in milliseconds.
    pub fn within(pause_max: u64, nodes: usize) -> Self {
        Self { pause_max: Some(pause_max), nodes: vec![(0, None); nodes], ..Self::default() }
    }

    /// What was is forgotten: nodes were down.
    pub fn begin_anew(&mut self) {
        self.since = None;
        self.nodes.iter_mut().for_each(|(_, behind)| *behind = None);
    }

    pub fn look(&mut self, node: usize, height: u64, now: u64) {
        if self.pause_max.is_none() {
            return;
        }
        self.nodes[node].0 = height;
        if height > self.height {
            (self.height, self.since) = (height, None);
            self.nodes.iter_mut().for_each(|(_, behind)| _ = behind.get_or_insert(now));
        }
        if height == self.height {
            self.nodes[node].1 = None;
        }
    }

    /// Looks at the time; `is_waiting` says whether somebody waits, `is_up` whether a quorum is up and connected.
    pub fn check(&mut self, is_waiting: bool, is_up: bool, now: u64) {
        let Some(pause_max) = self.pause_max else { return };
        if !is_waiting || !is_up {
            return self.begin_anew();
        }
        let stands = now - *self.since.get_or_insert(now);
        self.longest = self.longest.max(stands);
        assert!(
            stands <= pause_max,
            "at {now}: no block since {stands} ms, and a quorum is up and connected"
        );
        for (node, (_, behind)) in self.nodes.iter().enumerate() {
            let behind = behind.map_or(0, |since| now.saturating_sub(since));
            assert!(behind <= pause_max, "at {now}: node {node} is behind the others since {behind} ms");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_on_does_not_stand_still() {
        let mut stalled = Stalled::within(100, 1);
        for now in 0..10 {
            stalled.look(0, now, 90 * now);
            stalled.check(true, true, 90 * now);
        }
        stalled.check(false, true, 2000);
        stalled.check(true, true, 3000);
        stalled.check(true, false, 3150);
        assert_eq!(stalled.longest, 0);
    }

    #[test]
    #[should_panic(expected = "no block since 101 ms")]
    fn a_pause_is_seen() {
        let mut stalled = Stalled::within(100, 1);
        stalled.check(true, true, 1);
        stalled.check(true, true, 102);
    }

    #[test]
    #[should_panic(expected = "node 1 is behind the others")]
    fn who_stays_behind_is_seen() {
        let mut stalled = Stalled::within(100, 2);
        stalled.look(0, 1, 10);
        stalled.check(true, true, 11);
        stalled.look(0, 2, 50);
        stalled.check(true, true, 51);
        stalled.look(0, 3, 100);
        stalled.check(true, true, 111);
    }
}
