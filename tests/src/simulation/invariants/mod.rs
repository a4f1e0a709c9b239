//! What must hold at every moment, whatever happens.

mod acknowledged;
mod agreement;
mod bounded;
mod busy;
mod cosigned;
mod dated;
mod fair;
mod height;
mod once;
mod progress;
mod receipts;
mod refused;
mod rested;
mod room;
mod stalled;
mod urgent;
mod validity;
mod votes;

use markstein_node::{
    ledger::{CountedCheckpoint, State},
    messages::Message,
};
use markstein_proto::Genesis;

use crate::simulation::{clients::Clients, node::Live};

pub use acknowledged::Acknowledged;
pub use agreement::Agreement;
pub use busy::Busy;
pub use cosigned::Cosigned;
pub use dated::Dated;
pub use fair::Fair;
pub use height::Heights;
pub use once::Once;
pub use progress::Progress;
pub use receipts::Receipts;
pub use refused::Refused;
pub use rested::Rested;
pub use room::Room;
pub use stalled::Stalled;
pub use urgent::Urgent;
pub use validity::Validity;
pub use votes::Votes;

/// All of them. They look at nodes after every event, and at what honest nodes say.
pub struct Watch {
    pub agreement: Agreement,
    pub once: Once,
    pub acknowledged: Acknowledged,
    pub refused: Refused,
    pub votes: Votes,
    pub cosigned: Cosigned,
    pub dated: Dated,
    pub busy: Busy,
    pub validity: Validity,
    pub heights: Heights,
    pub receipts: Receipts,
    pub progress: Progress,
    pub fair: Fair,
    pub stalled: Stalled,
    pub rested: Rested,
    pub room: Room,
    pub urgent: Urgent,
}

impl Watch {
    pub fn new(genesis: &Genesis, nodes: usize) -> Self {
        Self {
            agreement: Agreement::new(nodes),
            once: Once::default(),
            acknowledged: Acknowledged::new(nodes),
            refused: Refused::default(),
            votes: Votes::default(),
            cosigned: Cosigned::new(genesis.authorities.authorities().len()),
            dated: Dated::default(),
            busy: Busy::new(nodes),
            validity: Validity::new(genesis),
            heights: Heights::new(nodes),
            receipts: Receipts::default(),
            progress: Progress::default(),
            fair: Fair::default(),
            stalled: Stalled::default(),
            rested: Rested::default(),
            room: Room::default(),
            urgent: Urgent::default(),
        }
    }

    /// There is one node more.
    pub fn admit_node(&mut self) {
        self.agreement.admit_node();
        self.acknowledged.admit_node();
        self.busy.admit_node();
        self.heights.admit_node();
    }

    /// An honest node said this.
    pub fn said(&mut self, node: usize, message: &Message, now: u64) {
        self.dated.said(message, now);
        self.votes.said(node, message);
        self.cosigned.said(node, message);
    }

    /// Something happened on a node.
    pub fn look(&mut self, node: usize, live: &Live, clients: &Clients, now: u64) {
        let tip = live.driver.state().tip();
        self.heights.look(node, tip.height.0, now);
        self.stalled.look(node, tip.height.0, now);
        bounded::look(node, live.driver.engine());
        for block in self.agreement.look(node, &live.db, tip) {
            self.once.look(&block);
            self.dated.look(&block.header.block_id(), block.header.time, now);
            self.validity.look(&block, clients);
        }
        if let Some(checkpoint) = live.finality.checkpoint() {
            let CountedCheckpoint { size, root, as_of_s, .. } = *checkpoint;
            if self.fair.is_waiting() {
                self.fair.look(node, live, &checkpoint, now);
            }
            self.acknowledged.look(node, (size.0, as_of_s), root, &self.agreement, now);
        }
    }

    /// What is looked at every second.
    pub fn look_closely(&mut self, node: usize, live: &Live, written: u64, clients: &Clients) {
        self.refused.look(node, &live.db, written, clients, &self.once);
    }

    /// What is looked at as time passes.
    pub fn tick(&mut self, is_up: bool, now: u64) {
        self.fair.check(now);
        self.stalled.check(self.fair.is_waiting(), is_up, now);
    }

    /// A node starts: what it has is looked at anew.
    pub fn restarted(&mut self, node: usize) {
        self.agreement.restarted(node);
        self.heights.restarted(node);
        self.acknowledged.restarted(node);
        self.refused.restarted(node);
    }
}
