//! A diagnosis as a sentence for people: what is the matter, since when, and what brings finality back.

use super::{Diagnosis, Finality, NotVoting, Reason, choices};
use crate::{driver::CLOCK_SKEW_MAX_MS, network_view::Snapshot};

/// Names that are listed one by one; of more only the number.
pub const LISTED_MAX: usize = 8;
/// The same where names are said a second time.
const REPEATED_MAX: usize = 4;
/// Digits of a block's id.
const ID_DIGITS: usize = 8;

/// What is the matter and what helps; `None` while finality goes on.
#[must_use]
pub fn sentence(snapshot: &Snapshot, diagnosis: &Diagnosis, ids: &[&str]) -> Option<String> {
    let says = Says { snapshot, diagnosis, ids };
    let (n, here, needed) = (snapshot.authorities.len(), diagnosis.taking_part, snapshot.quorum);
    let counted = format!("{here} of {n} authorities take part and {needed} are needed");
    let (why, so) = (says.why(), says.remedy());
    let also = "what is accepted waits, reads and proofs are served";
    match diagnosis.finality {
        Finality::GoesOn => None,
        Finality::NoQuorum => Some(format!("no quorum: {counted}; {}. {so}; {also}", why.join("; "))),
        Finality::Paused => {
            let why = why.into_iter().chain(says.votes()).collect::<Vec<_>>().join("; ");
            let why = if why.is_empty() { why } else { format!(": {why}") };
            Some(format!("nothing has become final for {}{why}. {counted}: {so}; {also}", says.since()))
        }
    }
}

/// What is said of a reason that belongs to a kind, given whose it is.
type Say<'a> = &'a dyn Fn(&str, &Reason) -> Option<String>;

struct Says<'a> {
    snapshot: &'a Snapshot,
    diagnosis: &'a Diagnosis,
    ids: &'a [&'a str],
}

