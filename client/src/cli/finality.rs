//! What `markstein status --json` says of finality.

use markstein_client::api::{AuthorityVotes, Finality, FinalityState, Hindrance, HindranceReason, ViewVotes};
use serde_json::{Value, json};

/// All of it, with stable words.
pub fn as_json(finality: &Finality) -> Value {
    json!({
        "state": match finality.state() {
            FinalityState::Unspecified => "unknown",
            FinalityState::GoesOn => "goes_on",
            FinalityState::NoQuorum => "no_quorum",
            FinalityState::Paused => "paused",
        },
        "sentence": finality.sentence,
        "waiting_ms": finality.waiting_ms,
        "view_entered_ms": finality.view_entered_ms,
        "views_since_final": finality.views_since_final,
        "taking_part": finality.taking_part,
        "needed_more": finality.needed_more,
        "would_help": finality.would_help,
        "hindrances": finality.hindrances.iter().map(hindrance).collect::<Vec<_>>(),
        "views": finality.views.iter().map(view).collect::<Vec<_>>(),
    })
}

/// What is the matter with one authority: whose, the reason, and what belongs to that reason.
fn hindrance(it: &Hindrance) -> Value {
    let (reason, details) = match it.reason() {
        HindranceReason::Unspecified => ("unknown", json!({})),
        HindranceReason::Missing => {
            ("missing", json!({ "heard_ms_ago": it.heard_ms_ago, "connected": it.connected }))
        }
        HindranceReason::NotVoting => {
            let cause = Some(&it.cause).filter(|cause| !cause.is_empty());
            ("not_voting", json!({ "cause": cause }))
        }
        HindranceReason::Skewed => ("skewed", json!({ "clock_skew_ms": it.clock_skew_ms })),
        HindranceReason::Lagging => {
            ("lagging", json!({ "blocks_behind": it.blocks_behind, "views_behind": it.views_behind }))
        }
        HindranceReason::OtherView => ("other_view", json!({ "view": it.view })),
        HindranceReason::VotedOtherwise => ("voted_otherwise", json!({})),
        HindranceReason::NoVote => ("no_vote", json!({})),
    };
    let mut value = json!({ "authority": it.authority_id, "here": it.here, "reason": reason });
    if let (Value::Object(value), Value::Object(details)) = (&mut value, details) {
        value.extend(details);
    }
    value
}

fn view(it: &ViewVotes) -> Value {
    let votes = |of: &AuthorityVotes| {
        json!({
            "authority": of.authority_id,
            "notarize": block(&of.notarize),
            "nullify": of.nullify,
            "finalize": block(&of.finalize),
        })
    };
    json!({
        "view": it.view,
        "leader": it.leader,
        "proposed": it.proposed.iter().map(hex::encode).collect::<Vec<_>>(),
        "votes": it.votes.iter().map(votes).collect::<Vec<_>>(),
        "notarized": block(&it.notarized),
        "nullified": it.nullified,
    })
}

fn block(id: &[u8]) -> Option<String> {
    (!id.is_empty()).then(|| hex::encode(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_word_and_what_belongs_to_it() {
        let of = |reason: HindranceReason| Hindrance {
            authority_id: "d".into(),
            reason: reason.into(),
            ..Hindrance::default()
        };
        let missing = Hindrance { heard_ms_ago: Some(7), connected: true, ..of(HindranceReason::Missing) };
        let expected = json!({
            "authority": "d", "here": false, "reason": "missing", "heard_ms_ago": 7, "connected": true,
        });
        assert_eq!(hindrance(&missing), expected);
        let own = Hindrance { here: true, cause: "forgot".into(), ..of(HindranceReason::NotVoting) };
        let expected = json!({ "authority": "d", "here": true, "reason": "not_voting", "cause": "forgot" });
        assert_eq!(hindrance(&own), expected);
        let skewed = Hindrance { clock_skew_ms: -9, ..of(HindranceReason::Skewed) };
        assert_eq!(hindrance(&skewed)["clock_skew_ms"], json!(-9));
        let lags = Hindrance { blocks_behind: 3, views_behind: 5, ..of(HindranceReason::Lagging) };
        assert_eq!(hindrance(&lags)["views_behind"], json!(5));
        let later = Hindrance { reason: 99, ..Hindrance::default() };
        assert_eq!(hindrance(&later)["reason"], json!("unknown"), "of a later release");
    }

    #[test]
    fn votes_are_told_by_view() {
        let cast = AuthorityVotes { authority_id: "a".into(), notarize: vec![7; 32], ..Default::default() };
        let votes = vec![cast];
        let views = vec![ViewVotes { view: 17, leader: "b".into(), votes, ..Default::default() }];
        let value = as_json(&Finality {
            state: FinalityState::Paused.into(),
            views,
            would_help: vec!["c".into()],
            ..Finality::default()
        });
        assert_eq!((&value["state"], &value["would_help"]), (&json!("paused"), &json!(["c"])));
        let expected = json!({
            "view": 17, "leader": "b", "proposed": [], "notarized": null, "nullified": false,
            "votes": [{ "authority": "a", "notarize": "07".repeat(32), "nullify": false, "finalize": null }],
        });
        assert_eq!(value["views"], json!([expected]));
    }
}
