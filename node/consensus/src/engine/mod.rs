//! The engine's state and its two doors.

mod blocks;
mod finality;
mod inquiry;
mod propose;
mod view;
mod votes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use markstein_proto::{
    BatchId, EpochId, Hash, Header, Height, TimeMs, View,
    consensus::{CheckedCertificate, CheckedProposal, CheckedVote},
};

use crate::{AuthorityNumber, Effect, Fact, Input, Now, Timing, VoteSigner, mutant::Mutant, slot::Slot};
use blocks::Blocks;
pub use inquiry::{ViewVotes, Votes};
use view::Timers;

/// Views above the current one whose votes are kept.
const VIEWS_AHEAD: u64 = 64;
/// Views above the current one whose proposals are kept: they are large, and a block that is notarized can be fetched.
const PROPOSALS_AHEAD: u64 = 8;

/// A final block, as far as the engine needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinalBlock {
    /// Its id.
    pub id: Hash,
    /// Its view; 0 for the epoch's first parent.
    pub view: View,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: TimeMs,
}

/// Whether a node votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voting {
    /// It does.
    Now,
    /// It follows, and asks its peers what it said before; [`Input::Admitted`] lets it vote.
    Later,
    /// An observer, or one whose journal does not know all it said.
    Never,
}

/// What an engine starts with.
pub struct Setup {
    /// The epoch.
    pub epoch: EpochId,
    /// How many authorities it has.
    pub authorities: u32,
    /// Which of them this node is.
    pub me: AuthorityNumber,
    /// Whether this node votes.
    pub voting: Voting,
    /// Spans.
    pub timing: Timing,
    /// Signs this node's votes.
    pub signer: Box<dyn VoteSigner>,
    /// The newest final block of the ledger.
    pub last_final: FinalBlock,
    /// The newest finalization, `None` at the epoch's first parent.
    pub finalization: Option<CheckedCertificate>,
}

/// The state machine. See the crate's page for its invariants.
pub struct Engine {
    epoch: EpochId,
    authorities: u32,
    me: AuthorityNumber,
    voting: Voting,
    /// The newest vote with this node's key that its journal does not know, seen while it waits to be admitted: if any of
    /// them counts then, this one does, and nobody can push it out.
    claim: Option<CheckedVote>,
    timing: Timing,
    signer: Box<dyn VoteSigner>,
    now: Now,
    started: u64,
    view: View,
    slots: BTreeMap<View, Slot>,
    blocks: Blocks,
    last_final: FinalBlock,
    finalization: Option<CheckedCertificate>,
    /// The last view in which this node voted finalize before it was started. What it may have said after that block was
    /// final is not in the journal, so it wants to see it final again, also where the block is empty.
    owed: View,
    /// The view of the finalization that [`Effect::Sync`] was asked for, and the tick to ask again.
    syncing: Option<(View, u64)>,
    /// When each authority was heard last.
    heard: Vec<u64>,
    /// Who voted for the newest final block after it was final, and with which kind of vote.
    late: BTreeSet<(AuthorityNumber, u8)>,
    /// When each was last told of the newest finalization.
    told: Vec<Option<u64>>,
    pool: bool,
    /// Whether the pool said so after the last block was asked for.
    pool_again: bool,
    /// Since when something waits and nothing became final.
    waiting: Option<u64>,
    /// How often everything was said again.
    rounds: usize,
    /// The view a block is being built for.
    building: Option<View>,
    timers: Timers,
    effects: VecDeque<Effect>,
    #[cfg(feature = "mutants")]
    mutant: Mutant,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("me", &self.me)
            .field("view", &self.view)
            .field("last_final", &self.last_final)
            .field("voting", &self.voting)
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that continues where its journal ends. Facts at or below the final view are passed over; own votes
    /// are counted again.
    #[must_use]
    pub fn new(setup: Setup, journal: impl IntoIterator<Item = Fact>, now: Now) -> Self {
        Self::start(setup, journal, now, Mutant::None)
    }

    pub(crate) fn start(
        setup: Setup,
        journal: impl IntoIterator<Item = Fact>,
        now: Now,
        #[cfg_attr(not(feature = "mutants"), allow(unused_variables))] mutant: Mutant,
    ) -> Self {
        let authorities = setup.authorities as usize;
        let mut engine = Self {
            epoch: setup.epoch,
            authorities: setup.authorities,
            me: setup.me,
            voting: setup.voting,
            claim: None,
            timing: setup.timing,
            signer: setup.signer,
            now,
            started: now.tick,
            view: View(0),
            slots: BTreeMap::new(),
            blocks: Blocks::default(),
            last_final: setup.last_final,
            finalization: setup.finalization,
            owed: View(0),
            syncing: None,
            heard: vec![now.tick; authorities],
            late: BTreeSet::new(),
            told: vec![None; authorities],
            pool: false,
            pool_again: false,
            waiting: None,
            rounds: 0,
            building: None,
            timers: Timers::default(),
            effects: VecDeque::new(),
            #[cfg(feature = "mutants")]
            mutant,
        };
        for fact in journal.into_iter().filter(|fact| fact.view() > setup.last_final.view) {
            engine.replay(fact);
        }
        if engine.voting != Voting::Never {
            let owed =
                engine.slots.iter().filter(|(_, slot)| slot.own.finalize.is_some()).map(|(view, _)| *view);
            engine.owed = owed.max().unwrap_or_default();
        }
        engine.count_own_votes_again();
        engine.check_certified();
        engine.settle();
        engine
    }

