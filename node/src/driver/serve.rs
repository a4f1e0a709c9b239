//! Answers to peers that need no engine: from the store and the pool, beside the driver's thread.

use markstein_proto::{Batch, BatchId, Hash, Header, Height, Leaf, TimeMs, consensus::Certificate, log};

use crate::{
    ledger::block_at,
    messages::{ASKED_BATCHES_MAX, Message, RANGE_HEADERS_MAX, Range},
    peer::Peer,
    pool::Pool,
    storage::{
        Db, Read, StorageError,
        tables::{Batches, Dropped, Finalizations, Headers, Heights, Outcomes, ProposedBatches},
    },
};

/// With more than this an answer ends, in bytes: it is in memory as a whole.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// What this node answers to a message of `from` at a time by its clock, `None` where it is not a question of this kind.
///
/// # Errors
/// The store's.
pub fn answer(
    db: &Db,
    pool: &Pool,
    from: Peer,
    now: TimeMs,
    message: &Message,
) -> Result<Option<Vec<Message>>, StorageError> {
    Ok(Some(match message {
        Message::AskRange(above) => range(db, *above)?.into_iter().collect(),
        Message::AskBodies { first, count } => bodies(db, *first, *count)?,
        Message::AskBatches(asked) => {
            let (mut answers, mut bytes) = (Vec::new(), 0);
            for (id, head) in asked {
                if let Some(found) = batch(db, id, head)? {
                    bytes += found.len();
                    answers.push(Message::Batch(found));
                }
                if bytes > ANSWER_BYTES {
                    break; // the rest is asked for again
                }
            }
            answers
        }
        Message::Pooled(offers) => {
            if let Peer::Authority(number) = from {
                offers.iter().for_each(|offer| pool.note_holder(&offer.id, number));
            }
            let mut unknown = Vec::with_capacity(offers.len());
            for offer in offers {
                if !pool.contains(&offer.id) && !is_settled(db, &offer.id)? {
                    unknown.push(offer.clone());
                }
            }
            let wanted = pool.ask_for(from, &unknown, now);
            wanted.chunks(ASKED_BATCHES_MAX).map(|ids| Message::AskPooled(ids.to_vec())).collect()
        }
        Message::AskPooled(ids) => {
            let (mut answers, mut bytes) = (Vec::with_capacity(ids.len()), 0);
            for id in ids.iter().filter(|id| pool.contains(id)) {
                if bytes > ANSWER_BYTES {
                    break; // no honest node asks for that much at once
                }
                if let Some(found) = db.get::<Batches>(&id.0)? {
                    bytes += found.len();
                    answers.push(Message::PoolBatch(found));
                }
                if let Peer::Authority(number) = from {
                    pool.note_holder(id, number);
                }
            }
            answers
        }
        _ => return Ok(None),
    }))
}

/// Whether a batch was decided here, or dropped.
fn is_settled(db: &Db, id: &BatchId) -> Result<bool, StorageError> {
    Ok(db.contains::<Outcomes>(&id.0)? || db.contains::<Dropped>(&id.0)?)
}

/// Headers above a height, up to the highest finalization that is near enough.
fn range(db: &Db, above: Height) -> Result<Option<Message>, StorageError> {
    let reach = Height(above.0.saturating_add(RANGE_HEADERS_MAX as u64));
    let Some((height, bytes)) = db.last_at_or_below::<Finalizations>(&reach)? else { return Ok(None) };
    if height <= above {
        return Ok(None);
    }
    let finalization = Certificate::decode(&bytes)
        .map_err(|e| StorageError::corrupt("finalizations", format!("height {height}: {e}")))?;
    let headers = (above.0 + 1..=height.0).map(|at| header(db, Height(at))).collect::<Result<_, _>>()?;
    Ok(Some(Message::Range(Box::new(Range { above, finalization, headers }))))
}

fn header(db: &Db, height: Height) -> Result<Header, StorageError> {
    let missing = || StorageError::corrupt("headers", format!("the header of block {height} is missing"));
    let index = db.get::<Heights>(&height)?.ok_or_else(missing)?;
    let leaf = db.get::<Headers>(&index)?.ok_or_else(missing)?;
    Leaf::decode(&leaf)
        .and_then(Leaf::into_header)
        .map_err(|e| StorageError::corrupt("headers", format!("block {height}: {e}")))
}

fn bodies(db: &Db, first: Height, count: u32) -> Result<Vec<Message>, StorageError> {
    let (mut answers, mut bytes) = (Vec::new(), 0);
    for height in (first.0..first.0.saturating_add(u64::from(count))).map(Height) {
        let Some(block) = block_at(db, height)? else { break };
        bytes += block.batches.iter().map(Vec::len).sum::<usize>();
        answers.push(Message::BlockBatches { height, batches: block.batches });
        if bytes > ANSWER_BYTES {
            break;
        }
    }
    Ok(answers)
}

/// The bytes of a batch, in the version asked for.
fn batch(db: &Db, id: &BatchId, head: &Hash) -> Result<Option<Vec<u8>>, StorageError> {
    if let Some(bytes) = db.get::<ProposedBatches>(&(id.0, *head))? {
        return Ok(Some(bytes));
    }
    let Some(bytes) = db.get::<Batches>(&id.0)? else { return Ok(None) };
    let leaves = Batch::split(bytes.clone())
        .map_err(|e| StorageError::corrupt("batches", format!("batch {id} is damaged: {e}")))?;
    Ok((log::leaf_hash(leaves.head()) == *head).then_some(bytes))
}
