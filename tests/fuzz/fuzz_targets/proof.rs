//! Proofs of the log: whatever else is given in place of an honest one, only what is in the tree is proven.
//!
//! The tree has up to 255 leaves; the bytes say its size, the claim, and the changes to the honest proof.
#![no_main]

use libfuzzer_sys::fuzz_target;
use markstein_fuzz::bytes::Bytes;
use markstein_proto::{Hash, log};

fn leaf(number: u64) -> Hash {
    log::leaf_hash(&number.to_be_bytes())
}

/// Another proof, or the same.
fn change(proof: &mut Vec<Hash>, from: &mut Bytes) {
    for _ in 0..from.below(3) {
        let at = usize::from(from.byte());
        match (from.below(4), proof.len()) {
            (0, length) => proof.insert(at % (length + 1), leaf(u64::from(from.byte()))),
            (_, 0) => {}
            (1, length) => drop(proof.remove(at % length)),
            (2, length) => proof[at % length].0[usize::from(from.byte() % 32)] ^= from.byte(),
            (_, length) => proof.swap(at % length, usize::from(from.byte()) % length),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let from = &mut Bytes::new(bytes);
    let (size, old) = (from.below(255) + 1, u64::from(from.byte()));
    let leaves: Vec<Hash> = (0..size).map(leaf).collect();
    let tree = log::Levels::new(leaves.clone());
    let (index, claimed) = (u64::from(from.byte()), u64::from(from.byte()));
    let honest = index.min(size - 1);

    let mut path = tree.path(honest).expect("it is in the tree");
    assert!(log::verify_inclusion(&leaf(honest), honest, size, &path, &tree.root()).is_ok());
    change(&mut path, from);
    if log::verify_inclusion(&leaf(claimed), index, size, &path, &tree.root()).is_ok() {
        assert!(claimed == index && index < size);
    }

    let several: Vec<u64> = (0..size).filter(|_| from.chance(10)).collect();
    if let Ok(mut proof) = log::multiproof::prove(&tree, &several, size) {
        let mut proven: Vec<(u64, Hash)> = several.iter().map(|number| (*number, leaf(*number))).collect();
        assert!(log::multiproof::verify(&proven, size, &proof, &tree.root()).is_ok());
        change(&mut proof, from);
        let wrong = usize::from(from.byte()) % proven.len();
        proven[wrong].1 = leaf(u64::from(from.byte()));
        if log::multiproof::verify(&proven, size, &proof, &tree.root()).is_ok() {
            assert!(proven.iter().all(|(number, hash)| *hash == leaf(*number)));
        }
    }

    if (1..=size).contains(&old) {
        let root = log::root_of(&leaves[..old as usize]);
        let mut proof = log::consistency_proof(&tree, old, size).expect("both are in the tree");
        assert!(log::verify_consistency(old, &root, size, &tree.root(), &proof).is_ok());
        change(&mut proof, from);
        let claimed = log::root_of(&leaves[..(claimed % size) as usize]);
        if log::verify_consistency(old, &claimed, size, &tree.root(), &proof).is_ok() {
            assert_eq!(claimed, root);
        }
    }
});
