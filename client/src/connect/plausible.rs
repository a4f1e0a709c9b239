//! Whether a node's status is no more than a node says of itself: it is shown line by line and text by text.

use markstein_proto::AUTHORITIES_MAX;

use crate::api::{Finality, StatusResponse, ViewVotes};

/// Longest text, in bytes.
const TEXT_MAX: usize = 1024;
/// Longest sentence, in bytes: it may name all authorities.
const SENTENCE_MAX: usize = 16 * 1024;
/// Most things that a node says are not as they should be.
const CONDITIONS_MAX: usize = 32;
/// Most things that it says are the matter with one authority.
const HINDRANCES_MAX: usize = 4;
/// Most views that it tells of, and proposals of one.
const VIEWS_MAX: usize = 64;

pub(super) fn is_plausible(status: &StatusResponse) -> bool {
    let texts = [&status.version, &status.origin, &status.node].into_iter();
    let texts = texts.chain(status.authorities.iter().flat_map(|a| [&a.authority_id, &a.name]));
    status.authorities.len() <= AUTHORITIES_MAX
        && status.conditions.len() <= CONDITIONS_MAX
        && status.conditions.iter().all(|text| text.len() <= SENTENCE_MAX)
        && texts.map(String::len).all(|length| length <= TEXT_MAX)
        && are_hashes([&status.ledger_id, &status.block_id])
        && status.finality.as_ref().is_none_or(is_finality)
}

fn is_finality(finality: &Finality) -> bool {
    let hindrances = finality.hindrances.iter().flat_map(|it| [&it.authority_id, &it.cause]);
    finality.sentence.len() <= SENTENCE_MAX
        && finality.would_help.len() <= AUTHORITIES_MAX
        && finality.hindrances.len() <= HINDRANCES_MAX * AUTHORITIES_MAX
        && finality.would_help.iter().chain(hindrances).all(|text| text.len() <= TEXT_MAX)
        && finality.views.len() <= VIEWS_MAX
        && finality.views.iter().all(is_view)
}

fn is_view(view: &ViewVotes) -> bool {
    view.leader.len() <= TEXT_MAX
        && view.proposed.len() <= VIEWS_MAX
        && are_hashes(view.proposed.iter().chain([&view.notarized]))
        && view.votes.len() <= AUTHORITIES_MAX
        && view.votes.iter().all(|it| it.authority_id.len() <= TEXT_MAX)
        && are_hashes(view.votes.iter().flat_map(|it| [&it.notarize, &it.finalize]))
}

fn are_hashes<'a>(hashes: impl IntoIterator<Item = &'a Vec<u8>>) -> bool {
    hashes.into_iter().all(|hash| hash.len() <= 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_says_of_finality_is_short() {
        use crate::api::{AuthorityVotes, Finality, Hindrance, ViewVotes};
        let status = |finality| StatusResponse { finality: Some(finality), ..Default::default() };
        let long = || "x".repeat(5000);
        assert!(is_plausible(&status(Finality { would_help: vec!["a".into(); 64], ..Default::default() })));
        let votes =
            |id: String, times| vec![AuthorityVotes { authority_id: id, ..Default::default() }; times];
        let view = |view| Finality { views: vec![view], ..Default::default() };
        for finality in [
            Finality { sentence: long().repeat(4), ..Default::default() },
            Finality { would_help: vec![long()], ..Default::default() },
            Finality { would_help: vec!["a".into(); 65], ..Default::default() },
            Finality {
                hindrances: vec![Hindrance { authority_id: long(), ..Default::default() }],
                ..Default::default()
            },
            Finality {
                hindrances: vec![Hindrance { cause: long(), ..Default::default() }],
                ..Default::default()
            },
            Finality { hindrances: vec![Hindrance::default(); 1000], ..Default::default() },
            Finality { views: vec![ViewVotes::default(); 65], ..Default::default() },
            view(ViewVotes { leader: long(), ..Default::default() }),
            view(ViewVotes { proposed: vec![vec![0; 33]], ..Default::default() }),
            view(ViewVotes { proposed: vec![vec![0; 32]; 1000], ..Default::default() }),
            view(ViewVotes { notarized: vec![0; 33], ..Default::default() }),
            view(ViewVotes { votes: votes(long(), 1), ..Default::default() }),
            view(ViewVotes { votes: votes("a".into(), 65), ..Default::default() }),
        ] {
            assert!(!is_plausible(&status(finality)));
        }
    }

    #[test]
    fn a_status_is_short() {
        use crate::api::AuthorityStatus;
        let authority = |length| AuthorityStatus { authority_id: "a".repeat(length), ..Default::default() };
        let status = |authorities| StatusResponse { authorities, ..Default::default() };
        assert!(is_plausible(&status(vec![authority(64); 64])));
        assert!(!is_plausible(&status(vec![authority(70_000)])), "wider than a formatted line can be");
        assert!(!is_plausible(&status(vec![authority(1); 65])));
        let said = |conditions| StatusResponse { conditions, ..Default::default() };
        assert!(is_plausible(&said(vec!["x".repeat(8000); 32])));
        assert!(!is_plausible(&said(vec!["x".repeat(20_000)])));
        assert!(!is_plausible(&said(vec!["x".into(); 33])));
    }
}
