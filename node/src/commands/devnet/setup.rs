//! What a devnet needs before it runs, made at its first start: keys, genesis, configurations, data folders.
//!
//! `genesis.toml` is written last of keys and genesis. Without it, whatever keys lie in the folder were never used,
//! so an interrupted first start is simply begun again.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use markstein_node::config::{NodeConfig, keys, load_genesis};
use markstein_node::files::{self, PUBLIC_FILE};
use markstein_node::setup::{self, SetupError};
use markstein_proto::{
    Authority, AuthorityId, DocumentType, DocumentTypeName, Genesis, IssuerGrant, IssuerId, IssuerKey,
    KeyFile, KeyPurpose, Parameters, PublicKey, TimeMs,
};

use super::layout::Layout;
use crate::commands::genesis;

const ORIGIN: &str = "neustadt.example/devnet";
const ISSUER: &str = "bauaufsicht.neustadt.example";
const ISSUER_NAME: &str = "Bauaufsicht Neustadt (Demo)";
const DOCUMENT_TYPES: [(u32, &str); 4] =
    [(1, "decision"), (2, "building-permit"), (3, "youth-welfare-decision"), (4, "certificate")];
const RECOSIGN_INTERVAL_MS: u64 = 60_000;
/// The whole stop of a node; below the time after which it is killed.
const SHUTDOWN_DEADLINE_S: u64 = 10;

/// The genesis of the folder, made together with all keys if there is none.
pub(super) fn prepare(layout: &Layout, authorities: usize) -> anyhow::Result<Genesis> {
    if !layout.genesis().exists() {
        return make(layout, authorities);
    }
    let genesis = load_genesis(&layout.genesis())?;
    let found = genesis.authorities.authorities().len();
    if found != authorities {
        bail!(
            "{} holds a ledger of {found} authorities; write --authorities {found}, or choose another folder",
            layout.genesis().display()
        );
    }
    Ok(genesis)
}

