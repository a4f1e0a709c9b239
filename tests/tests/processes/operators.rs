//! The operators' listener, as operators ask it, and as a page would that makes an operator's browser ask it.

use std::{fs, process::Command};

use markstein_client::api::{PeersRequest, StatusRequest, operations_client::OperationsClient};
use markstein_tests::{
    binaries::{Voice, binaries},
    cluster::Cluster,
    grpc::reason,
    http,
};
use tonic::{Code, transport::Endpoint};

use crate::support::{Ledger, runtime};

/// What a page's name may lead to.
const PATHS: [&str; 4] = ["/network", "/v1/network", "/metrics", "/nowhere"];

#[test]
fn a_page_of_another_site_cannot_read_the_operators_listener() {
    let ledger = Ledger::start();
    let operator = ledger.devnet.node().operator.clone();
    let port = operator.rsplit_once(':').unwrap().1;
    let get =
        |path: &str, headers: &[(&str, &str)]| http::request(&operator, "GET", path, headers, b"").unwrap();
    for path in PATHS {
        let known = if path == "/nowhere" { 404 } else { 200 };
        for host in [&format!("localhost:{port}"), "127.0.0.1", "[::1]:4601"] {
            assert_eq!(get(path, &[("Host", host)]).code, known, "{host}{path}");
        }
        let rebound = get(path, &[("Host", &format!("evil.example:{port}"))]);
        assert_eq!((rebound.code, &rebound.json().unwrap()["reason"]), (403, &"OTHER_HOST".into()), "{path}");
        assert!(rebound.json().unwrap()["message"].as_str().unwrap().contains("[operator] hosts"));
        for foreign in [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
            let answer = get(path, &[foreign]);
            assert_eq!(
                (answer.code, &answer.json().unwrap()["reason"]),
                (403, &"OTHER_SITE".into()),
                "{path}"
            );
        }
    }
    // The public listeners are for everybody, under every name.
    assert_eq!(
        http::request(ledger.devnet.url(), "GET", "/v1/network", &[("Host", "a.example")], b"").unwrap().code,
        200
    );

    // gRPC names its host in another way.
    runtime().block_on(async {
        let connect = async |origin: &str| {
            let endpoint = Endpoint::from_shared(operator.clone()).unwrap().origin(origin.parse().unwrap());
            OperationsClient::new(endpoint.connect().await.unwrap())
        };
        for origin in [operator.as_str(), "http://localhost:4601"] {
            connect(origin).await.peers(PeersRequest {}).await.unwrap();
            connect(origin).await.status(StatusRequest {}).await.unwrap();
        }
        let refused = connect("http://evil.example").await.peers(PeersRequest {}).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "OTHER_HOST"));
    });
    let status = ledger.client.run(["status", "--node", &operator]).unwrap();
    assert_eq!(status.code, Some(0), "{}", status.said());
}

#[test]
fn a_name_that_the_configuration_lists_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let mut net = Cluster::prepare(folder.path(), 1, 0).unwrap();
    let config = net.node_dir(0).join("node.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[operator]\n", "[operator]\nhosts = [\"ops.example\"]\n")).unwrap();
    net.start_all().unwrap();
    let operator = net.operator(0).unwrap();
    let code = |host: &str| http::request(&operator, "GET", "/metrics", &[("Host", host)], b"").unwrap().code;
    assert_eq!([code("ops.example:9090"), code("OPS.example."), code("other.example")], [200, 200, 403]);
    assert!(net.stop(0).unwrap().success());

    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("ops.example", "http://ops.example")).unwrap();
    let node = binaries(Voice::Quiet).unwrap().node;
    let refused = Command::new(node).args(["run", "--config"]).arg(&config).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("[operator] hosts") && said.contains("without scheme and port"), "{said}");
}
