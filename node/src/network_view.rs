//! What operators see of the authorities, filled by the driver and read by the API.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use markstein_consensus::ViewVotes;
use markstein_proto::{Height, LogSize, View};
use tokio::sync::watch;

use crate::{activity::Activity, release::Release};

/// One authority, as this node knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthorityView {
    /// Whether it can be spoken to and is heard.
    pub connected: bool,
    /// Whether a connection to it stands, also where nothing comes from it.
    pub linked: bool,
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
    /// The release it runs, as it says.
    pub release: Option<Release>,
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
    /// How many of them must agree.
    pub quorum: usize,
    /// This node's number among them, `None` for an observer.
    pub own: Option<usize>,
    /// The view this node is in.
    pub view: View,
    /// When it was entered, in milliseconds before now.
    pub entered_ms_ago: u64,
    /// The view of the newest final block.
    pub final_view: View,
    /// For how long something has waited and nothing became final, in milliseconds; `None` while nothing waits.
    pub waiting_ms: Option<u64>,
    /// The newest views above the final one, the current one first; empty while nothing waits.
    pub views: Vec<ViewVotes>,
    /// Whether this node votes.
    pub voting: bool,
    /// Whether this node met a vote of its own that its journal does not know, and never votes again.
    pub forgot: bool,
    /// Whether that is because a repair found its journal lost.
    pub lost: bool,
    /// Authorities that have yet to say what this node voted before it was started.
    pub unanswered: usize,
    /// Whether this node is behind and gets blocks from others.
    pub catch_up: Option<CatchUp>,
}

impl Snapshot {
    /// Before the driver has told anything: this node counts as voting, and nobody else is there.
    #[must_use]
    pub fn untold(authorities: usize, quorum: usize, own: Option<usize>) -> Self {
        let view = |number| {
            let here = own == Some(number);
            let heard_ms_ago = here.then_some(0);
            AuthorityView {
                connected: here,
                linked: here,
                voting: here,
                heard_ms_ago,
                ..AuthorityView::default()
            }
        };
        let authorities = (0..authorities).map(view).collect();
        Self { authorities, quorum, own, voting: own.is_some(), ..Self::default() }
    }
}

/// Where it is published; clones share it.
#[derive(Clone, Debug)]
pub struct NetworkView {
    snapshots: Arc<watch::Sender<Snapshot>>,
    activity: Arc<Mutex<Activity>>,
}

impl Default for NetworkView {
    fn default() -> Self {
        Self::new(Activity::default())
    }
}

impl NetworkView {
    /// Nothing is known of the authorities yet.
    #[must_use]
    pub fn new(activity: Activity) -> Self {
        let snapshots = Arc::new(watch::Sender::new(Snapshot::default()));
        Self { snapshots, activity: Arc::new(Mutex::new(activity)) }
    }

    /// What became final lately.
    pub fn activity(&self) -> MutexGuard<'_, Activity> {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what is known.
    pub fn publish(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(snapshot);
    }

    /// What is known.
    #[must_use]
    pub fn get(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }

    /// A reader that can wait for news. It ends with the last clone of this.
    pub fn follow(&self) -> watch::Receiver<Snapshot> {
        self.snapshots.subscribe()
    }
}
