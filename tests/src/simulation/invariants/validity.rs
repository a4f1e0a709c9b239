//! Every final block follows from the blocks before it, and its roots are those that a second ledger, with nothing but
//! hashes in a list, computes from scratch. Once for each block of a cluster: on all nodes it is the same one (agreement).

use std::collections::{BTreeMap, HashMap};

use markstein_proto::{
    Author, Batch, EpochId, Genesis, Hash, Header, Height, IssuerId, LeafIndex, LogSize, Record, log,
    status::Status,
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
    /// Roots of complete parts of the log, by their first leaf and their length: nothing in them changes any more.
    complete: HashMap<(usize, usize), Hash>,
    /// Which of them are anchors, whose, and what they are worth now.
    anchors: BTreeMap<u64, (IssuerId, Status)>,
    tip: Header,
}

impl Validity {
    pub fn new(genesis: &Genesis) -> Self {
        let tip = genesis.header();
        let leaves = genesis.batch().leaf_hashes().chain([tip.block_id()]).collect();
        Self { genesis: genesis.clone(), leaves, complete: HashMap::new(), anchors: BTreeMap::new(), tip }
    }

    /// The anchors that are final, and their statuses.
    pub fn anchors(&self) -> Vec<(u64, Status)> {
        self.anchors.iter().map(|(index, (_, status))| (*index, *status)).collect()
    }

    /// A block that nobody had before, the next one.
    pub fn look(&mut self, block: &NewBlock, clients: &Clients) {
        for batch in &block.batches {
            let id = batch.id();
            let known = clients.submissions.iter().find(|one| one.id == id).map(|one| &one.batch);
            let known = known.or_else(|| clients.others.get(&id));
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
        let mut anchored = Vec::new();
        for batch in batches {
            anchored.extend(anchors_of(batch, self.leaves.len() as u64));
            self.leaves.extend(batch.leaf_hashes());
            self.change(batch);
        }
        self.anchors.extend(anchored); // only now: what a change is of stands in an earlier block
        let root_before = root_with(&mut self.complete, &self.leaves, 0);
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
            root_before,
            status_root: root(&self.statuses()),
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
            match &record.record {
                Record::Anchor(anchor) => {
                    assert!(grant.covers(anchor.document_type), "{issuer} anchors {anchor:?}");
                }
                Record::StatusChange(_) => {}
                Record::IssuerGrant(_) => panic!("{issuer} admits {record:?}"),
            }
        }
    }

    /// What a batch does to the statuses, record by record.
    fn change(&mut self, batch: &Batch) {
        let author = issuer_of(batch);
        for record in batch.records() {
            let (target, needed, then) = match &record.record {
                Record::Anchor(anchor) => match anchor.supersedes {
                    Some(target) => (target, None, Status::Superseded),
                    None => continue,
                },
                Record::StatusChange(change) => (change.target(), Some(change.from()), change.to()),
                Record::IssuerGrant(_) => continue,
            };
            let (issuer, now) =
                self.anchors.get_mut(&target.0).unwrap_or_else(|| panic!("no anchor at {target} to change"));
            assert_eq!(issuer, author, "{author} changes what {issuer} anchored");
            assert!(
                matches!(now, Status::Valid | Status::Suspended),
                "{target} is {now} for good, and changed"
            );
            assert!(needed.is_none_or(|needed| needed == *now), "{target} is {now}, not {needed:?}");
            *now = then;
        }
    }

    /// Hashes of the chunks of the status tree: two bits for each leaf, lowest first.
    fn statuses(&self) -> Vec<Hash> {
        let mut chunks = vec![[0_u8; 32]; self.leaves.len().div_ceil(CHUNK)];
        for (index, (_, status)) in &self.anchors {
            let (chunk, place) = (*index as usize / CHUNK, *index as usize % CHUNK);
            chunks[chunk][place / 4] |= (*status as u8) << (2 * (place % 4));
        }
        chunks.iter().map(|chunk| log::leaf_hash(chunk)).collect()
    }
}

