//! The verdict of today: by the newest receipt of the record, or, without a receipt, by the public commitment, and then for
//! each issuer that anchored it: see [`offices`](mod@crate::offices).

use std::{collections::BTreeMap, path::Path};

use markstein_proto::{Commitment, DocumentDigest, IssuerId, LeafIndex, Salt, receipt::TrustRoot};

use crate::{
    hash::digest_file,
    node::{Failure, NodeError, Reader, Whose},
    offices::{Office, offices, together},
    receipts,
    refresh::{FetchError, Fork, Fresh, Known, Refresher},
    retry::{How, RetryError},
    verify::{NotChecked, Terms, Verdict, is_of, judge},
};

/// Answers to one look-up that are taken from a node: with 50 issuers each, more than a genesis admits.
const ANSWERS_MAX: usize = 32;

/// What nodes say of a document today.
#[derive(Debug)]
pub struct Online {
    /// The verdict.
    pub verdict: Verdict,
    /// The node that it comes from, where one was asked with success.
    pub node: Option<String>,
    /// The issuers that anchored it, the worst first, where it was looked up by its public commitment.
    pub offices: Vec<Office>,
    /// What other nodes said that cannot be right, and which did not answer; where it was looked up.
    pub wrong: Vec<String>,
}

/// Why there is no verdict.
enum NoVerdict {
    Verdict(Verdict),
    Fork(Box<Fork>),
}

/// Checks a document by the newest receipt of its record. The receipt at hand names the record, and must verify itself;
/// without one the public commitment names records, of this issuer where one is asked for, else of all. Nothing is written.
///
/// # Errors
/// A [`Fork`], where one shows: then nothing that nodes say is taken.
pub async fn check<N: Reader>(
    refresher: &Refresher<N>,
    document: &Path,
    receipt: Option<&Path>,
    terms: Terms,
    issuer: Option<&IssuerId>,
) -> Result<Online, Box<Fork>> {
    let checked = match receipt {
        Some(receipt) => by_receipt(refresher, document, receipt, terms, issuer).await,
        None => by_commitment(refresher, document, terms, issuer).await,
    };
    match checked {
        Ok(online) => Ok(online),
        Err(NoVerdict::Verdict(verdict)) => {
            Ok(Online { verdict, node: None, offices: Vec::new(), wrong: Vec::new() })
        }
        Err(NoVerdict::Fork(fork)) => Err(fork),
    }
}

/// The receipt at hand, where it verifies with its document and is of the issuer that is asked for.
///
/// # Errors
/// The verdict, where it does not.
pub fn at_hand(
    trust: &TrustRoot,
    document: &Path,
    receipt: &Path,
    issuer: Option<&IssuerId>,
) -> Result<Known, Verdict> {
    let open = |why: NotChecked| Verdict::CouldNotCheck(why);
    let receipt = receipts::read(receipt).map_err(|e| open(e.into()))?; // first: the document may be large
    let digest = digest_file(document).map_err(|e| open(NotChecked::Document(e)))?;
    let verified = receipt.verify(trust, &digest).map_err(Verdict::of)?;
    is_of(&verified, issuer).map_err(open)?;
    Known::verify(receipt, trust).map_err(Verdict::of)
}

async fn by_receipt<N: Reader>(
    refresher: &Refresher<N>,
    document: &Path,
    receipt: &Path,
    terms: Terms,
    issuer: Option<&IssuerId>,
) -> Result<Online, NoVerdict> {
    let known = at_hand(refresher.trust(), document, receipt, issuer).map_err(NoVerdict::Verdict)?;
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
    Ok(Online { verdict, node: Some(fresh.node), offices: Vec::new(), wrong })
}

/// Whether it is genuine and valid by these terms.
fn is_good(fresh: &Fresh, terms: Terms) -> bool {
    judge(fresh.verified.clone(), terms).exit_code() == 0
}

