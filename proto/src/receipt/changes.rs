//! What led to the status of a receipt's record: each change where the log holds it, by the record's issuer, in order,
//! and one after the other by the rules.

use alloc::vec::Vec;

use crate::{
    Author, BatchHead, Header, Height, Leaf, LeafIndex, Reason, TimeMs,
    status::{Status, StatusStep},
};

use super::{
    ChangeLeaves, NotVerified, Receipt,
    verify::{Leaves, decode},
};

/// One change of a status. Only [`Receipt::verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatusEvent {
    /// The status from then on.
    pub status: Status,
    /// When: the time of its block.
    pub at: TimeMs,
    /// Why; none where the record was superseded.
    pub reason: Option<Reason>,
    /// Place of the record that changed it: of the successor, where it was superseded.
    pub index: LeafIndex,
    /// Its block.
    pub height: Height,
}

/// The decoded leaves of a change.
pub(super) struct Change {
    step: Option<StatusStep>,
    head: BatchHead,
    header: Header,
}

impl Receipt {
    /// Each change is the issuer's and stands where blocks hold it, after the record's block and under the checkpoint.
    pub(super) fn check_change_places(&self, leaves: &Leaves) -> Result<(), NotVerified> {
        let placed = leaves.changes.iter().zip(&self.changes);
        (1..).zip(placed).try_for_each(|(number, (change, at))| {
            self.check_place(change, at, leaves).map_err(|why| NotVerified::Change { number, why })
        })
    }

    fn check_place(&self, change: &Change, at: &ChangeLeaves, leaves: &Leaves) -> Result<(), &'static str> {
        let Change { head, header, .. } = change;
        let require = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
        require(head.ledger == leaves.head.ledger, "its batch is of another ledger")?;
        let issuer = matches!(&head.author, Author::Issuer { issuer, .. } if *issuer == leaves.grant.issuer);
        require(issuer, "it is not the issuer's")?;
        require(at.header.index == header.index(), "its header is not where it says")?;
        require(header.first_index <= at.batch_head.index, "its batch head is not in its header's block")?;
        let position = at.record.index.0.saturating_sub(at.batch_head.index.0);
        require((1..=u64::from(head.record_count)).contains(&position), "it is not in its batch")?;
        require(at.record.index < at.header.index, "it is not in its header's block")?;
        require(self.record.index < header.first_index, "its block does not come after the record's")?;
        let latest = &leaves.latest;
        require(at.header.index <= self.latest_header.index, "it is not below the newest header")?;
        let later = header.time > latest.time || header.height > latest.height || header.epoch > latest.epoch;
        require(!later, "its block is newer than the newest block")
    }

    /// The changes lead, one after the other, from valid to the status that the authorities signed.
    pub(super) fn check_changes(
        &self,
        leaves: &Leaves,
        signed: Status,
    ) -> Result<Vec<StatusEvent>, NotVerified> {
        let mut history = Vec::with_capacity(self.changes.len());
        let (mut shown, mut before) = (Status::Valid, (self.header.index, &leaves.header));
        for (i, (change, placed)) in leaves.changes.iter().zip(&self.changes).enumerate() {
            let refuse = |why| NotVerified::Change { number: i + 1, why };
            let require = |holds: bool, why| if holds { Ok(()) } else { Err(refuse(why)) };
            let index = placed.record.index;
            require(index > before.0, "it does not come after what was before it")?;
            require(change.is_later_than(before.1), "its block is not later than what was before it")?;
            let step = change.step.ok_or_else(|| refuse("its record changes no status"))?;
            require(step.target() == self.record.index, "it is about another record")?;
            shown = step
                .applied_to(shown)
                .map_err(|_| refuse("it cannot follow the status that the record had"))?;
            before = (index, &change.header);
            history.push(StatusEvent {
                status: shown,
                at: change.header.time,
                reason: match step {
                    StatusStep::Change(change) => Some(change.reason()),
                    StatusStep::Supersede(_) => None,
                },
                index,
                height: change.header.height,
            });
        }
        if shown == signed { Ok(history) } else { Err(NotVerified::ChangesMissing { shown, signed }) }
    }
}

impl Change {
    pub(super) fn decode(leaves: &ChangeLeaves) -> Result<Self, NotVerified> {
        Ok(Self {
            step: decode("status change", &leaves.record, Leaf::into_record)?.status_step(),
            head: decode("batch head of a status change", &leaves.batch_head, Leaf::into_batch_head)?,
            header: decode("header of a status change", &leaves.header, Leaf::into_header)?,
        })
    }

    /// In the same block as what was before, or in a later one, which has a later time.
    fn is_later_than(&self, before: &Header) -> bool {
        let Self { header, .. } = self;
        header == before || (header.time > before.time && header.height > before.height)
    }
}
