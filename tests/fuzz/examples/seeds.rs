//! Makes the seeds of the fuzz targets: real values, in the bytes that each target takes.
//!
//! Everything follows from the published vectors and fixed seeds, so a second run changes nothing.

use std::{collections::BTreeSet, error::Error, fs, path::Path};

use markstein_consensus::{Body, Fact};
use markstein_fuzz::{
    batches::{Paper, Planned, Renewal, plan_changes},
    driver::encode_fact,
    entry::{Entry, Signer},
    messages::{CosignatureLines, Heartbeat, Message, Offer, Range},
    receipts::GOOD,
    release::Release,
    scan::Document,
    storage::{
        KeyCodec, Table, ValueCodec,
        tables::{
            BatchAt, BatchAuthor, BatchAuthors, Cosignatures, Dropped, Evidence, Heights, Meta, MetaKey,
            Outcome, Outcomes, Pool, PoolEntry, ProposedBatches, PublicPlace, PublicRecords, PublicStanding,
            PublicStandings, Registry, StatusChunks, StatusEntry, StatusHistory, StatusNodes, StatusSteps,
            TABLES, Tiles,
        },
    },
};
use markstein_proto::{
    Anchor, AuthorityEntry, Batch, BatchId, Commitment, DocumentDigest, EpochId, Genesis, Hash, Header,
    Height, IssuerEntry, IssuerId, IssuerKeyEntry, KeyFile, KeyPurpose, LeafIndex, LogSize, Reason, Record,
    Salt, SecretKey, StatusChange, TimeMs, View,
    consensus::{
        Ballot, Certificate, CheckedCertificate, CheckedProposal, CheckedVote, Proposal, Subject, Vote,
    },
    cose::{CoseReceipt, sign_root},
    log::tile::{EntryBundle, Tile},
    note::{Algorithm, Note, Vkey},
    status::Status,
};

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let seeds = Seeds { folder: &folder };
    let genesis = GOOD[0].trust.genesis();
    formats(&seeds, genesis)?;
    consensus(&seeds, genesis)?;
    tables(&seeds)?;
    receipts(&seeds)?;
    cose(&seeds)?;
    notes(&seeds)?;
    files(&seeds, genesis)?;
    decisions(&seeds)
}

struct Seeds<'a> {
    folder: &'a Path,
}

impl Seeds<'_> {
    fn write(&self, target: &str, name: &str, bytes: impl AsRef<[u8]>) -> Done {
        let folder = self.folder.join(target);
        fs::create_dir_all(&folder)?;
        Ok(fs::write(folder.join(name), bytes)?)
    }
}

fn key(number: u8) -> SecretKey {
    SecretKey::from_seed(&[number; 32])
}

fn issuer() -> IssuerId {
    IssuerId::new("permits.neustadt.example").expect("it is a slug")
}

/// What a client plans to anchor: two documents, one of them public and of two names.
fn planned() -> Vec<Planned> {
    let document =
        |name: &str| Document { path: name.into(), receipt: format!("{name}.markstein.json").into() };
    let one = |salt: Salt, number: u8, documents| {
        let digest = DocumentDigest(Hash([number; 32]));
        let anchor = Anchor {
            commitment: Commitment::of(&salt, &digest),
            public: salt == Salt::PUBLIC,
            document_type: 1,
            valid_until: (number == 1).then_some(TimeMs(1_900_000_000_000)),
            supersedes: None,
        };
        let paper = Some(Paper { salt, digest, documents });
        Planned { record: Record::Anchor(anchor), paper, renewals: Vec::new() }
    };
    vec![
        one(Salt([7; 32]), 1, vec![document("a.pdf")]),
        one(Salt::PUBLIC, 2, vec![document("b.pdf"), document("c.pdf")]),
    ]
}

