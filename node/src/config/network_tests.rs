//! Who a node is and whom it meets: what may be written, what it becomes with a genesis, and observers' keys.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use markstein_proto::{KeyFile, KeyPurpose, LedgerId, PublicKey, SecretKey};
use tempfile::TempDir;

use super::network::{PeerAddress, PeerPlan, observer_line};
use super::tests::{authority, genesis};
use super::*;
use crate::peer::Peer;

const PATHS: &str = "genesis = \"genesis.toml\"\ndata_dir = \"data\"\nkeys_dir = \"keys\"\n";

fn parse(role: &str, network: &str) -> Result<NodeConfig, ConfigError> {
    let text = format!("{role}\n{PATHS}{network}");
    NodeConfig::parse(&text, Path::new("/etc/markstein/node.toml"))
}

fn as_authority(network: &str) -> Result<NodeConfig, ConfigError> {
    parse("authority = \"a.example\"", network)
}

fn as_observer(network: &str) -> Result<NodeConfig, ConfigError> {
    parse("observer = \"reader\"", network)
}

#[track_caller]
fn says(error: impl fmt::Display, words: &[&str]) {
    let message = error.to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

fn key(seed: u8) -> PublicKey {
    SecretKey::from_seed(&[seed; 32]).public()
}

/// An entry of `observers`.
fn follower(name: &str, key: &PublicKey) -> String {
    observer_line(&ObserverName::new(name).unwrap(), key)
}

/// A genesis of three authorities: a, b and c.
fn three(folder: &TempDir) -> Genesis {
    let ids = ["a.example", "b.example", "c.example"];
    genesis(ids.iter().map(|id| authority(&folder.path().join(id), id)).collect())
}

#[test]
fn a_node_is_an_authority_or_an_observer() {
    assert_eq!(as_authority("").unwrap().role.to_string(), "authority a.example");
    let network = "[network]\npeers = [{ authority = \"a.example\", address = \"a.example:1\" }]";
    assert_eq!(as_observer(network).unwrap().role.to_string(), "observer reader");
    for role in ["", "authority = \"a.example\"\nobserver = \"reader\""] {
        says(parse(role, "").unwrap_err(), &["node.toml", "write authority = \"ID\"", "observer = \"NAME\""]);
    }
    says(parse("observer = \"Lese Saal\"", network).unwrap_err(), &["name of an observer", "a-z"]);
}

#[test]
fn the_network_gets_numbers_and_keys_from_the_genesis() {
    let folder = TempDir::new().unwrap();
    let genesis = three(&folder);
    let config = parse(
        "authority = \"b.example\"",
        &format!(
            "[network]\nlisten = [\"0.0.0.0:4602\", \"[::]:4602\"]\npeers = [\n  {{ authority = \"c.example\", \
             address_file = \"../c/listening.json\" }},\n]\nobservers = [{}, {}]\n",
            follower("reader", &key(1)),
            follower("press", &key(2))
        ),
    );
    let plan = config.unwrap().network_in(&genesis).unwrap().unwrap();
    assert_eq!(plan.listen, ["0.0.0.0:4602".parse().unwrap(), "[::]:4602".parse().unwrap()]);
    let of_genesis = |number: u32, address| {
        let authority = &genesis.authorities.authorities()[number as usize];
        let (name, key) = (authority.id.to_string(), authority.network_key);
        PeerPlan { peer: Peer::Authority(number), name, key, address }
    };
    let observer = |number, name: &str, key| PeerPlan {
        peer: Peer::Observer(number),
        name: name.into(),
        key,
        address: None,
    };
    let file = PeerAddress::File("/etc/markstein/../c/listening.json".into());
    let expected = [
        of_genesis(0, None),
        of_genesis(2, Some(file)),
        observer(0, "reader", key(1)),
        observer(1, "press", key(2)),
    ];
    assert_eq!(plan.peers, expected);
}

#[test]
fn an_observer_lets_in_all_authorities_and_dials_those_it_names() {
    let folder = TempDir::new().unwrap();
    let network = "[network]\npeers = [{ authority = \"b.example\", address = \"[2001:db8::7]:4602\" }]";
    let plan = as_observer(network).unwrap().network_in(&three(&folder)).unwrap().unwrap();
    assert!(plan.listen.is_empty());
    let dialled: Vec<_> = plan.peers.iter().map(|peer| (peer.peer, peer.address.clone())).collect();
    let address = PeerAddress::Host("[2001:db8::7]:4602".into());
    let [a, b, c] = [0, 1, 2].map(Peer::Authority);
    assert_eq!(dialled, [(a, None), (b, Some(address)), (c, None)]);
}

#[test]
fn one_authority_without_observers_needs_no_network() {
    let folder = TempDir::new().unwrap();
    let (one, three) = (genesis(vec![authority(folder.path(), "a.example")]), three(&folder));
    for section in ["", "[network]\n"] {
        let config = as_authority(section).unwrap();
        assert_eq!(config.network_in(&one).unwrap(), None);
        says(config.network_in(&three).unwrap_err(), &["names 3 authorities", "listen = [", "peers = ["]);
    }
    let observed = format!("[network]\nlisten = [\"127.0.0.1:0\"]\nobservers = [{}]", follower("o", &key(1)));
    let plan = as_authority(&observed).unwrap().network_in(&one).unwrap().unwrap();
    assert_eq!(plan.peers.len(), 1);
    // Listening alone is enough for an authority: the others dial it.
    assert!(as_authority("[network]\nlisten = [\"0.0.0.0:1\"]").unwrap().network_in(&three).is_ok());
}

#[test]
fn peers_that_cannot_be_say_what_can() {
    let peers = |entries: &str| as_authority(&format!("[network]\npeers = [{entries}]")).map(drop);
    let entry = |id: &str, address: &str| format!("{{ authority = \"{id}\", address = \"{address}\" }}");
    for address in [
        "",
        "b.example",
        "b.example:0",
        "b.example:70000",
        ":4602",
        "http://b.example:1",
        "2001:db8::7:1",
        "b:+1",
    ] {
        says(peers(&entry("b.example", address)).unwrap_err(), &["[network] peers", "write host and port"]);
    }
    for address in ["b.example:1", "10.0.0.1:65535", "[::1]:1", "node_2:4602"] {
        peers(&entry("b.example", address)).unwrap();
    }
    says(peers("{ authority = \"b.example\" }").unwrap_err(), &["b.example", "address_file = \"FILE\""]);
    let both = "{ authority = \"b.example\", address = \"b:1\", address_file = \"f\" }";
    says(peers(both).unwrap_err(), &["not both"]);
    says(peers(&entry("a.example", "a:1")).unwrap_err(), &["a.example is this node itself"]);
    let twice = [entry("b.example", "b:1"), entry("b.example", "c:1")].join(", ");
    says(peers(&twice).unwrap_err(), &["b.example stands there twice"]);
    let shared = [entry("b.example", "b:1"), entry("c.example", "b:1")].join(", ");
    says(peers(&shared).unwrap_err(), &["b.example and c.example have the same address"]);
    let folder = TempDir::new().unwrap();
    let stranger = as_authority(&format!("[network]\npeers = [{}]", entry("d.example", "d:1"))).unwrap();
    let words = ["[network] peers", "'d.example'", "a.example, b.example, c.example"];
    says(stranger.network_in(&three(&folder)).unwrap_err(), &words);
}

#[test]
fn listeners_of_the_network_need_no_tls_but_a_port_of_their_own() {
    says(as_authority("[network]\nlisten = [\"host:1\"]").unwrap_err(), &["\"host:1\" is no address"]);
    says(
        as_authority("[network]\nlisten = [\"127.0.0.1:4600\"]").unwrap_err(),
        &["[network] listen", "twice"],
    );
    as_authority("[network]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]").unwrap();
}

#[test]
fn observers_that_cannot_be_say_what_can() {
    let listed = |entries: &[String]| {
        as_authority(&format!("[network]\nlisten = [\"0.0.0.0:1\"]\nobservers = [{}]", entries.join(", ")))
    };
    let (reader, press) = (follower("reader", &key(1)), follower("press", &key(2)));
    says(listed(&[reader.clone(), reader.clone()]).unwrap_err(), &["reader stands there twice"]);
    says(listed(&[reader.clone(), follower("press", &key(1))]).unwrap_err(), &["same key"]);
    for bad in ["", "x", &"A".repeat(44), &"A".repeat(4000)] {
        let entry = format!("{{ name = \"reader\", key = \"{bad}\" }}");
        says(listed(&[entry]).unwrap_err(), &["the key of reader is none", "'markstein-node keys observer'"]);
    }
    let many: Vec<_> = (0..=64).map(|n| follower(&format!("o{n}"), &key(n))).collect();
    says(listed(&many).unwrap_err(), &["64 observers"]);
    says(as_authority(&format!("[network]\nobservers = [{press}]")).unwrap_err(), &["[network] listen"]);

    let folder = TempDir::new().unwrap();
    let genesis = three(&folder);
    let b = &genesis.authorities.authorities()[1];
    let same_key = listed(&[follower("reader", &b.network_key)]).unwrap();
    says(same_key.network_in(&genesis).unwrap_err(), &["the key of reader is one of authority b.example"]);
    let same_name = listed(&[follower("b.example", &key(1))]).unwrap();
    says(same_name.network_in(&genesis).unwrap_err(), &["b.example is the id of an authority"]);
}

#[test]
fn an_observer_dials_and_nobody_dials_it() {
    let peers = "peers = [{ authority = \"a.example\", address = \"a:1\" }]";
    says(as_observer("").unwrap_err(), &["[network] peers", "must know some"]);
    let listening = format!("[network]\nlisten = [\"0.0.0.0:1\"]\n{peers}");
    says(as_observer(&listening).unwrap_err(), &["leave listen out"]);
    let followed = format!("[network]\n{peers}\nobservers = [{}]", follower("press", &key(2)));
    says(as_observer(&followed).unwrap_err(), &["leave observers out"]);
}

#[test]
fn an_observer_has_one_key_of_its_own() {
    let folder = TempDir::new().unwrap();
    let genesis = three(&folder);
    let dir = folder.path().join("reader");
    let reader = ObserverName::new("reader").unwrap();
    let network = "[network]\npeers = [{ authority = \"a.example\", address = \"a:1\" }]";
    let config = NodeConfig { keys_dir: dir.clone(), ..as_observer(network).unwrap() };
    let load = || NodeKeys::load(&config, &genesis);

    says(load().unwrap_err(), &["network.key does not exist"]);
    let public = keys::new_observer_key(&dir, &reader).unwrap();
    assert_eq!(load().unwrap().network().public(), public);
    assert!(matches!(load().unwrap(), NodeKeys::Observer { .. }));
    says(keys::new_observer_key(&dir, &reader).unwrap_err(), &["never overwritten"]);

    let path = keys::key_path(&dir, KeyPurpose::Network);
    let replaced = |file: &KeyFile| {
        fs::remove_file(&path).unwrap();
        keys::write_key_file(&path, file).unwrap();
        load().unwrap_err()
    };
    let own = keys::read_key_file(&path, KeyPurpose::Network).unwrap();
    let others = KeyFile { owner: "press".into(), ..own.clone() };
    says(replaced(&others), &["belongs to press", "observer = \"reader\"", "keys observer"]);
    let elsewhere = KeyFile { ledger: Some(LedgerId(markstein_proto::Hash([1; 32]))), ..own };
    says(replaced(&elsewhere), &["each ledger needs keys of its own"]);
    let stolen = keys::key_path(&folder.path().join("b.example"), KeyPurpose::Network);
    let stolen = keys::read_key_file(&stolen, KeyPurpose::Network).unwrap();
    says(replaced(&stolen), &["is a key of authority b.example"]);
}

#[test]
fn an_authority_loads_its_four_keys() {
    let folder = TempDir::new().unwrap();
    let genesis = three(&folder);
    let keys_dir = folder.path().join("a.example");
    let config = NodeConfig { keys_dir, ..as_authority("").unwrap() };
    let keys = NodeKeys::load(&config, &genesis).unwrap();
    assert!(matches!(&keys, NodeKeys::Authority(_)));
    assert_eq!(keys.network().public(), genesis.authorities.authorities()[0].network_key);
    let stranger = NodeConfig { role: Role::Authority(AuthorityId::new("d.example").unwrap()), ..config };
    says(NodeKeys::load(&stranger, &genesis).unwrap_err(), &["'d.example' is none of"]);
}
