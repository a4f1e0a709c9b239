//! The engine's other end: runs its effects on the ledger, the journal and the network.
//!
//! [`Driver`] is a plain structure on one thread: an event and the time go in ([`Driver::handle`]), and everything that
//! follows has happened when it returns. It has no clock, no socket and no thread of its own, so a simulation runs
//! the same code on stores in memory. What it keeps: nothing is voted before it is durable, effects run in their order,
//! a failed write ends it.

mod blocks;
mod builder;
mod checkpoints;
mod courtesy;
mod effects;
mod event;
mod facts;
mod finality;
mod gather;
mod inspect;
mod mutant;
mod peers;
mod recovery;
mod report;
mod runs;
mod serve;
mod sync;
mod thread;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use markstein_consensus::{AuthorityNumber, Engine, FinalBlock, Input, Now, Setup, Timing, Voting};
use markstein_proto::{
    AuthoritySet, Hash, LedgerId, Sign, View,
    consensus::{Certificate, CheckedCertificate, Subject, Vote},
};

pub use builder::CLOCK_SKEW_MAX_MS;
pub use event::{Audience, Checked, Event, Outbox};
pub use facts::{Promise, promises, proposed_batches};
pub use inspect::Inspector;
#[cfg(feature = "mutants")]
pub use mutant::Mutant;
pub use serve::answer;
pub use thread::{Events, Mailbox, mailbox, run};

#[cfg(not(feature = "mutants"))]
use mutant::Mutant;

use crate::{
    diagnosis::Watch,
    finality::Publisher,
    ledger::{
        Cosigner, CosignerError, ExecuteError, ExecutedBlock, FinalState, KeptLines, LineKeys, Rules, State,
    },
    metrics::Metrics,
    network_view::NetworkView,
    peer::Peer,
    pool::{Pool, PoolFailure},
    storage::{
        Db, Read, StorageError, Writes,
        tables::{Evidence, Finalizations, Meta, MetaKey},
    },
};

/// Why the driver ended. Each of these stops the node.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Our disk is to blame.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A pooled batch cannot be read.
    #[error(transparent)]
    Pool(#[from] PoolFailure),
    /// A block that this node built itself is invalid.
    #[error(transparent)]
    Execute(#[from] ExecuteError),
    /// The checkpoint cannot be cosigned.
    #[error(transparent)]
    Cosigner(#[from] CosignerError),
    /// This node's execution and the quorum's differ.
    #[error(
        "a quorum holds block {block} for valid and this node does not: one of the two is broken. Do not start this \
         node again before it runs the same release as the others; if it does, its disk or memory is damaged"
    )]
    Diverged {
        /// The block.
        block: Hash,
    },
}

/// The hands of an authority.
#[derive(Debug)]
pub struct Hands {
    /// Its number in the epoch's set.
    pub number: u32,
    /// Signs its votes.
    pub consensus: Box<dyn Sign>,
    /// Signs checkpoints.
    pub cosigner: Cosigner,
}

/// What a driver works with.
pub struct Parts {
    /// The ledger.
    pub ledger: LedgerId,
    /// Its origin.
    pub origin: String,
    /// The rules for batches.
    pub rules: Rules,
    /// The newest final state.
    pub state: FinalState,
    /// The pool.
    pub pool: Pool,
    /// Where final states go.
    pub publisher: Publisher,
    /// The authority's keys, none for an observer.
    pub hands: Option<Hands>,
    /// The way to the others.
    pub outbox: Box<dyn Outbox>,
    /// Signatures are checked before events come; shared for what need not be checked twice.
    pub inspector: Arc<Inspector>,
    /// What operators see of the others.
    pub view: NetworkView,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Spans of the engine.
    pub timing: Timing,
    /// Pause after which the newest checkpoint is cosigned again, in milliseconds.
    pub recosign: u64,
    /// A number of this start of the node, by which others tell it from a second node with its keys.
    pub run: u64,
}

