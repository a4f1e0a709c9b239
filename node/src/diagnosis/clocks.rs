//! Whose clock is off.

use crate::network_view::Snapshot;

/// Clocks that are further off than a bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// This node's clock less those of the others, where most clocks agree against it; in milliseconds.
    pub own: Option<i64>,
    /// Others by number, and their clocks less this node's, or less those of most where this node's own is off.
    pub others: Vec<(usize, i64)>,
    /// How many others' clocks are known.
    pub heard: usize,
}

/// Clocks of authorities that are heard, as they said last. A clock that stands alone is its own fault; where most clocks,
/// this node's included, agree within the bound against this node's, it is this node's. Two halves accuse each other.
#[must_use]
pub fn clocks(snapshot: &Snapshot, bound_ms: u64) -> Clocks {
    let all = snapshot.authorities.iter().enumerate();
    let heard =
        all.filter(|(number, it)| snapshot.own != Some(*number) && it.connected && it.heard_ms_ago.is_some());
    let heard: Vec<(usize, i64)> = heard.map(|(number, it)| (number, it.clock_skew_ms)).collect();
    let off_from = |reference: i64| {
        let apart = heard.iter().map(move |(number, ms)| (*number, ms.saturating_sub(reference)));
        apart.filter(|(_, ms)| ms.unsigned_abs() > bound_ms).collect::<Vec<_>>()
    };
    let majority = middle(&heard).filter(|middle| {
        let agree = heard.len() - off_from(*middle).len();
        middle.unsigned_abs() > bound_ms && agree * 2 > heard.len() + 1
    });
    let (own, others) = match majority {
        Some(middle) => (Some(middle.saturating_neg()), off_from(middle)),
        None => (None, off_from(0)),
    };
    Clocks { own, others, heard: heard.len() }
}

fn middle(heard: &[(usize, i64)]) -> Option<i64> {
    let mut skews: Vec<i64> = heard.iter().map(|(_, ms)| *ms).collect();
    skews.sort_unstable();
    skews.get(skews.len() / 2).copied()
}
