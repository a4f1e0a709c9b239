//! The driver of a simulated node, and what is checked while it runs.

use markstein_consensus::{Body, Effect, Fact, FinalBlock, Input, Message, Verdict};
use markstein_proto::{
    Hash, View,
    consensus::{Ballot, CheckedCertificate, Subject},
};

use super::{Batches, Cluster, Event, START, Write, batch, body, final_block};

/// Longest that a clock is wrong here, and the engine's bounds beside it.
const SKEW: u64 = 2000;
const AHEAD: u64 = 5000;
const AGE: u64 = 30_000;

fn kind(ballot: &Ballot) -> u8 {
    match ballot {
        Ballot::Notarize(_) => 0,
        Ballot::Nullify => 1,
        Ballot::Finalize(_) => 2,
    }
}

impl Cluster {
    pub fn run_effect(&mut self, node: usize, effect: Effect, follow: &mut Vec<Input>) {
        match effect {
            Effect::Commit { facts, then } => {
                for fact in &facts {
                    if let Fact::Block(p) = fact {
                        let body = Body { header: p.get().header.clone(), batches: p.get().batches.clone() };
                        self.nodes[node].bodies.insert(body.header.block_id(), body);
                    }
                }
                self.nodes[node].disk.write(Write::Facts(facts));
                if self.power_cut(node) {
                    return;
                }
                self.nodes[node].disk.sync();
                if self.power_cut(node) {
                    return;
                }
                for send in then {
                    match &send.message {
                        Message::Vote(vote) => self.check_vote(node, vote.subject()),
                        Message::Proposal(p) => self.check_vote(node, p.vote().subject()),
                        Message::Certificate(_) => {}
                    }
                    self.send(node, &send);
                }
            }
            Effect::Record(fact) => self.nodes[node].disk.write(Write::Facts(vec![fact])),
            Effect::Send(send) => self.send(node, &send),
            Effect::Gossip(certificate) => {
                let message = Message::Certificate(certificate);
                self.send(
                    node,
                    &markstein_consensus::Send { to: markstein_consensus::Recipient::All, message },
                );
            }
            Effect::Build { view, parent, batches } => {
                let body = self.build(node, view, parent, batches);
                follow.push(Input::Built(view, body.map(Box::new)));
            }
            Effect::Check(block) => self.check(node, block, follow),
            Effect::Fetch(block) => {
                for to in (0..self.nodes.len()).filter(|to| *to != node) {
                    if !self.cut.contains(&(node, to)) && !self.random.chance(self.loss) {
                        let delay = self.random.below(self.delay) + 1;
                        self.at(delay, Event::Fetch { from: node, to, block });
                    }
                }
            }
            Effect::Sync(certificate) => {
                let delay = self.random.below(self.delay) + 1;
                self.at(delay, Event::Sync { node, certificate });
            }
            Effect::Finalized { blocks, certificate } => {
                let bodies = &self.nodes[node].bodies;
                let bodies =
                    blocks.iter().map(|id| bodies.get(id).cloned().expect("checked before")).collect();
                self.append(node, bodies, certificate);
                follow.push(Input::Pool(!self.nodes[node].pool.is_empty()));
            }
            Effect::Evidence(evidence) => {
                let signer = evidence.first.get().signer as usize;
                assert!(
                    !self.honest(signer),
                    "node {node} holds evidence against an honest one: {evidence:?}"
                );
                self.evidence += 1;
            }
            Effect::Amnesia(vote) => {
                assert!(!self.honest(node), "node {node} does not remember {vote:?}");
                self.crash(node);
                self.at(500, Event::Restart { node });
            }
            Effect::Diverged(divergence) => {
                assert!(!self.honest(node), "node {node} diverged: {divergence:?}")
            }
        }
    }

    /// Now and then the power goes between two steps of a driver.
    fn power_cut(&mut self, node: usize) -> bool {
        let cut = !self.healed && self.loss > 0 && self.random.below(300) == 0;
        if cut {
            self.crash(node);
            let delay = self.random.below(2000) + 1;
            self.at(delay, Event::Restart { node });
        }
        cut
    }

    /// Invariants 1 to 3 of the engine, on what leaves the node.
    fn check_vote(&mut self, node: usize, subject: Subject) {
        if !self.honest(node) {
            return;
        }
        let first = *self.votes.entry((node, subject.view.0, kind(&subject.ballot))).or_insert(subject);
        assert_eq!(first, subject, "node {node} voted twice in one view");
        let has = |k| self.votes.contains_key(&(node, subject.view.0, k));
        assert!(!(has(1) && has(2)), "node {node} nullified and finalised view {}", subject.view);
    }

