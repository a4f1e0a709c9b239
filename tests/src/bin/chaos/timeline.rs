//! What is told of a run: a line for each fault, in columns for people or as JSON for programs.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::{Value, json};

use crate::plan::Fault;

/// Standard output.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Each line is a JSON object.
    pub json: bool,
}

/// One fault as it was.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it was.
    pub fault: Fault,
    /// When it began, from the start of the run.
    pub at: Duration,
    /// How long it lasted.
    pub lasted: Duration,
    /// The longest time without an acknowledgement, from its begin until all had recovered.
    pub pause: Duration,
    /// From the end of the last fault of its episode until every healthy node had acknowledged something new.
    pub recovery: Duration,
    /// What else was seen.
    pub notes: Vec<String>,
}

impl Timeline {
    /// What runs, and how to run it again.
    pub fn start(self, seed: u64, minutes: f64, faults: usize, way: &str) {
        let replay = format!("cargo chaos -- --seed {seed} --minutes {minutes}");
        let text = format!(
            "Seed {seed}: four authorities, {minutes} minutes, {faults} faults. Nodes run {way}.\n\
             Again: {replay} (the same faults in the same order; the timing is another one)"
        );
        self.print(
            &text,
            &json!({"event": "start", "seed": seed, "minutes": minutes, "faults": faults, "way": way}),
        );
        if !self.json {
            self.print(&columns(["at", "fault", "lasted", "pause", "recovery", ""]), &Value::Null);
        }
    }

    /// A fault that the machine does not permit here.
    pub fn left_out(self, fault: Fault, why: &str) {
        let text = format!("         {fault}: left out, {why}");
        self.print(
            &text,
            &json!({"event": "left-out", "kind": fault.kind(), "what": fault.to_string(), "why": why}),
        );
    }

    /// A fault that has been recovered from.
    pub fn fault(self, row: &Row) {
        let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
        let at = format!("{}:{:02}", row.at.as_secs() / 60, row.at.as_secs() % 60);
        let [lasted, pause, recovery] = [row.lasted, row.pause, row.recovery].map(seconds);
        let what = row.fault.to_string();
        let text = columns([&at, &what, &lasted, &pause, &recovery, &row.notes.join("; ")]);
        let value = json!({
            "event": "fault", "kind": row.fault.kind(), "what": what, "node": row.fault.one_node(),
            "at_ms": ms(row.at), "lasted_ms": ms(row.lasted), "pause_ms": ms(row.pause),
            "recovery_ms": ms(row.recovery), "notes": row.notes,
        });
        self.print(&text, &value);
    }

    /// Something that was demanded and holds.
    pub fn holds(self, what: &str) {
        self.print(&format!("  holds: {what}"), &json!({"event": "demand", "what": what, "holds": true}));
    }

    /// Something that was demanded and does not hold.
    pub fn fails(self, what: &str) {
        self.print(&format!("  FAILS: {what}"), &json!({"event": "demand", "what": what, "holds": false}));
    }

    /// Anything else that people may want to know.
    pub fn note(self, what: &str) {
        self.print(&format!("  {what}"), &json!({"event": "note", "what": what}));
    }

    /// The last line.
    pub fn end(self, good: bool, seed: u64) {
        let text = if good { "All demands hold." } else { "The run FAILED." };
        self.print(&format!("{text} Seed {seed}."), &json!({"event": "end", "ok": good, "seed": seed}));
    }

    /// Nobody to read it is no failure.
    fn print(self, text: &str, value: &Value) {
        let mut out = io::stdout().lock();
        let line = if self.json { value.to_string() } else { text.to_owned() };
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    }
}

fn columns(words: [&str; 6]) -> String {
    let [at, what, lasted, pause, recovery, notes] = words;
    format!("{at:>6}  {what:<30} {lasted:>9} {pause:>9} {recovery:>9}  {notes}").trim_end().to_owned()
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