    /// Takes an input. Effects follow by [`Engine::poll_effect`].
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = Now { tick: now.tick.max(self.now.tick), clock: now.clock };
        let is_told_empty = matches!(input, Input::Pool(false));
        match input {
            Input::Tick => {}
            Input::Proposal(from, proposal) => self.on_proposal(from, &proposal),
            Input::Vote(from, vote) => self.on_vote(from, &vote),
            Input::Certificate(from, certificate) => self.on_certificate(from, &certificate),
            Input::Fetched(from, body) => self.on_fetched(from, &body),
            Input::Checked(block, verdict) => self.on_checked(block, verdict),
            Input::Built(view, body) => self.on_built(view, body),
            Input::Heard(from) => self.hear(from),
            Input::Pool(admissible) => (self.pool, self.pool_again) = (admissible, admissible),
            Input::Synced(block, certificate) => self.on_synced(block, &certificate),
            Input::Admitted => self.on_admitted(),
        }
        self.settle();
        self.note_waiting(is_told_empty);
    }

    /// The next thing to do, in order.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// The tick at which the engine wants [`Input::Tick`], if nothing happens before.
    #[must_use]
    pub fn next_tick(&self) -> Option<u64> {
        let sync = self.syncing.map(|(_, at)| at);
        let retries = [self.blocks.next_retry(), self.next_suspicion()];
        [self.timers.next(), sync].into_iter().chain(retries).flatten().min()
    }

    /// The view it is in.
    #[must_use]
    pub const fn view(&self) -> View {
        self.view
    }

    /// The newest final block.
    #[must_use]
    pub const fn last_final(&self) -> FinalBlock {
        self.last_final
    }

    /// The newest finalization, `None` at the epoch's first parent.
    #[must_use]
    pub const fn finalization(&self) -> Option<&CheckedCertificate> {
        self.finalization.as_ref()
    }

    /// Whether it votes.
    #[must_use]
    pub fn is_voting(&self) -> bool {
        self.voting == Voting::Now
    }

    /// Every vote of `signer` above the final view that is known here, newest view first: what a starting node asks its
    /// peers for.
    pub fn votes_of(&self, signer: AuthorityNumber) -> impl Iterator<Item = CheckedVote> {
        self.slots.values().rev().flat_map(move |slot| slot.votes_of(signer.0))
    }

    /// A block above the final one that is known here, for its check. It may be invalid.
    #[must_use]
    pub fn body(&self, block: &Hash) -> Option<(&Header, &[(BatchId, Hash)])> {
        self.blocks.body(block)
    }

    /// A block above the final one that this node vouches for, for a peer that fetches it. Peers count on it that an
    /// honest node gives nothing else.
    #[must_use]
    pub fn offered(&self, block: &Hash) -> Option<(&Header, &[(BatchId, Hash)])> {
        self.blocks.body(block).filter(|_| self.vouched(block))
    }

    /// How many views, and how many blocks, wanted ones included, are in memory.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.slots.len(), self.blocks.len())
    }

    #[cfg(feature = "mutants")]
    pub(crate) const fn mutant(&self) -> Mutant {
        self.mutant
    }

    fn quorum(&self) -> usize {
        let faulty = (self.authorities - 1) / 3;
        let quorum =
            if self.breaks(Mutant::SmallQuorum) { 2 * faulty + 1 } else { self.authorities - faulty };
        quorum as usize
    }

    /// Views above the current one of which something is kept.
    fn views_ahead(&self) -> u64 {
        if self.breaks(Mutant::FarViews) { u64::MAX } else { VIEWS_AHEAD }
    }

    fn slot(&mut self, view: View) -> &mut Slot {
        self.slots.entry(view).or_default()
    }

    /// Everything that may follow from a change, until nothing more does.
    fn settle(&mut self) {
        loop {
            let before = (self.view, self.last_final.view);
            self.advance();
            self.try_finalize();
            self.try_notarize();
            self.try_propose();
            self.run_timers();
            self.retry_fetches();
            self.retry_sync();
            if before == (self.view, self.last_final.view) {
                return;
            }
        }
    }

    /// Takes a fact of the own journal back into memory.
    fn replay(&mut self, fact: Fact) {
        let forgets = self.breaks(Mutant::NoOwnVoteReplay);
        match fact {
            Fact::Voted(vote) => {
                let slot = self.slot(vote.subject().view);
                *slot.own.slot(&vote.subject().ballot) = Some(vote.clone());
                if !forgets {
                    slot.count(&vote);
                }
            }
            Fact::Block(proposal) => {
                let view = proposal.get().header.view;
                self.learn(&proposal, self.me);
                self.slot(view).propose(proposal.get().block_id());
            }
            Fact::Certified(certificate) => {
                self.slot(certificate.view()).keep(&certificate);
            }
        }
    }

    fn learn(&mut self, proposal: &CheckedProposal, source: AuthorityNumber) {
        let body =
            crate::Body { header: proposal.get().header.clone(), batches: proposal.get().batches.clone() };
        self.blocks.insert(body, Some(proposal.clone()), source);
    }
}
