//! No authority cosigns a log smaller than one it cosigned before, over all its lives.

use std::collections::BTreeSet;

use markstein_node::messages::Message;

/// For each authority all its lines, and the largest size of them.
pub struct Cosigned(Vec<(BTreeSet<String>, u64)>);

impl Cosigned {
    pub fn new(authorities: usize) -> Self {
        Self(vec![(BTreeSet::new(), 0); authorities])
    }

    /// The largest log that any of them cosigned.
    pub fn largest(&self) -> u64 {
        self.0.iter().map(|(_, largest)| *largest).max().unwrap_or_default()
    }

    pub fn said(&mut self, node: usize, message: &Message) {
        let Message::Cosignature(lines) = message else { return };
        if lines.authority as usize != node {
            return; // passed on, and counted when they were first said
        }
        let (all, largest) = &mut self.0[node];
        if !all.contains(&lines.lines) {
            all.insert(lines.lines.clone());
            assert!(
                lines.size.0 >= *largest,
                "authority {node} cosigns {} leaves after {largest}",
                lines.size
            );
            *largest = lines.size.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use markstein_node::messages::CosignatureLines;
    use markstein_proto::LogSize;

    use super::*;

    #[test]
    #[should_panic(expected = "authority 1 cosigns 4 leaves after 5")]
    fn a_smaller_log_is_seen() {
        let mut cosigned = Cosigned::new(2);
        for size in [5, 4] {
            let lines = CosignatureLines { size: LogSize(size), authority: 1, lines: size.to_string() };
            cosigned.said(1, &Message::Cosignature(lines));
        }
    }
}
