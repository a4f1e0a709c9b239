//! For tests: a ledger of one authority in memory that makes real receipts, and a node in front of it that fails on
//! demand.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use markstein_proto::{
    AuthorityEntry, BATCH_AGE_MAX_MS, Batch, BatchId, DocumentDigest, Genesis, Hash, Header, IssuerId, Leaf,
    LeafIndex, LogSize, SecretKey, TimeMs, View,
    log::{self, Levels, multiproof},
    note::{Checkpoint, KeyName, SignedCheckpoint, sign_cosignature},
    receipt::{PlacedLeaf, Receipt, TrustRoot},
    status::{self, Overlay, Status, StatusDelta, StatusProof, StatusReader},
};
use prost::bytes::Bytes;

use crate::{
    batches::{Statement, plan},
    entry::{Entry, Signer},
    keys::IssuerKey,
    node::{EXPIRED, Failure, Node, NodeError, Outcome, ReceiptStream},
    scan::Document,
};

/// The time of every test, unless it says another.
pub const NOW: TimeMs = TimeMs(1_795_000_000_000);

/// The issuer that may anchor one type of documents.
pub fn issuer() -> IssuerKey {
    issuer_key("permits.example", 1)
}

/// The issuer that may anchor two.
pub fn registry() -> IssuerKey {
    issuer_key("registry.example", 2)
}

fn issuer_key(id: &str, seed: u8) -> IssuerKey {
    IssuerKey { issuer: IssuerId::new(id).unwrap(), ledger: None, key: SecretKey::from_seed(&[seed; 32]) }
}

pub fn digest(content: &str) -> DocumentDigest {
    DocumentDigest(Hash::of(&[content.as_bytes()]))
}

pub fn document(name: &str) -> Document {
    Document { path: format!("/{name}").into(), receipt: format!("/{name}.markstein.json").into() }
}

/// A journal entry for documents with these contents, with salts that follow from them.
pub fn entry(contents: &[&str], now: TimeMs) -> Entry {
    entry_of(contents, Statement { document_type: 1, public: false, valid_until: None }, now)
}

pub fn entry_of(contents: &[&str], statement: Statement, now: TimeMs) -> Entry {
    let documents = contents.iter().map(|c| (document(c), digest(c))).collect();
    let mut salts = 0;
    let draw = |salt: &mut [u8]| -> Result<(), std::convert::Infallible> {
        salts += 1;
        salt[0] = salts;
        Ok(())
    };
    let planned = plan(documents, statement, 10_000, draw).unwrap().remove(0);
    let (ledger, key) = (Ledger::new().trust.ledger_id(), issuer());
    Entry::sign(planned, Signer { ledger, issuer: &key.issuer, key: &key.key }, now).unwrap()
}

/// All chunks zero.
struct AllValid;

impl StatusReader for AllValid {
    type Error = std::convert::Infallible;

    fn chunk(&self, _: u64) -> Result<Option<status::Chunk>, Self::Error> {
        Ok(None)
    }

    fn node(&self, _: u8, _: u64) -> Result<Option<Hash>, Self::Error> {
        Ok(None)
    }
}

/// A ledger with one authority.
pub struct Ledger {
    trust: TrustRoot,
    leaves: Vec<Vec<u8>>,
    headers: Vec<Header>,
    heads: BTreeMap<BatchId, u64>,
    statuses: StatusDelta,
    /// When the newest checkpoint is cosigned.
    pub cosigned_at: TimeMs,
    /// How often each commitment stands in the ledger: more than once means anchored twice.
    pub anchored: BTreeMap<Hash, usize>,
}

impl Ledger {
    pub fn new() -> Self {
        let genesis = genesis();
        let batch = genesis.batch();
        let header = genesis.header();
        let records = batch.records().iter().map(|r| r.bytes.to_vec());
        let mut leaves: Vec<Vec<u8>> = std::iter::once(batch.head_leaf().to_vec()).chain(records).collect();
        leaves.push(Leaf::Header(header.clone()).encode());
        Self {
            trust: TrustRoot::new(genesis),
            leaves,
            headers: vec![header],
            heads: BTreeMap::new(),
            statuses: StatusDelta::default(),
            cosigned_at: NOW,
            anchored: BTreeMap::new(),
        }
    }

    pub fn trust(&self) -> &TrustRoot {
        &self.trust
    }

