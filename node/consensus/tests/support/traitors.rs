//! Authorities that lie. Each runs an honest engine; what leaves it is changed.

use markstein_consensus::{Body, FinalBlock, Message};
use markstein_proto::{
    BatchId, Hash, TimeMs,
    consensus::{Ballot, CheckedProposal, Proposal},
};

use super::{blocks::body, keys::vote, random::Random};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traitor {
    /// Proposes two blocks, and votes for everything and its opposite.
    Equivocator,
    /// Two engines with one key, each with a journal of its own.
    Twins,
    /// Hears all and says nothing.
    Silent,
    /// Builds on the newest final block, whatever was notarized since.
    Stale,
    /// Dates its blocks a minute back, or ahead.
    Misdater,
    /// Tells some and not others.
    Withholder,
    /// Names other batches than the header was made from, in proposals and to those who fetch.
    Lister,
    /// Calls for views that nobody needs.
    Caller,
}

pub const TRAITORS: [Traitor; 8] = [
    Traitor::Equivocator,
    Traitor::Twins,
    Traitor::Silent,
    Traitor::Stale,
    Traitor::Misdater,
    Traitor::Withholder,
    Traitor::Lister,
    Traitor::Caller,
];

/// A proposal of `me` with another body, signed anew.
fn resigned(old: &Proposal, new: Body, me: u32) -> Message {
    let own = vote(me, new.header.view.0, Ballot::Notarize(new.header.block_id()));
    let proposal =
        Proposal { header: new.header, batches: new.batches, vote: own.get().clone(), ..old.clone() };
    Message::Proposal(Box::new(CheckedProposal::own(proposal)))
}

impl Traitor {
    /// What `me` really tells `to`, where its engine wanted to say `message`.
    pub fn say(
        self,
        (me, to): (u32, u32),
        last_final: &FinalBlock,
        message: Message,
        random: &mut Random,
    ) -> Vec<Message> {
        let half = to.is_multiple_of(2);
        match (self, &message) {
            (Self::Silent, _) => vec![],
            (Self::Withholder, _) if half ^ random.chance(20) => vec![],
            (Self::Equivocator, Message::Proposal(p)) if half => {
                let (header, batches) = (p.get().header.clone(), p.get().batches.clone());
                let time = TimeMs(header.time.0 + 1);
                vec![resigned(
                    p.get(),
                    Body { header: markstein_proto::Header { time, ..header }, batches },
                    me,
                )]
            }
            (Self::Equivocator, Message::Vote(own)) => {
                let view = own.subject().view.0;
                let mut said = vec![message.clone(), Message::Vote(vote(me, view, Ballot::Nullify))];
                let block = own.subject().ballot.block();
                said.extend(block.map(|block| Message::Vote(vote(me, view, Ballot::Finalize(block)))));
                said
            }
            (Self::Stale, Message::Proposal(p)) => {
                let header = &p.get().header;
                let time = header.time.0.max(last_final.time.0 + 1);
                let stale = body(last_final, header.view.0, me, time, p.get().batches.clone());
                vec![resigned(p.get(), stale, me)]
            }
            (Self::Misdater, Message::Proposal(p)) => {
                let (header, batches) = (p.get().header.clone(), p.get().batches.clone());
                let time = TimeMs(if header.view.0 % 8 < 4 {
                    header.time.0 - 60_000
                } else {
                    header.time.0 + 60_000
                });
                vec![resigned(
                    p.get(),
                    Body { header: markstein_proto::Header { time, ..header }, batches },
                    me,
                )]
            }
            (Self::Lister, Message::Proposal(p)) if half => {
                let proposal = Proposal { batches: made_up(random), ..p.get().clone() };
                vec![Message::Proposal(Box::new(CheckedProposal::own(proposal)))]
            }
            (Self::Caller, Message::Vote(own)) => {
                let later = vote(me, own.subject().view.0 + random.below(3) + 1, Ballot::Nullify);
                vec![message, Message::Vote(later)]
            }
            _ => vec![message],
        }
    }

    /// What it gives to somebody who fetches a block.
    pub fn give(self, body: Body, random: &mut Random) -> Option<Body> {
        match self {
            Self::Silent => None,
            Self::Lister => Some(Body { batches: made_up(random), ..body }),
            _ => Some(body),
        }
    }
}

/// No batch at all, or one that nobody has.
fn made_up(random: &mut Random) -> Vec<(BatchId, Hash)> {
    if random.chance(50) { vec![] } else { vec![(BatchId(Hash([7; 32])), Hash([8; 32]))] }
}
