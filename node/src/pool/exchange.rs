//! Which batches of other nodes' pools are asked for: those for which there is room, each of one node at a time, within
//! a window of bytes for each node, and not those that were not taken for as long as the reason lasts. So pools that differ
//! for a reason do not fetch from each other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use markstein_proto::{BatchId, IssuerId};

use super::index::PoolIndex;
use crate::{messages::Offer, peer::Peer};

/// Bytes asked of one node and not here yet.
pub const WINDOW_BYTES: usize = 4 * 1024 * 1024;
/// Those of one issuer's batches: what one sends leaves room for another's.
pub const WINDOW_ISSUER_BYTES: usize = WINDOW_BYTES / 2;
/// Bytes asked of all nodes together and not here yet.
pub const WINDOWS_BYTES: usize = 16 * 1024 * 1024;
/// Batches asked of one node and not here yet, whatever their length.
pub const WINDOW_BATCHES: usize = 1024;
/// What was asked for and has not come after this time may be asked of another, in milliseconds.
const PATIENCE_MS: u64 = 5_000;
/// Batches that are remembered as not taken; of more the oldest is forgotten.
pub const DECLINED_MAX: usize = 65_536;

/// How long a batch that was not taken is not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Until the statuses of this issuer's records have changed another time, or this tick.
    Changes(IssuerId, u64, u64),
    /// Until this tick.
    Tick(u64),
    /// As long as this node runs.
    End,
}

/// What is under way, and what was not taken.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    asked: HashMap<BatchId, Asked>,
    /// The same by the time at which they are given up.
    by_time: BTreeSet<(u64, BatchId)>,
    /// Batches and bytes asked of each.
    by_peer: BTreeMap<Peer, (usize, usize)>,
    /// Of these those of one issuer.
    by_issuer: BTreeMap<(Peer, IssuerId), usize>,
    bytes: usize,
    declined: HashMap<BatchId, Until>,
    order: VecDeque<BatchId>,
}

#[derive(Clone, Debug)]
struct Asked {
    of: Peer,
    issuer: IssuerId,
    bytes: usize,
    until: u64,
}

impl Exchange {
    /// Those of a node's offers to ask for now; they count as asked for.
    pub(super) fn ask(&mut self, peer: Peer, offers: &[Offer], index: &PoolIndex, tick: u64) -> Vec<BatchId> {
        self.give_up(tick);
        let mut wanted = Vec::new();
        for offer in offers {
            let (count, own) = self.by_peer.get(&peer).copied().unwrap_or_default();
            let issuer = (peer, offer.issuer.clone());
            let of_issuer = self.by_issuer.get(&issuer).copied().unwrap_or(0);
            // One batch may be under way from each, whatever is asked of the others.
            let fits = count < WINDOW_BATCHES
                && own + offer.bytes <= WINDOW_BYTES
                && of_issuer + offer.bytes <= WINDOW_ISSUER_BYTES
                && (count == 0 || self.bytes + offer.bytes <= WINDOWS_BYTES);
            if fits
                && !index.contains(&offer.id)
                && !self.asked.contains_key(&offer.id)
                && !self.is_declined(&offer.id, index, tick)
                && index.has_room_for(offer, self.bytes)
            {
                let until = tick.saturating_add(PATIENCE_MS);
                let asked = Asked { of: peer, issuer: issuer.1.clone(), bytes: offer.bytes, until };
                self.asked.insert(offer.id, asked);
                self.by_time.insert((until, offer.id));
                let own = self.by_peer.entry(peer).or_default();
                *own = (own.0 + 1, own.1 + offer.bytes);
                *self.by_issuer.entry(issuer).or_default() += offer.bytes;
                self.bytes += offer.bytes;
                wanted.push(offer.id);
            }
        }
        wanted
    }

    /// A batch came, from whomever.
    pub(super) fn arrived(&mut self, id: &BatchId) {
        if let Some(asked) = self.asked.remove(id) {
            self.bytes -= asked.bytes;
            if let Some(own) = self.by_peer.get_mut(&asked.of) {
                *own = (own.0 - 1, own.1 - asked.bytes);
            }
            self.by_time.remove(&(asked.until, *id));
            let issuer = (asked.of, asked.issuer);
            if let Some(own) = self.by_issuer.get_mut(&issuer) {
                *own -= asked.bytes;
                if *own == 0 {
                    self.by_issuer.remove(&issuer);
                }
            }
        }
    }

