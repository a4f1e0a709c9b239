//! What a devnet needs before it runs, made at its first start: keys, genesis, configurations, data folders.
//!
//! `genesis.toml` is written last of keys and genesis. Without it, whatever keys lie in the folder were never used,
//! so an interrupted first start is simply begun again.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use markstein_node::config::network::{OBSERVERS_MAX, observer_line};
use markstein_node::config::{NodeConfig, keys, load_genesis};
use markstein_node::files::{self, PUBLIC_FILE};
use markstein_node::setup::{self, SetupError};
use markstein_proto::{
    AUTHORITIES_MAX, Authority, DocumentType, DocumentTypeName, Genesis, IssuerGrant, IssuerId, IssuerKey,
    KeyFile, KeyPurpose, Parameters, PublicKey, TimeMs,
};

use super::layout::{Layout, Member, authority_id, observer_name};
use crate::commands::genesis;

const ORIGIN: &str = "neustadt.example/devnet";
const ISSUER: &str = "bauaufsicht.neustadt.example";
const ISSUER_NAME: &str = "Bauaufsicht Neustadt (Demo)";
const DOCUMENT_TYPES: [(u32, &str); 4] =
    [(1, "decision"), (2, "building-permit"), (3, "youth-welfare-decision"), (4, "certificate")];
const RECOSIGN_INTERVAL_MS: u64 = 60_000;
/// The whole stop of a node; below the time after which it is killed.
const SHUTDOWN_DEADLINE_S: u64 = 10;

/// How many nodes, and on which ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) authorities: usize,
    pub(super) observers: usize,
    /// The first port; without one the system chooses all of them.
    pub(super) base_port: Option<u16>,
}

/// Ports of one node; 0 lets the system choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ports {
    api: u16,
    operator: u16,
    /// For the other nodes; an observer has none.
    network: u16,
}

impl Shape {
    /// Refuses what no ledger can be.
    pub(super) fn check(self) -> anyhow::Result<Self> {
        let Self { authorities, observers, .. } = self;
        if !(1..=AUTHORITIES_MAX).contains(&authorities) {
            bail!("--authorities {authorities}: a ledger has 1 to {AUTHORITIES_MAX} authorities");
        }
        if observers > OBSERVERS_MAX {
            bail!("--observers {observers}: a node takes at most {OBSERVERS_MAX} observers");
        }
        self.members().try_for_each(|member| self.ports(member).map(drop))?;
        Ok(self)
    }

    /// All nodes, authorities first.
    pub(super) fn members(self) -> impl Iterator<Item = Member> + Clone {
        Member::all(self.authorities, self.observers)
    }

    /// Node i: P + 2i and P + 2i + 1, and P + 2N + i for the others; observers come after them, two ports each.
    fn ports(self, member: Member) -> anyhow::Result<Ports> {
        let Some(base) = self.base_port else { return Ok(Ports::default()) };
        let port = |offset: usize| {
            let port = usize::from(base).checked_add(offset).and_then(|port| u16::try_from(port).ok());
            port.filter(|_| base > 0).with_context(|| {
                format!("--base-port {base}: {member} would have no port left; choose another one")
            })
        };
        let n = self.authorities;
        match member {
            Member::Authority(i) => {
                Ok(Ports { api: port(2 * i)?, operator: port(2 * i + 1)?, network: port(2 * n + i)? })
            }
            Member::Observer(i) => {
                Ok(Ports { api: port(3 * n + 2 * i)?, operator: port(3 * n + 2 * i + 1)?, network: 0 })
            }
        }
    }
}

/// Makes everything that is not there yet, and writes all configurations anew.
pub(super) fn prepare(layout: &Layout, shape: Shape) -> anyhow::Result<Genesis> {
    let genesis = prepare_genesis(layout, shape)?;
    let observers = (0..shape.observers).map(|index| prepare_observer(layout, index));
    let observers = observers.collect::<anyhow::Result<Vec<_>>>()?;
    for member in shape.members() {
        prepare_node(layout, &genesis, &config_text(shape, member, &observers)?, member)?;
    }
    Ok(genesis)
}

/// The genesis of the folder, made together with the authorities' keys if there is none.
fn prepare_genesis(layout: &Layout, shape: Shape) -> anyhow::Result<Genesis> {
    if !layout.genesis().exists() {
        return make(layout, shape);
    }
    let genesis = load_genesis(&layout.genesis())?;
    let found = genesis.authorities.authorities().len();
    if found != shape.authorities {
        bail!(
            "{} holds a ledger of {found} authorities; write --authorities {found}, or choose another folder",
            layout.genesis().display()
        );
    }
    Ok(genesis)
}

