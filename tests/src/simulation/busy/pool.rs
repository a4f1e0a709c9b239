//! The pool's thread, its mailbox and who waits for its verdicts, as `node/src/pool/{actor,handle}.rs` have them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use markstein_node::{
    driver::DriverError,
    messages::{Message, Offer},
    network::GOSSIPED_BATCH_MAX,
    peer::Misbehaviour,
    pool::{Answer, Inbox, Origin, SubmitError, Verdict},
    work::{self, Step, Steps},
};
use markstein_proto::{Author, Batch, Hash, IssuerId};

use super::{Part, Thread, thread::MS};
use crate::simulation::{cluster::Cluster, issuers::Told, network::Way};

/// What the thread has not looked at; one more is not taken.
const MAILBOX: usize = 1024;
/// Those of other nodes in it.
const GOSSIP_MAX: usize = 64;
/// Bytes of submissions that are on their way in: of all, and of one caller. Each issuer is a caller of its own.
const BODIES: (u64, u64) = (64 << 20, 32 << 20);
/// Who finds no room before the pool can tell when there is some comes again after so many milliseconds.
const BUSY_HINT: u64 = 500;
/// Batches by gossip from one peer that are looked at.
const VERDICTS_MAX: usize = 1024;

/// A batch on its way into the pool.
pub struct Request {
    pub batch: Arc<Batch>,
    pub from: Source,
}

impl AsRef<Batch> for Request {
    fn as_ref(&self) -> &Batch {
        &self.batch
    }
}

/// Who waits for what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An issuer.
    Issuer(usize),
    /// Who reads this stream of this peer.
    Reader(usize, Way),
    /// Gossip of this peer.
    Gossip(usize),
    /// Nobody.
    Nobody,
}

impl Source {
    const fn origin(self) -> Origin {
        match self {
            Self::Issuer(_) => Origin::Submitted,
            _ => Origin::Gossip,
        }
    }
}

#[derive(Default)]
pub struct PoolThread {
    pub thread: Thread,
    pub planned: Option<u64>,
    mailbox: VecDeque<Request>,
    /// What it has taken out of it, in lines by issuer.
    inbox: Inbox<Request>,
    /// What is left of the group that is admitted, and what was.
    group: VecDeque<Request>,
    admitted: Vec<(Request, Answer, Verdict)>,
    /// The group is to be synced.
    sync: bool,
    /// A group was admitted: then it looks at what waits.
    looks: bool,
    /// Batches of other nodes in mailbox and group, and those that wait for a place there.
    gossip: usize,
    waiting: VecDeque<Request>,
    /// Bytes of submissions on their way, by issuer.
    bodies: BTreeMap<usize, u64>,
    runs: bool,
}

impl Cluster {
    /// A submission comes to a node.
    pub fn hand(&mut self, issuer: usize, node: usize, batch: Arc<Batch>) {
        if self.nodes[node].live.is_none() {
            return self.told(issuer, node, &batch, Told::Later(BUSY_HINT));
        }
        let (bytes, (total, each)) = (self.weight_of(&batch), BODIES);
        let pool = &mut self.machine(node).pool;
        let own = pool.bodies.get(&issuer).copied().unwrap_or_default();
        let is_full = own + bytes > each || pool.bodies.values().sum::<u64>() + bytes > total;
        if is_full || pool.mailbox.len() >= MAILBOX {
            return self.told(issuer, node, &batch, Told::Later(BUSY_HINT));
        }
        *pool.bodies.entry(issuer).or_default() += bytes;
        pool.mailbox.push_back(Request { batch, from: Source::Issuer(issuer) });
        self.run_pool(node);
    }

    fn weight_of(&mut self, batch: &Batch) -> u64 {
        batch.bytes().len() as u64 * self.machines().costs.scale
    }

    /// Another node offers a batch.
    pub fn offer(&mut self, node: usize, request: Request) {
        let pool = &mut self.machine(node).pool;
        if pool.gossip >= GOSSIP_MAX {
            return pool.waiting.push_back(request);
        }
        self.enter(node, request);
        self.run_pool(node);
    }

