//! The journal on disk: what this node promised, as typed facts, in the order written.
//!
//! A fact is one byte for its kind and the canonical bytes of what it holds. It was checked before it was written, so
//! signatures are not looked at again. A damaged entry is a lost journal: the node does not start.

use std::collections::{BTreeMap, BTreeSet};

use markstein_consensus::Fact;
use markstein_proto::{
    Batch, BatchId, Hash, View,
    consensus::{
        Ballot, Certificate, CheckedCertificate, CheckedProposal, CheckedVote, Ed25519, Proposal, Verifier,
        Vote,
    },
};

use crate::storage::{
    Db, Read, StorageError, Writes,
    tables::{Journal as JournalTable, ProposedBatches},
};

const VOTED: u8 = 1;
const BLOCK: u8 = 2;
const CERTIFIED: u8 = 3;

/// The bytes of a fact.
pub(super) fn encode(fact: &Fact) -> Vec<u8> {
    let (kind, bytes) = match fact {
        Fact::Voted(vote) => (VOTED, vote.get().encode()),
        Fact::Block(proposal) => (BLOCK, proposal.get().encode()),
        Fact::Certified(certificate) => (CERTIFIED, certificate.get().encode()),
    };
    let mut out = Vec::with_capacity(1 + bytes.len());
    out.push(kind);
    out.extend_from_slice(&bytes);
    out
}

/// The fact these bytes are.
pub(super) fn decode(bytes: &[u8]) -> Result<Fact, StorageError> {
    let damaged = |e: String| StorageError::corrupt("journal", e);
    let Some((kind, bytes)) = bytes.split_first() else { return Err(damaged("an entry is empty".into())) };
    match *kind {
        VOTED => {
            let vote = Vote::decode(bytes).map_err(|e| damaged(e.to_string()))?;
            Ok(Fact::Voted(CheckedVote::own(vote)))
        }
        BLOCK => {
            let proposal = Proposal::decode(bytes).map_err(|e| damaged(e.to_string()))?;
            Ok(Fact::Block(Box::new(CheckedProposal::own(proposal))))
        }
        CERTIFIED => {
            let certificate = Certificate::decode(bytes).map_err(|e| damaged(e.to_string()))?;
            Ok(Fact::Certified(CheckedCertificate::from_journal(certificate)))
        }
        other => Err(damaged(format!("an entry is of the unknown kind {other}"))),
    }
}

/// An entry of the journal whose signatures were verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Its number.
    pub number: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Promise {
    /// A finalization, as the next entry after number `after`.
    #[must_use]
    pub fn finalization(after: Option<u64>, certificate: CheckedCertificate) -> Self {
        Self { number: after.map_or(0, |n| n + 1), bytes: encode(&Fact::Certified(certificate)) }
    }
}

/// Every entry of the journal of authority number `own`: it must decode, and every signature in it must verify. An
/// observer's journal holds no votes.
///
/// # Errors
/// [`StorageError::Corrupt`] at the first entry that is none; otherwise the store's.
pub fn promises<R: Read>(
    read: &R,
    verifier: &Verifier<Ed25519>,
    own: Option<u32>,
) -> Result<Vec<Promise>, StorageError> {
    let entry = |entry: Result<(u64, Vec<u8>), StorageError>| {
        let (number, bytes) = entry?;
        let damaged = |e: &str| StorageError::corrupt("journal", format!("entry {number}: {e}"));
        let verified = match decode(&bytes)? {
            Fact::Voted(vote) if Some(vote.get().signer) != own => {
                return Err(damaged("a vote of another than this node"));
            }
            Fact::Voted(vote) => verifier.vote(vote.get().clone()).map(drop),
            Fact::Block(proposal) => verifier.proposal(proposal.get().clone()).map(drop),
            Fact::Certified(certificate) => verifier.certificate(certificate.get().clone()).map(drop),
        };
        verified.map_err(|e| damaged(&e.to_string()))?;
        Ok(Promise { number, bytes })
    };
    read.range::<JournalTable>(..).map(entry).collect()
}

