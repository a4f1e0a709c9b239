//! Good receipts out of the published vectors, and ways to change one.

use std::sync::LazyLock;

use markstein_proto::{
    DocumentDigest, Genesis, Hash, LeafIndex,
    encoding::base64_decode,
    receipt::{Handover, PlacedLeaf, Receipt, TrustRoot, Verified},
    status::Chunk,
};

use crate::bytes::Bytes;

/// A receipt that a verifier accepts, and what it then says.
#[derive(Debug)]
pub struct Good {
    /// Whom the verifier trusts.
    pub trust: TrustRoot,
    /// The document.
    pub document: DocumentDigest,
    /// The receipt.
    pub receipt: Receipt,
    /// What it proves.
    pub verified: Verified,
}

/// All of them, in the order of the file.
pub static GOOD: LazyLock<Vec<Good>> = LazyLock::new(|| {
    let json = include_str!("../../../proto/tests/vectors/markstein/receipts.json");
    let file: serde_json::Value = serde_json::from_str(json).expect("the vectors are JSON");
    let cases = file["cases"].as_array().expect("they are a list of cases");
    cases.iter().filter(|case| case["expected"] == "accept").map(|case| Good::of(case, &file)).collect()
});

impl Good {
    fn of(case: &serde_json::Value, file: &serde_json::Value) -> Self {
        let text = |name: &str| case[name].as_str().expect("each case has it, as a text");
        let genesis = file["geneses"][text("genesis")].as_str().expect("the file has each genesis");
        let genesis = base64_decode(genesis, usize::MAX).expect("it is base64");
        let trust = TrustRoot::new(Genesis::decode(&genesis).expect("it is a genesis"));
        let digest = text("document_digest").as_bytes().chunks(2);
        let digit = |pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
        let digest: Vec<u8> = digest.map(digit).collect();
        let document = DocumentDigest(Hash(digest.try_into().expect("it has 32 bytes")));
        let receipt = Receipt::from_json(text("receipt").as_bytes()).expect("it is a receipt");
        let verified = receipt.verify(&trust, &document).expect("it is accepted");
        Self { trust, document, receipt, verified }
    }

    /// One of them.
    pub fn choose(from: &mut Bytes) -> &'static Self {
        &GOOD[from.below(GOOD.len() as u64) as usize]
    }

    /// What a changed receipt may prove where it is accepted at all: the same of the document, and of the ledger what
    /// an honest receipt proves with the same newest header. Signers may be fewer, and then the time is earlier.
    ///
    /// # Panics
    /// Where it proves anything else.
    pub fn require_same_claims(&self, receipt: &Receipt, verified: &Verified) {
        let of_document = |v: &Verified| {
            let valid = (v.anchored_at, v.valid_until);
            let issuer = (v.issuer.clone(), v.issuer_name.clone(), v.document_type.clone());
            (v.ledger, issuer, v.public, valid, v.index, v.height, v.supersedes)
        };
        assert_eq!(of_document(verified), of_document(&self.verified));
        let of_ledger = |v: &Verified| (v.log_size, v.epoch, v.authorities, v.quorum);
        let same = |other: &&Good| {
            other.trust.ledger_id() == self.trust.ledger_id()
                && other.receipt.latest_header == receipt.latest_header
        };
        let honest: Vec<&Good> = GOOD.iter().filter(same).collect();
        assert!(honest.iter().any(|other| of_ledger(&other.verified) == of_ledger(verified)));
        let of_status = |v: &Verified| (v.index, v.status, v.issuer_status);
        for other in honest.iter().filter(|other| other.verified.index == verified.index) {
            assert_eq!(of_status(&other.verified), of_status(verified));
        }
        // A suspension that was lifted may be left out, and nothing else; nothing is added.
        for other in honest.iter().filter(|other| other.verified.index == verified.index) {
            let known = |event| other.verified.history.contains(event);
            assert!(verified.history.iter().all(known));
        }
        assert!(honest.iter().any(|other| verified.as_of_s <= other.verified.as_of_s));
        assert!(verified.vouchers.len() >= verified.quorum);
    }
}

/// One change: of a part, or a part exchanged for that of another good receipt.
pub fn change(receipt: &mut Receipt, from: &mut Bytes) {
    match from.below(11) {
        0 => change_leaf(any_leaf(receipt, from), from),
        1 => change_hashes(&mut receipt.proof, from),
        2 => change_hashes(&mut receipt.batch_path, from),
        3 => change_hashes(&mut receipt.status.proof, from),
        4 => change_chunks(&mut receipt.status.chunks, from),
        5 => change_text(&mut receipt.checkpoint, from),
        6 => change_handovers(&mut receipt.handovers, from),
        7 => match &mut receipt.salt {
            Some(salt) if from.chance(80) => salt.0[usize::from(from.byte() % 32)] ^= from.byte(),
            _ => receipt.salt = Good::choose(from).receipt.salt,
        },
        8 => change_changes(receipt, from),
        _ => exchange(receipt, &Good::choose(from).receipt, from),
    }
}

