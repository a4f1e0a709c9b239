// The link to a record: `#i=<index>&s=<salt>&c=<check>`, all of it after the mark behind which browsers send nothing.
// `c` tells a link that was typed or cut wrongly from one that leads elsewhere; it proves nothing.

import { fromBase64, toBase64, utf8 } from "./verify/bytes.js";
import { sha256 } from "./verify/sha256.js";

const encode = (bytes) => toBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const decode = (letters) => fromBase64(`${letters.replaceAll("-", "+").replaceAll("_", "/")}=`, 32);

/** The first three bytes of SHA-256 over what stands before. */
const check = (text) => encode(sha256(utf8(text)).subarray(0, 3));

/** The fragment that names a record and the salt it was anchored with. */
export function fragmentOf(index, salt) {
  const text = `i=${index}&s=${encode(salt)}`;
  return `#${text}&c=${check(text)}`;
}

/** The record and the salt that a fragment names; `null` where it is none, or not all of one. */
export function readFragment(fragment) {
  const parts = /^#(i=(0|[1-9][0-9]{0,19})&s=([A-Za-z0-9_-]{43}))&c=([A-Za-z0-9_-]{4})$/.exec(fragment);
  if (!parts) return null;
  const [, text, index, letters, said] = parts;
  const salt = decode(letters);
  return salt && said === check(text) ? { index: BigInt(index), salt } : null;
}
