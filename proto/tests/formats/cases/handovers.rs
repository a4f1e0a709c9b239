//! Receipts whose way from the genesis set to the signers is broken.

use markstein_proto::{
    DecodeError,
    note::{CheckpointError, CosignatureError, KeyName},
    receipt::{NotVerified, Receipt},
};

use super::{Cases, hash, receipt_of};
use crate::support::{Ledger, ORIGIN, PERMITS, START_MS, anchor, authority_set, genesis};

/// Epoch 0 with authorities 0 to 3, epoch 1 with 1 to 4, epoch 2 with 10 to 16. Document 1 is in epoch 0. Block 2 ends
/// epoch 0, block 4 ends epoch 1, block 5 is the newest.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(genesis(4));
    ledger.anchor(START_MS + 1, PERMITS, &[anchor(1, 1)]);
    ledger.end_epoch(START_MS + 2, authority_set(1, [1, 2, 3, 4]));
    ledger.append(START_MS + 3, &[]);
    ledger.end_epoch(START_MS + 4, authority_set(2, 10..17));
    ledger.append(START_MS + 5, &[]);
    ledger
}

const FIVE: [usize; 5] = [0, 1, 2, 3, 4];

pub(super) fn add(cases: &mut Cases) {
    let ledger = ledger();
    let mut list = Broken { ledger: &ledger, cases };
    list.order();
    list.signers();
    list.parts();
    list.last_blocks();
    forks(cases, &ledger);
}

/// Authorities of epoch 1 that sign two logs: the sizes tell.
fn forks(cases: &mut Cases, ledger: &Ledger) {
    let mut short = Ledger::new(genesis(4));
    short.end_epoch(START_MS + 2, authority_set(1, [1, 2, 3, 4]));
    short.end_epoch(START_MS + 4, authority_set(2, 10..17));
    let mut receipt = receipt_of(ledger, (1, &anchor(1, 1)), ledger.last(), &FIVE);
    receipt.handovers[1].clone_from(&short.handovers[1]);
    let why = handover(2, "it does not come after the one before it");
    cases.refuse("second handover at a smaller size", ledger, 1, receipt, why);

    let mut long = Ledger::new(genesis(4));
    (1..9).for_each(|n| _ = long.append(START_MS + n, &[]));
    long.end_epoch(START_MS + 9, authority_set(1, [1, 2, 3, 4]));
    let mut receipt = receipt_of(ledger, (1, &anchor(1, 1)), 3, &[0, 1, 2]);
    receipt.handovers.clone_from(&long.handovers);
    let why = NotVerified::AnotherAuthoritySet;
    cases.refuse("newest header of the new epoch before its handover", ledger, 1, receipt, why);
}

struct Broken<'a> {
    ledger: &'a Ledger,
    cases: &'a mut Cases,
}

fn stranger(id: &str) -> NotVerified {
    NotVerified::Stranger(format!("{ORIGIN}/{id}"))
}

fn handover(number: usize, why: &'static str) -> NotVerified {
    NotVerified::Handover { number, why }
}

