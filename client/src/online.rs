//! The verdict of today: by the newest receipt of the record, or, without a receipt, by the public commitment.

use std::{collections::BTreeMap, path::Path};

use markstein_proto::{
    Commitment, DocumentDigest, LeafIndex, Salt,
    receipt::{TrustRoot, Verified},
};

use crate::{
    hash::digest_file,
    node::{Failure, NodeError, Reader},
    receipts,
    refresh::{FetchError, Fork, Fresh, Known, Refresher},
    retry::{How, RetryError},
    verify::{NotChecked, Terms, Verdict, judge},
};

/// What nodes say of a document today.
#[derive(Debug)]
pub struct Online {
    /// The verdict.
    pub verdict: Verdict,
    /// The node that it comes from, where one was asked with success.
    pub node: Option<String>,
    /// Other records of the same document that verify, where it was looked up by its public commitment.
    pub others: Vec<Verified>,
    /// What other nodes said that cannot be right, and which did not answer; where it was looked up.
    pub wrong: Vec<String>,
}

/// Why there is no verdict.
enum NoVerdict {
    Verdict(Verdict),
    Fork(Box<Fork>),
}

/// Checks a document by the newest receipt of its record. The receipt at hand names the record, and must verify itself;
/// without one the public commitment names it. Nothing is written.
///
/// # Errors
/// A [`Fork`], where one shows: then nothing that nodes say is taken.
pub async fn check<N: Reader>(
    refresher: &Refresher<N>,
    document: &Path,
    receipt: Option<&Path>,
    terms: Terms,
) -> Result<Online, Box<Fork>> {
    let checked = match receipt {
        Some(receipt) => by_receipt(refresher, document, receipt, terms).await,
        None => by_commitment(refresher, document, terms).await,
    };
    match checked {
        Ok(online) => Ok(online),
        Err(NoVerdict::Verdict(verdict)) => {
            Ok(Online { verdict, node: None, others: Vec::new(), wrong: Vec::new() })
        }
        Err(NoVerdict::Fork(fork)) => Err(fork),
    }
}

/// The receipt at hand, where it verifies with its document.
///
/// # Errors
/// The verdict, where it does not.
pub fn at_hand(trust: &TrustRoot, document: &Path, receipt: &Path) -> Result<Known, Verdict> {
    let open = |why: NotChecked| Verdict::CouldNotCheck(why);
    let receipt = receipts::read(receipt).map_err(|e| open(e.into()))?; // first: the document may be large
    let digest = digest_file(document).map_err(|e| open(NotChecked::Document(e)))?;
    receipt.verify(trust, &digest).map_err(Verdict::of)?;
    Known::verify(receipt, trust).map_err(Verdict::of)
}

async fn by_receipt<N: Reader>(
    refresher: &Refresher<N>,
    document: &Path,
    receipt: &Path,
    terms: Terms,
) -> Result<Online, NoVerdict> {
    let known = at_hand(refresher.trust(), document, receipt).map_err(NoVerdict::Verdict)?;
    let ask = async |node: &N| match refresher.newest_of(node, known.verified.index, Some(&known)).await {
        Ok(fresh) => Ok(Ok(fresh)),
        Err(FetchError::Fork(fork)) => Ok(Err(fork)),
        Err(FetchError::Nodes(e)) => Err(e.last().clone()),
    };
    let prompt = terms.prompt(refresher.trust().genesis());
    let enough = |said: &Result<Fresh, _>| said.as_ref().map_or(true, |fresh| is_good(fresh, prompt));
    let (mut newest, mut wrong) = (None::<Fresh>, Vec::new());
    for said in refresher.nodes().each(How::Once, ask, enough).await {
        match said {
            Ok(Ok(fresh)) => {
                if newest.as_ref().is_none_or(|known| fresh.log.is_newer_than(&known.log)) {
                    newest = Some(fresh);
                }
            }
            Ok(Err(fork)) => return Err(NoVerdict::Fork(fork)),
            Err(e) => wrong.push(e.to_string()),
        }
    }
    let Some(fresh) = newest else { return Err(NotChecked::Nodes(wrong.join("; ")).into()) };
    // The same record has the same commitment, so that what it proves is of this document.
    let verdict = judge(fresh.verified, terms);
    Ok(Online { verdict, node: Some(fresh.node), others: Vec::new(), wrong })
}