/// The key of an observer, made if there is none; gives the line that lets it in.
fn prepare_observer(layout: &Layout, index: usize) -> anyhow::Result<String> {
    let (name, keys_dir) = (observer_name(index)?, layout.keys(Member::Observer(index)));
    let path = keys::key_path(&keys_dir, KeyPurpose::Network);
    let public = if path.exists() {
        keys::read_key_file(&path, KeyPurpose::Network)?.key.public()
    } else {
        keys::new_observer_key(&keys_dir, &name)?
    };
    Ok(observer_line(&name, &public))
}

/// Writes the configuration of one node and makes its data folder if it has none.
fn prepare_node(layout: &Layout, genesis: &Genesis, text: &str, member: Member) -> anyhow::Result<()> {
    let file = layout.config(member);
    files::replace(&file, text.as_bytes(), PUBLIC_FILE)?;
    let config = NodeConfig::load(&file)?;
    config.network_in(genesis)?;
    match setup::check(&config, genesis) {
        Ok(()) => Ok(()),
        Err(SetupError::NotCreated { .. } | SetupError::Interrupted { .. }) => {
            Ok(setup::init(&config, genesis)?)
        }
        Err(error) => Err(error.into()),
    }
}

fn make(layout: &Layout, shape: Shape) -> anyhow::Result<Genesis> {
    // Data without its genesis is a ledger that lost its trust root: nothing to begin anew over.
    if let Some(member) = shape.members().find(|member| layout.data(*member).exists()) {
        bail!(
            "{} is missing, but {} holds a ledger; put the file back, or choose another folder",
            layout.genesis().display(),
            layout.data(member).display()
        );
    }
    files::remove_if_there(&layout.issuer_key())?;
    let set = (0..shape.authorities).map(|index| make_authority(layout, index)).collect::<Result<_, _>>()?;
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
    let (keys_dir, offline) =
        (layout.keys(Member::Authority(index)), layout.offline(Member::Authority(index)));
    for unused in [&keys_dir, &offline] {
        remove_folder(unused)?;
    }
    let name = format!("Authority {index} (devnet)");
    let entry = keys::new_authority_keys(&keys_dir, &offline, &authority_id(index)?, &name)?;
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

fn config_text(shape: Shape, member: Member, observers: &[String]) -> anyhow::Result<String> {
    let Ports { api, operator, network } = shape.ports(member)?;
    let role = match member {
        Member::Authority(index) => format!("authority = \"{}\"", authority_id(index)?),
        Member::Observer(index) => format!("observer = \"{}\"", observer_name(index)?),
    };
    Ok(format!(
        "# Written by 'markstein-node devnet' at each start; changes here do not last.\n\
         {role}\n\
         genesis = \"../genesis.toml\"\n\
         data_dir = \"data\"\n\
         keys_dir = \"keys\"\n\n\
         [api]\nlisten = [\"127.0.0.1:{api}\"]\naddress_file = \"listening.json\"\n\n\
         [operator]\nlisten = \"127.0.0.1:{operator}\"\n\n\
         {network}\
         [shutdown]\ndeadline_s = {SHUTDOWN_DEADLINE_S}\n",
        network = network_text(shape, member, network, observers)?,
    ))
}

/// The section for the other nodes, empty for a node that is alone. Each finds the others by their address files.
fn network_text(shape: Shape, member: Member, port: u16, observers: &[String]) -> anyhow::Result<String> {
    if shape.authorities == 1 && shape.observers == 0 {
        return Ok(String::new());
    }
    let others = (0..shape.authorities).filter(|other| Member::Authority(*other) != member);
    let others = others.map(|other| {
        let file = Layout::addresses_from_beside(Member::Authority(other));
        Ok(format!("    {{ authority = \"{}\", address_file = \"{file}\" }},\n", authority_id(other)?))
    });
    let mut text = format!("[network]\npeers = [\n{}]\n", others.collect::<anyhow::Result<String>>()?);
    if matches!(member, Member::Authority(_)) {
        let observers: String = observers.iter().map(|line| format!("    {line},\n")).collect();
        text.push_str(&format!("listen = [\"127.0.0.1:{port}\"]\nobservers = [\n{observers}]\n"));
    }
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_node::config::Role;
    use markstein_node::config::network::PeerAddress;
    use markstein_node::peer::Peer;

    use super::*;

    fn shape(authorities: usize, observers: usize, base_port: Option<u16>) -> Shape {
        Shape { authorities, observers, base_port }
    }

    #[test]
    fn counts_that_cannot_be_are_explained() {
        for (authorities, observers) in [(1, 0), (64, 64)] {
            assert!(shape(authorities, observers, None).check().is_ok());
        }
        for (authorities, observers, word) in [(0, 0, "1 to 64"), (65, 0, "1 to 64"), (1, 65, "at most 64")] {
            let error = shape(authorities, observers, None).check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn ports_follow_the_base_and_never_wrap() {
        let ports = |api, operator, network| Ports { api, operator, network };
        let four = shape(4, 2, Some(7000));
        assert_eq!(shape(4, 0, None).ports(Member::Authority(3)).unwrap(), ports(0, 0, 0));
        assert_eq!(four.ports(Member::Authority(0)).unwrap(), ports(7000, 7001, 7008));
        assert_eq!(four.ports(Member::Authority(3)).unwrap(), ports(7006, 7007, 7011));
        assert_eq!(four.ports(Member::Observer(0)).unwrap(), ports(7012, 7013, 0));
        assert_eq!(four.ports(Member::Observer(1)).unwrap(), ports(7014, 7015, 0));
        for (authorities, base) in [(1, 0), (1, 65534), (64, 65500)] {
            let error = shape(authorities, 0, Some(base)).check().unwrap_err().to_string();
            assert!(error.contains("choose another one"), "{error}");
        }
    }

    #[test]
    fn several_authorities_are_made_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let genesis = prepare(&layout, shape(4, 0, None)).unwrap();
        assert_eq!(prepare(&layout, shape(4, 0, Some(7000))).unwrap(), genesis);
        assert!(prepare(&layout, shape(3, 0, None)).unwrap_err().to_string().contains("--authorities 4"));
        let key = keys::read_key_file(&layout.issuer_key(), KeyPurpose::Issuer).unwrap();
        assert_eq!(key.ledger, Some(genesis.ledger_id()));
    }

    #[test]
    fn each_node_knows_all_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let genesis = prepare(&layout, shape(3, 2, None)).unwrap();
        // Observers may come later; those that are there keep their keys.
        assert_eq!(prepare(&layout, shape(3, 1, None)).unwrap(), genesis);
        prepare(&layout, shape(3, 2, None)).unwrap();
        let network = |member| {
            let config = NodeConfig::load(&layout.config(member)).unwrap();
            (config.role.clone(), config.network_in(&genesis).unwrap().unwrap())
        };
        let (role, plan) = network(Member::Authority(1));
        assert_eq!(role, Role::Authority(authority_id(1).unwrap()));
        assert_eq!(plan.listen.len(), 1);
        let peers: Vec<_> = plan.peers.iter().map(|peer| peer.peer).collect();
        let [a, c] = [0, 2].map(Peer::Authority);
        assert_eq!(peers, [a, c, Peer::Observer(0), Peer::Observer(1)]);
        let Some(PeerAddress::File(file)) = &plan.peers[1].address else { panic!("{plan:?}") };
        assert_eq!(file.canonicalize().ok(), None, "node 2 does not run yet");
        fs::write(layout.addresses(Member::Authority(2)), "{}").unwrap();
        assert_eq!(file.canonicalize().unwrap(), layout.addresses(Member::Authority(2)));

        let (role, plan) = network(Member::Observer(1));
        assert_eq!(role, Role::Observer(observer_name(1).unwrap()));
        assert!(plan.listen.is_empty() && plan.peers.iter().all(|peer| peer.address.is_some()));
        assert_eq!(plan.peers.len(), 3);
    }

    #[test]
    fn a_node_alone_has_no_network() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let genesis = prepare(&layout, shape(1, 0, None)).unwrap();
        let network = || {
            let config = NodeConfig::load(&layout.config(Member::Authority(0))).unwrap();
            config.network_in(&genesis).unwrap()
        };
        assert_eq!(network(), None);
        prepare(&layout, shape(1, 1, None)).unwrap();
        assert_eq!(network().unwrap().peers.len(), 1);
    }

    #[test]
    fn an_interrupted_first_start_is_begun_again() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path()).unwrap();
        let first = prepare_genesis(&layout, shape(1, 0, None)).unwrap();
        fs::remove_file(layout.genesis()).unwrap();
        let second = prepare(&layout, shape(1, 0, None)).unwrap();
        assert_ne!(first.ledger_id(), second.ledger_id());
        fs::remove_file(layout.genesis()).unwrap();
        let error = prepare(&layout, shape(1, 0, None)).unwrap_err().to_string();
        assert!(error.contains("put the file back"), "{error}");
    }
}
