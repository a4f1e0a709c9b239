//! A stop ends streams whose callers never end them, at the latest when its time for requests is over.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

#[tokio::test]
async fn a_watcher_of_health_does_not_keep_a_node_from_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let mut devnet = Command::new(env!("CARGO_BIN_EXE_markstein-node"))
        .args(["devnet", "--authorities", "1", "--dir", "."])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(devnet.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("ready")));
    let endpoints: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path().join("endpoints.json")).unwrap()).unwrap();
    let url = endpoints["nodes"][0]["grpc"].as_str().unwrap().to_owned();
    let channel = tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut stream =
        HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 1, "it serves");
    kill_process(Pid::from_raw(devnet.id() as i32).unwrap(), Signal::TERM).unwrap();
    while let Ok(Some(_)) = stream.message().await {}
    let ended = tokio::task::spawn_blocking(move || devnet.wait().unwrap()).await.unwrap();
    let log = fs::read_to_string(folder.path().join("node0/log")).unwrap();
    assert!(ended.success(), "{log}");
    assert!(log.contains("flush and close store") && log.contains("stopped"), "{log}");
}
