//! The nodes' configurations, changed for where the nodes run.

use std::{fs, path::Path};

use anyhow::Context;
use toml::Table;

/// Changes a configuration.
pub fn edit(config: &Path, change: impl FnOnce(&mut Table) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut file: Table = fs::read_to_string(config)?.parse()?;
    change(&mut file)?;
    Ok(fs::write(config, toml::to_string(&file)?)?)
}

/// Gives each other authority an address, in place of its address file.
pub fn name_peers(file: &mut Table, i: usize, address: impl Fn(usize) -> String) -> anyhow::Result<()> {
    let peers = file["network"]["peers"].as_array_mut().context("no peers")?;
    let others = (0..=peers.len()).filter(|other| *other != i);
    for (peer, other) in peers.iter_mut().zip(others) {
        let peer = peer.as_table_mut().context("a peer is no table")?;
        peer.remove("address_file");
        peer.insert("address".into(), address(other).into());
    }
    Ok(())
}