/// What a client plans to change: a record whose receipt it has.
fn changes() -> Vec<Planned> {
    let (from, to) = (Status::Suspended, Status::Revoked);
    let change = StatusChange::new(LeafIndex(9), from, to, Reason::CourtOrder).expect("it may be made");
    let file = |salt| Renewal { like: "a.json".into(), receipt: "new/a.json".into(), salt };
    plan_changes(vec![(change, vec![file(Some(Salt([7; 32]))), file(None)])], 10).remove(0)
}

fn batch(genesis: &Genesis) -> Batch {
    let records: Vec<Record> = planned().into_iter().map(|planned| planned.record).collect();
    Batch::sign(genesis.ledger_id(), &issuer(), &key(1), TimeMs(1_790_000_000_000), &records)
        .expect("these are records of a batch")
}

fn formats(seeds: &Seeds<'_>, genesis: &Genesis) -> Done {
    let mut leaves = BTreeSet::new();
    for good in GOOD.iter().take(12) {
        let receipt = &good.receipt;
        let parts =
            [&receipt.record, &receipt.batch_head, &receipt.grant, &receipt.header, &receipt.latest_header];
        leaves.extend(parts.map(|part| part.bytes.clone()));
    }
    leaves.insert(genesis.batch().head_leaf().to_vec());
    for (number, leaf) in leaves.iter().enumerate() {
        seeds.write("leaf", &format!("{number:02}"), leaf)?;
    }
    seeds.write("batch", "genesis", genesis.batch().bytes())?;
    seeds.write("batch", "issuer", batch(genesis).bytes())?;
    seeds.write("genesis", "one", genesis.encode())?;
    let four = GOOD.iter().find(|good| good.verified.authorities == 4).expect("there is one");
    seeds.write("genesis", "four", four.trust.genesis().encode())?;
    seeds.write("authority_set", "one", genesis.authorities.encode())?;
    let next = GOOD.iter().flat_map(|good| &good.receipt.handovers).map(|handover| handover.next.clone());
    for (number, set) in next.collect::<BTreeSet<_>>().iter().enumerate() {
        seeds.write("authority_set", &format!("next-{number}"), set)?;
    }
    let signer = Signer { ledger: genesis.ledger_id(), issuer: &issuer(), key: &key(1) };
    let entry = Entry::sign(planned(), signer, TimeMs(1_790_000_000_000))?;
    let again = entry.sign_again(signer, TimeMs(1_790_086_400_001))?;
    let changes = Entry::sign(changes(), signer, TimeMs(1_790_000_000_000))?;
    for (name, entry) in [("first", entry), ("again", again), ("changes", changes)] {
        let bytes = entry.encode();
        seeds.write("entry", name, &bytes[32..])?; // the target adds the checksum
    }
    Ok(())
}

/// One of each kind that nodes say and write of consensus.
struct Said {
    header: Header,
    named: (BatchId, Hash),
    votes: [Vote; 3],
    certificates: [Certificate; 3],
    proposal: Proposal,
}

impl Said {
    fn new(genesis: &Genesis) -> Self {
        let parent = genesis.header();
        let header = Header {
            height: Height(1),
            view: View(3),
            parent: parent.block_id(),
            time: TimeMs(parent.time.0 + 1000),
            proposer: 2,
            first_index: LeafIndex(parent.index().0 + 1),
            size_before: LogSize(parent.index().0 + 4),
            root_before: Hash([3; 32]),
            ..parent
        };
        let ledger = genesis.ledger_id();
        let ballots =
            [Ballot::Notarize(header.block_id()), Ballot::Nullify, Ballot::Finalize(header.block_id())];
        let cast = |view: u64, ballot: Ballot, signer: u32| {
            let subject = Subject { epoch: EpochId(0), view: View(view), ballot };
            Vote::sign(&ledger, subject, signer, &key(signer as u8))
        };
        let certify = |view: u64, ballot: Ballot| {
            let votes: Vec<Vote> = (0..3).map(|signer| cast(view, ballot, signer)).collect();
            let signatures = votes.iter().map(|vote| (vote.signer, vote.signature)).collect();
            Certificate { subject: votes[0].subject, signatures }
        };
        let batch = batch(genesis);
        let named = (batch.id(), Hash::of(&[batch.head_leaf()]));
        let proposal = Proposal {
            header: header.clone(),
            batches: vec![named],
            vote: cast(3, ballots[0], 2),
            parent: Some(certify(0, Ballot::Notarize(header.parent))),
            nullifications: vec![certify(1, Ballot::Nullify), certify(2, Ballot::Nullify)],
        };
        Self {
            votes: ballots.map(|ballot| cast(3, ballot, 2)),
            certificates: ballots.map(|ballot| certify(3, ballot)),
            header,
            named,
            proposal,
        }
    }

