//! What is not as it should be, in words: who is missing, who does not vote, whose clock is off, and what follows.

use markstein_proto::{Height, View};

use crate::{
    driver::CLOCK_SKEW_MAX_MS,
    network_view::{AuthorityView, CatchUp, Snapshot},
};

/// Names that are listed one by one; of more only the number.
const LISTED_MAX: usize = 8;
/// From here on a clock is worth a word: blocks are refused at twice as much.
const SKEW_SAID_MS: u64 = CLOCK_SKEW_MAX_MS / 2;

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
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
    /// How many must agree.
    pub(super) quorum: usize,
    /// This node's number, none for an observer.
    pub(super) own: Option<usize>,
    /// This node's newest final block.
    pub(super) height: Height,
    /// What the driver knows.
    pub(super) network: Snapshot,
    /// The newest view in which an authority was caught contradicting itself, and its number.
    pub(super) caught: Option<(View, u32)>,
}

impl Condition {
    pub(super) fn stops(text: impl Into<String>) -> Self {
        Self { text: text.into(), stops: true }
    }

    fn said(text: impl Into<String>) -> Self {
        Self { text: text.into(), stops: false }
    }
}

impl Standing<'_> {
    /// What is known of an authority. Before the driver has told anything, this node counts as voting and nobody else is
    /// there.
    pub(super) fn of(&self, number: usize) -> AuthorityView {
        let here = self.own == Some(number);
        let unknown = AuthorityView {
            connected: here,
            voting: here,
            heard_ms_ago: here.then_some(0),
            ..AuthorityView::default()
        };
        self.network.authorities.get(number).copied().unwrap_or(unknown)
    }

    /// Whether this node votes.
    pub(super) fn votes(&self) -> bool {
        self.own.is_some_and(|own| self.of(own).voting)
    }

    /// All of it, worst first.
    pub(super) fn conditions(&self) -> Vec<Condition> {
        let conditions = [self.quorum(), self.catch_up(), self.own_vote(), self.clocks(), self.caught()];
        conditions.into_iter().flatten().collect()
    }

    fn quorum(&self) -> Option<Condition> {
        let (n, needed) = (self.ids.len(), self.quorum);
        let all = || (0..n).map(|number| (number, self.of(number)));
        let names = |wanted: &dyn Fn(&AuthorityView) -> bool| {
            all().filter(|(_, a)| wanted(a)).map(|(number, _)| self.ids[number]).collect::<Vec<_>>()
        };
        let missing = names(&|a| !a.connected);
        // One that is connected and was not heard yet is about to say whether it votes.
        let mute = names(&|a| a.connected && !a.voting && a.heard_ms_ago.is_some());
        let reachable = n - missing.len();
        let mut text = format!("{reachable} of {n} authorities reachable, {needed} needed");
        if !missing.is_empty() {
            text = format!("{text}; missing: {}", list(&missing));
        }
        if !mute.is_empty() {
            text = format!("{text}; reachable but not voting: {}", list(&mute));
        }
        if reachable - mute.len() < needed {
            let so = "what is accepted waits and nothing is acknowledged";
            return Some(Condition::stops(format!("no quorum: {text}; {so}")));
        }
        (!missing.is_empty() || !mute.is_empty()).then(|| Condition::said(text))
    }

    fn catch_up(&self) -> Option<Condition> {
        let CatchUp { from, to } = self.network.catch_up?;
        let (done, all) = (self.height.0.saturating_sub(from.0), to.0.saturating_sub(from.0));
        Some(Condition::said(format!(
            "this node is behind and gets blocks from others: {done} of {all} so far, up to block {to}"
        )))
    }

    fn own_vote(&self) -> Option<Condition> {
        if self.own.is_none() || self.votes() {
            return None;
        }
        Some(Condition::said(if self.network.lost {
            "this node does not vote any more: its journal was lost when its data was damaged. It follows as an observer \
             does. The way back: make new keys with 'markstein-node keys new' and have the other authorities put them in \
             place of these"
        } else if self.network.forgot {
            "this node does not vote any more: its key signed a vote that its journal does not know, so its data was \
             lost or is an older copy, or another node runs with the same keys. It follows as an observer does. The \
             way back: make new keys with 'markstein-node keys new' and have the other authorities put them in place \
             of these"
        } else {
            "this node follows and does not vote yet: after a start it first asks the others what it said before, and \
             after a repair it first gets back to where it was"
        }))
    }

    /// A clock that stands alone is its own fault; where most others differ from this node's, it is this one's.
    fn clocks(&self) -> Option<Condition> {
        let others = (0..self.ids.len()).filter(|number| self.own != Some(*number));
        let heard: Vec<_> = others
            .map(|number| (self.ids[number], self.of(number)))
            .filter(|(_, a)| a.connected && a.heard_ms_ago.is_some())
            .collect();
        let off = |a: &AuthorityView| a.clock_skew_ms.unsigned_abs() > SKEW_SAID_MS;
        let off: Vec<_> = heard.iter().filter(|(_, a)| off(a)).collect();
        let worst = off.iter().max_by_key(|(_, a)| a.clock_skew_ms.unsigned_abs())?;
        let (id, by) = (worst.0, span(worst.1.clock_skew_ms.unsigned_abs()));
        let (ahead, behind) =
            if worst.1.clock_skew_ms > 0 { ("ahead of", "behind") } else { ("behind", "ahead of") };
        let text = if off.len() * 2 > heard.len() && heard.len() > 1 {
            let (count, of) = (off.len(), heard.len());
            format!(
                "this node's clock is {behind} those of {count} of {of} others, by up to {by}: set it right (NTP)"
            )
        } else {
            let more =
                if off.len() > 1 { format!(", and {} more are off", off.len() - 1) } else { String::new() };
            format!(
                "the clock of {id} is {by} {ahead} this node's{more}: one of them must be set right (NTP)"
            )
        };
        Some(Condition::said(text))
    }

    fn caught(&self) -> Option<Condition> {
        let (view, number) = self.caught?;
        let id = self.ids.get(number as usize)?;
        Some(Condition::said(format!(
            "{id} contradicted itself in view {view}: it signed two votes of which no honest node signs both. This node \
             keeps them as evidence; tell the other operators"
        )))
    }
}

