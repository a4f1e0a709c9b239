//! A stock gRPC client in another language, Python's grpcio from PyPI, reads a node by reflection only.
//!
//! What it needs is installed once, below cargo's target folder, and again only when `requirements.txt` changes.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use markstein_proto::note::SignedCheckpoint;
use markstein_tests::devnet::Devnet;
use serde_json::Value;

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

/// The folder of the script and of the list of what it needs.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("third_party")
}

/// The interpreter of a virtual environment with the packages of `requirements.txt`, made where it is not there.
fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let environment = target.join("third-party/venv");
    let python = environment.join("bin/python");
    let requirements = scripts().join("requirements.txt");
    // Copied there last of all, so it tells that everything before went well.
    let installed = environment.join("requirements.txt");
    let wanted = fs::read(&requirements).unwrap();
    if python.exists() && fs::read(&installed).is_ok_and(|found| found == wanted) {
        return python;
    }

    let output = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment).output();
    let output =
        output.unwrap_or_else(|error| panic!("python3 cannot be started ({error}); run config/setup"));
    assert!(
        output.status.success(),
        "python3 made no virtual environment; run config/setup, which installs python3-venv. It said: {}",
        said(&output)
    );
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        "-r",
    ]);
    let output = pip.arg(&requirements).output().unwrap();
    assert!(
        output.status.success(),
        "the packages of {} could not be installed from PyPI. This test fetches them once and needs the network \
         for that; all other tests and the demo do not. pip said: {}",
        requirements.display(),
        said(&output)
    );
    fs::write(&installed, wanted).unwrap();
    python
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
