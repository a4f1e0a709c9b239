//! A ledger in memory. It judges nothing: a test can have a quorum sign whatever it likes.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
};

use markstein_proto::{
    Author, AuthoritySet, Batch, BatchHead, EpochId, Genesis, Hash, Header, Height, LeafIndex, LedgerId,
    LogSize, Record, Salt, TimeMs, View,
    log::{self, Levels, multiproof},
    note::{Checkpoint, KeyName, NoteSignature, SignedCheckpoint, sign_cosignature},
    receipt::{ChangeLeaves, Handover, PlacedLeaf, Receipt},
    status::{self, Chunk, Status, StatusDelta, StatusProof, StatusReader, StatusStep},
};

use super::{START_MS, issuer_id, secret};

/// What a block holds for one batch.
pub struct Part {
    pub head: Vec<u8>,
    pub records: Vec<Vec<u8>>,
}

impl Part {
    /// Leaves under a head of which only the root is right.
    pub fn of(head: BatchHead, records: &[Record]) -> Self {
        let records: Vec<Vec<u8>> = records.iter().map(Record::to_leaf).collect();
        Self { head: markstein_proto::Leaf::BatchHead(head).encode(), records }
    }
}

impl From<&Batch> for Part {
    fn from(batch: &Batch) -> Self {
        let records = batch.records().iter().map(|record| record.bytes.to_vec()).collect();
        Self { head: batch.head_leaf().to_vec(), records }
    }
}

/// Where a record stands.
struct Place {
    head: u64,
    block: usize,
    path: Vec<Hash>,
}

struct Block {
    index: u64,
    header: Header,
    epoch: usize,
    statuses: BTreeMap<u64, Status>,
}

pub struct Ledger {
    pub genesis: Genesis,
    pub id: LedgerId,
    pub handovers: Vec<Handover>,
    sets: Vec<AuthoritySet>,
    leaves: Vec<Vec<u8>>,
    blocks: Vec<Block>,
    places: BTreeMap<u64, Place>,
    statuses: BTreeMap<u64, Status>,
    /// The records that changed the status of each.
    changes: BTreeMap<u64, Vec<u64>>,
}

impl Ledger {
    /// Block 0 of a genesis.
    pub fn new(genesis: Genesis) -> Self {
        let mut ledger = Self {
            id: genesis.ledger_id(),
            handovers: Vec::new(),
            sets: vec![genesis.authorities.clone()],
            leaves: Vec::new(),
            blocks: Vec::new(),
            places: BTreeMap::new(),
            statuses: BTreeMap::new(),
            changes: BTreeMap::new(),
            genesis,
        };
        let batch = ledger.genesis.batch();
        ledger.append(START_MS, &[(&batch).into()]);
        assert_eq!(*ledger.header(0), ledger.genesis.header());
        ledger
    }

    /// A batch of an issuer, signed with its key.
    pub fn batch(&self, issuer: &str, created_at: u64, records: &[Record]) -> Batch {
        let key = secret(issuer, "issuer");
        Batch::sign(self.id, &issuer_id(issuer), &key, TimeMs(created_at), records).unwrap()
    }

    /// Appends a block with one batch whose time is the block's, and returns the number of the block.
    pub fn anchor(&mut self, time: u64, issuer: &str, records: &[Record]) -> usize {
        let batch = self.batch(issuer, time, records);
        self.append(time, &[(&batch).into()])
    }

    /// Appends a block and returns its number.
    pub fn append(&mut self, time: u64, parts: &[Part]) -> usize {
        self.append_with(time, parts, |_| ())
    }

    /// Appends a block with a header that is not as it should be.
    pub fn append_with(&mut self, time: u64, parts: &[Part], change: impl FnOnce(&mut Header)) -> usize {
        let first_index = LeafIndex(self.size());
        let block = self.blocks.len();
        for part in parts {
            self.append_part(block, part);
        }
        let size = LogSize(self.size());
        let epoch = self.sets.len() - 1;
        let mut header = Header {
            epoch: EpochId(epoch as u64),
            height: Height(block as u64),
            view: View(block as u64),
            parent: self.blocks.last().map_or(Hash::ZERO, |b| b.header.block_id()),
            time: TimeMs(time),
            proposer: 0,
            first_index,
            size_before: size,
            root_before: log::root_of(self.hashes()),
            status_root: status::status_root(&Store::of(&self.statuses, size.0), size.0).unwrap(),
            authority_set: self.sets[epoch].hash(),
        };
        change(&mut header);
        self.leaves.push(markstein_proto::Leaf::Header(header.clone()).encode());
        self.blocks.push(Block { index: size.0, header, epoch, statuses: self.statuses.clone() });
        block
    }

