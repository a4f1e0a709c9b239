//! What must hold at every moment, whatever happens.

mod acknowledged;
mod agreement;
mod busy;
mod cosigned;
mod once;
mod refused;
mod votes;

use markstein_node::{ledger::State, messages::Message};

use crate::simulation::{clients::Clients, node::Live};

pub use acknowledged::Acknowledged;
pub use agreement::Agreement;
pub use busy::Busy;
pub use cosigned::Cosigned;
pub use once::Once;
pub use refused::Refused;
pub use votes::Votes;

/// All of them. They look at nodes after every event, and at what honest nodes say.
pub struct Watch {
    pub agreement: Agreement,
    pub once: Once,
    pub acknowledged: Acknowledged,
    pub refused: Refused,
    pub votes: Votes,
    pub cosigned: Cosigned,
    pub busy: Busy,
}

impl Watch {
    pub fn new(authorities: usize, nodes: usize) -> Self {
        Self {
            agreement: Agreement::new(nodes),
            once: Once::default(),
            acknowledged: Acknowledged::new(nodes),
            refused: Refused::default(),
            votes: Votes::default(),
            cosigned: Cosigned::new(authorities),
            busy: Busy::new(nodes),
        }
    }

    /// There is one node more.
    pub fn admit_node(&mut self) {
        self.agreement.admit_node();
        self.acknowledged.admit_node();
        self.busy.admit_node();
    }

    /// An honest node said this.
    pub fn said(&mut self, node: usize, message: &Message) {
        self.votes.said(node, message);
        self.cosigned.said(node, message);
    }

    /// Something happened on a node.
    pub fn look(&mut self, node: usize, live: &Live, now: u64) {
        for block in self.agreement.look(node, &live.db, live.driver.state().tip()) {
            self.once.look(&block);
        }
        if let Some(checkpoint) = live.finality.checkpoint() {
            self.acknowledged.look(node, &checkpoint, &self.agreement, now);
        }
    }

    /// What is looked at every second.
    pub fn look_closely(&mut self, node: usize, live: &Live, clients: &Clients) {
        self.refused.look(node, &live.db, clients, &self.once);
    }

    /// A node starts: what it has is looked at anew.
    pub fn restarted(&mut self, node: usize) {
        self.agreement.restarted(node);
        self.acknowledged.restarted(node);
    }
}