/// See the module's page.
pub struct Driver {
    db: Db,
    origin: String,
    rules: Rules,
    set: Arc<AuthoritySet>,
    me: Option<u32>,
    engine: Engine,
    now: Now,
    state: FinalState,
    executed: BTreeMap<Hash, Arc<ExecutedBlock>>,
    gather: gather::Gather,
    journal: facts::Journal,
    /// What the engine is to be told next.
    answers: VecDeque<Input>,
    /// Facts that go with the next commit.
    recorded: Writes,
    checkpoints: checkpoints::Checkpoints,
    courtesy: courtesy::Courtesy,
    sync: sync::Sync,
    recovery: recovery::Recovery,
    peers: peers::Peers,
    view: NetworkView,
    /// What the log said of a pause.
    watch: Watch,
    pool: Pool,
    publisher: Publisher,
    outbox: Box<dyn Outbox>,
    inspector: Arc<Inspector>,
    metrics: Arc<Metrics>,
    timing: Timing,
    /// The tick of the next round of what is done every second.
    round_at: u64,
    /// Pairs of votes kept as evidence, by authority.
    evidence: BTreeMap<u32, usize>,
    /// A block became final: the engine is to be told what is left in the pool.
    pool_due: bool,
    /// A block to build in the next step: one a step, so that whoever runs this can stop it in between.
    to_build: Option<(View, Hash, bool)>,
    has_built: bool,
    #[cfg(feature = "mutants")]
    mutant: Mutant,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("me", &self.me).field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Pause between two rounds of what is done regularly, in milliseconds.
const ROUND: u64 = 1_000;

struct Signer {
    ledger: LedgerId,
    number: u32,
    key: Box<dyn Sign>,
}

impl markstein_consensus::VoteSigner for Signer {
    fn sign(&self, subject: &Subject) -> markstein_proto::Signature {
        Vote::sign(&self.ledger, *subject, self.number, &*self.key).signature
    }
}

/// An observer signs nothing: its engine never votes.
struct NoHands;

impl markstein_consensus::VoteSigner for NoHands {
    fn sign(&self, _: &Subject) -> markstein_proto::Signature {
        unreachable!("an engine that never votes signs nothing")
    }
}

impl Driver {
    /// A driver that continues where the store ends. It does nothing before the first event; [`Driver::next_tick`] is
    /// now.
    ///
    /// # Errors
    /// See [`DriverError`].
    pub fn start(parts: Parts, now: Now) -> Result<Self, DriverError> {
        Self::open(parts, now, Mutant::None)
    }

    fn open(parts: Parts, now: Now, mutant: Mutant) -> Result<Self, DriverError> {
        let db = parts.state.db().clone();
        let set = Arc::new(parts.state.authorities().clone());
        let last_final = final_block(&parts.state);
        let (journal, facts) = facts::Journal::load(&db, last_final.view)?;
        let lost = db.get::<Meta>(&MetaKey::JournalLost)?;
        let ignores = cfg!(feature = "mutants") && mutant == Mutant::VoteAfterLoss;
        let forgot = !ignores && (lost.is_some() || db.get::<Meta>(&MetaKey::Amnesia)?.is_some());
        let (me, consensus, cosigner) = match parts.hands {
            Some(Hands { number, consensus, cosigner }) => (Some(number), Some(consensus), Some(cosigner)),
            None => (None, None, None),
        };
        let voting = if consensus.is_none() || forgot { Voting::Never } else { Voting::Later };
        let ledger = parts.ledger;
        let signer: Box<dyn markstein_consensus::VoteSigner> = match (consensus, me) {
            (Some(key), Some(number)) => Box::new(Signer { ledger, number, key }),
            _ => Box::new(NoHands),
        };
        let setup = Setup {
            epoch: set.epoch(),
            authorities: set.authorities().len() as u32,
            me: AuthorityNumber(me.unwrap_or(u32::MAX)),
            voting,
            timing: parts.timing,
            signer,
            last_final,
            finalization: newest_finalization(&db, &parts.state)?,
        };
        let inquires = voting == Voting::Later && !(cfg!(feature = "mutants") && mutant == Mutant::NoInquiry);
        let undecided = cfg!(feature = "mutants") && mutant == Mutant::CosignUndecided;
        let quorum = set.quorum();
        let mut driver = Self {
            checkpoints: checkpoints::Checkpoints::new(
                cosigner.filter(|_| !forgot),
                KeptLines::load(&db)?,
                (LineKeys::new(&set, &parts.origin), parts.rules.verified().another()),
                journal.last_finalize().filter(|_| !undecided),
                parts.recosign,
            ),
            recovery: recovery::Recovery::load(&db, if inquires { quorum - 1 } else { 0 })?,
            engine: mutant::engine(setup, facts, now, mutant),
            origin: parts.origin,
            rules: parts.rules,
            peers: peers::Peers::new(&set, me, parts.run),
            view: parts.view,
            watch: Watch::default(),
            set,
            me,
            now,
            state: parts.state,
            executed: BTreeMap::new(),
            gather: gather::Gather::default(),
            journal,
            answers: VecDeque::new(),
            recorded: Writes::new(),
            courtesy: courtesy::Courtesy::default(),
            sync: sync::Sync::default(),
            pool: parts.pool,
            publisher: parts.publisher,
            outbox: parts.outbox,
            inspector: parts.inspector,
            metrics: parts.metrics,
            timing: parts.timing,
            round_at: now.tick,
            evidence: kept_evidence(&db)?,
            pool_due: true,
            to_build: None,
            has_built: false,
            #[cfg(feature = "mutants")]
            mutant,
            db,
        };
        if forgot {
            driver.peers.forgot(lost.is_some());
        }
        if let Some(why) = lost.filter(|_| driver.me.is_some()) {
            tracing::error!(
                "this node's journal was lost when its data was damaged ({}): it neither votes nor cosigns, and follows as \
                 an observer. The way back: make new keys, and have the other authorities put them in place of these",
                String::from_utf8_lossy(&why)
            );
        }
        driver.count_checkpoint()?;
        Ok(driver)
    }

