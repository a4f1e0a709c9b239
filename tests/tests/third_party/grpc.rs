//! A stock gRPC client in another language, Python's grpcio from PyPI, reads a node by reflection only.

use std::process::Command;

use markstein_proto::note::SignedCheckpoint;
use markstein_tests::devnet::Devnet;
use serde_json::Value;

use crate::{
    python::{python, scripts},
    said,
};

#[test]
fn a_stock_python_client_reads_status_and_checkpoint_by_reflection() {
    let python = python();
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::start(&folder.path().join("devnet")).unwrap();
    let host = devnet.url().strip_prefix("http://").unwrap();

    let output = Command::new(python).arg(scripts().join("status.py")).arg(host).output().unwrap();
    assert!(output.status.success(), "status.py: {}", said(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();

    let services: Vec<&str> =
        answer["services"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for service in ["Anchoring", "Verification", "Ledger", "Operations"] {
        assert!(services.contains(&format!("markstein.v1.{service}").as_str()), "{services:?}");
    }
    assert!(services.contains(&"grpc.health.v1.Health"), "{services:?}");

    let trust = devnet.trust().unwrap();
    let genesis = trust.genesis();
    let status = &answer["status"];
    assert_eq!(answer["ledger_id"], trust.ledger_id().to_string());
    assert_eq!(status["origin"], genesis.origin.as_str());
    assert_eq!((&status["serving"], &status["role"]), (&true.into(), &"ROLE_AUTHORITY".into()));

    let text = answer["checkpoint"]["checkpoint"].as_str().unwrap();
    let signed = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(signed.checkpoint().origin(), genesis.origin);
    let set = &genesis.authorities;
    let counted = signed.count(&set.cosigners(&genesis.origin), set.quorum()).unwrap();
    assert_eq!(counted.signers, [0]);
    signed.note().verify_ed25519(&set.authorities()[0].log_vkey(&genesis.origin)).unwrap();
}
