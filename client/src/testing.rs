//! For tests: a ledger of one authority in memory that makes real receipts, and a node in front of it that fails on
//! demand.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use markstein_proto::{
    Anchor, AuthorityEntry, BATCH_AGE_MAX_MS, Batch, BatchHead, BatchId, Commitment, DocumentDigest, Genesis,
    Hash, Header, IssuerId, Leaf, LeafIndex, LogSize, Reason, Record, SecretKey, StatusChange, TimeMs, View,
    log::{
        self, Levels, NodeReader, multiproof,
        tile::{EntryBundle, Tile},
    },
    note::{Checkpoint, KeyName, SignedCheckpoint, sign_cosignature},
    receipt::{ChangeLeaves, PlacedLeaf, Receipt, TrustRoot},
    status::{self, Overlay, Status, StatusDelta, StatusProof, StatusReader, StatusStep, StepError},
};
use prost::bytes::Bytes;

use crate::{
    batches::{Statement, plan},
    entry::{Entry, Signer},
    keys::IssuerKey,
    node::{
        ANOTHERS_RECORD, EXPIRED, Failure, NO_TARGET, NOT_FOUND, Node, NodeError, Outcome, PublicRecords,
        Reader, ReceiptStream, Records, STATUS_OTHER, STATUS_TERMINAL, Whose,
    },
    range::Files,
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
    entry_by(&issuer(), contents, statement, now)
}