    /// Puts a batch into a block of its own. Putting it in again does nothing.
    pub fn append(&mut self, batch: &Batch, time: TimeMs) {
        if self.heads.contains_key(&batch.id()) {
            return;
        }
        let first = self.leaves.len() as u64;
        self.heads.insert(batch.id(), first);
        self.leaves.push(batch.head_leaf().to_vec());
        for record in batch.records() {
            *self.anchored.entry(record.hash).or_default() += 1;
            self.leaves.push(record.bytes.to_vec());
        }
        self.close(first, time);
    }

    /// Sets a status as if a record had done so, in an otherwise empty block.
    pub fn set_status(&mut self, index: LeafIndex, status: Status, time: TimeMs) {
        let Ok(delta) = status::apply(
            &Overlay { delta: &self.statuses, parent: &AllValid },
            &BTreeMap::from([(index.0, status)]),
        );
        self.statuses.merge(delta);
        self.close(self.leaves.len() as u64, time);
    }

    fn close(&mut self, first: u64, time: TimeMs) {
        let parent = self.headers.last().unwrap();
        let size = self.leaves.len() as u64;
        let Ok(status_root) =
            status::status_root(&Overlay { delta: &self.statuses, parent: &AllValid }, size);
        let header = Header {
            height: parent.height.next(),
            view: View(size),
            parent: parent.block_id(),
            time,
            first_index: LeafIndex(first),
            size_before: LogSize(size),
            root_before: self.levels().root(),
            status_root,
            ..parent.clone()
        };
        self.leaves.push(Leaf::Header(header.clone()).encode());
        self.headers.push(header);
    }

    fn levels(&self) -> Levels {
        Levels::new(self.leaves.iter().map(|leaf| log::leaf_hash(leaf)).collect())
    }

    fn placed(&self, index: u64) -> PlacedLeaf {
        PlacedLeaf { index: LeafIndex(index), bytes: self.leaves[index as usize].clone() }
    }

    /// The receipts of a batch, without salts.
    pub fn receipts(&self, batch: BatchId) -> Vec<Receipt> {
        let head_index = self.heads[&batch];
        let head = Leaf::decode(&self.leaves[head_index as usize]).unwrap().into_batch_head().unwrap();
        let markstein_proto::Author::Issuer { issuer, .. } = &head.author else { unreachable!() };
        let grant = 1 + self.trust.genesis().grants.iter().position(|g| g.issuer == *issuer).unwrap() as u64;
        let header = self.headers.iter().find(|h| h.size_before.0 > head_index).unwrap();
        let latest = self.headers.last().unwrap();
        let (levels, checkpoint) = (self.levels(), self.checkpoint());
        let hashes = (1..=u64::from(head.record_count)).map(|i| levels.leaves()[(head_index + i) as usize]);
        let records = Levels::new(hashes.collect());
        let statuses = Overlay { delta: &self.statuses, parent: &AllValid };
        let receipt = |position: u64| {
            let record = head_index + 1 + position;
            let mut indices = vec![grant, head_index, record, header.index().0, latest.index().0];
            indices.dedup();
            Receipt {
                salt: None,
                record: self.placed(record),
                batch_head: self.placed(head_index),
                batch_path: records.path(position).unwrap(),
                grant: self.placed(grant),
                header: self.placed(header.index().0),
                latest_header: self.placed(latest.index().0),
                proof: multiproof::prove(&levels, &indices, levels.size()).unwrap(),
                status: StatusProof::prove(
                    &statuses,
                    &[LeafIndex(record), LeafIndex(grant)],
                    latest.size_before,
                )
                .unwrap(),
                checkpoint: checkpoint.clone(),
                handovers: Vec::new(),
            }
        };
        (0..u64::from(head.record_count)).map(receipt).collect()
    }

    fn checkpoint(&self) -> String {
        let levels = self.levels();
        let origin = &self.trust.genesis().origin;
        let checkpoint = Checkpoint::new(origin, LogSize(levels.size()), levels.root()).unwrap();
        let name = KeyName::new(&format!("{origin}/neustadt")).unwrap();
        let key = SecretKey::from_seed(&[12; 32]);
        let line = sign_cosignature(&key, &name, &checkpoint.to_text(), self.cosigned_at.0 / 1000).unwrap();
        SignedCheckpoint::with_signatures(checkpoint, [line]).unwrap().to_string()
    }
}