    fn append_part(&mut self, block: usize, part: &Part) {
        let head = self.size();
        self.leaves.push(part.head.clone());
        let tree = Levels::new(part.records.iter().map(|leaf| log::leaf_hash(leaf)).collect());
        for (i, record) in part.records.iter().enumerate() {
            let path = tree.path(i as u64).unwrap();
            let index = self.size();
            self.places.insert(index, Place { head, block, path });
            self.take_step(index, record);
            self.leaves.push(record.clone());
        }
    }

    /// What a record does to the status of another, whether it may or not.
    fn take_step(&mut self, index: u64, record: &[u8]) {
        let step = markstein_proto::Leaf::decode(record).unwrap().into_record().unwrap().status_step();
        let Some(step) = step else { return };
        let status = match step {
            StatusStep::Change(change) => change.to(),
            StatusStep::Supersede(_) => Status::Superseded,
        };
        self.statuses.insert(step.target().0, status);
        self.changes.entry(step.target().0).or_default().push(index);
    }

    /// Appends an empty block that ends the epoch, hands over to the next set, and returns its number.
    pub fn end_epoch(&mut self, time: u64, next: AuthoritySet) -> usize {
        let quorum = self.sets[self.sets.len() - 1].quorum();
        let block = self.append_with(time, &[], |header| header.authority_set = next.hash());
        let signers: Vec<usize> = (0..quorum).collect();
        let handover = self.handover(block, &signers, &next);
        self.handovers.push(handover);
        self.sets.push(next);
        block
    }

    /// The handover at a block, signed by authorities of that block's epoch.
    pub fn handover(&self, block: usize, signers: &[usize], next: &AuthoritySet) -> Handover {
        let header = self.placed(self.header_index(block));
        let size = header.index.0 + 1;
        Handover {
            proof: multiproof::prove(&self.tree(), &[header.index.0], size).unwrap(),
            header,
            checkpoint: self.checkpoint(block, signers).to_string(),
            next: next.encode(),
        }
    }

    /// The status of a leaf, from the next block on.
    pub fn set_status(&mut self, index: u64, status: Status) {
        self.statuses.insert(index, status);
    }

    /// The receipt of a record under the checkpoint of a block, with these signers.
    pub fn receipt(&self, index: u64, salt: Salt, latest: usize, signers: &[usize]) -> Receipt {
        let place = &self.places[&index];
        let grant = self.grant_index(place.head);
        let (header, latest_header) = (self.header_index(place.block), self.header_index(latest));
        let changes =
            self.changes.get(&index).into_iter().flatten().filter(|change| **change < latest_header);
        let changes: Vec<ChangeLeaves> = changes.map(|change| self.change(*change)).collect();
        let epoch = self.blocks[latest].epoch;
        let mut receipt = Receipt {
            salt: Some(salt),
            record: self.placed(index),
            batch_head: self.placed(place.head),
            batch_path: place.path.clone(),
            grant: self.placed(grant),
            header: self.placed(header),
            latest_header: self.placed(latest_header),
            proof: Vec::new(),
            status: self.status_proof(latest, &[index, grant]),
            changes,
            checkpoint: self.checkpoint(latest, signers).to_string(),
            handovers: self.handovers[..epoch].to_vec(),
        };
        self.prove(&mut receipt);
        receipt
    }

    /// Makes the multiproof of the leaves that a receipt has, wherever they stand below its newest header.
    pub fn prove(&self, receipt: &mut Receipt) {
        let own =
            [&receipt.grant, &receipt.batch_head, &receipt.record, &receipt.header, &receipt.latest_header];
        let changes = receipt.changes.iter().flat_map(|c| [&c.record, &c.batch_head, &c.header]);
        let indices: BTreeSet<u64> = own.into_iter().chain(changes).map(|leaf| leaf.index.0).collect();
        let indices: Vec<u64> = indices.into_iter().collect();
        let size = receipt.latest_header.index.0 + 1;
        receipt.proof = multiproof::prove(&self.tree(), &indices, size).unwrap();
    }

    /// The leaves of a change, which is the record at this index.
    pub fn change(&self, index: u64) -> ChangeLeaves {
        let place = &self.places[&index];
        ChangeLeaves {
            record: self.placed(index),
            batch_head: self.placed(place.head),
            header: self.placed(self.header_index(place.block)),
        }
    }

    /// The records that changed the status of the record at an index, up to a block.
    pub fn changes_of(&self, index: u64, block: usize) -> Vec<u64> {
        let changes = self.changes.get(&index).into_iter().flatten().copied();
        changes.filter(|change| *change < self.header_index(block)).collect()
    }

