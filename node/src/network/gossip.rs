//! Batches by gossip: what waits to be published, at which pace it is, and how gossipsub is set up.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{
    PeerId,
    gossipsub::{
        Behaviour, ConfigBuilder, DataTransform, IdentTopic, MaxCountSubscriptionFilter, Message,
        MessageAcceptance, MessageAuthenticity, MessageId, PublishError, RawMessage, TopicHash,
        ValidationMode, WhitelistSubscriptionFilter,
    },
};
use markstein_proto::{Hash, LedgerId};
use tokio::sync::Notify;

use super::{
    NetworkError, lanes,
    limits::{
        GOSSIP_MESSAGE_MAX, GOSSIP_QUEUE_MAX, OUTBOX_BATCHES_MAX, OUTBOX_BYTES_MAX, PUBLISH_BURST,
        PUBLISH_PER_SECOND, TokenBucket,
    },
    meter::{Metered, Seen},
};

const HEARTBEAT: Duration = Duration::from_millis(300);
/// A batch is not taken or passed on twice within this time.
const DUPLICATES_KNOWN_FOR: Duration = Duration::from_secs(60);
/// Heartbeats for which a batch is at hand for peers that ask for it, and its verdict may take: 3 s.
const HEARTBEATS_KEPT: usize = 10;
/// Pause after nobody could be given a batch.
const PAUSE: Duration = Duration::from_millis(100);
/// Batches published before others have their turn.
const PUBLISHED_AT_ONCE: usize = 64;

/// The topic of a ledger's batches.
pub(super) fn topic(ledger: &LedgerId) -> IdentTopic {
    IdentTopic::new(format!("markstein/1/{}/batches", lanes::short(ledger)))
}

fn message_id(data: &[u8]) -> MessageId {
    MessageId::new(&Hash::of(&[data]).0)
}

/// Gossipsub as it is used here: with one topic. A peer cannot subscribe to others, and what it says on others is refused
/// before it is kept anywhere.
pub(super) type Gossip = Behaviour<OneTopic, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// Counts messages, and refuses those of other topics.
#[derive(Clone, Debug)]
pub(super) struct OneTopic {
    topic: TopicHash,
    seen: Arc<Seen>,
}

impl DataTransform for OneTopic {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, io::Error> {
        self.seen.message(raw.data.len());
        if raw.topic != self.topic {
            self.seen.strange();
            return Err(io::Error::other("another topic"));
        }
        let RawMessage { source, data, sequence_number, topic, .. } = raw;
        Ok(Message { source, data, sequence_number, topic })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, io::Error> {
        Ok(data)
    }
}

/// Gossipsub, subscribed to the topic. Messages have no author: a batch carries its issuer's signature, which node
/// says it first matters to nobody, and a batch said by two nodes is one message. The connection tells who passed it
/// on, and that peer answers for it.
pub(super) fn behaviour(ledger: &LedgerId) -> Result<Metered, NetworkError> {
    let config = ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(|message: &Message| message_id(&message.data))
        .max_transmit_size(GOSSIP_MESSAGE_MAX)
        .heartbeat_initial_delay(HEARTBEAT)
        .heartbeat_interval(HEARTBEAT)
        .duplicate_cache_time(DUPLICATES_KNOWN_FOR)
        .history_length(HEARTBEATS_KEPT)
        .connection_handler_queue_len(GOSSIP_QUEUE_MAX)
        .forward_queue_duration(Duration::from_secs(2))
        .flood_publish(true)
        .build()
        .map_err(|error| NetworkError::Gossip(error.to_string()))?;
    let topic = topic(ledger);
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter([topic.hash()].into()),
        max_subscribed_topics: 1,
        max_subscriptions_per_request: 4,
    };
    let seen = Arc::new(Seen::default());
    let mut behaviour = Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config,
        filter,
        OneTopic { topic: topic.hash(), seen: Arc::clone(&seen) },
    )
    .map_err(|error| NetworkError::Gossip(error.to_owned()))?;
    behaviour.subscribe(&topic).map_err(|error| NetworkError::Gossip(error.to_string()))?;
    Ok(Metered::new(behaviour, seen))
}

