//! Every command that the README shows is one that the programs take.
#![allow(clippy::unwrap_used)]

mod workspace;

use std::path::Path;
use std::process::Command;

use markstein_tests::binaries::{Voice, binaries};
use workspace::{read, root};

#[test]
fn every_command_shown_is_understood() {
    let binaries = binaries(Voice::Quiet).unwrap();
    let readme = read("README.md");
    let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    assert!(commands.len() >= 8, "{commands:?}");
    for command in commands {
        let mut words = command.split_whitespace();
        let program = match words.next().unwrap() {
            "markstein" => &binaries.client,
            "markstein-node" => &binaries.node,
            other => panic!("{command}: no test for {other}"),
        };
        check(program, command, &words.collect::<Vec<_>>());
    }
}

/// Leading words are subcommands as long as the help of what stands before lists them.
fn check(program: &Path, command: &str, words: &[&str]) {
    let mut taken = Vec::new();
    let mut help = help_of(program, &taken);
    for word in words {
        let listed = help
            .lines()
            .any(|line| line.starts_with("  ") && line.trim_start().split(' ').next() == Some(word));
        if !help.contains("\nCommands:\n") {
            break;
        }
        assert!(listed, "{command}: there is no {word} in\n{help}");
        taken.push(*word);
        help = help_of(program, &taken);
    }
    let options = words.iter().filter(|word| word.starts_with("--"));
    for option in options {
        let known = help.split_whitespace().any(|word| word == *option);
        assert!(known, "{command}: there is no option {option} in\n{help}");
    }
    let required = help.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap();
    for option in required.split_whitespace().filter(|word| word.starts_with("--")) {
        assert!(words.contains(&option), "{command}: {option} is missing, see {required}");
    }
}

fn help_of(program: &Path, subcommands: &[&str]) -> String {
    let output = Command::new(program).args(subcommands).arg("--help").output().unwrap();
    assert!(output.status.success(), "{subcommands:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_two_commands_stand_there_to_be_copied() {
    let readme = read("README.md");
    for command in ["config/setup && cargo demo", "config/setup && cargo test --workspace --release"] {
        assert!(readme.contains(&format!("```sh\n{command}\n```")), "{command}");
    }
}

#[test]
fn links_lead_somewhere() {
    let readme = read("README.md");
    let links: Vec<&str> = readme.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0).collect();
    assert!(!links.is_empty());
    for link in links.iter().filter(|link| !link.starts_with("https://")) {
        assert!(root().join(link).exists(), "{link}");
    }
}
