//! Messages to and from their bytes.

use markstein_consensus::Body;
use markstein_proto::{
    BATCH_MAX, BatchId, CountBound, DecodeError, Hash, Header, Height, IssuerId, Leaf, LogSize, TimeMs, View,
    consensus::{Certificate, PROPOSAL_BATCHES_MAX, Proposal, Vote},
    decode_bounded, require_different,
};
use prost::Message as _;

use crate::release::Release;

use super::{
    ASKED_BATCHES_MAX, ASKED_BODIES_MAX, CosignatureLines, Heartbeat, LINES_MAX, MEMORY_VOTES_MAX,
    MESSAGE_MAX, Message, Offer, POOLED_MAX, RANGE_HEADERS_MAX, Range,
    wire::{self, message::Kind},
};

/// Elements are counted before anything is allocated.
const COUNTS: &[CountBound] = &[
    CountBound { what: "votes", path: &[7, 2], max: MEMORY_VOTES_MAX },
    CountBound { what: "batches of a block", path: &[9, 2], max: PROPOSAL_BATCHES_MAX },
    CountBound { what: "batches asked for", path: &[10, 1], max: ASKED_BATCHES_MAX },
    CountBound { what: "headers of a range", path: &[13, 3], max: RANGE_HEADERS_MAX },
    CountBound { what: "batches of a block", path: &[15, 2], max: PROPOSAL_BATCHES_MAX },
    CountBound { what: "pooled batches", path: &[16, 1], max: POOLED_MAX },
    CountBound { what: "batches asked for", path: &[17, 1], max: ASKED_BATCHES_MAX },
];

pub(super) fn encode(message: &Message) -> Vec<u8> {
    let kind = match message {
        Message::Vote(vote) => Kind::Vote(vote.encode()),
        Message::Certificate(certificate) => Kind::Certificate(certificate.encode()),
        Message::Proposal(proposal) => Kind::Proposal(proposal.encode()),
        Message::Cosignature(CosignatureLines { size, authority, lines }) => {
            Kind::Cosignature(wire::Cosignature { size: size.0, authority: *authority, lines: lines.clone() })
        }
        Message::Heartbeat(beat) => Kind::Heartbeat(wire::Heartbeat {
            height: beat.height.0,
            view: beat.view.0,
            clock_ms: beat.clock.0,
            cosigned_size: beat.cosigned.0,
            voting: beat.voting,
            run: beat.run,
            release: beat.release.map_or(0, Release::to_bits),
        }),
        Message::AskMemory => Kind::AskMemory(wire::AskMemory {}),
        Message::Memory { finalization, votes } => Kind::Memory(wire::Memory {
            finalization: finalization.as_ref().map(Certificate::encode),
            votes: votes.iter().map(Vote::encode).collect(),
        }),
        Message::AskBlock(id) => Kind::AskBlock(id.0.to_vec()),
        Message::Block(body) => Kind::Block(wire::Block {
            header: header_leaf(&body.header),
            batches: body.batches.iter().map(batch_ref).collect(),
        }),
        Message::AskBatches(asked) => {
            Kind::AskBatches(wire::AskBatches { batches: asked.iter().map(batch_ref).collect() })
        }
        Message::Batch(bytes) => Kind::Batch(bytes.clone()),
        Message::AskRange(above) => Kind::AskRange(wire::AskRange { above: above.0 }),
        Message::Range(range) => Kind::Range(wire::Range {
            above: range.above.0,
            finalization: range.finalization.encode(),
            headers: range.headers.iter().map(header_leaf).collect(),
        }),
        Message::AskBodies { first, count } => {
            Kind::AskBodies(wire::AskBodies { first: first.0, count: *count })
        }
        Message::BlockBatches { height, batches } => {
            Kind::BlockBatches(wire::BlockBatches { height: height.0, batches: batches.clone() })
        }
        Message::Pooled(offers) => Kind::Pooled(wire::Pooled { offers: offers.iter().map(offer).collect() }),
        Message::AskPooled(ids) => {
            Kind::AskPooled(wire::AskPooled { batch_ids: ids.iter().map(|id| id.0.0.to_vec()).collect() })
        }
        Message::PoolBatch(bytes) => Kind::PoolBatch(bytes.clone()),
    };
    wire::Message { kind: Some(kind) }.encode_to_vec()
}

