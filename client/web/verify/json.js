// JSON as strictly as a receipt needs it: whole numbers of any size, no entry twice, no half characters. `JSON.parse` rounds
// the first, takes the last of the second and lets the third pass.

import { refuse } from "./bytes.js";

const DEPTH_MAX = 127;
const malformed = (at, what) => refuse("Malformed", `this is not a Markstein receipt: ${what} at character ${at + 1}`);

/** A number that is not a whole one from zero up. */
export class OtherNumber {
  constructor(digits) {
    this.digits = digits;
  }
}

/** The value in a text: objects are `Map`s, whole numbers `BigInt`s. */
export function parseJson(source) {
  let at = 0;

  const blank = () => {
    while (at < source.length && " \t\n\r".includes(source[at])) at += 1;
  };
  const expect = (wanted) => {
    if (!source.startsWith(wanted, at)) malformed(at, `${wanted} is missing`);
    at += wanted.length;
  };
  const string = () => {
    const begin = at;
    expect('"');
    let end = at;
    while (end < source.length && source[end] !== '"') {
      if (source.charCodeAt(end) < 0x20) malformed(end, "a control character");
      end += source[end] === "\\" ? 2 : 1;
    }
    at = end + 1;
    let value;
    try {
      value = JSON.parse(source.slice(begin, at));
    } catch {
      malformed(begin, "no text");
    }
    if (/\p{Cs}/u.test(value)) malformed(begin, "half a character");
    return value;
  };
  const number = () => {
    const [digits] = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/.exec(source.slice(at, at + 64)) ?? [];
    if (!digits) malformed(at, "no value");
    at += digits.length;
    return /^[0-9]+$/.test(digits) ? BigInt(digits) : new OtherNumber(digits);
  };
  const list = (depth) => {
    const items = [];
    expect("[");
    blank();
    if (source[at] === "]") {
      at += 1;
      return items;
    }
    for (;;) {
      items.push(value(depth + 1));
      blank();
      if (source[at] === "]") {
        at += 1;
        return items;
      }
      expect(",");
    }
  };
  const object = (depth) => {
    const entries = new Map();
    expect("{");
    blank();
    if (source[at] === "}") {
      at += 1;
      return entries;
    }
    for (;;) {
      blank();
      const name = string();
      if (entries.has(name)) malformed(at, `${name.slice(0, 64)} stands there twice`);
      blank();
      expect(":");
      entries.set(name, value(depth + 1));
      blank();
      if (source[at] === "}") {
        at += 1;
        return entries;
      }
      expect(",");
    }
  };
  function value(depth) {
    if (depth > DEPTH_MAX) malformed(at, "too many brackets");
    blank();
    const first = source[at];
    if (first === "{") return object(depth);
    if (first === "[") return list(depth);
    if (first === '"') return string();
    for (const [word, meaning] of [["true", true], ["false", false], ["null", null]]) {
      if (source.startsWith(word, at)) {
        at += word.length;
        return meaning;
      }
    }
    return number();
  }

  const whole = value(1);
  blank();
  return at === source.length ? whole : malformed(at, "something after the end");
}
