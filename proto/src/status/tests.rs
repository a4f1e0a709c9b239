//! The status tree against recomputation, and its proofs against everything slightly wrong.

#![allow(clippy::unwrap_used)]

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use super::*;
use crate::log::tests::hashes_of;
use crate::log::{ProofError, ProveError, leaf_hash, root_of};
use crate::{Hash, LeafIndex, LogSize, Reason, StatusChange};

/// A store in memory.
#[derive(Default, Clone)]
struct Store(StatusDelta);

impl StatusReader for Store {
    type Error = Infallible;

    fn chunk(&self, index: u64) -> Result<Option<Chunk>, Infallible> {
        Ok(self.0.chunks.get(&index).copied())
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Infallible> {
        assert!((1..=TOP_LEVEL).contains(&level));
        Ok(self.0.nodes.get(&(level, index)).copied())
    }
}

impl Store {
    fn apply(&mut self, changes: &[(u64, Status)], size: u64) {
        let delta = apply(self, &changes.iter().copied().collect(), size).unwrap();
        self.0.merge(delta);
    }
}

fn prove(store: &Store, indices: &[u64], size: u64) -> Result<StatusProof, ProveError<Infallible>> {
    StatusProof::prove(store, &indices.iter().copied().map(LeafIndex).collect::<Vec<_>>(), LogSize(size))
}

/// What a proof says about leaves, in the order asked for.
fn statuses(proof: &StatusProof, indices: &[u64], size: u64, root: &Hash) -> Result<Vec<Status>, ProofError> {
    let indices: Vec<LeafIndex> = indices.iter().copied().map(LeafIndex).collect();
    let proven = proof.verify(&indices, LogSize(size), root)?;
    Ok(indices.iter().map(|index| proven.of(*index).unwrap()).collect())
}

/// The status of each leaf in a plain list, and the tree recomputed from all of it.
struct Model(Vec<Status>);

impl Model {
    fn chunks(&self) -> Vec<Chunk> {
        let pack = |statuses: &[Status]| {
            let mut bytes = [0; 32];
            for (i, status) in statuses.iter().enumerate() {
                bytes[i / 4] |= status.bits() << (2 * (i % 4));
            }
            Chunk(bytes)
        };
        self.0.chunks(128).map(pack).collect()
    }