fn any_leaf<'a>(receipt: &'a mut Receipt, from: &mut Bytes) -> &'a mut PlacedLeaf {
    if !receipt.changes.is_empty() && from.chance(50) {
        let number = usize::from(from.byte()) % receipt.changes.len();
        let change = &mut receipt.changes[number];
        return match from.below(3) {
            0 => &mut change.record,
            1 => &mut change.batch_head,
            _ => &mut change.header,
        };
    }
    match from.below(5) {
        0 => &mut receipt.record,
        1 => &mut receipt.batch_head,
        2 => &mut receipt.grant,
        3 => &mut receipt.header,
        _ => &mut receipt.latest_header,
    }
}

fn change_leaf(leaf: &mut PlacedLeaf, from: &mut Bytes) {
    match from.below(4) {
        0 => leaf.index = LeafIndex(leaf.index.0.wrapping_add_signed(i64::from(from.byte().cast_signed()))),
        1 => {
            let at = usize::from(from.byte()) * 8 + usize::from(from.byte() % 8);
            let length = leaf.bytes.len().max(1);
            if let Some(byte) = leaf.bytes.get_mut(at % length) {
                *byte ^= from.byte();
            }
        }
        2 => leaf.bytes.push(from.byte()),
        _ => leaf.bytes.truncate(usize::from(from.byte())),
    }
}

fn change_hashes(hashes: &mut Vec<Hash>, from: &mut Bytes) {
    let at = usize::from(from.byte());
    match (from.below(4), hashes.len()) {
        (0, length) => hashes.insert(at % (length + 1), Hash([from.byte(); 32])),
        (_, 0) => {}
        (1, length) => drop(hashes.remove(at % length)),
        (2, length) => hashes[at % length].0[usize::from(from.byte() % 32)] ^= from.byte(),
        (_, length) => hashes.swap(at % length, usize::from(from.byte()) % length),
    }
}

fn change_chunks(chunks: &mut Vec<(u64, Chunk)>, from: &mut Bytes) {
    let at = usize::from(from.byte());
    match (from.below(4), chunks.len()) {
        (0, _) => chunks.push((u64::from(from.byte()), Chunk([from.byte(); 32]))),
        (_, 0) => {}
        (1, length) => drop(chunks.remove(at % length)),
        (2, length) => chunks[at % length].0 = u64::from(from.byte()),
        (_, length) => chunks[at % length].1.0[usize::from(from.byte() % 32)] ^= from.byte(),
    }
}

/// Of a checkpoint's text a character, or whole lines.
fn change_text(text: &mut String, from: &mut Bytes) {
    let mut lines: Vec<String> = text.split('\n').map(ToOwned::to_owned).collect();
    let (one, other) = (usize::from(from.byte()) % lines.len(), usize::from(from.byte()) % lines.len());
    match from.below(5) {
        0 => drop(lines.remove(one)),
        1 => lines.swap(one, other),
        2 => lines.insert(one, lines[other].clone()),
        3 => lines[one].push(char::from(from.byte())),
        _ => {
            let mut line: Vec<char> = lines[one].chars().collect();
            if !line.is_empty() {
                let at = usize::from(from.byte()) % line.len();
                line[at] = char::from(from.byte());
            }
            lines[one] = line.into_iter().collect();
        }
    }
    *text = lines.join("\n");
}

fn change_handovers(handovers: &mut Vec<Handover>, from: &mut Bytes) {
    let other = &Good::choose(from).receipt.handovers;
    let at = usize::from(from.byte());
    match (from.below(6), handovers.len()) {
        (0, _) => handovers.extend(other.iter().cloned()),
        (_, 0) => {}
        (1, length) => drop(handovers.remove(at % length)),
        (2, length) => handovers.swap(at % length, 0),
        (3, length) => change_leaf(&mut handovers[at % length].header, from),
        (4, length) => change_text(&mut handovers[at % length].checkpoint, from),
        (_, length) => {
            let next = &mut handovers[at % length].next;
            let place = (usize::from(from.byte()) << 8 | usize::from(from.byte())) % next.len().max(1);
            if let Some(byte) = next.get_mut(place) {
                *byte ^= from.byte();
            }
        }
    }
}

/// Changes of the status left out, repeated, in another order, or another receipt's.
fn change_changes(receipt: &mut Receipt, from: &mut Bytes) {
    let other = &Good::choose(from).receipt.changes;
    let at = usize::from(from.byte());
    let changes = &mut receipt.changes;
    match (from.below(4), changes.len()) {
        (0, _) => changes.extend(other.iter().cloned()),
        (_, 0) => {}
        (1, length) => drop(changes.remove(at % length)),
        (2, length) => changes.swap(at % length, 0),
        (_, length) => changes.push(changes[at % length].clone()),
    }
}

fn exchange(receipt: &mut Receipt, other: &Receipt, from: &mut Bytes) {
    match from.below(11) {
        0 => receipt.record.clone_from(&other.record),
        1 => receipt.batch_head.clone_from(&other.batch_head),
        2 => receipt.batch_path.clone_from(&other.batch_path),
        3 => receipt.grant.clone_from(&other.grant),
        4 => receipt.header.clone_from(&other.header),
        5 => receipt.latest_header.clone_from(&other.latest_header),
        6 => receipt.proof.clone_from(&other.proof),
        7 => receipt.status.clone_from(&other.status),
        8 => receipt.checkpoint.clone_from(&other.checkpoint),
        9 => receipt.changes.clone_from(&other.changes),
        _ => receipt.handovers.clone_from(&other.handovers),
    }
}