    fn enter(&mut self, node: usize, request: Request) {
        let pool = &mut self.machine(node).pool;
        if pool.mailbox.len() >= MAILBOX {
            return self.judge(node, request, Verdict::NotNow);
        }
        pool.gossip += 1;
        pool.mailbox.push_back(request);
    }

    /// Gossip brings each batch once.
    pub fn take_gossip(&mut self, from: usize, to: usize, bytes: &Arc<Vec<u8>>) {
        let machine = self.machine(to);
        let judged = machine.judged.entry(from).or_default();
        if *judged >= VERDICTS_MAX || !machine.seen.insert(Hash::of(&[bytes])) {
            return;
        }
        *judged += 1;
        match Batch::decode(bytes.to_vec()) {
            Ok(batch) => self.offer(to, Request { batch: Arc::new(batch), from: Source::Gossip(from) }),
            Err(error) => self.accuse(to, from, &Misbehaviour::new("malformed_batch", error)),
        }
    }

    /// Admits what waits, as long as there is time.
    pub fn run_pool(&mut self, node: usize) {
        if std::mem::replace(&mut self.machine(node).pool.runs, true) {
            return;
        }
        while self.pool_step(node) {}
        self.machine(node).pool.runs = false;
    }

    fn pool_step(&mut self, node: usize) -> bool {
        if self.nodes[node].live.is_none() {
            return false;
        }
        let (now, costs) = (self.now, self.machines().costs);
        let pool = &mut self.machine(node).pool;
        if !pool.thread.is_free(now) {
            let at = pool.thread.free_ms();
            if pool.planned.is_none() {
                pool.planned = Some(at);
                self.free_at(node, Part::Pool, at);
            }
            return false;
        }
        if let Some(request) = pool.group.pop_front() {
            self.admit_timed(node, request);
            return true;
        }
        if std::mem::take(&mut pool.sync) {
            pool.thread.work(now, costs.step(Step::Sync));
            return true;
        }
        let admitted = std::mem::take(&mut pool.admitted);
        if !admitted.is_empty() {
            admitted
                .into_iter()
                .for_each(|(request, answer, verdict)| self.answer(node, request, answer, verdict));
            return true;
        }
        if std::mem::take(&mut pool.looks) {
            return self.look_timed(node);
        }
        for request in std::mem::take(&mut pool.mailbox) {
            let origin = request.from.origin();
            if let Err(request) = self.machine(node).pool.inbox.push(request, origin) {
                self.answer(node, request, Err(SubmitError::Busy), Verdict::NotNow);
            }
        }
        let has_queued = self.nodes[node].live.as_ref().is_some_and(|live| live.admission.has_queued());
        let pool = &mut self.machine(node).pool;
        pool.group = pool.inbox.take().into();
        pool.looks = has_queued || !pool.group.is_empty();
        pool.looks
    }

    /// One look at what waits for something.
    fn look_timed(&mut self, node: usize) -> bool {
        let now = self.now;
        let Some(live) = &self.nodes[node].live else { return false };
        live.set_clock(now);
        let before = work::done();
        let result = live.admission.look();
        let spent = work::done() - before;
        let has_looked = live.take_looked();
        if let Err(failure) = result {
            self.survives(node, Err(DriverError::Pool(failure)), 0);
            return false;
        }
        let cost = self.machines().costs.of(spent);
        let (_, end) = self.machine(node).pool.thread.work(now, cost);
        if has_looked {
            self.free_at(node, Part::News, end / MS);
        }
        cost > 0
    }

