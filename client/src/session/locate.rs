//! From orders to the records that they are about, and what brings about what is wanted of each.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    sync::Arc,
};

use markstein_proto::{Commitment, LeafIndex, LogSize, StatusChange};

use super::{
    Kept, Report, Session, SessionError, Shared, Unchanged,
    crew::Crew,
    current::{Current, Need, Wanted},
};
use crate::{
    batches::Renewal,
    changes::{Judgement, Wish, how_it_is},
    node::{Reader, Whose},
    observer::Event,
    orders::{Label, Order, Place},
    retry::How,
};

/// A record whose status shall change.
#[derive(Clone, Debug)]
pub(super) struct Sought {
    pub index: LeafIndex,
    /// A receipt shows that there is an anchored document at this place.
    pub is_there: bool,
    pub wish: Wish,
    pub labels: Vec<Label>,
    pub renewals: Vec<Renewal>,
}

/// What is to be done about one.
#[derive(Debug)]
pub(super) enum Looked {
    Change(StatusChange, Sought),
    /// The document type of the record that is to be replaced.
    Supersede(u32, Sought),
    Unchanged(Unchanged),
}

impl<N: Reader> Session<N> {
    /// Finds the record of each order. Two orders about one record are one, or the second is refused.
    pub(super) async fn locate(
        &self,
        orders: Vec<Order>,
        seen: LogSize,
        report: &mut Report,
    ) -> Result<BTreeMap<LeafIndex, Sought>, SessionError> {
        let public = |order: &Order| match order.place {
            Place::Public(commitment) => Some(commitment),
            Place::Record { .. } => None,
        };
        let commitments: BTreeSet<Commitment> = orders.iter().filter_map(public).collect();
        let mut crew = Crew::new();
        for commitment in commitments {
            let shared = self.shared.clone();
            let find = async move { Ok((commitment, shared.find_public(commitment, seen).await?)) };
            crew.begin(find).await;
        }
        let found: BTreeMap<Commitment, Result<LeafIndex, String>> = crew.end().await?.into_iter().collect();
        let mut sought = BTreeMap::new();
        for Order { label, wish, place, renewals } in orders {
            let (index, is_there) = match place {
                Place::Record { index, seen, batch } => {
                    batch.into_iter().for_each(|place| self.shared.places.learn(index, place));
                    (Ok(index), seen > LogSize(0))
                }
                Place::Public(commitment) => (found[&commitment].clone(), true),
            };
            let labels = vec![label.clone()];
            let added =
                index.and_then(|index| add(&mut sought, Sought { index, is_there, wish, labels, renewals }));
            if let Err(why) = added {
                report.unchanged.push(refused(None, vec![label], Vec::new(), why));
            }
        }
        Ok(sought)
    }

    /// Asks the nodes for each record, and says what is to be done.
    pub(super) async fn look_up(
        &self,
        sought: Vec<Sought>,
        seen: LogSize,
    ) -> Result<Vec<Looked>, SessionError> {
        self.shared.observer.event(&Event::LookingUp { records: sought.len() });
        let wanted = |sought: Sought| Wanted { index: sought.index, is_there: sought.is_there, item: sought };
        let wanted = sought.into_iter().map(wanted).collect();
        self.shared.each_current(wanted, Need::Log(seen), Shared::look_at_record).await
    }
}

/// The size of the log that all receipts at hand have seen.
pub(super) fn seen_by(orders: &[Order]) -> LogSize {
    let size = |order: &Order| match order.place {
        Place::Record { seen, .. } => seen,
        Place::Public(_) => LogSize(0),
    };
    orders.iter().map(size).max().unwrap_or(LogSize(0))
}

fn add(all: &mut BTreeMap<LeafIndex, Sought>, sought: Sought) -> Result<(), String> {
    match all.entry(sought.index) {
        btree_map::Entry::Vacant(place) => {
            place.insert(sought);
        }
        btree_map::Entry::Occupied(place) if same_wish(place.get().wish, sought.wish) => {
            let first = place.into_mut();
            first.is_there |= sought.is_there;
            first.labels.extend(sought.labels);
            for renewal in sought.renewals {
                if !first.renewals.contains(&renewal) {
                    first.renewals.push(renewal);
                }
            }
        }
        btree_map::Entry::Occupied(place) => {
            let first = &place.get().labels[0];
            return Err(format!(
                "is record {}, which number {} ({}) is about already, and wants otherwise",
                sought.index, first.number, first.name
            ));
        }
    }
    Ok(())
}

