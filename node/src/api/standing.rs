//! What is not as it should be, in words: who is missing, who does not vote, whose clock is off, and what follows.

use markstein_proto::{Height, View};

use crate::{
    diagnosis::{Clocks, Diagnosis, LISTED_MAX, clocks, diagnose, list, sentence, span},
    driver::CLOCK_SKEW_MAX_MS,
    network_view::{AuthorityView, CatchUp, Snapshot},
};

/// From here on a clock is worth a word: blocks are refused at twice as much.
pub(super) const SKEW_SAID_MS: u64 = CLOCK_SKEW_MAX_MS / 2;

/// Which of the things that can be amiss, for those who say it in words of their own. Authorities by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing becomes final, or would: the diagnosis says why.
    Paused,
    /// Some authorities do not take part, and finality goes on.
    Reduced,
    /// This node gets blocks from others.
    CatchUp(CatchUp),
    /// This node does not vote.
    Mute(Mute),
    /// This node's clock is off by so many milliseconds from those of most others, of which so many are known.
    OwnClock { ms: i64, heard: usize },
    /// The clock of an authority is off, and so many more.
    Clock { authority: usize, ms: i64, more: usize },
    /// An authority contradicted itself.
    Contradiction { authority: usize, view: View },
    /// No checkpoint has a quorum yet.
    NoCheckpoint,
    /// This node's clock is so many milliseconds behind what was signed.
    Behind { ms: u64 },
}

/// Why this node does not vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mute {
    /// Its journal was lost.
    Lost,
    /// Its journal does not know what its key signed.
    Forgot,
    /// It asks, or gets back to where it was.
    NotYet,
}

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// Which.
    pub(super) kind: Kind,
    /// What it is and what to do.
    pub(super) text: String,
    /// Whether nothing is acknowledged as long as it lasts.
    pub(super) stops: bool,
}

/// Where this node stands among the authorities.
#[derive(Clone, Debug)]
pub(super) struct Standing<'a> {
    /// Ids in the order of the set.
    pub(super) ids: Vec<&'a str>,
    /// This node's newest final block.
    pub(super) height: Height,
    /// What the driver knows.
    pub(super) network: Snapshot,
    /// What hinders finality.
    pub(super) diagnosis: Diagnosis,
    /// The newest view in which an authority was caught contradicting itself, and its number.
    pub(super) caught: Option<(View, u32)>,
}

impl Condition {
    pub(super) fn stops(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), stops: true }
    }

    fn said(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), stops: false }
    }
}

impl<'a> Standing<'a> {
    /// Of what the driver told; where it has told nothing yet, this node counts as voting and nobody else is there.
    pub(super) fn new(
        ids: Vec<&'a str>,
        untold: Snapshot,
        told: Snapshot,
        height: Height,
        caught: Option<(View, u32)>,
    ) -> Self {
        let network = if told.authorities.is_empty() { untold } else { told };
        let diagnosis = diagnose(&network);
        Self { ids, height, network, diagnosis, caught }
    }

    /// What is known of an authority.
    pub(super) fn of(&self, number: usize) -> AuthorityView {
        self.network.authorities[number]
    }

    /// This node's number, none for an observer.
    pub(super) const fn own(&self) -> Option<usize> {
        self.network.own
    }

    /// Whether this node votes.
    pub(super) fn votes(&self) -> bool {
        self.own().is_some_and(|own| self.of(own).voting)
    }

    /// What hinders finality and what would bring it back, where it does not go on.
    pub(super) fn pause(&self) -> Option<String> {
        sentence(&self.network, &self.diagnosis, &self.ids)
    }

