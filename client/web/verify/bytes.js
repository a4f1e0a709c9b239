// Bytes, their texts, and the one error of this verifier.

/** Why something is no receipt or does not prove what it should; `code` is the reason's name in the shared vectors. */
export class Refusal extends Error {
  constructor(code, message, { unknownVersion = false } = {}) {
    super(message);
    this.name = "Refusal";
    this.code = code;
    /** A later release wrote it: nothing can be said, neither good nor bad. */
    this.unknownVersion = unknownVersion;
  }
}

export function refuse(code, message, more) {
  throw new Refusal(code, message, more);
}

const encoder = new TextEncoder();

export const utf8 = (text) => encoder.encode(text);

/** The text of these bytes; throws where they are not UTF-8. A byte order mark stays. */
export const text = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

export function concat(...parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function equal(a, b) {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** Below zero, zero or above, as byte strings are ordered. */
export function compare(a, b) {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i += 1) {
    if (a[i] !== b[i]) return a[i] - b[i];
  }
  return a.length - b.length;
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function fromHex(digits) {
  if (!/^([0-9a-f]{2})*$/.test(digits)) throw new TypeError("no hex digits");
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function u64(number) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, number);
  return bytes;
}

export function toBase64(bytes) {
  let binary = "";
  for (let at = 0; at < bytes.length; at += 4096) binary += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return btoa(binary);
}

/**
 * The bytes of canonical base64 (RFC 4648 section 4: standard alphabet, padded, unused bits zero), `max` at most;
 * `null` where it is not.
 */
export function fromBase64(encoded, max) {
  if (Math.ceil(encoded.length / 4) > Math.ceil(max / 3) || !/^[A-Za-z0-9+/]*={0,2}$/.test(encoded)) return null;
  if (encoded.length % 4 !== 0) return null;
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
  return bytes.length <= max && toBase64(bytes) === encoded ? bytes : null;
}
