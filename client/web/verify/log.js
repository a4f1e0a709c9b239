// The log: an RFC 6962 section 2.1 Merkle tree over SHA-256. Indices and sizes are BigInt. Proofs are lists of hashes.

import { equal } from "./bytes.js";
import { sha256 } from "./sha256.js";

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export const leafHash = (bytes) => sha256(LEAF, bytes);
export const nodeHash = (left, right) => sha256(NODE, left, right);

/** The largest power of two below a width of 2 or more. */
const split = (width) => 1n << BigInt((width - 1n).toString(2).length - 1);

/** The root to which a leaf and its path lead, `null` where the path has not the length that index and size need. */
export function rootFromInclusion(leaf, index, size, path) {
  if (index >= size) return null;
  const left = [];
  let [offset, width] = [index, size];
  while (width > 1n) {
    const middle = split(width);
    const isRight = offset >= middle;
    [offset, width] = isRight ? [offset - middle, width - middle] : [offset, middle];
    left.push(isRight);
  }
  if (left.length !== path.length) return null;
  return path.reduce((hash, sibling) => (left.pop() ? nodeHash(sibling, hash) : nodeHash(hash, sibling)), leaf);
}

/**
 * The root to which leaves, pairs of index and hash in ascending order, and their multiproof lead: the walk from the whole
 * tree down, left part first, takes the next hash for each part without leaves. `null` where the proof does not fit.
 */
export function rootFromLeaves(leaves, size, proof) {
  const ascends = leaves.every(([index], i) => index < size && (i === 0 || leaves[i - 1][0] < index));
  if (leaves.length === 0 || !ascends) return null;
  let used = 0;
  const walk = (low, high, inside) => {
    if (inside.length === 0) {
      used += 1;
      return proof[used - 1] ?? null;
    }
    if (high - low === 1n) return inside[0][1];
    const middle = low + split(high - low);
    const left = walk(low, middle, inside.filter(([index]) => index < middle));
    const right = left && walk(middle, high, inside.filter(([index]) => index >= middle));
    return right && nodeHash(left, right);
  };
  const root = walk(0n, size, leaves);
  return root !== null && used === proof.length ? root : null;
}

export const leadsTo = (found, root) => found !== null && equal(found, root);

/** Whether the tree of the new size begins with the tree of the old one (RFC 6962 section 2.1.2). */
export function isConsistent(oldSize, oldRoot, newSize, newRoot, proof) {
  if (oldSize > newSize) return false;
  if (oldSize === newSize) return proof.length === 0 && equal(oldRoot, newRoot);
  if (oldSize === 0n) return proof.length === 0;
  let [fn, sn] = [oldSize - 1n, newSize - 1n];
  while (fn & 1n) [fn, sn] = [fn >> 1n, sn >> 1n];
  const rest = [...proof];
  // A whole subtree of the old size is not in the proof: its root is the old root itself.
  const first = fn === 0n ? oldRoot : rest.shift();
  if (!first) return false;
  let [fr, sr] = [first, first];
  for (const sibling of rest) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      [fr, sr] = [nodeHash(sibling, fr), nodeHash(sibling, sr)];
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      sr = nodeHash(sr, sibling);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && equal(fr, oldRoot) && equal(sr, newRoot);
}