    /// Appends final blocks to a node's chain. Checks agreement, order, that no batch is in twice, and the times.
    fn append(&mut self, node: usize, bodies: Vec<Body>, certificate: CheckedCertificate) {
        for (at, body) in bodies.iter().enumerate() {
            let chain = &self.nodes[node].disk.live;
            let parent = if at == 0 { chain.last_final() } else { final_block(&bodies[at - 1].header) };
            assert_eq!(body.header.parent, parent.id, "node {node}: a final block follows the one before it");
            let earlier = || chain.chain.iter().chain(&bodies[..at]);
            let twice = |b| earlier().any(|earlier| earlier.batches.contains(b));
            assert!(!body.batches.iter().any(twice), "a batch is final once");
            let (height, id, time) = (body.header.height.0, body.header.block_id(), body.header.time.0);
            let first = *self.finalised.entry(height).or_insert(id);
            assert_eq!(first, id, "node {node} finalised another block at height {height}");
            assert!(time <= START + self.now + AHEAD + SKEW, "a final block is of the future");
            let proposed = self.proposed.get(&id).copied().unwrap_or(0);
            assert!(time + AGE + SKEW >= START + proposed, "a final block was backdated");
        }
        let state = &mut self.nodes[node];
        state.pool.retain(|number| !bodies.iter().any(|body| body.batches.contains(&batch(*number))));
        state.disk.write(Write::Final(bodies, certificate));
        let last = state.disk.live.last_final().view;
        state.bodies.retain(|_, body| body.header.view > last);
    }

    /// A range of final blocks from a peer.
    pub fn sync(&mut self, node: usize, certificate: &CheckedCertificate) {
        let target = certificate.subject().ballot.block().unwrap();
        for peer in 0..self.nodes.len() {
            if peer == node || self.nodes[peer].engine.is_none() || self.cut.contains(&(peer, node)) {
                continue;
            }
            let chain = &self.nodes[peer].disk.live.chain;
            let Some(at) = chain.iter().position(|b| b.header.block_id() == target) else { continue };
            let own = self.nodes[node].disk.live.chain.len();
            if own > at {
                return;
            }
            let range = chain[own..=at].to_vec();
            self.append(node, range, certificate.clone());
            let last = self.nodes[node].disk.live.last_final();
            self.drive(node, Input::Synced(last, Box::new(certificate.clone())));
            return self.drive(node, Input::Pool(!self.nodes[node].pool.is_empty()));
        }
    }

    /// Answers somebody who fetches a block.
    pub fn give(&mut self, from: usize, to: usize, block: Hash) {
        let state = &self.nodes[to];
        let Some(engine) = &state.engine else { return };
        let known = engine.offered(&block);
        let known = known.map(|(header, batches)| Body { header: header.clone(), batches: batches.to_vec() });
        let stored = || state.disk.live.chain.iter().find(|b| b.header.block_id() == block).cloned();
        let (identity, traitor) = (state.identity, state.traitor);
        let Some(body) = known.or_else(stored) else { return };
        let body = match traitor {
            Some(traitor) => traitor.give(body, &mut self.random),
            None => Some(body),
        };
        if let Some(body) = body {
            let delay = self.random.below(self.delay) + 1;
            self.at(delay, Event::Body { from: identity, to: from, body });
        }
    }

    /// The parent of a block, and all blocks of its branch above the final one.
    fn branch(&self, node: usize, parent: &Hash) -> Option<(FinalBlock, Vec<Body>)> {
        let (state, mut above, mut id) = (&self.nodes[node], Vec::new(), *parent);
        let base = state.disk.live.last_final();
        while id != base.id {
            let body = state.bodies.get(&id)?;
            above.push(body.clone());
            id = body.header.parent;
        }
        Some((above.first().map_or(base, |b| final_block(&b.header)), above))
    }

    fn build(&self, node: usize, view: View, parent: Hash, batches: bool) -> Option<Body> {
        let (parent, above) = self.branch(node, &parent).expect("the engine builds on valid parents");
        let free = |number: &&u64| !above.iter().any(|body| body.batches.contains(&batch(**number)));
        let pool = self.nodes[node].pool.iter();
        let chosen: Batches = pool.filter(free).take(3).map(|number| batch(*number)).collect();
        if batches && chosen.is_empty() {
            return None;
        }
        let time = self.time(node).clock.0.max(parent.time.0 + 1);
        let chosen = if batches { chosen } else { vec![] };
        Some(body(&parent, view.0, self.nodes[node].identity, time, chosen))
    }

    fn check(&mut self, node: usize, block: Hash, follow: &mut Vec<Input>) {
        let engine = self.nodes[node].engine.as_ref().unwrap();
        let Some((header, batches)) = engine.body(&block) else { return };
        let body = Body { header: header.clone(), batches: batches.to_vec() };
        let known = |b: &_| (0..self.submitted).any(|number| batch(number) == *b);
        if !body.batches.iter().all(known) {
            return self.at(3000, Event::Checked { node, block, verdict: Verdict::Missing });
        }
        let valid = self.is_valid(node, &body);
        if valid {
            self.nodes[node].bodies.insert(block, body);
        }
        follow.push(Input::Checked(block, if valid { Verdict::Valid } else { Verdict::Invalid }));
    }

    /// Re-execution: the header is what parent and batches give, later than its parent, and no batch is in twice.
    fn is_valid(&self, node: usize, block: &Body) -> bool {
        let Some((parent, above)) = self.branch(node, &block.header.parent) else { return false };
        let Body { header, batches } = block;
        let again = body(&parent, header.view.0, header.proposer, header.time.0, batches.clone());
        let chain = &self.nodes[node].disk.live.chain;
        let twice = |b| chain.iter().chain(&above).any(|earlier| earlier.batches.contains(b));
        again.header == *header && header.time > parent.time && !batches.iter().any(twice)
    }
}
