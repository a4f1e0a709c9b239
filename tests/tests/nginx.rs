//! `config/nginx/markstein.conf`: Debian's nginx before a node, all of the file but ports and certificates.
//! `MARKSTEIN_WITHOUT_NGINX=1` leaves this out.
#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    io::{Write, stderr},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use markstein_client::{
    api::{WatchRequest, anchoring_client::AnchoringClient},
    connect::Connection,
    http::Site,
};
use markstein_tests::{
    binaries::workspace,
    client::Client,
    cluster::Cluster,
    process::{self, LOOK_AGAIN},
    strangers::{self, address, channel, endless_streams, watch_health},
};
use tempfile::TempDir;
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Set to `1` where nginx cannot be had: this test is left out then, and only then.
const WITHOUT: &str = "MARKSTEIN_WITHOUT_NGINX";
/// What has not come about by then never will.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest answer that is read.
const ANSWER_MAX: usize = 1 << 20;

/// nginx before a node, ended with the test.
struct Nginx {
    process: Child,
    /// With TLS, as in the file; without, over HTTP/1.1; without, over HTTP/2.
    ports: [u16; 3],
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = process::end(&mut self.process, PATIENCE);
    }
}

impl Nginx {
    /// Starts it before the node at `url`, on ports that are free.
    fn start(folder: &Path, url: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
        fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
        fs::write(folder.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            // Another program may take one of them before nginx does; then it is others.
            let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
            let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
            drop(listeners);
            configure(folder, url, ports);
            let mut process = Command::new(program())
                .arg("-p")
                .arg(folder)
                .args(["-c", "nginx.conf"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(folder.join("nginx.log")).unwrap())
                .spawn()
                .unwrap_or_else(|error| panic!("nginx cannot be started ({error}): {}", help()));
            while process.try_wait().unwrap().is_none() {
                if ports.iter().all(|port| TcpStream::connect(("127.0.0.1", *port)).is_ok()) {
                    return Self { process, ports };
                }
                thread::sleep(LOOK_AGAIN);
            }
            let log = fs::read_to_string(folder.join("nginx.log")).unwrap();
            assert!(log.contains("Address already in use") && Instant::now() < until, "{log}");
        }
    }
}

fn help() -> String {
    format!(
        "run config/setup, or set {WITHOUT}=1 where it cannot be had, and know that its example is not checked then"
    )
}

/// Debian keeps it where not everybody's shell looks.
fn program() -> PathBuf {
    let paths = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&paths).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.map(|folder| folder.join("nginx")).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("there is no nginx: {}", help()))
}

/// The example with other ports and certificates, and what is around it in Debian's `nginx.conf`.
fn configure(folder: &Path, url: &str, [tls, http1, http2]: [u16; 3]) {
    let mut text = fs::read_to_string(workspace().join("config/nginx/markstein.conf")).unwrap();
    let ours = |name: &str| format!("{}/{name};", folder.display());
    let plain = format!("listen 127.0.0.1:{http1};\n    listen 127.0.0.1:{http2} http2;");
    for (example, here) in [
        ("listen 443 ssl http2;", format!("listen 127.0.0.1:{tls} ssl http2;\n    {plain}")),
        ("listen [::]:443 ssl http2;", String::new()),
        ("/etc/ssl/markstein/fullchain.pem;", ours("certificate.pem")),
        ("/etc/ssl/markstein/privkey.pem;", ours("tls.key")),
        ("server 127.0.0.1:4600;", format!("server {};", url.strip_prefix("http://").unwrap())),
    ] {
        assert!(text.contains(example), "{example}");
        text = text.replace(example, &here);
    }
    fs::write(folder.join("markstein.conf"), text).unwrap();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {};\n", folder.join(name).display()))
        .collect();
    let around = format!(
        "user root;\ndaemon off;\npid {folder}/pid;\nerror_log stderr warn;\nevents {{ worker_connections 4096; }}\n\
         http {{\n    access_log off;\n{temporary}    include {folder}/markstein.conf;\n}}\n",
        folder = folder.display()
    );
    fs::write(folder.join("nginx.conf"), around).unwrap();
}

fn is_left_out() -> bool {
    let left_out = env::var_os(WITHOUT).is_some_and(|value| value == "1");
    if left_out {
        // Straight to the error stream, so that it is seen where a test passes, too.
        let _ = writeln!(stderr(), "\nNOT CHECKED with nginx: {WITHOUT}=1 is set\n");
    }
    left_out
}

