//! `cargo chaos` in its short form: a few faults of a seed against real processes, and then every demand.
//!
//! Once as this machine permits, in network namespaces where it does, and once behind the proxy. `MARKSTEIN_SEED` gives
//! the schedule.
#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stderr)] // the timeline

use std::{
    env,
    process::{Command, Stdio},
};

use markstein_client::time::now;
use serde_json::Value;

const MINUTES: &str = "0.6";

#[test]
fn a_few_faults_at_random_break_no_promise() {
    run(&[]);
}

#[test]
fn neither_do_they_behind_the_proxy() {
    let lines = run(&["--proxy"]);
    assert!(lines[0]["way"].as_str().unwrap().contains("proxy"), "it says so: {}", lines[0]);
}

fn run(more: &[&str]) -> Vec<Value> {
    let seed = env::var("MARKSTEIN_SEED").unwrap_or_else(|_| now().0.to_string());
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
    command.args(["--json", "--minutes", MINUTES, "--seed", &seed]).args(more);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    eprintln!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "cargo chaos -- --seed {seed} --minutes {MINUTES} {}", more.join(" "));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count() as u64;
    assert_eq!(count("fault") + count("left-out"), lines[0]["faults"].as_u64().unwrap());
    assert!(count("demand") >= 4 && lines.iter().all(|line| line["holds"] != false));
    assert_eq!(lines.last().unwrap()["ok"], true);
    lines
}
