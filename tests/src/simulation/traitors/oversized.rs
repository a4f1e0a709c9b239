//! More of everything than may be: counts and lengths just above their bounds, and far above.

use markstein_node::messages::{
    ASKED_BATCHES_MAX, ASKED_BODIES_MAX, CosignatureLines, LINES_MAX, MEMORY_VOTES_MAX, MESSAGE_MAX, Message,
    Offer, POOLED_MAX, RANGE_HEADERS_MAX, Range,
};
use markstein_proto::{
    BATCH_MAX, BatchId, EpochId, Hash, Header, Height, IssuerId, LeafIndex, LogSize, TimeMs, View,
    consensus::{Ballot, Certificate},
};

use super::{Lie, Traitor};

pub struct Oversized;

impl Traitor for Oversized {
    fn name(&self) -> &'static str {
        "oversized"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["undecodable"]
    }

    fn beside(&mut self, lie: &mut Lie<'_>) -> Vec<Vec<u8>> {
        let vote = lie.vote(lie.view + 1, Ballot::Nullify);
        let id = BatchId(Hash([7; 32]));
        let message = match lie.random.below(9) {
            0 => Message::Memory { finalization: None, votes: vec![vote; MEMORY_VOTES_MAX + 1] },
            1 => Message::Pooled(vec![offer(id); POOLED_MAX + 1]),
            2 => Message::AskBatches(vec![(id, id.0); ASKED_BATCHES_MAX + 1]),
            3 => Message::AskBodies { first: Height(1), count: ASKED_BODIES_MAX + 1 },
            4 => Message::AskBodies { first: Height(u64::MAX), count: u32::MAX },
            8 => Message::PoolBatch(vec![0; BATCH_MAX + 1]),
            5 => Message::Batch(vec![0; BATCH_MAX + 1]),
            6 => {
                let lines = "x".repeat(LINES_MAX + 1);
                Message::Cosignature(CosignatureLines { size: LogSize(2), authority: 0, lines })
            }
            _ => {
                let Certificate { subject, signatures } =
                    Certificate { subject: vote.subject, signatures: vec![(vote.signer, vote.signature)] };
                let headers = vec![header(); RANGE_HEADERS_MAX + 1];
                let finalization = Certificate { subject, signatures };
                Message::Range(Box::new(Range { above: Height(0), finalization, headers }))
            }
        };
        let mut frames = vec![message.encode()];
        if lie.chance(2) {
            frames.push(vec![0; MESSAGE_MAX + 1]);
        }
        frames
    }
}

fn offer(id: BatchId) -> Offer {
    Offer { id, issuer: IssuerId::new("a.example").unwrap(), bytes: 1 }
}

fn header() -> Header {
    Header {
        epoch: EpochId(0),
        height: Height(1),
        view: View(1),
        parent: Hash::ZERO,
        time: TimeMs(1),
        proposer: 0,
        first_index: LeafIndex(1),
        size_before: LogSize(2),
        root_before: Hash::ZERO,
        status_root: Hash::ZERO,
        authority_set: Hash::ZERO,
    }
}
