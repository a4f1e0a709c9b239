//! Two nodes with the keys of one authority, each with a journal of its own: both are honest, and together they are not.
//!
//! An honest node that meets a vote of its own which its journal does not know never votes again, so twins would soon be
//! harmless. These are run by somebody who does not want that: what others remember of their votes does not reach them,
//! and the mark of one that noticed is wiped from its disk.

use markstein_node::{
    messages::Message,
    peer::Peer,
    storage::{
        Db, Durability, Read, Writes,
        tables::{Meta, MetaKey},
    },
};

use super::Traitor;
use crate::simulation::{
    cluster::{Cluster, Event},
    node::Node,
    scenarios::betray,
};

struct Twin;

impl Traitor for Twin {
    fn name(&self) -> &'static str {
        "twin"
    }

    /// Where one node sees votes of both. Most often others make up their minds before.
    fn kinds(&self) -> &'static [&'static str] {
        &[]
    }

    fn follows(&self) -> bool {
        false
    }
}

impl Cluster {
    /// A second node gets the keys of an authority, and a disk of its own.
    pub fn twin(&mut self, authority: usize) {
        let skew = self.random.below(4001) as i64 - 2000;
        let twin = self.nodes.len();
        self.world.twinned.push(authority);
        self.nodes.push(Node::new(&self.world, skew));
        self.watch.admit_node();
        for node in [authority, twin] {
            betray(self, node, Box::new(Twin));
        }
        self.deal_twins();
    }

    /// Decides anew who speaks to which of two twins: everybody to both, or to one each.
    pub fn deal_twins(&mut self) {
        self.network.apart.clear();
        for (number, first) in self.world.twinned.clone().into_iter().enumerate() {
            let second = self.world.n + self.world.observers + number;
            self.network.apart.insert((first, second));
            if self.chance(30) {
                continue;
            }
            for node in (0..self.nodes.len()).filter(|node| *node != first && *node != second) {
                let missed = if self.chance(50) { first } else { second };
                self.network.apart.insert((node.min(missed), node.max(missed)));
            }
        }
    }

    /// What reaches a node: twins do not hear what they said.
    pub fn overheard(&self, to: usize, mut message: Message) -> Message {
        if let (Message::Memory { votes, .. }, Peer::Authority(me)) = (&mut message, self.world.peer(to))
            && self.world.nodes(Peer::Authority(me)).len() > 1
        {
            votes.retain(|vote| vote.signer != me);
        }
        message
    }

    /// Makes twins that noticed each other vote again.
    pub fn remind_twins(&mut self) {
        for authority in self.world.twinned.clone() {
            for node in self.world.nodes(Peer::Authority(authority as u32)) {
                let Some(live) = &self.nodes[node].live else { continue };
                if !live.db.contains::<Meta>(&MetaKey::Amnesia).unwrap() {
                    continue;
                }
                self.crash(node);
                let mut wiped = Writes::default();
                wiped.delete::<Meta>(&MetaKey::Amnesia);
                Db::new(self.nodes[node].disk.clone()).commit(wiped, Durability::Synced).unwrap();
                let delay = 1 + self.random.below(50);
                self.at(delay, Event::Restart { node });
            }
        }
    }
}