/// The versions of batches that go with the journal: each must be what its key says.
///
/// # Errors
/// [`StorageError::Corrupt`] at the first that is not; otherwise the store's.
pub fn proposed_batches<R: Read>(
    read: &R,
) -> impl Iterator<Item = Result<((Hash, Hash), Vec<u8>), StorageError>> {
    read.range::<ProposedBatches>(..).map(|entry| {
        let ((id, head), bytes) = entry?;
        let batch = Batch::decode(bytes.clone()).ok();
        if batch.is_some_and(|batch| batch.id().0 == id && batch.head_hash() == head) {
            Ok(((id, head), bytes))
        } else {
            Err(StorageError::corrupt("proposed_batches", format!("batch {id} is damaged")))
        }
    })
}

/// The journal's place on disk, and what of it matters while the node runs.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Number of the next entry.
    next: u64,
    /// Numbers of the entries in use, by view.
    entries: BTreeMap<View, Vec<u64>>,
    /// Blocks that are in it, with their batches.
    blocks: BTreeMap<Hash, View>,
    /// Views in which this node voted finalize.
    finalized: BTreeSet<View>,
    /// Versions of batches written for a block that is not final.
    batches: BTreeMap<(BatchId, Hash), View>,
}

impl Journal {
    /// Loads the facts above a view, oldest first.
    pub(super) fn load(db: &Db, above: View) -> Result<(Self, Vec<Fact>), StorageError> {
        let (mut journal, mut facts) = (Self::default(), Vec::new());
        for entry in db.range::<JournalTable>(..) {
            let (number, bytes) = entry?;
            let fact = decode(&bytes)?;
            journal.next = number + 1;
            journal.note(number, &fact);
            if fact.view() > above {
                facts.push(fact);
            }
        }
        for entry in db.range::<ProposedBatches>(..) {
            let ((id, head), _) = entry?;
            // Its block is in the journal; where it is not, the next finality removes it.
            let named = |fact: &&Fact| match fact {
                Fact::Block(proposal) => proposal.get().batches.contains(&(BatchId(id), head)),
                Fact::Voted(_) | Fact::Certified(_) => false,
            };
            let view = facts.iter().filter(named).map(Fact::view).max().unwrap_or(View(0));
            journal.batches.insert((BatchId(id), head), view);
        }
        Ok((journal, facts))
    }

    fn note(&mut self, number: u64, fact: &Fact) {
        self.entries.entry(fact.view()).or_default().push(number);
        match fact {
            Fact::Voted(vote) => {
                if matches!(vote.subject().ballot, Ballot::Finalize(_)) {
                    self.finalized.insert(vote.subject().view);
                }
            }
            Fact::Block(proposal) => {
                self.blocks.insert(proposal.get().block_id(), fact.view());
            }
            Fact::Certified(_) => {}
        }
    }

    /// Adds a fact to `writes`.
    pub(super) fn append(&mut self, fact: &Fact, writes: &mut Writes) {
        writes.put::<JournalTable>(&self.next, &encode(fact));
        self.note(self.next, fact);
        self.next += 1;
    }

    /// Adds a version of a batch that a block in the journal names and the pool does not hold.
    pub(super) fn keep_batch(
        &mut self,
        id: BatchId,
        head: Hash,
        bytes: &[u8],
        view: View,
        writes: &mut Writes,
    ) {
        let latest = self.batches.entry((id, head)).or_insert(view);
        *latest = (*latest).max(view);
        writes.put::<ProposedBatches>(&(id.0, head), &bytes.to_vec());
    }

    /// Whether a block was made durable with its batches.
    pub(super) fn has_block(&self, block: &Hash) -> bool {
        self.blocks.contains_key(block)
    }

    /// Whether this node's finalize vote in a view is durable.
    pub(super) fn has_finalize(&self, view: View) -> bool {
        self.finalized.contains(&view)
    }

    /// The last view in which this node voted finalize.
    pub(super) fn last_finalize(&self) -> Option<View> {
        self.finalized.last().copied()
    }

    /// Removes everything at or below the final view, in the same write that stores the final block.
    pub(super) fn prune(&mut self, view: View, writes: &mut Writes) {
        let kept = self.entries.split_off(&view.next());
        for number in std::mem::replace(&mut self.entries, kept).into_values().flatten() {
            writes.delete::<JournalTable>(&number);
        }
        self.batches.retain(|(id, head), latest| {
            let keep = *latest > view;
            if !keep {
                writes.delete::<ProposedBatches>(&(id.0, *head));
            }
            keep
        });
        self.blocks.retain(|_, at| *at > view);
        self.finalized = self.finalized.split_off(&view.next());
    }
}