    /// Takes an event. When it returns, all that follows was done.
    ///
    /// # Errors
    /// See [`DriverError`]; the driver is of no use after one.
    pub fn handle(&mut self, now: Now, event: Event) -> Result<(), DriverError> {
        self.now = Now { tick: now.tick.max(self.now.tick), clock: now.clock };
        self.has_built = false;
        let voted = self.engine.is_voting();
        let tells = matches!(
            event,
            Event::Connected(_) | Event::Disconnected(_) | Event::From(_, Checked::Heartbeat(_))
        );
        if let Some((view, parent, batches)) = self.to_build.take() {
            self.build(view, parent, batches)?;
        }
        if std::mem::take(&mut self.pool_due) {
            self.tell_pool()?;
        }
        match event {
            Event::Tick => self.input(Input::Tick)?,
            Event::Pooled => self.on_pooled()?,
            Event::Connected(peer) => self.on_connected(peer)?,
            Event::Disconnected(peer) => self.peers.disconnected(peer),
            Event::From(peer, checked) => self.on_message(peer, checked)?,
        }
        if self.now.tick >= self.round_at {
            self.round_at = self.now.tick + ROUND;
            self.round()?;
        }
        self.run_gather()?;
        self.run_sync();
        self.run_recovery()?;
        self.run_recosign()?;
        self.run_courtesy();
        let votes = self.engine.is_voting();
        if votes != voted {
            self.say_heartbeat();
        }
        if tells || votes != voted {
            self.publish_view(); // whoever asks for the status next sees it
        }
        self.flush()
    }

    /// The tick at which it wants an [`Event::Tick`] if nothing happens before.
    #[must_use]
    pub fn next_tick(&self) -> u64 {
        if self.pool_due || self.to_build.is_some() {
            return self.now.tick;
        }
        let others = [
            self.engine.next_tick(),
            self.gather.next_tick(),
            self.sync.next_tick(),
            self.courtesy.next_tick(),
            self.checkpoints.next_tick(),
        ];
        others.into_iter().flatten().min().map_or(self.round_at, |tick| tick.min(self.round_at))
    }

    /// The engine, to look at.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The newest final state.
    #[must_use]
    pub const fn state(&self) -> &FinalState {
        &self.state
    }

    /// What is done every second.
    fn round(&mut self) -> Result<(), DriverError> {
        self.say_heartbeat();
        self.say_pooled();
        self.pool.settle(self.now.clock);
        if self.pool.take_dropped() {
            self.publisher.announce();
        }
        self.refuse_hopeless()?;
        self.tell_pool()?;
        self.ask_memory();
        self.inspector.forget_below(self.engine.last_final().view.next());
        self.publish_view();
        Ok(())
    }

