// Signed checkpoints: C2SP signed-note, tlog-checkpoint and tlog-cosignature.

import { concat, equal, fromBase64, refuse, utf8 } from "./bytes.js";
import { verify } from "./key.js";
import { sha256 } from "./sha256.js";

const NOTE_MAX = 64 * 1024;
const SIGNATURES_MAX = 256;
const NAME_MAX = 256;
const COSIGNATURE = 0x04;
const TIME_MAX = (1n << 63n) - 1n;

const require = (holds, message) => holds || refuse("Checkpoint", message);

function parseLine(line, number) {
  const parts = /^\u2014 ([^ ]+) ([^ ]*)$/.exec(line);
  require(parts, `signature line ${number} is not of the form \u2014 name base64`);
  const [, name, encoded] = parts;
  const good = utf8(name).length <= NAME_MAX && !/[\s\u0085+\p{Cc}]/u.test(name);
  require(good, `signature line ${number}: this is no name of a key`);
  const bytes = fromBase64(encoded, NOTE_MAX);
  require(bytes && bytes.length > 4, `signature line ${number} is not of the form \u2014 name base64`);
  return { name, keyHash: bytes.subarray(0, 4), signature: bytes.subarray(4) };
}

/** Text and signature lines of a note whose text is a plain checkpoint. */
export function parseCheckpoint(note) {
  require(utf8(note).length <= NOTE_MAX, `the note has more than ${NOTE_MAX} bytes`);
  require(!/[\u0000-\u0009\u000b-\u001f]/.test(note), "the note contains a control character");
  require(note.endsWith("\n"), "the note does not end in a newline");
  const blank = note.lastIndexOf("\n\n");
  require(blank >= 0, "the note has no blank line before its signatures");
  const text = note.slice(0, blank + 1);
  const lines = note.slice(blank + 2).split("\n");
  lines.pop();
  require(lines.length > 0, "the note has no signature");
  require(lines.length <= SIGNATURES_MAX, `the note has more than ${SIGNATURES_MAX} signatures`);
  const signatures = lines.map((line, i) => parseLine(line, i + 1));

  const parts = text.slice(0, -1).split("\n");
  require(parts.length >= 3, "a checkpoint has three lines: origin, size and root, each ended by a newline");
  require(parts.length === 3, "the checkpoint has extension lines, which this ledger does not use");
  const [origin, digits, encoded] = parts;
  const named = origin !== "" && utf8(origin).length <= 256 && !/\p{Cc}/u.test(origin);
  require(named, "the origin of a checkpoint has 1 to 256 bytes and no control characters");
  const isSize = /^(0|[1-9][0-9]{0,19})$/.test(digits) && BigInt(digits) < 1n << 64n;
  require(isSize, "the size of a checkpoint is a decimal number below 2^64 without leading zeros");
  const root = fromBase64(encoded, 32);
  require(root?.length === 32, "the root of a checkpoint is no hash in base64");
  return { text, origin, size: BigInt(digits), root, signatures };
}

/** The verifier keys under which the authorities of a set cosign. */
export function cosignersOf(set, origin) {
  return set.authorities.map(({ id, cosignerKey }) => {
    const name = `${origin}/${id}`;
    const keyHash = sha256(utf8(name), utf8("\n"), Uint8Array.of(COSIGNATURE), cosignerKey).subarray(0, 4);
    return { name, keyHash, key: cosignerKey };
  });
}

const isBy = (line, cosigner) => line.name === cosigner.name && equal(line.keyHash, cosigner.keyHash);

/** The first line that none of these made, or says it made. */
export const stranger = (checkpoint, cosigners) =>
  checkpoint.signatures.find((line) => !cosigners.some((cosigner) => isBy(line, cosigner)));

async function timeOf(line, cosigner, text) {
  const refused = (why) => refuse("Checkpoint", `the cosignature of ${cosigner.name} is refused: ${why}`);
  if (line.signature.length !== 72) refused(`a cosignature has 72 bytes, this one has ${line.signature.length}`);
  const { buffer, byteOffset } = line.signature;
  const time = new DataView(buffer, byteOffset, 8).getBigUint64(0);
  if (time < 1n || time > TIME_MAX) refused("its time is none");
  const message = concat(utf8(`cosignature/v1\ntime ${time}\n`), utf8(text));
  const good = await verify(cosigner.key, message, line.signature.subarray(8));
  return good ? time : refused("it was not made by this key for this checkpoint and time");
}

/** Who cosigned, by number, and the as-of time: the smallest of the q latest times, in seconds. */
export async function countCosignatures(checkpoint, cosigners, quorum) {
  const latest = new Map();
  for (const line of checkpoint.signatures) {
    const number = cosigners.findIndex((cosigner) => isBy(line, cosigner));
    if (number < 0) continue;
    const time = await timeOf(line, cosigners[number], checkpoint.text);
    const before = latest.get(number);
    if (before === undefined || time > before) latest.set(number, time);
  }
  const times = [...latest.values()].sort((a, b) => (a < b ? 1 : a > b ? -1 : 0));
  require(times.length >= quorum, `the checkpoint has cosignatures of ${times.length} known authorities, it needs ${quorum}`);
  return { asOf: times[quorum - 1], signers: [...latest.keys()].sort((a, b) => a - b) };
}