    /// All of it, worst first.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let pause = self.pause().map(|text| Condition::stops(Kind::Paused, text));
        let conditions =
            [pause, self.reduced(), self.catch_up(), self.own_vote(), self.clocks(), self.caught()];
        conditions.into_iter().flatten().collect()
    }

    /// Some do not take part and finality goes on.
    fn reduced(&self) -> Option<Condition> {
        if self.diagnosis.stops() {
            return None;
        }
        let names = |word: &str| {
            let hindrances = self.diagnosis.hindrances.iter().filter(|it| it.reason.word() == word);
            hindrances.map(|it| self.ids[it.authority]).collect::<Vec<_>>()
        };
        let (missing, mute) = (names("missing"), names("not_voting"));
        if missing.is_empty() && mute.is_empty() {
            return None;
        }
        let n = self.ids.len();
        let mut text =
            format!("{} of {n} authorities reachable, {} needed", n - missing.len(), self.network.quorum);
        if !missing.is_empty() {
            text = format!("{text}; missing: {}", list(&missing, LISTED_MAX));
        }
        if !mute.is_empty() {
            text = format!("{text}; reachable but not voting: {}", list(&mute, LISTED_MAX));
        }
        Some(Condition::said(Kind::Reduced, text))
    }

    fn catch_up(&self) -> Option<Condition> {
        let catch_up @ CatchUp { from, to } = self.network.catch_up?;
        let (done, all) = (self.height.0.saturating_sub(from.0), to.0.saturating_sub(from.0));
        let text = format!(
            "this node is behind and gets blocks from others: {done} of {all} so far, up to block {to}"
        );
        Some(Condition::said(Kind::CatchUp(catch_up), text))
    }

    fn own_vote(&self) -> Option<Condition> {
        if self.own().is_none() || self.votes() {
            return None;
        }
        let (why, text) = if self.network.lost {
            let text = "this node does not vote any more: its journal was lost when its data was damaged. It follows as an observer \
             does. The way back: make new keys with 'markstein-node keys new' and have the other authorities put them in \
             place of these";
            (Mute::Lost, text)
        } else if self.network.forgot {
            let text = "this node does not vote any more: its key signed a vote that its journal does not know, so its data was \
             lost or is an older copy, or another node runs with the same keys. It follows as an observer does. The \
             way back: make new keys with 'markstein-node keys new' and have the other authorities put them in place \
             of these";
            (Mute::Forgot, text)
        } else {
            let text = "this node follows and does not vote yet: after a start it first asks the others what it said before, and \
             after a repair it first gets back to where it was";
            (Mute::NotYet, text)
        };
        Some(Condition::said(Kind::Mute(why), text))
    }

    fn clocks(&self) -> Option<Condition> {
        let Clocks { own, others, heard } = clocks(&self.network, SKEW_SAID_MS);
        if let Some(ms) = own {
            let (by, how) = (exact(ms), if ms > 0 { "ahead of" } else { "behind" });
            let text = format!(
                "this node's clock is {by} {how} those of most of {heard} others: set it right (NTP)"
            );
            return Some(Condition::said(Kind::OwnClock { ms, heard }, text));
        }
        let (number, ms) = others.iter().rev().max_by_key(|(_, ms)| ms.unsigned_abs())?;
        let (id, by, how) = (self.ids[*number], exact(*ms), if *ms > 0 { "ahead of" } else { "behind" });
        let more = match others.len() - 1 {
            0 => String::new(),
            more => format!(", and {more} more are off"),
        };
        let text =
            format!("the clock of {id} is {by} {how} this node's{more}: one of them must be set right (NTP)");
        let kind = Kind::Clock { authority: *number, ms: *ms, more: others.len() - 1 };
        Some(Condition::said(kind, text))
    }

    fn caught(&self) -> Option<Condition> {
        let (view, number) = self.caught?;
        let id = self.ids.get(number as usize)?;
        let text = format!(
            "{id} contradicted itself in view {view}: it signed two votes of which no honest node signs both. This node \
             keeps them as evidence; tell the other operators"
        );
        Some(Condition::said(Kind::Contradiction { authority: number as usize, view }, text))
    }
}

