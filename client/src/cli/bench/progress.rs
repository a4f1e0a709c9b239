//! The bar of a run: how much of its time is over, and what came of it so far.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use markstein_client::bench::{Event, Listener, Options};

use super::super::output::Output;

const TICK: Duration = Duration::from_millis(100);
const TEMPLATE: &str = "Loading [{bar:30}] {pos}/{len} s, {msg}";

/// Shows what a run does. The bar appears only where the error stream is a terminal.
#[derive(Clone)]
pub struct Progress {
    output: Output,
    options: Options,
    bar: ProgressBar,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
}

impl Progress {
    pub fn new(output: Output, options: Options) -> Self {
        let bar = if output.quiet || output.json {
            ProgressBar::hidden()
        } else {
            let seconds = (options.warmup + options.measured).as_secs();
            let bar = ProgressBar::with_draw_target(Some(seconds), ProgressDrawTarget::stderr());
            bar.set_style(ProgressStyle::with_template(TEMPLATE).expect("the template is sound"));
            bar
        };
        Self { output, options, bar, counts: Arc::default() }
    }

    /// What a run tells its events.
    pub fn listener(&self) -> Arc<Listener> {
        let progress = self.clone();
        Arc::new(move |event| progress.event(event))
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn event(&self, event: &Event<'_>) {
        let count = |counter: &AtomicU64| _ = counter.fetch_add(1, Ordering::Relaxed);
        match event {
            Event::Begun => self.begin(),
            Event::Sent => count(&self.counts.sent),
            Event::Done => count(&self.counts.done),
            Event::Failed => count(&self.counts.failed),
            Event::Away(error) => {
                self.note(&format!("{error}; its share goes to the others, if there are any."))
            }
            Event::Back(node) => self.note(&format!("{node} answers again.")),
            Event::Ending => {
                self.note("Nothing more is sent; what is under way has 5 s. Ctrl-C ends it at once.")
            }
        }
    }

    /// Moves the bar until it is taken away.
    fn begin(&self) {
        if self.bar.is_hidden() {
            return;
        }
        let (progress, begun) = (self.clone(), Instant::now());
        tokio::spawn(async move {
            while !progress.bar.is_finished() {
                progress.bar.set_position(begun.elapsed().as_secs());
                progress.bar.set_message(progress.message());
                tokio::time::sleep(TICK).await;
            }
        });
    }

    fn message(&self) -> String {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (done, failed) = (read(&self.counts.done), read(&self.counts.failed));
        let under_way = read(&self.counts.sent).saturating_sub(done + failed);
        let documents = done.saturating_mul(self.options.batch as u64);
        format!("{documents} receipts verified, {under_way} submissions under way, {failed} failed")
    }

    fn note(&self, line: &str) {
        self.bar.suspend(|| self.output.note(line));
    }
}
