//! How far an audit is, on a terminal.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use markstein_client::{audit::nodes::Observer, text::safe};

use crate::cli::output::Output;

const TEMPLATE: &str = "Auditing  [{bar:30}] {pos}/{len} leaves, {per_sec}, {elapsed}";

/// A bar, where the error stream is a terminal.
pub struct Bar {
    output: Output,
    bar: Mutex<ProgressBar>,
}

impl Bar {
    pub fn new(output: Output) -> Self {
        Self { output, bar: Mutex::new(ProgressBar::hidden()) }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar().finish_and_clear();
    }

    fn bar(&self) -> ProgressBar {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer for Bar {
    fn begins(&self, size: u64, read: u64) {
        self.finish();
        if self.output.quiet || self.output.json {
            return;
        }
        let style = ProgressStyle::with_template(TEMPLATE).expect("the template is sound");
        // stderr() draws nothing where the error stream is no terminal.
        let bar = ProgressBar::with_draw_target(Some(size), ProgressDrawTarget::stderr());
        bar.set_style(style);
        bar.set_position(read);
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(200));
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = bar;
    }

    fn read(&self, leaves: u64) {
        self.bar().inc(leaves);
    }

    fn waits(&self, why: &str, delay: Duration) {
        let line = format!("{}; asking again in {:.1} s.", safe(why), delay.as_secs_f32());
        self.bar().suspend(|| self.output.note(line));
    }
}
