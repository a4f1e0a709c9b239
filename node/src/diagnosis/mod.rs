//! Why nothing becomes final: who is missing, does not vote, has a wrong clock, is behind or votes otherwise, and how many
//! more are needed.
//!
//! [`diagnose`] is a pure function of what the driver published, so the log, the status, the health and the metrics of a
//! node say the same.

mod clocks;
mod watch;
mod words;

#[cfg(test)]
mod tests;

use markstein_consensus::{ViewVotes, Votes};
use markstein_proto::{Hash, View};

pub use clocks::{Clocks, clocks};
pub use watch::{News, Watch};
pub use words::{LISTED_MAX, list, sentence, span};

use crate::{driver::CLOCK_SKEW_MAX_MS, network_view::Snapshot};

/// Something waits and nothing became final for this long: finality pauses. Five first timeouts of a view; one leader that
/// is down costs one.
pub const PAUSED_AFTER_MS: u64 = 5_000;
/// What others said of their view may be this old; a view entered later than that says nothing about them.
const VIEW_SAID_MS: u64 = 2_500;

/// How finality stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// Blocks become final, or nothing waits and they would.
    GoesOn,
    /// Fewer take part than are needed: nothing would become final. Nothing has waited for long yet.
    NoQuorum,
    /// Something waits, and nothing has become final for long.
    Paused,
}

/// What is the matter with one authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is not heard.
    Missing {
        /// Whether a connection stands all the same.
        linked: bool,
        /// When it was heard last; `None` if never since this node started.
        heard_ms_ago: Option<u64>,
    },
    /// It is there and does not vote.
    NotVoting(NotVoting),
    /// Its clock is further off than a block's time may be ahead of a voter's clock.
    Skewed {
        /// Its clock less the one it is measured by: this node's, or that of most others where this node's is off.
        ms: i64,
    },
    /// It lacks final blocks that others have.
    Lagging {
        /// How many.
        blocks: u64,
        /// How many views it is behind the highest.
        views: u64,
    },
    /// It is in another view than this node.
    OtherView {
        /// Its view.
        view: View,
    },
    /// It voted in this node's view, and not as most did.
    VotedOtherwise {
        /// Its votes.
        votes: Votes,
    },
    /// It is in this node's view, others voted there, and no vote of it came.
    NoVote,
}

/// Why an authority does not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotVoting {
    /// Another one, which does not say why.
    Unsaid,
    /// This node: its key signed what its journal does not know.
    Forgot,
    /// This node: its journal was lost.
    JournalLost,
    /// This node asks what it voted before it was started; so many authorities have yet to answer.
    Asking(usize),
    /// This node first gets back to where it was.
    Behind,
}

/// One thing that hinders finality, or would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// The authority's number.
    pub authority: usize,
    /// What it is.
    pub reason: Reason,
}

/// What [`diagnose`] comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// How finality stands.
    pub finality: Finality,
    /// Authorities that are heard and vote.
    pub taking_part: usize,
    /// How many more are needed, beside those that nothing hinders from making a quorum.
    pub needed_more: usize,
    /// Those that could be the ones, by number.
    pub would_help: Vec<usize>,
    /// What hinders, by number of the authority.
    pub hindrances: Vec<Hindrance>,
    /// Whether it is this node's clock that most others differ from.
    pub own_clock_off: bool,
}

impl Reason {
    /// A stable word.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::NotVoting(_) => "not_voting",
            Self::Skewed { .. } => "skewed",
            Self::Lagging { .. } => "lagging",
            Self::OtherView { .. } => "other_view",
            Self::VotedOtherwise { .. } => "voted_otherwise",
            Self::NoVote => "no_vote",
        }
    }

    /// Whether its vote does not count as long as this is so. A vote that is merely another one comes round by itself.
    #[must_use]
    pub const fn costs_a_vote(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::NotVoting(_) | Self::Skewed { .. } | Self::Lagging { .. })
    }
}

impl Diagnosis {
    /// Whether nothing is acknowledged as long as this lasts.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.finality != Finality::GoesOn
    }

    /// Whether something waits and nothing has become final for long.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.finality == Finality::Paused
    }

    /// How many authorities something is the matter with, by [`Reason::word`].
    #[must_use]
    pub fn count(&self, word: &str) -> usize {
        self.hindrances.iter().filter(|hindrance| hindrance.reason.word() == word).count()
    }
}

/// What hinders finality, or would hinder it.
#[must_use]
pub fn diagnose(snapshot: &Snapshot) -> Diagnosis {
    let n = snapshot.authorities.len();
    let absent: Vec<Hindrance> = (0..n).filter_map(|number| absence(snapshot, number)).collect();
    let taking_part = n - absent.len();
    let has_quorum = taking_part >= snapshot.quorum;
    let waits_long = snapshot.waiting_ms.is_some_and(|ms| ms >= PAUSED_AFTER_MS);
    let finality = match (has_quorum, waits_long) {
        (true, false) => Finality::GoesOn,
        (true, true) if snapshot.catch_up.is_some() => Finality::GoesOn, // for the others, whose blocks this node gets
        (false, false) => Finality::NoQuorum,
        (_, true) => Finality::Paused,
    };
    let clocks = clocks(snapshot, CLOCK_SKEW_MAX_MS);
    let mut hindrances = absent;
    hindrances.extend(skews(snapshot, &clocks));
    if finality == Finality::Paused {
        let present: Vec<usize> = (0..n).filter(|number| snapshot.authorities[*number].connected).collect();
        hindrances.extend(lags(snapshot, &present));
        let voting = |number: &usize| snapshot.authorities[*number].voting;
        let voting: Vec<usize> = present.into_iter().filter(voting).collect();
        hindrances.extend(other_views(snapshot, &voting));
        hindrances.extend(other_votes(snapshot, &voting));
    }
    hindrances.sort_by_key(|hindrance| hindrance.authority);
    let costs = hindrances.iter().filter(|hindrance| hindrance.reason.costs_a_vote());
    let mut would_help: Vec<usize> = costs.map(|hindrance| hindrance.authority).collect();
    would_help.dedup();
    let needed_more =
        if finality == Finality::GoesOn { 0 } else { snapshot.quorum.saturating_sub(n - would_help.len()) };
    if needed_more == 0 {
        would_help.clear();
    }
    Diagnosis {
        finality,
        taking_part,
        needed_more,
        would_help,
        hindrances,
        own_clock_off: clocks.own.is_some(),
    }
}

