//! The public RFC 6962 proof vectors of transparency-dev/merkle, good and bad (see `vectors/SOURCES.md`).
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use markstein_proto::Hash;
use markstein_proto::log::{verify_consistency, verify_inclusion};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inclusion {
    leaf_idx: u64,
    tree_size: u64,
    root: String,
    leaf_hash: String,
    proof: Option<Vec<String>>,
    desc: String,
    want_err: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Consistency {
    size1: u64,
    size2: u64,
    root1: String,
    root2: String,
    proof: Option<Vec<String>>,
    desc: String,
    want_err: bool,
}

/// The hash as the vector has it. An empty one is refused here, by our type, which cannot hold it. Words that stand in
/// for a hash ("dont care 1") are filled up with zeros: they stay equal or different as they were.
fn hash(text: &str) -> Result<Hash, String> {
    let mut bytes = STANDARD.decode(text).unwrap();
    if !bytes.is_empty() && bytes.len() < 32 {
        bytes.resize(32, 0);
    }
    Hash::try_from(&bytes[..]).map_err(|error| error.to_string())
}

fn hashes(proof: &Option<Vec<String>>) -> Result<Vec<Hash>, String> {
    proof.iter().flatten().map(|text| hash(text)).collect()
}

impl Inclusion {
    fn check(&self) -> Result<(), String> {
        let (leaf, root, proof) = (hash(&self.leaf_hash)?, hash(&self.root)?, hashes(&self.proof)?);
        verify_inclusion(&leaf, self.leaf_idx, self.tree_size, &proof, &root)
            .map_err(|error| error.to_string())
    }
}

impl Consistency {
    fn check(&self) -> Result<(), String> {
        let (root1, root2, proof) = (hash(&self.root1)?, hash(&self.root2)?, hashes(&self.proof)?);
        verify_consistency(self.size1, &root1, self.size2, &root2, &proof).map_err(|error| error.to_string())
    }
}

/// Every file below a folder, with its name for messages.
fn vectors<T: DeserializeOwned>(kind: &str) -> Vec<(PathBuf, T)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/transparency-dev-merkle/testdata");
    let mut folders = vec![root.join(kind)];
    let mut found = vec![];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let vector = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                found.push((path, vector));
            }
        }
    }
    found
}

#[test]
fn inclusion() {
    let vectors: Vec<(PathBuf, Inclusion)> = vectors("inclusion");
    assert_eq!(vectors.len(), 98);
    for (path, v) in vectors {
        let result = v.check();
        assert_eq!(result.is_err(), v.want_err, "{}: {}: {result:?}", path.display(), v.desc);
    }
}

#[test]
fn consistency() {
    let vectors: Vec<(PathBuf, Consistency)> = vectors("consistency");
    assert_eq!(vectors.len(), 98);
    for (path, v) in vectors {
        let result = v.check();
        assert_eq!(result.is_err(), v.want_err, "{}: {}: {result:?}", path.display(), v.desc);
    }
}