/// Writes the configuration of one node and makes its data folder if it has none.
pub(super) fn prepare_node(
    layout: &Layout,
    genesis: &Genesis,
    index: usize,
    base_port: Option<u16>,
) -> anyhow::Result<()> {
    let file = layout.config(index);
    let authority = &genesis.authorities.authorities()[index].id;
    let text = config_text(authority, ports(index, base_port)?);
    files::replace(&file, text.as_bytes(), PUBLIC_FILE)?;
    let config = NodeConfig::load(&file)?;
    match setup::check(&config, genesis) {
        Ok(()) => Ok(()),
        Err(SetupError::NotCreated { .. } | SetupError::Interrupted { .. }) => {
            Ok(setup::init(&config, genesis)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn make(layout: &Layout, authorities: usize) -> anyhow::Result<Genesis> {
    // Data without its genesis is a ledger that lost its trust root: nothing to begin anew over.
    if let Some(index) = (0..authorities).find(|index| layout.data(*index).exists()) {
        bail!(
            "{} is missing, but {} holds a ledger; put the file back, or choose another folder",
            layout.genesis().display(),
            layout.data(index).display()
        );
    }
    files::remove_if_there(&layout.issuer_key())?;
    let set = (0..authorities).map(|index| make_authority(layout, index)).collect::<Result<_, _>>()?;
    let issuer_key = keys::new_key()?;
    let genesis = genesis::make(ORIGIN.into(), set, vec![grant(issuer_key.public())?], parameters()?)?;
    let key_file = KeyFile {
        purpose: KeyPurpose::Issuer,
        owner: ISSUER.into(),
        ledger: Some(genesis.ledger_id()),
        key: issuer_key,
    };
    keys::write_key_file(&layout.issuer_key(), &key_file)?;
    files::write_new(&layout.genesis(), genesis.to_toml().as_bytes(), PUBLIC_FILE)?;
    Ok(genesis)
}

fn make_authority(layout: &Layout, index: usize) -> anyhow::Result<Authority> {
    for unused in [layout.keys(index), layout.offline(index)] {
        remove_folder(&unused)?;
    }
    let id = AuthorityId::new(&format!("authority-{index}.devnet.example"))?;
    let name = format!("Authority {index} (devnet)");
    let entry = keys::new_authority_keys(&layout.keys(index), &layout.offline(index), &id, &name)?;
    Ok(entry.check()?)
}

fn remove_folder(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

fn grant(key: PublicKey) -> anyhow::Result<IssuerGrant> {
    Ok(IssuerGrant {
        issuer: IssuerId::new(ISSUER)?,
        name: ISSUER_NAME.into(),
        keys: vec![IssuerKey { key, not_before: TimeMs(0), not_after: None }],
        document_types: DOCUMENT_TYPES.iter().map(|(code, _)| *code).collect(),
    })
}

fn parameters() -> anyhow::Result<Parameters> {
    let document_type =
        |(code, name): &(u32, &str)| Ok(DocumentType { code: *code, name: DocumentTypeName::new(name)? });
    let document_types = DOCUMENT_TYPES.iter().map(document_type).collect::<anyhow::Result<_>>()?;
    Ok(Parameters { document_types, recosign_interval_ms: RECOSIGN_INTERVAL_MS })
}

/// Ports of API and operator; 0 lets the system choose.
fn ports(index: usize, base_port: Option<u16>) -> anyhow::Result<(u16, u16)> {
    let Some(base) = base_port else { return Ok((0, 0)) };
    let port = |offset: usize| {
        let port =
            usize::from(base).checked_add(2 * index + offset).and_then(|port| u16::try_from(port).ok());
        port.filter(|_| base > 0).with_context(|| {
            format!("--base-port {base}: node {index} would have no port left; choose another one")
        })
    };
    Ok((port(0)?, port(1)?))
}

fn config_text(authority: &AuthorityId, (api, operator): (u16, u16)) -> String {
    format!(
        "# Written by 'markstein-node devnet' at each start; changes here do not last.\n\
         authority = \"{authority}\"\n\
         genesis = \"../genesis.toml\"\n\
         data_dir = \"data\"\n\
         keys_dir = \"keys\"\n\n\
         [api]\nlisten = [\"127.0.0.1:{api}\"]\naddress_file = \"listening.json\"\n\n\
         [operator]\nlisten = \"127.0.0.1:{operator}\"\n\n\
         [shutdown]\ndeadline_s = {SHUTDOWN_DEADLINE_S}\n"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_the_base_and_never_wrap() {
        assert_eq!(ports(3, None).unwrap(), (0, 0));
        assert_eq!(ports(0, Some(7000)).unwrap(), (7000, 7001));
        assert_eq!(ports(3, Some(7000)).unwrap(), (7006, 7007));
        assert!(ports(0, Some(0)).is_err());
        assert!(ports(0, Some(65535)).is_err());
        assert!(ports(63, Some(65500)).is_err());
    }

    #[test]
    fn several_authorities_are_made_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let genesis = prepare(&layout, 4).unwrap();
        assert_eq!(prepare(&layout, 4).unwrap(), genesis);
        assert!(prepare(&layout, 3).unwrap_err().to_string().contains("--authorities 4"));
        for index in [0, 3] {
            prepare_node(&layout, &genesis, index, None).unwrap();
            prepare_node(&layout, &genesis, index, Some(7000)).unwrap();
        }
        let key = keys::read_key_file(&layout.issuer_key(), KeyPurpose::Issuer).unwrap();
        assert_eq!(key.ledger, Some(genesis.ledger_id()));
    }

    #[test]
    fn an_interrupted_first_start_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let first = prepare(&layout, 1).unwrap();
        fs::remove_file(layout.genesis()).unwrap();
        let second = prepare(&layout, 1).unwrap();
        assert_ne!(first.ledger_id(), second.ledger_id());
        prepare_node(&layout, &second, 0, None).unwrap();
        fs::remove_file(layout.genesis()).unwrap();
        assert!(prepare(&layout, 1).unwrap_err().to_string().contains("put the file back"));
    }
}
