//! The log against the RFC taken word for word, against published vectors, and against everything slightly wrong.

#![allow(clippy::unwrap_used)]

extern crate std;

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use super::*;

std::thread_local! {
    static HASHES: Cell<u64> = const { Cell::new(0) };
}

/// Each hash of the log's maths is counted here.
pub(super) fn count_hash() {
    HASHES.set(HASHES.get() + 1);
}

/// How many hashes that takes.
pub(crate) fn hashes_of<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = HASHES.get();
    let done = work();
    (done, HASHES.get() - before)
}

/// SplitMix64: the same numbers on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

fn leaves(n: u64) -> Vec<Hash> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

/// MTH as RFC 6962 section 2.1 words it.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [leaf] => *leaf,
        _ => {
            let k = naive_split(leaves.len());
            node_hash(&mth(&leaves[..k]), &mth(&leaves[k..]))
        }
    }
}

/// PATH as RFC 6962 section 2.1.1 words it.
fn rfc_path(m: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return vec![];
    }
    let k = naive_split(leaves.len());
    let (mut path, sibling) = if m < k {
        (rfc_path(m, &leaves[..k]), mth(&leaves[k..]))
    } else {
        (rfc_path(m - k, &leaves[k..]), mth(&leaves[..k]))
    };
    path.push(sibling);
    path
}

/// SUBPROOF as RFC 6962 section 2.1.2 words it.
fn rfc_subproof(m: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    let n = leaves.len();
    if m == n {
        return if whole { vec![] } else { vec![mth(leaves)] };
    }
    let k = naive_split(n);
    let (mut proof, sibling) = if m <= k {
        (rfc_subproof(m, &leaves[..k], whole), mth(&leaves[k..]))
    } else {
        (rfc_subproof(m - k, &leaves[k..], false), mth(&leaves[..k]))
    };
    proof.push(sibling);
    proof
}

