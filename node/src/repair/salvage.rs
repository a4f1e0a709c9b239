//! What a damaged store still holds of what this node promised.
//!
//! Tables are opened one by one, so that damage in one does not hide another. The journal counts as kept only where all
//! of it is there: every entry of `journal` and `proposed_batches`, `meta`, and the view up to which the journal was
//! pruned. Facts at or below that view are gone from a sound journal too; who does not know the view does not know
//! what it may not vote on.

use markstein_proto::{
    Genesis, Leaf, View,
    consensus::{Certificate, CheckedCertificate, Verifier},
};

use crate::{
    driver::{Promise, promises, proposed_batches},
    ledger::cosigned_size,
    storage::{
        Read, StoppedFolder, StorageError,
        tables::{Finalizations, Headers, Heights, Journal, Meta, MetaKey, ProposedBatches},
    },
};

/// What was promised with an authority's keys.
#[derive(Debug)]
pub(super) struct Promises {
    /// All entries of the journal.
    pub(super) facts: Vec<Promise>,
    /// Entries of `meta` that are carried over as they are.
    pub(super) meta: Vec<(MetaKey, Vec<u8>)>,
    /// The view up to which the damaged store was final, and the journal pruned: never lower than either.
    pub(super) final_view: View,
}

/// Entries of `meta` that hold a promise, or say that one was broken.
const KEPT: [MetaKey; 3] = [MetaKey::CosignedSize, MetaKey::Amnesia, MetaKey::JournalLost];

/// Reads the promises of authority number `own`, or says why the journal is lost.
pub(super) fn read_promises(
    folder: &StoppedFolder,
    genesis: &Genesis,
    own: Option<u32>,
) -> Result<Promises, StorageError> {
    let verifier = Verifier::of(genesis.ledger_id(), &genesis.authorities);
    let journal = folder.read::<Journal>()?;
    let mut facts = promises(&journal, &verifier, own)?;
    let proposed = folder.read::<ProposedBatches>()?;
    proposed_batches(&proposed).try_for_each(|entry| entry.map(drop))?;
    let meta = folder.read::<Meta>()?;
    cosigned_size(&meta)?;
    let (mut final_view, finalization) = tip(folder, genesis)?;
    if let Some(bytes) = meta.get::<Meta>(&MetaKey::CatchUpTo)? {
        final_view = final_view.max(catch_up_to(bytes)?);
    }
    if let Some(certificate) = finalization {
        // The others may not have it: it goes on being said, and leads the catch-up to where this node was.
        facts.push(Promise::finalization(facts.last().map(|fact| fact.number), certificate));
    }
    let kept = KEPT.into_iter().map(|key| Ok(meta.get::<Meta>(&key)?.map(|value| (key, value))));
    let kept: Result<Vec<Option<_>>, StorageError> = kept.collect();
    Ok(Promises { facts, meta: kept?.into_iter().flatten().collect(), final_view })
}

/// What of `meta` can be read where the journal is lost: never less was cosigned than it says.
pub(super) fn readable_meta(folder: &StoppedFolder) -> Vec<(MetaKey, Vec<u8>)> {
    let Ok(meta) = folder.read::<Meta>() else { return Vec::new() };
    if cosigned_size(&meta).is_err() {
        return Vec::new();
    }
    let read = |key| meta.get::<Meta>(&key).ok().flatten().map(|value| (key, value));
    KEPT.into_iter().filter_map(read).collect()
}

/// A view as `meta` holds it.
pub(crate) fn catch_up_to(bytes: Vec<u8>) -> Result<View, StorageError> {
    let bytes = bytes.try_into().map_err(|_| StorageError::corrupt("meta", "'catch_up_to' is no view"))?;
    Ok(View(u64::from_be_bytes(bytes)))
}

/// The view up to which the store was final, from the newest finalization (with which the journal is pruned) and the
/// newest header (which is never below it); one of them is enough. The size that was cosigned would not be: newer
/// blocks may have become final after it.
fn tip(
    folder: &StoppedFolder,
    genesis: &Genesis,
) -> Result<(View, Option<CheckedCertificate>), StorageError> {
    match (newest_finalization(folder, genesis), newest_header(folder)) {
        (Ok(certificate), header) => {
            let view = certificate.as_ref().map_or(View(0), CheckedCertificate::view);
            Ok((view.max(header.unwrap_or(View(0))), certificate))
        }
        (Err(_), Ok(view)) => Ok((view, None)),
        (Err(error), Err(_)) => Err(error),
    }
}

fn newest_finalization(
    folder: &StoppedFolder,
    genesis: &Genesis,
) -> Result<Option<CheckedCertificate>, StorageError> {
    let table = folder.read::<Finalizations>()?;
    let mut newest = None;
    for entry in table.range::<Finalizations>(..) {
        newest = Some(entry?.1); // all of the table is read: an end that damage hides is noticed
    }
    let Some(bytes) = newest else { return Ok(None) };
    let damaged = |e: String| StorageError::corrupt("finalizations", e);
    let certificate = Certificate::decode(&bytes).map_err(|e| damaged(e.to_string()))?;
    let verifier = Verifier::of(genesis.ledger_id(), &genesis.authorities);
    verifier.certificate(certificate).map(Some).map_err(|e| damaged(e.to_string()))
}

fn newest_header(folder: &StoppedFolder) -> Result<View, StorageError> {
    let missing = |table| StorageError::corrupt(table, "the newest block is missing");
    let heights = folder.read::<Heights>()?;
    let mut newest = None;
    for entry in heights.range::<Heights>(..) {
        newest = Some(entry?);
    }
    let (height, index) = newest.ok_or_else(|| missing("heights"))?;
    let leaf = folder.read::<Headers>()?.get::<Headers>(&index)?.ok_or_else(|| missing("headers"))?;
    let header = Leaf::decode(&leaf).and_then(Leaf::into_header);
    let header = header.map_err(|e| StorageError::corrupt("headers", e.to_string()))?;
    if header.height == height { Ok(header.view) } else { Err(missing("headers")) }
}
