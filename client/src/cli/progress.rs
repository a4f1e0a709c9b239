//! Progress on a terminal, and remarks where something takes longer.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use markstein_client::{
    observer::{Event, Observer},
    text::safe_path,
};

use super::output::Output;

/// Shows what a session does. Bars appear only where the error stream is a terminal.
pub struct Progress {
    output: Output,
    bar: Mutex<ProgressBar>,
    /// The bar counts changes of a status.
    changing: AtomicBool,
}

impl Progress {
    pub fn new(output: Output) -> Self {
        Self { output, bar: Mutex::new(ProgressBar::hidden()), changing: AtomicBool::new(false) }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar().finish_and_clear();
    }

    fn bar(&self) -> ProgressBar {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn start(&self, length: usize, template: &str) {
        self.finish();
        if self.output.quiet || self.output.json || length == 0 {
            return;
        }
        let style = ProgressStyle::with_template(template).expect("the templates below are sound");
        // stderr() draws nothing where the error stream is no terminal.
        let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn note(&self, line: &str) {
        self.bar().suspend(|| self.output.note(line));
    }
}

impl Observer for Progress {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Locked => self.note("Another run with this key is under way; waiting for it to end."),
            Event::Resuming { batches } => {
                self.note(&format!("Completing {batches} batch(es) of an earlier run."));
            }
            Event::Hashing { bytes, .. } => self.start(
                usize::try_from(*bytes).unwrap_or(usize::MAX),
                "Reading   [{bar:30}] {binary_bytes}/{binary_total_bytes} ({binary_bytes_per_sec})",
            ),
            Event::Read(bytes) => self.bar().inc(*bytes),
            Event::Anchoring { documents } => {
                self.start(*documents, "Anchoring [{bar:30}] {pos}/{len} receipts, {elapsed}");
            }
            Event::Refreshing { receipts } => {
                self.start(*receipts, "Refreshing [{bar:30}] {pos}/{len} receipts, {elapsed}");
            }
            Event::Downloading { bundles } => {
                self.start(
                    *bundles,
                    "Reading the log [{bar:30}] {pos}/{len} bundles of 256 leaves, {elapsed}",
                );
            }
            Event::LookingUp { records } => {
                self.start(*records, "Asking    [{bar:30}] {pos}/{len} records, {elapsed}");
            }
            Event::Changing { records } => {
                self.changing.store(true, Ordering::Relaxed);
                self.start(*records, "Changing  [{bar:30}] {pos}/{len} records, {elapsed}");
            }
            Event::Changed(_) if self.changing.load(Ordering::Relaxed) => self.bar().inc(1),
            Event::Receipt(_) | Event::LookedUp(_) | Event::Downloaded => self.bar().inc(1),
            Event::Waiting { failure, delay } => {
                self.note(&format!("{failure}; asking again in {:.1} s.", delay.as_secs_f32()));
            }
            Event::PutAside(path) => self.note(&format!(
                "A node turned a batch down. Should it be submitted after all, its salts are in {}; moved back into the \
                 folder journal beside, it is completed by the next run.",
                safe_path(path)
            )),
            Event::SignedAgain(_) => self.note("A batch of an earlier run had expired and is signed anew."),
            Event::Journaled(_)
            | Event::Decided(_)
            | Event::Synced(_)
            | Event::Forgotten(_)
            | Event::Changed(_) => {}
        }
    }
}
