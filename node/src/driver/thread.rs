//! The driver's thread and its mailbox.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use markstein_consensus::Now;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc};

use super::{Driver, DriverError, Event, Parts};
use crate::{clock::Clock, peer::Peer, shutdown::StopSignal};

/// Events that wait for the driver at once; readers of peers then wait, and so do the peers.
const MAILBOX: usize = 1024;

/// A handle that events go in by.
#[derive(Clone, Debug)]
pub struct Mailbox {
    events: mpsc::Sender<Letter>,
    signals: Arc<Signals>,
}

/// The other end.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Letter>,
    signals: Arc<Signals>,
}

/// An event, and its sender's place, which is given back when the event is taken out.
#[derive(Debug)]
struct Letter {
    event: Event,
    place: Option<OwnedSemaphorePermit>,
}

impl Letter {
    fn open(self) -> Event {
        drop(self.place);
        self.event
    }
}

/// What may be said without waiting, because saying it twice is saying it once.
#[derive(Debug, Default)]
struct Signals {
    pooled: AtomicBool,
    /// One of the others changed.
    changed: Notify,
    /// Peers that came or went since the driver looked.
    links: Mutex<BTreeMap<Peer, bool>>,
}

impl Signals {
    fn links(&self) -> MutexGuard<'_, BTreeMap<Peer, bool>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A mailbox and its other end.
#[must_use]
pub fn mailbox() -> (Mailbox, Events) {
    let (sender, events) = mpsc::channel(MAILBOX);
    let signals = Arc::new(Signals::default());
    (Mailbox { events: sender, signals: Arc::clone(&signals) }, Events { events, signals })
}

impl Mailbox {
    /// Puts an event in, when there is room; for a large one with a place that its sender has few of, which is given back
    /// when the driver takes the event out. Where the driver has ended, nothing happens.
    pub async fn put(&self, event: Event, place: Option<OwnedSemaphorePermit>) {
        let _ = self.events.send(Letter { event, place }).await;
    }

    /// Something came into the pool. Never waits, and one call that waits to be seen is enough.
    pub fn pooled(&self) {
        self.signals.pooled.store(true, Relaxed);
        self.signals.changed.notify_one();
    }

    /// A peer came or went. Never waits. A peer that went and came again in between has come.
    pub fn linked(&self, peer: Peer, connected: bool) {
        self.signals.links().insert(peer, connected);
        self.signals.changed.notify_one();
    }
}

impl Events {
    /// What was said without waiting since this was asked last: peers that came or went, and that the pool has news.
    fn take_signals(&self) -> Vec<Event> {
        let links = std::mem::take(&mut *self.signals.links());
        let event = |(peer, connected)| {
            if connected { Event::Connected(peer) } else { Event::Disconnected(peer) }
        };
        let pooled = self.signals.pooled.swap(false, Relaxed).then_some(Event::Pooled);
        links.into_iter().map(event).chain(pooled).collect()
    }
}

/// Runs a driver on the calling thread until it is told to stop.
///
/// # Errors
/// [`DriverError`], which stops the node.
pub fn run(
    parts: Parts,
    clock: &dyn Clock,
    mut events: Events,
    stop: &StopSignal,
    runtime: &tokio::runtime::Handle,
) -> Result<(), DriverError> {
    let started = Instant::now();
    let now = || Now { tick: started.elapsed().as_millis() as u64, clock: clock.now() };
    let mut driver = Driver::start(parts, now())?;
    loop {
        let wait = driver.next_tick().saturating_sub(now().tick);
        if wait == 0 {
            // What came in goes first, so that nobody starves; a stop before all.
            if stop.is_stopped() {
                return Ok(());
            }
            let event = events.events.try_recv().map_or(Event::Tick, Letter::open);
            events.take_signals().into_iter().try_for_each(|event| driver.handle(now(), event))?;
            driver.handle(now(), event)?;
            continue;
        }
        let event = runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.stopped() => None,
                letter = events.events.recv() => Some(letter.map_or(Event::Tick, Letter::open)),
                () = events.signals.changed.notified() => Some(Event::Tick), // looked at below
                () = tokio::time::sleep(Duration::from_millis(wait)) => Some(Event::Tick),
            }
        });
        let Some(event) = event else { return Ok(()) };
        events.take_signals().into_iter().try_for_each(|event| driver.handle(now(), event))?;
        driver.handle(now(), event)?;
    }
}