fn naive_split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// Each change of one bit in these hashes, by a function that is given the changed hashes.
fn each_bit_flip(hashes: &[Hash], mut check: impl FnMut(&[Hash])) {
    let mut changed = hashes.to_vec();
    for i in 0..hashes.len() {
        for bit in 0..256 {
            changed[i].0[bit / 8] ^= 1 << (bit % 8);
            check(&changed);
            changed[i].0[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

/// The proof with one hash less or more, at each place.
fn each_wrong_length(proof: &[Hash], extra: Hash, mut check: impl FnMut(&[Hash])) {
    for i in 0..proof.len() {
        let mut shorter = proof.to_vec();
        shorter.remove(i);
        check(&shorter);
    }
    for i in 0..=proof.len() {
        for more in [extra, Hash::ZERO] {
            let mut longer = proof.to_vec();
            longer.insert(i, more);
            check(&longer);
        }
    }
}

fn hex_hash(text: &str) -> Hash {
    Hash::try_from(&hex::decode(text).unwrap()[..]).unwrap()
}

#[test]
fn the_roots_known_from_certificate_transparency() {
    let entries =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let leaves: Vec<Hash> = entries.iter().map(|e| leaf_hash(&hex::decode(e).unwrap())).collect();
    for (size, root) in roots.iter().enumerate() {
        assert_eq!(root_of(&leaves[..size]), hex_hash(root), "size {size}");
        assert_eq!(Levels::new(leaves[..size].to_vec()).root(), hex_hash(root), "size {size}");
    }
    assert_eq!(EMPTY_ROOT, hex_hash(roots[0]));
    assert_eq!(EMPTY_ROOT, Hash::of(&[]));
}

#[test]
fn a_frontier_agrees_with_recomputation() {
    let leaves = leaves(70);
    let tree = Levels::new(leaves.clone());
    let mut frontier = Frontier::new();
    for size in 0..=70 {
        let root = mth(&leaves[..size]);
        assert_eq!(frontier.root(), root);
        assert_eq!(root_of(leaves[..size].iter().copied()), root);
        assert_eq!(root_at(&tree, size as u64), Ok(root));
        assert_eq!(Frontier::read(&tree, size as u64), Ok(frontier.clone()));
        assert_eq!(Frontier::from_parts(frontier.size(), frontier.nodes().to_vec()), Ok(frontier.clone()));
        if let Some(leaf) = leaves.get(size) {
            frontier.push_with(*leaf, |level, index, hash| {
                let (lo, hi) = ((index << level) as usize, ((index + 1) << level) as usize);
                assert_eq!(hi % (1 << level), 0);
                assert_eq!(hash, mth(&leaves[lo..hi]), "node {level} {index}");
                assert_eq!(tree.node(level, index), Ok(hash));
            });
        }
    }
}

#[test]
fn a_push_reports_each_completed_node_once() {
    let mut frontier = Frontier::new();
    let mut reported = vec![];
    for leaf in leaves(64) {
        frontier.push_with(leaf, |level, index, _| reported.push((level, index)));
    }
    reported.sort_unstable();
    let all: Vec<(u8, u64)> = (0..=6).flat_map(|level| (0..64 >> level).map(move |i| (level, i))).collect();
    assert_eq!(reported, all);
}

#[test]
fn a_frontier_of_the_wrong_shape_is_refused() {
    let error = Frontier::from_parts(5, vec![Hash::ZERO]).unwrap_err();
    assert_eq!(error, FrontierError { size: 5, nodes: 1 });
    assert_eq!(format!("{error}"), "a log of 5 leaves has a frontier of 2 nodes, not 1");
    assert!(Frontier::from_parts(u64::MAX, vec![Hash::ZERO; 64]).is_ok());
}

#[test]
fn ragged_ranges_have_the_roots_of_the_leaves_alone() {
    let leaves = leaves(40);
    let tree = Levels::new(leaves.clone());
    for lo in 0..40_u64 {
        for hi in lo..=40 {
            if lo == hi || lo.is_multiple_of(1 << (hi - lo).ilog2()) {
                assert_eq!(
                    subtree_root(&tree, lo, hi),
                    Ok(mth(&leaves[lo as usize..hi as usize])),
                    "{lo} {hi}"
                );
            }
        }
    }
}

#[test]
#[should_panic(expected = "does not begin at a subtree")]
fn an_unaligned_range_is_a_mistake_of_the_caller() {
    let _ = subtree_root(&Levels::new(leaves(8)), 1, 4);
}

#[test]
fn inclusion_proofs_are_those_of_the_rfc_and_verify() {
    let leaves = leaves(70);
    let tree = Levels::new(leaves.clone());
    for size in 1..=70 {
        let root = mth(&leaves[..size]);
        for index in 0..size {
            let proof = inclusion_proof(&tree, index as u64, size as u64).unwrap();
            assert_eq!(proof, rfc_path(index, &leaves[..size]));
            let (index, size) = (index as u64, size as u64);
            assert_eq!(verify_inclusion(&leaves[index as usize], index, size, &proof, &root), Ok(()));
        }
        assert_eq!(path(&leaves[..size], size as u64 / 2).unwrap(), rfc_path(size / 2, &leaves[..size]));
    }
}

#[test]
fn a_damaged_inclusion_proof_is_refused() {
    let leaves = leaves(12);
    let tree = Levels::new(leaves.clone());
    for size in 1..=12 {
        let root = mth(&leaves[..size as usize]);
        for index in 0..size {
            let leaf = leaves[index as usize];
            let proof = inclusion_proof(&tree, index, size).unwrap();
            each_bit_flip(&proof, |bad| {
                assert_eq!(verify_inclusion(&leaf, index, size, bad, &root), Err(ProofError::RootMismatch));
            });
            each_bit_flip(&[leaf, root], |bad| {
                let result = verify_inclusion(&bad[0], index, size, &proof, &bad[1]);
                assert_eq!(result, Err(ProofError::RootMismatch));
            });
            each_wrong_length(&proof, root, |bad| {
                let result = verify_inclusion(&leaf, index, size, bad, &root);
                assert!(matches!(result, Err(ProofError::TooShort | ProofError::TooLong)), "{result:?}");
            });
            for other in (0..=size + 1).filter(|other| *other != index) {
                assert!(verify_inclusion(&leaf, other, size, &proof, &root).is_err());
            }
        }
    }
}

#[test]
fn there_is_no_inclusion_outside_the_tree() {
    let tree = Levels::new(leaves(3));
    let out = |index, size| ProofError::IndexOutOfRange { index, size };
    for (index, size) in [(0, 0), (3, 3), (u64::MAX, 3), (u64::MAX, u64::MAX)] {
        assert_eq!(inclusion_proof(&tree, index, size), Err(ProveError::Request(out(index, size))));
        assert_eq!(verify_inclusion(&Hash::ZERO, index, size, &[], &Hash::ZERO), Err(out(index, size)));
    }
    assert_eq!(path(&[], 0), Err(ProveError::Request(out(0, 0))));
    let missing = MissingNode { level: 1, index: 1 };
    assert_eq!(inclusion_proof(&tree, 0, 4), Err(ProveError::Reader(missing)));
}

#[test]
fn consistency_proofs_are_those_of_the_rfc_and_verify() {
    let leaves = leaves(70);
    let tree = Levels::new(leaves.clone());
    let roots: Vec<Hash> = (0..=70).map(|size| mth(&leaves[..size])).collect();
    for new in 1..=70 {
        for old in 1..=new {
            let proof = consistency_proof(&tree, old as u64, new as u64).unwrap();
            assert_eq!(proof, rfc_subproof(old, &leaves[..new], true));
            let result = verify_consistency(old as u64, &roots[old], new as u64, &roots[new], &proof);
            assert_eq!(result, Ok(()), "{old} {new}");
        }
    }
}

#[test]
fn a_consistency_proof_shows_the_earlier_root_whatever_somebody_signed() {
    let leaves = leaves(70);
    let tree = Levels::new(leaves.clone());
    let roots: Vec<Hash> = (0..=70).map(|size| mth(&leaves[..size])).collect();
    for new in 1..=70_usize {
        for old in 1..=new {
            let mut proof = consistency_proof(&tree, old as u64, new as u64).unwrap();
            let shown = |proof: &[Hash]| earlier_root(old as u64, new as u64, &roots[new], proof);
            let expected = match old {
                _ if old == new => Ok(roots[old]),
                _ if old.is_power_of_two() => Err(ProofError::TooShort),
                _ => Ok(roots[old]),
            };
            assert_eq!(shown(&proof), expected, "{old} {new}");
            for i in 0..proof.len() {
                proof[i].0[7] ^= 1;
                assert!(shown(&proof).is_err(), "{old} {new}: what leads to no root shows nothing");
                proof[i].0[7] ^= 1;
            }
            proof.push(Hash::ZERO);
            assert!(shown(&proof).is_err(), "{old} {new}");
        }
    }
    assert!(earlier_root(3, 2, &roots[2], &[]).is_err() && earlier_root(0, 2, &roots[2], &[]).is_err());
}

#[test]
fn a_damaged_consistency_proof_is_refused() {
    let leaves = leaves(12);
    let tree = Levels::new(leaves.clone());
    let roots: Vec<Hash> = (0..=12).map(|size| mth(&leaves[..size])).collect();
    for new in 1..=12 {
        for old in 1..=new {
            let (root1, root2) = (roots[old as usize], roots[new as usize]);
            let proof = consistency_proof(&tree, old, new).unwrap();
            let verify = |proof: &[Hash]| verify_consistency(old, &root1, new, &root2, proof);
            each_bit_flip(&proof, |bad| assert_eq!(verify(bad), Err(ProofError::RootMismatch)));
            each_bit_flip(&[root1, root2], |bad| {
                let result = verify_consistency(old, &bad[0], new, &bad[1], &proof);
                assert_eq!(result, Err(ProofError::RootMismatch));
            });
            each_wrong_length(&proof, root1, |bad| {
                let result = verify(bad);
                assert!(matches!(result, Err(ProofError::TooShort | ProofError::TooLong)), "{result:?}");
            });
            if old < new {
                assert!(verify_consistency(old, &root2, new, &root1, &proof).is_err());
                assert!(verify_consistency(new, &root2, old, &root1, &proof).is_err());
            }
        }
    }
}

#[test]
fn there_is_no_consistency_with_nothing_or_backwards() {
    let tree = Levels::new(leaves(3));
    let reversed = ProofError::SizesReversed { old: 3, new: 2 };
    for (old, new, error) in [(0, 0, ProofError::EmptyTree), (0, 3, ProofError::EmptyTree), (3, 2, reversed)]
    {
        assert_eq!(consistency_proof(&tree, old, new), Err(ProveError::Request(error)));
        assert_eq!(verify_consistency(old, &EMPTY_ROOT, new, &EMPTY_ROOT, &[]), Err(error));
    }
}

#[test]
fn multiproofs_of_every_choice_of_leaves_verify() {
    let leaves = leaves(9);
    let tree = Levels::new(leaves.clone());
    for size in 1..=9_u64 {
        let root = mth(&leaves[..size as usize]);
        for choice in 1..1_u32 << size {
            let indices: Vec<u64> = (0..size).filter(|i| choice >> i & 1 == 1).collect();
            let chosen: Vec<(u64, Hash)> = indices.iter().map(|i| (*i, leaves[*i as usize])).collect();
            let proof = multiproof::prove(&tree, &indices, size).unwrap();
            assert_eq!(multiproof::verify(&chosen, size, &proof, &root), Ok(()));
            each_wrong_length(&proof, root, |bad| {
                assert!(multiproof::verify(&chosen, size, bad, &root).is_err());
            });
            for index in 0..size {
                let path = multiproof::path_of(index, &chosen, size, &proof);
                let single = inclusion_proof(&tree, index, size).unwrap();
                let expected =
                    if indices.contains(&index) { Ok((single, root)) } else { Err(ProofError::NoLeaves) };
                assert_eq!(path, expected);
            }
            if let [index] = indices[..] {
                let mut single = inclusion_proof(&tree, index, size).unwrap();
                let mut same = proof.clone();
                single.sort_unstable();
                same.sort_unstable();
                assert_eq!(single, same);
            }
        }
    }
}

#[test]
fn a_damaged_multiproof_is_refused() {
    let leaves = leaves(6);
    let tree = Levels::new(leaves.clone());
    for size in 1..=6_u64 {
        let root = mth(&leaves[..size as usize]);
        for choice in 1..1_u32 << size {
            let indices: Vec<u64> = (0..size).filter(|i| choice >> i & 1 == 1).collect();
            let hashes: Vec<Hash> = indices.iter().map(|i| leaves[*i as usize]).collect();
            let chosen = |hashes: &[Hash]| -> Vec<(u64, Hash)> {
                indices.iter().copied().zip(hashes.iter().copied()).collect()
            };
            let proof = multiproof::prove(&tree, &indices, size).unwrap();
            let good = chosen(&hashes);
            each_bit_flip(&proof, |bad| {
                assert_eq!(multiproof::verify(&good, size, bad, &root), Err(ProofError::RootMismatch));
            });
            // All bits of the first leaf stand for those of the others: they enter the same way.
            each_bit_flip(&hashes[..1], |bad| {
                let bad: Vec<Hash> = bad.iter().chain(&hashes[1..]).copied().collect();
                assert_eq!(
                    multiproof::verify(&chosen(&bad), size, &proof, &root),
                    Err(ProofError::RootMismatch)
                );
            });
            each_bit_flip(&[root], |bad| {
                assert_eq!(multiproof::verify(&good, size, &proof, &bad[0]), Err(ProofError::RootMismatch));
            });
            for left_out in 0..good.len() {
                let mut fewer = good.clone();
                fewer.remove(left_out);
                assert!(multiproof::verify(&fewer, size, &proof, &root).is_err());
            }
        }
    }
}

#[test]
fn random_multiproofs_of_larger_trees_verify() {
    let mut random = Random(6962);
    let leaves = leaves(3000);
    let tree = Levels::new(leaves.clone());
    for _ in 0..60 {
        let size = 1 + random.below(3000);
        let root = root_of(&leaves[..size as usize]);
        let mut indices: Vec<u64> = (0..1 + random.below(40)).map(|_| random.below(size)).collect();
        indices.sort_unstable();
        indices.dedup();
        let mut chosen: Vec<(u64, Hash)> = indices.iter().map(|i| (*i, leaves[*i as usize])).collect();
        let mut proof = multiproof::prove(&tree, &indices, size).unwrap();
        assert_eq!(multiproof::verify(&chosen, size, &proof, &root), Ok(()));

        if !proof.is_empty() {
            let victim = random.below(proof.len() as u64) as usize;
            proof[victim].0[random.below(32) as usize] ^= 1 << random.below(8);
            assert_eq!(multiproof::verify(&chosen, size, &proof, &root), Err(ProofError::RootMismatch));
            proof = multiproof::prove(&tree, &indices, size).unwrap();
        }
        let victim = random.below(chosen.len() as u64) as usize;
        chosen[victim].1.0[random.below(32) as usize] ^= 1 << random.below(8);
        assert_eq!(multiproof::verify(&chosen, size, &proof, &root), Err(ProofError::RootMismatch));
    }
}

#[test]
fn a_multiproof_of_an_impossible_list_is_refused() {
    let tree = Levels::new(leaves(4));
    let out = |index, size| ProofError::IndexOutOfRange { index, size };
    let cases: [(&[u64], u64, ProofError); 7] = [
        (&[], 4, ProofError::NoLeaves),
        (&[], 0, ProofError::NoLeaves),
        (&[0], 0, out(0, 0)),
        (&[1, 4], 4, out(4, 4)),
        (&[1, 1], 4, ProofError::NotAscending { index: 1 }),
        (&[0, 3, 2], 4, ProofError::NotAscending { index: 2 }),
        (&[u64::MAX], u64::MAX, out(u64::MAX, u64::MAX)),
    ];
    for (indices, size, error) in cases {
        let chosen: Vec<(u64, Hash)> = indices.iter().map(|i| (*i, Hash::ZERO)).collect();
        assert_eq!(multiproof::prove(&tree, indices, size), Err(ProveError::Request(error)));
        assert_eq!(multiproof::verify(&chosen, size, &[], &Hash::ZERO), Err(error));
    }
}

/// Every node of this tree is a hash of its place: enough to walk trees of any size.
struct Endless;

impl NodeReader for Endless {
    type Error = core::convert::Infallible;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        assert!(level < 64 && index.checked_shl(level.into()).is_some_and(|lo| lo >> level == index));
        Ok(Hash::of(&[&[level], &index.to_be_bytes()]))
    }
}

#[test]
fn the_largest_sizes_neither_overflow_nor_go_deep() {
    for size in [1 << 63, (1 << 63) - 1, (1 << 63) + 1, u64::MAX] {
        for index in [0, 1, size / 2, size - 1] {
            let proof = inclusion_proof(&Endless, index, size).unwrap();
            assert!(proof.len() <= 64);
            assert!(root_from_inclusion(&Hash::ZERO, index, size, &proof).is_ok());
            let proof = multiproof::prove(&Endless, &[index], size).unwrap();
            assert!(multiproof::root_from(&[(index, Hash::ZERO)], size, &proof).is_ok());
            let error = multiproof::root_from(&[(index, Hash::ZERO)], size, &[]);
            assert_eq!(error, Err(ProofError::TooShort));

            let proof = consistency_proof(&Endless, index + 1, size).unwrap();
            assert!(proof.len() <= 65);
            let result = verify_consistency(index + 1, &Hash::ZERO, size, &Hash::ZERO, &proof);
            let same = index + 1 == size;
            assert_eq!(result, if same { Ok(()) } else { Err(ProofError::RootMismatch) });
        }
    }
}

#[test]
#[should_panic(expected = "no log reaches 2^64 leaves")]
fn a_log_of_all_numbers_cannot_grow() {
    Frontier::from_parts(u64::MAX, vec![Hash::ZERO; 64]).unwrap().push(Hash::ZERO);
}

mod tiles {
    use super::super::tile::{EntryBundle, NodePlace, Tile, TileError, TileNodes, TileReadError, TileReader};
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::string::{String, ToString};
    use core::convert::Infallible;

    /// Tiles as a store keeps them, filled by what a frontier reports.
    #[derive(Default)]
    struct Store(BTreeMap<(u8, u64), Vec<u8>>);

    impl Store {
        fn of(leaves: &[Hash]) -> Self {
            let mut store = Self::default();
            let mut frontier = Frontier::new();
            for leaf in leaves {
                frontier.push_with(*leaf, |level, index, hash| {
                    let place = NodePlace::of(level, index);
                    if place.count == 1 {
                        let tile = store.0.entry((place.tile_level, place.tile_index)).or_default();
                        assert_eq!(tile.len(), usize::from(place.start) * 32);
                        tile.extend_from_slice(&hash.0);
                    }
                });
            }
            store
        }
    }

    impl TileReader for Store {
        type Error = Infallible;

        fn tile(&self, level: u8, index: u64) -> Result<Vec<u8>, Infallible> {
            Ok(self.0.get(&(level, index)).cloned().unwrap_or_default())
        }
    }

    /// The example of the specification's section on partial tiles: a tree of 70,000 leaves.
    #[test]
    fn the_tiles_of_the_specifications_example() {
        let size = 70_000;
        let tile = |level, index| Tile::in_log(level, index, size).map(|tile| tile.width);
        assert_eq!(
            (tile(0, 0), tile(0, 272), tile(0, 273), tile(0, 274)),
            (Some(256), Some(256), Some(112), None)
        );
        assert_eq!((tile(1, 0), tile(1, 1), tile(1, 2)), (Some(256), Some(17), None));
        assert_eq!((tile(2, 0), tile(2, 1), tile(3, 0)), (Some(1), None, None));
        assert_eq!((tile(8, 0), tile(255, 0), tile(0, u64::MAX)), (None, None, None));

        assert_eq!(Tile::in_log(0, 0, 256), Some(Tile { level: 0, index: 0, width: 256 }));
        assert_eq!(Tile::in_log(0, 1, 256), None);
        assert_eq!(Tile::in_log(1, 0, 256), Some(Tile { level: 1, index: 0, width: 1 }));
        assert_eq!(Tile::in_log(0, 0, 0), None);
        assert_eq!(EntryBundle::in_log(273, size), Some(EntryBundle { index: 273, width: 112 }));
        assert_eq!(EntryBundle::in_log(274, size), None);
    }

    #[test]
    fn paths_are_written_and_read_as_specified() {
        let tiles = [
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (0, 0, 256, "tile/0/000"),
            (0, 273, 112, "tile/0/273.p/112"),
            (1, 1, 17, "tile/1/001.p/17"),
            (2, 0, 1, "tile/2/000.p/1"),
            (63, 999, 256, "tile/63/999"),
            (0, 1_000, 255, "tile/0/x001/000.p/255"),
            (0, u64::MAX, 256, "tile/0/x018/x446/x744/x073/x709/x551/615"),
        ];
        for (level, index, width, path) in tiles {
            let tile = Tile { level, index, width };
            assert_eq!(tile.path(), path);
            assert_eq!(Tile::parse(path), Ok(tile));
        }
        let bundle = EntryBundle { index: 1_234_067, width: 8 };
        assert_eq!(bundle.path(), "tile/entries/x001/x234/067.p/8");
        assert_eq!(EntryBundle::parse(&bundle.path()), Ok(bundle));
        assert_eq!(EntryBundle { index: 5, width: 256 }.path(), "tile/entries/005");
    }

    #[test]
    fn other_spellings_of_a_path_are_refused() {
        let tails = [
            "",
            "/",
            "1",
            "01",
            "0001",
            "1000",
            "x001",
            "001/",
            "/001",
            "x000/001",
            "x1/001",
            "001/x001",
            "001/001",
            "X001/001",
            "xx001/001",
            "+01",
            "-01",
            "001.p",
            "001.p/",
            "001.p/0",
            "001.p/256",
            "001.p/01",
            "001.p/+1",
            "001.p/1/",
            "001.p/1.p/1",
            "001/p/1",
            "001 ",
            "٠٠١",
            "x018/x446/x744/x073/x709/x551/616",
            "x001/x000/x000/x000/x000/x000/x000/x000/000",
        ];
        for tail in tails {
            let hashes: String = "tile/0/".to_string() + tail;
            assert!(Tile::parse(&hashes).is_err(), "{hashes}");
            let entries: String = "tile/entries/".to_string() + tail;
            assert!(EntryBundle::parse(&entries).is_err(), "{entries}");
        }
        for path in
            ["", "tile", "tile/0", "/tile/0/000", "tile/00/000", "tile/64/000", "tile/-1/000", "tile/x/000"]
        {
            assert!(Tile::parse(path).is_err(), "{path}");
        }
        assert!(Tile::parse("tile/entries/000").is_err());
        assert!(EntryBundle::parse("tile/0/000").is_err());
    }

    #[test]
    fn every_node_has_its_place() {
        let place = |level, index| {
            let p = NodePlace::of(level, index);
            (p.tile_level, p.tile_index, p.start, p.count)
        };
        assert_eq!(place(0, 0), (0, 0, 0, 1));
        assert_eq!(place(0, 257), (0, 1, 1, 1));
        assert_eq!(place(1, 128), (0, 1, 0, 2));
        assert_eq!(place(7, 3), (0, 1, 128, 128));
        assert_eq!(place(8, 3), (1, 0, 3, 1));
        assert_eq!(place(63, 1), (7, 0, 128, 128));
        assert_eq!(place(0, u64::MAX), (0, u64::MAX >> 8, 255, 1));
    }

    #[test]
    fn nodes_read_from_tiles_are_those_of_the_tree() {
        let leaves = leaves(700);
        let (tree, store) = (Levels::new(leaves.clone()), Store::of(&leaves));
        assert_eq!(store.0.len(), 4);
        assert_eq!(store.0[&(0, 2)].len(), (700 - 512) * 32);
        let nodes = TileNodes(&store);
        for level in 0..10_u8 {
            for index in 0..700 >> level {
                assert_eq!(nodes.node(level, index).unwrap(), tree.node(level, index).unwrap());
            }
        }
        for size in [1, 255, 256, 257, 511, 512, 513, 700] {
            let root = root_of(&leaves[..size as usize]);
            assert_eq!(root_at(&nodes, size), Ok(root));
            let proof = inclusion_proof(&nodes, size - 1, size).unwrap();
            assert_eq!(verify_inclusion(&leaves[size as usize - 1], size - 1, size, &proof, &root), Ok(()));
            assert_eq!(
                consistency_proof(&nodes, size / 2 + 1, size),
                Ok(consistency_proof(&tree, size / 2 + 1, size).unwrap())
            );
        }
    }

    #[test]
    fn a_tile_that_is_short_or_damaged_is_an_error() {
        let mut store = Store::of(&leaves(300));
        let error = |store: &Store, level, index| match TileNodes(store).node(level, index) {
            Err(TileReadError::Tile { source, .. }) => source,
            other => panic!("{other:?}"),
        };
        assert_eq!(error(&store, 0, 300), TileError::TooShort { needed: 45, found: 44 });
        assert_eq!(error(&store, 3, 37), TileError::TooShort { needed: 48, found: 44 });
        assert_eq!(error(&store, 8, 1), TileError::TooShort { needed: 2, found: 1 });
        assert_eq!(error(&store, 63, 1), TileError::TooShort { needed: 256, found: 0 });
        store.0.get_mut(&(0, 1)).unwrap().pop();
        assert_eq!(error(&store, 0, 256), TileError::Length { bytes: 44 * 32 - 1 });
        store.0.get_mut(&(0, 0)).unwrap().extend([0; 32]);
        assert_eq!(error(&store, 0, 0), TileError::Length { bytes: 257 * 32 });
    }
}
