//! What the engine wants done. A driver runs effects in the order in which they come; one that fails stops the node.

use markstein_proto::{
    Hash, View,
    consensus::{CheckedCertificate, CheckedProposal, CheckedVote},
};

use crate::{AuthorityNumber, Evidence, Fact};

/// A message of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A leader's block.
    Proposal(Box<CheckedProposal>),
    /// A vote of this node's own.
    Vote(CheckedVote),
    /// A certificate.
    Certificate(CheckedCertificate),
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// Everybody but this node.
    All,
    /// One authority.
    One(AuthorityNumber),
}

/// A message and to whom it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// To whom.
    pub to: Recipient,
    /// What.
    pub message: Message,
}

/// Our execution and the quorum's differ: this node must stop, since one of the two is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// A block that a quorum holds for valid and this node does not.
    pub block: Hash,
    /// Its view.
    pub view: View,
}

/// One effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the facts, with the batches of the blocks in them, sync, and only then send. Nothing that promises
    /// anything leaves the engine in another way.
    Commit {
        /// What must be durable.
        facts: Vec<Fact>,
        /// What may be sent then.
        then: Vec<Send>,
    },
    /// Write a fact some time; it goes with the next commit at the latest.
    Record(Fact),
    /// Send something that promises nothing new: a certificate, or what was committed before.
    Send(Send),
    /// A certificate that was formed here: all who do not have it are to be told, soon. The driver may wait for some
    /// milliseconds, and leave out who has shown to have it.
    Gossip(CheckedCertificate),
    /// Build a block for a view on `parent`; answer with [`crate::Input::Built`].
    Build {
        /// The view.
        view: View,
        /// Parent block, valid here.
        parent: Hash,
        /// Whether it may carry batches.
        batches: bool,
    },
    /// Fetch its batches, execute a block on its parent, which is valid here, and answer with
    /// [`crate::Input::Checked`]. Its body is [`crate::Engine::body`]; `None` there: no longer of interest.
    Check(Hash),
    /// Get the body of a block from anyone ([`crate::Engine::offered`] is what a peer gives); answer with [`crate::Input::Fetched`].
    Fetch(Hash),
    /// This block is final, but its chain is not known here: fetch the range, verify it backwards from the
    /// certificate, and answer with [`crate::Input::Synced`]. Said again until it is; passed over while under way.
    Sync(CheckedCertificate),
    /// These blocks are final, oldest first; the certificate is on the last.
    Finalized {
        /// Ids.
        blocks: Vec<Hash>,
        /// Finalization of the last one.
        certificate: CheckedCertificate,
    },
    /// An authority was caught; kept and shown.
    Evidence(Box<Evidence>),
    /// A vote with this node's own key that its journal does not know: the node stops voting and says so loudly.
    Amnesia(CheckedVote),
    /// This node must stop.
    Diverged(Divergence),
}
