//! A public document that several issuers anchored: none of them speaks for another, and none hides another.

use std::{
    fs,
    path::{Path, PathBuf},
};

use markstein_client::{api::batch_state::State, keys::IssuerKey, time::now, trust::read_genesis};
use markstein_proto::{
    Anchor, Commitment, DocumentDigest, Hash, LeafIndex, Reason, Record, Salt, StatusChange, TimeMs,
    status::Status,
};
use markstein_tests::{
    client::{Client, Run},
    cluster::Cluster,
    craft::Signer,
    grpc::Api,
    http,
    issuers::admit,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{runtime, text};

const OWNER: &str = "building.example";
const OTHER: &str = "other.example";

/// A ledger with two issuers.
struct Offices {
    cluster: Cluster, // dropped before its folder
    owner: PathBuf,
    other: PathBuf,
    client: Client,
    folder: TempDir,
}

impl Offices {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::prepare(&folder.path().join("ledger"), 1, 0).unwrap();
        let names = [(OWNER, "Building Control"), (OTHER, "Another Office")];
        let [owner, other] = admit(&cluster, folder.path(), &names).unwrap().try_into().unwrap();
        cluster.start_all().unwrap();
        let client = Client::new(&folder.path().join("state")).unwrap();
        Self { cluster, owner, other, client, folder }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let (url, genesis) = (self.cluster.url(0).unwrap(), self.cluster.genesis());
        let fixed = ["--node", &url, "--genesis", text(&genesis)];
        self.client.run(arguments[..1].iter().chain(&fixed).chain(&arguments[1..])).unwrap()
    }

    fn write(&self, by: &Path, arguments: &[&str]) {
        let run = self.run(&[&arguments[..1], &["--key", text(by)], &arguments[1..]].concat());
        assert_eq!(run.code, Some(0), "{}", run.said());
    }

    /// The same document for everybody, in a folder of each one's own, so that receipts stand apart.
    fn document(&self, whose: &str, name: &str) -> PathBuf {
        let folder = self.folder.path().join(whose);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), format!("the decision {name}")).unwrap();
        folder.join(name)
    }

    fn anchor(&self, by: &Path, document: &Path) {
        self.write(by, &["anchor", "--type", "decision", "--public", text(document)]);
    }

    /// What a citizen is told who has nothing but the document: the exit code and the JSON of it.
    fn look(&self, name: &str, more: &[&str]) -> (Option<i32>, Value) {
        let document = self.document("citizen", name);
        let run = self.run(&[&["verify", "--online", "--json"], more, &[text(&document)]].concat());
        let answer: Value =
            serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.said()));
        assert_eq!(answer["documents"][0]["exit_code"].as_i64().map(|code| code as i32), run.code);
        (run.code, answer["documents"][0].clone())
    }

    fn signer(&self, key: &Path) -> Signer {
        let IssuerKey { issuer, key, .. } = IssuerKey::read(key).unwrap();
        let ledger = read_genesis(&self.cluster.genesis()).unwrap().ledger_id();
        Signer { ledger, issuer, key }
    }

    /// Writes records, and says where the first one stands.
    fn submit(&self, key: &Path, records: &[Record]) -> u64 {
        let batch = self.signer(key).records(now(), records).unwrap();
        let url = self.cluster.url(0).unwrap();
        let state = runtime().block_on(async {
            Api::connect(&url).await.unwrap().submit_and_wait(batch.bytes()).await.unwrap()
        });
        let Some(State::Final(place)) = state.state else { panic!("{state:?}") };
        place.head_index + 1
    }

    fn get(&self, path: &str) -> Value {
        http::get(&self.cluster.url(0).unwrap(), path).unwrap().json().unwrap()["view"].take()
    }
}

/// Each issuer with its code, in the order in which they are told.
fn issuers(answer: &Value) -> Vec<(&str, u64)> {
    let one = |it: &'_ Value| it["exit_code"].as_u64().unwrap();
    let all = answer["issuers"].as_array().unwrap();
    all.iter().map(|it| (it["issuer"].as_str().unwrap(), one(it))).collect()
}