impl Broken<'_> {
    fn good(&self) -> Receipt {
        receipt_of(self.ledger, (1, &anchor(1, 1)), self.ledger.last(), &FIVE)
    }

    fn refuse(&mut self, name: &str, change: impl FnOnce(&mut Receipt), why: NotVerified) {
        let mut receipt = self.good();
        change(&mut receipt);
        assert_ne!(receipt, self.good(), "{name}: nothing was changed");
        self.cases.refuse(name, self.ledger, 1, receipt, why);
    }

    fn order(&mut self) {
        let set = NotVerified::AnotherAuthoritySet;
        self.refuse("all handovers left out", |r| r.handovers.clear(), set.clone());
        self.refuse("last handover left out", |r| _ = r.handovers.pop(), set);
        // Authorities 1 to 3, who sign the second handover, are of epoch 0 too: the epoch tells. Authority 4 is not.
        let why = handover(1, "its block is not of the epoch it ends");
        self.refuse("first handover left out", |r| _ = r.handovers.remove(0), why.clone());
        let new = self.ledger.handover(4, &[1, 2, 3], self.ledger.set(2));
        self.refuse("first handover left out, new signer", |r| r.handovers = vec![new], stranger("a4"));
        self.refuse("handovers reversed", |r| r.handovers.reverse(), why);
        self.refuse(
            "first handover twice",
            |r| r.handovers.insert(0, r.handovers[0].clone()),
            stranger("a0"),
        );
        self.refuse("last handover twice", |r| r.handovers.push(r.handovers[1].clone()), stranger("a1"));
    }

    fn signers(&mut self) {
        let next = self.ledger.set(1);
        let few = |have, need| NotVerified::Checkpoint(CheckpointError::TooFewCosignatures { have, need });
        let two = self.ledger.handover(2, &[0, 1], next);
        self.refuse("handover with one cosignature too few", |r| r.handovers[0] = two, few(2, 3));

        // The new set signs its own handover: two of its members are strangers to the old one or do not suffice.
        let head = self.ledger.tree_head(2);
        let new = |signers: &[usize]| {
            let lines: Vec<_> = signers.iter().map(|s| self.ledger.line(3, *s, &head.to_text())).collect();
            let signed = markstein_proto::note::SignedCheckpoint::with_signatures(head.clone(), lines);
            signed.unwrap().to_string()
        };
        let (all, shared) = (new(&[0, 1, 2, 3]), new(&[0, 1]));
        self.refuse(
            "handover signed by the new set only",
            |r| r.handovers[0].checkpoint = all,
            stranger("a4"),
        );
        self.refuse("handover signed by those who stay", |r| r.handovers[0].checkpoint = shared, few(2, 3));
        let bad = NotVerified::Checkpoint(CheckpointError::Cosignature {
            name: KeyName::new(&format!("{ORIGIN}/a0")).unwrap(),
            source: CosignatureError::Signature,
        });
        let mut lines = self.ledger.checkpoint(2, &[0, 1, 2]).note().signatures().to_vec();
        lines[0].signature[30] ^= 4;
        let damaged = markstein_proto::note::SignedCheckpoint::with_signatures(head.clone(), lines)
            .unwrap()
            .to_string();
        self.refuse("handover with a bad line", |r| r.handovers[0].checkpoint = damaged, bad);
    }

    fn parts(&mut self) {
        let why = handover(1, "its header names other authorities");
        let other = authority_set(1, [1, 2, 3, 5]).encode();
        self.refuse("handover to another set", |r| r.handovers[0].next = other, why);
        let skipped = self.ledger.set(2).encode();
        let why = handover(1, "it does not lead to the next epoch");
        self.refuse("handover to the set after the next", |r| r.handovers[0].next = skipped, why);
        let same = self.ledger.set(0).encode();
        let why = handover(1, "it does not lead to the next epoch");
        self.refuse("handover to the same set", |r| r.handovers[0].next = same, why);
        let why = handover(1, "its header is not where it says");
        self.refuse("handover with a shifted header", |r| r.handovers[0].header.index.0 += 1, why);

        let last = handover(1, "its header is not the last leaf of its checkpoint");
        let later = self.ledger.checkpoint(2, &[0, 1, 2]);
        let block_1 = self.ledger.checkpoint(1, &[0, 1, 2]).to_string();
        assert_ne!(later.to_string(), block_1);
        self.refuse("handover with an older checkpoint", |r| r.handovers[0].checkpoint = block_1, last);
        let normal = self.ledger.placed(self.ledger.header_index(1));
        let why = handover(1, "its header names other authorities");
        self.refuse("handover with a block inside the epoch", |r| r.handovers[0].header = normal, why);

        let proof = handover(1, "its header is not in the log that the authorities signed");
        self.refuse("handover without proof", |r| r.handovers[0].proof.clear(), proof.clone());
        self.refuse("handover with a long proof", |r| r.handovers[0].proof.push(hash()), proof.clone());
        let mut header = self.ledger.header(2).clone();
        header.view.0 += 1;
        let forged = markstein_proto::Leaf::Header(header).encode();
        self.refuse("handover with a forged header", |r| r.handovers[0].header.bytes = forged, proof);

        let part = "header of a handover";
        let why =
            NotVerified::Decode { part, source: DecodeError::WrongKind { want: "header", found: "record" } };
        self.refuse(
            "handover with a record",
            |r| r.handovers[0].header.bytes.clone_from(&r.record.bytes),
            why,
        );
        let part = "authorities of a handover";
        let source = DecodeError::Malformed("authority set");
        let why = NotVerified::Decode { part, source };
        self.refuse("handover with half a set", |r| _ = r.handovers[0].next.pop(), why);
        let source = DecodeError::Count { what: "authorities", min: 1, max: 64, got: 0 };
        let why = NotVerified::Decode { part, source };
        self.refuse("handover to nobody", |r| r.handovers[0].next = vec![8, 1], why);
    }

    /// The checkpoint of an epoch's last block proves the handover and nothing else.
    fn last_blocks(&mut self) {
        let receipt = receipt_of(self.ledger, (1, &anchor(1, 1)), 2, &[0, 1, 2]);
        let why = NotVerified::AnotherAuthoritySet;
        self.cases.refuse("last block of the first epoch", self.ledger, 1, receipt.clone(), why.clone());
        let with_handover = Receipt { handovers: self.ledger.handovers[..1].to_vec(), ..receipt };
        self.cases.refuse("last block after its own handover", self.ledger, 1, with_handover, why.clone());
        let receipt = receipt_of(self.ledger, (1, &anchor(1, 1)), 4, &[0, 1, 2]);
        self.cases.refuse("last block of the second epoch", self.ledger, 1, receipt, why);

        // A set that hands over and then goes on signing its old epoch.
        let mut fork = Ledger::new(genesis(4));
        fork.anchor(START_MS + 1, PERMITS, &[anchor(1, 1)]);
        let old = fork.append(START_MS + 9, &[]);
        let mut receipt = receipt_of(&fork, (1, &anchor(1, 1)), old, &[0, 1, 2]);
        receipt.handovers.clone_from(&self.ledger.handovers);
        let why = NotVerified::AnotherAuthoritySet;
        self.cases.refuse("newest header of an ended epoch", self.ledger, 1, receipt, why.clone());
        // The new set signs a log that ends before the handover.
        let mut short = Ledger::new(genesis(4));
        short.anchor(START_MS + 1, PERMITS, &[anchor(1, 1)]);
        let mut receipt = receipt_of(&short, (1, &anchor(1, 1)), 1, &[0, 1, 2]);
        receipt.handovers = self.ledger.handovers[..1].to_vec();
        self.cases.refuse("newest header before the handover", self.ledger, 1, receipt, why);
    }
}
