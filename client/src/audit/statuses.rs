//! The status of every leaf, with the whole tree over it: two bits a leaf and less than a byte of hashes.
//!
//! Nodes keep this tree sparsely and on the disk. Here it is a list, so that both come to the same root on two ways.

use markstein_proto::{
    Hash,
    log::{EMPTY_ROOT, leaf_hash, node_hash},
    status::{CHUNK_STATUSES, Chunk, Status, chunk_of},
};

/// Statuses of the leaves of a log so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Statuses {
    chunks: Vec<Chunk>,
    /// Hashes of full subtrees over the chunks, lowest first; the first level is that of the chunks themselves.
    levels: Vec<Vec<Hash>>,
}

impl Statuses {
    /// Makes room for this many leaves, all of the new ones valid.
    pub(super) fn grow(&mut self, leaves: u64) {
        while self.chunks.len() as u64 * CHUNK_STATUSES < leaves {
            self.chunks.push(Chunk::ZERO);
            self.add(0, leaf_hash(&Chunk::ZERO.0));
        }
    }

    fn add(&mut self, level: usize, hash: Hash) {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(hash);
        if let [.., left, right] = self.levels[level][..]
            && self.levels[level].len().is_multiple_of(2)
        {
            self.add(level + 1, node_hash(&left, &right));
        }
    }

    /// The status of a leaf; that of one that is not there is valid.
    pub(super) fn get(&self, leaf: u64) -> Status {
        let (chunk, position) = chunk_of(leaf);
        let chunk = usize::try_from(chunk).ok().and_then(|chunk| self.chunks.get(chunk));
        chunk.map_or(Status::Valid, |chunk| chunk.get(position))
    }

    /// Sets the status of a leaf that [`Self::grow`] made room for.
    pub(super) fn set(&mut self, leaf: u64, status: Status) {
        let (chunk, position) = chunk_of(leaf);
        let chunk = chunk as usize; // there is room for it, so it is an index
        self.chunks[chunk].set(position, status);
        self.put(chunk);
    }

    /// Hashes the way from a chunk upwards again.
    fn put(&mut self, chunk: usize) {
        self.levels[0][chunk] = leaf_hash(&self.chunks[chunk].0);
        let mut at = chunk;
        for level in 1..self.levels.len() {
            at /= 2;
            let pair = self.levels[level - 1].get(2 * at..2 * at + 2);
            let Some(&[left, right]) = pair else { break };
            self.levels[level][at] = node_hash(&left, &right);
        }
    }

    /// The root over all chunks.
    pub(super) fn root(&self) -> Hash {
        // A level has an odd number of nodes where the number of chunks has that bit: its last one is a peak.
        let peaks = self.levels.iter().filter(|level| !level.len().is_multiple_of(2));
        let peaks = peaks.filter_map(|level| level.last());
        peaks.copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
    }

    /// The chunks in which not all is valid.
    pub(super) fn changed(&self) -> impl Iterator<Item = (u64, &Chunk)> {
        (0..).zip(&self.chunks).filter(|(_, chunk)| **chunk != Chunk::ZERO)
    }

    /// The statuses of a log of this many leaves with these chunks changed; `None` where one is beyond the log.
    pub(super) fn restore(leaves: u64, changed: impl IntoIterator<Item = (u64, Chunk)>) -> Option<Self> {
        let mut statuses = Self::default();
        statuses.grow(leaves);
        for (index, chunk) in changed {
            let index = usize::try_from(index).ok()?;
            *statuses.chunks.get_mut(index)? = chunk;
            statuses.put(index);
        }
        Some(statuses)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::log::root_of;

    use super::*;

    #[test]
    fn the_root_is_that_of_a_list_of_chunks() {
        let mut statuses = Statuses::default();
        assert_eq!(statuses.root(), EMPTY_ROOT);
        let all = [Status::Revoked, Status::Suspended, Status::Superseded, Status::Valid];
        for size in 1..1500_u64 {
            statuses.grow(size);
            let (leaf, status) = (size * 7 % size, all[size as usize % 4]);
            statuses.set(leaf, status);
            statuses.set(size - 1, all[(size / 3) as usize % 4]);
            assert_eq!(statuses.get(size - 1), all[(size / 3) as usize % 4]);
            let hashes: Vec<Hash> = statuses.chunks.iter().map(|chunk| leaf_hash(&chunk.0)).collect();
            assert_eq!(statuses.root(), root_of(&hashes), "{size}");
            assert_eq!(hashes.len() as u64, size.div_ceil(CHUNK_STATUSES));
        }
        let changed: Vec<_> = statuses.changed().map(|(index, chunk)| (index, *chunk)).collect();
        let restored = Statuses::restore(1499, changed).unwrap();
        assert_eq!((restored.root(), &restored.levels), (statuses.root(), &statuses.levels));
        assert!(Statuses::restore(128, [(1, Chunk::ZERO)]).is_none());
        assert_eq!(statuses.get(u64::MAX), Status::Valid);
    }
}
