//! Who reads the streams of a peer: one message after the other on each, and the next when all is done with one.

use std::{collections::VecDeque, sync::Arc};

use markstein_node::{
    driver::{Checked, DriverError, Event as DriverEvent, answer},
    messages::Message,
    peer::Misbehaviour,
    work,
};

use super::{
    Part, Request, Source, Thread,
    consensus::Letter,
    order::{Do, order},
};
use crate::simulation::{cluster::Cluster, network::Way};

/// Large messages and questions of one peer under way on one stream.
const PLACES: usize = 2;

#[derive(Default)]
pub struct Reader {
    thread: Thread,
    /// When it goes on, as far as that is known.
    planned: Option<u64>,
    /// What came, and when.
    frames: VecDeque<(u64, Arc<Vec<u8>>)>,
    doing: Option<Doing>,
}

/// What it does with a message.
struct Doing {
    left: &'static [Do],
    message: Option<Message>,
    checked: Option<Checked>,
    /// It holds a place.
    place: bool,
    /// The pool has its batch.
    waits: bool,
}

impl Reader {
    pub fn arrived(&mut self, now: u64, bytes: Arc<Vec<u8>>) {
        self.frames.push_back((now, bytes));
    }

    pub const fn worked(&self) -> u64 {
        self.thread.worked
    }

    pub fn hang_up(&mut self) {
        self.frames.clear();
    }
}

/// Whether a reader goes on at once.
enum Next {
    Again,
    Later,
}

impl Cluster {
    fn reader(&mut self, node: usize, from: usize, way: Way) -> &mut Reader {
        self.machine(node).readers.entry((from, way)).or_default()
    }

    /// Has a reader go on at a time, unless it does so before anyway.
    pub fn wake_reader(&mut self, node: usize, from: usize, way: Way, at: u64) {
        let reader = self.reader(node, from, way);
        if reader.planned.is_none_or(|planned| planned > at) {
            reader.planned = Some(at);
            self.free_at(node, Part::Reader(from, way), at);
        }
    }

    /// A reader goes on now, as was planned.
    pub fn woken_reader(&mut self, node: usize, from: usize, way: Way) {
        let now = self.now;
        let reader = self.reader(node, from, way);
        if reader.planned.is_some_and(|planned| planned <= now) {
            reader.planned = None;
        }
        self.run_reader(node, from, way);
    }

    /// The pool has said what becomes of a reader's batch.
    pub fn go_on_reading(&mut self, node: usize, from: usize, way: Way) {
        if let Some(doing) = &mut self.reader(node, from, way).doing {
            doing.waits = false;
        }
        let now = self.now;
        self.wake_reader(node, from, way, now);
    }

    /// A place of a peer on a stream is free: whoever waits for it goes on.
    pub fn give_place(&mut self, node: usize, peer: usize, way: Way) {
        let taken = self.machine(node).places.entry((peer, way)).or_default();
        *taken = taken.saturating_sub(1);
        let (now, waits) = (self.now, |doing: &Doing| doing.left.first() == Some(&Do::Place));
        if self.reader(node, peer, way).doing.as_ref().is_some_and(waits) {
            self.wake_reader(node, peer, way, now);
        }
    }

    /// Reads what came, as long as there is time and nothing is waited for.
    pub fn run_reader(&mut self, node: usize, from: usize, way: Way) {
        loop {
            let now = self.now;
            if self.nodes[node].live.is_none() {
                return;
            }
            let reader = self.reader(node, from, way);
            if !reader.thread.is_free(now) {
                let at = reader.thread.free_ms();
                return self.wake_reader(node, from, way, at);
            }
            let next = match reader.doing.take() {
                Some(doing) => self.go_on_with(node, from, way, doing),
                None => self.read_next(node, from, way),
            };
            if matches!(next, Next::Later) {
                return;
            }
        }
    }

    fn read_next(&mut self, node: usize, from: usize, way: Way) -> Next {
        let (now, costs) = (self.now, self.machines().costs);
        let reader = self.reader(node, from, way);
        let Some((came, bytes)) = reader.frames.pop_front() else { return Next::Later };
        if way == Way::Urgent {
            self.watch.urgent.read(node, from, now - came, now);
        }
        let length = self.machines().lanes.read((from, node, way));
        let message = match Message::decode(&bytes) {
            Ok(message) => self.overheard(node, message),
            Err(error) => {
                self.accuse(node, from, &Misbehaviour::new("undecodable", error));
                return Next::Again;
            }
        };
        let left = order(&message, length);
        let doing = Doing { left, message: Some(message), checked: None, place: false, waits: false };
        let reader = self.reader(node, from, way);
        reader.thread.work(now, costs.message(length));
        reader.doing = Some(doing);
        Next::Again
    }

