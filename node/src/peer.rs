//! Who is at the other end, in this node's own words: the network's identities stay in the network module.

use std::fmt;

/// Another node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// The node of the authority with this number in the epoch's set.
    Authority(u32),
    /// The observer with this number in the configuration.
    Observer(u32),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(number) => write!(f, "authority {number}"),
            Self::Observer(number) => write!(f, "observer {number}"),
        }
    }
}

/// What a peer did that no honest one does, as far as this node can tell, or only with bad luck. It is counted by its
/// kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {detail}")]
pub struct Misbehaviour {
    /// A stable word for metrics and tests.
    pub kind: &'static str,
    /// What exactly, for people.
    pub detail: String,
    /// It may be bad luck, or this node's own: named and counted, and never a reason to keep the peer out.
    pub excusable: bool,
}

impl Misbehaviour {
    /// Of a kind, with what happened.
    pub fn new(kind: &'static str, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string(), excusable: false }
    }

    /// The same, for what an honest node may do too: one that was cut off, say, or whose clock is off.
    pub fn excusable(kind: &'static str, detail: impl fmt::Display) -> Self {
        Self { excusable: true, ..Self::new(kind, detail) }
    }
}