/// All nodes are asked: a record that one of them withholds, be it the one that speaks against the document, another shows.
async fn by_commitment<N: Reader>(
    refresher: &Refresher<N>,
    document: &Path,
    terms: Terms,
    issuer: Option<&IssuerId>,
) -> Result<Online, NoVerdict> {
    let digest = digest_file(document).map_err(NotChecked::Document)?;
    let ask = async |node: &N| match shown_by(refresher, node, &digest, issuer).await {
        Ok(shown) => Ok(Ok(shown)),
        Err(FetchError::Fork(fork)) => Ok(Err(fork)),
        Err(FetchError::Nodes(e)) => Err(e.last().clone()),
    };
    let (mut records, mut wrong) = (BTreeMap::<LeafIndex, Fresh>::new(), Vec::new());
    let (mut none, mut whole) = (0, false);
    for said in refresher.nodes().each(How::Awake, ask, Result::is_err).await {
        let shown = match said {
            Ok(Ok(shown)) => shown,
            Ok(Err(fork)) => return Err(NoVerdict::Fork(fork)),
            Err(e) => {
                wrong.push(e);
                continue;
            }
        };
        none += usize::from(shown.records.is_empty());
        whole |= shown.wrong.is_none();
        wrong.extend(shown.wrong);
        for fresh in shown.records {
            let index = fresh.verified.index;
            if records.get(&index).is_none_or(|known| fresh.log.is_newer_than(&known.log)) {
                records.insert(index, fresh);
            }
        }
    }
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    if records.is_empty() && none > 0 {
        return Err(NotChecked::NoRecord { asked: none, issuer: issuer.cloned(), wrong }.into());
    }
    let records = records.into_values().map(|fresh| (fresh.verified, fresh.node)).collect();
    let offices = offices(records, terms);
    // What a node named and did not show may be what speaks against it.
    let verdict = together(&offices, terms).filter(|verdict| whole || verdict.exit_code() != 0);
    let verdict = verdict.ok_or_else(|| NotChecked::Nodes(wrong.join("; ")))?;
    Ok(Online { verdict, node: offices.first().map(|office| office.node.clone()), offices, wrong })
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
    issuer: Option<&IssuerId>,
) -> Result<Shown, FetchError> {
    let (mut records, mut wrong) = (Vec::new(), None);
    let mut whose = issuer.cloned().map_or(Whose::All, Whose::Of);
    for answers in 1.. {
        match look_up(refresher, node, digest, &whose, &mut records).await {
            Ok(Some(next)) if answers < ANSWERS_MAX => whose = Whose::After(next),
            Ok(None) => break,
            Ok(Some(_)) => {
                let message = "names more issuers than a ledger admits";
                wrong = Some(NodeError::new(node.name(), Failure::Faulty, message));
                break;
            }
            Err(FetchError::Nodes(e)) if !records.is_empty() => {
                wrong = Some(e.last().clone());
                break;
            }
            Err(e) => return Err(e),
        }
    }
    Ok(Shown { records, wrong })
}

/// Adds what one answer names, and says after which issuer to go on.
async fn look_up<N: Reader>(
    refresher: &Refresher<N>,
    node: &N,
    digest: &DocumentDigest,
    whose: &Whose,
    records: &mut Vec<Fresh>,
) -> Result<Option<IssuerId>, FetchError> {
    let commitment = Commitment::of(&Salt::PUBLIC, digest);
    let found = node.lookup(commitment, whose.clone()).await.map_err(RetryError::Denied)?;
    for (issuer, indices) in found.by_issuer {
        for index in indices {
            let mut fresh = refresher.newest_of(node, index, None).await?;
            fresh.receipt.salt = Some(Salt::PUBLIC);
            // A node that names another record says nothing about this document.
            let is_its =
                fresh.receipt.verify(refresher.trust(), digest).is_ok() && fresh.verified.issuer == issuer;
            if !is_its {
                let message = format!("named record {index}, which is of another document");
                return Err(RetryError::Denied(NodeError::new(node.name(), Failure::Faulty, message)).into());
            }
            records.push(fresh);
        }
    }
    Ok(found.next)
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