/// A clock's distance, where parts of a second matter.
fn exact(ms: i64) -> String {
    match ms.unsigned_abs() {
        ms @ 0..10_000 => format!("{ms} ms"),
        ms => span(ms),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const IDS: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];

    fn fine() -> AuthorityView {
        AuthorityView {
            connected: true,
            linked: true,
            voting: true,
            heard_ms_ago: Some(10),
            ..AuthorityView::default()
        }
    }

    fn standing(authorities: Vec<AuthorityView>) -> Standing<'static> {
        of(Snapshot { authorities, quorum: 3, own: Some(0), voting: true, ..Snapshot::default() })
    }

    fn of(network: Snapshot) -> Standing<'static> {
        Standing::new(IDS.to_vec(), Snapshot::untold(4, 3, Some(0)), network, Height(5), None)
    }

    fn observed(authorities: Vec<AuthorityView>) -> Standing<'static> {
        of(Snapshot { authorities, quorum: 3, ..Snapshot::default() })
    }

    fn said(standing: &Standing<'_>) -> Vec<(String, bool)> {
        standing.conditions().into_iter().map(|condition| (condition.text, condition.stops)).collect()
    }

    #[track_caller]
    fn one(standing: &Standing<'_>, text: &str, stops: bool) {
        assert_eq!(said(standing), [(text.to_owned(), stops)]);
    }

    #[test]
    fn where_all_is_well_nothing_is_said() {
        assert_eq!(said(&standing(vec![fine(); 4])), []);
        let observer = observed(vec![fine(); 4]);
        assert_eq!(said(&observer), []);
        assert!(!observer.votes());
        let (one, untold) = (vec!["a.example"], Snapshot::untold(1, 1, Some(0)));
        let alone = Standing::new(one, untold, Snapshot::default(), Height(5), None);
        assert_eq!(said(&alone), [], "a node alone needs nobody to tell it how it is");
        assert!(alone.votes());
    }

    #[test]
    fn who_is_missing_is_named() {
        let away = AuthorityView { connected: false, ..fine() };
        let text = "3 of 4 authorities reachable, 3 needed; missing: d.example";
        one(&standing(vec![fine(), fine(), fine(), away]), text, false);
        let text = "no quorum: 2 of 4 authorities take part and 3 are needed; not heard: c.example for 10 ms, d.example \
                    for 10 ms. finality comes back by itself when one of c.example, d.example is back; what is accepted \
                    waits, reads and proofs are served";
        let away = AuthorityView { linked: false, ..away };
        one(&standing(vec![fine(), fine(), away, away]), text, true);
        let (text, stops) = said(&observed(vec![away; 4])).remove(0);
        assert!(stops && text.starts_with("no quorum: 0 of 4"), "{text}");
        let (text, stops) = said(&standing(Vec::new())).remove(0);
        assert!(stops && text.starts_with("no quorum: 1 of 4"), "before anybody was met: {text}");
    }

    #[test]
    fn many_names_are_counted() {
        let ids: Vec<String> = (0..64).map(|n| format!("authority-{n}.{}.example", "x".repeat(40))).collect();
        let ids = ids.iter().map(String::as_str).collect();
        let untold = Snapshot::untold(64, 43, Some(0));
        let (text, _) = said(&Standing::new(ids, untold, Snapshot::default(), Height(5), None)).remove(0);
        assert!(text.contains("and 55 more") && text.len() < 1024, "{text}");
    }

    #[test]
    fn who_is_there_and_does_not_vote_does_not_count() {
        let mute = AuthorityView { voting: false, ..fine() };
        let text = "4 of 4 authorities reachable, 3 needed; reachable but not voting: d.example";
        one(&standing(vec![fine(), fine(), fine(), mute]), text, false);
        let unheard = AuthorityView { heard_ms_ago: None, ..mute };
        assert_eq!(said(&standing(vec![fine(), fine(), fine(), unheard])), []);
        let (text, stops) = said(&standing(vec![fine(), fine(), mute, mute])).remove(0);
        assert!(stops && text.contains("not voting: c.example, d.example"), "{text}");
    }

    #[test]
    fn this_nodes_own_silence_is_explained() {
        let mute = AuthorityView { voting: false, ..fine() };
        let at = |forgot, lost| {
            let network = standing(vec![mute, fine(), fine(), fine()]).network;
            said(&of(Snapshot { forgot, lost, ..network }))
        };
        let texts = at(false, false);
        assert!(
            texts[0].0.contains("not voting: a.example") && texts[1].0.contains("does not vote yet"),
            "{texts:?}"
        );
        let texts = at(true, false);
        assert!(texts[1].0.contains("'markstein-node keys new'") && !texts[1].1, "{texts:?}");
        let texts = at(true, true);
        assert!(texts[1].0.contains("its journal was lost") && !texts[1].1, "{texts:?}");
    }

    #[test]
    fn a_clock_that_is_off_is_named() {
        let skewed = |clock_skew_ms| AuthorityView { clock_skew_ms, ..fine() };
        let text =
            "the clock of d.example is 3000 ms ahead of this node's: one of them must be set right (NTP)";
        one(&standing(vec![fine(), fine(), skewed(-2500), skewed(3000)]), text, false);
        let text = "this node's clock is 60 min ahead of those of most of 3 others: set it right (NTP)";
        let hour = skewed(-3_600_000);
        one(&standing(vec![fine(), hour, hour, skewed(-3_599_000)]), text, false);
        let text = "the clock of c.example is 60 min behind this node's, and 1 more are off: one of them must be set right \
                    (NTP)";
        one(&standing(vec![fine(), fine(), hour, hour]), text, false);
        let away = AuthorityView { connected: false, ..skewed(9000) };
        let texts = said(&standing(vec![fine(), fine(), fine(), away]));
        assert_eq!(texts.len(), 1, "what one that is away said of its clock is old: {texts:?}");
    }

    #[test]
    fn a_catch_up_says_how_far_it_is() {
        let mut standing = standing(vec![fine(); 4]);
        standing.network.catch_up = Some(CatchUp { from: Height(2), to: Height(12) });
        one(
            &standing,
            "this node is behind and gets blocks from others: 3 of 10 so far, up to block 12",
            false,
        );
    }

    #[test]
    fn a_contradiction_is_told() {
        let caught = Standing { caught: Some((View(7), 2)), ..standing(vec![fine(); 4]) };
        let (text, stops) = said(&caught).remove(0);
        assert!(text.starts_with("c.example contradicted itself in view 7") && !stops, "{text}");
        let stranger = Standing { caught: Some((View(7), 9)), ..standing(vec![fine(); 4]) };
        assert_eq!(said(&stranger), []);
    }
}
