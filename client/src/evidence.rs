//! Two logs of one ledger that a quorum signed, kept so that anybody can check it without a network.
//!
//! The file is JSON: `format`, `ledger`, `older` and `newer` (a receipt each, without its salt), `proof` (base64 of the
//! hashes that a node gave to link them, one after the other), and what nobody can check: `node` and `found_at`.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use markstein_proto::{
    Hash,
    encoding::{base64_decode, base64_encode},
    receipt::{NotVerified, RECEIPT_MAX, Receipt, ReceiptError, TrustRoot, Voucher},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    refresh::Fork,
    seen::{Conflict, SeenLog},
    time::{now, rfc3339},
};

/// First entry of every such file.
const FORMAT: &str = "markstein-fork-evidence/v1";
/// Longest file, in bytes: two receipts, indented once more, and a little around them.
const EVIDENCE_MAX: usize = 3 * RECEIPT_MAX;
/// Longest proof, in hashes.
const PROOF_MAX: usize = 128;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Evidence {
    format: String,
    ledger: String,
    older: Value,
    newer: Value,
    proof: String,
    node: String,
    found_at: String,
}

/// What a file of evidence shows.
#[derive(Debug)]
pub struct Finding {
    /// What excludes that the two are one log; none where only a proof is missing that they are.
    pub conflict: Option<Conflict>,
    /// The shorter log.
    pub older: SeenLog,
    /// The longer one.
    pub newer: SeenLog,
    /// Who signed both.
    pub signed_both: Vec<Voucher>,
}

/// Why a file shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The system's word.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not such a file.
    #[error("this is no evidence of two logs: {0}")]
    Malformed(String),
    /// Of a later release.
    #[error("this evidence has the format {0:?}, this release knows {FORMAT}: use a newer release")]
    UnknownFormat(String),
    /// One of the two is no receipt.
    #[error("the {which} log: {source}")]
    Receipt {
        /// Which of the two.
        which: &'static str,
        /// What is wrong.
        source: ReceiptError,
    },
    /// One of the two is not signed as it must be.
    #[error("the {which} log is not one that a quorum signed: {source}")]
    NotVerified {
        /// Which of the two.
        which: &'static str,
        /// What is wrong.
        source: NotVerified,
    },
    /// They are one log.
    #[error("the two are one log: the longer one extends the shorter one, as the proof in the file shows")]
    OneLog,
}

impl EvidenceError {
    /// Whether the file was read, and shows nothing; otherwise it could not be checked.
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        match self {
            Self::NotVerified { source, .. } => !source.is_unknown_version(),
            Self::OneLog => true,
            _ => false,
        }
    }
}

/// Writes evidence into a folder that is made where needed, and says where. The same two logs have one name, and what shows
/// that they exclude each other takes the place of what does not.
///
/// # Errors
/// [`EvidenceError::Io`].
pub fn keep(folder: &Path, fork: &Fork, trust: &TrustRoot) -> Result<PathBuf, EvidenceError> {
    let io = |path: &Path| {
        let path = path.to_path_buf();
        |source| EvidenceError::Io { path, source }
    };
    let name = Hash::of(&[&fork.older.root().0, &fork.newer.root().0]).to_string();
    let name = format!("fork-{}-{}-{}.json", fork.older.size(), fork.newer.size(), &name[..16]);
    let (path, unfinished) = (folder.join(&name), folder.join(format!(".{name}.part")));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io(folder))?;
    if check_file(&path, trust).is_ok_and(|kept| kept.conflict.is_some() || fork.conflict.is_none()) {
        return Ok(path);
    }
    let text = to_json(fork, trust);
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut file = file.map_err(io(&unfinished))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io(&unfinished))?;
    fs::rename(&unfinished, &path).map_err(io(&path))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))?;
    Ok(path)
}

fn to_json(fork: &Fork, trust: &TrustRoot) -> String {
    let value =
        |log: &SeenLog| serde_json::from_str(&log.receipt().to_json()).expect("a receipt is written as JSON");
    let evidence = Evidence {
        format: FORMAT.into(),
        ledger: trust.ledger_id().to_string(),
        older: value(&fork.older),
        newer: value(&fork.newer),
        proof: base64_encode(&fork.proof.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>()),
        node: fork.node.clone(),
        found_at: rfc3339(now()),
    };
    let mut json = serde_json::to_string_pretty(&evidence).expect("texts and values have a JSON form");
    json.push('\n');
    json
}

