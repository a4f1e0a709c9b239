// Ed25519 (RFC 8032) as strictly as the ledger checks it: canonical keys of large order, no points of small order in
// signatures. WebCrypto does the arithmetic of the signature itself, without cofactor, and refuses S of L or more.

import { fromHex, utf8 } from "./bytes.js";
import { sha256 } from "./sha256.js";

const P = 2n ** 255n - 19n;
const KEY_ID = utf8("markstein/v1/key-id\0");

const mod = (n) => ((n % P) + P) % P;

function power(base, exponent) {
  let result = 1n;
  let square = base % P;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % P;
    square = (square * square) % P;
  }
  return result;
}

const inverse = (n) => power(n, P - 2n);
const D = (((P - 121665n) * inverse(121666n)) % P + P) % P;

/** The number whose 255 low bits these 32 bytes are, little endian. */
function coordinate(bytes) {
  let y = 0n;
  for (let i = 31; i >= 0; i -= 1) y = (y << 8n) | BigInt(i === 31 ? bytes[i] & 0x7f : bytes[i]);
  return y;
}

/** y of a point of order eight; the others have -y, or x of the other sign. */
const Y_OF_ORDER_8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n;
/** y of the eight points of small order. */
const SMALL_Y = [0n, 1n, P - 1n, Y_OF_ORDER_8, P - Y_OF_ORDER_8];

/** Whether there is a point with this y (RFC 8032 section 5.1.3). */
function isOnCurve(y) {
  const u = mod(y * y - 1n);
  const v = mod(D * y * y + 1n);
  const v3 = mod(v * v * v);
  const x = mod(u * v3 * power(mod(u * v3 * v3 * v), (P - 5n) / 8n));
  const square = mod(v * x * x);
  return square === u || square === mod(-u);
}

/** "point" where the bytes encode none canonically, "weak" where it is of small order, `null` where it is good. */
function fault(bytes) {
  const y = coordinate(bytes);
  if (!isOnCurve(y % P)) return "point";
  if (SMALL_Y.includes(y % P)) return "weak";
  return y >= P ? "point" : null; // it stands for a smaller one
}

const known = new Map();

/** Why these 32 bytes are no key, `null` where they are one. */
export function keyFault(bytes) {
  if (bytes.length !== 32) return "length";
  const name = String.fromCharCode(...bytes);
  if (!known.has(name)) {
    if (known.size > 1000) known.clear();
    known.set(name, fault(bytes));
  }
  return known.get(name);
}

/** The first 16 bytes of SHA-256 over tag and key. */
export const keyId = (key) => sha256(KEY_ID, key).subarray(0, 16);

/** Whether the first half of a signature is a point of small order, under any of its encodings. */
function isWeakPoint(bytes) {
  const y = coordinate(bytes) % P;
  return SMALL_Y.includes(y);
}

/** Whether `signature` is that of `key`, which `keyFault` lets pass, on `message`. */
export async function verify(key, message, signature) {
  if (signature.length !== 64 || isWeakPoint(signature.subarray(0, 32))) return false;
  try {
    const handle = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    return await crypto.subtle.verify("Ed25519", handle, signature, message);
  } catch (error) {
    if (error instanceof DOMException && error.name === "NotSupportedError") throw error;
    return false;
  }
}

/** The public key of RFC 8032 section 7.1, test 1. */
const TEST_KEY = fromHex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");

/** What `verify` needs and this browser lacks: "https", "webcrypto" or "ed25519"; `null` where all is there. */
export async function lacking() {
  if (!globalThis.crypto?.subtle) return globalThis.isSecureContext ? "webcrypto" : "https";
  try {
    await crypto.subtle.importKey("raw", TEST_KEY, "Ed25519", false, ["verify"]);
    return null;
  } catch {
    return "ed25519";
  }
}

