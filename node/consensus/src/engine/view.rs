//! Views: entering them, how long they may take, and what is said again while one is stuck.

use markstein_proto::{View, consensus::CheckedCertificate};

use super::{Engine, blocks::Blocks};
use crate::{AuthorityNumber, Message, leader};

/// Nullifications said again at once while stuck; more are pulled by range.
const RESENT_NULLIFICATIONS_MAX: usize = 64;

/// The clocks of the current view, in ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    /// When the view was entered.
    pub(super) entered: u64,
    /// When its timeout began to run; `None` while the view is idle.
    woken: Option<u64>,
    /// Whether a message of an authority for this view came.
    called: bool,
    /// When it is nullified.
    deadline: Option<u64>,
    /// When everything is said again, and after what pause.
    resend: Option<(u64, u64)>,
    /// When the leader finishes an unfinalised block.
    finish: Option<u64>,
}

impl Timers {
    /// The next tick something is due.
    pub(super) fn next(&self, blocks: &Blocks) -> Option<u64> {
        let resend = self.resend.map(|(at, _)| at);
        [self.deadline, resend, self.finish, blocks.next_retry()].into_iter().flatten().min()
    }
}

impl Engine {
    /// Rules 4 and 5: enters the view after the highest one with any certificate.
    pub(super) fn advance(&mut self) {
        let decided = self.slots.iter().rev().find(|(_, slot)| slot.is_decided()).map(|(view, _)| *view);
        let next = decided.unwrap_or(self.last_final.view).max(self.last_final.view).next();
        if next > self.view {
            self.enter(next);
        }
    }

    pub(super) fn enter(&mut self, view: View) {
        self.view = view;
        self.building = None;
        self.timers = Timers { entered: self.now.tick, ..Timers::default() };
        // Votes for this view may have come before it was entered.
        self.timers.called = self.slots.get(&view).is_some_and(|slot| !slot.is_silent());
    }

    /// A message for the current view wakes it.
    pub(super) fn wake_for(&mut self, view: View) {
        if view >= self.view {
            self.timers.called = true;
        }
    }

    /// Starts, runs and ends the clocks of the current view.
    pub(super) fn run_timers(&mut self) {
        let tick = self.now.tick;
        if self.timers.woken.is_none() && self.is_awake() {
            let from = if self.has_unfinished() { self.timers.entered } else { tick };
            let unfinalised = self.view.0 - 1 - self.last_final.view.0;
            let skipped = self.is_leader_silent();
            self.timers.woken = Some(from);
            self.timers.deadline = Some(if skipped { tick } else { from + self.timing.timeout(unfinalised) });
        }
        if self.timers.deadline.is_some_and(|at| at <= tick) {
            self.timers.deadline = None;
            self.timers.resend = Some((tick, self.timing.view_timeout));
            let before = self.view;
            self.vote_nullify(self.view);
            self.advance(); // with one authority, its own vote is a quorum
            if self.view != before {
                return self.run_timers();
            }
        }
        self.plan_finish();
        if let Some((at, pause)) = self.timers.resend
            && at <= tick
        {
            self.timers.resend = Some((tick + pause, (pause * 2).min(self.timing.view_timeout_max)));
            self.say_again();
        }
    }

    /// A view is idle while there is nothing to write, nothing to finish, and nobody calls.
    fn is_awake(&self) -> bool {
        self.pool || self.timers.called || self.has_unfinished()
    }

    fn plan_finish(&mut self) {
        let waits = self.may_propose(self.view) && self.building.is_none() && self.has_unfinished();
        let at = self.timers.entered + self.timing.finish_after;
        self.timers.finish = (waits && at > self.now.tick).then_some(at);
    }

    /// The leader was not heard for long; nobody is silent in the first while after a start.
    fn is_leader_silent(&self) -> bool {
        let leader = leader(self.view, self.authorities);
        let tick = self.now.tick;
        leader != self.me
            && tick >= self.started + self.timing.skip_after
            && tick >= self.heard[leader.0 as usize] + self.timing.skip_after
    }

    /// Says everything again that a peer may need to leave this view or to follow into it: the newest finalization,
    /// all certificates since, own votes, and the leader's own proposal.
    fn say_again(&mut self) {
        let mut messages: Vec<Message> = Vec::new();
        let mut nullifications = 0;
        let certificate = |c: &CheckedCertificate| Message::Certificate(c.clone());
        for (view, slot) in self.slots.iter().rev() {
            messages.extend(slot.finalization.iter().chain(&slot.notarization).map(certificate));
            if nullifications < RESENT_NULLIFICATIONS_MAX {
                nullifications += slot.nullification.iter().count();
                messages.extend(slot.nullification.iter().map(certificate));
            }
            messages.extend(slot.own.all().cloned().map(Message::Vote));
            if self.leads(self.me, *view) && *view == self.view {
                let own = slot.own.notarize.as_ref().and_then(|v| v.subject().ballot.block());
                let proposal =
                    own.and_then(|id| self.blocks.get(&id)).and_then(|known| known.proposal.clone());
                messages.extend(proposal.map(|p| Message::Proposal(Box::new(p))));
            }
        }
        messages.extend(self.finalization.iter().map(certificate));
        messages.into_iter().rev().for_each(|message| self.broadcast(message)); // oldest first
        if self.syncing.take().is_some() {
            self.try_finalize(); // the range that was asked for did not come: ask again
        }
    }

    /// Who has not been heard for `span` ticks, for people who ask why nothing moves.
    #[must_use]
    pub fn silent_for(&self, span: u64) -> Vec<AuthorityNumber> {
        let silent = |number: &u32| {
            *number != self.me.0 && self.now.tick >= self.heard[*number as usize].saturating_add(span)
        };
        (0..self.authorities).filter(silent).map(AuthorityNumber).collect()
    }
}