/// An authority that does not take part. One that is connected and was not heard yet is about to say whether it votes.
fn absence(snapshot: &Snapshot, number: usize) -> Option<Hindrance> {
    let it = &snapshot.authorities[number];
    let reason = if !it.connected {
        Reason::Missing { linked: it.linked, heard_ms_ago: it.heard_ms_ago }
    } else if it.voting || it.heard_ms_ago.is_none() {
        return None;
    } else if snapshot.own == Some(number) {
        Reason::NotVoting(match snapshot {
            Snapshot { lost: true, .. } => NotVoting::JournalLost,
            Snapshot { forgot: true, .. } => NotVoting::Forgot,
            Snapshot { unanswered: 0, .. } => NotVoting::Behind,
            Snapshot { unanswered, .. } => NotVoting::Asking(*unanswered),
        })
    } else {
        Reason::NotVoting(NotVoting::Unsaid)
    };
    Some(Hindrance { authority: number, reason })
}

fn skews(snapshot: &Snapshot, clocks: &Clocks) -> Vec<Hindrance> {
    let own = snapshot.own.zip(clocks.own);
    let off = clocks.others.iter().copied().chain(own);
    off.map(|(authority, ms)| Hindrance { authority, reason: Reason::Skewed { ms } }).collect()
}

fn lags(snapshot: &Snapshot, present: &[usize]) -> Vec<Hindrance> {
    let known = present.iter().filter(|number| snapshot.authorities[**number].heard_ms_ago.is_some());
    let known: Vec<_> = known.map(|number| (*number, &snapshot.authorities[*number])).collect();
    let height = known.iter().map(|(_, it)| it.height.0).max().unwrap_or(0);
    let view = known.iter().map(|(_, it)| it.view.0).max().unwrap_or(0);
    let behind = known.iter().filter(|(_, it)| it.height.0 < height);
    behind
        .map(|(authority, it)| Hindrance {
            authority: *authority,
            reason: Reason::Lagging { blocks: height - it.height.0, views: view - it.view.0 },
        })
        .collect()
}

/// Whether it is known by now what the others do in this node's view.
const fn is_settled(snapshot: &Snapshot) -> bool {
    snapshot.entered_ms_ago >= VIEW_SAID_MS
}

fn other_views(snapshot: &Snapshot, voting: &[usize]) -> Vec<Hindrance> {
    let elsewhere = |number: &&usize| snapshot.authorities[**number].view != snapshot.view;
    let elsewhere = voting.iter().filter(elsewhere).filter(|_| is_settled(snapshot));
    elsewhere
        .map(|number| {
            let reason = Reason::OtherView { view: snapshot.authorities[*number].view };
            Hindrance { authority: *number, reason }
        })
        .collect()
}

fn other_votes(snapshot: &Snapshot, voting: &[usize]) -> Vec<Hindrance> {
    let Some(view) = snapshot.views.first().filter(|_| is_settled(snapshot)) else { return Vec::new() };
    let Some((most, _)) = choices(view, snapshot.own).into_iter().next() else { return Vec::new() };
    let here = voting.iter().filter(|number| snapshot.authorities[**number].view == snapshot.view);
    let otherwise = here.filter_map(|number| {
        let votes = *view.votes.get(*number)?;
        let reason = match votes {
            _ if chose(&votes, most) => return None,
            _ if votes.is_none() => Reason::NoVote,
            votes => Reason::VotedOtherwise { votes },
        };
        Some(Hindrance { authority: *number, reason })
    });
    otherwise.collect()
}

/// What can be voted for in a view: a block, or `None` to nullify it.
type Choice = Option<Hash>;

fn chose(votes: &Votes, choice: Choice) -> bool {
    choice.map_or(votes.nullify, |block| votes.notarize == Some(block))
}

/// What was voted for in a view and by whom, that with the most votes first; of equals that which this node voted for,
/// then a block.
fn choices(view: &ViewVotes, own: Option<usize>) -> Vec<(Choice, Vec<usize>)> {
    let mut choices: Vec<Choice> = view.votes.iter().filter_map(|votes| votes.notarize).map(Some).collect();
    choices.sort_unstable();
    choices.dedup();
    choices.push(None);
    let voters = |choice| (0..view.votes.len()).filter(move |number| chose(&view.votes[*number], choice));
    let counted = choices.into_iter().map(|choice| (choice, voters(choice).collect::<Vec<_>>()));
    let mut counted: Vec<_> = counted.filter(|(_, voters)| !voters.is_empty()).collect();
    counted.sort_by_key(|(_, voters)| {
        (std::cmp::Reverse(voters.len()), !own.is_some_and(|own| voters.contains(&own)))
    });
    counted
}