    /// Admits one batch of a group. The real pool writes the group together; here each is in the pool when it was looked at.
    fn admit_timed(&mut self, node: usize, request: Request) {
        let now = self.now;
        let Some(live) = &self.nodes[node].live else { return };
        live.set_clock(now);
        let before = work::done();
        let offered = (Arc::clone(&request.batch), request.from.origin());
        let Some(answer) = live.admission.admit(&[offered]).pop() else { return };
        let verdict = live.admission.verdict(&request.batch, answer.clone());
        let spent = work::done() - before;
        let news = live.take_news();
        if let Err(SubmitError::Storage(error)) = answer {
            self.survives(node, Err(DriverError::Storage(error)), 0);
            return;
        }
        let costs = self.machines().costs;
        let cost = costs.of(spent) - sync_of(&spent) * costs.step(Step::Sync);
        let pool = &mut self.machine(node).pool;
        pool.sync |= sync_of(&spent) > 0;
        pool.admitted.push((request, answer, verdict));
        let (_, end) = pool.thread.work(now, cost);
        for (batch, origin) in news {
            self.at_time(end, |cluster| cluster.publish(node, &batch, origin));
            self.free_at(node, Part::News, end / MS);
        }
    }

    /// As `Announcer` does it.
    fn publish(&mut self, node: usize, batch: &Arc<Batch>, origin: Origin) {
        let Some(issuer) = issuer_of(batch) else { return };
        let bytes = batch.bytes().len();
        if bytes * self.machines().costs.scale as usize > GOSSIPED_BATCH_MAX {
            let others: Vec<usize> = (0..self.world.n).filter(|other| *other != node).collect();
            let offer = Offer { id: batch.id(), issuer: issuer.clone(), bytes };
            self.send(node, &others, &Message::Pooled(vec![offer]));
        } else if origin == Origin::Submitted {
            self.flood(node, None, &Arc::new(batch.bytes().to_vec()));
        }
    }

    fn answer(&mut self, node: usize, request: Request, answer: Answer, verdict: Verdict) {
        let Source::Issuer(issuer) = request.from else {
            if matches!(request.from, Source::Reader(..) | Source::Nobody) {
                let (is_full, now) = (matches!(answer, Err(SubmitError::Full(_))), self.now);
                self.watch.room.came(node, is_full, now);
            }
            let pool = &mut self.machine(node).pool;
            pool.gossip -= 1;
            let next = pool.waiting.pop_front();
            self.judge(node, request, verdict);
            if let Some(next) = next {
                self.enter(node, next);
            }
            return;
        };
        let bytes = self.weight_of(&request.batch);
        *self.machine(node).pool.bodies.entry(issuer).or_default() -= bytes;
        let told = match answer {
            Ok(_) => Told::Accepted,
            Err(SubmitError::Refused(why)) => Told::Refused(why),
            Err(SubmitError::Full(_)) => {
                let live = self.nodes[node].live.as_ref();
                let hint =
                    live.zip(issuer_of(&request.batch)).map(|(live, issuer)| live.pool.hint_ms(issuer));
                Told::Later(hint.unwrap_or(BUSY_HINT))
            }
            Err(_) => Told::Later(BUSY_HINT),
        };
        self.told(issuer, node, &request.batch, told);
    }

    fn judge(&mut self, node: usize, request: Request, verdict: Verdict) {
        match request.from {
            Source::Reader(from, way) => self.go_on_reading(node, from, way),
            Source::Gossip(from) => {
                *self.machine(node).judged.entry(from).or_default() -= 1;
                match verdict {
                    Verdict::New => self.flood(node, Some(from), &Arc::new(request.batch.bytes().to_vec())),
                    Verdict::Bad(refusal) => {
                        self.accuse(node, from, &Misbehaviour::new("inadmissible_batch", refusal));
                    }
                    Verdict::Known | Verdict::NotNow => {}
                }
            }
            Source::Issuer(_) | Source::Nobody => {}
        }
    }
}

const fn issuer_of(batch: &Batch) -> Option<&IssuerId> {
    match &batch.head().author {
        Author::Issuer { issuer, .. } => Some(issuer),
        Author::Genesis => None,
    }
}

const fn sync_of(steps: &Steps) -> u64 {
    steps.of(Step::Sync)
}
