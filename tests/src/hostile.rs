//! What an issuer with one ordinary grant may submit to hold up everybody else: batches that wait, that are dear to look
//! at, that are refused after much work, and very many of them. Each is rightly signed and well-formed.
//!
//! [`Hostile`] makes them, [`pour`] submits many at once as one sender would.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, bail};
use markstein_client::{
    api::{Final, batch_state::State},
    time::now,
};
use markstein_proto::{LeafIndex, Reason, Record, StatusChange, TimeMs, status::Status};
use tokio::task::JoinSet;

use crate::{
    craft::{Paper, Signer, Submission},
    grpc::{Api, reason, retry_after},
    random::Random,
};

/// Records of the dearest batch, as many as one may hold.
const CHANGES: usize = 10_000;
/// Anchors that such a batch suspends and reinstates.
const UNDONE: usize = CHANGES / 2 - 1;
/// Those, and the ones that such batches collide on, each in its turn.
pub const TARGETS: usize = UNDONE + 1000;
/// Submissions that one sender has under way.
const AT_ONCE: usize = 8;

/// An issuer that means harm.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// Who it is.
    pub signer: Signer,
    random: Random,
    /// Index of the first of its anchors, and how many there are.
    targets: (u64, u64),
    /// Which of those at the end they collide on, from the last one backwards.
    turn: u64,
    /// Changes that undo each other, made once.
    dear: Vec<Record>,
    /// Batches made so far; each has a time of its own, so each has an id of its own.
    made: u64,
}

/// What became of many submissions.
#[derive(Clone, Debug, Default)]
pub struct Poured {
    /// Places, in what was poured, of those that were taken.
    pub taken: Vec<usize>,
    /// How many were turned down, by the node's stable word, or by its code where it gave none.
    pub turned_down: BTreeMap<String, usize>,
    /// Places of those that were turned down only for now.
    pub later: Vec<usize>,
}

impl Hostile {
    /// The issuer, which has anchored nothing yet.
    #[must_use]
    pub const fn new(signer: Signer, random: Random) -> Self {
        Self { signer, random, targets: (0, 0), turn: 0, dear: Vec::new(), made: 0 }
    }

    /// So many anchors, for [`Hostile::changes`] to change once they are final.
    ///
    /// # Errors
    /// Where they do not fit into one batch.
    pub fn anchors(&mut self, count: usize) -> anyhow::Result<Submission> {
        let papers = (0..count).map(|_| Paper::random(&mut self.random)).collect();
        let created_at = self.next_time();
        self.signer.submission(created_at, papers)
    }

    /// From now on it changes the anchors that were recorded there.
    ///
    /// # Errors
    /// Never, as long as an anchor may be suspended and reinstated.
    pub fn changes(&mut self, place: &Final) -> anyhow::Result<()> {
        let (first, count) = (place.head_index + 1, u64::from(place.record_count));
        (self.targets, self.turn) = ((first, count), 0);
        self.dear = Vec::with_capacity(CHANGES);
        for target in (first..first + count).take(UNDONE) {
            self.dear.push(change(target, Status::Valid, Status::Suspended, Reason::UnderReview)?);
            self.dear.push(change(target, Status::Suspended, Status::Valid, Reason::Resolved)?);
        }
        Ok(())
    }

    /// Whether it has anchors to change.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        self.targets.1 > 0
    }

    /// What it makes from now on collides on another of its anchors, so that one more of them can become final.
    pub const fn turn(&mut self) {
        self.turn += 1;
    }

    /// Anchors all that it needs for the dearest batches, through this node, and waits until they are final.
    ///
    /// # Errors
    /// Where that does not come about.
    pub async fn settle(&mut self, api: &Api) -> anyhow::Result<()> {
        let anchors = self.anchors(TARGETS)?;
        let state = api.submit_and_wait(anchors.bytes()).await?.state;
        let Some(State::Final(place)) = state else { bail!("the anchors came to {state:?}") };
        self.changes(&place)
    }

    /// The dearest batch that waits: some thousand changes that undo each other, and at its end one that takes an anchor
    /// from valid to suspended. Of all such batches of one turn one can become final; each other one then waits, and
    /// whoever looks at it learns that with its very last change.
    ///
    /// # Errors
    /// Where it has no anchors yet.
    pub fn colliding(&mut self) -> anyhow::Result<Submission> {
        let target = self.last_target()?;
        self.ending_in(target)
    }

    /// The smallest batch that waits: nothing but that last change.
    ///
    /// # Errors
    /// Where it has no anchors yet.
    pub fn single(&mut self) -> anyhow::Result<Submission> {
        let record = change(self.last_target()?, Status::Valid, Status::Suspended, Reason::Other)?;
        let created_at = self.next_time();
        self.signer.records(created_at, &[record])
    }

    /// A batch that is refused at once, and dear to refuse: its last change is of no anchor of this issuer.
    ///
    /// # Errors
    /// Where it has no anchors yet.
    pub fn refused(&mut self) -> anyhow::Result<Submission> {
        let head = self.targets.0.checked_sub(1).context("nothing was anchored yet")?;
        self.ending_in(head)
    }

    fn ending_in(&mut self, target: u64) -> anyhow::Result<Submission> {
        self.dear.push(change(target, Status::Valid, Status::Suspended, Reason::Other)?);
        let created_at = self.next_time();
        let made = self.signer.records(created_at, &self.dear);
        self.dear.pop();
        made
    }

    fn last_target(&self) -> anyhow::Result<u64> {
        let (first, count) = self.targets;
        let last =
            (first + count).checked_sub(1).filter(|_| count > 0).context("nothing was anchored yet")?;
        let spare = count.saturating_sub(UNDONE as u64).max(1);
        Ok(last - self.turn % spare)
    }

    fn next_time(&mut self) -> TimeMs {
        self.made += 1;
        TimeMs(now().0 + self.made % 1000)
    }
}