    /// The status of these leaves under the status root of a block.
    pub fn status_proof(&self, block: usize, indices: &[u64]) -> StatusProof {
        let size = self.blocks[block].header.size_before;
        let store = Store::of(&self.blocks[block].statuses, size.0);
        let indices: Vec<LeafIndex> = indices.iter().map(|i| LeafIndex(*i)).collect();
        StatusProof::prove(&store, &indices, size).unwrap()
    }

    /// The newest grant of the issuer in the head at this index, or the first where the head names none.
    fn grant_index(&self, head: u64) -> u64 {
        let issuer = match self.leaf(head).into_batch_head().unwrap().author {
            Author::Issuer { issuer, .. } => Some(issuer),
            Author::Genesis => None,
        };
        let is_grant = |index: &u64| match self.leaf(*index).into_record() {
            Ok(Record::IssuerGrant(grant)) => issuer.as_ref().is_none_or(|issuer| *issuer == grant.issuer),
            _ => false,
        };
        (0..self.size()).rfind(is_grant).unwrap()
    }

    /// The checkpoint of a block, each signer's time being its number of seconds after the block.
    pub fn checkpoint(&self, block: usize, signers: &[usize]) -> SignedCheckpoint {
        let checkpoint = self.tree_head(block);
        let lines: Vec<_> = signers.iter().map(|&s| self.line(block, s, &checkpoint.to_text())).collect();
        SignedCheckpoint::with_signatures(checkpoint, lines).unwrap()
    }

    /// The unsigned checkpoint of a block.
    pub fn tree_head(&self, block: usize) -> Checkpoint {
        let size = self.header_index(block) + 1;
        let root = log::root_at(&self.tree(), size).unwrap();
        Checkpoint::new(&self.genesis.origin, LogSize(size), root).unwrap()
    }

    /// The cosignature of a text by an authority of a block's epoch.
    pub fn line(&self, block: usize, signer: usize, text: &str) -> NoteSignature {
        let authority = &self.sets[self.blocks[block].epoch].authorities()[signer];
        let key = secret(authority.id.as_str(), "cosigner");
        let name = KeyName::new(&format!("{}/{}", self.genesis.origin, authority.id)).unwrap();
        sign_cosignature(&key, &name, text, self.as_of(block, signer)).unwrap()
    }

    /// When an authority cosigns a block.
    pub fn as_of(&self, block: usize, signer: usize) -> u64 {
        self.blocks[block].header.time.0 / 1000 + 1 + signer as u64
    }

    pub fn header(&self, block: usize) -> &Header {
        &self.blocks[block].header
    }

    /// The index of a block's header.
    pub fn header_index(&self, block: usize) -> u64 {
        self.blocks[block].index
    }

    /// The number of the newest block.
    pub fn last(&self) -> usize {
        self.blocks.len() - 1
    }

    /// The number of the block that holds a record.
    pub fn block_of(&self, index: u64) -> usize {
        self.places[&index].block
    }

    /// The status of a leaf as of a block.
    pub fn status(&self, block: usize, index: u64) -> Status {
        self.blocks[block].statuses.get(&index).copied().unwrap_or_default()
    }

    /// The index of a record's first leaf.
    pub fn index_of(&self, record: &Record) -> u64 {
        let leaf = record.to_leaf();
        self.leaves.iter().position(|other| *other == leaf).unwrap() as u64
    }

    /// The leaf at an index, as it stands in receipts.
    pub fn placed(&self, index: u64) -> PlacedLeaf {
        PlacedLeaf { index: LeafIndex(index), bytes: self.leaves[index as usize].clone() }
    }

    pub fn set(&self, epoch: usize) -> &AuthoritySet {
        &self.sets[epoch]
    }

    pub fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The tree over all leaves; it holds every smaller tree's full subtrees too.
    pub fn tree(&self) -> Levels {
        Levels::new(self.hashes())
    }

    fn hashes(&self) -> Vec<Hash> {
        self.leaves.iter().map(|leaf| log::leaf_hash(leaf)).collect()
    }

    fn leaf(&self, index: u64) -> markstein_proto::Leaf {
        markstein_proto::Leaf::decode(&self.leaves[index as usize]).unwrap()
    }
}

/// The status tree of one state.
struct Store(StatusDelta);

impl Store {
    fn of(statuses: &BTreeMap<u64, Status>, size: u64) -> Self {
        let empty = Self(StatusDelta::default());
        Self(status::apply(&empty, statuses, size).unwrap())
    }
}

impl StatusReader for Store {
    type Error = Infallible;

    fn chunk(&self, index: u64) -> Result<Option<Chunk>, Infallible> {
        Ok(self.0.chunks.get(&index).copied())
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Infallible> {
        Ok(self.0.nodes.get(&(level, index)).copied())
    }
}
