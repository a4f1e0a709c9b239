//! From the network into the node: what peers say is verified, and goes to the driver, to the pool, or is answered from
//! the store. Runs on the readers' tasks, so a node that is busy makes its peers wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use futures::future::BoxFuture;
use markstein_proto::{Author, Batch, Bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    clock::Clock,
    driver::{self, Audience, Checked, Event, Inspector, Mailbox, Outbox},
    messages::{Class, Message, Offer},
    network::{self, GOSSIPED_BATCH_MAX, GossipVerdict, Inbox, Network},
    peer::{Misbehaviour, Peer},
    pool::{Announce, Origin, Pool, Verdict},
    storage::Db,
};

/// The network, once it has started.
pub type Link = Arc<OnceLock<Network>>;

/// Batches up to this length are decoded where they come in, in bytes: it takes less time than to go elsewhere.
const DECODED_AT_ONCE: usize = 4096;
/// Large messages of one peer on one stream that are looked at or wait for the driver, and its questions that are being
/// answered, all together. They hold their place until they are done, also where nobody reads that stream any more.
const PLACES_OF_A_PEER: usize = 2;
/// Threads that verify large messages and read answers from the store at once, for each class of messages.
const WORKERS: usize = 4;

/// Bounds what peers make this node do at once; a class of messages never waits for another.
#[derive(Debug)]
pub struct Places {
    workers: [Arc<Semaphore>; Class::ALL.len()],
    peers: Mutex<BTreeMap<(Peer, u8), Arc<Semaphore>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self { workers: Class::ALL.map(|_| Arc::new(Semaphore::new(WORKERS))), peers: Mutex::default() }
    }
}

impl Places {
    async fn of(&self, peer: Peer, class: Class) -> OwnedSemaphorePermit {
        let places = Arc::clone(
            self.peers
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry((peer, class as u8))
                .or_insert_with(|| Arc::new(Semaphore::new(PLACES_OF_A_PEER))),
        );
        places.acquire_owned().await.expect("it is never closed")
    }

    /// Runs what takes long where it holds up nobody else, with the place of its peer, which comes back beside the
    /// result; `None` where the runtime ends. Both are kept to the end of the work, whether or not anybody waits for it.
    async fn work<T: Send + 'static>(
        &self,
        class: Class,
        place: OwnedSemaphorePermit,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<(T, OwnedSemaphorePermit)> {
        let worker =
            Arc::clone(&self.workers[class as usize]).acquire_owned().await.expect("it is never closed");
        let work = move || {
            let _worker = worker;
            (work(), place)
        };
        tokio::task::spawn_blocking(work).await.ok()
    }
}

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
    /// Bounds.
    pub places: Arc<Places>,
    /// The time at which others' batches are asked for.
    pub clock: Arc<dyn Clock>,
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

    fn batch(&self, _: Peer, bytes: Bytes) -> BoxFuture<'static, GossipVerdict> {
        let this = self.clone();
        Box::pin(async move { this.take_batch(bytes).await })
    }
}

impl Ingress {
    /// Runs on the reader of the stream that the message came on: what takes long on one holds up no other. Votes, and what
    /// else is urgent, wait for nothing but the driver's mailbox.
    async fn take(&self, from: Peer, message: Message) -> Result<(), Misbehaviour> {
        if is_question(&message) {
            self.answer(from, message).await;
            self.mailbox.put(Event::From(from, Checked::Heard), None).await;
            return Ok(());
        }
        let (checked, place) = if is_large(&message) {
            let class = message.class();
            let (inspector, place) = (Arc::clone(&self.inspector), self.places.of(from, class).await);
            let inspect = move || inspector.inspect(from, message);
            let Some((checked, place)) = self.places.work(class, place, inspect).await else { return Ok(()) };
            (checked?, Some(place))
        } else {
            (self.inspector.inspect(from, message)?, None)
        };
        if let Checked::PoolBatch(batch) = &checked {
            // It was asked for. Where it is no good, that is not this peer's fault.
            let _ = self.pool.gossip(Arc::clone(batch)).await;
            self.mailbox.put(Event::From(from, Checked::Heard), place).await;
        } else {
            self.mailbox.put(Event::From(from, checked), place).await;
        }
        Ok(())
    }

