//! Batches that wait to be checked by the pool's thread: issuers have their turns, so that what one sends, however dear,
//! holds up another's by a turn.

use std::collections::{BTreeMap, VecDeque};

use markstein_proto::{Batch, IssuerId};

use super::{
    admission::Origin,
    contents::issuer_of,
    cost::{LOOK_COST, TURN_COST, cost_of},
};

/// Batches of one issuer that wait to be checked: far fewer than submissions that a node takes in at once, so that others
/// always find a place among these.
pub const INBOX_MAX: usize = 128;
/// Their steps.
pub const INBOX_COST_MAX: u64 = 8 * LOOK_COST;
/// Batches checked together, with one sync.
const GROUP: usize = 256;

#[derive(Debug)]
struct Line<R> {
    requests: VecDeque<(u64, R)>,
    cost: u64,
}

impl<R> Default for Line<R> {
    fn default() -> Self {
        Self { requests: VecDeque::new(), cost: 0 }
    }
}

/// Requests that wait, in lines by issuer and by where they come from; what nobody may write stands in a line of its own. What
/// other nodes pass on is bounded where it comes in, and takes no place of a submission.
#[derive(Debug)]
pub struct Inbox<R> {
    lines: BTreeMap<(Option<IssuerId>, bool), Line<R>>,
    served: Option<(Option<IssuerId>, bool)>,
}

impl<R> Default for Inbox<R> {
    fn default() -> Self {
        Self { lines: BTreeMap::new(), served: None }
    }
}

impl<R: AsRef<Batch>> Inbox<R> {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// Gives it back where its issuer has too many here.
    pub fn push(&mut self, request: R, origin: Origin) -> Result<(), R> {
        let (issuer, cost) = (issuer_of(request.as_ref()).cloned(), cost_of(request.as_ref()));
        let is_submitted = origin == Origin::Submitted;
        let line = self.lines.entry((issuer, is_submitted)).or_default();
        let is_full = line.requests.len() >= INBOX_MAX || line.cost + cost > INBOX_COST_MAX;
        if is_submitted && is_full && !line.requests.is_empty() {
            return Err(request);
        }
        line.cost += cost;
        line.requests.push_back((cost, request));
        Ok(())
    }

    /// The next ones: a turn of each issuer after the other, until it is enough for one go.
    pub fn take(&mut self) -> Vec<R> {
        let (mut group, mut spent) = (Vec::new(), 0);
        while group.len() < GROUP && spent < LOOK_COST {
            let Some(issuer) = self.next() else { break };
            let Some(line) = self.lines.get_mut(&issuer) else { break };
            let mut turn = 0;
            while group.len() < GROUP
                && turn < TURN_COST
                && let Some((cost, request)) = line.requests.pop_front()
            {
                turn += cost;
                line.cost -= cost;
                group.push(request);
            }
            spent += turn;
            if line.requests.is_empty() {
                self.lines.remove(&issuer);
            }
            self.served = Some(issuer);
        }
        group
    }

    fn next(&self) -> Option<(Option<IssuerId>, bool)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let later =
            self.served.as_ref().and_then(|last| self.lines.range((Excluded(last), Unbounded)).next());
        later.or_else(|| self.lines.iter().next()).map(|(issuer, _)| issuer.clone())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use markstein_proto::{
        Batch, Hash, LeafIndex, LedgerId, Reason, Record, SecretKey, StatusChange, TimeMs, status::Status,
    };
    use tokio::sync::oneshot;

    use super::{super::actor::Request, *};

    fn request(issuer: &str, records: u64, number: u64) -> Request {
        let change =
            |n| StatusChange::new(LeafIndex(n), Status::Valid, Status::Suspended, Reason::UnderReview);
        let records: Vec<Record> = (0..records).map(|n| Record::StatusChange(change(n).unwrap())).collect();
        let (key, issuer) = (SecretKey::from_seed(&[1; 32]), IssuerId::new(issuer).unwrap());
        let batch = Batch::sign(LedgerId(Hash([0; 32])), &issuer, &key, TimeMs(number), &records).unwrap();
        let (reply, _) = oneshot::channel();
        Request { batch: Arc::new(batch), origin: Origin::Submitted, reply, place: None }
    }

    fn issuers(group: &[Request]) -> Vec<&str> {
        group.iter().map(|request| issuer_of(&request.batch).unwrap().as_str()).collect()
    }

    #[test]
    fn an_issuer_with_many_dear_batches_holds_up_another_by_one_turn() {
        let mut inbox = Inbox::default();
        (0..10).for_each(|number| inbox.push(request("a", 5_000, number), Origin::Submitted).unwrap());
        inbox.push(request("b", 1, 0), Origin::Submitted).unwrap();
        inbox.push(request("c", 1, 0), Origin::Submitted).unwrap();
        let group = inbox.take();
        assert_eq!(issuers(&group)[..3], ["a", "b", "c"]);
        assert!(group.len() < 6, "the rest comes later: {}", group.len());
        let rest = std::iter::from_fn(|| Some(inbox.take()).filter(|group| !group.is_empty())).flatten();
        assert_eq!(group.len() + rest.count(), 12);
        assert!(inbox.is_empty());
    }

    #[test]
    fn an_issuer_has_so_many_here_and_no_more() {
        let mut inbox = Inbox::default();
        (0..INBOX_MAX as u64)
            .for_each(|number| inbox.push(request("a", 1, number), Origin::Submitted).unwrap());
        assert!(inbox.push(request("a", 1, 9_999), Origin::Submitted).is_err());
        inbox.push(request("b", 1, 0), Origin::Submitted).unwrap();
        inbox.push(request("a", 1, 9_999), Origin::Gossip).unwrap();
    }

    #[test]
    fn whose_turn_it_was_goes_to_the_end() {
        let mut inbox = Inbox::default();
        for number in 0..3 {
            inbox.push(request("a", 9_000, number), Origin::Submitted).unwrap();
            inbox.push(request("b", 9_000, number), Origin::Submitted).unwrap();
        }
        let order: Vec<String> = std::iter::from_fn(|| Some(inbox.take()).filter(|group| !group.is_empty()))
            .flat_map(|group| issuers(&group).into_iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(order, ["a", "b", "a", "b", "a", "b"]);
    }
}
