//! `[network]`: where this node listens for the others, where it finds them, and who may follow.
//!
//! There is no rule on loopback and no TLS here: every connection is encrypted and both ends prove their network key
//! (noise), and only keys of the genesis and of `observers` are let in.

use std::net::SocketAddr;
use std::path::PathBuf;

use markstein_proto::encoding::{base64_decode, base64_encode};
use markstein_proto::{Authority, AuthorityId, Genesis, ObserverName, PublicKey};

use super::check::Checker;
use super::raw::{RawNetwork, RawObserver, RawPeer};
use super::{ConfigError, NodeConfig, Role};
use crate::config::error::value;
use crate::peer::Peer;

pub(super) const LISTEN: &str = "[network] listen";
const PEERS: &str = "[network] peers";
const OBSERVERS: &str = "[network] observers";

/// Most observers of one node: each is a connection with queues of its own.
pub const OBSERVERS_MAX: usize = 64;
/// Longest name of a host, as DNS has it.
const HOST_MAX: usize = 253;

/// The section, checked by itself. What the genesis has to say is checked by [`NodeConfig::network_in`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Where to listen for other nodes; port 0 lets the system choose. Empty for an observer.
    pub listen: Vec<SocketAddr>,
    /// Authorities that this node dials.
    pub peers: Vec<PeerEntry>,
    /// Who may follow this node.
    pub observers: Vec<ObserverEntry>,
}

/// Where an authority's node is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerEntry {
    /// The authority.
    pub authority: AuthorityId,
    /// Its node.
    pub address: PeerAddress,
}

/// Where a node is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// `host:port`, resolved anew at each attempt.
    Host(String),
    /// The address file of another node on this machine, read anew at each attempt.
    File(PathBuf),
}

/// An observer that may follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObserverEntry {
    /// Its name here.
    pub name: ObserverName,
    /// Its network key.
    pub key: PublicKey,
}

/// What the network is started with: the section and the genesis put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkPlan {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Everybody who is let in: all other authorities in the order of the genesis, then the observers.
    pub peers: Vec<PeerPlan>,
}

/// One node that is let in, and dialled where an address is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPlan {
    /// Its number among its kind.
    pub peer: Peer,
    /// The authority's id or the observer's name.
    pub name: String,
    /// Its network key.
    pub key: PublicKey,
    /// Where to dial it; without one, it is waited for.
    pub address: Option<PeerAddress>,
}

/// An observer as a line of the `observers` list of those it follows.
#[must_use]
pub fn observer_line(name: &ObserverName, key: &PublicKey) -> String {
    format!("{{ name = \"{name}\", key = \"{}\" }}", base64_encode(&key.to_bytes()))
}

impl Checker<'_> {
    pub(super) fn network(&self, role: &Role, raw: RawNetwork) -> Result<NetworkConfig, ConfigError> {
        let listen = raw.listen.iter().map(|text| self.address(LISTEN, text)).collect::<Result<_, _>>()?;
        let peers = raw.peers.into_iter().map(|peer| self.peer(peer)).collect::<Result<_, _>>()?;
        let observers = raw.observers.iter().map(|o| self.observer(o)).collect::<Result<_, _>>()?;
        let network = NetworkConfig { listen, peers, observers };
        self.peers_apart(role, &network.peers)?;
        self.observers_apart(&network.observers)?;
        self.fits(role, &network)?;
        Ok(network)
    }

    fn peer(&self, raw: RawPeer) -> Result<PeerEntry, ConfigError> {
        let authority = self.authority_id(PEERS, &raw.authority)?;
        let address = match (raw.address, raw.address_file) {
            (Some(text), None) if is_host_and_port(&text) => PeerAddress::Host(text),
            (Some(text), None) => {
                let rule = "write host and port, like \"ledger.altland.example:4602\" or \"192.0.2.7:4602\"";
                return Err(self.value(PEERS, format!("{text:?} of {authority} is no address; {rule}")));
            }
            (None, Some(path)) => PeerAddress::File(self.path(PEERS, &path)?),
            _ => {
                let rule = "write address = \"HOST:PORT\", or, for a node on this machine that leaves its port to \
                            the system, address_file = \"FILE\", and not both";
                return Err(self.value(PEERS, format!("where is the node of {authority}? {rule}")));
            }
        };
        Ok(PeerEntry { authority, address })
    }

    fn observer(&self, raw: &RawObserver) -> Result<ObserverEntry, ConfigError> {
        let name = self.observer_name(OBSERVERS, &raw.name)?;
        let bytes = base64_decode(&raw.key, 32).map_err(|error| error.to_string());
        let key = bytes.and_then(|bytes| PublicKey::from_bytes(&bytes).map_err(|error| error.to_string()));
        let key = key.map_err(|reason| {
            let rule = "write the line that 'markstein-node keys observer' printed";
            self.value(OBSERVERS, format!("the key of {name} is none: {reason}; {rule}"))
        })?;
        Ok(ObserverEntry { name, key })
    }

    fn peers_apart(&self, role: &Role, peers: &[PeerEntry]) -> Result<(), ConfigError> {
        for (position, peer) in peers.iter().enumerate() {
            let (id, before) = (&peer.authority, &peers[..position]);
            if *role == Role::Authority(id.clone()) {
                return Err(self.value(PEERS, format!("{id} is this node itself; leave it out")));
            }
            if before.iter().any(|other| other.authority == *id) {
                return Err(self.value(PEERS, format!("{id} stands there twice; leave one of them")));
            }
            if let Some(other) = before.iter().find(|other| other.address == peer.address) {
                let both = format!("{} and {id} have the same address", other.authority);
                return Err(self.value(PEERS, format!("{both}; each authority has a node of its own")));
            }
        }
        Ok(())
    }

    fn observers_apart(&self, observers: &[ObserverEntry]) -> Result<(), ConfigError> {
        if observers.len() > OBSERVERS_MAX {
            let reason = format!("a node takes {OBSERVERS_MAX} observers; let the others follow another one");
            return Err(self.value(OBSERVERS, reason));
        }
        for (position, observer) in observers.iter().enumerate() {
            let (name, before) = (&observer.name, &observers[..position]);
            if before.iter().any(|other| other.name == *name) {
                return Err(self.value(OBSERVERS, format!("{name} stands there twice; leave one of them")));
            }
            if let Some(other) = before.iter().find(|other| other.key == observer.key) {
                let both = format!("{} and {name} have the same key", other.name);
                return Err(self.value(OBSERVERS, format!("{both}; each observer needs one of its own")));
            }
        }
        Ok(())
    }

    /// What a node of this kind must have, and what would be of no use to it.
    fn fits(&self, role: &Role, network: &NetworkConfig) -> Result<(), ConfigError> {
        let example = "[{ authority = \"ID\", address = \"HOST:PORT\" }]";
        match role {
            Role::Observer(_) if network.peers.is_empty() => Err(self.value(
                PEERS,
                format!("an observer follows authorities and must know some; write peers = {example}"),
            )),
            Role::Observer(_) if !network.listen.is_empty() => {
                Err(self.value(LISTEN, "nobody dials an observer, it dials its peers; leave listen out"))
            }
            Role::Observer(_) if !network.observers.is_empty() => Err(self
                .value(OBSERVERS, "observers follow authorities, not another observer; leave observers out")),
            Role::Authority(_) if !network.observers.is_empty() && network.listen.is_empty() => Err(self
                .value(
                    LISTEN,
                    "observers dial this node, so it must listen for them; write listen = [\"0.0.0.0:4602\"]",
                )),
            _ => Ok(()),
        }
    }
}