fn genesis() -> Genesis {
    let public = |seed| hex::encode(SecretKey::from_seed(&[seed; 32]).public().to_bytes());
    let authority = AuthorityEntry {
        id: "neustadt".into(),
        name: "Stadt Neustadt".into(),
        consensus_key: public(11),
        cosigner_key: public(12),
        log_key: public(13),
        governance_key: public(14),
        network_key: public(15),
    };
    let authority = authority.to_toml();
    let text = format!(
        r#"
version = 1
origin = "neustadt.example/test"
nonce = "{nonce}"
time_ms = {time}
[parameters]
recosign_interval_ms = 60000
document_types = [{{ code = 1, name = "building-permit" }}, {{ code = 2, name = "certificate" }}]
[[authorities]]
{authority}
[[issuers]]
id = "permits.example"
name = "Bauaufsicht Neustadt"
document_types = ["building-permit"]
keys = [{{ public_key = "{permits}" }}]
[[issuers]]
id = "registry.example"
name = "Standesamt Neustadt"
document_types = ["building-permit", "certificate"]
keys = [{{ public_key = "{registry}" }}]
"#,
        nonce = "07".repeat(32),
        time = NOW.0 - 1_000_000,
        permits = hex::encode(issuer().key.public().to_bytes()),
        registry = hex::encode(registry().key.public().to_bytes()),
    );
    Genesis::from_toml(&text).unwrap()
}

/// How a node fails the next time it is asked.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A batch does not reach it.
    BeforeSubmit(Failure),
    /// It takes the batch, and its answer is lost.
    AfterSubmit,
    /// It decides against the batch for good.
    Refuse(&'static str),
    /// Its receipts break off after this many.
    CutReceipts(usize),
    /// It sends this many good receipts and then rubbish.
    BadReceipts(usize),
}

/// A node in this process; clones share one ledger.
#[derive(Clone)]
pub struct FakeNode {
    pub name: String,
    pub ledger: Arc<Mutex<Ledger>>,
    pub faults: Arc<Mutex<VecDeque<Fault>>>,
    /// Batches as they were submitted.
    pub submitted: Arc<Mutex<Vec<BatchId>>>,
}

impl FakeNode {
    pub fn new() -> Self {
        Self {
            name: "fake".into(),
            ledger: Arc::new(Mutex::new(Ledger::new())),
            faults: Arc::default(),
            submitted: Arc::default(),
        }
    }

    /// Another node of the same ledger.
    pub fn another(&self, name: &str) -> Self {
        Self { name: name.into(), faults: Arc::default(), ..self.clone() }
    }

    pub fn fail(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    fn fault(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        if faults.front().is_some_and(wanted) { faults.pop_front() } else { None }
    }

    fn error(&self, kind: Failure) -> NodeError {
        NodeError::new(&self.name, kind, "fault of the test")
    }
}

impl Node for FakeNode {
    fn name(&self) -> &str {
        &self.name
    }

    async fn genesis(&self) -> Result<Vec<u8>, NodeError> {
        Ok(self.ledger.lock().unwrap().trust().genesis().encode())
    }

    async fn submit(&self, batch: Bytes) -> Result<Outcome, NodeError> {
        tokio::time::sleep(Duration::ZERO).await;
        let batch = Batch::decode(batch).unwrap();
        self.submitted.lock().unwrap().push(batch.id());
        let about_submit =
            |f: &Fault| matches!(f, Fault::BeforeSubmit(_) | Fault::AfterSubmit | Fault::Refuse(_));
        let fault = self.fault(about_submit);
        match fault {
            Some(Fault::BeforeSubmit(kind)) => return Err(self.error(kind)),
            Some(Fault::Refuse(reason)) => {
                return Ok(Outcome::Refused { reason: reason.into(), message: "fault of the test".into() });
            }
            _ if batch.head().created_at.0 + BATCH_AGE_MAX_MS < NOW.0 => {
                return Ok(Outcome::Refused { reason: EXPIRED.into(), message: "the 24 h rule".into() });
            }
            _ => self.ledger.lock().unwrap().append(&batch, NOW),
        }
        if fault.is_some() { Err(self.error(Failure::Away)) } else { Ok(Outcome::Final) }
    }

    async fn receipts(&self, batch: BatchId, first: u32) -> Result<ReceiptStream, NodeError> {
        let receipts = self.ledger.lock().unwrap().receipts(batch);
        let json = receipts.iter().skip(first as usize).map(|r| Ok(r.to_json().into_bytes()));
        let mut items: Vec<Result<Vec<u8>, NodeError>> = json.collect();
        match self.fault(|f| matches!(f, Fault::CutReceipts(_) | Fault::BadReceipts(_))) {
            Some(Fault::CutReceipts(after)) => {
                items.truncate(after);
                items.push(Err(self.error(Failure::Away)));
            }
            Some(Fault::BadReceipts(after)) => {
                items.truncate(after);
                items.push(Ok(b"{}".to_vec()));
            }
            _ => {}
        }
        Ok(Box::pin(tokio_stream::iter(items)))
    }
}
