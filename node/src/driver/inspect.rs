//! Looks at messages before the driver does: every signature in them is verified here, once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use markstein_proto::{
    AuthoritySet, Batch, LedgerId, View,
    consensus::{Ballot, Certificate, CheckedCertificate, Subject, Verifier, Vote, VoteError},
};

use super::Checked;
use crate::{
    messages::{Message, Range},
    peer::{Misbehaviour, Peer},
    verified::{Verified, Voters},
    work::{self, Step},
};

/// Subjects of certificates that are remembered.
const KNOWN_MAX: usize = 4096;

/// Verifies what peers say. Shared by the readers of all peers.
#[derive(Debug)]
pub struct Inspector {
    verifier: Verifier<Voters>,
    me: Option<u32>,
    /// What is certified here already: one more certificate or vote on it says nothing new.
    known: Mutex<BTreeSet<(View, u8, [u8; 32])>>,
}

impl Inspector {
    /// Of an authority set's epoch, for the authority with this number or for an observer.
    #[must_use]
    pub fn new(ledger: LedgerId, set: &AuthoritySet, me: Option<u32>) -> Self {
        Self::with_signatures(ledger, set, me, Verified::default())
    }

    /// The same, with signatures checked by `verified`.
    #[must_use]
    pub fn with_signatures(
        ledger: LedgerId,
        set: &AuthoritySet,
        me: Option<u32>,
        verified: Verified,
    ) -> Self {
        let authorities = set.authorities().len() as u32;
        let voters = Voters::new(set.clone(), verified);
        let verifier = Verifier::with_scheme(ledger, set.epoch(), authorities, voters);
        Self { verifier, me, known: Mutex::new(BTreeSet::new()) }
    }

    /// What a message is once it is verified.
    ///
    /// # Errors
    /// [`Misbehaviour`] of whoever sent it.
    pub fn inspect(&self, from: Peer, message: Message) -> Result<Checked, Misbehaviour> {
        Ok(match message {
            Message::Vote(vote) => self.vote(from, vote)?,
            Message::Certificate(certificate) if self.says_nothing_new(&certificate) => {
                Checked::Echo { subject: certificate.subject, certificate: true }
            }
            Message::Certificate(certificate) => Checked::Certificate(self.certificate(certificate)?),
            Message::Proposal(proposal) => {
                Checked::Proposal(Box::new(self.verifier.proposal(*proposal).map_err(|e| blame(&e))?))
            }
            Message::Cosignature(lines) => Checked::Cosignature(lines),
            Message::Heartbeat(beat) => Checked::Heartbeat(beat),
            Message::AskMemory => Checked::AskMemory,
            // Observers hear certificates only, and are not asked.
            Message::Memory { .. } if matches!(from, Peer::Observer(_)) => Checked::Heard,
            Message::Memory { finalization, votes } => {
                let finalization =
                    finalization.map(|certificate| self.finalization(certificate)).transpose()?;
                let own = |vote: Vote| match self.me {
                    Some(me) if vote.signer == me => self.verifier.vote(vote).map_err(|e| blame(&e)),
                    _ => Err(Misbehaviour::new(
                        "foreign_vote",
                        "a vote of another than this node in its memory",
                    )),
                };
                Checked::Memory { finalization, votes: votes.into_iter().map(own).collect::<Result<_, _>>()? }
            }
            Message::AskBlock(id) => Checked::AskBlock(id),
            // Which body is right is judged by how many authorities gave another: observers have no say in that.
            Message::Block(body) if matches!(from, Peer::Authority(_)) => Checked::Block(body),
            Message::Block(_) => Checked::Heard,
            Message::Batch(bytes) => Checked::Batch(batch(bytes)?),
            Message::Range(range) => {
                let Range { above, finalization, headers } = *range;
                Checked::Range { above, finalization: self.finalization(finalization)?, headers }
            }
            Message::BlockBatches { height, batches } => {
                let batches = batches.into_iter().map(batch).collect::<Result<_, _>>()?;
                Checked::BlockBatches { height, batches }
            }
            Message::PoolBatch(bytes) => Checked::PoolBatch(batch(bytes)?),
            Message::AskBatches(_)
            | Message::AskPooled(_)
            | Message::AskRange(_)
            | Message::AskBodies { .. }
            | Message::Pooled(_) => {
                Checked::Heard // answered beside the driver
            }
        })
    }

    /// A certificate was accepted here.
    pub(super) fn know(&self, certificate: &CheckedCertificate) {
        let mut known = self.lock();
        if known.len() < KNOWN_MAX {
            known.insert(key(&certificate.subject()));
        }
    }

    pub(super) fn forget_below(&self, view: View) {
        let mut known = self.lock();
        *known = known.split_off(&(view, 0, [0; 32]));
    }

    fn vote(&self, from: Peer, vote: Vote) -> Result<Checked, Misbehaviour> {
        if from != Peer::Authority(vote.signer) {
            let detail = format!("a vote of authority {} from {from}", vote.signer);
            return Err(Misbehaviour::new("foreign_vote", detail));
        }
        if self.lock().contains(&key(&vote.subject)) {
            return Ok(Checked::Echo { subject: vote.subject, certificate: false });
        }
        self.verifier.vote(vote).map(Checked::Vote).map_err(|e| blame(&e))
    }

    fn certificate(&self, certificate: Certificate) -> Result<CheckedCertificate, Misbehaviour> {
        self.verifier.certificate(certificate).map_err(|e| blame(&e))
    }

    /// A certificate that makes a block final; another kind would make a starting node wait for what never comes.
    fn finalization(&self, certificate: Certificate) -> Result<CheckedCertificate, Misbehaviour> {
        if matches!(certificate.subject.ballot, Ballot::Finalize(_)) {
            self.certificate(certificate)
        } else {
            Err(Misbehaviour::new("no_finalization", "another certificate in the place of a finalization"))
        }
    }

    /// One on a subject that is certified here, without this node's own vote: that one is looked at each time, since it
    /// may be one that this node's journal does not know.
    fn says_nothing_new(&self, certificate: &Certificate) -> bool {
        let own = certificate.signatures.iter().any(|(signer, _)| Some(*signer) == self.me);
        !own && self.lock().contains(&key(&certificate.subject))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<(View, u8, [u8; 32])>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(subject: &Subject) -> (View, u8, [u8; 32]) {
    match subject.ballot {
        Ballot::Notarize(block) => (subject.view, 1, block.0),
        Ballot::Nullify => (subject.view, 2, [0; 32]),
        Ballot::Finalize(block) => (subject.view, 3, block.0),
    }
}

fn blame(error: &VoteError) -> Misbehaviour {
    let kind = match error {
        VoteError::Epoch => "wrong_epoch",
        VoteError::View | VoteError::Signer(_) => "malformed_vote",
        VoteError::Signature(_) => "bad_signature",
        VoteError::Quorum { .. } => "short_certificate",
        VoteError::Leader => "unsigned_proposal",
    };
    Misbehaviour::new(kind, error)
}

fn batch(bytes: Vec<u8>) -> Result<Arc<Batch>, Misbehaviour> {
    work::charge(Step::Byte, bytes.len());
    Batch::decode(bytes).map(Arc::new).map_err(|e| Misbehaviour::new("malformed_batch", e))
}
