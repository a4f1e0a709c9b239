//! Every kind of message reads back as it was written, and nothing unbounded is taken in.
#![allow(clippy::unwrap_used)]

use markstein_consensus::Body;
use markstein_proto::{
    BatchId, DecodeError, EpochId, Hash, Header, Height, LedgerId, LogSize, SecretKey, TimeMs, View,
    consensus::{Ballot, Certificate, Proposal, Subject, Vote},
};

use super::*;
use crate::release::Release;

fn vote(ballot: Ballot) -> Vote {
    let subject = Subject { epoch: EpochId(0), view: View(3), ballot };
    Vote::sign(&LedgerId(Hash([1; 32])), subject, 2, &SecretKey::from_seed(&[7; 32]))
}

fn certificate(ballot: Ballot) -> Certificate {
    let vote = vote(ballot);
    Certificate { subject: vote.subject, signatures: vec![(2, vote.signature)] }
}

fn header() -> Header {
    Header {
        epoch: EpochId(0),
        height: Height(5),
        view: View(3),
        parent: Hash([2; 32]),
        time: TimeMs(9),
        proposer: 2,
        first_index: markstein_proto::LeafIndex(4),
        size_before: LogSize(6),
        root_before: Hash([3; 32]),
        status_root: Hash([4; 32]),
        authority_set: Hash([5; 32]),
    }
}

fn offer(id: BatchId) -> Offer {
    Offer { id, issuer: IssuerId::new("a.example").unwrap(), bytes: 3 }
}

fn all() -> Vec<Message> {
    let (batch, head, block) = (BatchId(Hash([6; 32])), Hash([8; 32]), header().block_id());
    let proposal = Proposal {
        header: header(),
        batches: vec![(batch, head)],
        vote: vote(Ballot::Notarize(block)),
        parent: Some(certificate(Ballot::Notarize(Hash([2; 32])))),
        nullifications: vec![certificate(Ballot::Nullify)],
    };
    let range = Range {
        above: Height(4),
        finalization: certificate(Ballot::Finalize(block)),
        headers: vec![header()],
    };
    vec![
        Message::Vote(vote(Ballot::Nullify)),
        Message::Certificate(certificate(Ballot::Finalize(block))),
        Message::Proposal(Box::new(proposal)),
        Message::Cosignature(CosignatureLines { size: LogSize(7), authority: 1, lines: "a\nb\n".into() }),
        Message::Heartbeat(Heartbeat {
            height: Height(5),
            voting: true,
            run: u64::MAX,
            release: Some(Release::OWN),
            ..Heartbeat::default()
        }),
        Message::AskMemory,
        Message::Memory { finalization: None, votes: Vec::new() },
        Message::Memory {
            finalization: Some(certificate(Ballot::Finalize(block))),
            votes: vec![vote(Ballot::Nullify)],
        },
        Message::AskBlock(block),
        Message::Block(Box::new(Body { header: header(), batches: vec![(batch, head)] })),
        Message::AskBatches(vec![(batch, head), (batch, Hash([9; 32]))]),
        Message::Batch(vec![1, 2, 3]),
        Message::AskRange(Height(0)),
        Message::Range(Box::new(range)),
        Message::AskBodies { first: Height(1), count: 3 },
        Message::BlockBatches { height: Height(1), batches: vec![vec![1], vec![2]] },
        Message::Pooled(vec![offer(batch)]),
        Message::AskPooled(vec![batch]),
        Message::PoolBatch(vec![1, 2, 3]),
    ]
}

#[test]
fn every_message_reads_back() {
    for message in all() {
        assert_eq!(Message::decode(&message.encode()).unwrap(), message);
    }
}

#[test]
fn bytes_never_panic() {
    for message in all() {
        let bytes = message.encode();
        for end in 0..bytes.len() {
            let _ = Message::decode(&bytes[..end]);
            for bit in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[end] ^= bit;
                let _ = Message::decode(&damaged);
            }
        }
    }
}

#[test]
fn what_is_out_of_bounds_is_refused() {
    let id = BatchId(Hash([0; 32]));
    let many = [
        Message::AskBatches(vec![(id, id.0); ASKED_BATCHES_MAX + 1]),
        Message::Pooled(vec![offer(id); POOLED_MAX + 1]),
        Message::AskPooled(vec![id; ASKED_BATCHES_MAX + 1]),
        Message::PoolBatch(vec![0; markstein_proto::BATCH_MAX + 1]),
        Message::AskBodies { first: Height(0), count: ASKED_BODIES_MAX + 1 },
        Message::Batch(vec![0; markstein_proto::BATCH_MAX + 1]),
        Message::Memory { finalization: None, votes: vec![vote(Ballot::Nullify); MEMORY_VOTES_MAX + 1] },
        Message::BlockBatches { height: Height(1), batches: vec![vec![0; MESSAGE_MAX]] },
    ];
    for message in many {
        let error = Message::decode(&message.encode()).unwrap_err();
        assert!(matches!(error, DecodeError::Count { .. } | DecodeError::TooLong { .. }), "{error}");
    }
    assert!(Message::decode(&[]).is_err());
}
