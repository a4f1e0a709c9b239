//! Submissions made ahead of their time, so that signing is no part of what is measured.

use std::sync::Arc;

use markstein_proto::{DecodeError, DocumentDigest, Hash, LedgerId, TimeMs};
use tokio::sync::mpsc;

use super::{BenchError, Load, Options, world::World};
use crate::{
    batches::{Statement, plan},
    entry::{Entry, Signer},
    keys::IssuerKey,
    scan::Document,
};

/// Records made at a time: a task of its own for each would cost more than it does.
const RECORDS_AT_ONCE: usize = 64;
/// Records made ahead.
const RECORDS_AHEAD: usize = 50_000;
/// Submissions made ahead.
const AHEAD_MAX: usize = 256;
/// And for how long: a batch that is signed hours too early expires.
const SECONDS_AHEAD: f64 = 2.0;

/// Whose records, and of what type.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// On which ledger.
    pub ledger: LedgerId,
    /// With which key.
    pub key: IssuerKey,
    /// Registered code, within the issuer's grant.
    pub document_type: u32,
}

impl Issuer {
    /// A signed batch with random commitments: salted like those of documents, but nobody has the documents.
    ///
    /// # Errors
    /// See [`BenchError`].
    pub fn submission(&self, records: usize, now: TimeMs) -> Result<Entry, BenchError> {
        let nowhere = Document { path: Default::default(), receipt: Default::default() };
        let document = || {
            let mut digest = [0; 32];
            draw(&mut digest).map(|()| (nowhere.clone(), DocumentDigest(Hash(digest))))
        };
        let documents = (0..records).map(|_| document()).collect::<Result<Vec<_>, _>>()?;
        let statement = Statement { document_type: self.document_type, public: false, valid_until: None };
        // One batch holds the most records there can be, as a test of `plan` shows.
        let planned = plan(documents, statement, records, draw)?.into_iter().next();
        let planned = planned.ok_or(BenchError::Sign(DecodeError::Missing("records of a batch")))?;
        let signer = Signer { ledger: self.ledger, issuer: &self.key.issuer, key: &self.key.key };
        Ok(Entry::sign(planned, signer, now)?)
    }
}

fn draw(bytes: &mut [u8]) -> Result<(), BenchError> {
    getrandom::fill(bytes).map_err(|e| BenchError::Random(e.to_string()))
}

/// Makes submissions until nobody takes them, a bounded number ahead.
pub(super) fn ahead<W: World>(
    issuer: Arc<Issuer>,
    options: &Options,
    world: W,
) -> mpsc::Receiver<Result<Entry, BenchError>> {
    let (batch, ahead) = (options.batch, depth(options));
    let at_once = (RECORDS_AT_ONCE / batch).clamp(1, ahead);
    let (sender, receiver) = mpsc::channel(ahead);
    tokio::spawn(async move {
        loop {
            let (issuer, now) = (issuer.clone(), world.time_of_day());
            let make = move || (0..at_once).map(|_| issuer.submission(batch, now)).collect::<Vec<_>>();
            for made in world.compute_aside(make).await {
                if sender.send(made).await.is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

/// How many submissions are made ahead.
fn depth(options: &Options) -> usize {
    let by_time = match options.load {
        Load::Peak => f64::INFINITY,
        Load::Rate(rate) => SECONDS_AHEAD * rate.documents_per_second() / options.batch as f64,
    };
    let bound = (RECORDS_AHEAD / options.batch).clamp(2, AHEAD_MAX);
    (by_time.min(bound as f64) as usize).max(2)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use markstein_proto::{BATCH_RECORDS_MAX, Record, Salt};

    use super::*;
    use crate::testing::{Ledger, NOW, issuer};

    fn options(load: Load, batch: usize) -> Options {
        Options { load, batch, warmup: Duration::ZERO, measured: Duration::from_secs(1), in_flight: 64 }
    }

    #[test]
    fn records_are_random_salted_and_never_public() {
        let issuer = Issuer { ledger: Ledger::new().trust().ledger_id(), key: issuer(), document_type: 1 };
        let mut seen = BTreeSet::new();
        for records in [1, 100, BATCH_RECORDS_MAX] {
            let entry = issuer.submission(records, NOW).unwrap();
            assert_eq!(entry.batch().records().len(), records);
            for (leaf, kept) in entry.batch().records().iter().zip(entry.records()) {
                let Record::Anchor(anchor) = &leaf.record else { panic!() };
                assert!(!anchor.public && kept.paper.as_ref().unwrap().salt != Salt::PUBLIC);
                assert!(seen.insert(anchor.commitment));
            }
        }
    }

    #[test]
    fn few_are_made_ahead() {
        let rate = |text: &str| Load::Rate(text.parse().unwrap());
        for (load, batch, expected) in [
            (Load::Peak, 1, 256),
            (Load::Peak, 1000, 50),
            (Load::Peak, 10_000, 5),
            (rate("1000000"), 1, 256),
            (rate("100"), 10, 20),
            (rate("0.001"), 1, 2),
        ] {
            assert_eq!(depth(&options(load, batch)), expected, "{load:?} {batch}");
        }
    }
}
