//! From the network into the node: what peers say is verified, and goes to the driver, to the pool, or is answered from
//! the store. Runs on the readers' tasks, so a node that is busy makes its peers wait.

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use markstein_proto::{Batch, Bytes};

use crate::{
    driver::{self, Audience, Checked, Event, Inspector, Mailbox, Outbox},
    messages::Message,
    network::{self, GossipVerdict, Inbox, Network},
    peer::{Misbehaviour, Peer},
    pool::{Announce, Origin, Pool, Verdict},
    storage::Db,
};

/// The network, once it has started.
pub type Link = Arc<OnceLock<Network>>;

/// Takes in what peers say.
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Verifies.
    pub inspector: Arc<Inspector>,
    /// The driver's.
    pub mailbox: Mailbox,
    /// For batches.
    pub pool: Pool,
    /// For answers.
    pub db: Db,
    /// For answers.
    pub link: Link,
}

impl Inbox for Ingress {
    fn connected(&self, peer: Peer) {
        self.mailbox.linked(peer, true);
    }

    fn disconnected(&self, peer: Peer) {
        self.mailbox.linked(peer, false);
    }

    fn message(&self, from: Peer, message: Message) -> BoxFuture<'static, Result<(), Misbehaviour>> {
        let this = self.clone();
        Box::pin(async move { this.take(from, message).await })
    }

    fn batch(&self, from: Peer, bytes: Bytes) -> BoxFuture<'static, GossipVerdict> {
        let this = self.clone();
        Box::pin(async move { this.take_batch(from, bytes).await })
    }
}

impl Ingress {
    async fn take(&self, from: Peer, message: Message) -> Result<(), Misbehaviour> {
        let is_question = matches!(
            message,
            Message::AskRange(_) | Message::AskBodies { .. } | Message::AskBatches(_) | Message::Pooled(_)
        );
        let checked = if is_question {
            self.answer(from, message).await;
            Checked::Heard
        } else if is_large(&message) {
            let inspector = Arc::clone(&self.inspector);
            blocking(move || inspector.inspect(from, message)).await.unwrap_or(Ok(Checked::Heard))?
        } else {
            self.inspector.inspect(from, message)?
        };
        let batch = match &checked {
            Checked::Batch(batch) => Some(Arc::clone(batch)),
            _ => None,
        };
        self.mailbox.put(Event::From(from, checked)).await;
        if let Some(batch) = batch {
            // It was asked for, for a block or for the pool. Where it is no good, that is not this peer's fault.
            let _ = self.pool.gossip(batch).await;
        }
        Ok(())
    }

    async fn answer(&self, to: Peer, message: Message) {
        let (db, pool) = (self.db.clone(), self.pool.clone());
        let answers = blocking(move || driver::answer(&db, &pool, &message)).await;
        match answers {
            Some(Ok(answers)) => {
                for answer in answers.into_iter().flatten() {
                    self.link.get().into_iter().for_each(|network| network.send(to, answer.clone()));
                }
            }
            Some(Err(error)) => tracing::error!("the store failed a peer's question: {error}"),
            None => {}
        }
    }

    async fn take_batch(&self, from: Peer, bytes: Bytes) -> GossipVerdict {
        let decoded = blocking(move || Batch::decode(bytes)).await;
        let batch = match decoded {
            Some(Ok(batch)) => Arc::new(batch),
            Some(Err(error)) => return GossipVerdict::Reject(Misbehaviour::new("malformed_batch", error)),
            None => return GossipVerdict::Ignore,
        };
        self.mailbox.put(Event::From(from, Checked::Heard)).await;
        match self.pool.gossip(batch).await {
            Verdict::New => GossipVerdict::Accept,
            Verdict::Known | Verdict::NotNow => GossipVerdict::Ignore,
            Verdict::Bad(refusal) => GossipVerdict::Reject(Misbehaviour::new("inadmissible_batch", refusal)),
        }
    }
}

/// Messages that take long to verify.
fn is_large(message: &Message) -> bool {
    match message {
        Message::BlockBatches { .. } | Message::Batch(_) | Message::Range(_) => true,
        Message::Proposal(proposal) => proposal.batches.len() + proposal.nullifications.len() > 32,
        _ => false,
    }
}

/// Runs what takes long where it holds up nobody; `None` where the runtime ends.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Tells of what came into the pool: the driver, and for a submission to this node the others.
#[derive(Debug)]
pub struct Announcer {
    /// The driver's.
    pub mailbox: Mailbox,
    /// The network, once it has started.
    pub link: Link,
}

impl Announce for Announcer {
    fn pooled(&self, batch: &Arc<Batch>, origin: Origin) {
        self.mailbox.pooled();
        if let (Origin::Submitted, Some(network)) = (origin, self.link.get()) {
            network.publish(batch.bytes().clone());
        }
    }
}

/// The driver's way out: the network, or nothing where there is one node.
#[derive(Debug)]
pub struct Outlet(pub Link);

impl Outbox for Outlet {
    fn send(&self, to: Peer, message: Message) {
        self.0.get().into_iter().for_each(|network| network.send(to, message.clone()));
    }

    fn broadcast(&self, to: Audience, message: Message) {
        let audience = match to {
            Audience::Authorities => network::Audience::Authorities,
            Audience::All => network::Audience::All,
        };
        self.0.get().into_iter().for_each(|network| network.broadcast(message.clone(), audience));
    }

    fn misbehaved(&self, peer: Peer, what: Misbehaviour) {
        self.0.get().into_iter().for_each(|network| network.misbehaved(peer, what.clone()));
    }
}