fn change(target: u64, from: Status, to: Status, reason: Reason) -> anyhow::Result<Record> {
    Ok(Record::StatusChange(StatusChange::new(LeafIndex(target), from, to, reason)?))
}

/// Submits all of these, in turn to each of the nodes, several at once, and each of them once.
///
/// # Panics
/// Where there is no node.
pub async fn pour(apis: &[Api], batches: Vec<Vec<u8>>) -> Poured {
    assert!(!apis.is_empty(), "somebody must be there to submit to");
    let queue: VecDeque<(usize, Vec<u8>)> = batches.into_iter().enumerate().collect();
    let (queue, poured) = (Arc::new(Mutex::new(queue)), Arc::new(Mutex::new(Poured::default())));
    let mut senders = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (apis, queue, poured) = (apis.to_vec(), Arc::clone(&queue), Arc::clone(&poured));
        senders.spawn(async move {
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((place, batch)) = next else { return };
                let answer = apis[place % apis.len()].submit(batch).await;
                let mut poured = poured.lock().unwrap_or_else(PoisonError::into_inner);
                match answer {
                    Ok(_) => poured.taken.push(place),
                    Err(status) => {
                        if retry_after(&status).is_some() {
                            poured.later.push(place);
                        }
                        let word = match reason(&status) {
                            "" => format!("{:?}", status.code()),
                            word => word.to_owned(),
                        };
                        *poured.turned_down.entry(word).or_default() += 1;
                    }
                }
            }
        });
    }
    while senders.join_next().await.is_some() {}
    let mut poured = poured.lock().unwrap_or_else(PoisonError::into_inner).clone();
    poured.taken.sort_unstable();
    poured.later.sort_unstable();
    poured
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::{Batch, Hash, IssuerId, LedgerId, SecretKey};

    use super::*;

    fn hostile() -> Hostile {
        let signer = Signer {
            ledger: LedgerId(Hash([1; 32])),
            issuer: IssuerId::new("mallory.example").unwrap(),
            key: SecretKey::from_seed(&[2; 32]),
        };
        let mut hostile = Hostile::new(signer, Random::new(1));
        hostile
            .changes(&Final { height: 1, head_index: 9, record_count: TARGETS as u32, time_ms: 0 })
            .unwrap();
        hostile
    }

    #[test]
    fn the_dearest_batches_are_well_formed_and_none_is_another() {
        let mut hostile = hostile();
        let (one, other) = (hostile.colliding().unwrap(), hostile.colliding().unwrap());
        assert_ne!(one.id(), other.id());
        assert_eq!(Batch::decode(one.bytes()).unwrap().records().len(), CHANGES - 1);
        assert!(one.bytes().len() > 140_000, "{}", one.bytes().len());
        let last = |batch: &Submission| batch.batch.records().last().unwrap().record.clone();
        let expected = change(9 + TARGETS as u64, Status::Valid, Status::Suspended, Reason::Other).unwrap();
        assert_eq!((last(&one), last(&hostile.single().unwrap())), (expected.clone(), expected.clone()));
        hostile.turn();
        assert_ne!(last(&hostile.colliding().unwrap()), expected);
        assert_eq!(hostile.refused().unwrap().batch.records().len(), CHANGES - 1);
    }

    #[test]
    fn without_anchors_there_is_nothing_to_change() {
        let mut hostile = Hostile { targets: (0, 0), ..hostile() };
        assert!(!hostile.is_settled());
        assert!(hostile.colliding().is_err() && hostile.single().is_err() && hostile.refused().is_err());
    }
}