    fn root(&self) -> Hash {
        root_of(self.chunks().iter().map(|chunk| leaf_hash(&chunk.0)))
    }
}

struct Random(u64);

impl Random {
    /// Knuth's MMIX generator; its high bits are good enough to pick test cases.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The two-bit example of the IETF Token Status List: bytes c9 44 f9.
#[test]
fn statuses_are_packed_as_in_a_token_status_list() {
    let statuses = [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3];
    let mut chunk = Chunk::ZERO;
    for (position, bits) in statuses.iter().enumerate() {
        chunk.set(position as u8, Status::from_bits(*bits));
    }
    assert_eq!(chunk.0[..4], [0xc9, 0x44, 0xf9, 0]);
    for (position, bits) in statuses.iter().enumerate() {
        assert_eq!(chunk.get(position as u8).bits(), *bits);
    }
}

#[test]
fn a_position_is_set_without_touching_others() {
    for position in 0..128 {
        for status in [Status::Valid, Status::Revoked, Status::Suspended, Status::Superseded] {
            let mut chunk = Chunk([0b1001_1001; 32]);
            let before = chunk;
            chunk.set(position, status);
            assert_eq!(chunk.get(position), status);
            assert!((0..128).all(|p| p == position || chunk.get(p) == before.get(p)));
        }
    }
}

#[test]
fn chunks_cover_the_log() {
    assert_eq!((chunk_count(0), chunk_count(1), chunk_count(128), chunk_count(129)), (0, 1, 1, 2));
    assert_eq!(chunk_count(u64::MAX), 1 << TOP_LEVEL);
    assert_eq!((chunk_of(0), chunk_of(127), chunk_of(128)), ((0, 0), (0, 127), (1, 0)));
    assert_eq!(Chunk::try_from(&[0; 31][..]), Err(ChunkFromSliceError(31)));
    assert!(
        !Status::Suspended.is_terminal() && Status::Superseded.is_terminal() && Status::Revoked.is_terminal()
    );
}

#[test]
fn a_log_without_changes_has_the_root_of_zero_chunks() {
    let store = Store::default();
    for size in [0, 1, 127, 128, 129, 256, 257, 1000, 128 * 37 + 5] {
        let root = Model(vec![Status::Valid; size as usize]).root();
        assert_eq!(status_root(&store, size), Ok(root), "{size}");
    }
    assert_eq!(status_root(&store, 128), Ok(zero_root(0)));
    assert_eq!(status_root(&store, 128 << 9), Ok(zero_root(9)));
    assert_eq!(status_root(&store, u64::MAX), Ok(zero_root(TOP_LEVEL)));
}

#[test]
fn random_changes_to_a_growing_log_agree_with_recomputation() {
    let mut random = Random(5);
    let all = [Status::Valid, Status::Revoked, Status::Suspended, Status::Superseded];
    for _ in 0..6 {
        let (mut model, mut store) = (Model(vec![]), Store::default());
        for _ in 0..25 {
            let size = model.0.len() as u64 + 1 + random.below(400);
            model.0.resize(size as usize, Status::Valid);
            let changes: Vec<(u64, Status)> =
                (0..random.below(6)).map(|_| (random.below(size), all[random.below(4) as usize])).collect();
            store.apply(&changes, size);
            for (index, status) in changes {
                model.0[index as usize] = status;
            }
            let root = model.root();
            assert_eq!(status_root(&store, size), Ok(root));
            for _ in 0..4 {
                let indices: Vec<u64> = (0..=random.below(3)).map(|_| random.below(size)).collect();
                let proof = prove(&store, &indices, size).unwrap();
                let wanted: Vec<Status> = indices.iter().map(|index| model.0[*index as usize]).collect();
                assert_eq!(statuses(&proof, &indices, size, &root), Ok(wanted));
            }
        }
    }
}

/// The root of every size follows from the same stored nodes, the sizes before the last change included.
#[test]
fn a_stored_node_does_not_depend_on_the_size_of_the_log() {
    let mut store = Store::default();
    store.apply(&[(3, Status::Revoked)], 4);
    store.apply(&[(640, Status::Suspended), (5, Status::Superseded)], 641);
    let mut model = Model(vec![Status::Valid; 128 * 40]);
    model.0[3] = Status::Revoked;
    model.0[5] = Status::Superseded;
    model.0[640] = Status::Suspended;
    for chunks in 6..=40 {
        let cut = Model(model.0[..128 * chunks].to_vec());
        assert_eq!(status_root(&store, 128 * chunks as u64), Ok(cut.root()), "{chunks}");
    }
}

/// A node above those that were stored follows from them, whatever the log had grown to when they were.
#[test]
fn changes_before_the_log_grew_count_in_later_roots() {
    let mut random = Random(8);
    for _ in 0..40 {
        let (mut model, mut store, mut size) = (Model(vec![]), Store::default(), 1);
        for _ in 0..8 {
            let most = 1 << random.below(15);
            size += random.below(most);
            model.0.resize(size as usize, Status::Valid);
            let index = random.below(size.min(300));
            store.apply(&[(index, Status::Suspended)], size);
            model.0[index as usize] = Status::Suspended;
            let grown = size + random.below(20_000);
            model.0.resize(grown as usize, Status::Valid);
            assert_eq!(status_root(&store, grown), Ok(model.root()), "{index} of {size}, then {grown}");
            model.0.truncate(size as usize);
        }
    }
}

#[test]
fn only_paths_above_changed_chunks_are_written() {
    let store = Store::default();
    let changes = |places: &[u64]| places.iter().map(|place| (*place, Status::Revoked)).collect();
    let count = |changes: &BTreeMap<u64, Status>, size| {
        let delta = apply(&store, changes, size).unwrap();
        (delta.chunks.len(), delta.nodes.len())
    };
    assert_eq!(count(&changes(&[0, 127]), 128), (1, 0));
    assert_eq!(count(&changes(&[0, 127]), 129), (1, 1));
    assert_eq!(count(&changes(&[0, 127]), 1_000_000), (1, 13));
    let top = usize::from(TOP_LEVEL);
    assert_eq!(count(&changes(&[0, u64::MAX]), u64::MAX), (2, 2 * top - 1));
    assert_eq!(count(&changes(&[]), 1000), (0, 0));
    assert_eq!(count(&BTreeMap::from([(9, Status::Valid)]), 1000), (0, 0));
}

#[test]
fn a_change_costs_less_than_fifty_hashes_in_a_log_of_a_million() {
    let (mut store, mut random, mut most) = (Store::default(), Random(50), 0);
    for size in [1_000_001, 1_048_577, 1_200_000] {
        for _ in 0..500 {
            let changes = BTreeMap::from([(random.below(size), Status::Revoked)]);
            let (delta, hashes) = hashes_of(|| {
                let delta = apply(&store, &changes, size).unwrap();
                status_root(&Overlay { delta: &delta, parent: &store }, size).unwrap();
                delta
            });
            most = most.max(hashes);
            store.0.merge(delta);
        }
    }
    assert!(most < 50, "{most} hashes");
}

#[test]
fn a_change_taken_back_gives_the_root_from_before() {
    let mut store = Store::default();
    store.apply(&[(700, Status::Suspended)], 1000);
    assert_ne!(status_root(&store, 1000), status_root(&Store::default(), 1000));
    store.apply(&[(700, Status::Valid)], 1000);
    assert_eq!(status_root(&store, 1000), status_root(&Store::default(), 1000));
    assert_eq!(store.0.nodes[&(3, 0)], zero_root(3));
}

#[test]
fn overlays_stack_and_merge() {
    let mut base = Store::default();
    base.apply(&[(1, Status::Revoked)], 400);
    let first = apply(&base, &BTreeMap::from([(300, Status::Suspended)]), 400).unwrap();
    let middle = Overlay { delta: &first, parent: &base };
    let changes = BTreeMap::from([(300, Status::Valid), (2, Status::Revoked)]);
    let second = apply(&middle, &changes, 400).unwrap();
    let parent: &dyn StatusReader<Error = Infallible> = &middle;
    let top = Overlay { delta: &second, parent };

    let mut stored = base.clone();
    stored.apply(&[(300, Status::Suspended)], 400);
    assert_eq!(status_root(&middle, 400), status_root(&stored, 400));
    stored.apply(&[(300, Status::Valid), (2, Status::Revoked)], 400);
    assert_eq!(status_root(&top, 400), status_root(&stored, 400));

    let mut merged = first.clone();
    merged.merge(second);
    assert_eq!(status_root(&Overlay { delta: &merged, parent: &base }, 400), status_root(&stored, 400));
    base.0.merge(merged);
    assert_eq!(base.0, stored.0);
}

/// From which status a record leads to which, all that there are.
#[test]
fn the_table_of_transitions() {
    use Status::{Revoked, Superseded, Suspended, Valid};
    let all = [Valid, Revoked, Suspended, Superseded];
    let changes = [(Valid, Suspended), (Valid, Revoked), (Suspended, Valid), (Suspended, Revoked)];
    let target = LeafIndex(5);
    for from in all {
        for to in all {
            let change = StatusChange::new(target, from, to, Reason::Other);
            assert_eq!(change.is_ok(), changes.contains(&(from, to)), "{from} to {to}");
            let Ok(change) = change else { continue };
            for current in all {
                let expected = match current {
                    _ if current.is_terminal() => Err(StepError::Terminal(current)),
                    _ if current == from => Ok(to),
                    _ => Err(StepError::Other { expected: from, found: current }),
                };
                assert_eq!(StatusStep::Change(change).applied_to(current), expected);
            }
        }
        let superseded = StatusStep::Supersede(target).applied_to(from);
        let expected = if from.is_terminal() { Err(StepError::Terminal(from)) } else { Ok(Superseded) };
        assert_eq!(superseded, expected);
    }
}

/// Whatever is tried in whatever order: nothing follows a terminal status, and each step is one of the table's.
#[test]
fn random_steps_never_leave_the_table() {
    let mut random = Random(21);
    let all = [Status::Valid, Status::Revoked, Status::Suspended, Status::Superseded];
    for _ in 0..2000 {
        let (mut current, mut ended) = (Status::Valid, false);
        for _ in 0..12 {
            let (from, to) = (all[random.below(4) as usize], all[random.below(4) as usize]);
            let step = match StatusChange::new(LeafIndex(1), from, to, Reason::Appeal) {
                Ok(change) => StatusStep::Change(change),
                Err(_) if random.below(4) == 0 => StatusStep::Supersede(LeafIndex(1)),
                Err(_) => continue,
            };
            if let Ok(next) = step.applied_to(current) {
                assert!(!ended && next != current, "{current} to {next}");
                assert!(current.may_change_to(next) || next == Status::Superseded);
                (current, ended) = (next, next.is_terminal());
            }
        }
    }
}

#[test]
fn a_damaged_status_proof_is_refused() {
    let mut store = Store::default();
    let (size, indices) = (700, [130, 500]);
    store.apply(&[(130, Status::Revoked), (500, Status::Superseded)], size);
    let root = status_root(&store, size).unwrap();
    let good = prove(&store, &indices, size).unwrap();
    assert_eq!(good.chunks.len(), 2);
    let verify = |proof: &StatusProof| statuses(proof, &indices, size, &root);
    assert_eq!(verify(&good), Ok(vec![Status::Revoked, Status::Superseded]));

    for bit in 0..256 {
        let flip = |bytes: &mut [u8; 32]| bytes[bit / 8] ^= 1 << (bit % 8);
        for i in 0..2 {
            let mut bad = good.clone();
            flip(&mut bad.chunks[i].1.0);
            assert_eq!(verify(&bad), Err(ProofError::RootMismatch));
        }
        for i in 0..good.proof.len() {
            let mut bad = good.clone();
            flip(&mut bad.proof[i].0);
            assert_eq!(verify(&bad), Err(ProofError::RootMismatch));
        }
        let mut bad = root;
        flip(&mut bad.0);
        assert_eq!(statuses(&good, &indices, size, &bad), Err(ProofError::RootMismatch));
    }
    let with_proof = |proof: &[Hash]| verify(&StatusProof { proof: proof.to_vec(), ..good.clone() });
    assert_eq!(with_proof(&good.proof[1..]), Err(ProofError::TooShort));
    assert_eq!(with_proof(&[&good.proof[..], &[root]].concat()), Err(ProofError::TooLong));
}

#[test]
fn a_status_proof_has_exactly_the_chunks_asked_for() {
    let store = Store::default();
    let size = 700;
    let root = status_root(&store, size).unwrap();
    let good = prove(&store, &[500, 130, 131], size).unwrap();
    assert_eq!(good.chunks.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(
        statuses(&good, &[131, 500], size, &root),
        Ok(vec![Status::Valid; 2]),
        "any leaves of these chunks"
    );
    for indices in [&[130][..], &[500], &[130, 0], &[130, 500, 0]] {
        assert_eq!(statuses(&good, indices, size, &root), Err(ProofError::OtherChunks), "{indices:?}");
    }
    let with = |chunks: Vec<(u64, Chunk)>| {
        let proof = StatusProof { chunks, ..good.clone() };
        statuses(&proof, &[130, 500], size, &root)
    };
    let [first, last] = good.chunks[..] else { panic!("two chunks were asked for") };
    for chunks in [vec![], vec![first], vec![last, first], vec![first, first, last], vec![first, last, last]]
    {
        assert_eq!(with(chunks), Err(ProofError::OtherChunks));
    }
    let proven = good.verify(&[LeafIndex(130), LeafIndex(500)], LogSize(size), &root).unwrap();
    assert_eq!((proven.of(LeafIndex(255)), proven.of(LeafIndex(0))), (Some(Status::Valid), None));
}

#[test]
fn the_short_form_of_a_proof_is_the_only_one() {
    let mut store = Store::default();
    store.apply(&[(700, Status::Revoked), (90_000, Status::Suspended)], 200_000);
    let good = prove(&store, &[5, 150_000], 200_000).unwrap();
    let bytes = good.to_bytes();
    assert!(bytes.len() < good.proof.len() * 8, "{} bytes for {} hashes", bytes.len(), good.proof.len());
    let read = |bytes: &[u8]| StatusProof::from_bytes(good.chunks.clone(), bytes);
    assert_eq!(read(&bytes).unwrap(), good);
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err() || read(&bytes[..end]).unwrap().proof.len() < good.proof.len());
    }
    let said_by_a_hash = [&[0xff][..], &zero_root(3).0].concat();
    assert_eq!(read(&said_by_a_hash), Err(ProofBytesError));
    assert_eq!(read(&[3]).unwrap().proof, [zero_root(3)]);
    assert_eq!(read(&[TOP_LEVEL + 1]), Err(ProofBytesError));
    assert!(read(&[0; 114]).is_ok() && read(&[0; 115]).is_err());
}

#[test]
fn leaves_that_are_not_in_the_log_have_no_status() {
    let store = Store::default();
    let empty = StatusProof { chunks: vec![], proof: vec![] };
    for (index, size) in [(0, 0), (5, 5), (127, 100), (u64::MAX, u64::MAX)] {
        let error = ProofError::IndexOutOfRange { index, size };
        assert_eq!(prove(&store, &[index], size), Err(ProveError::Request(error)));
        assert_eq!(statuses(&empty, &[index], size, &Hash::ZERO), Err(error));
    }
    assert_eq!(prove(&store, &[], 5), Err(ProveError::Request(ProofError::NoLeaves)));
    assert_eq!(statuses(&empty, &[], 5, &Hash::ZERO), Err(ProofError::NoLeaves));
}

#[test]
fn bits_for_leaves_beyond_the_log_are_refused() {
    for size in [1, 3, 100, 127, 128, 129, 250] {
        let verdict = |store: &Store| {
            let root = status_root(store, size).unwrap();
            statuses(&prove(store, &[size - 1], size).unwrap(), &[size - 1], size, &root)
        };
        let first_beyond = size % 128;
        for beyond in (first_beyond..128).filter(|_| first_beyond != 0) {
            let mut store = Store::default();
            store.apply(&[(chunk_of(size - 1).0 * 128 + beyond, Status::Suspended)], size);
            assert_eq!(verdict(&store), Err(ProofError::StatusBeyondLog), "{size} {beyond}");
        }
        let mut store = Store::default();
        store.apply(&[(size - 1, Status::Suspended)], size);
        assert_eq!(verdict(&store), Ok(vec![Status::Suspended]));
    }
}
