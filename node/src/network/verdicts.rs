//! Gossip: what the inbox says of each batch, and what becomes of it and of whoever passed it on.

use std::sync::Arc;

use futures::FutureExt;
use libp2p::{
    PeerId,
    gossipsub::{self, MessageAcceptance, MessageId},
};

use super::{
    GossipVerdict,
    actor::Actor,
    limits::{VERDICT_BYTES_MAX, VERDICTS_MAX},
    meter::Trespass,
};
use crate::peer::Misbehaviour;

/// What the inbox says of a batch.
pub(super) struct Verdict {
    number: usize,
    bytes: usize,
    id: MessageId,
    verdict: GossipVerdict,
}

impl Actor {
    fn on_batch(&mut self, from: PeerId, id: MessageId, data: Vec<u8>) {
        let Some(number) = self.shared.peers.number(&from) else {
            self.report(&id, &from, MessageAcceptance::Ignore);
            return;
        };
        let record = &self.shared.peers.all()[number];
        record.traffic.batch();
        let (batches, bytes) = &mut self.judged[number];
        if !record.may_gossip() || *batches >= VERDICTS_MAX || *bytes + data.len() > VERDICT_BYTES_MAX {
            record.traffic.dropped(1);
            self.report(&id, &from, MessageAcceptance::Ignore);
            return;
        }
        *batches += 1;
        *bytes += data.len();
        let bytes = data.len();
        let judging = self.inbox.batch(record.peer, data.into());
        self.verdicts.spawn(judging.map(move |verdict| Verdict { number, bytes, id, verdict }));
    }

    pub(super) fn on_verdict(&mut self, verdict: Option<Verdict>) {
        let Some(Verdict { number, bytes, id, verdict }) = verdict else { return };
        self.judged[number].0 -= 1;
        self.judged[number].1 -= bytes;
        let record = Arc::clone(&self.shared.peers.all()[number]);
        let acceptance = match verdict {
            GossipVerdict::Accept => MessageAcceptance::Accept,
            GossipVerdict::Ignore => MessageAcceptance::Ignore,
            GossipVerdict::Reject(misbehaviour) => {
                if record.misbehaved(misbehaviour) {
                    self.block(number);
                }
                MessageAcceptance::Reject
            }
        };
        self.report(&id, &record.id, acceptance);
    }

    pub(super) fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message { propagation_source, message_id, message } => {
                self.on_batch(propagation_source, message_id, message.data);
            }
            gossipsub::Event::Subscribed { .. } => self.publisher.somebody_listens(),
            gossipsub::Event::SlowPeer { peer_id, failed_messages } => {
                if let Some(number) = self.shared.peers.number(&peer_id) {
                    self.shared.peers.all()[number].traffic.dropped(failed_messages.non_priority);
                }
            }
            _ => {}
        }
    }

    pub(super) fn on_trespass(&mut self, peer: PeerId, trespass: Trespass) {
        let Some(number) = self.shared.peers.number(&peer) else { return };
        let misbehaviour = match trespass {
            Trespass::Flood => Misbehaviour::new("gossip_flood", "more by gossip than any honest node says"),
            Trespass::AnotherTopic => Misbehaviour::new("another_topic", "gossip on a topic of no use here"),
        };
        if self.shared.peers.all()[number].misbehaved(misbehaviour) {
            self.block(number);
        }
    }

    fn report(&mut self, id: &MessageId, from: &PeerId, acceptance: MessageAcceptance) {
        self.swarm.behaviour_mut().gossipsub.gossip().report_message_validation_result(id, from, acceptance);
    }
}
