//! Receipts of today in place of old ones, verdicts of today, and a ledger that shows two histories.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use markstein_client::{api::batch_state::State, time::now};
use markstein_proto::{LeafIndex, Reason, Record, StatusChange, receipt::Receipt, status::Status};
use markstein_tests::{
    client::{Client, Run},
    cluster::Cluster,
    craft::Signer,
    files::{copy_folder, receipt_of},
    grpc::Api,
    process::LOOK_AGAIN,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{runtime, text};

/// A ledger of processes, a client, and a folder for all.
struct Office {
    cluster: Cluster, // dropped before its folder
    client: Client,
    genesis: PathBuf,
    folder: TempDir,
}

impl Office {
    fn open(authorities: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::prepare(&folder.path().join("ledger"), authorities, 0).unwrap();
        cluster.start_all().unwrap();
        let client = Client::new(&folder.path().join("state")).unwrap();
        Self { genesis: cluster.genesis(), cluster, client, folder }
    }

    /// A document with this text, not anchored.
    fn paper(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join("papers").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("{name}: granted")).unwrap();
        path
    }

    fn run(&self, node: usize, arguments: &[&str]) -> Run {
        let url = self.cluster.url(node).unwrap();
        let node = ["--node", &url, "--genesis", text(&self.genesis)];
        self.client.run([arguments, &node].concat()).unwrap()
    }

    /// Anchors on a node.
    fn anchor(&self, node: usize, more: &[&str]) {
        let key = self.cluster.issuer_key();
        succeeded(&self.run(node, &[&["anchor", "--key", text(&key)], more].concat()));
    }

    fn refresh(&self, node: usize, path: &Path) -> Run {
        self.run(node, &["receipt", "refresh", "--timeout", "5s", text(path)])
    }

    fn verify(&self, more: &[&str]) -> Run {
        self.client.run([&["verify", "--genesis", text(&self.genesis)], more].concat()).unwrap()
    }

    fn revoke(&self, node: usize, index: LeafIndex) {
        let signer = Signer::read(&self.cluster.issuer_key()).unwrap();
        let change = StatusChange::new(index, Status::Valid, Status::Revoked, Reason::CourtOrder).unwrap();
        let submission = signer.records(now(), &[Record::StatusChange(change)]).unwrap();
        let state = runtime().block_on(async {
            let api = Api::connect(&self.cluster.url(node).unwrap()).await.unwrap();
            api.submit_and_wait(submission.bytes()).await.unwrap()
        });
        assert!(matches!(state.state, Some(State::Final(_))), "{state:?}");
    }
}

fn succeeded(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.said());
}

/// A block is final a moment before its checkpoint has its cosignatures.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "never so");
        thread::sleep(LOOK_AGAIN);
    }
}

fn receipt(document: &Path) -> Receipt {
    Receipt::from_json(&fs::read(receipt_of(document)).unwrap()).unwrap()
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.said()))
}

