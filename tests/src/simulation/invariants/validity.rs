//! Every final block follows from the blocks before it, and its roots are those that a second ledger, with nothing but
//! hashes in a list, computes from scratch. Once for each block of a cluster: on all nodes it is the same one (agreement).

use markstein_proto::{
    Author, Batch, EpochId, Genesis, Hash, Header, Height, LeafIndex, LogSize, Record, log,
};

use super::agreement::NewBlock;
use crate::simulation::{clients::Clients, support::HOUR};

/// How far the time of a block may be from that of a batch in it.
const AGE_MAX: u64 = 24 * HOUR;
/// Leaves whose statuses share a chunk.
const CHUNK: usize = 128;

pub struct Validity {
    genesis: Genesis,
    /// Hashes of all leaves.
    leaves: Vec<Hash>,
    tip: Header,
}

impl Validity {
    pub fn new(genesis: &Genesis) -> Self {
        let tip = genesis.header();
        let leaves = genesis.batch().leaf_hashes().chain([tip.block_id()]).collect();
        Self { genesis: genesis.clone(), leaves, tip }
    }

    /// A block that nobody had before, the next one.
    pub fn look(&mut self, block: &NewBlock, clients: &Clients) {
        for batch in &block.batches {
            let id = batch.id();
            let known = clients.submissions.iter().find(|one| one.id == id).map(|one| &one.batch);
            assert!(
                known.is_some_and(|known| known.records() == batch.records()),
                "nobody submitted {batch:?}"
            );
        }
        self.append(&block.header, &block.batches);
    }

    fn append(&mut self, header: &Header, batches: &[Batch]) {
        let (first, height) = (self.leaves.len() as u64, header.height);
        batches.iter().for_each(|batch| self.admit(batch, header));
        self.leaves.extend(batches.iter().flat_map(Batch::leaf_hashes));
        let parent = &self.tip;
        let leader = (header.view.0 - 1) % self.genesis.authorities.authorities().len() as u64;
        let expected = Header {
            epoch: EpochId(0),
            height: Height(parent.height.0 + 1),
            view: header.view,
            parent: parent.block_id(),
            time: header.time,
            proposer: leader as u32,
            first_index: LeafIndex(first),
            size_before: LogSize(self.leaves.len() as u64),
            root_before: root(&self.leaves),
            status_root: root(&statuses(self.leaves.len())),
            authority_set: self.genesis.authorities.hash(),
        };
        assert_eq!(*header, expected, "block {height} is not what follows from the blocks before it");
        assert!(header.view > parent.view, "block {height} is of a view before its parent's");
        assert!(header.time > parent.time, "block {height} is not later than its parent");
        self.leaves.push(header.block_id());
        self.tip = header.clone();
    }

    /// Whether a batch may be in a block: its issuer's, in time, and within what the issuer may say.
    fn admit(&self, batch: &Batch, header: &Header) {
        let head = batch.head();
        let Author::Issuer { issuer, key } = &head.author else { panic!("{:?} has no issuer", head.author) };
        let grant = self.genesis.grants.iter().find(|grant| grant.issuer == *issuer);
        let grant = grant.unwrap_or_else(|| panic!("nobody admitted {issuer}"));
        assert!(
            grant.key_at(*key, header.time).is_some(),
            "a key of {issuer} is not good at {}",
            header.time
        );
        assert_eq!(head.ledger, self.genesis.ledger_id(), "a batch of another ledger is final");
        let age = header.time.0.abs_diff(head.created_at.0);
        assert!(age <= AGE_MAX, "a batch made {age} ms from its block is final");
        for record in batch.records() {
            let Record::Anchor(anchor) = &record.record else { panic!("{issuer} admits {record:?}") };
            assert!(grant.covers(anchor.document_type), "{issuer} anchors {anchor:?}");
        }
    }
}

/// RFC 6962, section 2.1, word for word.
fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of(&[&[1], &root(left).0, &root(right).0])
        }
    }
}

/// Hashes of the chunks of the status tree: all is valid, since no record changes a status yet.
fn statuses(leaves: usize) -> Vec<Hash> {
    vec![log::leaf_hash(&[0; 32]); leaves.div_ceil(CHUNK)]
}

#[cfg(test)]
mod tests {
    use markstein_proto::{TimeMs, View};

    use super::*;
    use crate::simulation::support::{ISSUER_KEY, START, anchor, genesis_of, issuer, key};

    fn made(genesis: &Genesis, at: u64) -> Batch {
        let record = Record::Anchor(anchor(1));
        Batch::sign(genesis.ledger_id(), &issuer(), &key(ISSUER_KEY), TimeMs(at), &[record]).unwrap()
    }

    /// The block that follows, with that batch, spoiled.
    fn next(batch_made: u64, spoil: impl FnOnce(&mut Header)) {
        let genesis = genesis_of(4);
        let mut ledger = Validity::new(&genesis);
        let batch = made(&genesis, batch_made);
        let leaves: Vec<Hash> = ledger.leaves.iter().copied().chain(batch.leaf_hashes()).collect();
        let mut header = Header {
            height: Height(1),
            view: View(2),
            parent: genesis.block_id(),
            time: TimeMs(START + 5),
            proposer: 1,
            first_index: LeafIndex(ledger.leaves.len() as u64),
            size_before: LogSize(leaves.len() as u64),
            root_before: log::root_of(&leaves),
            ..genesis.header()
        };
        spoil(&mut header);
        ledger.append(&header, &[batch]);
    }

    #[test]
    fn a_block_that_follows_is_taken() {
        next(START, |_| ());
    }

    #[test]
    #[should_panic(expected = "is not what follows")]
    fn another_log_root_is_seen() {
        next(START, |header| header.root_before = Hash([1; 32]));
    }

    #[test]
    #[should_panic(expected = "is not what follows")]
    fn another_status_root_is_seen() {
        next(START, |header| header.status_root = Hash([1; 32]));
    }

    #[test]
    #[should_panic(expected = "is not what follows")]
    fn another_parent_is_seen() {
        next(START, |header| header.parent = Hash([1; 32]));
    }

    #[test]
    #[should_panic(expected = "not later than its parent")]
    fn a_time_before_the_parent_is_seen() {
        next(START, |header| header.time = TimeMs(START));
    }

    #[test]
    #[should_panic(expected = "ms from its block")]
    fn a_batch_of_long_ago_is_seen() {
        next(START - 25 * HOUR, |_| ());
    }

    #[test]
    #[should_panic(expected = "nobody submitted")]
    fn a_batch_that_nobody_submitted_is_seen() {
        let genesis = genesis_of(4);
        let block = NewBlock { header: genesis.header(), batches: vec![made(&genesis, START)] };
        Validity::new(&genesis).look(&block, &Clients::default());
    }
}
