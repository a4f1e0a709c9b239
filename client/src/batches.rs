//! Which records go into which batch.
//!
//! Every document gets a salt and a record; a batch takes as many as its bounds allow and orders them by
//! commitment, so that the order of records tells nothing about the documents. Changes of a status are ordered by the
//! records that they are about.

use std::{collections::BTreeMap, mem, path::PathBuf};

use markstein_proto::{
    Anchor, BATCH_MAX, BATCH_RECORDS_MAX, Commitment, DocumentDigest, LeafIndex, Record, Salt, StatusChange,
    TimeMs,
};

use crate::scan::Document;

/// Bytes kept free in a batch for its head.
const HEAD_ROOM: usize = 4096;

/// What is said about every document of a run.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Registered code.
    pub document_type: u32,
    /// Made with the all-zero salt.
    pub public: bool,
    /// When the documents end by their own word.
    pub valid_until: Option<TimeMs>,
}

/// A document that shall replace an earlier one.
#[derive(Clone, Debug)]
pub struct Successor {
    /// The document.
    pub document: Document,
    /// Its digest.
    pub digest: DocumentDigest,
    /// What is said about it.
    pub statement: Statement,
    /// The record of the earlier one.
    pub supersedes: LeafIndex,
    /// The receipts of that record.
    pub renewals: Vec<Renewal>,
}

/// A record to be, with what follows once it is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What goes into the ledger.
    pub record: Record,
    /// Of an anchor: what its receipt needs.
    pub paper: Option<Paper>,
    /// Of a record that changes the status of another: that one's receipts.
    pub renewals: Vec<Renewal>,
}

/// What belongs to an anchor and stays here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paper {
    /// What hides the document.
    pub salt: Salt,
    /// The document's digest.
    pub digest: DocumentDigest,
    /// Documents with this content; more than one only where they share a public record.
    pub documents: Vec<Document>,
}

/// A receipt that shall show the new status of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The receipt there is, or the document: who may read it may read the new receipt.
    pub like: PathBuf,
    /// Where the new receipt goes.
    pub receipt: PathBuf,
    /// The salt of the receipt there is.
    pub salt: Option<Salt>,
}