#[test]
fn what_its_issuer_revoked_no_other_issuer_makes_valid() {
    let offices = Offices::open();
    let own = offices.document("owner", "permit.txt");
    offices.anchor(&offices.owner, &own);
    assert_eq!(offices.look("permit.txt", &[]).0, Some(0));
    offices.write(&offices.owner, &["revoke", "--reason", "unlawful", text(&own)]);
    let (code, answer) = offices.look("permit.txt", &[]);
    assert_eq!((code, issuers(&answer)), (Some(3), vec![(OWNER, 3)]));

    offices.anchor(&offices.other, &offices.document("other", "permit.txt"));
    let (code, answer) = offices.look("permit.txt", &[]);
    assert_eq!((code, issuers(&answer)), (Some(2), vec![(OWNER, 3), (OTHER, 0)]));
    assert_eq!(answer["verdict"], "could_not_check");
    let reason = answer["reason"].as_str().unwrap();
    for part in
        ["whose decision", "Building Control (building.example) revoked it", "Another Office", "--issuer"]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    for (issuer, code) in [(OWNER, 3), (OTHER, 0), ("nobody.example", 2)] {
        let (found, answer) = offices.look("permit.txt", &["--issuer", issuer]);
        assert_eq!(found, Some(code), "{issuer}: {answer}");
    }
    // A receipt says whose decision it is; another issuer's decides nothing.
    for (issuer, code) in [(OWNER, 3), (OTHER, 2)] {
        let run = offices.run(&["verify", "--online", "--issuer", issuer, text(&own)]);
        assert_eq!(run.code, Some(code), "{issuer}: {}", run.said());
        let genesis = offices.cluster.genesis();
        let offline = ["verify", "--genesis", text(&genesis), "--issuer", issuer, text(&own)];
        let run = offices.client.run(offline).unwrap();
        assert_eq!(run.code, Some(code), "{issuer}: {}", run.said());
        let run = offices.run(&["verify", "--online", "--by-range", "--issuer", issuer, text(&own)]);
        assert_eq!(run.code, Some(code), "{issuer}: {}", run.said());
    }
    // By its content each issuer finds its own record, however many others there are.
    let copy = offices.document("copy", "permit.txt");
    offices.write(&offices.other, &["revoke", "--look-up", "--reason", "other", text(&copy)]);
    let (code, answer) = offices.look("permit.txt", &[]);
    assert_eq!((code, issuers(&answer)), (Some(3), vec![(OWNER, 3), (OTHER, 3)]));
}

#[test]
fn however_often_another_issuer_anchors_and_revokes_it_no_record_is_hidden() {
    let offices = Offices::open();
    let own = offices.document("owner", "permit.txt");
    offices.anchor(&offices.owner, &own);
    let digest = DocumentDigest(Hash::of(&[&fs::read(&own).unwrap()]));
    let commitment = Commitment::of(&Salt::PUBLIC, &digest);
    let anchor = |number: u64| {
        let valid_until = Some(TimeMs(4_102_444_800_000 + number)); // each is another record
        Record::Anchor(Anchor { commitment, public: true, document_type: 1, valid_until, supersedes: None })
    };
    let first = offices.submit(&offices.other, &(0..250).map(anchor).collect::<Vec<_>>());
    assert_eq!(offices.look("permit.txt", &[]).0, Some(0), "both say that it is valid");
    let change = |index: u64| {
        let change = StatusChange::new(LeafIndex(index), Status::Valid, Status::Revoked, Reason::Other);
        Record::StatusChange(change.unwrap())
    };
    offices.submit(&offices.other, &(first..first + 250).map(change).collect::<Vec<_>>());
    let (code, answer) = offices.look("permit.txt", &[]);
    assert_eq!((code, issuers(&answer)), (Some(2), vec![(OTHER, 3), (OWNER, 0)]));
    assert_eq!(offices.look("permit.txt", &["--issuer", OWNER]).0, Some(0));

    let found = offices.get(&format!("/v1/lookup/{}", commitment.0));
    assert_eq!(found["next_after"], Value::Null);
    let ids: Vec<&str> =
        found["issuers"].as_array().unwrap().iter().map(|it| it["issuer"].as_str().unwrap()).collect();
    assert_eq!(ids, [OWNER, OTHER]);
    let of = format!("/v1/lookup/{}/of/{OTHER}", commitment.0);
    assert_eq!(offices.get(&of)["issuers"], json!([found["issuers"][1]]));
    assert_eq!(
        offices.get(&format!("/v1/lookup/{}/after/{OWNER}", commitment.0))["issuers"],
        offices.get(&of)["issuers"]
    );
    // All of them are found, a part at a time.
    let (mut met, mut path) = (Vec::new(), format!("{of}/revoked"));
    loop {
        let part = offices.get(&path);
        let records = part["records"].as_array().unwrap();
        assert!(records.len() <= 100);
        met.extend(records.iter().map(|it| it["index"].as_u64().unwrap()));
        let Some(before) = part["next_before"].as_u64() else { break };
        path = format!("{of}/revoked/before/{before}");
    }
    assert_eq!(met, (first..first + 250).rev().collect::<Vec<_>>());
    assert_eq!(offices.get(&format!("{of}/valid"))["records"], json!([]));
}

#[test]
fn issuers_that_say_the_same_are_all_named() {
    let offices = Offices::open();
    for (whose, key) in [("owner", &offices.owner), ("other", &offices.other)] {
        offices.anchor(key, &offices.document(whose, "notice.txt"));
    }
    let (code, answer) = offices.look("notice.txt", &[]);
    assert_eq!((code, issuers(&answer)), (Some(0), vec![(OWNER, 0), (OTHER, 0)]));
    let document = offices.document("citizen", "notice.txt");
    let run = offices.run(&["verify", "--online", text(&document)]);
    for part in [
        "genuine and valid",
        "Building Control (building.example): valid",
        "Another Office (other.example): valid",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.said());
    }
}