    async fn answer(&self, to: Peer, message: Message) {
        let class = message.class();
        let (db, pool, place) = (self.db.clone(), self.pool.clone(), self.places.of(to, class).await);
        let now = self.clock.now();
        let work = move || driver::answer(&db, &pool, to, now, &message);
        match self.places.work(class, place, work).await {
            Some((Ok(answers), _place)) => {
                for answer in answers.into_iter().flatten() {
                    self.link.get().into_iter().for_each(|network| network.send(to, answer.clone()));
                }
            }
            Some((Err(error), _)) => tracing::error!("the store failed a peer's question: {error}"),
            None => {}
        }
    }

    async fn take_batch(&self, bytes: Bytes) -> GossipVerdict {
        let decoded = if bytes.len() <= DECODED_AT_ONCE {
            Some(Batch::decode(bytes))
        } else {
            blocking(move || Batch::decode(bytes)).await
        };
        let batch = match decoded {
            Some(Ok(batch)) => Arc::new(batch),
            Some(Err(error)) => return GossipVerdict::Reject(Misbehaviour::new("malformed_batch", error)),
            None => return GossipVerdict::Ignore,
        };
        match self.pool.gossip(batch).await {
            Verdict::New => GossipVerdict::Accept,
            Verdict::Known | Verdict::NotNow => GossipVerdict::Ignore,
            Verdict::Bad(refusal) => GossipVerdict::Reject(Misbehaviour::new("inadmissible_batch", refusal)),
        }
    }
}

/// Questions that are answered from the store or the pool. None of them comes on the urgent stream.
const fn is_question(message: &Message) -> bool {
    matches!(
        message,
        Message::AskRange(_)
            | Message::AskBodies { .. }
            | Message::AskBatches(_)
            | Message::AskPooled(_)
            | Message::Pooled(_)
    )
}

/// Messages that take long to verify, or much memory.
fn is_large(message: &Message) -> bool {
    match message {
        Message::BlockBatches { .. } | Message::Range(_) => true,
        Message::Batch(bytes) | Message::PoolBatch(bytes) => bytes.len() > DECODED_AT_ONCE,
        Message::Proposal(proposal) => proposal.batches.len() + proposal.nullifications.len() > 32,
        Message::Block(body) => body.batches.len() > 32,
        Message::Memory { votes, .. } => votes.len() > 32,
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
        let (Some(network), Author::Issuer { issuer, .. }) = (self.link.get(), &batch.head().author) else {
            return;
        };
        let bytes = batch.bytes().len();
        if bytes > GOSSIPED_BATCH_MAX {
            // Who lacks it asks for it; and leaders know who holds it.
            let offer = Offer { id: batch.id(), issuer: issuer.clone(), bytes };
            network.broadcast(Message::Pooled(vec![offer]), network::Audience::Authorities);
        } else if origin == Origin::Submitted {
            network.publish(batch.bytes().clone());
        }
    }

    fn looked(&self) {
        self.mailbox.pooled();
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
            Audience::Observers => network::Audience::Observers,
            Audience::All => network::Audience::All,
        };
        self.0.get().into_iter().for_each(|network| network.broadcast(message.clone(), audience));
    }

    fn misbehaved(&self, peer: Peer, what: Misbehaviour) {
        self.0.get().into_iter().for_each(|network| network.misbehaved(peer, what.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_peer_has_few_places_and_work_keeps_its_own_where_nobody_waits_for_it() {
        let (places, one) = (Places::default(), Peer::Authority(1));
        let mut held = vec![places.of(one, Class::Bulk).await, places.of(one, Class::Bulk).await];
        assert!(places.of(one, Class::Bulk).now_or_never().is_none(), "no third");
        assert!(places.of(Peer::Authority(2), Class::Bulk).now_or_never().is_some(), "others have their own");
        assert!(places.of(one, Class::Urgent).now_or_never().is_some(), "and so has another stream");
        let (go, gate) = mpsc::channel::<()>();
        let place = held.remove(0);
        // As where a peer opens one stream after the other: whoever reads the first is stopped, and its work goes on.
        let mut work = Box::pin(places.work(Class::Bulk, place, move || gate.recv()));
        assert!((&mut work).now_or_never().is_none());
        drop(work);
        assert!(places.of(one, Class::Bulk).now_or_never().is_none(), "the work has its place still");
        assert!(go.send(()).is_ok());
        let _free = places.of(one, Class::Bulk).await;
    }
}
