//! What the log says of a pause: when it begins, when its causes change, and when it is over.

use super::{Diagnosis, Finality};

/// Pause between two warnings, in milliseconds.
const SAY_AGAIN_MS: u64 = 30_000;

/// What is to be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Finality pauses, or pauses for other causes than were said.
    Paused,
    /// It is back after so many milliseconds.
    Back(u64),
}

/// What was said so far.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    /// The tick of the last warning.
    warned: Option<u64>,
    pause: Option<Pause>,
}

#[derive(Clone, Debug)]
struct Pause {
    /// The tick since which nothing became final.
    since: u64,
    /// The causes that were said, `None` where nothing was said yet.
    said: Option<Vec<(usize, &'static str)>>,
}

impl Watch {
    /// Looks at a diagnosis at a tick; `waiting_ms` is for how long nothing became final.
    pub fn look(
        &mut self,
        diagnosis: &Diagnosis,
        waiting_ms: Option<u64>,
        catching_up: bool,
        tick: u64,
    ) -> Option<News> {
        match diagnosis.finality {
            Finality::Paused => {}
            // What waited is refused by now, or this node gets the others' blocks: it is not over here.
            Finality::NoQuorum => return None,
            Finality::GoesOn if catching_up => return None,
            Finality::GoesOn => {
                let over = self.pause.take().filter(|pause| pause.said.is_some())?;
                return Some(News::Back(tick.saturating_sub(over.since)));
            }
        }
        let since = tick.saturating_sub(waiting_ms.unwrap_or(0));
        let pause = self.pause.get_or_insert(Pause { since, said: None });
        let hindrances = diagnosis.hindrances.iter().filter(|it| it.reason.costs_a_vote());
        let causes: Vec<_> = hindrances.map(|it| (it.authority, it.reason.word())).collect();
        let soon = self.warned.is_some_and(|at| tick < at + SAY_AGAIN_MS);
        if soon || pause.said.as_ref() == Some(&causes) {
            return None;
        }
        (self.warned, pause.said) = (Some(tick), Some(causes));
        Some(News::Paused)
    }
}
