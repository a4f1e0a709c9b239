//! What the overview at `/network` shows: the authorities, what is amiss, what became final lately; on the operators'
//! listener the peers as well. All of it is in the public log or in the public `Status`, but the peers.

use markstein_proto::{IssuerId, TimeMs};
use serde_json::{Value, json};
use tonic::Status;

use super::{
    Context, operations,
    schema::{AuthorityStatus, Finality, FinalityState, HindranceReason, Peer, Role},
    standing::{Condition, Kind, Mute, SKEW_SAID_MS},
    storage_status,
};
use crate::{
    activity::{Activity, MINUTES_KEPT, SeenBlock, SeenMinute, SeenRecord},
    finality::Snapshot,
    ledger::{FinalState, State},
};

/// An authority that is so many blocks behind lags. What is known of it is up to two seconds old: at full speed that many
/// blocks become final meanwhile.
const LAG_SAID: u64 = 64;
const MINUTE_MS: u64 = 60_000;

/// All of it, from one state of the ledger.
pub(super) fn overview(context: &Context, snapshot: &Snapshot<'_>, peers: bool) -> Result<Value, Status> {
    let (status, conditions) = operations::status(context, snapshot)?;
    let activity = context.network.activity().clone();
    let is_own_clock = conditions.iter().any(|it| matches!(it.kind, Kind::OwnClock { .. }));
    let ids: Vec<&str> = status.authorities.iter().map(|it| it.authority_id.as_str()).collect();
    let conditions: Vec<Value> = conditions.iter().map(|it| condition(it, &ids)).collect();
    let authorities: Vec<Value> = status.authorities.iter().map(|it| authority(it, is_own_clock)).collect();
    let mut view = json!({
        "version": status.version,
        "ledger_id": hex::encode(&status.ledger_id),
        "origin": status.origin,
        "node": status.node,
        "role": if status.role() == Role::Authority { "authority" } else { "observer" },
        "serving": status.serving,
        "epoch": status.epoch,
        "view": status.view,
        "height": status.height,
        "log_size": status.log_size,
        "block_time_ms": status.block_time_ms,
        "checkpoint_as_of_ms": status.checkpoint_as_of_ms,
        "pool_batches": status.pool_batches,
        "quorum": status.quorum,
        "uptime_ms": status.uptime_ms,
        "clock_ms": status.clock_ms,
        "conditions": conditions,
        "finality": status.finality.as_ref().map(finality),
        "authorities": authorities,
    });
    let recent = recent(context, &snapshot.state, &activity, TimeMs(status.clock_ms))?;
    for (name, value) in recent {
        view[name] = value;
    }
    if peers {
        view["peers"] = operations::peers(context).iter().map(peer).collect();
    }
    Ok(view)
}

/// A word for how an authority is: what matters most of it.
fn state_of(it: &AuthorityStatus, is_own_clock: bool) -> &'static str {
    let skew = it.clock_skew_ms.unwrap_or(0).unsigned_abs();
    // Where this node's clock is off from most, it is not theirs.
    let is_skewed = if is_own_clock { it.here } else { skew > SKEW_SAID_MS };
    match it.voting {
        _ if !it.connected => "missing",
        None => "unheard",
        Some(false) => "not_voting",
        Some(true) if is_skewed => "skewed",
        Some(true) if it.lag.unwrap_or(0) > LAG_SAID => "lagging",
        Some(true) => "voting",
    }
}

fn authority(it: &AuthorityStatus, is_own_clock: bool) -> Value {
    json!({
        "authority_id": it.authority_id,
        "name": it.name,
        "here": it.here,
        "state": state_of(it, is_own_clock),
        "height": it.heard_ms_ago.map(|_| it.height),
        "lag": it.lag,
        "clock_skew_ms": it.clock_skew_ms,
        "heard_ms_ago": it.heard_ms_ago,
        "cosigned_size": it.cosigned_size,
        "cosigned_at_ms": it.cosigned_at_ms,
        "version": Some(&it.version).filter(|version| !version.is_empty()),
    })
}

/// What is amiss: the words of `Status`, and the same by kind for other languages.
fn condition(it: &Condition, ids: &[&str]) -> Value {
    let id = |number: usize| ids.get(number).copied().unwrap_or_default();
    let (kind, facts) = match it.kind {
        Kind::Paused => ("paused", json!({})),
        Kind::Reduced => ("reduced", json!({})),
        Kind::CatchUp(it) => ("catch_up", json!({ "from": it.from.0, "to": it.to.0 })),
        Kind::Mute(Mute::Lost) => ("journal_lost", json!({})),
        Kind::Mute(Mute::Forgot) => ("journal_forgot", json!({})),
        Kind::Mute(Mute::NotYet) => ("not_voting_yet", json!({})),
        Kind::OwnClock { ms, heard } => ("own_clock", json!({ "ms": ms, "heard": heard })),
        Kind::Clock { authority, ms, more } => {
            ("clock", json!({ "authority_id": id(authority), "ms": ms, "more": more }))
        }
        Kind::Contradiction { authority, view } => {
            ("contradiction", json!({ "authority_id": id(authority), "view": view.0 }))
        }
        Kind::NoCheckpoint => ("no_checkpoint", json!({})),
        Kind::Behind { ms } => ("clock_behind", json!({ "ms": ms })),
    };
    json!({ "kind": kind, "stops": it.stops, "text": it.text, "facts": facts })
}

