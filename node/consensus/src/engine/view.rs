//! Views: entering them, how long they may take, and what is said again while one is stuck.

use std::collections::BTreeSet;

use markstein_proto::{Hash, View, consensus::CheckedCertificate};

use super::Engine;
use crate::{AuthorityNumber, Effect, Message, Recipient, Send, leader, mutant::Mutant, slot::Slot};

/// An authority that was not heard for so many first timeouts is told all again when it is heard: more than lies between
/// two heartbeats.
const SILENT_TIMEOUTS: u64 = 2;

/// Newest views of which everything is said again at once while stuck; with them goes another as large part of the older
/// ones, in turn, so that every gap closes.
const RESENT_VIEWS_MAX: usize = 64;

/// The clocks of the current view, in ticks.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    /// When the view was entered.
    pub(super) entered: u64,
    /// Whether its timeout runs; not while the view is idle.
    woken: bool,
    /// Whether a message of an authority for this view came.
    called: bool,
    /// When it is nullified.
    deadline: Option<u64>,
    /// When everything is said again, and after what pause.
    resend: Option<(u64, u64)>,
    /// When the leader finishes an unfinalised block.
    finish: Option<u64>,
    /// No block to finish with is asked for before: there was none a moment ago.
    pub(super) declined: u64,
}

impl Timers {
    /// The next tick something is due.
    pub(super) fn next(&self) -> Option<u64> {
        let resend = self.resend.map(|(at, _)| at);
        [self.deadline, resend, self.finish].into_iter().flatten().min()
    }
}

impl Engine {
    /// Rules 4 and 5: enters the view after the highest one with any certificate.
    pub(super) fn advance(&mut self) {
        let waits = self.breaks(Mutant::WaitForBlock);
        let has_block = |slot: &Slot| {
            let block = slot.parent_certificate().and_then(|c| c.subject().ballot.block());
            block.is_none_or(|block| self.blocks.get(&block).is_some())
        };
        let is_left = |slot: &Slot| slot.is_decided() && (!waits || has_block(slot));
        let decided = self.slots.iter().rev().find(|(_, slot)| is_left(slot)).map(|(view, _)| *view);
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
        self.forget_nullified();
    }

    /// Proposals of nullified views are of no use, except those this node voted for: it must be able to give them to
    /// others. Should one be notarized after all, it is fetched.
    fn forget_nullified(&mut self) {
        let nullified = self.slots.range(..self.view).map(|(_, slot)| slot);
        let nullified = nullified.filter(|s| s.nullification.is_some() && s.parent_certificate().is_none());
        let useless: Vec<Hash> = nullified
            .flat_map(|slot| {
                let own = slot.own.notarize.as_ref().and_then(|vote| vote.subject().ballot.block());
                slot.proposals.iter().copied().filter(move |id| own != Some(*id))
            })
            .collect();
        useless.iter().for_each(|id| self.blocks.forget(id));
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
        if !self.is_awake() {
            let Timers { entered, called, declined, .. } = self.timers;
            self.timers = Timers { entered, called, declined, ..Timers::default() };
        } else if !self.timers.woken {
            let timeout = self.timeout();
            self.timers.woken = true;
            self.timers.deadline = Some(if self.is_leader_silent() { tick } else { tick + timeout });
        }
        if self.timers.deadline.is_some_and(|at| at <= tick) {
            self.timers.deadline = None;
            self.timers.resend = Some((tick, self.timing.view_timeout));
            let before = self.view;
            self.vote_nullify(before);
            self.advance(); // its own vote may have been the last of a quorum
            if self.view != before {
                return;
            }
        }
        self.plan_finish();
        if let Some((at, pause)) = self.timers.resend
            && at <= tick
        {
            self.timers.resend = Some((tick + pause, (pause * 2).min(self.timing.view_timeout_max)));
            self.rounds += 1;
            self.say_again(Recipient::All);
        }
    }

    /// A view is idle while there is nothing to write, nothing to finish, and nobody calls.
    fn is_awake(&self) -> bool {
        let called = self.timers.called && !self.breaks(Mutant::NoIdleWake);
        self.pool || called || self.has_unfinished()
    }

    /// How long a view may take: longer the more views there were since the newest final block.
    fn timeout(&self) -> u64 {
        self.timing.timeout(if self.breaks(Mutant::NoGrowth) { 0 } else { self.unfinalised_views() })
    }

