//! Which records go into which batch.
//!
//! Every document gets a salt and a record; a batch takes as many as its bounds allow and orders them by
//! commitment, so that the order of records tells nothing about the documents.

use std::{collections::BTreeMap, mem};

use markstein_proto::{
    Anchor, BATCH_MAX, BATCH_RECORDS_MAX, Commitment, DocumentDigest, Record, Salt, TimeMs,
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

/// A record to be, with what its receipt needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What goes into the ledger.
    pub anchor: Anchor,
    /// What hides the document.
    pub salt: Salt,
    /// The document's digest.
    pub digest: DocumentDigest,
    /// Documents with this content; more than one only where they share a public record.
    pub documents: Vec<Document>,
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
    mut draw: impl FnMut(&mut [u8]) -> Result<(), E>,
) -> Result<Vec<Vec<Planned>>, E> {
    let mut records: Vec<Planned> = Vec::with_capacity(documents.len());
    let mut by_digest: BTreeMap<DocumentDigest, usize> = BTreeMap::new();
    for (document, digest) in documents {
        if statement.public {
            let place = *by_digest.entry(digest).or_insert(records.len());
            if let Some(record) = records.get_mut(place) {
                record.documents.push(document);
                continue;
            }
        }
        let mut salt = Salt::PUBLIC;
        while !statement.public && salt == Salt::PUBLIC {
            draw(&mut salt.0)?;
        }
        records.push(planned(document, digest, salt, statement));
    }
    let mut batches = split(records, batch_records.clamp(1, BATCH_RECORDS_MAX), encoded_len);
    for batch in &mut batches {
        batch.sort_by_key(|record| record.anchor.commitment);
    }
    Ok(batches)
}

fn planned(document: Document, digest: DocumentDigest, salt: Salt, statement: Statement) -> Planned {
    let anchor = Anchor {
        commitment: Commitment::of(&salt, &digest),
        public: statement.public,
        document_type: statement.document_type,
        valid_until: statement.valid_until,
    };
    Planned { anchor, salt, digest, documents: vec![document] }
}

/// Bytes a record takes in a batch: its leaf, a tag, and a length of up to three bytes.
fn encoded_len(record: &Planned) -> usize {
    Record::Anchor(record.anchor.clone()).to_leaf().len() + 4
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

    use markstein_proto::{Batch, Hash, IssuerId, LedgerId, SecretKey};

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

    const SALTED: Statement = Statement { document_type: 1, public: false, valid_until: None };
    const PUBLIC: Statement =
        Statement { document_type: u32::MAX, public: true, valid_until: Some(TimeMs(u64::MAX)) };

    #[test]
    fn ten_thousand_records_are_one_batch_and_it_is_valid() {
        for statement in [SALTED, PUBLIC] {
            let batches = plan(documents(10_001), statement, usize::MAX, counter()).unwrap();
            assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [10_000, 1]);
            let records: Vec<_> = batches[0].iter().map(|r| Record::Anchor(r.anchor.clone())).collect();
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
            assert!(batch.is_sorted_by_key(|r| r.anchor.commitment));
            assert!(batch.iter().all(|r| r.salt != Salt::PUBLIC && !r.anchor.public));
        }
    }

    #[test]
    fn equal_public_documents_share_one_record() {
        let mut twice = documents(3);
        twice.extend(documents(2));
        let shared = plan(twice.clone(), PUBLIC, 1, counter()).unwrap();
        assert_eq!(shared.iter().map(|b| b[0].documents.len()).collect::<Vec<_>>(), [2, 2, 1]);
        let salted = plan(twice, SALTED, 10, counter()).unwrap();
        assert_eq!(salted[0].len(), 5, "salted, each has a record of its own");
    }
}
