//! Certificates that were formed here are told to those who do not show soon that they have them: mostly everybody forms
//! them at the same time, and three quarters of all messages would say what is known.

use std::collections::{BTreeSet, VecDeque};

use markstein_proto::{
    View,
    consensus::{Ballot, CheckedCertificate, Subject},
};

use super::{Audience, Driver};
use crate::{ledger::State, messages::Message, peer::Peer};

/// Pause before a certificate is told, in milliseconds: several times what its votes take from node to node.
const PAUSE: u64 = 20;

/// Certificates that wait to be told.
#[derive(Debug, Default)]
pub(super) struct Courtesy {
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    due: u64,
    certificate: CheckedCertificate,
    /// Authorities that have it.
    has: BTreeSet<u32>,
}

impl Courtesy {
    fn note(&mut self, number: u32, has: impl Fn(&Subject) -> bool) {
        for waiting in self.waiting.iter_mut().filter(|waiting| has(&waiting.certificate.subject())) {
            waiting.has.insert(number);
        }
    }

    pub(super) fn next_tick(&self) -> Option<u64> {
        self.waiting.front().map(|waiting| waiting.due)
    }

    /// What a later finalization makes needless.
    pub(super) fn prune(&mut self, view: View) {
        self.waiting.retain(|waiting| waiting.certificate.view() >= view);
    }
}

impl Driver {
    /// A certificate was formed here.
    pub(super) fn tell_soon(&mut self, certificate: CheckedCertificate) {
        if matches!(certificate.subject().ballot, Ballot::Finalize(_)) {
            // Observers hear of it as soon as authorities do.
            self.outbox.broadcast(Audience::Observers, Message::Certificate(certificate.get().clone()));
        }
        let due = self.now.tick + PAUSE;
        self.courtesy.waiting.push_back(Waiting { due, certificate, has: BTreeSet::new() });
    }

    /// Tells those who have not shown that they have it.
    pub(super) fn run_courtesy(&mut self) {
        let tick = self.now.tick;
        while self.courtesy.next_tick().is_some_and(|due| due <= tick) {
            let Some(waiting) = self.courtesy.waiting.pop_front() else { return };
            let others = (0..self.set.authorities().len() as u32).filter(|number| Some(*number) != self.me);
            for number in others.filter(|number| !waiting.has.contains(number)) {
                let message = Message::Certificate(waiting.certificate.get().clone());
                self.outbox.send(Peer::Authority(number), message);
            }
        }
    }

    /// A peer has this certificate.
    pub(super) fn has_certificate(&mut self, peer: Peer, subject: &Subject) {
        if let Peer::Authority(number) = peer {
            self.courtesy.note(number, |waiting| waiting == subject);
        }
    }

    /// A peer voted: whoever votes to finalize a block has its notarization.
    pub(super) fn has_voted(&mut self, peer: Peer, vote: &Subject) {
        if let (Peer::Authority(number), Ballot::Finalize(block)) = (peer, vote.ballot) {
            let notarization = Subject { ballot: Ballot::Notarize(block), ..*vote };
            self.courtesy.note(number, |waiting| *waiting == notarization);
        }
    }

    /// An authority cosigned the checkpoint that ends with this block: it has its finalization.
    pub(super) fn has_cosigned_tip(&mut self, number: u32) {
        let tip = Ballot::Finalize(self.state.tip().block_id);
        self.courtesy.note(number, |waiting| waiting.ballot == tip);
    }
}