/// A node that believes nginx, and nginx before it.
fn start(folder: &TempDir) -> (Cluster, Nginx) {
    let mut cluster = Cluster::prepare(&folder.path().join("ledger"), 1, 0).unwrap();
    let config = cluster.node_dir(0).join("node.toml");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains("[api]\n"));
    fs::write(&config, text.replace("[api]\n", "[api]\nproxies = [\"127.0.0.1\"]\n")).unwrap();
    cluster.start_all().unwrap();
    let url = cluster.url(0).unwrap();
    let before = folder.path().join("nginx");
    fs::create_dir(&before).unwrap();
    let nginx = Nginx::start(&before, &url);
    (cluster, nginx)
}

#[test]
fn grpc_json_and_pages_go_through_nginx_and_the_node_knows_who_asks() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (cluster, nginx) = start(&folder);
    let [tls, http1, http2] = nginx.ports;
    through_tls(&folder, &cluster, &format!("https://127.0.0.1:{tls}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        callers_are_told_apart(&format!("http://127.0.0.1:{http1}"), &format!("http://127.0.0.1:{http2}"))
            .await;
        nginx_bounds_what_one_address_does_at_once(&format!("http://127.0.0.1:{http2}")).await;
    });
}

/// As agencies and citizens use it.
fn through_tls(folder: &TempDir, cluster: &Cluster, url: &str) {
    let document = folder.path().join("decision.txt");
    fs::write(&document, "Bescheid 63/2026").unwrap();
    let client = Client::new(&folder.path().join("state")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let certificate = text(&folder.path().join("nginx/certificate.pem"));
    let (key, paper) = (text(&cluster.issuer_key()), text(&document));
    let anchor = ["anchor", "--node", url, "--ca", &certificate, "--key", &key, &paper];
    let run = client.run(anchor).unwrap();
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = client.run(["status", "--node", url, "--ca", &certificate]).unwrap();
    assert_eq!(run.code, Some(0), "{run:?}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connection = Connection { ca: Some(Path::new(&certificate)), ..Connection::default() };
    let site = Site::new(url, connection).unwrap();
    for (path, part) in [("", "<html"), ("v1/status", "\"view\""), ("checkpoint", "\n")] {
        let answer = runtime.block_on(site.get(path, ANSWER_MAX)).unwrap();
        assert!(answer.is_good(), "{path}: {}", answer.code);
        assert!(String::from_utf8_lossy(&answer.body).contains(part), "{path}");
    }
}

/// The node counts by the address that nginx was asked from, whatever the request says.
async fn callers_are_told_apart(http1: &str, http2: &str) {
    let (stranger, other) = (address(1), address(2));
    let streams = endless_streams(http2, stranger, 1, 40).await.unwrap();
    assert_eq!((streams.held.len(), streams.refused), (32, 8), "the share of one address");
    let mut liar = HealthClient::new(channel(http2, stranger).await.unwrap());
    let mut request = Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("x-forwarded-for", "203.0.113.5".parse().unwrap());
    request.metadata_mut().insert("forwarded", "for=203.0.113.5".parse().unwrap());
    assert_eq!(liar.watch(request).await.unwrap_err().code(), Code::ResourceExhausted);
    watch_health(channel(http2, other).await.unwrap()).await.unwrap();
    for from in [stranger, other] {
        assert_eq!(strangers::get(http1, from, "/").await.unwrap().code, 200);
    }
}

async fn nginx_bounds_what_one_address_does_at_once(http2: &str) {
    let mut held = Vec::new();
    for number in 0..300_u32 {
        if number % 100 == 0 {
            held.push((channel(http2, address(3)).await.unwrap(), Vec::new()));
        }
        let (channel, streams) = held.last_mut().unwrap();
        let batch_ids = vec![[vec![7; 28], number.to_be_bytes().to_vec()].concat()];
        let answer = AnchoringClient::new(channel.clone()).watch(WatchRequest { batch_ids }).await;
        let mut stream = answer.unwrap().into_inner();
        // nginx says no in HTTP's words only, which is seen in what follows.
        match stream.message().await {
            Ok(Some(_)) => streams.push(stream),
            other => {
                assert!(matches!(other.unwrap_err().code(), Code::Unavailable | Code::Internal));
                break;
            }
        }
    }
    assert_eq!(held.iter().map(|(_, streams)| streams.len()).sum::<usize>(), 256);
    let batch_ids = vec![vec![8; 32]];
    let channel = channel(http2, address(4)).await.unwrap();
    let answer = AnchoringClient::new(channel).watch(WatchRequest { batch_ids }).await.unwrap();
    answer.into_inner().message().await.unwrap().unwrap();
}