fn issuer_of(batch: &Batch) -> &IssuerId {
    match &batch.head().author {
        Author::Issuer { issuer, .. } => issuer,
        author => panic!("{author:?} has no issuer"),
    }
}

/// The anchors of a batch whose head stands at `head`.
fn anchors_of(batch: &Batch, head: u64) -> Vec<(u64, (IssuerId, Status))> {
    let anchors = (head + 1..).zip(batch.records()).filter(|(_, r)| matches!(r.record, Record::Anchor(_)));
    anchors.map(|(index, _)| (index, (issuer_of(batch).clone(), Status::Valid))).collect()
}

/// Leaves of the smallest part whose root is remembered.
const REMEMBERED_MIN: usize = 64;

/// The root of the leaves from number `first` on, with complete parts computed once.
fn root_with(complete: &mut HashMap<(usize, usize), Hash>, leaves: &[Hash], first: usize) -> Hash {
    let length = leaves.len();
    if length < REMEMBERED_MIN {
        return root(leaves);
    }
    if let Some(known) = complete.get(&(first, length)).filter(|_| length.is_power_of_two()) {
        return *known;
    }
    let (left, right) = leaves.split_at(length.next_power_of_two() / 2);
    let parts = [root_with(complete, left, first), root_with(complete, right, first + left.len())];
    let hash = Hash::of(&[&[1], &parts[0].0, &parts[1].0]);
    if length.is_power_of_two() {
        complete.insert((first, length), hash);
    }
    hash
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

#[cfg(test)]
mod tests {
    use markstein_proto::{Reason, StatusChange, TimeMs, View};

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
    fn remembered_parts_make_the_same_root() {
        let leaves: Vec<Hash> = (0..1000_u64).map(|number| Hash::of(&[&number.to_be_bytes()])).collect();
        let mut complete = HashMap::new();
        for length in (1..=leaves.len()).step_by(37).chain([64, 128, 256, 512]) {
            assert_eq!(
                root_with(&mut complete, &leaves[..length], 0),
                root(&leaves[..length]),
                "{length} leaves"
            );
        }
        assert!(!complete.is_empty());
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

    /// A ledger with one anchor, at leaf 1, and batches with these changes of it.
    fn changes(steps: &[(Status, Status)]) -> Validity {
        let genesis = genesis_of(4);
        let mut ledger = Validity::new(&genesis);
        ledger.anchors.insert(1, (issuer(), Status::Valid));
        for (from, to) in steps {
            let change = StatusChange::new(LeafIndex(1), *from, *to, Reason::Other).unwrap();
            let records = [Record::StatusChange(change)];
            let (ledger_id, made) = (genesis.ledger_id(), TimeMs(START));
            ledger.change(&Batch::sign(ledger_id, &issuer(), &key(ISSUER_KEY), made, &records).unwrap());
        }
        ledger
    }

    #[test]
    fn a_status_has_its_two_bits() {
        let ledger = changes(&[(Status::Valid, Status::Suspended)]);
        let mut chunk = [0; 32];
        chunk[0] = 0b1000;
        assert_eq!(ledger.statuses(), [log::leaf_hash(&chunk)]);
    }

    #[test]
    #[should_panic(expected = "for good, and changed")]
    fn a_change_of_what_is_revoked_is_seen() {
        changes(&[(Status::Valid, Status::Revoked), (Status::Valid, Status::Suspended)]);
    }

    #[test]
    #[should_panic(expected = "is suspended, not")]
    fn a_change_from_another_status_is_seen() {
        changes(&[(Status::Valid, Status::Suspended), (Status::Valid, Status::Revoked)]);
    }

    #[test]
    #[should_panic(expected = "nobody submitted")]
    fn a_batch_that_nobody_submitted_is_seen() {
        let genesis = genesis_of(4);
        let block = NewBlock { header: genesis.header(), batches: vec![made(&genesis, START)] };
        Validity::new(&genesis).look(&block, &Clients::default());
    }
}