#[test]
fn a_folder_of_receipts_is_refreshed_from_whoever_answers() {
    let mut office = Office::open(4);
    let papers: Vec<PathBuf> = (0..40).map(|number| office.paper(&format!("{number:02}"))).collect();
    let folder = papers[0].parent().unwrap().to_owned();
    office.anchor(0, &[text(&folder)]);
    let file = receipt_of(&papers[7]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let old = receipt(&papers[7]);
    office.revoke(1, old.record.index);
    succeeded(&office.verify(&[text(&papers[7])])); // of its own time

    // The first node named is gone; the next one answers.
    let gone = office.cluster.url(3).unwrap();
    office.cluster.kill(3).unwrap();
    let refresh = ["--json", "receipt", "refresh", "--node", &gone, text(&folder)];
    let refreshed = until(|| {
        let run = office.run(1, &refresh);
        succeeded(&run);
        (receipt(&papers[7]).changes.len() == 1).then_some(run)
    });
    let said = json(&refreshed);
    let entries = said["refreshed"].as_array().unwrap();
    assert!(entries.iter().any(|it| it["status"] == "revoked" && it["was_status"] == "valid"), "{said}");
    let new = receipt(&papers[7]);
    assert_eq!((new.salt, &new.record), (old.salt, &old.record));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let verified = office.verify(&[text(&papers[7])]);
    assert_eq!(verified.code, Some(3), "{}", verified.said());
    let others: Vec<&str> = papers.iter().filter(|it| **it != papers[7]).map(|it| text(it)).collect();
    succeeded(&office.verify(&others));

    let again = office.run(1, &["--json", "receipt", "refresh", "--older-than", "1h", text(&folder)]);
    succeeded(&again);
    assert_eq!((&json(&again)["skipped"], &json(&again)["refreshed"]), (&40.into(), &Value::Array(vec![])));
    // A document that is not there any more does not keep its receipt from being renewed.
    fs::remove_file(&papers[3]).unwrap();
    succeeded(&office.refresh(0, &papers[3]));
    fs::write(receipt_of(&papers[4]), "notes").unwrap();
    let failed = office.refresh(0, &folder);
    assert_eq!(failed.code, Some(2), "{}", failed.said());
    assert!(failed.stderr.contains("was not refreshed"), "{}", failed.said());
    let forged = Receipt { proof: old.proof[1..].to_vec(), ..old };
    fs::write(&file, forged.to_json()).unwrap();
    let failed = office.refresh(0, &file);
    assert_eq!(failed.code, Some(1), "{}", failed.said());
    assert_eq!(receipt(&papers[7]), forged);
}

#[test]
fn a_verdict_of_today_needs_no_new_receipt_and_a_public_document_needs_none() {
    let office = Office::open(1);
    let (salted, public, stranger) =
        (office.paper("salted"), office.paper("public"), office.paper("stranger"));
    office.anchor(0, &[text(&salted)]);
    office.anchor(0, &["--public", text(&public)]);
    let old = receipt(&salted);
    office.revoke(0, old.record.index);
    let online = |paper: &Path| office.run(0, &["verify", "--online", "--timeout", "5s", text(paper)]);
    until(|| (online(&salted).code == Some(3)).then_some(()));
    assert!(online(&salted).stdout.contains("genuine, but it was revoked"));
    succeeded(&office.verify(&[text(&salted)]));
    let by_range =
        |paper: &Path| office.run(0, &["verify", "--online", "--by-range", "--timeout", "5s", text(paper)]);
    let looked_up = by_range(&salted);
    assert_eq!(looked_up.code, Some(3), "{}", looked_up.said());
    for said in ["genuine, but it was revoked", "a court ordered it", "without telling a node which record"] {
        assert!(looked_up.stdout.contains(said), "{said}: {}", looked_up.said());
    }
    succeeded(&by_range(&public));
    assert_eq!(receipt(&salted), old, "nothing is written");

    fs::remove_file(receipt_of(&public)).unwrap();
    let looked_up = online(&public);
    succeeded(&looked_up);
    assert!(looked_up.stdout.contains("genuine and valid"), "{}", looked_up.said());
    fs::remove_file(receipt_of(&salted)).unwrap();
    for paper in [&salted, &stranger] {
        let unknown = online(paper);
        assert_eq!(unknown.code, Some(2), "{}", unknown.said());
        assert!(
            unknown.stdout.contains("the one node that answered knows no public record"),
            "{}",
            unknown.said()
        );
    }
    fs::write(&public, "public: refused").unwrap();
    assert_eq!(online(&public).code, Some(2), "another document has no record");
}

#[test]
fn an_older_log_and_another_history_are_named_and_kept_as_evidence() {
    let mut office = Office::open(1);
    let paper = office.paper("permit");
    office.anchor(0, &[text(&paper)]);
    let first = fs::read(receipt_of(&paper)).unwrap();
    assert!(office.cluster.stop(0).unwrap().success());
    // What no honest operator does: the same authority, run twice from one point on.
    let twin = office.cluster.adopt("twin");
    copy_folder(office.cluster.node_dir(0), office.cluster.node_dir(twin)).unwrap();
    for node in [0, twin] {
        office.cluster.start(node).unwrap();
        office.cluster.wait_ready(node).unwrap();
    }
    office.anchor(0, &[text(&office.paper("one"))]);
    succeeded(&office.refresh(0, &paper));
    let seen = fs::read(receipt_of(&paper)).unwrap();
    assert_ne!(seen, first);

    // The twin is behind now: for the receipt at hand, and for an older one by what this client remembers.
    for bytes in [&seen, &first] {
        fs::write(receipt_of(&paper), bytes).unwrap();
        let behind = office.refresh(twin, &paper);
        assert_eq!(behind.code, Some(2), "{}", behind.said());
        let url = office.cluster.url(twin).unwrap();
        let named = format!("{url}: shows an older log than was seen before");
        assert!(behind.stderr.contains(&named), "{}", behind.said());
        assert_eq!(&fs::read(receipt_of(&paper)).unwrap(), bytes);
    }
    let behind = office.run(twin, &["verify", "--online", "--timeout", "1s", text(&paper)]);
    assert_eq!(behind.code, Some(2), "{}", behind.said());

    // As long as the other one: the roots tell.
    office.anchor(twin, &[text(&office.paper("other"))]);
    let forked = office.refresh(twin, &paper);
    assert_eq!(forked.code, Some(4), "{}", forked.said());
    assert!(forked.stderr.contains("TWO HISTORIES: the authorities signed two logs"), "{}", forked.said());
    assert_eq!(fs::read(receipt_of(&paper)).unwrap(), first);
    assert_eq!(office.run(twin, &["verify", "--online", text(&paper)]).code, Some(4));

    // Longer than the other one: the proof that was to link them shows that it has another beginning.
    office.anchor(twin, &[text(&office.paper("more"))]);
    let longer = office.run(twin, &["--json", "receipt", "refresh", text(&paper)]);
    assert_eq!(longer.code, Some(4), "{}", longer.said());
    assert_eq!(fs::read(receipt_of(&paper)).unwrap(), first);
    let fork = &json(&longer)["fork"];
    assert_eq!(fork["verdict"], "two_logs", "{fork}");
    assert_eq!(fork["signed_both"].as_array().unwrap().len(), 1);

    // Anybody checks both files, without a network and without this client's state.
    let third_party = Client::new(&office.folder.path().join("third party")).unwrap();
    let check = |file: &Path| {
        let arguments = ["receipt", "evidence", "--genesis", text(&office.genesis), text(file)];
        third_party.run(arguments).unwrap()
    };
    let by_proof = PathBuf::from(fork["evidence"].as_str().unwrap());
    let evidence: Vec<PathBuf> =
        fs::read_dir(by_proof.parent().unwrap()).unwrap().map(|it| it.unwrap().path()).collect();
    assert_eq!(evidence.len(), 2, "one file for each two logs");
    for file in &evidence {
        let proven = check(file);
        succeeded(&proven);
        assert!(proven.stdout.contains("TWO LOGS: a quorum signed two logs"), "{}", proven.said());
    }
    let altered = office.folder.path().join("altered.json");
    let mut without_proof: Value = serde_json::from_slice(&fs::read(&by_proof).unwrap()).unwrap();
    without_proof["proof"] = "".into();
    fs::write(&altered, without_proof.to_string()).unwrap();
    let open = check(&altered);
    assert_eq!(open.code, Some(3), "{}", open.said());
    assert!(open.stdout.contains("NOT LINKED"), "{}", open.said());
    fs::write(&altered, fs::read_to_string(&by_proof).unwrap().replacen("\\n\\n— ", "\\n\\n— x", 1)).unwrap();
    let refused = check(&altered);
    assert_eq!(refused.code, Some(1), "{}", refused.said());
    fs::write(&altered, "{}").unwrap();
    assert_eq!(check(&altered).code, Some(2));

    // The honest history goes on.
    succeeded(&office.refresh(0, &paper));
}