    fn messages(&self, genesis: &Genesis) -> Vec<Message> {
        let (id, head) = self.named;
        let [notarization, _, finalization] = self.certificates.clone();
        let body = Body { header: self.header.clone(), batches: vec![self.named] };
        let range = Range {
            above: Height(0),
            finalization: finalization.clone(),
            headers: vec![self.header.clone()],
        };
        let receipt = &GOOD[0].receipt.checkpoint;
        let lines = receipt.lines().filter(|line| line.starts_with('\u{2014}')).take(1).collect();
        let batch = batch(genesis).bytes().to_vec();
        let offer = Offer { id, issuer: issuer(), bytes: batch.len() };
        vec![
            Message::Vote(self.votes[0].clone()),
            Message::Certificate(notarization),
            Message::Proposal(Box::new(self.proposal.clone())),
            Message::Cosignature(CosignatureLines { size: LogSize(8), authority: 1, lines }),
            Message::Heartbeat(Heartbeat {
                height: Height(1),
                view: View(3),
                clock: self.header.time,
                cosigned: LogSize(8),
                voting: true,
                run: 7,
                release: Some(Release::OWN),
            }),
            Message::AskMemory,
            Message::Memory { finalization: Some(finalization), votes: self.votes.to_vec() },
            Message::AskBlock(self.header.block_id()),
            Message::Block(Box::new(body)),
            Message::AskBatches(vec![(id, head), (BatchId(head), head)]),
            Message::Batch(batch.clone()),
            Message::AskRange(Height(7)),
            Message::Range(Box::new(range)),
            Message::AskBodies { first: Height(1), count: 2 },
            Message::BlockBatches { height: Height(1), batches: vec![batch.clone()] },
            Message::Pooled(vec![offer]),
            Message::AskPooled(vec![id]),
            Message::PoolBatch(batch),
        ]
    }
}

fn consensus(seeds: &Seeds<'_>, genesis: &Genesis) -> Done {
    let said = Said::new(genesis);
    for (name, (vote, certificate)) in
        ["notarize", "nullify", "finalize"].iter().zip(said.votes.iter().zip(&said.certificates))
    {
        seeds.write("vote", name, vote.encode())?;
        seeds.write("certificate", name, certificate.encode())?;
    }
    let first = Proposal { parent: None, nullifications: vec![], batches: vec![], ..said.proposal.clone() };
    seeds.write("proposal", "first", first.encode())?;
    seeds.write("proposal", "full", said.proposal.encode())?;
    for message in said.messages(genesis) {
        seeds.write("message", message.kind(), message.encode())?;
    }
    let facts = [
        ("voted", Fact::Voted(CheckedVote::own(said.votes[0].clone()))),
        ("block", Fact::Block(Box::new(CheckedProposal::own(said.proposal.clone())))),
        ("certified", Fact::Certified(CheckedCertificate::from_journal(said.certificates[2].clone()))),
    ];
    for (name, fact) in facts {
        seeds.write("fact", name, encode_fact(&fact))?;
    }
    Ok(())
}

