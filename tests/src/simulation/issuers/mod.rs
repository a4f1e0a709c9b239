//! Those who write where work takes time: an honest issuer, and others at their worst, one behaviour a file.
//!
//! Whoever is here has a grant, signs what it says and breaks no rule: that is what makes it hard. It heeds no hint, though.

mod backlog;
mod colliding;
mod crowd;
mod dear;
mod divided;
mod honest;

use std::{collections::VecDeque, sync::Arc};

use markstein_node::{
    ledger::BatchRefusal,
    storage::{
        Db, Read,
        tables::{Outcome, Outcomes},
    },
};
use markstein_proto::{Batch, BatchId, LeafIndex, Reason, Record, StatusChange, TimeMs, status::Status};

use crate::simulation::{
    cluster::{Cluster, Event},
    node::World,
    support::{ISSUER_KEY, START, anchor, issuer, other_issuer, other_key},
};

pub use backlog::Backlog;
pub use colliding::Colliding;
pub use crowd::Crowd;
pub use dear::Dear;
pub use divided::Divided;
pub use honest::Honest;

/// What an issuer is told of a batch.
#[derive(Clone, Debug)]
pub enum Told {
    Accepted,
    /// There is no room now, and may be after so many milliseconds.
    Later(u64),
    Refused(BatchRefusal),
}

/// Somebody who may write.
pub trait Issuer {
    /// Acts; tells after how many milliseconds it wants to act again.
    fn act(&mut self, desk: &mut Desk<'_>) -> Option<u64>;

    /// A node answered.
    fn told(&mut self, _desk: &mut Desk<'_>, _node: usize, _batch: &Arc<Batch>, _told: &Told) {}

    /// Whether its batches become final in time, whatever others do.
    fn is_honest(&self) -> bool {
        false
    }
}

/// What an issuer has to work with.
pub struct Desk<'a> {
    pub world: &'a World,
    pub now: u64,
    /// Its place among the issuers: 0 has the first grant.
    number: usize,
    db: Option<&'a Db>,
    /// What it hands in: after which time, where.
    out: VecDeque<(u64, usize, Arc<Batch>)>,
    /// What was accepted where, and is to be final in time.
    accepted: Vec<(BatchId, usize)>,
}

/// All of them.
#[derive(Default)]
pub struct Senders(Vec<Option<Box<dyn Issuer>>>);

impl Desk<'_> {
    /// A batch of its own, made now and so many milliseconds.
    pub fn batch(&self, after: u64, records: &[Record]) -> Arc<Batch> {
        let (name, key) = match self.number.checked_sub(1) {
            None => (issuer(), ISSUER_KEY),
            Some(other) => (other_issuer(other as u8), other_key(other as u8)),
        };
        let (key, made) = (self.world.signing.key(key), TimeMs(START + self.now + after));
        Arc::new(Batch::sign(self.world.ledger, &name, &*key, made, records).unwrap())
    }

    /// Anchors with these numbers; nobody else may use them.
    pub fn anchors(&self, numbers: std::ops::Range<u64>) -> Vec<Record> {
        let own = |number| ((self.number as u64) << 32) + number;
        numbers.map(|number| Record::Anchor(anchor(own(number)))).collect()
    }

    /// Hands a batch to a node after some milliseconds.
    pub fn hand(&mut self, delay: u64, node: usize, batch: Arc<Batch>) {
        self.out.push_back((delay, node, batch));
    }

    /// A node accepted a batch: it is to be final in time.
    pub fn is_accepted(&mut self, batch: &Batch, node: usize) {
        self.accepted.push((batch.id(), node));
    }

    /// Where the head of a final batch stands.
    pub fn place(&self, id: &BatchId) -> Option<LeafIndex> {
        match self.db?.get::<Outcomes>(&id.0).unwrap()? {
            Outcome::Final { head_index, .. } => Some(head_index),
            Outcome::Refused { .. } => None,
        }
    }
}

/// A change of the status of what stands at `target`.
pub fn change(target: u64, from: Status, to: Status) -> Record {
    Record::StatusChange(StatusChange::new(LeafIndex(target), from, to, Reason::Other).unwrap())
}

impl Cluster {
    /// Somebody more writes, from a time on.
    pub fn admit_issuer(&mut self, issuer: Box<dyn Issuer>, delay: u64) {
        self.senders.0.push(Some(issuer));
        self.at(delay, Event::Act { issuer: self.senders.0.len() - 1 });
    }

    pub fn act(&mut self, issuer: usize) {
        let again = self.at_desk(issuer, |issuer, desk| issuer.act(desk));
        if let Some(delay) = again.flatten() {
            self.at(delay, Event::Act { issuer });
        }
    }

    pub fn told(&mut self, issuer: usize, node: usize, batch: &Arc<Batch>, told: Told) {
        self.at_desk(issuer, |issuer, desk| issuer.told(desk, node, batch, &told));
    }

    fn at_desk<T>(
        &mut self,
        number: usize,
        act: impl FnOnce(&mut dyn Issuer, &mut Desk<'_>) -> T,
    ) -> Option<T> {
        let mut issuer = self.senders.0.get_mut(number)?.take()?;
        let db = self.nodes.iter().find_map(|node| node.live.as_ref()).map(|live| &live.db);
        let mut desk = Desk {
            world: &self.world,
            now: self.now,
            number,
            db,
            out: VecDeque::new(),
            accepted: Vec::new(),
        };
        let result = act(&mut *issuer, &mut desk);
        let (out, accepted, is_honest) = (desk.out, desk.accepted, issuer.is_honest());
        for (id, node) in accepted {
            self.watch.fair.asked(id, node, self.now);
        }
        self.senders.0[number] = Some(issuer);
        for (delay, node, batch) in out {
            self.clients.others.entry(batch.id()).or_insert_with(|| Arc::clone(&batch));
            if is_honest {
                self.watch.fair.asked(batch.id(), node, self.now + delay);
            }
            self.at(delay.max(1), Event::Hand { issuer: number, node, batch });
        }
        Some(result)
    }
}