/// Whether it is genuine and valid by these terms.
fn is_good(fresh: &Fresh, terms: Terms) -> bool {
    judge(fresh.verified.clone(), terms).exit_code() == 0
}

async fn by_commitment<N: Reader>(
    refresher: &Refresher<N>,
    document: &Path,
    terms: Terms,
) -> Result<Online, NoVerdict> {
    let digest = digest_file(document).map_err(NotChecked::Document)?;
    let ask = async |node: &N| match shown_by(refresher, node, &digest).await {
        Ok(shown) => Ok(Ok(shown)),
        Err(FetchError::Fork(fork)) => Ok(Err(fork)),
        Err(FetchError::Nodes(e)) => Err(e.last().clone()),
    };
    let prompt = terms.prompt(refresher.trust().genesis());
    let enough = |shown: &Result<Shown, _>| {
        shown.as_ref().map_or(true, |shown| shown.records.iter().any(|fresh| is_good(fresh, prompt)))
    };
    let (mut records, mut none, mut wrong) = (BTreeMap::<LeafIndex, Fresh>::new(), 0, Vec::new());
    for said in refresher.nodes().each(How::Once, ask, enough).await {
        let shown = match said {
            Ok(Ok(shown)) => shown,
            Ok(Err(fork)) => return Err(NoVerdict::Fork(fork)),
            Err(e) => {
                wrong.push(e);
                continue;
            }
        };
        none += usize::from(shown.records.is_empty());
        wrong.extend(shown.wrong);
        for fresh in shown.records {
            let index = fresh.verified.index;
            if records.get(&index).is_none_or(|known| fresh.log.is_newer_than(&known.log)) {
                records.insert(index, fresh);
            }
        }
    }
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    let mut found: Vec<_> =
        records.into_values().map(|fresh| (judge(fresh.verified, terms), fresh.node)).collect();
    if found.is_empty() {
        return Err(match none {
            0 => NotChecked::Nodes(wrong.join("; ")),
            asked => NotChecked::NoRecord { asked, wrong },
        }
        .into());
    }
    // The first record that is good, or else the first one.
    let best = found.iter().position(|(verdict, _)| verdict.exit_code() == 0).unwrap_or(0);
    let (verdict, node) = found.remove(best);
    let others = found.into_iter().filter_map(|(verdict, _)| match verdict {
        Verdict::Genuine { verified, .. } => Some(*verified),
        _ => None,
    });
    Ok(Online { verdict, node: Some(node), others: others.collect(), wrong })
}

/// What one node shows of a document.
struct Shown {
    /// Records of the document, each verified.
    records: Vec<Fresh>,
    /// Why no more of what it named was looked at.
    wrong: Option<NodeError>,
}

/// Each place that a node names, it must show a receipt for: what it says stands or falls by itself, and costs no other
/// node's time.
async fn shown_by<N: Reader>(
    refresher: &Refresher<N>,
    node: &N,
    digest: &DocumentDigest,
) -> Result<Shown, FetchError> {
    let indices = node.lookup(Commitment::of(&Salt::PUBLIC, digest)).await.map_err(RetryError::Denied)?;
    let (mut records, mut wrong) = (Vec::new(), None);
    for index in indices {
        let mut fresh = match refresher.newest_of(node, index, None).await {
            Ok(fresh) => fresh,
            Err(FetchError::Nodes(e)) if !records.is_empty() => {
                wrong = Some(e.last().clone());
                break;
            }
            Err(e) => return Err(e),
        };
        fresh.receipt.salt = Some(Salt::PUBLIC);
        // A node that names another record says nothing about this document.
        if fresh.receipt.verify(refresher.trust(), digest).is_err() {
            let message = format!("named record {index}, which is of another document");
            wrong = Some(NodeError::new(node.name(), Failure::Faulty, message));
            break;
        }
        records.push(fresh);
    }
    match wrong {
        Some(wrong) if records.is_empty() => Err(RetryError::Denied(wrong).into()),
        wrong => Ok(Shown { records, wrong }),
    }
}

impl From<NotChecked> for NoVerdict {
    fn from(why: NotChecked) -> Self {
        Self::Verdict(Verdict::CouldNotCheck(why))
    }
}

impl From<FetchError> for NoVerdict {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Fork(fork) => Self::Fork(fork),
            FetchError::Nodes(e) => NotChecked::Nodes(e.to_string()).into(),
        }
    }
}

#[cfg(test)]
#[path = "online_tests.rs"]
mod tests;