fn tables(seeds: &Seeds<'_>) -> Done {
    fn row<T: Table>(seeds: &Seeds<'_>, name: &str, key: &T::Key, value: &T::Value) -> Done {
        let place = TABLES.iter().position(|table| table.name == T::NAME).expect("all tables are there");
        let key = key.encode_key();
        let head = [u8::try_from(place)?, u8::try_from(key.len())?];
        seeds.write("table", name, [&head[..], &key, &value.encode_value()].concat())
    }
    let (hash, bytes) = (Hash([5; 32]), vec![1, 2, 3]);
    for meta in MetaKey::ALL {
        row::<Meta>(seeds, meta.as_str(), &meta, &bytes)?;
    }
    row::<Heights>(seeds, "height", &Height(7), &LeafIndex(9))?;
    row::<BatchAt>(seeds, "batch_at", &LeafIndex(9), &hash)?;
    let (height, head_index) = (Height(7), LeafIndex(9));
    row::<Outcomes>(seeds, "final", &hash, &Outcome::Final { height, head_index })?;
    row::<Outcomes>(seeds, "refused", &hash, &Outcome::Refused { reason: 2, at: TimeMs(8) })?;
    row::<Pool>(seeds, "pool", &4, &PoolEntry { batch_id: hash, accepted_at: TimeMs(8) })?;
    row::<Dropped>(seeds, "dropped", &hash, &TimeMs(8))?;
    let (status, since) = (Status::Revoked, LeafIndex(19));
    let place = PublicPlace { commitment: hash, issuer: issuer(), status, since };
    row::<PublicRecords>(seeds, "public", &place, &LeafIndex(9))?;
    row::<PublicStandings>(seeds, "standing", &LeafIndex(9), &PublicStanding { commitment: hash, since })?;
    row::<Tiles>(seeds, "tile", &(1, 2), &hash.0.to_vec())?;
    row::<StatusChunks>(seeds, "chunk", &3, &[1; 32])?;
    row::<BatchAuthors>(
        seeds,
        "author",
        &LeafIndex(9),
        &BatchAuthor::new(issuer(), [true, false].into_iter()),
    )?;
    row::<StatusSteps>(seeds, "step", &LeafIndex(19), &LeafIndex(9))?;
    let change = StatusEntry { before: Status::Suspended, head: LeafIndex(18), leaf: bytes.clone() };
    row::<StatusHistory>(seeds, "history", &(LeafIndex(9), LeafIndex(19)), &change)?;
    row::<StatusNodes>(seeds, "node", &(1, 2), &hash)?;
    row::<Registry>(seeds, "registry", &issuer().to_string(), &LeafIndex(1))?;
    row::<Evidence>(seeds, "evidence", &(View(3), 2), &bytes)?;
    row::<ProposedBatches>(seeds, "proposed", &(hash, hash), &bytes)?;
    row::<Cosignatures>(seeds, "cosignature", &(LogSize(8), 2), &bytes)
}

fn receipts(seeds: &Seeds<'_>) -> Done {
    let mut shapes = BTreeSet::new();
    for (number, good) in GOOD.iter().enumerate() {
        let receipt = &good.receipt;
        // Unchanged, and each with one part of another one.
        seeds.write("receipt", &format!("good-{number:02}"), [number as u8])?;
        let other = [number as u8, 9, (number as u8 + 1) % GOOD.len() as u8, number as u8 % 10];
        seeds.write("receipt", &format!("exchanged-{number:02}"), other)?;
        let shape = (receipt.handovers.len(), receipt.status.chunks.len(), good.verified.public);
        if shapes.insert(shape) && receipt.handovers.len() < 2 {
            seeds.write("receipt_file", &format!("{number:02}.markstein.json"), receipt.to_json())?;
        }
    }
    let unsalted = markstein_proto::receipt::Receipt { salt: None, ..GOOD[0].receipt.clone() };
    seeds.write("receipt_file", "served.markstein.json", unsalted.to_json())
}

/// The record of each of a few receipts, signed by a log key of their seeds.
fn cose(seeds: &Seeds<'_>) -> Done {
    for (number, good) in GOOD.iter().take(3).enumerate() {
        let (path, signed) = good.receipt.record_path()?;
        let checkpoint = signed.checkpoint();
        let receipt = CoseReceipt {
            key: key(2).public().id(),
            size: checkpoint.size(),
            index: good.receipt.record.index,
            path,
            signature: sign_root(&key(2), &checkpoint.root()),
        };
        seeds.write("cose", &format!("{number}"), receipt.encode())?;
    }
    Ok(())
}