fn finality(it: &Finality) -> Value {
    let hindrances = it.hindrances.iter().map(|hindrance| {
        let reason = match hindrance.reason() {
            HindranceReason::Missing => "missing",
            HindranceReason::NotVoting => "not_voting",
            HindranceReason::Skewed => "skewed",
            HindranceReason::Lagging => "lagging",
            HindranceReason::OtherView => "other_view",
            HindranceReason::VotedOtherwise => "voted_otherwise",
            HindranceReason::NoVote => "no_vote",
            HindranceReason::Unspecified => "unknown",
        };
        json!({ "authority_id": hindrance.authority_id, "reason": reason })
    });
    json!({
        "state": match it.state() {
            FinalityState::NoQuorum => "no_quorum",
            FinalityState::Paused => "paused",
            _ => "goes_on",
        },
        "waiting_ms": it.waiting_ms,
        "taking_part": it.taking_part,
        "needed_more": it.needed_more,
        "would_help": it.would_help,
        "hindrances": hindrances.collect::<Vec<_>>(),
    })
}

/// Blocks, public records and minutes.
fn recent(
    context: &Context,
    state: &FinalState,
    activity: &Activity,
    now: TimeMs,
) -> Result<[(&'static str, Value); 4], Status> {
    let issuer = |id: &IssuerId| {
        let grant = state.grant(id).map_err(|e| storage_status(&e))?;
        Ok(json!({ "issuer_id": id.as_str(), "name": grant.map(|grant| grant.name) }))
    };
    let block = |it: &SeenBlock| {
        let issuers = it.issuers.iter().map(issuer).collect::<Result<Vec<_>, Status>>()?;
        Ok(json!({
            "height": it.height.0,
            "time_ms": it.time.0,
            "batches": it.batches,
            "records": it.records,
            "took_ms": it.took_ms,
            "issuers": issuers,
            "more_issuers": it.has_more_issuers,
        }))
    };
    let record = |it: &SeenRecord| {
        Ok(json!({
            "index": it.index.0,
            "time_ms": it.time.0,
            "issuer": issuer(&it.issuer)?,
            "document_type": context.genesis.document_type(it.document_type).map(|name| name.as_str()),
        }))
    };
    let minute = |it: &SeenMinute| {
        json!({
            "at_ms": it.minute * MINUTE_MS,
            "blocks": it.blocks,
            "records": it.records,
            "took_ms_mean": it.took_ms_sum / it.blocks.max(1),
            "took_ms_max": it.took_ms_max,
        })
    };
    Ok([
        ("blocks", activity.blocks().map(block).collect::<Result<_, Status>>()?),
        ("records", activity.records().map(record).collect::<Result<_, Status>>()?),
        ("minutes", activity.minutes(now).map(minute).collect()),
        ("minutes_kept", MINUTES_KEPT.into()),
    ])
}

fn peer(it: &Peer) -> Value {
    let misbehaviours = it.misbehaviours.iter().map(|of| json!({ "kind": of.kind, "count": of.count }));
    json!({
        "authority_id": it.authority_id,
        "observer": it.observer,
        "address": it.address,
        "connected": it.connected,
        "connected_ms": it.connected_ms,
        "bytes_in": it.bytes_in,
        "bytes_out": it.bytes_out,
        "dropped": it.dropped,
        "throttled": it.throttled,
        "misbehaviours": misbehaviours.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use markstein_proto::View;

    use super::*;

    fn fine() -> AuthorityStatus {
        AuthorityStatus {
            authority_id: "a.example".into(),
            connected: true,
            heard_ms_ago: Some(10),
            lag: Some(0),
            clock_skew_ms: Some(3),
            voting: Some(true),
            version: "0.1.0".into(),
            ..AuthorityStatus::default()
        }
    }

    #[test]
    fn an_authority_has_one_state() {
        let state = |it: AuthorityStatus| state_of(&it, false);
        assert_eq!(state(fine()), "voting");
        assert_eq!(state(AuthorityStatus { lag: Some(LAG_SAID), ..fine() }), "voting");
        assert_eq!(state(AuthorityStatus { lag: Some(LAG_SAID + 1), ..fine() }), "lagging");
        let skewed =
            AuthorityStatus { clock_skew_ms: Some(-(SKEW_SAID_MS as i64) - 1), lag: Some(1000), ..fine() };
        assert_eq!(state(skewed.clone()), "skewed");
        assert_eq!(state(AuthorityStatus { voting: Some(false), ..skewed.clone() }), "not_voting");
        assert_eq!(state(AuthorityStatus { voting: None, ..fine() }), "unheard");
        assert_eq!(state(AuthorityStatus { connected: false, ..skewed.clone() }), "missing");
        assert_eq!(state_of(&skewed, true), "lagging", "it is this node's clock");
        assert_eq!(state_of(&AuthorityStatus { here: true, ..fine() }, true), "skewed");
    }

    #[test]
    fn what_is_not_known_is_null() {
        let shown = authority(&fine(), false);
        assert_eq!((&shown["version"], &shown["height"]), (&json!("0.1.0"), &json!(0)));
        let never = AuthorityStatus { authority_id: "a.example".into(), ..AuthorityStatus::default() };
        let shown = authority(&never, false);
        for unknown in ["version", "height", "lag", "clock_skew_ms", "heard_ms_ago"] {
            assert_eq!(shown[unknown], Value::Null, "{unknown}");
        }
    }

    #[test]
    fn a_condition_has_a_kind_and_names_authorities_by_id() {
        let kind = Kind::Contradiction { authority: 1, view: View(7) };
        let shown = condition(&Condition { kind, text: "b did it".into(), stops: false }, &["a", "b"]);
        let facts = json!({ "authority_id": "b", "view": 7 });
        let wanted = json!({ "kind": "contradiction", "stops": false, "text": "b did it", "facts": facts });
        assert_eq!(shown, wanted);
    }
}
