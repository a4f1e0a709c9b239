//! Good receipts with one thing changed: every one must be refused.

use markstein_proto::{
    AuthorError, DecodeError, KeyError, Leaf, LogSize, Record, Salt,
    log::ProofError,
    note::{
        Checkpoint, CheckpointError, CosignatureError, KeyName, NoteError, SignedCheckpoint,
        sign_cosignature, sign_ed25519,
    },
    receipt::{NotVerified, PlacedLeaf, Receipt},
};

use super::{Cases, at, four, hash, receipt_of};
use crate::support::{Ledger, ORIGIN, anchor, genesis, public_anchor, salt, secret};

pub(super) fn add(cases: &mut Cases) {
    let ledger = four();
    let mut list = Refused { ledger: &ledger, cases };
    list.documents();
    list.kinds();
    list.other_parts();
    list.places();
    list.ledgers();
    list.signatures();
    list.lines();
    list.newest_header();
    list.covered_sizes();
    list.proofs();
    list.status();
    list.versions();
}

struct Refused<'a> {
    ledger: &'a Ledger,
    cases: &'a mut Cases,
}

/// Reaches one of the five leaves of a receipt.
type Part = (&'static str, fn(&mut Receipt) -> &mut PlacedLeaf);
const PARTS: [Part; 5] = [
    ("record", |r| &mut r.record),
    ("batch head", |r| &mut r.batch_head),
    ("grant", |r| &mut r.grant),
    ("header", |r| &mut r.header),
    ("latest header", |r| &mut r.latest_header),
];

impl Refused<'_> {
    /// The receipt of document 1 in the newest block.
    fn good(&self) -> Receipt {
        self.receipt(1, 1)
    }

    fn receipt(&self, number: u64, document_type: u32) -> Receipt {
        receipt_of(self.ledger, (number, &anchor(number, document_type)), self.ledger.last(), &[0, 1, 2])
    }

    fn refuse(&mut self, name: &str, change: impl FnOnce(&mut Receipt), why: NotVerified) {
        let mut receipt = self.good();
        change(&mut receipt);
        assert_ne!(receipt, self.good(), "{name}: nothing was changed");
        self.cases.refuse(name, self.ledger, 1, receipt, why);
    }

    fn documents(&mut self) {
        let receipt = self.good();
        self.cases.refuse("another document", self.ledger, 2, receipt, NotVerified::AnotherDocument);
        self.refuse("no salt", |r| r.salt = None, NotVerified::NoSalt);
        self.refuse("zero salt", |r| r.salt = Some(Salt::PUBLIC), NotVerified::SaltKind);
        self.refuse("another salt", |r| r.salt = Some(salt(2)), NotVerified::AnotherDocument);
        let mut receipt = receipt_of(self.ledger, (4, &public_anchor(4, 1)), self.ledger.last(), &[0, 1, 2]);
        receipt.salt = Some(salt(4));
        self.cases.refuse("public record with a salt", self.ledger, 4, receipt, NotVerified::SaltKind);
    }

    /// Every leaf replaced by one of another kind.
    fn kinds(&mut self) {
        let good = self.good();
        let kinds = [("anchor", &good.record), ("batch head", &good.batch_head), ("grant", &good.grant)];
        for (part, place) in PARTS {
            for (kind, leaf) in kinds.into_iter().chain([("header", &good.latest_header)]) {
                let Some(why) = wrong_kind(part, kind) else { continue };
                let put = |r: &mut Receipt| place(r).bytes.clone_from(&leaf.bytes);
                self.refuse(&format!("{kind} in place of the {part}"), put, why);
            }
            let garbage = NotVerified::Decode { part, source: DecodeError::Malformed("leaf") };
            self.refuse(
                &format!("garbage in place of the {part}"),
                |r| place(r).bytes = vec![7; 40],
                garbage,
            );
            let empty = NotVerified::Decode { part, source: DecodeError::Missing("kind of the leaf") };
            self.refuse(&format!("nothing in place of the {part}"), |r| place(r).bytes.clear(), empty);
        }
    }

    /// Parts of the same kind from other receipts of the same ledger.
    fn other_parts(&mut self) {
        let (batch_mate, later, registry) = (self.receipt(3, 1), self.receipt(20, 1), self.receipt(10, 2));
        self.refuse(
            "record of its neighbour",
            |r| r.record = batch_mate.record.clone(),
            NotVerified::AnotherDocument,
        );
        self.refuse(
            "place of its neighbour",
            |r| r.record.index = batch_mate.record.index,
            NotVerified::NotInBatch,
        );
        self.refuse(
            "path of its neighbour",
            |r| r.batch_path = batch_mate.batch_path,
            NotVerified::NotInBatch,
        );
        let not_follow = NotVerified::Places("the batch head is not in the header's block");
        let (bytes, index) = (later.batch_head.bytes.clone(), later.batch_head.index);
        self.refuse("head of another batch", |r| r.batch_head.bytes = bytes, NotVerified::NotInBatch);
        self.refuse(
            "place of another batch",
            |r| r.batch_head.index = index,
            NotVerified::Places("the record does not follow its batch head"),
        );
        self.refuse("header of a later block", |r| r.header = later.header.clone(), not_follow);
        let genesis_header = self.ledger.placed(self.ledger.header_index(0));
        self.refuse(
            "header of an earlier block",
            |r| r.header = genesis_header,
            NotVerified::Places("the record is not in the header's block"),
        );
        self.refuse(
            "header's bytes of a later block",
            |r| r.header.bytes = later.header.bytes,
            NotVerified::Places("a header is not where it says"),
        );
        let why = NotVerified::Author(AuthorError::AnotherIssuer);
        self.refuse("grant of another issuer", |r| r.grant = registry.grant, why);
        let head = self.ledger.placed(0);
        self.refuse(
            "head of the genesis, its place kept",
            |r| r.batch_head.bytes = head.bytes,
            NotVerified::NotInBatch,
        );
    }

    fn places(&mut self) {
        self.refuse("record one place on", |r| r.record.index.0 += 1, NotVerified::NotInBatch);
        self.refuse(
            "record at its head's place",
            |r| r.record.index = r.batch_head.index,
            NotVerified::Places("the record does not follow its batch head"),
        );
        self.refuse(
            "record at its header's place",
            |r| r.record.index = r.header.index,
            NotVerified::Places("the record is not in the header's block"),
        );
        self.refuse(
            "head one place back",
            |r| r.batch_head.index.0 -= 1,
            NotVerified::Places("the batch head is not in the header's block"),
        );
        let mut receipt = self.receipt(3, 1);
        receipt.batch_head.index.0 += 1;
        self.cases.refuse("head one place on", self.ledger, 3, receipt, NotVerified::NotInBatch);
        let mut receipt = self.receipt(3, 1);
        receipt.record.index.0 += 1;
        receipt.batch_head.index.0 += 1;
        let why = NotVerified::Inclusion(ProofError::RootMismatch);
        self.cases.refuse("head and record one place on", self.ledger, 3, receipt, why);
        let header = NotVerified::Places("a header is not where it says");
        self.refuse("header one place on", |r| r.header.index.0 += 1, header);
        let newest = NotVerified::Places("the newest header is not where it says");
        self.refuse("newest header one place back", |r| r.latest_header.index.0 -= 1, newest);
        self.refuse(
            "grant at another place",
            |r| r.grant.index.0 = 2,
            NotVerified::Inclusion(ProofError::RootMismatch),
        );
        self.refuse(
            "grant after the record",
            |r| r.grant.index.0 = r.record.index.0 + 1,
            NotVerified::Places("the grant does not come before the record"),
        );
        self.refuse("largest place", |r| r.record.index.0 = u64::MAX, {
            NotVerified::Places("the record is not in the header's block")
        });
    }

    fn ledgers(&mut self) {
        let mut nonce = genesis(4);
        nonce.nonce = [8; 32];
        let twin = Ledger::new(nonce);
        let receipt = self.good();
        self.cases.refuse("genesis with another nonce", &twin, 1, receipt, NotVerified::AnotherLedger);
        let mut other = genesis(4);
        other.origin = "altstadt.example/markstein".into();
        let other = Ledger::new(other);
        let receipt = self.good();
        self.cases.refuse("genesis with another origin", &other, 1, receipt, NotVerified::AnotherLedger);

        let origin = self.good().checkpoint.replacen(ORIGIN, "altstadt.example/markstein", 1);
        self.refuse("checkpoint of another origin", |r| r.checkpoint = origin, NotVerified::AnotherLedger);
    }

    fn signatures(&mut self) {
        let (ledger, newest) = (self.ledger, self.ledger.last());
        let text = ledger.tree_head(newest).to_text();
        let lines = |signers: &[usize]| ledger.checkpoint(newest, signers).to_string();
        let few = |have| NotVerified::Checkpoint(CheckpointError::TooFewCosignatures { have, need: 3 });
        self.refuse("one cosignature too few", |r| r.checkpoint = lines(&[0, 3]), few(2));
        self.refuse("one cosignature", |r| r.checkpoint = lines(&[2]), few(1));

        let again = |time_s: u64| {
            let name = KeyName::new(&format!("{ORIGIN}/a1")).unwrap();
            sign_cosignature(&secret("a1", "cosigner"), &name, &text, time_s).unwrap()
        };
        let twice = ledger.checkpoint(newest, &[0, 1]).merge([again(5)]).unwrap().to_string();
        self.refuse("one authority twice, at two times", |r| r.checkpoint = twice, few(2));
        let same = lines(&[0, 1]);
        let repeated = format!("{same}{}\n", ledger.line(newest, 1, &text));
        self.refuse("one line twice", |r| r.checkpoint = repeated, few(2));
        let none = format!("{text}\n");
        let why = NotVerified::Checkpoint(CheckpointError::Note(NoteError::NoSignature));
        self.refuse("no cosignature", |r| r.checkpoint = none, why);
    }

    fn lines(&mut self) {
        let (ledger, newest) = (self.ledger, self.ledger.last());
        let head = ledger.tree_head(newest);
        let text = head.to_text();
        let good = ledger.checkpoint(newest, &[0, 1, 2]);
        let name = |id: &str| KeyName::new(&format!("{ORIGIN}/{id}")).unwrap();
        let with = |line| good.merge([line]).unwrap().to_string();
        let stranger = |name: &str| NotVerified::Stranger(name.into());

        let line = sign_cosignature(&secret("a9", "cosigner"), &name("a9"), &text, 9).unwrap();
        self.refuse(
            "a stranger's line too",
            |r| r.checkpoint = with(line.clone()),
            stranger("neustadt.example/markstein/a9"),
        );
        let two = ledger.checkpoint(newest, &[0, 1]).merge([line]).unwrap().to_string();
        self.refuse(
            "a stranger's line in place of the third",
            |r| r.checkpoint = two,
            stranger("neustadt.example/markstein/a9"),
        );
        let line = sign_cosignature(&secret("a9", "cosigner"), &name("a3"), &text, 9).unwrap();
        self.refuse(
            "a stranger's key under an authority's name",
            |r| r.checkpoint = with(line),
            stranger("neustadt.example/markstein/a3"),
        );
        let line = sign_ed25519(&KeyName::new(ORIGIN).unwrap(), &secret("a0", "log"), &text).unwrap();
        self.refuse("an authority's log line", |r| r.checkpoint = with(line), stranger(ORIGIN));
        let key = secret("a3", "governance");
        let line = sign_cosignature(&key, &name("a3"), &text, 9).unwrap();
        self.refuse(
            "a line of an authority's other key",
            |r| r.checkpoint = with(line),
            stranger("neustadt.example/markstein/a3"),
        );

        let bad = |source| NotVerified::Checkpoint(CheckpointError::Cosignature { name: name("a3"), source });
        let mut line = ledger.line(newest, 3, &text);
        line.signature[20] ^= 1;
        self.refuse(
            "a bad line of an authority too",
            |r| r.checkpoint = with(line),
            bad(CosignatureError::Signature),
        );
        let mut line = ledger.line(newest, 3, &text);
        line.signature[7] ^= 1;
        self.refuse(
            "a cosignature with another time",
            |r| r.checkpoint = with(line),
            bad(CosignatureError::Signature),
        );
        let line = ledger.line(newest, 3, &ledger.tree_head(newest - 1).to_text());
        self.refuse(
            "a cosignature of another checkpoint",
            |r| r.checkpoint = with(line),
            bad(CosignatureError::Signature),
        );
        let mut line = ledger.line(newest, 3, &text);
        line.signature.pop();
        self.refuse("a short cosignature", |r| r.checkpoint = with(line), bad(CosignatureError::Length(71)));
        let extension = good.to_string().replacen("\n\n", "\nextension\n\n", 1);
        let why = NotVerified::Checkpoint(CheckpointError::ExtensionLines);
        self.refuse("a checkpoint with an extension line", |r| r.checkpoint = extension, why);
        let zeros =
            good.to_string().replacen(&format!("\n{}\n", head.size()), &format!("\n0{}\n", head.size()), 1);
        let why = NotVerified::Checkpoint(CheckpointError::Size);
        self.refuse("a size with a leading zero", |r| r.checkpoint = zeros, why);
        let why = NotVerified::Checkpoint(CheckpointError::Note(NoteError::NoFinalNewline));
        self.refuse("no checkpoint", |r| r.checkpoint.clear(), why);
    }

    fn newest_header(&mut self) {
        let (ledger, newest) = (self.ledger, self.ledger.last());
        let older = ledger.receipt(ledger.index_of(&anchor(1, 1)), salt(1), newest - 1, &[0, 1, 2]);
        let not_last = NotVerified::Places("the newest header is not the last leaf of the checkpoint");
        let spliced = older.latest_header.clone();
        self.refuse("older newest header", |r| r.latest_header = spliced, not_last.clone());
        let checkpoint = older.checkpoint.clone();
        self.refuse("older checkpoint", |r| r.checkpoint = checkpoint, not_last);
        let (checkpoint, header) = (older.checkpoint.clone(), older.latest_header.clone());
        self.refuse(
            "older checkpoint and newest header, proof kept",
            |r| (r.checkpoint, r.latest_header) = (checkpoint, header),
            NotVerified::Inclusion(ProofError::TooLong),
        );
        self.refuse(
            "proof of an older checkpoint",
            |r| r.proof = older.proof,
            NotVerified::Inclusion(ProofError::TooShort),
        );
        let mut forged = ledger.header(newest).clone();
        forged.status_root = hash();
        self.refuse(
            "newest header with another status root",
            |r| r.latest_header.bytes = Leaf::Header(forged).encode(),
            NotVerified::Inclusion(ProofError::RootMismatch),
        );
        let mut forged = ledger.header(1).clone();
        forged.time.0 += 1;
        self.refuse(
            "header with another time",
            |r| r.header.bytes = Leaf::Header(forged).encode(),
            NotVerified::Inclusion(ProofError::RootMismatch),
        );
        let two = ledger.receipt(ledger.index_of(&anchor(1, 1)), salt(1), 1, &[0, 1, 2]);
        let mut forged = ledger.header(1).clone();
        forged.time.0 += 1;
        let receipt = Receipt { header: at(two.header.index.0, &Leaf::Header(forged).encode()), ..two };
        let why = NotVerified::Places("two different leaves have the same place");
        self.cases.refuse("two headers at one place", ledger, 1, receipt, why);
    }

    /// Checkpoints that do not cover the record: of the blocks before it, or of a size that no block ends with.
    fn covered_sizes(&mut self) {
        let ledger = self.ledger;
        let index = ledger.index_of(&anchor(20, 1));
        let good = receipt_of(ledger, (20, &anchor(20, 1)), ledger.last(), &[0, 1, 2]);
        for (name, block) in
            [("checkpoint of the block before the record's", 1), ("checkpoint of block 0", 0)]
        {
            let mut receipt = good.clone();
            receipt.latest_header = ledger.placed(ledger.header_index(block));
            receipt.checkpoint = ledger.checkpoint(block, &[0, 1, 2]).to_string();
            let newer = NotVerified::Places("the record's block is newer than the newest block");
            self.cases.refuse(name, ledger, 20, receipt, newer);
        }
        let not_last = NotVerified::Places("the newest header is not the last leaf of the checkpoint");
        let sizes = [
            ("the record's own place", index),
            ("the record as its last leaf", index + 1),
            ("the record's block without its header", ledger.header_index(2)),
        ];
        for (name, size) in sizes {
            let mut receipt = good.clone();
            let checkpoint = Checkpoint::new(ORIGIN, LogSize(size), hash()).unwrap();
            let text = checkpoint.to_text();
            let lines = [0, 1, 2].map(|signer| ledger.line(ledger.last(), signer, &text));
            receipt.checkpoint = SignedCheckpoint::with_signatures(checkpoint, lines).unwrap().to_string();
            self.cases.refuse(
                &format!("checkpoint of a size that is {name}"),
                ledger,
                20,
                receipt,
                not_last.clone(),
            );
        }
    }

    fn proofs(&mut self) {
        let inclusion = NotVerified::Inclusion;
        self.refuse("one hash too many", |r| r.proof.push(hash()), inclusion(ProofError::TooLong));
        self.refuse("last hash missing", |r| _ = r.proof.pop(), inclusion(ProofError::TooShort));
        self.refuse("first hash missing", |r| _ = r.proof.remove(0), inclusion(ProofError::TooShort));
        self.refuse("no proof", |r| r.proof.clear(), inclusion(ProofError::TooShort));
        self.refuse("two hashes swapped", |r| r.proof.swap(0, 1), inclusion(ProofError::RootMismatch));
        self.refuse("another hash", |r| r.proof[0] = hash(), inclusion(ProofError::RootMismatch));
        self.refuse("path with a hash too many", |r| r.batch_path.push(hash()), NotVerified::NotInBatch);
        self.refuse("path with a hash missing", |r| _ = r.batch_path.pop(), NotVerified::NotInBatch);
    }

    fn status(&mut self) {
        use NotVerified::Status;
        let ledger = self.ledger;
        let index = ledger.index_of(&anchor(290, 1));
        let other = ledger.status_proof(ledger.last(), &[index]);
        let both = ledger.status_proof(ledger.last(), &[1, index]);
        self.refuse("status of another chunk", |r| r.status = other, Status(ProofError::OtherChunks));
        self.refuse("status with an extra chunk", |r| r.status = both, Status(ProofError::OtherChunks));
        self.refuse("no status chunk", |r| r.status.chunks.clear(), Status(ProofError::OtherChunks));
        self.refuse(
            "chunk under another number",
            |r| r.status.chunks[0].0 = 1,
            Status(ProofError::OtherChunks),
        );
        let position = ledger.index_of(&anchor(1, 1)) as u8;
        let revoked = markstein_proto::status::Status::Revoked;
        self.refuse("made-up revocation", |r| r.status.chunks[0].1.set(position, revoked), {
            Status(ProofError::RootMismatch)
        });
        self.refuse("status proof too long", |r| r.status.proof.push(hash()), Status(ProofError::TooLong));
        self.refuse("status proof too short", |r| r.status.proof.clear(), Status(ProofError::TooShort));
        let mut receipt = receipt_of(ledger, (290, &anchor(290, 1)), ledger.last(), &[0, 1, 2]);
        receipt.status.chunks.swap(0, 1);
        let why = Status(ProofError::OtherChunks);
        self.cases.refuse("status chunks swapped", ledger, 290, receipt, why);
    }

    /// Leaves of a later release: nothing can be said about them.
    fn versions(&mut self) {
        for (part, place) in &PARTS {
            let what = wanted(part);
            let why = NotVerified::Decode { part, source: DecodeError::UnknownVersion { what, found: 2 } };
            let bump = |r: &mut Receipt| {
                let bytes = &mut place(r).bytes;
                let start = bytes.windows(2).position(|pair| pair == [8, 1]).unwrap();
                bytes[start + 1] = 2;
            };
            self.refuse(&format!("{part} of a later release"), bump, why);
        }
        let mut bytes = self.good().grant.bytes;
        let Record::IssuerGrant(grant) = super::record(&bytes) else { panic!("not a grant") };
        let key = grant.keys[0].key.to_bytes();
        let start = bytes.windows(32).position(|window| window == key).unwrap();
        bytes[start..start + 32].fill(0);
        let what = "public key of an issuer";
        let why =
            NotVerified::Decode { part: "grant", source: DecodeError::Key { what, source: KeyError::Weak } };
        self.refuse("grant with a weak key", |r| r.grant.bytes = bytes, why);
    }
}

/// What a leaf of one kind in the place of another is refused with, `None` where it is of the right kind.
fn wrong_kind(part: &'static str, kind: &str) -> Option<NotVerified> {
    let (want, found) = match (part, kind) {
        ("record", "anchor") | ("grant", "grant") | ("batch head", "batch head") => return None,
        ("header" | "latest header", "header") => return None,
        ("record", "grant") => return Some(NotVerified::NotAnAnchor),
        ("grant", "anchor") => return Some(NotVerified::NotAGrant),
        (part, kind) => (wanted(part), wanted(kind)),
    };
    Some(NotVerified::Decode { part, source: DecodeError::WrongKind { want, found } })
}

/// The kind of leaf that a part of a receipt is.
fn wanted(part: &str) -> &'static str {
    match part {
        "record" | "anchor" | "grant" => "record",
        "batch head" => "batch head",
        _ => "header",
    }
}