    fn on_message(&mut self, peer: Peer, checked: Checked) -> Result<(), DriverError> {
        self.peers.heard(peer, self.now.tick);
        let from = self.number_of(peer);
        match checked {
            Checked::Heard | Checked::PoolBatch(_) => self.input(Input::Heard(from)),
            Checked::Echo { subject, certificate } => {
                if certificate {
                    self.has_certificate(peer, &subject);
                } else {
                    self.has_voted(peer, &subject);
                }
                self.input(Input::Heard(from))
            }
            Checked::Vote(vote) => {
                self.has_voted(peer, &vote.subject());
                let is_far = self.peers.is_far_ahead(peer, vote.subject().view, self.engine.view());
                if is_far && !self.breaks(Mutant::FarViews) {
                    let detail = format!("a vote for view {}", vote.subject().view);
                    self.outbox.misbehaved(peer, crate::peer::Misbehaviour::new("far_future", detail));
                    return self.input(Input::Heard(from));
                }
                self.input(Input::Vote(from, vote))
            }
            Checked::Certificate(certificate) => {
                self.has_certificate(peer, &certificate.subject());
                self.input(Input::Certificate(from, certificate))
            }
            Checked::Proposal(proposal) => {
                for certificate in proposal.certificates() {
                    self.has_certificate(peer, &certificate.subject());
                }
                self.look_at_proposal(peer, &proposal);
                self.input(Input::Proposal(from, proposal))
            }
            Checked::Block(body) => self.input(Input::Fetched(from, body)),
            Checked::Heartbeat(beat) => {
                self.on_heartbeat(peer, beat);
                self.input(Input::Heard(from))
            }
            Checked::Cosignature(lines) => {
                self.on_cosignature(peer, lines)?;
                self.input(Input::Heard(from))
            }
            Checked::AskMemory => {
                self.tell_memory(peer);
                self.input(Input::Heard(from))
            }
            Checked::Memory { finalization, votes } => self.on_memory(peer, finalization, votes),
            Checked::AskBlock(id) => {
                self.tell_block(peer, &id);
                self.input(Input::Heard(from))
            }
            Checked::Batch(batch) => {
                self.gather.take(&batch, self.now.tick);
                self.input(Input::Heard(from))
            }
            Checked::Range { above, finalization, headers } => {
                self.on_range(peer, above, finalization, headers);
                self.input(Input::Heard(from))
            }
            Checked::BlockBatches { height, batches } => {
                self.on_block_batches(peer, height, batches)?;
                self.input(Input::Heard(from))
            }
        }
    }

    /// The engine's own name of a peer: observers come after the authorities.
    fn number_of(&self, peer: Peer) -> AuthorityNumber {
        AuthorityNumber(match peer {
            Peer::Authority(number) => number,
            Peer::Observer(number) => self.set.authorities().len() as u32 + number,
        })
    }

    fn peer_of(&self, number: AuthorityNumber) -> Peer {
        let authorities = self.set.authorities().len() as u32;
        match number.0.checked_sub(authorities) {
            None => Peer::Authority(number.0),
            Some(observer) => Peer::Observer(observer),
        }
    }
}

/// How many pairs of votes are kept of each authority.
fn kept_evidence(db: &Db) -> Result<BTreeMap<u32, usize>, StorageError> {
    let mut kept = BTreeMap::new();
    for entry in db.range::<Evidence>(..) {
        let ((_, signer), _) = entry?;
        *kept.entry(signer).or_default() += 1;
    }
    Ok(kept)
}

/// The final block as the engine needs it.
fn final_block(state: &FinalState) -> FinalBlock {
    let tip = state.tip();
    FinalBlock { id: tip.block_id, view: tip.view, height: tip.height, time: tip.time }
}

/// The finalization of the newest final block, none at the epoch's first parent.
fn newest_finalization(db: &Db, state: &FinalState) -> Result<Option<CheckedCertificate>, StorageError> {
    let Some(bytes) = db.get::<Finalizations>(&state.tip().height)? else { return Ok(None) };
    let certificate = Certificate::decode(&bytes)
        .map_err(|e| StorageError::corrupt("finalizations", format!("the newest one is damaged: {e}")))?;
    Ok(Some(CheckedCertificate::from_journal(certificate)))
}