fn list(names: &[&str]) -> String {
    let listed = names[..names.len().min(LISTED_MAX)].join(", ");
    match names.len().saturating_sub(LISTED_MAX) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

fn span(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { format!("{} s", ms / 1000) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const IDS: [&str; 4] = ["a.example", "b.example", "c.example", "d.example"];

    fn fine() -> AuthorityView {
        AuthorityView { connected: true, voting: true, heard_ms_ago: Some(10), ..AuthorityView::default() }
    }

    fn standing(authorities: Vec<AuthorityView>) -> Standing<'static> {
        let network = Snapshot { authorities, voting: true, ..Snapshot::default() };
        Standing { ids: IDS.to_vec(), quorum: 3, own: Some(0), height: Height(5), network, caught: None }
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
        let observer = Standing { own: None, ..standing(vec![fine(); 4]) };
        assert_eq!(said(&observer), []);
        assert!(!observer.votes());
        let alone = Standing { ids: vec!["a.example"], quorum: 1, ..standing(Vec::new()) };
        assert_eq!(said(&alone), [], "a node alone needs nobody to tell it how it is");
        assert!(alone.votes());
    }

    #[test]
    fn who_is_missing_is_named() {
        let away = AuthorityView { connected: false, ..fine() };
        let text = "3 of 4 authorities reachable, 3 needed; missing: d.example";
        one(&standing(vec![fine(), fine(), fine(), away]), text, false);
        let text = "no quorum: 2 of 4 authorities reachable, 3 needed; missing: c.example, d.example; what is accepted \
                    waits and nothing is acknowledged";
        one(&standing(vec![fine(), fine(), away, away]), text, true);
        let observer = Standing { own: None, ..standing(vec![away; 4]) };
        let (text, stops) = said(&observer).remove(0);
        assert!(stops && text.starts_with("no quorum: 0 of 4"), "{text}");
        let (text, stops) = said(&standing(Vec::new())).remove(0);
        assert!(stops && text.starts_with("no quorum: 1 of 4"), "before anybody was met: {text}");
    }

    #[test]
    fn many_names_are_counted() {
        let ids: Vec<String> = (0..64).map(|n| format!("authority-{n}.{}.example", "x".repeat(40))).collect();
        let ids = ids.iter().map(String::as_str).collect();
        let (text, _) = said(&Standing { ids, quorum: 43, ..standing(Vec::new()) }).remove(0);
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
        assert!(stops && text.contains("reachable but not voting: c.example, d.example"), "{text}");
    }

    #[test]
    fn this_nodes_own_silence_is_explained() {
        let mute = AuthorityView { voting: false, ..fine() };
        let mut standing = standing(vec![mute, fine(), fine(), fine()]);
        let texts = said(&standing);
        assert!(
            texts[0].0.contains("not voting: a.example") && texts[1].0.contains("does not vote yet"),
            "{texts:?}"
        );
        standing.network.forgot = true;
        let texts = said(&standing);
        assert!(texts[1].0.contains("'markstein-node keys new'") && !texts[1].1, "{texts:?}");
        standing.network.lost = true;
        let texts = said(&standing);
        assert!(texts[1].0.contains("its journal was lost") && !texts[1].1, "{texts:?}");
    }

    #[test]
    fn a_clock_that_is_off_is_named() {
        let skewed = |clock_skew_ms| AuthorityView { clock_skew_ms, ..fine() };
        let text =
            "the clock of d.example is 3000 ms ahead of this node's: one of them must be set right (NTP)";
        one(&standing(vec![fine(), fine(), skewed(-2500), skewed(3000)]), text, false);
        let text =
            "this node's clock is ahead of those of 2 of 3 others, by up to 3600 s: set it right (NTP)";
        one(&standing(vec![fine(), fine(), skewed(-3_600_000), skewed(-3_599_000)]), text, false);
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
