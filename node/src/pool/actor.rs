//! The pool's thread: takes batches from its mailbox and admits them in groups.

use std::sync::{
    Arc,
    mpsc::{Receiver, RecvError, TryRecvError, sync_channel},
};

use markstein_proto::Batch;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    admission::{Admission, Announce, Answer, Origin, SubmitError, Verdict},
    contents::{Contents, PoolFailure},
    handle::{Gate, Pool},
    inbox::Inbox,
    index::PoolLimits,
};
use crate::{
    clock::Clock,
    finality::Finality,
    ledger::{Rules, State},
    storage::{Db, StorageError},
};

/// What the pool's thread has not looked at; one more submission is refused with a hint to come again. It looks after each
/// group, and puts what is here into lines by issuer, see [`Inbox`].
const MAILBOX: usize = 1024;

/// One batch on its way in.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) batch: Arc<Batch>,
    pub(super) origin: Origin,
    pub(super) reply: oneshot::Sender<(Answer, Verdict)>,
    /// Given back when the batch is admitted, also where nobody waits for the answer any more.
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl AsRef<Batch> for Request {
    fn as_ref(&self) -> &Batch {
        &self.batch
    }
}

/// What the pool's thread is asked for.
#[derive(Debug)]
pub(super) enum Wish {
    /// To admit a batch.
    Admit(Request),
    /// To look at what is to be looked at.
    Look,
}

/// Where handles put batches; whoever holds it admits them, or nobody does.
#[derive(Debug)]
pub struct Mailbox(Receiver<Wish>);

/// Loads what is in the store. There is no thread: batches that are given to the handle wait in the mailbox until
/// [`Mailbox::serve`]; a simulation calls [`Admission::admit`] itself.
///
/// # Errors
/// See [`PoolFailure`].
pub fn open(
    db: &Db,
    rules: Rules,
    limits: PoolLimits,
    finality: Finality,
    clock: Arc<dyn Clock>,
    announce: Arc<dyn Announce>,
) -> Result<(Pool, Admission, Mailbox), PoolFailure> {
    let contents = Arc::new(Contents::load(db, limits, finality.state().tip().time, clock.now())?);
    let (sender, requests) = sync_channel(MAILBOX);
    let gate =
        Gate { db: db.clone(), rules: rules.clone(), finality: finality.clone(), clock: Arc::clone(&clock) };
    let pool = Pool::new(sender, Arc::clone(&contents), gate);
    let admission = Admission { db: db.clone(), rules, finality, clock, announce, contents };
    Ok((pool, admission, Mailbox(requests)))
}

/// Loads what is in the store and starts the pool's thread, which ends when every handle is dropped, or when the
/// store fails; the receiver tells. What was loaded is not announced.
///
/// # Errors
/// See [`PoolFailure`].
pub fn start(
    db: &Db,
    rules: Rules,
    limits: PoolLimits,
    finality: Finality,
    clock: Arc<dyn Clock>,
    announce: Arc<dyn Announce>,
) -> Result<(Pool, oneshot::Receiver<Result<(), PoolFailure>>), PoolFailure> {
    let (pool, admission, mailbox) = open(db, rules, limits, finality, clock, announce)?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("pool".into())
        .spawn(move || ended.send(mailbox.serve(&admission)))
        .map_err(|e| StorageError::Write { reason: format!("no thread for the pool: {e}") })?;
    Ok((pool, end))
}

impl Mailbox {
    /// Admits what comes until every handle is dropped.
    ///
    /// # Errors
    /// Where the store failed: a node that cannot tell what it holds must not go on.
    pub fn serve(&self, admission: &Admission) -> Result<(), PoolFailure> {
        let mut inbox = Inbox::<Request>::default();
        loop {
            if inbox.is_empty() && !admission.has_queued() {
                match self.0.recv() {
                    Ok(wish) => take(&mut inbox, wish),
                    Err(RecvError) => return Ok(()),
                }
            }
            loop {
                match self.0.try_recv() {
                    Ok(wish) => take(&mut inbox, wish),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) if inbox.is_empty() => return Ok(()),
                    Err(TryRecvError::Disconnected) => break,
                }
            }
            let group = inbox.take();
            if !group.is_empty() {
                admit(admission, group)?;
            }
            admission.look()?;
        }
    }
}

fn take(inbox: &mut Inbox<Request>, wish: Wish) {
    let Wish::Admit(request) = wish else { return };
    let origin = request.origin;
    if let Err(Request { reply, .. }) = inbox.push(request, origin) {
        let _ = reply.send((Err(SubmitError::Busy), Verdict::NotNow)); // whoever asked may have gone
    }
}

fn admit(admission: &Admission, group: Vec<Request>) -> Result<(), StorageError> {
    let (batches, waiting): (Vec<_>, Vec<_>) = group
        .into_iter()
        .map(|Request { batch, origin, reply, place }| ((batch, origin), (reply, place)))
        .unzip();
    let answers = admission.admit(&batches);
    let failure = answers.iter().find_map(|answer| match answer {
        Err(SubmitError::Storage(error)) => Some(error.clone()),
        _ => None,
    });
    for (((batch, _), (reply, _place)), answer) in batches.iter().zip(waiting).zip(answers) {
        let verdict = admission.verdict(batch, answer.clone());
        let _ = reply.send((answer, verdict)); // whoever asked may have gone
    }
    failure.map_or(Ok(()), Err)
}