/// Batches that wait to be published.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    changed: Notify,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Bytes>,
    bytes: usize,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one; dropped and counted where there is no room.
    pub(super) fn push(&self, batch: Bytes) {
        let mut waiting = self.lock();
        if waiting.batches.len() >= OUTBOX_BATCHES_MAX || waiting.bytes + batch.len() > OUTBOX_BYTES_MAX {
            self.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.bytes += batch.len();
        waiting.batches.push_back(batch);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Batches that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Resolves after something was added.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn is_empty(&self) -> bool {
        self.lock().batches.is_empty()
    }

    fn pop(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let batch = waiting.batches.pop_front()?;
        waiting.bytes -= batch.len();
        Some(batch)
    }

    fn put_back(&self, batch: Bytes) {
        let mut waiting = self.lock();
        waiting.bytes += batch.len();
        waiting.batches.push_front(batch);
    }
}

/// Publishes what is in the outbox, no faster than gossipsub passes it on.
#[derive(Debug)]
pub(super) struct Publisher {
    topic: IdentTopic,
    own: PeerId,
    pace: TokenBucket,
    not_before: Option<Instant>,
    /// Batches that no peer's queue had room for. Gossipsub takes them for said, so they are passed on instead.
    stuck: VecDeque<(Instant, MessageId)>,
}

impl Publisher {
    pub(super) fn new(ledger: &LedgerId, own: PeerId) -> Self {
        let pace = TokenBucket::new(PUBLISH_PER_SECOND, PUBLISH_BURST, Instant::now());
        Self { topic: topic(ledger), own, pace, not_before: None, stuck: VecDeque::new() }
    }

    /// A peer wants batches: those that waited for one can go.
    pub(super) fn somebody_listens(&mut self) {
        self.not_before = None;
    }

    /// When there is something to do again.
    pub(super) fn next(&self, outbox: &Outbox, now: Instant) -> Option<Instant> {
        let publish = (!outbox.is_empty()).then(|| self.not_before.unwrap_or(now));
        publish.into_iter().chain(self.stuck.front().map(|(at, _)| *at)).min()
    }

    /// Publishes what may be published now.
    pub(super) fn run(&mut self, outbox: &Outbox, gossipsub: &mut Gossip, now: Instant) {
        while let Some((at, id)) = self.stuck.pop_front() {
            if at > now {
                self.stuck.push_front((at, id));
                break;
            }
            gossipsub.report_message_validation_result(&id, &self.own, MessageAcceptance::Accept);
        }
        for _ in 0..PUBLISHED_AT_ONCE {
            if self.not_before.is_some_and(|at| at > now) {
                return;
            }
            let Some(batch) = outbox.pop() else { return };
            self.publish(outbox, gossipsub, batch, now);
        }
    }

    fn publish(&mut self, outbox: &Outbox, gossipsub: &mut Gossip, batch: Bytes, now: Instant) {
        match gossipsub.publish(self.topic.clone(), batch.to_vec()) {
            Ok(_) => {
                let pause = self.pace.take(1.0, now);
                self.not_before = (!pause.is_zero()).then(|| now + pause);
            }
            Err(PublishError::Duplicate) => {}
            Err(PublishError::NoPeersSubscribedToTopic) => {
                outbox.put_back(batch);
                self.not_before = Some(now + PAUSE);
            }
            Err(PublishError::AllQueuesFull(_)) => {
                self.not_before = Some(now + PAUSE);
                self.stuck.push_back((now + 2 * PAUSE, message_id(&batch)));
            }
            Err(error) => tracing::error!(%error, bytes = batch.len(), "a batch cannot be gossiped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_on_another_topic_is_refused_before_it_is_kept() {
        let (own, other) = (topic(&LedgerId(Hash([1; 32]))), topic(&LedgerId(Hash([2; 32]))));
        let raw = |topic: &IdentTopic| RawMessage {
            source: None,
            data: b"batch".to_vec(),
            sequence_number: None,
            topic: topic.hash(),
            signature: None,
            key: None,
            validated: false,
        };
        let transform = OneTopic { topic: own.hash(), seen: Arc::default() };
        assert_eq!(
            transform.inbound_transform(raw(&own)).map(|message| message.data).ok(),
            Some(b"batch".to_vec())
        );
        assert!(transform.inbound_transform(raw(&other)).is_err());
    }

    #[test]
    fn the_outbox_is_bounded_in_batches_and_in_bytes() {
        let outbox = Outbox::default();
        for _ in 0..OUTBOX_BATCHES_MAX + 3 {
            outbox.push(Bytes::from_static(b"batch"));
        }
        assert_eq!(outbox.dropped(), 3);
        while outbox.pop().is_some() {}
        for _ in 0..65 {
            outbox.push(Bytes::from(vec![0; OUTBOX_BYTES_MAX / 64]));
        }
        assert_eq!(outbox.dropped(), 4);
    }
}
