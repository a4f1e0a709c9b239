//! A ledger with more issuers than the one that a devnet has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};

use crate::{
    binaries::{Voice, binaries},
    client::Client,
    cluster::Cluster,
    process,
};

/// Admits issuers, each by its id and its name, to a ledger that was prepared and not started; gives their keys, in the same
/// order. The issuer's key of the devnet is good for the ledger as well.
///
/// # Errors
/// What the programs say.
pub fn admit(cluster: &Cluster, folder: &Path, issuers: &[(&str, &str)]) -> anyhow::Result<Vec<PathBuf>> {
    let client = Client::new(&folder.join("made"))?;
    let (mut genesis, mut keys) = (fs::read_to_string(cluster.genesis())?, Vec::new());
    for (id, name) in issuers {
        let key = folder.join(format!("{id}.key"));
        let path = key.to_str().context("a path that is no text")?;
        let made = client.run(["keygen", "--issuer", id, "--name", name, "--out", path])?;
        ensure!(made.code == Some(0), "{}", made.said());
        let public = fs::read_to_string(folder.join(format!("{id}.key.pub.toml")))?;
        let public = public.lines().find(|line| line.starts_with("public_key")).context("no public key")?;
        genesis += &format!(
            "\n[[issuers]]\nid = \"{id}\"\nname = \"{name}\"\ndocument_types = [\"decision\"]\n\
             [[issuers.keys]]\n{public}\n"
        );
        keys.push(key);
    }
    fs::write(cluster.genesis(), genesis)?;
    // Another genesis is another ledger: what was made for the first one goes.
    let first = fs::read_to_string(cluster.issuer_key())?;
    let unbound: Vec<&str> = first.lines().filter(|line| !line.starts_with("ledger")).collect();
    fs::write(cluster.issuer_key(), unbound.join("\n") + "\n")?;
    for node in (0..cluster.len()).map(|i| cluster.node_dir(i)) {
        fs::remove_dir_all(node.join("data"))?;
        fs::remove_file(node.join("keys/journal-created"))?;
        let mut init = Command::new(binaries(Voice::Quiet)?.node);
        let output = process::output(init.args(["init", "--config"]).arg(node.join("node.toml")))?;
        ensure!(output.status.success(), "init: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(keys)
}
