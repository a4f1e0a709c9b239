//! What a configuration may say, and what is answered to everything else.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use markstein_proto::{
    Authority, AuthorityEntry, AuthorityId, AuthoritySet, DocumentType, DocumentTypeName, EpochId, Genesis,
    IssuerGrant, IssuerId, IssuerKey, KeyPurpose, LedgerId, Parameters, TimeMs,
};
use tempfile::TempDir;

use super::*;
use crate::files::FileError;

const LEAST: &str =
    "authority = \"a.example\"\ngenesis = \"genesis.toml\"\ndata_dir = \"data\"\nkeys_dir = \"/k\"\n";

fn parse(more: &str) -> Result<NodeConfig, ConfigError> {
    NodeConfig::parse(&format!("{LEAST}{more}"), Path::new("/etc/markstein/node.toml"))
}

/// The message for a configuration that is refused; it must name the file and hold all `words`.
fn refused(more: &str, words: &[&str]) {
    let message = parse(more).unwrap_err().to_string();
    for word in words.iter().chain(&["/etc/markstein/node.toml"]) {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

pub(super) fn authority(dir: &Path, slug: &str) -> Authority {
    let id = AuthorityId::new(slug).unwrap();
    keys::new_authority_keys(dir, dir, &id, "An authority").unwrap().check().unwrap()
}

pub(super) fn genesis(authorities: Vec<Authority>) -> Genesis {
    let key = keys::new_key().unwrap().public();
    let name = DocumentTypeName::new("building-permit").unwrap();
    let grant = IssuerGrant {
        issuer: IssuerId::new("i.example").unwrap(),
        name: "An issuer".into(),
        keys: vec![IssuerKey { key, not_before: TimeMs(0), not_after: None }],
        document_types: vec![1],
    };
    let genesis = Genesis {
        origin: "neustadt.example/test".into(),
        nonce: [7; 32],
        time: TimeMs(1_000),
        authorities: AuthoritySet::new(EpochId(0), authorities).unwrap(),
        grants: vec![grant],
        parameters: Parameters {
            document_types: vec![DocumentType { code: 1, name }],
            recosign_interval_ms: 60_000,
        },
    };
    genesis.check().unwrap()
}

#[test]
fn the_least_gets_the_defaults_and_paths_are_relative_to_the_file() {
    let config = parse("").unwrap();
    assert_eq!(config.genesis, Path::new("/etc/markstein/genesis.toml"));
    assert_eq!(config.data_dir, Path::new("/etc/markstein/data"));
    assert_eq!(config.keys_dir, Path::new("/k"));
    assert_eq!(config.api.listeners[0].address, "127.0.0.1:4600".parse().unwrap());
    assert_eq!(config.operator.listener.address, "127.0.0.1:4601".parse().unwrap());
    assert_eq!(config.api.pages, Pages { citizens: true, network: true });
    assert_eq!(config.pool.bytes_max, 256 * 1024 * 1024);
    assert_eq!(config.log, LogConfig { format: LogFormat::Text, level: "info".into() });
    assert_eq!(config.shutdown_deadline, Duration::from_secs(30));
}

#[test]
fn everything_can_be_written() {
    let config = parse(
        "[api]\nlisten = [\"0.0.0.0:443\", \"[::]:443\"]\ntls = { certificate = \"c.pem\", key = \"k.pem\" }\n\
         connections_max = 5\nproxies = [\"127.0.0.1\", \"10.1.2.3/8\", \"2001:db8::/32\"]\n\
         proxy_header = \"forwarded\"\npage = false\nnetwork_page = false\naddress_file = \"a.json\"\n\
         [operator]\nlisten = \"10.0.0.1:9\"\ninsecure = true\nhosts = [\"Ops.example\", \"prometheus\"]\n\
         [pool]\nbytes_max = 4194304\nbytes_per_issuer_max = 2097152\nbatches_per_issuer_max = 3\n\
         [log]\nformat = \"json\"\nlevel = \"warn,markstein_node=debug\"\n\
         [shutdown]\ndeadline_s = 5\n",
    )
    .unwrap();
    let tls = config.api.listeners[1].tls.as_ref().unwrap();
    assert_eq!(tls.certificate, Path::new("/etc/markstein/c.pem"));
    assert_eq!(config.operator.listener.tls, None);
    assert_eq!(config.operator.hosts, ["ops.example", "prometheus"]);
    let nets: Vec<String> = config.api.proxies.nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"]);
    assert_eq!(config.api.proxies.header, ProxyHeader::Forwarded);
    assert_eq!(config.api.pages, Pages { citizens: false, network: false });
    assert_eq!(config.pool.batches_per_issuer_max, 3);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn unknown_missing_and_mistyped_keys_are_named_with_their_place() {
    refused("colour = \"red\"", &["unknown field `colour`", "line 5"]);
    refused("[api]\nlissten = []", &["unknown field `lissten`", "line 6"]);
    refused("[pool]\nbytes_max = \"much\"", &["invalid type", "line 6"]);
    refused("[log]\nformat = \"xml\"", &["unknown variant `xml`", "`text` or `json`"]);
    refused("[api", &["TOML parse error"]);
    let message = NodeConfig::parse("genesis = \"g\"", Path::new("n.toml")).unwrap_err().to_string();
    assert!(message.contains("missing field `data_dir`"), "{message}");
}

#[test]
fn a_missing_file_is_named() {
    let message = NodeConfig::load(Path::new("/nowhere/node.toml")).unwrap_err().to_string();
    assert_eq!(message, "configuration: /nowhere/node.toml does not exist; check the path");
    let config = NodeConfig { genesis: "/nowhere/genesis.toml".into(), ..parse("").unwrap() };
    let message = config.load_genesis().unwrap_err().to_string();
    assert!(message.contains("/nowhere/genesis.toml does not exist"), "{message}");
}

#[test]
fn a_listener_that_others_reach_needs_tls_or_the_operators_word() {
    refused("[api]\nlisten = [\"0.0.0.0:1\"]", &["[api] listen", "0.0.0.0:1", "insecure = true", "tls = {"]);
    refused("[api]\nlisten = [\"127.0.0.1:1\", \"[::]:1\"]", &["[::]:1"]);
    refused("[operator]\nlisten = \"192.0.2.1:1\"", &["[operator] listen", "under [operator]"]);
    parse("[api]\nlisten = [\"0.0.0.0:1\"]\ninsecure = true").unwrap();
    let both = "[api]\ninsecure = true\ntls = { certificate = \"c\", key = \"k\" }";
    refused(both, &["both", "remove insecure"]);
}

#[test]
fn values_that_cannot_be_say_what_can() {
    refused("[api]\nlisten = []", &["serves nobody"]);
    refused("[api]\nlisten = [\"localhost:1\"]", &["\"localhost:1\" is no address", "127.0.0.1:4600"]);
    refused("[api]\nlisten = [\"127.0.0.1:4601\"]", &["twice"]);
    refused("[api]\nconnections_max = 0", &["1 to 100000"]);
    refused("[api]\naddress_file = \"\"", &["the path is empty"]);
    refused("[pool]\nbytes_max = 1000", &["1048576"]);
    refused("[pool]\nbytes_per_issuer_max = 1000", &["[pool] bytes_per_issuer_max", "1048576"]);
    refused("[pool]\nbytes_max = 2097152\nbytes_per_issuer_max = 3145728", &["2097152 (bytes_max)"]);
    refused("[pool]\nbatches_per_issuer_max = 0", &["at least 1"]);
    refused("[log]\nlevel = \"loud\"", &["\"loud\" is no level", "debug"]);
    refused("[log]\nlevel = \"\"", &["it is empty"]);
    refused("[shutdown]\ndeadline_s = 0", &["1 to 3600"]);
    let nested = LEAST.replace("/k", "data/keys");
    let message = NodeConfig::parse(&nested, Path::new("n.toml")).unwrap_err().to_string();
    assert!(message.contains("must not lie within data_dir"), "{message}");
    let slug = LEAST.replace("a.example", "A Town");
    assert!(NodeConfig::parse(&slug, Path::new("n.toml")).unwrap_err().to_string().contains("authority"));
}

#[test]
fn names_of_the_operators_listener_are_names_alone() {
    assert!(parse("").unwrap().operator.hosts.is_empty());
    for wrong in
        ["", "http://ops.example", "ops.example:4601", "*.example", "a..b", "[::1]", &"a".repeat(254)]
    {
        let message = parse(&format!("[operator]\nhosts = [{wrong:?}]\n")).unwrap_err().to_string();
        assert!(
            message.contains("[operator] hosts") && message.contains("without scheme and port"),
            "{message}"
        );
    }
}

#[test]
fn an_authority_that_the_genesis_does_not_know_is_refused() {
    let folder = TempDir::new().unwrap();
    let genesis = genesis(vec![authority(folder.path(), "other.example")]);
    let message = parse("").unwrap().authority_in(&genesis).unwrap_err().to_string();
    assert!(message.contains("'a.example'") && message.contains("other.example"), "{message}");
}

#[test]
fn a_genesis_that_is_none_is_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("genesis.toml");
    fs::write(&path, "version = 1\ncolour = \"red\"").unwrap();
    let message = load_genesis(&path).unwrap_err().to_string();
    assert!(message.contains("genesis.toml") && message.contains("colour"), "{message}");
}

#[test]
fn keys_are_made_once_and_found_again() {
    let folder = TempDir::new().unwrap();
    let dir = folder.path().join("keys");
    let authority = authority(&dir, "a.example");
    let ledger = genesis(vec![authority.clone()]).ledger_id();
    let keys = AuthorityKeys::load(&dir, &authority, ledger).unwrap();
    assert_eq!(keys.log.public(), authority.log_key);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for purpose in KeyPurpose::AUTHORITY {
        let mode = fs::metadata(keys::key_path(&dir, purpose)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{purpose:?}");
    }
    let entry = fs::read_to_string(dir.join(keys::AUTHORITY_FILE)).unwrap();
    assert_eq!(AuthorityEntry::from_toml(&entry).unwrap(), AuthorityEntry::from(&authority));
    assert!(keys::misplaced_governance_key(&dir).is_some());
}

#[test]
fn keys_are_never_overwritten() {
    let folder = TempDir::new().unwrap();
    let id = AuthorityId::new("a.example").unwrap();
    authority(folder.path(), "a.example");
    fs::remove_file(keys::key_path(folder.path(), KeyPurpose::Consensus)).unwrap();
    let before = fs::read(keys::key_path(folder.path(), KeyPurpose::Log)).unwrap();
    let error = keys::new_authority_keys(folder.path(), folder.path(), &id, "Again").unwrap_err();
    assert!(matches!(error, KeysError::KeysExist { .. }), "{error}");
    assert_eq!(fs::read(keys::key_path(folder.path(), KeyPurpose::Log)).unwrap(), before);
    assert!(!keys::key_path(folder.path(), KeyPurpose::Consensus).exists(), "nothing was written");
    let path = keys::key_path(folder.path(), KeyPurpose::Log);
    let error = keys::new_key_file(&path, KeyPurpose::Log, "a.example", None).unwrap_err();
    assert!(matches!(error, KeysError::File(FileError::Exists { .. })), "{error}");
}

#[test]
fn the_governance_key_can_go_elsewhere() {
    let folder = TempDir::new().unwrap();
    let (dir, offline) = (folder.path().join("keys"), folder.path().join("offline"));
    let id = AuthorityId::new("a.example").unwrap();
    keys::new_authority_keys(&dir, &offline, &id, "A").unwrap();
    assert_eq!(keys::misplaced_governance_key(&dir), None);
    assert!(keys::key_path(&offline, KeyPurpose::Governance).exists());
    let error = keys::new_authority_keys(&folder.path().join("x"), &offline, &id, "line\nbreak").unwrap_err();
    assert!(matches!(error, KeysError::Name), "{error}");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let folder = TempDir::new().unwrap();
    let authority = authority(folder.path(), "a.example");
    let path = keys::key_path(folder.path(), KeyPurpose::Cosigner);
    for mode in [0o640, 0o604, 0o620, 0o601] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = AuthorityKeys::load(folder.path(), &authority, LedgerId(Default::default())).unwrap_err();
        let message = error.to_string();
        assert!(message.ends_with(&format!("chmod 600 {}", path.display())), "{message}");
    }
}

#[test]
fn keys_of_another_authority_purpose_or_ledger_are_refused() {
    let folder = TempDir::new().unwrap();
    let (mine, other) = (folder.path().join("mine"), folder.path().join("other"));
    let (authority, _) = (authority(&mine, "a.example"), authority(&other, "b.example"));
    let ledger = LedgerId(Default::default());
    let load = || AuthorityKeys::load(&mine, &authority, ledger).unwrap_err().to_string();
    let log_key = keys::key_path(&mine, KeyPurpose::Log);

    fs::copy(keys::key_path(&other, KeyPurpose::Log), &log_key).unwrap();
    let message = load();
    for word in ["log.key", "the log key", "a.example", "belongs to b.example"] {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    fs::copy(keys::key_path(&mine, KeyPurpose::Network), &log_key).unwrap();
    assert!(load().contains("purpose"), "{}", load());
    fs::write(&log_key, "purpose = \"log\"").unwrap();
    assert!(load().contains("not a Markstein key file"), "{}", load());
    fs::remove_file(&log_key).unwrap();
    assert!(load().contains("log.key does not exist"), "{}", load());
    let path = keys::key_path(&mine, KeyPurpose::Consensus);
    let mut key = keys::read_key_file(&path, KeyPurpose::Consensus).unwrap();
    key.ledger = Some(LedgerId(markstein_proto::Hash([1; 32])));
    fs::remove_file(&path).unwrap();
    keys::write_key_file(&path, &key).unwrap();
    assert!(load().contains("each ledger needs keys of its own"), "{}", load());
}

#[test]
fn a_proxy_is_an_address_or_a_network_and_never_everybody() {
    assert!(parse("").unwrap().api.proxies.nets.is_empty(), "nobody is believed");
    for text in ["nginx", "127.0.0.1:80", "10.0.0.0/33", "0.0.0.0/0", "::/0", ""] {
        refused(&format!("[api]\nproxies = [{text:?}]"), &["[api] proxies", "10.0.0.0/8"]);
    }
    refused("[api]\nproxy_header = \"via\"", &["unknown variant `via`", "x-forwarded-for"]);
}
