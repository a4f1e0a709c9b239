//! One run: the schedule against the ledger, under load, and then the demands.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use markstein_tests::{
    craft::Signer,
    process::{LOOK_AGAIN, check_interrupted},
    random::Random,
};
use tokio::runtime::Builder;

use crate::{
    book::Book,
    demands,
    field::Field,
    hostile::Offender,
    load::{Desk, Load},
    plan::{Episode, Fault, Plan},
    timeline::{Row, Timeline},
};

/// What has not recovered by then never will.
const RECOVERY_MAX: Duration = Duration::from_secs(120);

/// What a run is told.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Everything lies in here.
    pub folder: &'a Path,
    pub seed: u64,
    pub minutes: f64,
    /// In namespaces, or else behind the proxy.
    pub isolated: bool,
    /// The folder stays.
    pub keep: bool,
    pub timeline: Timeline,
}

/// Where the ledger lies in the folder of a run.
pub fn ledger(folder: &Path) -> PathBuf {
    folder.join("ledger")
}

/// Runs it; `false` where a demand does not hold.
pub fn run(order: Order<'_>, way: &str) -> anyhow::Result<bool> {
    let Order { folder, seed, minutes, isolated, timeline, .. } = order;
    let plan = Plan::draw(seed, Duration::from_secs_f64(minutes * 60.0));
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut field = Field::prepare(&ledger(folder), &plan, minutes, isolated, runtime.handle())?;
    timeline.start(seed, minutes, plan.faults().count(), way);
    let outcome = break_and_demand(order, &plan, &mut field, runtime.handle());
    if order.keep || !matches!(outcome, Ok(true)) {
        field.save()?;
    }
    drop(field); // its nodes first, then what they may still be waiting for
    runtime.shutdown_timeout(Duration::from_secs(5));
    outcome
}

fn break_and_demand(
    order: Order<'_>,
    plan: &Plan,
    field: &mut Field,
    runtime: &tokio::runtime::Handle,
) -> anyhow::Result<bool> {
    field.cluster.start_all()?;
    let desk = Desk {
        folders: field.healthy().iter().map(|i| field.cluster.node_dir(*i).to_owned()).collect(),
        signer: Signer::read(&field.cluster.issuer_key())?,
        trust: Arc::new(field.cluster.trust()?),
        book: Book::default(),
    };
    let offender = Offender::new(desk.folders.clone(), field.stranger.clone(), plan.seed, runtime);
    let mut run = Run {
        field,
        offender,
        book: desk.book.clone(),
        load: Load::start(desk.clone(), plan.seed, runtime),
        started: Instant::now(),
        timeline: order.timeline,
        failures: Vec::new(),
    };
    let calm = run.started;
    run.recover(calm, &[])?;
    for episode in &plan.episodes {
        run.episode(episode)?;
    }
    let Run { field, load, mut failures, .. } = run;
    load.end()?;
    field.assert_whole()?;
    failures.extend(std::mem::take(&mut desk.book.open().broken));
    failures.iter().for_each(|what| order.timeline.fails(what));
    let holds = demands::all(field, &desk, order.timeline, runtime)?;
    Ok(holds && failures.is_empty())
}

struct Run<'a> {
    field: &'a mut Field,
    offender: Offender,
    book: Book,
    load: Load,
    started: Instant,
    timeline: Timeline,
    failures: Vec<String>,
}

impl Run<'_> {
    fn episode(&mut self, episode: &Episode) -> anyhow::Result<()> {
        self.wait_until(self.started + episode.at, &[])?;
        let mut random = Random::new(episode.seed);
        let begun = Instant::now();
        let mut rows: Vec<Option<(Row, Instant)>> = vec![None; episode.faults.len()];
        let mut full = Vec::new();
        for (when, number, begins) in episode.steps() {
            self.wait_until(begun + when, &full)?;
            let fault = episode.faults[number].fault;
            if let Some(why) = self.field.impossible(fault) {
                if begins {
                    self.timeline.left_out(fault, why);
                }
                continue;
            }
            if begins {
                let from = Instant::now();
                match fault {
                    Fault::Damage(i, _) => self.book.open().lost = Some(i),
                    Fault::FullDisk(i) => full.push(i),
                    _ => {}
                }
                let notes = self.field.begin(fault, &mut random)?;
                match fault {
                    Fault::FullDisk(i) => self.load.flood(i),
                    Fault::Hostile(attack) => self.offender.begin(attack),
                    _ => {}
                }
                let at = from - self.started;
                let zero = Duration::ZERO;
                rows[number] =
                    Some((Row { fault, at, lasted: zero, pause: zero, recovery: zero, notes }, from));
            } else if let Some((row, from)) = &mut rows[number] {
                row.notes.extend(self.field.end(fault)?);
                if let Fault::Hostile(_) = fault {
                    row.notes.push(self.offender.end());
                }
                row.lasted = from.elapsed();
            }
        }
        let healed = Instant::now();
        let recovered = self.recover(healed, &full)?;
        for (mut row, from) in rows.into_iter().flatten() {
            row.recovery = recovered - healed;
            row.pause = self.book.longest_pause(from, recovered);
            self.timeline.fault(&row);
        }
        Ok(())
    }

    /// Waits until each healthy node has acknowledged something that was submitted to it after this moment. A node whose
    /// disk was full may stop even now, since its store takes no more writes, and is started again.
    fn recover(&mut self, since: Instant, full: &[usize]) -> anyhow::Result<Instant> {
        let until = Instant::now() + RECOVERY_MAX;
        let healthy = self.field.healthy();
        while !self.book.all_acknowledged_since(&healthy, since) {
            if Instant::now() > until {
                let states: Vec<_> = healthy.iter().map(|i| self.field.cluster.status(*i)).collect();
                bail!(
                    "not every node acknowledges within {RECOVERY_MAX:?} after all was whole again: {states:#?}"
                );
            }
            for i in full {
                if let Some(status) = self.field.cluster.has_ended(*i)? {
                    self.timeline
                        .note(&format!("node {i}, its disk free again, stopped by itself ({status})"));
                    self.field.cluster.start(*i)?;
                }
            }
            self.look(full)?;
        }
        Ok(Instant::now())
    }

    fn wait_until(&mut self, moment: Instant, full: &[usize]) -> anyhow::Result<()> {
        while Instant::now() < moment {
            self.look(full)?;
        }
        Ok(())
    }

    /// A short while, in which a node that ends by itself is noticed and started again.
    fn look(&mut self, full: &[usize]) -> anyhow::Result<()> {
        check_interrupted()?;
        if let Some((i, status)) = self.field.ended(full)? {
            self.failures.push(format!("node {i} ended by itself ({status})"));
            self.field.cluster.start(i)?;
        }
        thread::sleep(LOOK_AGAIN * 2);
        Ok(())
    }
}