fn notes(seeds: &Seeds<'_>) -> Done {
    for (number, good) in GOOD.iter().take(3).enumerate() {
        let text = &good.receipt.checkpoint;
        seeds.write("note", &format!("checkpoint-{number}"), text)?;
        let note = Note::parse(text.as_bytes())?;
        seeds.write("note", &format!("text-{number}"), note.text())?;
        seeds.write("note", &format!("line-{number}"), note.signatures()[0].to_string())?;
    }
    let genesis = GOOD[0].trust.genesis();
    let cosigner = genesis.authorities.cosigners(&genesis.origin).remove(0);
    seeds.write(
        "vkey",
        "log",
        Vkey::new(cosigner.name().clone(), Algorithm::Ed25519, *cosigner.key()).to_string(),
    )?;
    seeds.write("vkey", "cosigner", cosigner.to_string())?;
    seeds.write("vkey", "name", "Bauaufsicht Neustadt")?;
    seeds.write("vkey", "slug", issuer().as_str())?;
    let tiles = [(0, 0, 256), (0, 1, 300), (3, 0, 1 << 30), (0, 1_234_067, 400_000_000)];
    for (number, (level, index, size)) in tiles.into_iter().enumerate() {
        let tile = Tile::in_log(level, index, size).expect("it is in a log of that size");
        seeds.write("tile_path", &format!("tile-{number}"), tile.path())?;
    }
    let bundle = EntryBundle::in_log(1, 300).expect("it is in a log of that size");
    seeds.write("tile_path", "bundle", bundle.path())
}

fn files(seeds: &Seeds<'_>, genesis: &Genesis) -> Done {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    for (target, name) in [
        ("genesis_toml", "genesis.example.toml"),
        ("node_toml", "node.example.toml"),
        ("node_toml", "observer.example.toml"),
    ] {
        // Without the words for people there is more for the fuzzer to change.
        let text = fs::read_to_string(config.join(name))?;
        let bare: String =
            text.lines().filter(|line| !line.starts_with('#')).flat_map(|l| [l, "\n"]).collect();
        seeds.write(target, name, bare)?;
    }
    seeds.write("genesis_toml", "one", genesis.to_toml())?;
    let authority = AuthorityEntry::from(&genesis.authorities.authorities()[0]);
    seeds.write("genesis_toml", "authority", authority.to_toml())?;
    let public_key =
        genesis.grants[0].keys[0].key.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let entry = IssuerEntry {
        id: issuer().to_string(),
        name: "Bauaufsicht".into(),
        document_types: vec!["building-permit".into()],
        keys: vec![IssuerKeyEntry { public_key, not_before_ms: 1, not_after_ms: Some(2) }],
    };
    seeds.write("genesis_toml", "issuer", entry.to_toml())?;
    for purpose in [KeyPurpose::Issuer].into_iter().chain(KeyPurpose::AUTHORITY) {
        let ledger = (purpose == KeyPurpose::Issuer).then_some(genesis.ledger_id());
        let file = KeyFile { purpose, owner: issuer().to_string(), ledger, key: key(1) };
        seeds.write("key_file", purpose.as_str(), file.to_text().as_bytes())?;
    }
    Ok(())
}

/// Targets that take their decisions from bytes begin with random ones.
fn decisions(seeds: &Seeds<'_>) -> Done {
    for (target, count, length) in [("engine", 16, 1800), ("proof", 8, 120)] {
        for number in 0..count {
            let block = |at: u32| Hash::of(&[target.as_bytes(), &[number], &at.to_be_bytes()]).0;
            let bytes: Vec<u8> = (0..).flat_map(block).take(length).collect();
            seeds.write(target, &format!("{number:02}"), bytes)?;
        }
    }
    Ok(())
}