impl NodeConfig {
    /// The network with the numbers and keys of the genesis; none where one authority runs without observers.
    ///
    /// # Errors
    /// [`ConfigError::UnknownAuthority`] for this node or a peer, or [`ConfigError::Value`].
    pub fn network_in(&self, genesis: &Genesis) -> Result<Option<NetworkPlan>, ConfigError> {
        let own = self.authority_in(genesis)?.map(|(number, _)| number);
        for peer in &self.network.peers {
            self.find(genesis, PEERS, &peer.authority)?;
        }
        let set = genesis.authorities.authorities();
        self.observers_in(set)?;
        let section = &self.network;
        if section.listen.is_empty() && section.peers.is_empty() {
            if set.len() == 1 {
                return Ok(None);
            }
            return Err(self.no_way(set.len()));
        }
        let others = (0..).zip(set).filter(|(number, _)| Some(*number) != own);
        let authorities = others.map(|(number, authority)| self.authority_peer(number, authority));
        let observers = (0..).zip(&section.observers).map(|(number, observer)| PeerPlan {
            peer: Peer::Observer(number),
            name: observer.name.to_string(),
            key: observer.key,
            address: None,
        });
        let peers = authorities.chain(observers).collect();
        Ok(Some(NetworkPlan { listen: section.listen.clone(), peers }))
    }

    fn authority_peer(&self, number: u32, authority: &Authority) -> PeerPlan {
        let entry = self.network.peers.iter().find(|peer| peer.authority == authority.id);
        PeerPlan {
            peer: Peer::Authority(number),
            name: authority.id.to_string(),
            key: authority.network_key,
            address: entry.map(|peer| peer.address.clone()),
        }
    }

    fn observers_in(&self, set: &[Authority]) -> Result<(), ConfigError> {
        let refused = |reason: String| Err(value(&self.file, OBSERVERS, reason));
        for observer in &self.network.observers {
            let name = &observer.name;
            if set.iter().any(|authority| authority.id.as_str() == name.as_str()) {
                return refused(format!("{name} is the id of an authority; give the observer another name"));
            }
            if let Some(authority) = set.iter().find(|authority| has_key(authority, &observer.key)) {
                let rule = "an observer makes one of its own with 'markstein-node keys observer'";
                return refused(format!("the key of {name} is one of authority {}; {rule}", authority.id));
            }
        }
        Ok(())
    }

    fn no_way(&self, authorities: usize) -> ConfigError {
        let reason = format!(
            "the genesis names {authorities} authorities and this node has no way to the others; write under \
             [network] listen = [\"0.0.0.0:4602\"] and peers = [{{ authority = \"ID\", address = \"HOST:PORT\" }}, …]"
        );
        value(&self.file, "[network]", reason)
    }
}

/// Whether one of the authority's keys is this one.
pub(super) fn has_key(authority: &Authority, key: &PublicKey) -> bool {
    let Authority { consensus_key, cosigner_key, log_key, governance_key, network_key, .. } = authority;
    [consensus_key, cosigner_key, log_key, governance_key, network_key].contains(&key)
}

/// A name or an IP, IPv6 in brackets, and a port. That the name can be resolved shows only when it is dialled.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let is_host = (1..=HOST_MAX).contains(&host.len()) && host.bytes().all(is_name);
    is_port && (is_host || text.parse::<SocketAddr>().is_ok())
}
