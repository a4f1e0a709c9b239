//! The thread of consensus and its mailbox, as `node/src/driver/thread.rs` has them.

use std::collections::{BTreeMap, VecDeque};

use markstein_node::{driver::Event, peer::Peer, work};

use super::Thread;
use crate::simulation::{cluster::Cluster, network::Way};

/// Events that wait; readers of peers then wait, too.
const MAILBOX: usize = 1024;

#[derive(Default)]
pub struct Consensus {
    pub thread: Thread,
    mailbox: VecDeque<Letter>,
    /// Who waits for room in it.
    waiting: VecDeque<(usize, Way)>,
    pooled: bool,
    links: BTreeMap<Peer, bool>,
    /// What was taken out together and is not handled yet.
    turn: VecDeque<Event>,
}

/// An event, and the peer whose place on which stream it holds.
pub struct Letter {
    pub event: Event,
    pub place: Option<(usize, Way)>,
}

impl Consensus {
    /// Puts a letter in, or gives it back and remembers who waits for room.
    pub fn put(&mut self, letter: Letter, reader: (usize, Way)) -> Result<(), Box<Letter>> {
        if self.mailbox.len() >= MAILBOX {
            self.waiting.push_back(reader);
            return Err(Box::new(letter));
        }
        self.mailbox.push_back(letter);
        Ok(())
    }

    /// The next event, and the place that is free with it: signals before the next letter, a tick where one is due and
    /// nothing came.
    fn next(&mut self, is_due: bool) -> Option<(Event, Option<(usize, Way)>)> {
        if self.turn.is_empty() {
            let letter = self.mailbox.pop_front();
            let is_called = self.pooled || !self.links.is_empty();
            if letter.is_none() && !is_called && !is_due {
                return None;
            }
            let links = std::mem::take(&mut self.links);
            let linked = |(peer, up)| if up { Event::Connected(peer) } else { Event::Disconnected(peer) };
            self.turn.extend(links.into_iter().map(linked));
            self.turn.extend(std::mem::take(&mut self.pooled).then_some(Event::Pooled));
            let (event, place) = letter.map_or((Event::Tick, None), |letter| (letter.event, letter.place));
            self.turn.push_back(event);
            return self.turn.pop_front().map(|event| (event, place));
        }
        self.turn.pop_front().map(|event| (event, None))
    }
}

impl Cluster {
    /// Tells consensus of a node something that needs no room.
    pub fn mail(&mut self, node: usize, event: Event) {
        let consensus = &mut self.machine(node).consensus;
        match event {
            Event::Connected(peer) => drop(consensus.links.insert(peer, true)),
            Event::Disconnected(peer) => drop(consensus.links.insert(peer, false)),
            Event::Pooled => consensus.pooled = true,
            Event::Tick | Event::From(..) => {}
        }
        self.run_consensus(node);
    }

    /// Handles what waits, as long as there is time.
    pub fn run_consensus(&mut self, node: usize) {
        loop {
            let now = self.now;
            let Some(live) = &self.nodes[node].live else { return };
            let is_due = live.next_tick() <= now;
            let consensus = &mut self.machine(node).consensus;
            if !consensus.thread.is_free(now) {
                return self.plan(node);
            }
            let Some((event, place)) = consensus.next(is_due) else { return self.plan(node) };
            let waits = consensus.waiting.pop_front();
            if let Some((peer, way)) = place {
                self.give_place(node, peer, way);
            }
            if let Some((from, way)) = waits {
                self.wake_reader(node, from, way, now);
            }
            self.handle(node, event);
            if self.nodes[node].live.as_ref().is_some_and(|live| live.admission.has_queued()) {
                self.run_pool(node);
            }
        }
    }

    /// Handles one event: what is said leaves when the thread had done what came before it.
    fn handle(&mut self, node: usize, event: Event) {
        let now = self.now;
        let Some(live) = self.nodes[node].live.as_mut() else { return };
        let before = work::done();
        let result = live.handle(now, event);
        let spent = work::done() - before;
        let mut said = live.take_said();
        if result.is_err() {
            said.truncate(self.random.below(said.len() as u64 + 1) as usize);
        }
        let costs = self.machines().costs;
        let (begin, _) = self.machine(node).consensus.thread.work(now, costs.event(spent));
        let sent = said.len();
        for (said, done) in said {
            self.at_time(begin + costs.event(done - before), |cluster| cluster.say(node, said));
        }
        if self.survives(node, result, sent) {
            self.look(node);
        }
        self.check_time();
    }
}
