//! What operators see of the authorities, filled by the driver and read by the API.

use std::sync::{Arc, PoisonError, RwLock};

use markstein_proto::{Height, LogSize, View};

/// One authority, as this node knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthorityView {
    /// Whether it can be spoken to and is heard.
    pub connected: bool,
    /// Whether it votes, as it says.
    pub voting: bool,
    /// Its newest final block, as it says.
    pub height: Height,
    /// The view it is in, as it says.
    pub view: View,
    /// Its clock minus ours, in milliseconds.
    pub clock_skew_ms: i64,
    /// When it was heard last, in milliseconds before now; `None` if never.
    pub heard_ms_ago: Option<u64>,
    /// The newest checkpoint it cosigned.
    pub cosigned: LogSize,
}

/// A catch-up under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    /// Where it began.
    pub from: Height,
    /// The highest block that this node has heard of.
    pub to: Height,
}

/// All of it at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of the set; empty until the driver has told anything.
    pub authorities: Vec<AuthorityView>,
    /// The view this node is in.
    pub view: View,
    /// Whether this node votes.
    pub voting: bool,
    /// Whether this node met a vote of its own that its journal does not know, and never votes again.
    pub forgot: bool,
    /// Whether that is because a repair found its journal lost.
    pub lost: bool,
    /// Whether this node is behind and gets blocks from others.
    pub catch_up: Option<CatchUp>,
}

/// Where it is published; clones share it.
#[derive(Clone, Debug, Default)]
pub struct NetworkView(Arc<RwLock<Snapshot>>);

impl NetworkView {
    /// Replaces what is known.
    pub fn publish(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// What is known.
    #[must_use]
    pub fn get(&self) -> Snapshot {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
