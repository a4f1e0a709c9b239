//! More issuers than the one that a devnet has: other offices, and those that mean harm.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use markstein_node::{
    config::{NodeConfig, load_genesis},
    files::{PUBLIC_FILE, replace},
    setup,
};
use markstein_proto::{Hash, IssuerGrant, IssuerId, IssuerKey, SecretKey, TimeMs};

use crate::{
    binaries::{Voice, binaries},
    cluster::Cluster,
    craft::Signer,
    process,
};

/// Admits offices of these ids to a ledger that was prepared and has never run. Each may anchor what the devnet's own
/// issuer may. The genesis is another one then, and the data folders are made anew.
///
/// # Errors
/// Where an id is none, or a file of the ledger cannot be changed.
pub fn admit(cluster: &Cluster, ids: &[&str]) -> anyhow::Result<Vec<Signer>> {
    let file = cluster.genesis();
    let mut genesis = load_genesis(&file)?;
    let old = genesis.ledger_id();
    let types = genesis.grants.first().context("a devnet has an issuer")?.document_types.clone();
    let mut offices = Vec::new();
    for id in ids {
        let key = SecretKey::from_seed(&Hash::of(&[id.as_bytes()]).0);
        let keys = vec![IssuerKey { key: key.public(), not_before: TimeMs(0), not_after: None }];
        let issuer = IssuerId::new(id)?;
        let name = format!("Office {id}");
        genesis.grants.push(IssuerGrant {
            issuer: issuer.clone(),
            name,
            keys,
            document_types: types.clone(),
        });
        offices.push((issuer, key));
    }
    let genesis = genesis.check()?;
    let ledger = genesis.ledger_id();
    replace(&file, genesis.to_toml().as_bytes(), PUBLIC_FILE)?;
    for node in 0..cluster.len() {
        let file = cluster.node_dir(node).join("node.toml");
        let config = NodeConfig::load(&file)?;
        fs::remove_dir_all(&config.data_dir)?;
        fs::remove_file(setup::marker_path(&config))?;
        let mut command = Command::new(binaries(Voice::Quiet)?.node);
        let output = process::output(command.args(["init", "--config"]).arg(file).stderr(Stdio::piped()))?;
        ensure!(output.status.success(), "init: {}", String::from_utf8_lossy(&output.stderr));
    }
    // The key of the first issuer names its ledger.
    let key = cluster.issuer_key();
    let text = fs::read_to_string(&key)?.replace(&old.to_string(), &ledger.to_string());
    fs::write(&key, text)?;
    Ok(offices.into_iter().map(|(issuer, key)| Signer { ledger, issuer, key }).collect())
}
