//! `init` makes one journal for a set of keys, whatever happens in between.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use markstein_proto::{
    AuthorityId, AuthoritySet, DocumentType, DocumentTypeName, EpochId, IssuerGrant, IssuerId, IssuerKey,
    Parameters, TimeMs,
};
use tempfile::TempDir;

use super::*;
use crate::config::keys;

struct Place {
    folder: TempDir,
    config: NodeConfig,
    genesis: Genesis,
}

fn place() -> Place {
    let folder = TempDir::new().unwrap();
    let keys_dir = folder.path().join("keys");
    let id = AuthorityId::new("a.example").unwrap();
    let authority = keys::new_authority_keys(&keys_dir, &keys_dir, &id, "A").unwrap().check().unwrap();
    let key = keys::new_key().unwrap().public();
    let grant = IssuerGrant {
        issuer: IssuerId::new("i.example").unwrap(),
        name: "I".into(),
        keys: vec![IssuerKey { key, not_before: TimeMs(0), not_after: None }],
        document_types: vec![1],
    };
    let name = DocumentTypeName::new("letter").unwrap();
    let genesis = Genesis {
        origin: "neustadt.example/test".into(),
        nonce: [7; 32],
        time: TimeMs(1_000),
        authorities: AuthoritySet::new(EpochId(0), vec![authority]).unwrap(),
        grants: vec![grant],
        parameters: Parameters {
            document_types: vec![DocumentType { code: 1, name }],
            recosign_interval_ms: 60_000,
        },
    };
    let text = "authority = \"a.example\"\ngenesis = \"g\"\ndata_dir = \"data\"\nkeys_dir = \"keys\"\n";
    let config = NodeConfig::parse(text, &folder.path().join("node.toml")).unwrap();
    Place { folder, config, genesis: genesis.check().unwrap() }
}

/// The same place for a node that only follows.
fn observers_place() -> Place {
    let place = place();
    let text = "observer = \"reader\"\ngenesis = \"g\"\ndata_dir = \"data\"\nkeys_dir = \"keys\"\n\
                [network]\npeers = [{ authority = \"a.example\", address = \"a.example:1\" }]\n";
    let config = NodeConfig::parse(text, &place.folder.path().join("node.toml")).unwrap();
    Place { config, ..place }
}

fn another(genesis: &Genesis) -> Genesis {
    Genesis { nonce: [8; 32], ..genesis.clone() }
}

#[test]
fn init_once_then_run_finds_it() {
    let Place { folder: _folder, config, genesis } = place();
    assert!(matches!(check(&config, &genesis), Err(SetupError::NotCreated { .. })));
    assert!(!config.data_dir.exists(), "looking makes nothing");
    init(&config, &genesis).unwrap();
    check(&config, &genesis).unwrap();
    assert!(matches!(check(&config, &another(&genesis)), Err(SetupError::AnotherLedger { .. })));
}

#[test]
fn a_second_init_is_refused_also_when_the_data_is_gone() {
    let Place { folder: _folder, config, genesis } = place();
    init(&config, &genesis).unwrap();
    let message = init(&config, &genesis).unwrap_err().to_string();
    assert!(message.contains("sign the opposite") && message.contains("keys new"), "{message}");
    fs::remove_dir_all(&config.data_dir).unwrap();
    assert!(matches!(init(&config, &genesis), Err(SetupError::AlreadyCreated { .. })));
    assert!(!config.data_dir.exists());
    let message = check(&config, &genesis).unwrap_err().to_string();
    assert!(message.contains("is missing"), "{message}");
}

#[test]
fn an_observer_is_made_once_as_well_and_told_the_way_back() {
    let Place { folder: _folder, config, genesis } = observers_place();
    assert!(matches!(check(&config, &genesis), Err(SetupError::NotCreated { .. })));
    init(&config, &genesis).unwrap();
    check(&config, &genesis).unwrap();
    fs::remove_dir_all(&config.data_dir).unwrap();
    assert!(matches!(check(&config, &genesis), Err(SetupError::Lost { .. })));
    let message = init(&config, &genesis).unwrap_err().to_string();
    assert!(message.contains("signs nothing") && message.contains("delete"), "{message}");
    fs::remove_file(marker_path(&config)).unwrap();
    init(&config, &genesis).unwrap();
}

#[test]
fn an_interrupted_init_is_finished_by_the_next_and_never_run() {
    for with_block_0 in [false, true] {
        let Place { folder: _folder, config, genesis } = place();
        write_marker(&config, State::Creating, genesis.ledger_id()).unwrap();
        let folder = DataFolder::create(&config.data_dir, &genesis.ledger_id().0).unwrap();
        if with_block_0 {
            ledger::init(folder.db(), &genesis).unwrap();
        }
        drop(folder);
        assert!(matches!(check(&config, &genesis), Err(SetupError::Interrupted { .. })));
        let other = init(&config, &another(&genesis));
        assert!(matches!(other, Err(SetupError::Folder(FolderError::AnotherLedger { .. }))));
        init(&config, &genesis).unwrap();
        check(&config, &genesis).unwrap();
    }
}

#[test]
fn a_folder_with_something_else_in_it_is_left_alone() {
    let Place { folder: _folder, config, genesis } = place();
    fs::create_dir(&config.data_dir).unwrap();
    fs::write(config.data_dir.join("thesis.txt"), "years of work").unwrap();
    fs::set_permissions(&config.data_dir, Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(init(&config, &genesis), Err(SetupError::Folder(FolderError::NotEmpty { .. }))));
    assert!(!marker_path(&config).exists());
    assert!(config.data_dir.join("thesis.txt").exists());
    let mode = fs::metadata(&config.data_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755, "others need not lose the way to their folder");
}

#[test]
fn a_lost_marker_is_written_again_where_the_data_is_right() {
    let Place { folder: _folder, config, genesis } = place();
    init(&config, &genesis).unwrap();
    fs::remove_file(marker_path(&config)).unwrap();
    assert!(matches!(
        init(&config, &genesis),
        Err(SetupError::Folder(FolderError::AlreadyInitialised { .. }))
    ));
    assert!(check(&config, &another(&genesis)).is_err(), "the data is of another ledger");
    assert!(!marker_path(&config).exists());
    check(&config, &genesis).unwrap();
    assert!(matches!(init(&config, &genesis), Err(SetupError::AlreadyCreated { .. })));
}

#[test]
fn a_damaged_marker_is_never_taken_for_none() {
    let Place { folder, config, genesis } = place();
    init(&config, &genesis).unwrap();
    fs::write(folder.path().join("keys").join(MARKER_FILE), "").unwrap();
    assert!(matches!(init(&config, &genesis), Err(SetupError::DamagedMarker { .. })));
    assert!(matches!(check(&config, &genesis), Err(SetupError::DamagedMarker { .. })));
}
