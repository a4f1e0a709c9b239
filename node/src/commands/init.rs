//! `init`: makes the data folder of a node, once.

use std::path::Path;

use markstein_node::config::network::observer_line;
use markstein_node::config::{NodeConfig, NodeKeys, Role, keys};
use markstein_node::setup;

pub(super) fn run(file: &Path) -> anyhow::Result<()> {
    let config = NodeConfig::load(file)?;
    let genesis = config.load_genesis()?;
    // The marker belongs beside the right keys, so they are looked at first.
    let own = NodeKeys::load(&config, &genesis)?;
    setup::init(&config, &genesis)?;
    println!("Made {} for ledger {}.", config.data_dir.display(), genesis.ledger_id());
    println!("This node is the {}. Start it: markstein-node run --config {}", config.role, file.display());
    if let Role::Observer(name) = &config.role {
        println!("The authorities it follows need this line under [network] observers:");
        println!("  {}", observer_line(name, &own.network().public()));
    }
    println!(
        "Keep {} with the keys: it stops a second, empty journal.",
        setup::marker_path(&config).display()
    );
    if let Some(path) = keys::misplaced_governance_key(&config.keys_dir) {
        println!("Move {} to a medium kept offline: the node never needs it.", path.display());
    }
    Ok(())
}