    /// A batch was not taken.
    pub(super) fn decline(&mut self, id: BatchId, until: Until) {
        if self.declined.insert(id, until).is_none() {
            self.order.push_back(id);
        }
        if self.declined.len() > DECLINED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.declined.remove(&oldest);
        }
    }

    fn is_declined(&self, id: &BatchId, index: &PoolIndex, tick: u64) -> bool {
        self.declined.get(id).is_some_and(|until| match until {
            Until::Changes(issuer, seen, until) => index.changes_of(issuer) == *seen && tick < *until,
            Until::Tick(until) => tick < *until,
            Until::End => true,
        })
    }

    fn give_up(&mut self, tick: u64) {
        while let Some((_, id)) = self.by_time.first().copied().filter(|(until, _)| *until <= tick) {
            self.arrived(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use markstein_proto::Hash;

    use super::{super::index::PoolLimits, *};

    const MIB: usize = 1024 * 1024;

    fn offer(number: u8, bytes: usize) -> Offer {
        let issuer = if number.is_multiple_of(2) { "a" } else { "b" };
        Offer { id: BatchId(Hash([number; 32])), issuer: IssuerId::new(issuer).unwrap(), bytes }
    }

    fn index() -> PoolIndex {
        PoolIndex::new(PoolLimits {
            bytes_max: 64 * MIB,
            batches_per_issuer_max: 100,
            bytes_per_issuer_max: 32 * MIB,
        })
    }

    #[test]
    fn a_batch_is_asked_of_one_node_until_it_comes_or_its_time_is_over() {
        let (mut exchange, index, one) = (Exchange::default(), index(), offer(1, 100));
        let (a, b) = (Peer::Authority(0), Peer::Authority(1));
        assert_eq!(exchange.ask(a, std::slice::from_ref(&one), &index, 0), [one.id]);
        assert_eq!(exchange.ask(b, std::slice::from_ref(&one), &index, PATIENCE_MS - 1), []);
        assert_eq!(exchange.ask(b, std::slice::from_ref(&one), &index, PATIENCE_MS), [one.id]);
        exchange.arrived(&one.id);
        assert_eq!(exchange.bytes, 0);
        assert_eq!(exchange.ask(a, &[one], &index, PATIENCE_MS).len(), 1);
    }

    #[test]
    fn a_node_is_asked_for_a_window_of_bytes_and_all_nodes_for_another() {
        let (mut exchange, index) = (Exchange::default(), index());
        for peer in 0..5 {
            let offers: Vec<Offer> = (0..6).map(|number| offer(peer * 6 + number, MIB)).collect();
            let asked = exchange.ask(Peer::Authority(peer.into()), &offers, &index, 0).len();
            assert_eq!(asked, if peer < 4 { WINDOW_BYTES / MIB } else { 1 }, "peer {peer}");
        }
        assert_eq!(exchange.bytes, WINDOWS_BYTES + MIB);
    }

    #[test]
    fn a_node_is_asked_for_so_many_and_no_more() {
        let (mut exchange, index) = (Exchange::default(), index());
        let tiny = |number: usize| Offer { id: BatchId(Hash::of(&[&number.to_be_bytes()])), ..offer(1, 1) };
        let offers: Vec<Offer> = (0..2 * WINDOW_BATCHES).map(tiny).collect();
        assert_eq!(exchange.ask(Peer::Observer(0), &offers, &index, 0).len(), WINDOW_BATCHES);
        assert_eq!(exchange.ask(Peer::Observer(0), &offers, &index, 1), []);
        assert_eq!(exchange.ask(Peer::Observer(0), &offers, &index, PATIENCE_MS).len(), WINDOW_BATCHES);
        assert_eq!((exchange.asked.len(), exchange.by_time.len()), (WINDOW_BATCHES, WINDOW_BATCHES));
    }

    #[test]
    fn one_issuer_leaves_half_of_a_window_to_others() {
        let (mut exchange, index) = (Exchange::default(), index());
        let offers: Vec<Offer> = (0..4).map(|number| offer(2 * number, MIB)).chain([offer(1, MIB)]).collect();
        let asked = exchange.ask(Peer::Authority(0), &offers, &index, 0);
        assert_eq!(asked, [offers[0].id, offers[1].id, offers[4].id]);
        asked.iter().for_each(|id| exchange.arrived(id));
        assert!(exchange.by_issuer.is_empty() && exchange.bytes == 0);
    }

    #[test]
    fn nothing_is_asked_for_that_has_no_room() {
        let (mut exchange, small) = (
            Exchange::default(),
            PoolLimits { bytes_max: 3 * MIB, batches_per_issuer_max: 100, bytes_per_issuer_max: 2 * MIB },
        );
        let index = PoolIndex::new(small);
        assert_eq!(exchange.ask(Peer::Authority(0), &[offer(1, 2 * MIB + 1)], &index, 0), []);
        assert_eq!(exchange.ask(Peer::Authority(0), &[offer(1, 2 * MIB)], &index, 0).len(), 1);
        assert_eq!(exchange.ask(Peer::Authority(0), &[offer(2, 2 * MIB)], &index, 0), [], "it is on its way");
    }

    #[test]
    fn what_was_not_taken_is_not_asked_for_while_the_reason_lasts() {
        let (mut exchange, index, one) = (Exchange::default(), index(), offer(1, 100));
        let asks = |exchange: &mut Exchange, tick| {
            let asked =
                !exchange.ask(Peer::Authority(0), std::slice::from_ref(&one), &index, tick).is_empty();
            exchange.arrived(&one.id);
            asked
        };
        exchange.decline(one.id, Until::Tick(10));
        assert!(!asks(&mut exchange, 9) && asks(&mut exchange, 10));
        exchange.decline(one.id, Until::Changes(one.issuer.clone(), 0, 30));
        assert!(!asks(&mut exchange, 29) && asks(&mut exchange, 30));
        exchange.decline(one.id, Until::Changes(one.issuer.clone(), 7, 30));
        assert!(asks(&mut exchange, 20), "they changed since");
        exchange.decline(one.id, Until::End);
        assert!(!asks(&mut exchange, u64::MAX - PATIENCE_MS));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut exchange = Exchange::default();
        for number in 0..=DECLINED_MAX {
            let id = BatchId(Hash::of(&[&number.to_be_bytes()]));
            exchange.decline(id, Until::End);
        }
        assert_eq!((exchange.declined.len(), exchange.order.len()), (DECLINED_MAX, DECLINED_MAX));
    }
}
