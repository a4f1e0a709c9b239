//! `repair`: gives a node with a damaged data folder a new one, and says what was kept and what was not.

use std::path::Path;

use markstein_node::config::{NodeConfig, NodeKeys};
use markstein_node::repair::{Outcome, Report, Step, repair};

use super::check::Bar;

pub(super) fn run(file: &Path) -> anyhow::Result<()> {
    let config = NodeConfig::load(file)?;
    let genesis = config.load_genesis()?;
    // The promises that are kept belong to these keys.
    NodeKeys::load(&config, &genesis)?;
    let mut bar = Bar::default();
    let outcome = repair(&config, &genesis, |step| match step {
        Step::Checking(at) => bar.show(at),
        Step::Written | Step::Renamed => bar.end(),
    });
    bar.end();
    match outcome? {
        Outcome::Sound(found) => {
            let path = config.data_dir.display();
            println!("{path}: nothing is damaged up to block {}; nothing was changed.", found.tip);
            return Ok(());
        }
        Outcome::Continued => println!("Ended the repair that was interrupted."),
        Outcome::Repaired(report) => say(&report),
    }
    if genesis.authorities.authorities().len() == 1 {
        println!(
            "This ledger has no other authority: only an observer that followed it can give its blocks back."
        );
    }
    println!(
        "Start it: markstein-node run --config {}. The blocks come from the other nodes.",
        file.display()
    );
    Ok(())
}

fn say(report: &Report) {
    println!("Damaged: {}", report.damage);
    println!(
        "The damaged data is kept in {}; remove it when nobody needs to look at it any more.",
        report.aside.display()
    );
    match &report.journal {
        _ if !report.signs => {}
        Ok((facts, view)) => println!(
            "The journal is kept ({facts} entries). This node votes again once view {view} is final here."
        ),
        Err(why) => println!(
            "THE JOURNAL IS LOST ({why}). This node does not know what it signed, so it neither votes nor cosigns any \
             more; it follows as an observer. The way back: make new keys with 'markstein-node keys new', and have the \
             other authorities put them in place of these by governance."
        ),
    }
    println!("Accepted batches that wait for their decision: {} kept.", report.accepted);
    for id in &report.lost {
        println!("LOST: batch {id}, which this node had accepted. Tell its issuer to submit it again.");
    }
    if let Some(why) = &report.unlisted {
        println!(
            "LOST: the list of accepted batches from some entry on ({why}). Tell the issuers to repeat what has no \
             receipt yet."
        );
    }
    if let Some(why) = &report.evidence {
        println!("Kept evidence of what other authorities signed is lost in part: {why}");
    }
}