pub(super) fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let message: wire::Message = decode_bounded("message", bytes, MESSAGE_MAX, COUNTS)?;
    Ok(match message.kind.ok_or(DecodeError::Missing("the kind of a message"))? {
        Kind::Vote(bytes) => Message::Vote(Vote::decode(&bytes)?),
        Kind::Certificate(bytes) => Message::Certificate(Certificate::decode(&bytes)?),
        Kind::Proposal(bytes) => Message::Proposal(Box::new(Proposal::decode(&bytes)?)),
        Kind::Cosignature(wire::Cosignature { size, authority, lines }) => {
            bounded("lines of a cosignature", lines.len(), LINES_MAX)?;
            Message::Cosignature(CosignatureLines { size: LogSize(size), authority, lines })
        }
        Kind::Heartbeat(beat) => Message::Heartbeat(Heartbeat {
            height: Height(beat.height),
            view: View(beat.view),
            clock: TimeMs(beat.clock_ms),
            cosigned: LogSize(beat.cosigned_size),
            voting: beat.voting,
            run: beat.run,
            release: Release::from_bits(beat.release),
        }),
        Kind::AskMemory(wire::AskMemory {}) => Message::AskMemory,
        Kind::Memory(wire::Memory { finalization, votes }) => {
            require_different("votes of a memory", votes.iter())?;
            Message::Memory {
                finalization: finalization.map(|bytes| Certificate::decode(&bytes)).transpose()?,
                votes: votes.iter().map(|bytes| Vote::decode(bytes)).collect::<Result<_, _>>()?,
            }
        }
        Kind::AskBlock(id) => Message::AskBlock(hash("block id", &id)?),
        Kind::Block(wire::Block { header, batches }) => {
            Message::Block(Box::new(Body { header: header_of(&header)?, batches: named(&batches)? }))
        }
        Kind::AskBatches(wire::AskBatches { batches }) => {
            let asked: Vec<_> = batches.iter().map(version).collect::<Result<_, _>>()?;
            require_different("batches asked for", asked.iter())?;
            Message::AskBatches(asked)
        }
        Kind::Batch(bytes) => {
            bounded("batch", bytes.len(), BATCH_MAX)?;
            Message::Batch(bytes)
        }
        Kind::AskRange(wire::AskRange { above }) => Message::AskRange(Height(above)),
        Kind::Range(wire::Range { above, finalization, headers }) => {
            if headers.is_empty() {
                return Err(DecodeError::Missing("headers of a range"));
            }
            Message::Range(Box::new(Range {
                above: Height(above),
                finalization: Certificate::decode(&finalization)?,
                headers: headers.iter().map(|leaf| header_of(leaf)).collect::<Result<_, _>>()?,
            }))
        }
        Kind::AskBodies(wire::AskBodies { first, count }) => {
            bounded("blocks asked for", count as usize, ASKED_BODIES_MAX as usize)?;
            Message::AskBodies { first: Height(first), count }
        }
        Kind::BlockBatches(wire::BlockBatches { height, batches }) => {
            Message::BlockBatches { height: Height(height), batches }
        }
        Kind::Pooled(wire::Pooled { offers }) => {
            Message::Pooled(offers.iter().map(offered).collect::<Result<_, _>>()?)
        }
        Kind::AskPooled(wire::AskPooled { batch_ids }) => {
            let ids: Vec<_> = batch_ids
                .iter()
                .map(|bytes| hash("batch id", bytes).map(BatchId))
                .collect::<Result<_, _>>()?;
            require_different("batches asked for", ids.iter())?;
            Message::AskPooled(ids)
        }
        Kind::PoolBatch(bytes) => {
            bounded("batch", bytes.len(), BATCH_MAX)?;
            Message::PoolBatch(bytes)
        }
    })
}

fn bounded(what: &'static str, got: usize, max: usize) -> Result<(), DecodeError> {
    if got <= max { Ok(()) } else { Err(DecodeError::TooLong { what, max, got }) }
}

fn hash(what: &'static str, bytes: &[u8]) -> Result<Hash, DecodeError> {
    Hash::try_from(bytes).map_err(|e| DecodeError::Length { what, want: 32, got: e.0 })
}

fn header_leaf(header: &Header) -> Vec<u8> {
    Leaf::Header(header.clone()).encode()
}

fn header_of(leaf: &[u8]) -> Result<Header, DecodeError> {
    Leaf::decode(leaf)?.into_header()
}

fn batch_ref((id, head): &(BatchId, Hash)) -> wire::BatchRef {
    wire::BatchRef { batch_id: id.0.0.to_vec(), head_hash: head.0.to_vec() }
}

fn version(batch: &wire::BatchRef) -> Result<(BatchId, Hash), DecodeError> {
    let head = hash("leaf hash of a batch head", &batch.head_hash)?;
    Ok((BatchId(hash("batch id", &batch.batch_id)?), head))
}

fn named(batches: &[wire::BatchRef]) -> Result<Vec<(BatchId, Hash)>, DecodeError> {
    let named: Vec<_> = batches.iter().map(version).collect::<Result<_, _>>()?;
    require_different("batches of a block", named.iter().map(|(id, _)| *id))?;
    Ok(named)
}

fn offer(offer: &Offer) -> wire::Offer {
    wire::Offer {
        batch_id: offer.id.0.0.to_vec(),
        issuer: offer.issuer.to_string(),
        bytes: u32::try_from(offer.bytes).unwrap_or(u32::MAX),
    }
}

fn offered(offer: &wire::Offer) -> Result<Offer, DecodeError> {
    let bytes = offer.bytes as usize;
    bounded("batch", bytes, BATCH_MAX)?;
    if bytes == 0 {
        return Err(DecodeError::Missing("the length of a batch"));
    }
    Ok(Offer {
        id: BatchId(hash("batch id", &offer.batch_id)?),
        issuer: IssuerId::new(&offer.issuer)?,
        bytes,
    })
}
