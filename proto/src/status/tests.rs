//! The status tree against recomputation, and its proofs against everything slightly wrong.

#![allow(clippy::unwrap_used)]

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use super::*;
use crate::log::{ProofError, ProveError, leaf_hash, root_of};
use crate::{Hash, LeafIndex, LogSize};

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
    fn apply(&mut self, changes: &[(u64, Status)]) {
        let delta = apply(self, &changes.iter().copied().collect()).unwrap();
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
            store.apply(&changes);
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
    store.apply(&[(3, Status::Revoked)]);
    store.apply(&[(640, Status::Suspended), (5, Status::Superseded)]);
    let mut model = Model(vec![Status::Valid; 128 * 40]);
    model.0[3] = Status::Revoked;
    model.0[5] = Status::Superseded;
    model.0[640] = Status::Suspended;
    for chunks in 6..=40 {
        let cut = Model(model.0[..128 * chunks].to_vec());
        assert_eq!(status_root(&store, 128 * chunks as u64), Ok(cut.root()), "{chunks}");
    }
}

#[test]
fn only_paths_above_changed_chunks_are_written() {
    let store = Store::default();
    let delta = apply(&store, &BTreeMap::from([(0, Status::Revoked), (127, Status::Revoked)])).unwrap();
    assert_eq!((delta.chunks.len(), delta.nodes.len()), (1, usize::from(TOP_LEVEL)));
    let last = apply(&store, &BTreeMap::from([(0, Status::Revoked), (u64::MAX, Status::Revoked)])).unwrap();
    assert_eq!((last.chunks.len(), last.nodes.len()), (2, 2 * usize::from(TOP_LEVEL) - 1));
    assert_eq!(apply(&store, &BTreeMap::new()), Ok(StatusDelta::default()));
    assert_eq!(apply(&store, &BTreeMap::from([(9, Status::Valid)])), Ok(StatusDelta::default()));
}

#[test]
fn a_change_taken_back_gives_the_root_from_before() {
    let mut store = Store::default();
    store.apply(&[(700, Status::Suspended)]);
    assert_ne!(status_root(&store, 1000), status_root(&Store::default(), 1000));
    store.apply(&[(700, Status::Valid)]);
    assert_eq!(status_root(&store, 1000), status_root(&Store::default(), 1000));
    assert_eq!(store.0.nodes[&(TOP_LEVEL, 0)], zero_root(TOP_LEVEL));
}

#[test]
fn overlays_stack_and_merge() {
    let mut base = Store::default();
    base.apply(&[(1, Status::Revoked)]);
    let first = apply(&base, &BTreeMap::from([(300, Status::Suspended)])).unwrap();
    let middle = Overlay { delta: &first, parent: &base };
    let second = apply(&middle, &BTreeMap::from([(300, Status::Valid), (2, Status::Revoked)])).unwrap();
    let parent: &dyn StatusReader<Error = Infallible> = &middle;
    let top = Overlay { delta: &second, parent };

    let mut stored = base.clone();
    stored.apply(&[(300, Status::Suspended)]);
    assert_eq!(status_root(&middle, 400), status_root(&stored, 400));
    stored.apply(&[(300, Status::Valid), (2, Status::Revoked)]);
    assert_eq!(status_root(&top, 400), status_root(&stored, 400));

    let mut merged = first.clone();
    merged.merge(second);
    assert_eq!(status_root(&Overlay { delta: &merged, parent: &base }, 400), status_root(&stored, 400));
    base.0.merge(merged);
    assert_eq!(base.0, stored.0);
}

#[test]
fn a_damaged_status_proof_is_refused() {
    let mut store = Store::default();
    store.apply(&[(130, Status::Revoked), (500, Status::Superseded)]);
    let (size, indices) = (700, [130, 500]);
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
            store.apply(&[(chunk_of(size - 1).0 * 128 + beyond, Status::Suspended)]);
            assert_eq!(verdict(&store), Err(ProofError::StatusBeyondLog), "{size} {beyond}");
        }
        let mut store = Store::default();
        store.apply(&[(size - 1, Status::Suspended)]);
        assert_eq!(verdict(&store), Ok(vec![Status::Suspended]));
    }
}