/// Reads and checks a file of evidence.
///
/// # Errors
/// See [`EvidenceError`].
pub fn check_file(path: &Path, trust: &TrustRoot) -> Result<Finding, EvidenceError> {
    let io = |source| EvidenceError::Io { path: path.into(), source };
    let mut bytes = Vec::new();
    File::open(path).map_err(io)?.take(EVIDENCE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    check(&bytes, trust)
}

/// Checks evidence: both logs are signed by a quorum, and they exclude each other or are not linked by the proof.
///
/// # Errors
/// See [`EvidenceError`].
pub fn check(json: &[u8], trust: &TrustRoot) -> Result<Finding, EvidenceError> {
    if json.len() > EVIDENCE_MAX {
        return Err(EvidenceError::Malformed(format!("it has more than {EVIDENCE_MAX} bytes")));
    }
    let malformed = |e: String| EvidenceError::Malformed(e.chars().take(200).collect());
    let value: Value = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
    match value.get("format").and_then(Value::as_str) {
        Some(FORMAT) => {}
        Some(other) => return Err(EvidenceError::UnknownFormat(other.chars().take(64).collect())),
        None => return Err(malformed("it has no format".into())),
    }
    // Of a value with two entries of one name one would be lost.
    let file: Evidence = serde_json::from_slice(json).map_err(|e| malformed(e.to_string()))?;
    let proof = base64_decode(&file.proof, 32 * PROOF_MAX).map_err(|e| malformed(format!("proof: {e}")))?;
    let (proof, rest) = proof.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(malformed("proof: it is not made of hashes".into()));
    }
    let proof: Vec<Hash> = proof.iter().map(|hash| Hash(*hash)).collect();
    let (older, newer) = (log("older", &file.older, trust)?, log("newer", &file.newer, trust)?);
    let conflict = older.conflict(&newer).or_else(|| older.conflict_shown(&newer, &proof));
    if conflict.is_none() && older.check_extended_by(&newer, &proof).is_ok() {
        return Err(EvidenceError::OneLog);
    }
    if newer.size() < older.size() {
        return Err(malformed("its logs are not in the order of their sizes".into()));
    }
    let signed_both = older.signed_both(&newer);
    Ok(Finding { conflict, older, newer, signed_both })
}

