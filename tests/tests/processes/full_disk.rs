//! A disk that runs full under a node. Node and test run on a small file system in memory, in a mount namespace of
//! their own, so that nothing of it is left whatever happens.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use markstein_client::{api::batch_state::State, time::now};
use markstein_tests::{
    binaries::{Voice, binaries},
    craft::{Paper, Signer, Submission},
    devnet::Devnet,
    grpc::{Api, reason},
    random::Random,
};

use tonic::Code;

use crate::support::{assert_final, assert_recorded, runtime};

/// Tells the child test where to work.
const FOLDER: &str = "MARKSTEIN_TEST_FULL_DISK";
const SHELL: [&str; 5] = ["unshare", "--map-root-user", "--mount", "sh", "-c"];
const MOUNT: &str = "mount -t tmpfs -o size=96m tmpfs \"$MARKSTEIN_TEST_FULL_DISK\"";

fn in_namespace(script: &str, folder: &Path) -> std::io::Result<std::process::Output> {
    let program = std::env::current_exe()?;
    Command::new(SHELL[0]).args(&SHELL[1..]).arg(script).arg(program).env(FOLDER, folder).output()
}

#[test]
fn a_full_disk_stops_the_node_with_a_clear_error_and_loses_nothing() {
    // The child shall find the programs built.
    binaries(Voice::Quiet).unwrap();
    let folder = tempfile::tempdir().unwrap();
    if !in_namespace(MOUNT, folder.path()).is_ok_and(|output| output.status.success()) {
        // Not captured, unlike what the print macros write: nobody shall take this for a full run.
        let notice = "NOT TESTED: a full disk under a node, since this system permits no private mounts\n";
        std::io::stderr().write_all(notice.as_bytes()).unwrap();
        return;
    }
    let script = format!("{MOUNT} && exec \"$0\" --exact full_disk::on_a_small_disk --ignored --nocapture");
    let output = in_namespace(&script, folder.path()).unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "needs a small disk: started by a_full_disk_stops_the_node_with_a_clear_error_and_loses_nothing"]
fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 40 << 20]).unwrap();
    // Data, log and all: one disk, as on a small machine.
    let mut devnet = Devnet::start(&disk.join("ledger")).unwrap();
    let signer = Signer::read(&devnet.issuer_key()).unwrap();
    let mut random = Random::new(8);
    let runtime = runtime();

    let mut accepted: Vec<Submission> = Vec::new();
    let refused = runtime.block_on(async {
        let api = Api::connect(devnet.url()).await.unwrap();
        loop {
            let papers = (0..8000).map(|_| Paper::random(&mut random)).collect();
            let submission = signer.submission(now(), papers).unwrap();
            match api.submit(submission.bytes()).await {
                Ok(state) => {
                    assert!(matches!(state.state, Some(State::Accepted(_) | State::Final(_))), "{state:?}");
                    accepted.push(submission);
                }
                Err(refused) => break refused,
            }
            assert!(accepted.len() < 1000, "the disk never ran full");
        }
    });
    assert!(!accepted.is_empty());
    let (status, said) = devnet.wait().unwrap();
    assert_eq!(status.code(), Some(1), "a node that cannot write stops: {said}");
    assert!(said.contains("space"), "and says why: {said}");
    assert!(!said.contains("panicked"), "{said}");
    // The node may be gone before it has answered; then the connection breaks, which acknowledges nothing either.
    let answered = reason(&refused) == "STORAGE" && refused.message().contains("tell the operator");
    assert!(answered || refused.code() == Code::Unavailable, "{refused:?}");

    fs::remove_file(&ballast).unwrap();
    devnet.restart().unwrap();
    let trust = devnet.trust().unwrap();
    runtime.block_on(async {
        let api = Api::connect(devnet.url()).await.unwrap();
        assert_final(&api, &accepted).await;
        accepted.truncate(2); // the receipts of all would take long
        assert_recorded(&api, &trust, &accepted).await;
        let more = signer.submission(now(), vec![Paper::random(&mut random)]).unwrap();
        assert!(matches!(api.submit_and_wait(more.bytes()).await.unwrap().state, Some(State::Final(_))));
    });
    assert!(devnet.stop().unwrap().success());
}
