//! The files in `config/` are what they seem: each is read by the parser that will read it, or by one as strict.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use markstein_node::config::network::observer_line;
use markstein_node::config::{NodeConfig, Role};
use markstein_node::diagnosis::diagnose;
use markstein_node::metrics::Metrics;
use markstein_node::network_view::Snapshot;
use markstein_node::peer::Peer;
use markstein_node::pool::PoolSize;
use markstein_proto::{
    Authority, AuthorityId, AuthoritySet, DocumentType, DocumentTypeName, EpochId, Genesis, Hash,
    IssuerGrant, IssuerId, IssuerKey, Parameters, SecretKey, TimeMs,
};

fn config_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

fn read(name: &str) -> String {
    fs::read_to_string(config_folder().join(name)).unwrap()
}

fn node_example() -> NodeConfig {
    NodeConfig::load(&config_folder().join("node.example.toml")).unwrap()
}

/// A key that everybody can make: good for showing the format, and for nothing else.
fn example_key(owner: &str, purpose: &str) -> SecretKey {
    let seed = Hash::of(&[
        b"markstein example key, known to everybody: ",
        owner.as_bytes(),
        b" ",
        purpose.as_bytes(),
    ]);
    SecretKey::from_seed(seed.as_bytes())
}

fn example_authority(id: &str, name: &str) -> Authority {
    let key = |purpose| example_key(id, purpose).public();
    Authority {
        id: AuthorityId::new(id).unwrap(),
        name: name.into(),
        consensus_key: key("consensus"),
        cosigner_key: key("cosigner"),
        log_key: key("log"),
        governance_key: key("governance"),
        network_key: key("network"),
    }
}

fn example_genesis() -> Genesis {
    let authorities = [
        ("stadtarchiv.neustadt.example", "Stadtarchiv Neustadt"),
        ("rechnungspruefung.neustadt.example", "Rechnungsprüfungsamt Neustadt"),
        ("kreisarchiv.altland.example", "Kreisarchiv Altland"),
        ("landesarchiv.example", "Landesarchiv"),
    ];
    let issuer = |id: &str, name: &str, document_types: &[u32]| IssuerGrant {
        issuer: IssuerId::new(id).unwrap(),
        name: name.into(),
        keys: vec![IssuerKey {
            key: example_key(id, "issuer").public(),
            not_before: TimeMs(0),
            not_after: None,
        }],
        document_types: document_types.to_vec(),
    };
    let types = ["building-permit", "youth-welfare-decision", "certificate"];
    let document_type = |(index, name): (usize, &&str)| DocumentType {
        code: index as u32 + 1,
        name: DocumentTypeName::new(name).unwrap(),
    };
    let genesis = Genesis {
        origin: "neustadt.example/decisions".into(),
        nonce: Hash::of(&[b"markstein example nonce"]).0,
        time: TimeMs(1_790_000_000_000),
        authorities: AuthoritySet::new(
            EpochId(0),
            authorities.iter().map(|(id, name)| example_authority(id, name)).collect(),
        )
        .unwrap(),
        grants: vec![
            issuer("bauaufsicht.neustadt.example", "Bauaufsicht Neustadt", &[1, 3]),
            issuer("jugendamt.neustadt.example", "Jugendamt Neustadt", &[2]),
        ],
        parameters: Parameters {
            document_types: types.iter().enumerate().map(document_type).collect(),
            recosign_interval_ms: 60_000,
        },
    };
    genesis.check().unwrap()
}

/// `MARKSTEIN_WRITE_EXAMPLES=1 cargo test --release -p markstein-node --test config_files` writes the example anew.
#[test]
fn the_genesis_example_is_sound_and_says_that_its_keys_are_no_secret() {
    let warning = "# An example of the format. ITS KEYS MUST NOT BE USED: their secret halves are computed from public\n\
                   # words in the project's tests, so everybody has them. Make your own with 'markstein-node keys new'\n\
                   # and 'markstein-node genesis new'.\n\n";
    let expected = format!("{warning}{}", example_genesis().to_toml());
    if std::env::var_os("MARKSTEIN_WRITE_EXAMPLES").is_some() {
        fs::write(config_folder().join("genesis.example.toml"), &expected).unwrap();
    }
    let text = read("genesis.example.toml");
    assert_eq!(Genesis::from_toml(&text).unwrap(), example_genesis());
    assert!(text.starts_with(warning));
}

#[test]
fn the_node_example_is_read_and_fits_the_genesis_example() {
    let config = node_example();
    let network = config.network_in(&example_genesis()).unwrap().unwrap();
    assert!(network.peers.len() == 3 && network.peers.iter().all(|peer| peer.address.is_some()));
    assert!(config.api.listeners.iter().all(|listener| listener.tls.is_some()));
    assert!(config.operator.listener.address.ip().is_loopback());
}

#[test]
fn the_observer_example_is_read_and_fits_the_other_two() {
    let config = NodeConfig::load(&config_folder().join("observer.example.toml")).unwrap();
    let network = config.network_in(&example_genesis()).unwrap().unwrap();
    assert!(network.listen.is_empty());
    assert_eq!(network.peers.iter().filter(|peer| peer.address.is_some()).count(), 2);

    // The authority's example shows how this observer is let in; its key is no secret, so the line is commented out.
    let Role::Observer(name) = &config.role else { panic!("{}", config.role) };
    let key = example_key(name.as_str(), "network").public();
    let line = format!("observers = [{}]", observer_line(name, &key));
    let text = read("node.example.toml");
    assert!(text.contains(&format!("# {line}\n")), "{line}");
    let text = text.replace(&format!("# {line}"), &line);
    let follows = NodeConfig::parse(&text, Path::new("node.toml")).unwrap();
    let network = follows.network_in(&example_genesis()).unwrap().unwrap();
    let observer = network.peers.iter().find(|peer| peer.peer == Peer::Observer(0)).unwrap();
    assert_eq!((&observer.name, observer.key), (&name.to_string(), key));
}