/// The same of another issuer.
pub fn entry_by(key: &IssuerKey, contents: &[&str], statement: Statement, now: TimeMs) -> Entry {
    let documents = contents.iter().map(|c| (document(c), digest(c))).collect();
    let mut salts = 0;
    let draw = |salt: &mut [u8]| -> Result<(), std::convert::Infallible> {
        salts += 1;
        salt[0] = salts;
        Ok(())
    };
    let planned = plan(documents, statement, 10_000, draw).unwrap().remove(0);
    let ledger = Ledger::new().trust.ledger_id();
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
#[derive(Clone)]
pub struct Ledger {
    trust: TrustRoot,
    leaves: Vec<Vec<u8>>,
    headers: Vec<Header>,
    heads: BTreeMap<BatchId, u64>,
    statuses: StatusDelta,
    /// Of each record the places of those that changed its status, with the places of their heads.
    changes: BTreeMap<u64, Vec<(u64, u64)>>,
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
            changes: BTreeMap::new(),
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
            if let Some(step) = record.record.status_step() {
                self.take_step(step, first);
            }
        }
        self.close(first, time);
    }

    /// What the newest leaf, a record under the head at `head`, does to the status of another.
    fn take_step(&mut self, step: StatusStep, head: u64) {
        let (target, size) = (step.target().0, self.leaves.len() as u64);
        let tree = Overlay { delta: &self.statuses, parent: &AllValid };
        let (chunk, position) = status::chunk_of(target);
        let Ok(chunk) = tree.chunk(chunk);
        let status = step.applied_to(chunk.unwrap_or_default().get(position)).unwrap();
        let Ok(delta) = status::apply(&tree, &BTreeMap::from([(target, status)]), size);
        self.statuses.merge(delta);
        self.changes.entry(target).or_default().push((size - 1, head));
    }

    /// Why a node would not take a batch: the reason and the record that it is about.
    pub fn refusal(&self, batch: &Batch) -> Option<(&'static str, LeafIndex)> {
        let mut statuses: BTreeMap<LeafIndex, Status> = BTreeMap::new();
        for step in batch.records().iter().filter_map(|record| record.record.status_step()) {
            let target = step.target();
            let Some(batch_of_target) = self.batch_of(target) else { return Some((NO_TARGET, target)) };
            if self.head(batch_of_target).author != batch.head().author {
                return Some((ANOTHERS_RECORD, target));
            }
            let status = statuses.get(&target).copied().unwrap_or_else(|| self.status(target));
            match step.applied_to(status) {
                Ok(after) => statuses.insert(target, after),
                Err(StepError::Terminal(_)) => return Some((STATUS_TERMINAL, target)),
                Err(StepError::Other { .. }) => return Some((STATUS_OTHER, target)),
            };
        }
        None
    }

    /// The status of a record now.
    pub fn status(&self, index: LeafIndex) -> Status {
        let (chunk, position) = status::chunk_of(index.0);
        let Ok(chunk) = Overlay { delta: &self.statuses, parent: &AllValid }.chunk(chunk);
        chunk.unwrap_or_default().get(position)
    }

    /// How often its status was changed.
    pub fn changes(&self, index: LeafIndex) -> usize {
        self.changes.get(&index.0).map_or(0, Vec::len)
    }

    /// A ledger with document a, followed by these, each in a batch of its own.
    pub fn with_a_and(more: &[&str]) -> Self {
        let mut ledger = Self::new();
        ledger.append(entry(&["a"], NOW).batch(), NOW);
        more.iter().for_each(|name| ledger.append(entry(&[name], NOW).batch(), TimeMs(NOW.0 + 1)));
        ledger
    }

    /// The batch whose anchor stands there.
    fn batch_of(&self, index: LeafIndex) -> Option<BatchId> {
        let (batch, head) =
            self.heads.iter().filter(|(_, head)| **head < index.0).max_by_key(|(_, head)| **head)?;
        let leaf = Leaf::decode(self.leaves.get(index.0 as usize)?).unwrap();
        let in_batch = index.0 - head <= u64::from(self.head(*batch).record_count);
        (in_batch && matches!(leaf, Leaf::Record(Record::Anchor(_)))).then_some(*batch)
    }

    fn head(&self, batch: BatchId) -> BatchHead {
        let leaf = Leaf::decode(&self.leaves[self.heads[&batch] as usize]).unwrap();
        leaf.into_batch_head().unwrap()
    }

    /// The receipt of the anchor at a place.
    pub fn receipt_at(&self, index: LeafIndex) -> Option<Receipt> {
        let batch = self.batch_of(index)?;
        let position = (index.0 - self.heads[&batch] - 1) as usize;
        Some(self.receipts(batch).remove(position))
    }

    /// Where a public commitment stands, by issuer.
    pub fn lookup(&self, commitment: Commitment) -> Vec<(IssuerId, Vec<LeafIndex>)> {
        let is_it = |leaf: &Vec<u8>| match Leaf::decode(leaf) {
            Ok(Leaf::Record(Record::Anchor(anchor))) => anchor.public && anchor.commitment == commitment,
            _ => false,
        };
        let places =
            (0..).zip(&self.leaves).filter(|(_, leaf)| is_it(leaf)).map(|(index, _)| LeafIndex(index));
        let mut found = BTreeMap::<IssuerId, Vec<LeafIndex>>::new();
        for index in places {
            let head = self.head(self.batch_of(index).unwrap());
            let markstein_proto::Author::Issuer { issuer, .. } = head.author else { unreachable!() };
            found.entry(issuer).or_default().push(index);
        }
        found.into_iter().collect()
    }

    /// Its number of leaves.
    pub fn size(&self) -> LogSize {
        LogSize(self.leaves.len() as u64)
    }

    /// The proof that the log of `older` leaves is the beginning of that of `newer`.
    pub fn consistency(&self, older: LogSize, newer: LogSize) -> Vec<Hash> {
        log::consistency_proof(&self.levels(), older.0, newer.0).unwrap()
    }

    /// Changes the status of a record of [`issuer`], by a record in a block of its own.
    pub fn set_status(&mut self, index: LeafIndex, status: Status, time: TimeMs) {
        self.set_status_by(&issuer(), index, status, time);
    }

    /// The same of a record of another issuer.
    pub fn set_status_by(&mut self, key: &IssuerKey, index: LeafIndex, status: Status, time: TimeMs) {
        let record = if status == Status::Superseded {
            let commitment = Commitment(Hash::of(&[b"successor of", &index.0.to_be_bytes()]));
            let (public, valid_until, supersedes) = (false, None, Some(index));
            Record::Anchor(Anchor { commitment, public, document_type: 1, valid_until, supersedes })
        } else {
            let change = StatusChange::new(index, self.status(index), status, Reason::UnderReview);
            Record::StatusChange(change.unwrap())
        };
        let IssuerKey { issuer, key, .. } = key;
        let batch = Batch::sign(self.trust.ledger_id(), issuer, key, time, &[record]).unwrap();
        self.append(&batch, time);
    }

    fn close(&mut self, first: u64, time: TimeMs) {
        let parent = self.headers.last().unwrap();
        let size = self.leaves.len() as u64;
        let time = time.max(TimeMs(parent.time.0 + 1));
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

    fn header_after(&self, index: u64) -> &Header {
        self.headers.iter().find(|h| h.size_before.0 > index).unwrap()
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
        let header = self.header_after(head_index);
        let latest = self.headers.last().unwrap();
        let (levels, checkpoint) = (self.levels(), self.checkpoint());
        let hashes = (1..=u64::from(head.record_count)).map(|i| levels.leaves()[(head_index + i) as usize]);
        let records = Levels::new(hashes.collect());
        let statuses = Overlay { delta: &self.statuses, parent: &AllValid };
        let receipt = |position: u64| {
            let record = head_index + 1 + position;
            let changes =
                self.changes.get(&record).into_iter().flatten().map(|(change, head)| ChangeLeaves {
                    record: self.placed(*change),
                    batch_head: self.placed(*head),
                    header: self.placed(self.header_after(*change).index().0),
                });
            let changes: Vec<ChangeLeaves> = changes.collect();
            let mut indices = vec![grant, head_index, record, header.index().0, latest.index().0];
            for change in &changes {
                indices.extend([&change.record, &change.batch_head, &change.header].map(|leaf| leaf.index.0));
            }
            indices.sort_unstable();
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
                changes,
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
    /// It does not take the batch, for this reason.
    Deny(&'static str),
    /// Before the batch comes to it, somebody else's does.
    Overtake(Box<Batch>),
    /// Its receipts break off after this many.
    CutReceipts(usize),
    /// It sends this many good receipts and then rubbish.
    BadReceipts(usize),
    /// Its newest receipt comes changed.
    Receipt(fn(&mut Receipt)),
    /// It does not show its newest receipt.
    NoReceipt(Failure),
    /// What it serves under a path with this part comes changed.
    Bytes(&'static str, fn(&mut Vec<u8>)),
    /// Its proof that a log extends another one is none.
    BadProof,
    /// It does not show that proof.
    NoProof(Failure),
}

/// A node in this process; clones share one ledger.
#[derive(Clone)]
pub struct FakeNode {
    pub name: String,
    pub ledger: Arc<Mutex<Ledger>>,
    pub faults: Arc<Mutex<VecDeque<Fault>>>,
    /// Batches as they were submitted.
    pub submitted: Arc<Mutex<Vec<BatchId>>>,
    /// Paths that were asked for.
    pub paths: Arc<Mutex<Vec<String>>>,
    /// What it says to every look-up, where it lies.
    pub named: Option<Vec<(IssuerId, Vec<LeafIndex>)>>,
    /// Issuers that one of its answers names.
    pub page: usize,
}

impl FakeNode {
    pub fn new() -> Self {
        Self {
            name: "fake".into(),
            ledger: Arc::new(Mutex::new(Ledger::new())),
            faults: Arc::default(),
            submitted: Arc::default(),
            paths: Arc::default(),
            named: None,
            page: 50,
        }
    }

    /// A node of this ledger.
    pub fn of(ledger: Ledger, name: &str) -> Self {
        Self { name: name.into(), ledger: Arc::new(Mutex::new(ledger)), ..Self::new() }
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
        let about_submit = |f: &Fault| !matches!(f, Fault::CutReceipts(_) | Fault::BadReceipts(_));
        let fault = self.fault(about_submit);
        if let Some(Fault::Overtake(other)) = &fault {
            self.ledger.lock().unwrap().append(other, NOW);
        }
        let known = self.ledger.lock().unwrap().heads.contains_key(&batch.id());
        let refusal = self.ledger.lock().unwrap().refusal(&batch).filter(|_| !known);
        match fault {
            Some(Fault::Deny(reason)) => {
                return Err(NodeError { reason: reason.into(), ..self.error(Failure::Denied) });
            }
            Some(Fault::BeforeSubmit(kind)) => return Err(self.error(kind)),
            Some(Fault::Refuse(reason)) => {
                return Ok(Outcome::Refused { reason: reason.into(), message: "fault of the test".into() });
            }
            _ if refusal.is_some() => {
                let (reason, target) = refusal.unwrap();
                let message = format!("the record at leaf {target} cannot be changed so");
                let error = NodeError::new(&self.name, Failure::Denied, message);
                return Err(NodeError { reason: reason.into(), ..error });
            }
            _ if batch.head().created_at.0 + BATCH_AGE_MAX_MS < NOW.0 => {
                return Ok(Outcome::Refused { reason: EXPIRED.into(), message: "the 24 h rule".into() });
            }
            _ => self.ledger.lock().unwrap().append(&batch, NOW),
        }
        if matches!(fault, Some(Fault::AfterSubmit)) {
            Err(self.error(Failure::Away))
        } else {
            Ok(Outcome::Final)
        }
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

impl Records for FakeNode {
    async fn current_receipt(&self, index: LeafIndex) -> Result<Vec<u8>, NodeError> {
        tokio::time::sleep(Duration::ZERO).await;
        let receipt = self.ledger.lock().unwrap().receipt_at(index);
        let not_found = || NodeError { reason: NOT_FOUND.into(), ..self.error(Failure::Denied) };
        let mut receipt = receipt.ok_or_else(not_found)?;
        match self.fault(|f| matches!(f, Fault::Receipt(_) | Fault::NoReceipt(_))) {
            Some(Fault::Receipt(change)) => change(&mut receipt),
            Some(Fault::NoReceipt(kind)) => return Err(self.error(kind)),
            _ => {}
        }
        Ok(receipt.to_json().into_bytes())
    }

    async fn lookup(&self, commitment: Commitment, whose: Whose) -> Result<PublicRecords, NodeError> {
        let named = self.named.clone().unwrap_or_else(|| self.ledger.lock().unwrap().lookup(commitment));
        let is_wanted = |id: &IssuerId| match &whose {
            Whose::All => true,
            Whose::After(before) => id > before,
            Whose::Of(issuer) => id == issuer,
        };
        let mut wanted: Vec<_> = named.into_iter().filter(|(id, _)| is_wanted(id)).collect();
        let next = (wanted.len() > self.page).then(|| wanted[self.page - 1].0.clone());
        wanted.truncate(self.page);
        let found = PublicRecords { by_issuer: wanted, next };
        found.check(&whose).unwrap();
        Ok(found)
    }
}

impl Reader for FakeNode {
    async fn consistency(&self, older: LogSize, newer: LogSize) -> Result<Vec<Hash>, NodeError> {
        let ledger = self.ledger.lock().unwrap();
        if newer > ledger.size() {
            return Err(NodeError { reason: "INVALID_REQUEST".into(), ..self.error(Failure::Denied) });
        }
        let mut proof = ledger.consistency(older, newer);
        match self.fault(|f| matches!(f, Fault::BadProof | Fault::NoProof(_))) {
            Some(Fault::NoProof(kind)) => return Err(self.error(kind)),
            Some(_) => proof.push(Hash::ZERO),
            None => {}
        }
        Ok(proof)
    }
}

impl Files for FakeNode {
    async fn get(&self, path: &str, max: usize) -> Result<Vec<u8>, NodeError> {
        self.paths.lock().unwrap().push(path.to_owned());
        let ledger = self.ledger.lock().unwrap();
        let mut bytes = if path == "/checkpoint" {
            ledger.checkpoint().into_bytes()
        } else if let Ok(bundle) = EntryBundle::parse(&path[1..]) {
            let first = bundle.index as usize * 256;
            let leaves = &ledger.leaves[first..first + usize::from(bundle.width)];
            let framed = |leaf: &Vec<u8>| [&(leaf.len() as u16).to_be_bytes()[..], leaf].concat();
            leaves.iter().flat_map(framed).collect()
        } else {
            let Tile { level, index, width } = Tile::parse(&path[1..]).unwrap();
            let levels = ledger.levels();
            let hash = |i: u64| levels.node(8 * level, index * 256 + i).unwrap().0;
            (0..u64::from(width)).flat_map(hash).collect()
        };
        match self.fault(|f| matches!(f, Fault::Bytes(part, _) if path.contains(part))) {
            Some(Fault::Bytes(_, change)) => change(&mut bytes),
            _ => assert!(bytes.len() <= max),
        }
        Ok(bytes)
    }
}