impl Says<'_> {
    fn name(&self, number: usize) -> &str {
        if self.snapshot.own == Some(number) { "this node" } else { self.ids.get(number).unwrap_or(&"?") }
    }

    fn since(&self) -> String {
        let Snapshot { view, final_view, entered_ms_ago, waiting_ms, .. } = self.snapshot;
        let (for_ms, entered) = (span(waiting_ms.unwrap_or(0)), span(*entered_ms_ago));
        let ended = match view.0.saturating_sub(final_view.0 + 1) {
            0 => String::new(),
            1 => "; one view ended without a final block".to_owned(),
            more => format!("; {more} views ended without a final block"),
        };
        format!("{for_ms} (view {view}, entered {entered} ago{ended})")
    }

    /// What is the matter, by kind.
    fn why(&self) -> Vec<String> {
        let clocks = match self.diagnosis.own_clock_off {
            true => "clock off from those of most",
            false => "clock off from this node's",
        };
        let bound = span(CLOCK_SKEW_MAX_MS);
        let kinds: [(&str, Say<'_>); 6] = [
            ("not heard", &|name, reason| match reason {
                Reason::Missing { linked: false, heard_ms_ago } => Some(heard_ms_ago.map_or_else(
                    || format!("{name} since this node started"),
                    |ms| format!("{name} for {}", span(ms)),
                )),
                _ => None,
            }),
            ("silent although connected", &|name, reason| match reason {
                Reason::Missing { linked: true, heard_ms_ago } => {
                    let silent = heard_ms_ago.map_or_else(String::new, |ms| format!(" for {}", span(ms)));
                    Some(format!("{name}{silent}"))
                }
                _ => None,
            }),
            ("not voting", &|name, reason| match reason {
                Reason::NotVoting(why) => Some(format!("{name}{}", not_voting(*why))),
                _ => None,
            }),
            (clocks, &|name, reason| match reason {
                Reason::Skewed { ms } => Some(format!("{name} {}", skew(*ms))),
                _ => None,
            }),
            ("behind", &|name, reason| match reason {
                Reason::Lagging { blocks, views } => {
                    let views = if *views == 0 { String::new() } else { format!(" and {views} views") };
                    Some(format!("{name} {blocks} blocks{views}"))
                }
                _ => None,
            }),
            ("in another view", &|name, reason| match reason {
                Reason::OtherView { view } => Some(format!("{name} in {view}")),
                _ => None,
            }),
        ];
        let said = kinds.into_iter().filter_map(|(kind, say)| {
            let found: Vec<String> = self
                .diagnosis
                .hindrances
                .iter()
                .filter_map(|it| say(self.name(it.authority), &it.reason))
                .collect();
            (!found.is_empty()).then(|| {
                let more =
                    if kind == clocks { format!(" (more than {bound} is too much)") } else { String::new() };
                format!("{kind}: {}{more}", list(&found, LISTED_MAX))
            })
        });
        said.collect()
    }

    /// Who voted for what in the current view.
    fn votes(&self) -> Option<String> {
        let view = self.snapshot.views.first()?;
        let voters = |numbers: &[usize]| {
            let names: Vec<&str> = numbers.iter().map(|number| self.name(*number)).collect();
            list(&names, REPEATED_MAX)
        };
        let said = choices(view, self.snapshot.own).into_iter().map(|(choice, numbers)| {
            let choice = choice.map_or_else(
                || "to nullify it".to_owned(),
                |block| format!("for block {}…", &block.to_string()[..ID_DIGITS]),
            );
            format!("{} {choice} ({})", numbers.len(), voters(&numbers))
        });
        let said: Vec<String> = said.collect();
        (!said.is_empty()).then(|| format!("votes in view {}: {}", view.view, list(&said, REPEATED_MAX)))
    }

    /// What brings finality back.
    fn remedy(&self) -> String {
        let needed = self.diagnosis.needed_more;
        if needed == 0 {
            return "enough could vote, and this node does not know why they do not agree: if it lasts, compare what the logs \
                    of the authorities say of these views"
                .into();
        }
        let has = |number: usize, kind: &str| {
            self.diagnosis.hindrances.iter().any(|it| it.authority == number && it.reason.word() == kind)
        };
        let mut left = self.diagnosis.would_help.clone();
        let mut take =
            |kind: &str| -> Vec<usize> { left.extract_if(.., |number| has(*number, kind)).collect() };
        let [missing, skewed, lagging, mute] = ["missing", "skewed", "lagging", "not_voting"].map(&mut take);
        let names = |numbers: &[usize]| match numbers.len() {
            many if many > REPEATED_MAX => format!("these {many}"),
            _ => {
                let names: Vec<&str> = numbers.iter().map(|number| self.name(*number)).collect();
                names.join(", ")
            }
        };
        let is_are = |count: usize| if count == 1 { "is" } else { "are" };
        let alone = self.snapshot.own.is_some() && missing.len() + 1 == self.snapshot.authorities.len();
        let hint = if alone && missing.len() > 1 {
            "; this node hears nobody, so look at its own network first"
        } else {
            ""
        };
        if missing.len() == self.diagnosis.would_help.len() {
            let who = if needed == missing.len() {
                names(&missing)
            } else {
                format!("{} of {}", number(needed), names(&missing))
            };
            return format!("finality comes back by itself when {who} {} back{hint}", is_are(needed));
        }
        let mut ways = Vec::new();
        if !missing.is_empty() {
            ways.push(format!("{} back", names(&missing)));
        }
        if !lagging.is_empty() {
            ways.push(format!("{} caught up, which they do by themselves", names(&lagging)));
        }
        if !skewed.is_empty() {
            ways.push(format!("the clock of {} set right (NTP)", names(&skewed)));
        }
        if !mute.is_empty() {
            ways.push(format!("{} voting again, whose own status says why not", names(&mute)));
        }
        format!("finality comes back with {} more of: {}{hint}", number(needed), ways.join("; "))
    }
}

const fn not_voting(why: NotVoting) -> &'static str {
    match why {
        NotVoting::Unsaid => "",
        NotVoting::Forgot => " (its journal does not know all it voted)",
        NotVoting::JournalLost => " (its journal was lost)",
        NotVoting::Asking(_) => " (it waits for others to say what it voted before its start)",
        NotVoting::Behind => " (it first gets back to where it was)",
    }
}

fn skew(ms: i64) -> String {
    format!("{} {}", span(ms.unsigned_abs()), if ms > 0 { "ahead" } else { "behind" })
}

fn number(count: usize) -> String {
    if count == 1 { "one".into() } else { count.to_string() }
}

/// Names one after the other, `max` at most, and how many more there are.
#[must_use]
pub fn list(names: &[impl AsRef<str>], max: usize) -> String {
    let shown: Vec<&str> = names.iter().take(max).map(AsRef::as_ref).collect();
    let listed = shown.join(", ");
    match names.len().saturating_sub(max) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

/// A span of time in the unit that people would use.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