/// The records for these documents, batch by batch. Equal documents share one record where it is public; otherwise
/// each has its own salt and nobody can tell that they are equal. `draw` fills a salt with random bytes.
///
/// # Errors
/// Those of `draw`.
pub fn plan<E>(
    documents: Vec<(Document, DocumentDigest)>,
    statement: Statement,
    batch_records: usize,
    draw: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Vec<Vec<Planned>>, E> {
    let of = |(document, digest)| (document, digest, statement, None);
    plan_anchors(documents.into_iter().map(of), batch_records, draw)
}

/// The same for documents that replace earlier ones.
///
/// # Errors
/// Those of `draw`.
pub fn plan_successors<E>(
    successors: Vec<Successor>,
    batch_records: usize,
    draw: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Vec<Vec<Planned>>, E> {
    let of = |s: Successor| (s.document, s.digest, s.statement, Some((s.supersedes, s.renewals)));
    plan_anchors(successors.into_iter().map(of), batch_records, draw)
}

/// The records for these changes, batch by batch.
#[must_use]
pub fn plan_changes(
    mut changes: Vec<(StatusChange, Vec<Renewal>)>,
    batch_records: usize,
) -> Vec<Vec<Planned>> {
    changes.sort_by_key(|(change, _)| change.target());
    let planned =
        |(change, renewals)| Planned { record: Record::StatusChange(change), paper: None, renewals };
    let changes = changes.into_iter().map(planned).collect();
    split(changes, batch_records.clamp(1, BATCH_RECORDS_MAX), encoded_len)
}

type Replaced = Option<(LeafIndex, Vec<Renewal>)>;

fn plan_anchors<E>(
    documents: impl Iterator<Item = (Document, DocumentDigest, Statement, Replaced)>,
    batch_records: usize,
    mut draw: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Vec<Vec<Planned>>, E> {
    let mut records: Vec<(Commitment, Planned)> = Vec::with_capacity(documents.size_hint().0);
    let mut shared: BTreeMap<(DocumentDigest, Option<LeafIndex>), usize> = BTreeMap::new();
    for (document, digest, statement, replaced) in documents {
        if statement.public {
            let place = *shared.entry((digest, replaced.as_ref().map(|r| r.0))).or_insert(records.len());
            if let Some(paper) = records.get_mut(place).and_then(|(_, record)| record.paper.as_mut()) {
                paper.documents.push(document);
                continue;
            }
        }
        let mut salt = Salt::PUBLIC;
        while !statement.public && salt == Salt::PUBLIC {
            draw(&mut salt.0)?;
        }
        let paper = Paper { salt, digest, documents: vec![document] };
        records.push(planned(paper, statement, replaced));
    }
    let count = batch_records.clamp(1, BATCH_RECORDS_MAX);
    let batches = split(records, count, |(_, record)| encoded_len(record));
    let ordered = |mut batch: Vec<(Commitment, Planned)>| {
        batch.sort_by_key(|(commitment, _)| *commitment);
        batch.into_iter().map(|(_, record)| record).collect()
    };
    Ok(batches.into_iter().map(ordered).collect())
}

fn planned(paper: Paper, statement: Statement, replaced: Replaced) -> (Commitment, Planned) {
    let (supersedes, renewals) = replaced.map_or((None, Vec::new()), |(index, all)| (Some(index), all));
    let commitment = Commitment::of(&paper.salt, &paper.digest);
    let anchor = Anchor {
        commitment,
        public: statement.public,
        document_type: statement.document_type,
        valid_until: statement.valid_until,
        supersedes,
    };
    (commitment, Planned { record: Record::Anchor(anchor), paper: Some(paper), renewals })
}

/// Bytes a record takes in a batch: its leaf, a tag, and a length of up to three bytes.
fn encoded_len(planned: &Planned) -> usize {
    planned.record.to_leaf().len() + 4
}

/// Cuts a list into pieces that keep to both bounds.
fn split<T>(items: Vec<T>, count_max: usize, bytes_of: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut batches, mut batch, mut bytes) = (Vec::new(), Vec::new(), 0);
    for item in items {
        let more = bytes_of(&item);
        if batch.len() == count_max || (!batch.is_empty() && bytes + more > BATCH_MAX - HEAD_ROOM) {
            batches.push(mem::take(&mut batch));
            bytes = 0;
        }
        bytes += more;
        batch.push(item);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::convert::Infallible;

    use markstein_proto::{Batch, Hash, IssuerId, LedgerId, Reason, SecretKey, status::Status};

    use super::*;

    fn documents(count: usize) -> Vec<(Document, DocumentDigest)> {
        let document = |i: usize| {
            let document = Document { path: format!("/{i}").into(), receipt: format!("/{i}.r").into() };
            (document, DocumentDigest(Hash::of(&[&i.to_be_bytes()])))
        };
        (0..count).map(document).collect()
    }

    fn counter() -> impl FnMut(&mut [u8]) -> Result<(), Infallible> {
        let mut next = 0_u64;
        move |salt: &mut [u8]| {
            salt[..8].copy_from_slice(&next.to_be_bytes()); // the first one is all zero: it must be drawn again
            next += 1;
            Ok(())
        }
    }

    fn anchor(planned: &Planned) -> &Anchor {
        let Record::Anchor(anchor) = &planned.record else { panic!("{planned:?}") };
        anchor
    }

    fn paper(planned: &Planned) -> &Paper {
        planned.paper.as_ref().unwrap()
    }

    const SALTED: Statement = Statement { document_type: 1, public: false, valid_until: None };
    const PUBLIC: Statement =
        Statement { document_type: u32::MAX, public: true, valid_until: Some(TimeMs(u64::MAX)) };

    #[test]
    fn ten_thousand_records_are_one_batch_and_it_is_valid() {
        for statement in [SALTED, PUBLIC] {
            let batches = plan(documents(10_001), statement, usize::MAX, counter()).unwrap();
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [10_000, 1]);
            let records: Vec<_> = batches[0].iter().map(|r| r.record.clone()).collect();
            let issuer = IssuerId::new(&"i".repeat(64)).unwrap();
            let key = SecretKey::from_seed(&[1; 32]);
            let batch = Batch::sign(LedgerId(Hash::ZERO), &issuer, &key, TimeMs(u64::MAX), &records).unwrap();
            assert!(batch.bytes().len() <= BATCH_MAX);
        }
    }

    #[test]
    fn both_bounds_hold() {
        let sizes =
            |items: Vec<usize>, count| split(items, count, |n| *n).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![], 3), [0_usize; 0]);
        assert_eq!(sizes(vec![1; 7], 3), [3, 3, 1]);
        let room = BATCH_MAX - HEAD_ROOM;
        assert_eq!(sizes(vec![room, 1, room - 1, 1], 10), [1, 2, 1]);
        assert_eq!(sizes(vec![room + 1, 1], 10), [1, 1], "a giant stands alone and is refused when signed");
    }

    #[test]
    fn records_are_ordered_by_commitment() {
        let batches = plan(documents(500), SALTED, 200, counter()).unwrap();
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [200, 200, 100]);
        for batch in batches {
            assert!(batch.is_sorted_by_key(|r| anchor(r).commitment));
            assert!(batch.iter().all(|r| paper(r).salt != Salt::PUBLIC && !anchor(r).public));
        }
    }

    #[test]
    fn equal_public_documents_share_one_record() {
        let mut twice = documents(3);
        twice.extend(documents(2));
        let shared = plan(twice.clone(), PUBLIC, 1, counter()).unwrap();
        assert_eq!(shared.iter().map(|b| paper(&b[0]).documents.len()).collect::<Vec<_>>(), [2, 2, 1]);
        let salted = plan(twice, SALTED, 10, counter()).unwrap();
        assert_eq!(salted[0].len(), 5, "salted, each has a record of its own");
    }

    #[test]
    fn successors_name_what_they_replace_and_share_no_record_of_another() {
        let successor = |(number, (document, digest)): (usize, (Document, DocumentDigest))| {
            let supersedes = LeafIndex(10 + number as u64 / 2);
            let renewals = vec![Renewal { like: "/old".into(), receipt: "/old".into(), salt: None }];
            Successor { document, digest, statement: PUBLIC, supersedes, renewals }
        };
        let all: Vec<_> = (0..4).flat_map(|_| documents(1)).collect(); // two documents for each of two records
        let successors = all.into_iter().enumerate().map(successor).collect();
        let batches = plan_successors(successors, 10, counter()).unwrap();
        let mut replaced: Vec<_> = batches[0].iter().map(|p| anchor(p).supersedes.unwrap().0).collect();
        replaced.sort_unstable();
        assert_eq!((batches.len(), replaced), (1, vec![10, 11]));
        assert!(batches[0].iter().all(|p| paper(p).documents.len() == 2 && p.renewals.len() == 1));
    }

    #[test]
    fn ten_thousand_changes_are_one_batch_in_the_order_of_their_records() {
        let change = |i: u64| {
            let (from, to) = (Status::Valid, Status::Revoked);
            (StatusChange::new(LeafIndex(u64::MAX - i), from, to, Reason::CourtOrder).unwrap(), vec![])
        };
        let batches = plan_changes((0..10_001).map(change).collect(), usize::MAX);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [10_000, 1]);
        let target = |p: &Planned| p.record.status_step().unwrap().target();
        assert!(batches[0].is_sorted_by_key(target) && target(&batches[1][0]).0 == u64::MAX);
    }
}
