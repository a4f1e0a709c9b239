//! What a ledger of four authorities serves and what the client exports of it, as files that third parties are given.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use markstein_client::time::now;
use markstein_proto::{
    log::tile::{EntryBundle, FULL_WIDTH, Tile},
    note::SignedCheckpoint,
};
use markstein_tests::{
    client::Client,
    craft::{Paper, Signer},
    devnet::Devnet,
    files::receipt_of,
    grpc::Api,
    http,
    random::Random,
};

/// Authorities, so that a quorum is not everybody.
const AUTHORITIES: usize = 4;
/// Records besides the one that is exported: more than a full tile.
const OTHERS: usize = 300;

/// Files by their names: `policy` (tlog-policy), `checkpoint`, `proof` (tlog-proof), the tiles by their paths, and in `cose`
/// the key set, the record and the receipts.
#[derive(Clone, Debug)]
pub struct Exports(BTreeMap<String, Vec<u8>>);

impl Exports {
    /// Those of a real ledger, which has stopped by then.
    pub fn made() -> &'static Self {
        static MADE: OnceLock<Exports> = OnceLock::new();
        MADE.get_or_init(make)
    }

    pub const fn of(files: BTreeMap<String, Vec<u8>>) -> Self {
        Self(files)
    }

    pub fn bytes(&self, name: &str) -> Result<&[u8], String> {
        self.0.get(name).map(Vec::as_slice).ok_or_else(|| format!("there is no {name}"))
    }

    pub fn text(&self, name: &str) -> Result<&str, String> {
        std::str::from_utf8(self.bytes(name)?).map_err(|e| e.to_string())
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The same with other bytes under one name.
    pub fn with(&self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let mut files = self.0.clone();
        files.insert(name.to_owned(), bytes.into());
        Self(files)
    }

    /// Writes them below a folder.
    pub fn write(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

fn make() -> Exports {
    let folder = tempfile::tempdir().unwrap();
    let devnet = Devnet::start_with(&folder.path().join("ledger"), AUTHORITIES, 0).unwrap();
    let client = Client::new(&folder.path().join("state")).unwrap();
    let run = |arguments: &[&str]| {
        let run = client.run(arguments).unwrap();
        assert_eq!(run.code, Some(0), "{arguments:?}: {}", run.said());
    };
    fill(&devnet);

    let (genesis, key) = (devnet.genesis(), devnet.issuer_key());
    let (genesis, key, url) = (genesis.to_str().unwrap(), key.to_str().unwrap(), devnet.url());
    let document = folder.path().join("decision.txt");
    fs::write(&document, "granted").unwrap();
    let document = document.to_str().unwrap();
    run(&["anchor", "--node", url, "--key", key, "--genesis", genesis, "--type", "decision", document]);
    let receipt = receipt_of(Path::new(document));
    let receipt = receipt.to_str().unwrap();
    let made = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (policy, proof) = (made("policy"), made("proof"));
    run(&["genesis", "export", "--format", "tlog-policy", "--out", &policy, genesis]);
    let of_node = ["--node", url, "--genesis", genesis];
    run(&[&["receipt", "export", "--format", "tlog-proof"], &of_node[..], &["--out", &proof, receipt]]
        .concat());

    let (keys, cose) = (made("keys"), made("cose"));
    run(&["genesis", "export", "--format", "cose-keys", "--out", &keys, genesis]);
    let nodes = devnet.nodes().iter().flat_map(|node| ["--node", node.grpc.as_str()]);
    let cose_export =
        ["receipt", "export", "--format", "cose", "--genesis", genesis, "--out", &cose, receipt];
    run(&cose_export.into_iter().chain(nodes).collect::<Vec<_>>());

    let mut files: BTreeMap<String, Vec<u8>> = [("policy", policy), ("proof", proof), ("cose/keys", keys)]
        .map(|(name, path)| (name.into(), fs::read(path).unwrap()))
        .into();
    for entry in fs::read_dir(cose).unwrap() {
        let path = entry.unwrap().path();
        files
            .insert(format!("cose/{}", path.file_name().unwrap().to_str().unwrap()), fs::read(path).unwrap());
    }
    let mut get = |path: String| {
        let answer = http::get(url, &format!("/{path}")).unwrap();
        assert_eq!(answer.code, 200, "{path}");
        files.insert(path, answer.body.clone());
        answer.body
    };
    let checkpoint = SignedCheckpoint::parse(&get("checkpoint".into())).unwrap();
    let size = checkpoint.checkpoint().size().0;
    assert!(size > u64::from(FULL_WIDTH), "{size}");
    for level in 0..2 {
        for tile in (0..).map_while(|index| Tile::in_log(level, index, size)) {
            get(tile.path());
        }
    }
    for bundle in (0..).map_while(|index| EntryBundle::in_log(index, size)) {
        get(bundle.path());
    }
    Exports(files)
}

fn fill(devnet: &Devnet) {
    let mut random = Random::new(11);
    let papers = (0..OTHERS).map(|_| Paper::random(&mut random)).collect();
    let signer = Signer::read(&devnet.issuer_key()).unwrap();
    let submission = signer.submission(now(), papers).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let api = Api::connect(devnet.url()).await.unwrap();
        api.submit_and_wait(submission.bytes()).await.unwrap();
    });
}
