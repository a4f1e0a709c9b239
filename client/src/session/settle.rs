//! A batch that was turned down because of the status of a record: which records that are, and what becomes of the others.
//!
//! A node's no is not taken on its word. Verified receipts of all records in question show whether the batch is final
//! after all, and whether it can still become final; only where it cannot, what is left of it is signed anew.

use std::sync::Arc;

use markstein_proto::{BATCH_AGE_MAX_MS, LeafIndex, Record};

use super::{
    Kept, SessionError, Shared, Unchanged, blocking,
    current::{Need, Wanted, there},
    locate::refused,
    submit::AboutStatus,
};
use crate::{
    batches::{Planned, Renewal},
    changes::{Judgement, Wish, how_it_is},
    entry::Entry,
    node::{NodeError, Reader},
    observer::Event,
};

/// What a batch turned out to be.
pub(super) enum Settled {
    /// In the ledger, whatever was said.
    Final,
    /// Never to be final. These take its place, without the records that cannot be changed so.
    Instead { entries: Vec<Arc<Entry>>, unchanged: Vec<Unchanged> },
    /// As good as before, by all receipts, and another node is still to be asked.
    Contradicted {
        /// What one node says all the same.
        no: NodeError,
        /// Nobody else can have the batch.
        nobody_has_it: bool,
    },
    /// Perhaps on its way.
    Open,
}

/// What the newest receipt says of one record of the batch.
struct Seen {
    target: LeafIndex,
    judgement: Judgement,
    how: String,
    is_final: bool,
    is_dead: bool,
}

impl Seen {
    /// Whether the record can bring about what it is for.
    fn fits(&self, planned: &Planned) -> bool {
        match &self.judgement {
            Judgement::Supersede => true,
            Judgement::Change(change) => Record::StatusChange(*change) == planned.record,
            Judgement::Already | Judgement::Ended => false,
        }
    }
}

impl<N: Reader> Shared<N> {
    /// Finds out about an entry that was turned down. `others`: there are nodes that were not asked yet.
    pub(super) async fn settle(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        AboutStatus { said, no, nobody_has_it }: AboutStatus,
        others: bool,
    ) -> Result<Settled, SessionError> {
        let planned = entry.planned();
        let targets = planned.iter().enumerate().filter_map(|(position, planned)| {
            let (target, wish) = (planned.record.status_step()?.target(), Wish::of(&planned.record)?);
            Some((position, target, wish, planned.renewals.clone()))
        });
        let (batch, created_at) = (entry.batch().id(), entry.batch().head().created_at);
        type Target = (usize, LeafIndex, Wish, Vec<Renewal>);
        let look = move |shared: Arc<Self>, (position, target, wish, renewals): Target, current| async move {
            let current = there(current);
            let too_late = current.latest.0.saturating_sub(created_at.0) > BATCH_AGE_MAX_MS;
            let seen = Seen {
                target,
                judgement: wish.judge(target, current.facts().status),
                how: how_it_is(current.facts()),
                is_final: current.shows(batch),
                is_dead: too_late || current.facts().status.is_terminal(),
            };
            if seen.judgement == Judgement::Already {
                shared.write_renewals(current, renewals, true).await?;
            }
            Ok((position, seen))
        };
        let need = Need::Log(self.seen_beside(entry).await?);
        let wanted = |item: Target| Wanted { index: item.1, is_there: true, item };
        let wanted = targets.map(wanted).collect();
        let mut seen = self.each_current(wanted, need, look).await?;
        seen.sort_by_key(|(position, _)| *position);
        if seen.iter().any(|(_, seen)| seen.is_final) {
            return Ok(Settled::Final);
        }
        let is_dead = seen.iter().any(|(_, seen)| seen.is_dead);
        if others && !is_dead && seen.iter().all(|(position, seen)| seen.fits(&planned[*position])) {
            return Ok(Settled::Contradicted { no, nobody_has_it });
        }
        if !nobody_has_it && !is_dead {
            return Ok(Settled::Open);
        }
        let seen = seen.into_iter().map(|(_, seen)| seen).collect();
        let (groups, unchanged) = regroup(planned, seen, nobody_has_it.then_some(said));
        let entries = self.sign_instead(entry, groups, is_dead).await?;
        Ok(Settled::Instead { entries, unchanged })
    }

    /// The new entries are durable before the old one is removed. Where only a node's word says that nobody has the batch, that
    /// node has seen it, and may submit it after all: then the old entry is the only one whose salts fit what becomes final.
    async fn sign_instead(
        self: &Arc<Self>,
        old: &Arc<Entry>,
        groups: Vec<Vec<Planned>>,
        is_dead: bool,
    ) -> Result<Vec<Arc<Entry>>, SessionError> {
        let put_aside = !is_dead && old.records().iter().any(|record| record.paper.is_some());
        let (shared, old) = (self.clone(), old.batch().id());
        let sign = move || -> Result<_, SessionError> {
            if put_aside {
                // First of all: an entry that a new one names as its successor is removed by the run after a killed one.
                shared.observer.event(&Event::PutAside(&shared.journal.put_aside(old)?));
            }
            let (mut entries, count) = (Vec::new(), groups.len());
            for (number, group) in groups.into_iter().enumerate() {
                let entry = Entry::sign(group, shared.signer(), (shared.clock)())?;
                if entry.batch().id() == old {
                    return Err(SessionError::Clock);
                }
                // Killed before the last one, the next run finds the old entry, and what it says of it stays true.
                let entry = if number + 1 == count { entry.in_place_of(old) } else { entry };
                shared.journal.write(&entry)?;
                entries.push(Arc::new(entry));
            }
            if !put_aside {
                shared.journal.remove(old)?;
            }
            Ok(entries)
        };
        blocking(sign).await
    }
}

/// What is left of a batch that is never to be final, and what becomes of the rest. Where every record could be changed by
/// what is known, and one node says otherwise of one of them, halves show of which.
fn regroup(
    planned: Vec<Planned>,
    seen: Vec<Seen>,
    said: Option<String>,
) -> (Vec<Vec<Planned>>, Vec<Unchanged>) {
    let (mut rest, mut unchanged, mut learned) = (Vec::new(), Vec::new(), false);
    for (planned, Seen { target, judgement, how, .. }) in planned.into_iter().zip(seen) {
        let Planned { record, paper, renewals } = planned;
        let keep = |renewals: Vec<Renewal>, kept| {
            let receipts = renewals.into_iter().map(|renewal| renewal.receipt).collect();
            Unchanged { index: Some(target), kept, receipts, labels: Vec::new() }
        };
        match judgement {
            Judgement::Supersede => rest.push((target, Planned { record, paper, renewals })),
            Judgement::Change(change) => {
                let new = Record::StatusChange(change);
                learned |= new != record;
                rest.push((target, Planned { record: new, paper, renewals }));
            }
            Judgement::Already => unchanged.push(keep(renewals, Kept::Already(how))),
            Judgement::Ended => unchanged.push(keep(renewals, Kept::Refused(format!("{how}, for good")))),
        }
    }
    let second = match said {
        Some(said) if !learned && unchanged.is_empty() => {
            if rest.len() == 1 {
                let alone = rest.drain(..).map(|(target, planned)| {
                    refused(Some(target), Vec::new(), planned.renewals, format!("is not changed: {said}"))
                });
                unchanged.extend(alone);
            }
            rest.split_off(rest.len() / 2)
        }
        _ => Vec::new(),
    };
    let groups = [rest, second].into_iter().filter(|group| !group.is_empty());
    let groups = groups.map(|group| group.into_iter().map(|(_, planned)| planned).collect());
    (groups.collect(), unchanged)
}