    /// Does one thing of those that are left.
    fn go_on_with(&mut self, node: usize, from: usize, way: Way, mut doing: Doing) -> Next {
        if doing.waits {
            self.reader(node, from, way).doing = Some(doing);
            return Next::Later;
        }
        let Some((first, rest)) = doing.left.split_first() else { return Next::Again };
        let done = match first {
            Do::Place => self.take_place(node, from, way, &mut doing),
            Do::Inspect => {
                if !self.inspect(node, from, way, &mut doing) {
                    return Next::Again; // it is no good, and its place is free again
                }
                true
            }
            Do::Answer => {
                self.answer_question(node, from, way, &mut doing);
                true
            }
            Do::Put => self.put(node, from, way, &mut doing),
            Do::Await => {
                doing.left = rest;
                return self.offer_batch(node, from, way, doing);
            }
        };
        if done {
            doing.left = rest;
        }
        let is_waiting = !done;
        if !doing.left.is_empty() {
            self.reader(node, from, way).doing = Some(doing);
        }
        if is_waiting { Next::Later } else { Next::Again }
    }

    fn take_place(&mut self, node: usize, from: usize, way: Way, doing: &mut Doing) -> bool {
        let taken = self.machine(node).places.entry((from, way)).or_default();
        if *taken >= PLACES {
            return false;
        }
        *taken += 1;
        doing.place = true;
        true
    }

    fn inspect(&mut self, node: usize, from: usize, way: Way, doing: &mut Doing) -> bool {
        let (now, peer) = (self.now, self.world.peer(from));
        let (Some(live), Some(message)) = (&self.nodes[node].live, doing.message.take()) else {
            return false;
        };
        let before = work::done();
        let checked = live.inspector.inspect(peer, message);
        let cost = self.machines().costs.of(work::done() - before);
        self.reader(node, from, way).thread.work(now, cost);
        match checked {
            Ok(checked) => {
                doing.checked = Some(checked);
                true
            }
            Err(what) => {
                if doing.place {
                    self.give_place(node, from, way);
                }
                self.accuse(node, from, &what);
                false
            }
        }
    }

    fn answer_question(&mut self, node: usize, from: usize, way: Way, doing: &mut Doing) {
        let now = self.now;
        let (Some(live), Some(message)) = (&self.nodes[node].live, doing.message.take()) else { return };
        let (before, clock) = (work::done(), live.set_clock(now).clock);
        let answers = answer(&live.db, &live.pool, self.world.peer(from), clock, &message);
        let cost = self.machines().costs.of(work::done() - before);
        let (_, end) = self.reader(node, from, way).thread.work(now, cost);
        doing.checked = Some(Checked::Heard);
        if std::mem::take(&mut doing.place) {
            self.give_place(node, from, way);
        }
        match answers {
            Ok(answers) => {
                for answer in answers.into_iter().flatten() {
                    self.at_time(end, |cluster| cluster.send(node, &[from], &answer));
                }
            }
            Err(error) => drop(self.survives(node, Err(DriverError::Storage(error)), 0)),
        }
    }

    fn put(&mut self, node: usize, from: usize, way: Way, doing: &mut Doing) -> bool {
        let Some(checked) = doing.checked.take() else { return true };
        let (peer, place) = (self.world.peer(from), doing.place.then_some((from, way)));
        let letter = Letter { event: DriverEvent::From(peer, checked), place };
        match self.machine(node).consensus.put(letter, (from, way)) {
            Ok(()) => {
                doing.place = false;
                self.run_consensus(node);
                true
            }
            Err(letter) => {
                if let DriverEvent::From(_, checked) = letter.event {
                    doing.checked = Some(checked);
                }
                false
            }
        }
    }

    fn offer_batch(&mut self, node: usize, from: usize, way: Way, mut doing: Doing) -> Next {
        let waits = self.world.waits_for_verdicts();
        let Some(Checked::PoolBatch(batch)) = doing.checked.replace(Checked::Heard) else {
            return Next::Again;
        };
        let source = if waits { Source::Reader(from, way) } else { Source::Nobody };
        doing.waits = waits;
        self.reader(node, from, way).doing = Some(doing);
        self.offer(node, Request { batch, from: source });
        if waits { Next::Later } else { Next::Again }
    }
}
