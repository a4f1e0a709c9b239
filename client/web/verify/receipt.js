// The receipt file `<document>.markstein.json`, read into its parts. Nothing is proven by that.

import { equal, fromBase64, refuse, text } from "./bytes.js";
import { parseJson } from "./json.js";
import { leafHash, nodeHash } from "./log.js";

/** Longest receipt file, in bytes. */
export const RECEIPT_MAX = 4 * 1024 * 1024;

const FORMAT = "markstein-receipt/v1";
const LEAF_MAX = 16 * 1024;
const SET_MAX = 64 * 1024;
const CHANGES_MAX = 32;
const HANDOVERS_MAX = 1000;
const HASHES_MAX = (5 + 3 * CHANGES_MAX) * 64;
const STATUS_HASHES_MAX = 2 * 57;
const U64_MAX = (1n << 64n) - 1n;

const malformed = (what) => refuse("Malformed", `this is not a Markstein receipt: ${what}`);

/** The entries of an object: all of `required`, none beside those and `optional`. */
function entries(value, required, optional = []) {
  if (!(value instanceof Map)) malformed("a part is no object");
  for (const name of value.keys()) {
    if (!required.includes(name) && !optional.includes(name)) malformed(`unknown entry ${name.slice(0, 64)}`);
  }
  for (const name of required) if (!value.has(name)) malformed(`${name} is missing`);
  return Object.fromEntries(value);
}

function string(value) {
  return typeof value === "string" ? value : malformed("an entry is no text");
}

function number(value) {
  return typeof value === "bigint" && value <= U64_MAX ? value : malformed("an index is no whole number below 2^64");
}

function list(value, max, min = 0) {
  if (!Array.isArray(value)) malformed("an entry is no list");
  if (value.length > max) malformed("more parts than a receipt can have");
  return value.length >= min ? value : malformed("what is empty is left out");
}

function bytes(field, value, max) {
  return fromBase64(value, max) ?? refuse("Base64", `${field} of the receipt: this is not canonical base64, or too long`);
}

function fixed(field, value, length) {
  const found = bytes(field, value, length);
  return found.length === length ? found : refuse("Length", `${field} of the receipt has a wrong length`);
}

function hashes(field, value) {
  const all = bytes(field, value, HASHES_MAX * 32);
  if (all.length % 32 !== 0) refuse("Length", `${field} of the receipt has a wrong length`);
  return Array.from({ length: all.length / 32 }, (_, i) => all.subarray(i * 32, i * 32 + 32));
}

/** A status proof: `ff` before each hash, and one byte for the root of 2^level zero chunks, which is never given as a hash. */
function statusProof(field, value) {
  const all = bytes(field, value, STATUS_HASHES_MAX * 33);
  const wrong = () => refuse("Length", `${field} of the receipt has a wrong length`);
  const found = [];
  for (let at = 0; at < all.length; found.length > STATUS_HASHES_MAX && wrong()) {
    if (all[at] === 0xff) {
      const hash = all.subarray(at + 1, at + 33);
      if (hash.length !== 32 || zeroRoots().some((root) => equal(root, hash))) wrong();
      found.push(hash);
      at += 33;
    } else {
      found.push(zeroRoots()[all[at]] ?? wrong());
      at += 1;
    }
  }
  return found;
}

let roots;

/** The roots of 2^level zero chunks, by level. */
function zeroRoots() {
  if (!roots) {
    roots = [leafHash(new Uint8Array(32))];
    while (roots.length <= 57) roots.push(nodeHash(roots.at(-1), roots.at(-1)));
  }
  return roots;
}

const LEAF = ["index", "leaf"];
const CHANGE = ["record", "batch_head", "header"];
const HANDOVER = ["header", "proof", "checkpoint", "authorities"];

/** Checks the form of a leaf's entry before anything in it is decoded. */
function leafForm(value) {
  const { index, leaf } = entries(value, LEAF);
  return { index: number(index), leaf: string(leaf) };
}

const leaf = (field, { index, leaf: encoded }) => ({ index, bytes: bytes(field, encoded, LEAF_MAX) });

/** The parts of a receipt file, given as bytes. */
export function parseReceipt(file) {
  if (file.length > RECEIPT_MAX) refuse("TooLong", `a receipt has ${RECEIPT_MAX} bytes at most, this one has ${file.length}`);
  let source;
  try {
    source = text(file);
  } catch {
    malformed("it is not UTF-8 text");
  }
  const whole = parseJson(source);
  if (!(whole instanceof Map)) malformed("it is no object");
  const format = string(whole.get("format"));
  if (format !== FORMAT) {
    const message = `this receipt has the format ${format.slice(0, 64)}, this page knows ${FORMAT}`;
    refuse("UnknownFormat", message, { unknownVersion: true });
  }

  const required = ["format", "record", "batch_head", "batch_path", "grant", "header", "latest_header", "proof"];
  const file_ = entries(whole, [...required, "status", "checkpoint"], ["salt", "handovers"]);
  const status = entries(file_.status, ["chunks", "proof"], ["changes"]);
  const forms = {
    salt: file_.salt === undefined ? undefined : string(file_.salt),
    record: leafForm(file_.record),
    batchHead: leafForm(file_.batch_head),
    batchPath: string(file_.batch_path),
    grant: leafForm(file_.grant),
    header: leafForm(file_.header),
    latestHeader: leafForm(file_.latest_header),
    proof: string(file_.proof),
    chunks: list(status.chunks, 2).map((chunk) => {
      const { index, bits } = entries(chunk, ["index", "bits"]);
      return { index: number(index), bits: string(bits) };
    }),
    statusProof: string(status.proof),
    changes: status.changes === undefined ? [] : list(status.changes, CHANGES_MAX, 1).map((change) => {
      const { record, batch_head: head, header } = entries(change, CHANGE);
      return { record: leafForm(record), batchHead: leafForm(head), header: leafForm(header) };
    }),
    checkpoint: string(file_.checkpoint),
    handovers: file_.handovers === undefined ? [] : list(file_.handovers, HANDOVERS_MAX, 1).map((handover) => {
      const { header, proof, checkpoint, authorities } = entries(handover, HANDOVER);
      return { header: leafForm(header), proof: string(proof), checkpoint: string(checkpoint), authorities: string(authorities) };
    }),
  };
  return {
    salt: forms.salt === undefined ? null : fixed("salt", forms.salt, 32),
    record: leaf("record", forms.record),
    batchHead: leaf("batch head", forms.batchHead),
    batchPath: hashes("batch path", forms.batchPath),
    grant: leaf("grant", forms.grant),
    header: leaf("header", forms.header),
    latestHeader: leaf("latest header", forms.latestHeader),
    proof: hashes("proof", forms.proof),
    status: {
      chunks: forms.chunks.map(({ index, bits }) => ({ index, bits: fixed("status chunk", bits, 32) })),
      proof: statusProof("status proof", forms.statusProof),
    },
    changes: forms.changes.map((change) => ({
      record: leaf("status change", change.record),
      batchHead: leaf("batch head of a status change", change.batchHead),
      header: leaf("header of a status change", change.header),
    })),
    checkpoint: forms.checkpoint,
    handovers: forms.handovers.map((handover) => ({
      header: leaf("header of a handover", handover.header),
      proof: hashes("proof of a handover", handover.proof),
      checkpoint: handover.checkpoint,
      next: bytes("authorities of a handover", handover.authorities, SET_MAX),
    })),
  };
}
