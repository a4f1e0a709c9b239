//! How finality stands, as `Status` tells it.

use markstein_consensus::Votes;
use markstein_proto::Hash;

use super::{
    schema::{AuthorityVotes, Finality, FinalityState, Hindrance, HindranceReason, ViewVotes},
    standing::Standing,
};
use crate::{
    diagnosis::{self, NotVoting, Reason},
    network_view::Snapshot,
};

pub(super) fn shown(standing: &Standing<'_>) -> Finality {
    let Snapshot { view, final_view, waiting_ms, entered_ms_ago, views, .. } = &standing.network;
    let diagnosis = &standing.diagnosis;
    let id = |number: usize| standing.ids.get(number).map(|id| (*id).to_owned()).unwrap_or_default();
    let state = match diagnosis.finality {
        diagnosis::Finality::GoesOn => FinalityState::GoesOn,
        diagnosis::Finality::NoQuorum => FinalityState::NoQuorum,
        diagnosis::Finality::Paused => FinalityState::Paused,
    };
    let hindrance = |it: &diagnosis::Hindrance| {
        let here = standing.own() == Some(it.authority);
        Hindrance { authority_id: id(it.authority), here, ..reason(&it.reason) }
    };
    Finality {
        state: state.into(),
        sentence: standing.pause().unwrap_or_default(),
        waiting_ms: waiting_ms.unwrap_or(0),
        view_entered_ms: *entered_ms_ago,
        views_since_final: view.0.saturating_sub(final_view.0 + 1),
        taking_part: diagnosis.taking_part as u32,
        needed_more: diagnosis.needed_more as u32,
        would_help: diagnosis.would_help.iter().map(|number| id(*number)).collect(),
        hindrances: diagnosis.hindrances.iter().map(hindrance).collect(),
        views: views.iter().map(|it| votes(it, id)).collect(),
    }
}

fn reason(reason: &Reason) -> Hindrance {
    let of = |reason: HindranceReason| Hindrance { reason: reason.into(), ..Hindrance::default() };
    match *reason {
        Reason::Missing { linked, heard_ms_ago } => {
            Hindrance { connected: linked, heard_ms_ago, ..of(HindranceReason::Missing) }
        }
        Reason::NotVoting(why) => {
            let cause = match why {
                NotVoting::Unsaid => "",
                NotVoting::Forgot => "forgot",
                NotVoting::JournalLost => "journal_lost",
                NotVoting::Asking(_) => "asking",
                NotVoting::Behind => "behind",
            };
            Hindrance { cause: cause.into(), ..of(HindranceReason::NotVoting) }
        }
        Reason::Skewed { ms } => Hindrance { clock_skew_ms: ms, ..of(HindranceReason::Skewed) },
        Reason::Lagging { blocks, views } => {
            Hindrance { blocks_behind: blocks, views_behind: views, ..of(HindranceReason::Lagging) }
        }
        Reason::OtherView { view } => Hindrance { view: view.0, ..of(HindranceReason::OtherView) },
        Reason::VotedOtherwise { .. } => of(HindranceReason::VotedOtherwise),
        Reason::NoVote => of(HindranceReason::NoVote),
    }
}

fn votes(view: &markstein_consensus::ViewVotes, id: impl Fn(usize) -> String) -> ViewVotes {
    let block = |block: Option<Hash>| block.map(|block| block.0.to_vec()).unwrap_or_default();
    let cast = view.votes.iter().enumerate().filter(|(_, votes)| !votes.is_none());
    let cast = cast.map(|(number, Votes { notarize, nullify, finalize })| AuthorityVotes {
        authority_id: id(number),
        notarize: block(*notarize),
        nullify: *nullify,
        finalize: block(*finalize),
    });
    ViewVotes {
        view: view.view.0,
        leader: id(view.leader.0 as usize),
        proposed: view.proposed.iter().map(|id| id.0.to_vec()).collect(),
        votes: cast.collect(),
        notarized: block(view.notarized),
        nullified: view.nullified,
    }
}
