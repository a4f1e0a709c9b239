//! Which record brings about the status that somebody wants, as a pure function of the status there is.

use markstein_proto::{
    LeafIndex, Reason, Record, StatusChange,
    receipt::Verified,
    status::{Status, StatusStep},
};

use crate::time::rfc3339;

/// What somebody wants of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Withdrawn for good.
    Revoke(Reason),
    /// Withdrawn for now.
    Suspend(Reason),
    /// Valid again.
    Reinstate(Reason),
    /// Replaced by another document.
    Supersede,
}

/// What follows from a wish and the status that the record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// This change brings it about.
    Change(StatusChange),
    /// An anchor that supersedes the record brings it about.
    Supersede,
    /// The record has that status.
    Already,
    /// Its status is one that nothing follows.
    Ended,
}

impl Wish {
    /// What a record that changes the status of another was made for.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        Some(match record.status_step()? {
            StatusStep::Supersede(_) => Self::Supersede,
            StatusStep::Change(change) => match change.to() {
                Status::Revoked => Self::Revoke(change.reason()),
                Status::Suspended => Self::Suspend(change.reason()),
                Status::Valid | Status::Superseded => Self::Reinstate(change.reason()),
            },
        })
    }

    /// The status that is wanted.
    #[must_use]
    pub const fn status(self) -> Status {
        match self {
            Self::Revoke(_) => Status::Revoked,
            Self::Suspend(_) => Status::Suspended,
            Self::Reinstate(_) => Status::Valid,
            Self::Supersede => Status::Superseded,
        }
    }

    /// What brings it about, where the record at `target` is `current`. That a record is superseded already never
    /// fulfils the wish to replace it: another document did.
    #[must_use]
    pub fn judge(self, target: LeafIndex, current: Status) -> Judgement {
        let reason = match self {
            Self::Revoke(reason) | Self::Suspend(reason) | Self::Reinstate(reason) => reason,
            Self::Supersede if current.is_terminal() => return Judgement::Ended,
            Self::Supersede => return Judgement::Supersede,
        };
        if current == self.status() {
            return Judgement::Already;
        }
        let change = StatusChange::new(target, current, self.status(), reason);
        change.map_or(Judgement::Ended, Judgement::Change)
    }
}

/// The end of a sentence that begins with a record: which status it has, since when and why.
#[must_use]
pub fn how_it_is(facts: &Verified) -> String {
    let status = facts.status;
    match facts.history.last() {
        Some(event) if event.status == status => match event.reason {
            _ if status == Status::Valid => "is valid".into(),
            Some(reason) => format!("was {status} on {} ({})", rfc3339(event.at), reason.as_str()),
            None => format!("was {status} on {} by record {}", rfc3339(event.at), event.index),
        },
        _ => format!("is {status}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_wish_meets_every_status() {
        use Judgement::{Already, Ended};
        let all = [Status::Valid, Status::Suspended, Status::Revoked, Status::Superseded];
        let target = LeafIndex(7);
        let reason = Reason::Appeal;
        let change = |from, to| Judgement::Change(StatusChange::new(target, from, to, reason).unwrap());
        let (valid, suspended, revoked) = (Status::Valid, Status::Suspended, Status::Revoked);
        let expected = [
            (Wish::Revoke(reason), [change(valid, revoked), change(suspended, revoked), Already, Ended]),
            (Wish::Suspend(reason), [change(valid, suspended), Already, Ended, Ended]),
            (Wish::Reinstate(reason), [Already, change(suspended, valid), Ended, Ended]),
            (Wish::Supersede, [Judgement::Supersede, Judgement::Supersede, Ended, Ended]),
        ];
        for (wish, judgements) in expected {
            assert_eq!(all.map(|status| wish.judge(target, status)), judgements, "{wish:?}");
        }
    }

    #[test]
    fn a_record_tells_what_it_was_made_for() {
        for (from, to, wish) in [
            (Status::Valid, Status::Revoked, Wish::Revoke(Reason::Other)),
            (Status::Suspended, Status::Revoked, Wish::Revoke(Reason::Other)),
            (Status::Valid, Status::Suspended, Wish::Suspend(Reason::Other)),
            (Status::Suspended, Status::Valid, Wish::Reinstate(Reason::Other)),
        ] {
            let change = StatusChange::new(LeafIndex(1), from, to, Reason::Other).unwrap();
            assert_eq!(Wish::of(&Record::StatusChange(change)), Some(wish));
        }
    }
}
