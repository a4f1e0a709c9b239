//! The driver's thread and its mailbox.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use markstein_consensus::Now;
use tokio::sync::{Notify, mpsc};

use super::{Driver, DriverError, Event, Parts};
use crate::{clock::Clock, peer::Peer, shutdown::StopSignal};

/// Events that wait for the driver at once; readers of peers then wait, and so do the peers.
const MAILBOX: usize = 1024;

/// A handle that events go in by.
#[derive(Clone, Debug)]
pub struct Mailbox {
    events: mpsc::Sender<Event>,
    signals: Arc<Signals>,
}

/// The other end.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    signals: Arc<Signals>,
}

/// What may be said without waiting, because saying it twice is saying it once.
#[derive(Debug, Default)]
struct Signals {
    pooled: Notify,
    linked: Notify,
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
    /// Puts an event in, when there is room. Where the driver has ended, nothing happens.
    pub async fn put(&self, event: Event) {
        let _ = self.events.send(event).await;
    }

    /// Something came into the pool. Never waits, and one call that waits to be seen is enough.
    pub fn pooled(&self) {
        self.signals.pooled.notify_one();
    }

    /// A peer came or went. Never waits. A peer that went and came again in between has come.
    pub fn linked(&self, peer: Peer, connected: bool) {
        self.signals.links().insert(peer, connected);
        self.signals.linked.notify_one();
    }
}

impl Events {
    /// Peers that came or went since this was asked last.
    fn take_links(&self) -> Vec<Event> {
        let links = std::mem::take(&mut *self.signals.links());
        let event = |(peer, connected)| {
            if connected { Event::Connected(peer) } else { Event::Disconnected(peer) }
        };
        links.into_iter().map(event).collect()
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
            let event = events.events.try_recv().unwrap_or(Event::Tick);
            events.take_links().into_iter().try_for_each(|event| driver.handle(now(), event))?;
            driver.handle(now(), event)?;
            continue;
        }
        let event = runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.stopped() => None,
                event = events.events.recv() => Some(event.unwrap_or(Event::Tick)),
                () = events.signals.pooled.notified() => Some(Event::Pooled),
                () = events.signals.linked.notified() => Some(Event::Tick), // looked at below
                () = tokio::time::sleep(Duration::from_millis(wait)) => Some(Event::Tick),
            }
        });
        let Some(event) = event else { return Ok(()) };
        let links = std::mem::take(&mut *events.signals.links());
        for (peer, connected) in links {
            driver
                .handle(now(), if connected { Event::Connected(peer) } else { Event::Disconnected(peer) })?;
        }
        driver.handle(now(), event)?;
    }
}