#[test]
fn what_the_node_example_shows_as_default_is_the_default() {
    let least = "authority = \"a\"\ngenesis = \"g\"\ndata_dir = \"d\"\nkeys_dir = \"k\"\n";
    let defaults = NodeConfig::parse(least, Path::new("n.toml")).unwrap();
    let example = node_example();
    assert_eq!(example.pool, defaults.pool);
    assert_eq!(example.operator.listener.address, defaults.operator.listener.address);
    assert_eq!(example.api.connections_max, defaults.api.connections_max);
    assert_eq!(example.shutdown_deadline, defaults.shutdown_deadline);
    assert!(
        read("node.example.toml").contains(&format!("# connections_max = {}", defaults.api.connections_max))
    );
    assert!(read("node.example.toml").contains(&format!("[\"{}\"]", defaults.api.listeners[0].address)));
}

/// `(section, key, value)` of each entry, in order.
fn unit_entries(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.strip_suffix(']').unwrap().to_owned();
        } else {
            let (key, value) = line.split_once('=').unwrap();
            entries.push((section.clone(), key.to_owned(), value.to_owned()));
        }
    }
    entries
}

#[test]
fn the_service_runs_the_node_and_leaves_it_time_to_stop() {
    let entries = unit_entries(&read("systemd/markstein-node.service"));
    let value = |key: &str| {
        let mut found = entries.iter().filter(|(section, name, _)| section == "Service" && name == key);
        found.next().unwrap_or_else(|| panic!("{key} is missing")).2.clone()
    };
    assert!(entries.iter().all(|(section, ..)| ["Unit", "Service", "Install"].contains(&section.as_str())));
    assert_eq!(value("ExecStart"), "/usr/local/bin/markstein-node run --config /etc/markstein/node.toml");
    let stop: u64 = value("TimeoutStopSec").strip_suffix('s').unwrap().parse().unwrap();
    let config = node_example();
    assert!(stop > config.shutdown_deadline.as_secs());
    let state = Path::new("/var/lib").join(value("StateDirectory"));
    assert!(config.data_dir.starts_with(state), "ProtectSystem=strict lets it write nowhere else");
}

/// The values of a YAML file that keeps to block mappings, block lists and plain scalars, each with its path:
/// `scrape_configs/-/job_name`. Anything else panics.
fn yaml_entries(text: &str) -> Vec<(String, String)> {
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
        assert!(!line.contains('\t'), "YAML knows no tabs: {line:?}");
        let mut rest = line.trim_start();
        let mut indent = line.len() - rest.len();
        while let Some(item) = rest.strip_prefix("- ") {
            open.retain(|(depth, _)| *depth < indent);
            open.push((indent, "-".into()));
            (indent, rest) = (indent + 2, item);
        }
        open.retain(|(depth, _)| *depth < indent);
        let (key, value) = rest.split_once(':').unwrap_or_else(|| panic!("no mapping: {line:?}"));
        assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line:?}");
        open.push((indent, key.into()));
        if !value.is_empty() {
            let path: Vec<_> = open.iter().map(|(_, name)| name.as_str()).collect();
            entries.push((path.join("/"), value.strip_prefix(' ').unwrap().to_owned()));
        }
    }
    entries
}

#[test]
fn prometheus_scrapes_the_operators_listener() {
    let entries = yaml_entries(&read("prometheus/markstein.yml"));
    let value = |path: &str| {
        let mut found = entries.iter().filter(|(name, _)| name == path);
        found.next().unwrap_or_else(|| panic!("{path} is not in {entries:?}")).1.clone()
    };
    let node = node_example();
    assert_eq!(value("scrape_configs/-/job_name"), "markstein");
    assert_eq!(value("scrape_configs/-/metrics_path"), "/metrics");
    assert_eq!(
        value("scrape_configs/-/static_configs/-/targets"),
        format!("[\"{}\"]", node.operator.listener.address)
    );
    assert_eq!(value("scrape_configs/-/static_configs/-/labels/authority"), node.role.name());
}

#[test]
fn alerts_are_on_what_a_node_measures() {
    let metrics = Metrics::default();
    let snapshot = Snapshot::untold(4, 3, Some(0));
    metrics.finality(&snapshot, &diagnose(&snapshot));
    let measured = metrics.render(PoolSize::default(), 0);
    let entries = yaml_entries(&read("prometheus/alerts.yml"));
    let of = |name: &str| {
        let path = format!("groups/-/rules/-/{name}");
        entries
            .iter()
            .filter(|(path_, _)| *path_ == path)
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    let (alerts, expressions) = (of("alert"), of("expr"));
    assert_eq!(alerts.len(), expressions.len());
    for expression in expressions {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        for name in words.filter(|word| word.starts_with("markstein_")) {
            assert!(measured.contains(&format!("# TYPE {name} ")), "'{name}' is not measured:\n{measured}");
        }
    }
    let rules = yaml_entries(&read("prometheus/markstein.yml"));
    assert!(rules.contains(&("rule_files".into(), "[\"alerts.yml\"]".into())), "{rules:?}");
}