/// A record is replaced by one document only.
fn same_wish(one: Wish, other: Wish) -> bool {
    one == other && one != Wish::Supersede
}

pub(super) fn refused(
    index: Option<LeafIndex>,
    labels: Vec<Label>,
    renewals: Vec<Renewal>,
    why: impl Into<String>,
) -> Unchanged {
    let receipts = renewals.into_iter().map(|renewal| renewal.receipt).collect();
    Unchanged { index, kept: Kept::Refused(why.into()), receipts, labels }
}

impl<N: Reader> Shared<N> {
    /// The record of this issuer that has a public commitment, or why there is not one: the end of a sentence.
    async fn find_public(
        self: &Arc<Self>,
        commitment: Commitment,
        seen: LogSize,
    ) -> Result<Result<LeafIndex, String>, SessionError> {
        // Of what all nodes name, receipts tell what is true; that there is nothing, one node's word does not decide while
        // others do not answer for a moment.
        let whose = Whose::Of(self.key.issuer.clone());
        let ask = async |node: &N| {
            let found = node.lookup(commitment, whose.clone()).await?;
            Ok(found.by_issuer.into_iter().flat_map(|(_, indices)| indices).collect::<Vec<LeafIndex>>())
        };
        let mut said = self.nodes.each(How::Awake, ask, |_| false).await;
        if said.iter().flatten().all(Vec::is_empty) {
            said = self.nodes.each(How::Insist, ask, |_| false).await;
        }
        let (mut indices, mut answered, mut failures) = (BTreeSet::new(), false, Vec::new());
        for said in said {
            match said {
                Ok(named) => {
                    indices.extend(named);
                    answered = true;
                }
                Err(e) => failures.push(e),
            }
        }
        if let Some(last) = failures.last().filter(|_| !answered) {
            return Err(self.nodes.gave_up(last.clone()).into());
        }
        let (mut open, mut ended) = (Vec::new(), None);
        for index in indices {
            let Some(current) = self.current_if(index, Need::Log(seen), false).await? else { continue };
            let is_meant = current.verified.commitment == commitment
                && current.facts().public
                && current.facts().issuer == self.key.issuer;
            match current.facts().status.is_terminal() {
                _ if !is_meant => {}
                true => ended = Some(index),
                false => open.push(index),
            }
        }
        Ok(match (open.as_slice(), ended) {
            ([index], _) => Ok(*index),
            ([], Some(index)) => Ok(index),
            ([], None) => {
                let silent: String = failures.iter().map(|e| format!("; {e}")).collect();
                Err(format!("has no public record of {}{silent}", self.key.issuer))
            }
            (several, _) => {
                let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(format!("was anchored more than once, name one of its records: {}", several.join(", ")))
            }
        })
    }

    /// Looks at a record as it is now. Where it has the status that is wanted, its receipts are renewed at once.
    async fn look_at_record(
        self: Arc<Self>,
        sought: Sought,
        current: Option<Current>,
    ) -> Result<Looked, SessionError> {
        self.observer.event(&Event::LookedUp(sought.index));
        let Sought { index, wish, .. } = sought;
        let refuse = |sought: Sought, why: String| {
            Looked::Unchanged(refused(Some(index), sought.labels, sought.renewals, why))
        };
        let Some(current) = current else {
            return Ok(refuse(sought, "is no anchored document of this ledger".into()));
        };
        let facts = current.facts();
        if facts.issuer != self.key.issuer {
            let why = format!(
                "is a record of {} ({}), who alone changes its status",
                facts.issuer_name, facts.issuer
            );
            return Ok(refuse(sought, why));
        }
        let how = how_it_is(facts);
        Ok(match wish.judge(index, facts.status) {
            Judgement::Change(change) => Looked::Change(change, sought),
            Judgement::Supersede => Looked::Supersede(current.document_type, sought),
            Judgement::Ended => refuse(sought, format!("{how}, for good")),
            Judgement::Already => {
                let Sought { labels, renewals, .. } = sought;
                let receipts = self.write_renewals(current, renewals, true).await?;
                Looked::Unchanged(Unchanged {
                    index: Some(index),
                    kept: Kept::Already(how),
                    receipts,
                    labels,
                })
            }
        })
    }
}