    /// Timeouts start anew with finality, the one that runs included.
    pub(super) fn shorten_timeout(&mut self) {
        let latest = self.now.tick + self.timeout();
        self.timers.deadline = self.timers.deadline.map(|at| at.min(latest));
    }

    fn plan_finish(&mut self) {
        let waits = self.may_propose(self.view) && self.building.is_none() && self.is_to_finish();
        let at = self.finish_at();
        self.timers.finish = (waits && at > self.now.tick).then_some(at);
    }

    /// The tick from which on a block is built to finish an earlier one.
    pub(super) fn finish_at(&self) -> u64 {
        (self.timers.entered + self.timing.finish_after).max(self.timers.declined)
    }

    /// The leader was not heard for long; nobody is silent in the first while after a start.
    fn is_leader_silent(&self) -> bool {
        let leader = leader(self.view, self.authorities);
        let tick = self.now.tick;
        leader != self.me
            && !self.breaks(Mutant::NoSkip)
            && tick >= self.started + self.timing.skip_after
            && tick >= self.heard[leader.0 as usize] + self.timing.skip_after
    }

    /// Says everything again that a peer may need to leave this view or to follow into it: the newest finalization,
    /// the certificates since, own votes that no certificate contains yet, and the leader's own proposal. Not of all views at
    /// once: who is far behind keeps a great many, and its peers have left them.
    fn say_again(&mut self, to: Recipient) {
        let certificate = |c: &CheckedCertificate| Message::Certificate(c.clone());
        let mut messages: Vec<Message> = self.finalization.iter().map(certificate).collect();
        let due = self.due_again();
        for (view, slot) in self.slots.iter().filter(|(view, _)| due.contains(view)) {
            messages.extend(slot.finalization.iter().chain(&slot.notarization).map(certificate));
            messages.extend(slot.nullification.iter().map(certificate));
            messages.extend(slot.uncertified_own().cloned().map(Message::Vote));
            if self.leads(self.me, *view) && *view == self.view {
                let own = slot.own.notarize.as_ref().and_then(|v| v.subject().ballot.block());
                let proposal =
                    own.and_then(|id| self.blocks.get(&id)).and_then(|known| known.proposal.clone());
                messages.extend(proposal.map(|p| Message::Proposal(Box::new(p))));
            }
        }
        if self.breaks(Mutant::NoCertificateGossip) {
            messages.retain(|message| !matches!(message, Message::Certificate(_)));
        } else if self.breaks(Mutant::NoResend) {
            messages.clear();
        }
        let sends = messages.into_iter().map(|message| Effect::Send(Send { to, message }));
        self.effects.extend(sends);
    }

    /// Notes that an authority was heard. One that was silent, and so may have heard nothing either, is told at once what
    /// it may lack: the pause until all is said again has grown while nothing moved.
    pub(super) fn hear(&mut self, from: AuthorityNumber) {
        let (tick, silence) = (self.now.tick, SILENT_TIMEOUTS * self.timing.view_timeout);
        let Some(heard) = self.heard.get_mut(from.0 as usize) else { return };
        let was_silent = tick >= heard.saturating_add(silence);
        *heard = tick;
        if was_silent && from != self.me && self.timers.resend.is_some() {
            self.say_again(Recipient::One(from));
        }
    }

    /// Views of which everything is said again this time: the newest, some of the older, and the newest finalized and
    /// notarized ones, which the others build on.
    fn due_again(&self) -> BTreeSet<View> {
        let newest_first = || self.slots.iter().rev();
        let spoken = newest_first().filter(|(_, s)| s.is_decided() || s.uncertified_own().next().is_some());
        let views: Vec<View> = spoken.map(|(view, _)| *view).collect();
        let (newest, older) = views.split_at(views.len().min(RESENT_VIEWS_MAX));
        let parts = older.len().div_ceil(RESENT_VIEWS_MAX).max(1);
        let part = older.chunks(RESENT_VIEWS_MAX).nth(self.rounds % parts);
        let finalized = newest_first().find(|(_, slot)| slot.finalization.is_some());
        let notarized = newest_first().find(|(_, slot)| slot.notarization.is_some());
        let built_on = finalized.into_iter().chain(notarized).map(|(view, _)| view);
        newest.iter().chain(part.into_iter().flatten()).chain(built_on).copied().collect()
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
