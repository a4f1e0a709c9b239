//! The published vectors of the ledger's own formats: compared byte for byte, so that no format changes unnoticed.
//!
//! `MARKSTEIN_WRITE_VECTORS=1 cargo test -p markstein-proto --test formats vectors` writes them anew, which is a
//! deliberate, reviewed act.

use std::{collections::BTreeMap, fs, path::PathBuf};

use markstein_proto::{
    Commitment, Leaf, LeafIndex, Salt,
    cose::{CoseReceipt, key_set, sign_root, signed_message},
    domain,
    encoding::base64_encode,
    log,
    note::cosigned_message,
    receipt::{Receipt, TrustRoot},
};
use serde::Serialize;

use crate::{
    cases::{self, Facts, receipt_of},
    receipt_file,
    support::{
        HOUR_MS, Ledger, ORIGIN, PERMITS, START_MS, anchor, digest, document, genesis, salt, secret, seed,
    },
};

/// Compares with the published file, or writes it where that is asked for.
fn compare(name: &str, value: &impl Serialize) {
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/markstein").join(name);
    if std::env::var_os("MARKSTEIN_WRITE_VECTORS").is_some_and(|value| value == "1") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(published.lines()).position(|(new, old)| new != old);
    assert!(text == published, "{name} differs from what is published, first in line {differs:?} (from 0)");
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    rule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

#[derive(Serialize)]
struct Chain {
    about: &'static str,
    steps: Vec<Step>,
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn hex(&mut self, name: &'static str, rule: &'static str, bytes: impl AsRef<[u8]>) {
        self.0.push(Step { name, rule, text: None, hex: Some(hex::encode(bytes)) });
    }

    fn text(&mut self, name: &'static str, rule: &'static str, text: impl Into<String>) {
        self.0.push(Step { name, rule, text: Some(text.into()), hex: None });
    }
}

/// One document on its way from its bytes to a verified receipt.
#[test]
fn the_chain_from_document_to_receipt() {
    let mut ledger = Ledger::new(genesis(1));
    let batch = ledger.batch(PERMITS, START_MS + HOUR_MS, &[anchor(1, 1), anchor(2, 2)]);
    let block = ledger.append(START_MS + HOUR_MS, &[(&batch).into()]);
    let receipt = receipt_of(&ledger, (1, &anchor(1, 1)), block, &[0]);
    assert!(receipt.verify(&TrustRoot::new(ledger.genesis.clone()), &digest(1)).is_ok());

    let mut steps = Steps::default();
    add_genesis(&mut steps, &ledger);
    add_record(&mut steps);
    add_batch(&mut steps, &ledger);
    add_log(&mut steps, &ledger, block);
    steps.text("receipt", "JSON; the bytes above in base64", receipt.to_json());
    let about = "DRAFT. One document from its bytes to its receipt. Hash is SHA-256, || joins bytes, messages are \
                 canonical protobuf of markstein.format.v1. Keys are Ed25519 with the seeds given.";
    compare("chain.json", &Chain { about, steps: steps.0 });
}

fn add_genesis(steps: &mut Steps, ledger: &Ledger) {
    let made = &ledger.genesis;
    steps.hex("issuer_seed", "secret seed of the issuer's key", seed(PERMITS, "issuer"));
    steps.hex("cosigner_seed", "secret seed of authority a0's cosigner key", seed("a0", "cosigner"));
    steps.text("genesis_file", "genesis.toml", made.to_toml());
    steps.hex("genesis", "Genesis message", made.encode());
    steps.hex("ledger_id", "hash(\"markstein/v1/ledger-id\\0\" || genesis)", ledger.id.0);
    let set = &made.authorities;
    steps.hex("authority_set", "AuthoritySet message of epoch 0", set.encode());
    let rule = "hash(\"markstein/v1/authority-set\\0\" || authority_set)";
    steps.hex("authority_set_hash", rule, set.hash());
    steps.hex(
        "block_0_batch",
        "Batch message: head without signature, then the grants",
        made.batch().bytes(),
    );
    steps.hex("block_0_header_leaf", "Leaf message", Leaf::Header(made.header()).encode());
    steps.hex("block_0_id", "hash(00 || block_0_header_leaf)", made.block_id());
}

fn add_record(steps: &mut Steps) {
    steps.text("document", "the bytes of the document, UTF-8", String::from_utf8(document(1)).unwrap());
    steps.hex("document_digest", "hash(document)", digest(1).0);
    steps.hex("salt", "32 bytes, random in real life", salt(1).0);
    let commitment = Commitment::of(&salt(1), &digest(1));
    let rule = "hash(\"markstein/v1/commitment\\0\" || salt || document_digest)";
    steps.hex("commitment", rule, commitment.0);
    let rule = "the same with the all-zero salt, as a public record has it";
    steps.hex("public_commitment", rule, Commitment::of(&Salt::PUBLIC, &digest(1)).0);
    let leaf = anchor(1, 1).to_leaf();
    steps.hex("record_leaf", "Leaf message with the Anchor", &leaf);
    steps.hex("record_leaf_hash", "hash(00 || record_leaf)", log::leaf_hash(&leaf));
}

fn add_batch(steps: &mut Steps, ledger: &Ledger) {
    let batch = ledger.batch(PERMITS, START_MS + HOUR_MS, &[anchor(1, 1), anchor(2, 2)]);
    let head = batch.head();
    let second = &batch.records()[1];
    steps.hex("second_record_leaf", "Leaf message of the batch's other record", &second.bytes);
    let rule = "hash(01 || record_leaf_hash || hash(00 || second_record_leaf))";
    steps.hex("records_root", rule, head.records_root);
    let signing_bytes = head.signing_bytes();
    let unsigned = &signing_bytes[domain::BATCH_SIGNATURE.len() + 32..];
    steps.hex("unsigned_head", "BatchHead message without signatures", unsigned);
    steps.hex("batch_id", "hash(\"markstein/v1/batch-id\\0\" || unsigned_head)", head.id().0);
    let rule = "\"markstein/v1/batch-signature\\0\" || ledger_id || unsigned_head";
    steps.hex("signing_bytes", rule, &signing_bytes);
    let (key_id, signature) = head.signatures[0];
    let rule = "first 16 bytes of hash(\"markstein/v1/key-id\\0\" || public key of the issuer)";
    steps.hex("key_id", rule, key_id.0);
    steps.hex("signature", "Ed25519 of signing_bytes with issuer_seed", signature.0);
    steps.hex("head_leaf", "Leaf message with the signed BatchHead", batch.head_leaf());
    steps.hex("batch", "Batch message: head_leaf, then the record leaves", batch.bytes());
}

fn add_log(steps: &mut Steps, ledger: &Ledger, block: usize) {
    let header = ledger.header(block);
    steps.hex("status_root", "RFC 6962 root over one chunk of 32 zero bytes", header.status_root);
    steps.hex("block_1_header_leaf", "Leaf message", Leaf::Header(header.clone()).encode());
    steps.hex("block_1_id", "hash(00 || block_1_header_leaf)", header.block_id());
    let head = ledger.tree_head(block);
    let rule =
        "RFC 6962 root over head and grants of block 0, its header, head, records and header of block 1";
    steps.hex("log_root", rule, head.root());
    let text = head.to_text();
    steps.text("checkpoint", "C2SP tlog-checkpoint", text.clone());
    let rule = "C2SP cosignature/v1: what a0 signs with cosigner_seed";
    steps.text("cosigned_message", rule, cosigned_message(&text, ledger.as_of(block, 0)));
    let rule = "C2SP signed-note signature line of type 0x04, key name = origin || \"/a0\"";
    steps.text("cosignature_line", rule, ledger.line(block, 0, &text).to_string());
    assert!(text.starts_with(ORIGIN));
}

/// The first record of the chain in a COSE receipt, and the keys of its ledger as a key set.
#[test]
fn the_cose_receipt_of_the_chain() {
    let mut ledger = Ledger::new(genesis(1));
    let batch = ledger.batch(PERMITS, START_MS + HOUR_MS, &[anchor(1, 1), anchor(2, 2)]);
    let block = ledger.append(START_MS + HOUR_MS, &[(&batch).into()]);
    let record = receipt_of(&ledger, (1, &anchor(1, 1)), block, &[0]);
    let (path, _) = record.record_path().unwrap();
    let (leaf, head) = (record.record.bytes.clone(), ledger.tree_head(block));
    let key = secret("a0", "log");
    let receipt = CoseReceipt {
        key: key.public().id(),
        size: head.size(),
        index: LeafIndex(record.record.index.0),
        path: path.clone(),
        signature: sign_root(&key, &head.root()),
    };
    assert_eq!(receipt.verify(&leaf, &ledger.genesis.authorities.authorities()[0].log_key), Ok(head.root()));

    let mut steps = Steps::default();
    steps.hex("log_seed", "secret seed of authority a0's log key", seed("a0", "log"));
    steps.hex("log_key", "its public key", key.public().to_bytes());
    let rule = "first 16 bytes of hash(\"markstein/v1/key-id\\0\" || log_key)";
    steps.hex("kid", rule, receipt.key.0);
    steps.hex("leaf", "record_leaf of chain.json", &leaf);
    steps.text("size", "leaves of the log of chain.json", head.size().to_string());
    steps.text("index", "place of the leaf, from 0", receipt.index.to_string());
    let hashes: Vec<u8> = path.iter().flat_map(|hash| hash.0).collect();
    steps.hex("path", "RFC 6962 path, hash after hash, the leaf's sibling first", hashes);
    steps.hex("root", "log_root of chain.json", head.root());
    let rule = "Sig_structure of RFC 9052: [\"Signature1\", headers, h'', root]";
    steps.hex("signed", rule, signed_message(receipt.key, &head.root()));
    steps.hex("signature", "Ed25519 of signed with log_seed", receipt.signature.0);
    steps.hex("receipt", "COSE receipt of RFC 9942, RFC9162_SHA256", receipt.encode());
    let keys = [key.public()];
    steps.hex("key_set", "COSE_KeySet of the log keys of the genesis", key_set(&keys));
    let about = "DRAFT. The record of chain.json in a COSE receipt of authority a0, and the keys that receipts of this \
                 ledger are checked with. Hash is SHA-256, || joins bytes.";
    compare("cose.json", &Chain { about, steps: steps.0 });
}

#[derive(Serialize)]
struct Receipts {
    about: &'static str,
    geneses: BTreeMap<String, String>,
    cases: Vec<Published>,
}

#[derive(Serialize)]
struct Published {
    name: String,
    genesis: String,
    document_digest: String,
    expected: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    says: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<Facts>,
    receipt: String,
}

/// The name of a variant, from what its `Debug` begins with.
fn variant(error: &impl std::fmt::Debug) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

/// Every receipt that must be accepted or refused, as the other tests have them.
#[test]
fn the_receipts_that_others_must_judge_alike() {
    let mut published = Receipts { about: RECEIPTS_ABOUT, geneses: BTreeMap::new(), cases: Vec::new() };
    for case in cases::all() {
        let id = case.genesis.ledger_id().to_string();
        published.geneses.insert(id.clone(), base64_encode(&case.genesis.encode()));
        published.cases.push(Published {
            name: case.name,
            genesis: id,
            document_digest: case.document.0.to_string(),
            expected: case.expected.as_ref().err().map_or("accept".into(), variant),
            says: case.expected.as_ref().err().map(ToString::to_string),
            facts: case.expected.ok(),
            receipt: case.receipt.to_json(),
        });
    }
    let genesis = cases::four().genesis.ledger_id().to_string();
    for (name, receipt) in receipt_file::refused_files() {
        let error = Receipt::from_json(receipt.as_bytes()).unwrap_err();
        published.cases.push(Published {
            name: format!("file: {name}"),
            genesis: genesis.clone(),
            document_digest: digest(1).0.to_string(),
            expected: variant(&error),
            says: None,
            facts: None,
            receipt,
        });
    }
    assert!(serde_json::to_string(&published).unwrap().len() < 1_000_000);
    compare("receipts.json", &published);
}

const RECEIPTS_ABOUT: &str = "DRAFT. Receipts and the verdict on each: `accept` with the facts it proves, or the name of \
    the reason for which it is refused; `says` is this release's English sentence and binds nobody. Geneses are \
    canonical Genesis messages in base64 by their ledger id, digests and ids are hex.";
