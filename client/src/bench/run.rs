//! One run: submissions are begun when they are due, or when there is room; then those under way are waited for.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc, watch},
    task::JoinSet,
};

use super::{
    BenchError, End, Event, Load, Options, Report, Setting, Shared, record::Recorder, schedule::Schedule,
    submissions, targets::Targets, world::World,
};
use crate::{entry::Entry, node::Steps};

/// After the last submission was due, those under way are waited for this long.
const DRAIN: Duration = Duration::from_secs(30);
/// And after somebody ended the run.
const DRAIN_SOON: Duration = Duration::from_secs(5);

/// Loads the nodes as the options say, and tells what came of it.
///
/// # Errors
/// See [`BenchError`]; then nothing was sent, or no more could be made.
///
/// # Panics
/// Where there is no node.
pub async fn run<N: Steps, W: World>(
    options: Options,
    setting: Setting<N, W>,
    mut end: watch::Receiver<End>,
) -> Result<Report, BenchError> {
    let Setting { nodes, trust, issuer, world, listener } = setting;
    assert!(!nodes.is_empty() && nodes.iter().all(|n| !n.is_empty()), "a run needs a node");
    check(&options)?;
    let names = nodes.iter().map(|connections| connections[0].name().to_owned()).collect();
    let mut made = submissions::ahead(Arc::new(issuer), &options, world.clone());
    let shared = Arc::new(Shared {
        targets: Targets::new(nodes),
        trust: Arc::new(trust),
        world,
        recorder: Mutex::new(Recorder::new(names)),
        listener,
    });
    let mut run =
        Run { shared, options, underway: JoinSet::new(), places: places(&options), start: Duration::ZERO };
    // The first one is made before the time begins.
    let first = made.recv().await;
    run.begin();
    let interrupted = tokio::select! {
        sent = run.send(first, &mut made) => sent.map(|()| false)?,
        () = asked(&mut end, End::Soon) => true,
    };
    run.drain(interrupted, &mut end).await;
    Ok(run.shared.recorder().report(&options, interrupted))
}

fn check(options: &Options) -> Result<(), BenchError> {
    let Load::Rate(rate) = options.load else { return Ok(()) };
    let schedule = Schedule::new(rate, options.batch as u64, options.warmup + options.measured);
    let nothing = schedule.count() == schedule.due_before(options.warmup);
    if nothing { Err(BenchError::NothingDue) } else { Ok(()) }
}

fn places(options: &Options) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(options.in_flight.clamp(1, Semaphore::MAX_PERMITS)))
}

/// Completes once somebody ends the run, with this haste at least; never where nobody can.
async fn asked(end: &mut watch::Receiver<End>, least: End) {
    if end.wait_for(|end| *end >= least).await.is_err() {
        pending::<()>().await;
    }
}

type Made = Result<Entry, BenchError>;

struct Run<N, W> {
    shared: Arc<Shared<N, W>>,
    options: Options,
    underway: JoinSet<()>,
    places: Arc<Semaphore>,
    start: Duration,
}

impl<N: Steps, W: World> Run<N, W> {
    fn begin(&mut self) {
        self.start = self.shared.world.now();
        let warm = self.start + self.options.warmup;
        self.shared.recorder().measure(warm..warm + self.options.measured);
        (self.shared.listener)(&Event::Begun);
    }

    fn end(&self) -> Duration {
        self.start + self.options.warmup + self.options.measured
    }

    async fn send(&mut self, first: Option<Made>, made: &mut mpsc::Receiver<Made>) -> Result<(), BenchError> {
        match self.options.load {
            Load::Rate(rate) => {
                let length = self.options.warmup + self.options.measured;
                self.at_rate(Schedule::new(rate, self.options.batch as u64, length), first, made).await
            }
            Load::Peak => self.at_peak(first, made).await,
        }
    }

    /// Open loop: whatever is under way, the next one is due when it is due.
    async fn at_rate(
        &mut self,
        schedule: Schedule,
        mut next: Option<Made>,
        made: &mut mpsc::Receiver<Made>,
    ) -> Result<(), BenchError> {
        for number in 0..schedule.count() {
            let due = self.start + schedule.due(number);
            if due > self.shared.world.now() {
                self.shared.world.sleep_until(due).await;
            }
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                self.shared.recorder().not_sent(1);
                continue;
            };
            if next.is_none() {
                next = made.recv().await;
            }
            if self.shared.world.now() > self.end() + DRAIN {
                self.shared.recorder().not_sent(schedule.count() - number);
                break;
            }
            let entry = next.take().expect("they are made until nobody takes them")?;
            let travel = self.shared.clone().travel(number, due, entry);
            self.underway.spawn(async move {
                travel.await;
                drop(place);
            });
            self.tidy();
        }
        // What was due at the very end is still measured against the whole time.
        self.shared.world.sleep_until(self.end()).await;
        Ok(())
    }

    /// Closed loop: the next one begins where one ends.
    async fn at_peak(
        &mut self,
        mut next: Option<Made>,
        made: &mut mpsc::Receiver<Made>,
    ) -> Result<(), BenchError> {
        for number in 0.. {
            let place = tokio::select! {
                place = self.places.clone().acquire_owned() => place.expect("nobody closes it"),
                () = self.shared.world.sleep_until(self.end()) => break,
            };
            if next.is_none() {
                next = made.recv().await;
            }
            let now = self.shared.world.now();
            if now >= self.end() {
                break;
            }
            let entry = next.take().expect("they are made until nobody takes them")?;
            let travel = self.shared.clone().travel(number, now, entry);
            self.underway.spawn(async move {
                travel.await;
                drop(place);
            });
            self.tidy();
        }
        Ok(())
    }

    /// Lets go of those that came to their end.
    fn tidy(&mut self) {
        while let Some(done) = self.underway.try_join_next() {
            finished(done);
        }
    }

    /// Waits for what is under way, within bounds; what is left then is counted.
    async fn drain(&mut self, interrupted: bool, end: &mut watch::Receiver<End>) {
        let now = self.shared.world.now();
        let mut limit = now + if interrupted { DRAIN_SOON } else { DRAIN };
        let mut haste = if interrupted { End::Now } else { End::Soon };
        if interrupted {
            self.shared.recorder().ended(now);
            (self.shared.listener)(&Event::Ending);
        }
        loop {
            tokio::select! {
                done = self.underway.join_next() => match done {
                    Some(done) => _ = finished(done),
                    None => return,
                },
                () = self.shared.world.sleep_until(limit) => break,
                () = asked(end, haste) => {
                    if *end.borrow() == End::Now {
                        break;
                    }
                    limit = limit.min(self.shared.world.now() + DRAIN_SOON);
                    haste = End::Now;
                }
            }
        }
        self.underway.abort_all();
        let mut left = 0;
        while let Some(done) = self.underway.join_next().await {
            left += u64::from(!finished(done));
        }
        self.shared.recorder().failed("unfinished", left);
    }
}

/// Whether a submission came to its end; a panic on its way goes on here.
fn finished(done: Result<(), tokio::task::JoinError>) -> bool {
    match done {
        Ok(()) => true,
        Err(e) if e.is_cancelled() => false,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
