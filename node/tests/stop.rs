//! A stop ends streams whose callers never end them, and does not wait for callers that never close their connections.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tonic::{Streaming, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};

/// A ledger of one authority, and where it answers.
fn devnet(folder: &Path) -> (Child, String) {
    let mut devnet = Command::new(env!("CARGO_BIN_EXE_markstein-node"))
        .args(["devnet", "--authorities", "1", "--dir", "."])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(devnet.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("ready")));
    let endpoints: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("endpoints.json")).unwrap()).unwrap();
    (devnet, endpoints["nodes"][0]["grpc"].as_str().unwrap().to_owned())
}

/// Watches the health of a node that serves.
async fn watch(url: String) -> Streaming<HealthCheckResponse> {
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut stream =
        HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 1, "it serves");
    stream
}

/// Asks for a stop, waits for it, and gives the log of the node, which must have waited for no deadline.
fn stop(mut devnet: Child, folder: &Path) -> String {
    kill_process(Pid::from_child(&devnet), Signal::TERM).unwrap();
    let ended = devnet.wait().unwrap();
    let log = fs::read_to_string(folder.join("node0/log")).unwrap();
    assert!(ended.success(), "{log}");
    assert!(log.contains("phase ended phase=flush and close store") && log.contains("stopped"), "{log}");
    assert!(
        log.contains("phase ended phase=drain requests") && !log.contains("did not end in time"),
        "{log}"
    );
    log
}

#[tokio::test]
async fn a_watcher_of_health_does_not_keep_a_node_from_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let (devnet, url) = devnet(folder.path());
    let mut stream = watch(url).await;
    let path = folder.path().to_owned();
    let stopped = tokio::task::spawn_blocking(move || stop(devnet, &path));
    while let Ok(Some(_)) = stream.message().await {}
    stopped.await.unwrap();
}

/// Its connection never says that it has read the node's farewell, as where a program is suspended or blocked.
#[test]
fn a_watcher_of_health_that_is_stuck_does_not_hold_up_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let (devnet, url) = devnet(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _stream = runtime.block_on(watch(url)); // from here on nothing of its runtime runs
    let log = stop(devnet, folder.path());
    assert!(log.contains("callers leave connections open"), "{log}");
}