fn log(which: &'static str, value: &Value, trust: &TrustRoot) -> Result<SeenLog, EvidenceError> {
    let receipt = Receipt::from_json(value.to_string().as_bytes());
    let receipt = receipt.map_err(|source| EvidenceError::Receipt { which, source })?;
    let seen = SeenLog::verify(&receipt, trust);
    Ok(seen.map_err(|source| EvidenceError::NotVerified { which, source })?.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::receipt::ReceiptError;

    use super::*;
    use crate::testing::{Ledger, NOW, entry};

    fn seen(ledger: &Ledger) -> SeenLog {
        let receipt = ledger.receipts(entry(&["a"], NOW).batch().id()).remove(0);
        SeenLog::verify(&receipt, ledger.trust()).unwrap().0
    }

    fn fork(one: &Ledger, other: &Ledger, proof: Vec<Hash>) -> Fork {
        let (one, other) = (seen(one), seen(other));
        Fork::new(one.conflict(&other), &one, &other, proof, "node")
    }

    fn kept(fork: &Fork) -> (tempfile::TempDir, PathBuf, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = keep(&dir.path().join("evidence"), fork, Ledger::with_a_and(&[]).trust()).unwrap();
        assert_eq!(
            keep(&dir.path().join("evidence"), fork, Ledger::with_a_and(&[]).trust()).unwrap(),
            path,
            "kept once"
        );
        let text = fs::read_to_string(&path).unwrap();
        (dir, path, text)
    }

    #[test]
    fn two_logs_are_shown_to_a_third_party() {
        let (b, c) = (Ledger::with_a_and(&["b"]), Ledger::with_a_and(&["c"]));
        let (_dir, path, text) = kept(&fork(&b, &c, Vec::new()));
        assert!(!text.contains("\"salt\""));
        let finding = check_file(&path, b.trust()).unwrap();
        assert_eq!((finding.conflict, finding.signed_both.len()), (Some(Conflict::Roots), 1));
    }

    #[test]
    fn what_the_proof_shows_is_told() {
        let (b, long) = (Ledger::with_a_and(&["b"]), Ledger::with_a_and(&["c", "d"]));
        let proof = long.consistency(seen(&b).size(), seen(&long).size());
        let (_dir, path, _) = kept(&fork(&b, &long, proof.clone()));
        assert_eq!(check_file(&path, b.trust()).unwrap().conflict, Some(Conflict::Beginning));
        let (_dir, path, _) = kept(&fork(&b, &long, proof[1..].to_vec()));
        assert_eq!(check_file(&path, b.trust()).unwrap().conflict, None);

        let extended = Ledger::with_a_and(&["b", "d"]);
        let proof = extended.consistency(seen(&b).size(), seen(&extended).size());
        let (_dir, path, _) = kept(&fork(&b, &extended, proof.clone()));
        let error = check_file(&path, b.trust()).unwrap_err();
        assert!(matches!(error, EvidenceError::OneLog) && error.is_verdict(), "{error}");
        let (_dir, path, _) = kept(&fork(&b, &extended, proof[1..].to_vec()));
        assert_eq!(check_file(&path, b.trust()).unwrap().conflict, None, "nothing shows that they are one");
    }

    #[test]
    fn what_decides_takes_the_place_of_what_does_not_and_stays() {
        let (b, long) = (Ledger::with_a_and(&["b"]), Ledger::with_a_and(&["c", "d"]));
        let proof = long.consistency(seen(&b).size(), seen(&long).size());
        let decides = fork(&b, &long, proof.clone());
        let decides = Fork { conflict: decides.older.conflict_shown(&decides.newer, &proof), ..decides };
        let open = Fork { conflict: None, proof: proof[1..].to_vec(), ..decides.clone() };
        let dir = tempfile::tempdir().unwrap();
        let shown = |fork: &Fork| {
            let path = keep(dir.path(), fork, b.trust()).unwrap();
            check_file(&path, b.trust()).unwrap().conflict
        };
        assert_eq!([&open, &decides, &open].map(shown), [None, decides.conflict, decides.conflict]);
        let path = keep(dir.path(), &open, b.trust()).unwrap();
        fs::write(&path, "cut off").unwrap();
        assert_eq!(shown(&open), None, "what is damaged is written anew");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_nobody_signed_is_no_evidence() {
        let (b, c) = (Ledger::with_a_and(&["b"]), Ledger::with_a_and(&["c"]));
        let (_dir, _, text) = kept(&fork(&b, &c, Vec::new()));
        let mut value: Value = serde_json::from_str(&text).unwrap();
        let checkpoint = value["newer"]["checkpoint"].as_str().unwrap().to_owned();
        let other = value["older"]["checkpoint"].clone();
        let refused = |change: &dyn Fn(&mut Value), part: &str| {
            let mut changed = value.clone();
            change(&mut changed);
            let error = check(changed.to_string().as_bytes(), b.trust()).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            error
        };
        let forged = checkpoint.replacen("\n\n— ", "\n\n— x", 1);
        let error =
            refused(&|v| v["newer"]["checkpoint"] = forged.clone().into(), "not one that a quorum signed");
        assert!(error.is_verdict());
        refused(&|v| v["newer"]["checkpoint"] = other.clone(), "not one that a quorum signed");
        let error = refused(&|v| v["newer"] = v["older"].clone(), "the two are one log");
        assert!(error.is_verdict());
        let error = refused(&|v| v["format"] = "markstein-fork-evidence/v2".into(), "use a newer release");
        assert!(!error.is_verdict());
        refused(&|v| v["proof"] = "AA==".into(), "not made of hashes");
        refused(&|v| v["more"] = 1.into(), "unknown field");
        let twice = text.replacen("\"node\":", "\"node\": \"other\", \"node\":", 1);
        assert!(check(twice.as_bytes(), b.trust()).unwrap_err().to_string().contains("duplicate field"));
        let error = refused(&|v| v["older"] = 1.into(), "the older log");
        assert!(matches!(error, EvidenceError::Receipt { source: ReceiptError::Malformed(_), .. }));
        value["ledger"] = "elsewhere".into();
        assert!(check(value.to_string().as_bytes(), b.trust()).is_ok(), "what is signed tells the ledger");
        assert!(check(b"", b.trust()).is_err());
    }
}
