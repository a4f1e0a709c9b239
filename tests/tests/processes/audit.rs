//! `markstein audit` of a real ledger of four authorities: once, again, and for ever.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    process::Stdio,
    thread,
};

use markstein_client::{api::batch_state::State, time::now};
use markstein_proto::{Leaf, LeafIndex, Reason, Record, StatusChange, status::Status};
use markstein_tests::{
    client::{Client, Run},
    craft::{Paper, Signer},
    devnet::Devnet,
    grpc::Api,
    random::Random,
};
use serde_json::Value;

use crate::support::{runtime, text};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Of the first three documents one is suspended and then revoked, and another one replaced.
fn change_statuses(devnet: &Devnet) {
    let signer = Signer::read(&devnet.issuer_key()).unwrap();
    let change = |target, from, to| {
        Record::StatusChange(StatusChange::new(LeafIndex(target), from, to, Reason::Other).unwrap())
    };
    runtime().block_on(async {
        let api = Api::connect(devnet.url()).await.unwrap();
        let log = api.log().await.unwrap();
        let is_anchor = |leaf: &Leaf| matches!(leaf, Leaf::Record(Record::Anchor(_)));
        let first = log.iter().position(is_anchor).unwrap() as u64;
        let Record::Anchor(mut successor) = Paper::random(&mut Random::new(8)).record() else { panic!() };
        successor.supersedes = Some(LeafIndex(first + 2));
        let batches = [
            vec![change(first, Status::Valid, Status::Suspended), Record::Anchor(successor)],
            vec![change(first, Status::Suspended, Status::Revoked)],
        ];
        for records in batches {
            let submission = signer.records(now(), &records).unwrap();
            let state = api.submit_and_wait(submission.bytes()).await.unwrap().state;
            assert!(matches!(state, Some(State::Final(_))), "{state:?}");
        }
    });
}

#[test]
fn a_ledger_is_audited_followed_and_watched() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::start_with(&folder.path().join("ledger"), 4, 0).unwrap();
    let client = Client::new(&folder.path().join("state")).unwrap();
    let documents = folder.path().join("documents");
    fs::create_dir(&documents).unwrap();
    let (genesis, key) = (devnet.genesis(), devnet.issuer_key());
    let anchor = |count: usize| {
        (0..count).for_each(|i| fs::write(documents.join(format!("{count}-{i}")), [i as u8 + 1]).unwrap());
        let arguments = ["anchor", "--node", devnet.url(), "--key", text(&key), text(&documents)];
        let run = client.run(arguments).unwrap();
        assert_eq!(run.code, Some(0), "{}", run.said());
    };
    anchor(30);
    change_statuses(&devnet);
    let mut arguments = vec!["audit", "--genesis", text(&genesis)];
    devnet.nodes().iter().for_each(|node| arguments.extend(["--node", &node.grpc]));
    let audit = |more: &[&str]| -> Run { client.run([&arguments[..], more].concat()).unwrap() };

    let run = audit(&["--json"]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    let report = json(&run.stdout);
    assert_eq!((report["verdict"].as_str(), report["exit_code"].as_u64()), (Some("sound"), Some(0)));
    let audited = &report["audited"];
    assert_eq!((audited["records"].as_u64(), audited["status_changes"].as_u64()), (Some(33), Some(3)));
    assert_eq!(report["nodes"].as_array().unwrap().len(), 4);
    assert!(report["nodes"][0]["signed_by"].as_array().unwrap().len() >= 3, "{report}");
    let run = audit(&[]);
    assert_eq!(run.code, Some(0), "{}", run.said());
    assert!(run.stdout.contains("this time 0 records") && run.stdout.contains("\nSOUND: "), "{}", run.said());

    let other = folder.path().join("other");
    let run = audit(&["--state", text(&other), "--node", "http://127.0.0.1:1"]);
    assert_eq!(run.code, Some(3), "{}", run.said());
    assert!(run.stdout.contains("! http://127.0.0.1:1: Connection refused"), "{}", run.said());
    let run = audit(&["--watch-issuer", "nobody.example"]);
    assert_eq!(run.code, Some(2), "{}", run.said());

    let issuer = devnet.trust().unwrap().genesis().grants[0].issuer.to_string();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let hook = format!("http://{}/alerts", listener.local_addr().unwrap());
    let told = thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
        let head = head.to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        reader.get_mut().write_all(b"HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n").unwrap();
        String::from_utf8(body).unwrap()
    });
    let follow = ["--follow", "--json", "--interval", "1s", "--exit-on-alert"];
    let watch = ["--watch-issuer", issuer.as_str(), "--webhook", hook.as_str()];
    let mut command = client.command([&arguments[..], &follow, &watch].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = json(&lines.next().unwrap().unwrap());
    assert_eq!((first["event"].as_str(), first["verdict"].as_str()), (Some("report"), Some("sound")));
    anchor(3);
    let rest: Vec<Value> = lines.map(|line| json(&line.unwrap())).collect();
    assert_eq!(child.wait().unwrap().code(), Some(5));
    let alert = rest.iter().find(|line| line["event"] == "alert").unwrap();
    assert_eq!((alert["kind"].as_str(), alert["issuer"].as_str()), (Some("written"), Some(issuer.as_str())));
    let told = json(&told.join().unwrap());
    assert_eq!(told["alerts"][0], *alert);
}
