// Hashes a document off the main thread, piece by piece. It is read from the disk and goes nowhere.

import { Sha256 } from "./verify/sha256.js";

const PIECE = 4 * 1024 * 1024;

/** What was asked for last; anything before it is left where it is. */
let newest = 0;

self.onmessage = async ({ data: { id, file } }) => {
  newest = id;
  if (!file) return;
  try {
    const hash = new Sha256();
    for (let at = 0; at < file.size; at += PIECE) {
      const piece = await file.slice(at, at + PIECE).arrayBuffer();
      if (id !== newest) return;
      hash.update(new Uint8Array(piece));
      self.postMessage({ id, done: Math.min(at + PIECE, file.size) / file.size });
    }
    self.postMessage({ id, digest: hash.digest() });
  } catch (error) {
    self.postMessage({ id, failed: String(error?.name ?? error) });
  }
};
