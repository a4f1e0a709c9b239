// Canonical protobuf: one message, one sequence of bytes. What was read is written again and compared.
//
// A schema is a list of fields in ascending number: { number, name, type, ... } where type is "u32", "u64", "enum",
// "bytes", "string" or a schema; `repeated`; `optional` where presence means something; `oneof` where it is one of a
// group, which is always optional.

import { concat, equal, refuse, text, utf8 } from "./bytes.js";

const VARINT = 0;
const LENGTH = 2;
const MASK_64 = (1n << 64n) - 1n;

class Malformed extends Error {}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  get isDone() {
    return this.at >= this.bytes.length;
  }

  varint() {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      if (this.isDone) throw new Malformed();
      const byte = this.bytes[this.at];
      this.at += 1;
      if (shift === 63n && byte > 1) throw new Malformed();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value & MASK_64;
    }
    throw new Malformed();
  }

  span(length) {
    if (length > BigInt(this.bytes.length - this.at)) throw new Malformed();
    const span = this.bytes.subarray(this.at, this.at + Number(length));
    this.at += Number(length);
    return span;
  }

  key() {
    const key = this.varint();
    if (key > 0xffffffffn) throw new Malformed();
    const [number, wire] = [Number(key >> 3n), Number(key & 7n)];
    if (number === 0) throw new Malformed();
    return [number, wire];
  }

  skip(wire, number, depth = 0) {
    if (depth > 100) throw new Malformed();
    if (wire === VARINT) this.varint();
    else if (wire === 1) this.span(8n);
    else if (wire === LENGTH) this.span(this.varint());
    else if (wire === 5) this.span(4n);
    else if (wire === 3) {
      for (;;) {
        const [inner, innerWire] = this.key();
        if (innerWire === 4) {
          if (inner !== number) throw new Malformed();
          return;
        }
        this.skip(innerWire, inner, depth + 1);
      }
    } else throw new Malformed();
  }
}

const isMessage = (type) => Array.isArray(type);
const isNumber = (type) => type === "u32" || type === "u64" || type === "enum" || type === "bool";

function number(type, raw) {
  if (type === "bool") return raw !== 0n;
  if (type === "u64") return raw;
  return Number(raw & 0xffffffffn);
}

function scalar(type, reader) {
  if (type === "string") {
    try {
      return text(reader.span(reader.varint()));
    } catch {
      throw new Malformed();
    }
  }
  return reader.span(reader.varint());
}

function empty(schema) {
  const message = {};
  for (const field of schema) {
    if (field.repeated) message[field.name] = [];
    else if (field.optional || field.oneof || isMessage(field.type)) message[field.name] = undefined;
    else if (field.type === "bytes") message[field.name] = new Uint8Array();
    else if (field.type === "string") message[field.name] = "";
    else message[field.name] = field.type === "u64" ? 0n : field.type === "bool" ? false : 0;
  }
  return message;
}

function read(schema, bytes, message) {
  const reader = new Reader(bytes);
  while (!reader.isDone) {
    const [tag, wire] = reader.key();
    const field = schema.find((candidate) => candidate.number === tag);
    if (!field) {
      if (wire === 4) throw new Malformed();
      reader.skip(wire, tag);
      continue;
    }
    const { name, type, repeated } = field;
    let value;
    if (isNumber(type)) {
      if (repeated && wire === LENGTH) {
        const packed = new Reader(reader.span(reader.varint()));
        while (!packed.isDone) message[name].push(number(type, packed.varint()));
        continue;
      }
      if (wire !== VARINT) throw new Malformed();
      value = number(type, reader.varint());
    } else {
      if (wire !== LENGTH) throw new Malformed();
      value = isMessage(type) ? reader.span(reader.varint()) : scalar(type, reader);
    }
    if (isMessage(type)) {
      value = read(type, value, (!repeated && message[name]) || empty(type));
    }
    if (field.oneof) {
      for (const other of schema) if (other.oneof && other !== field) message[other.name] = undefined;
    }
    if (repeated) message[name].push(value);
    else message[name] = value;
  }
  return message;
}

function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  do {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    bytes.push(rest > 0n ? low | 0x80 : low);
  } while (rest > 0n);
  return Uint8Array.from(bytes);
}

const tagOf = (field, wire) => varint((BigInt(field.number) << 3n) | BigInt(wire));
const delimited = (field, bytes) => concat(tagOf(field, LENGTH), varint(bytes.length), bytes);
const isDefault = (value) => value === "" || value === 0 || value === 0n || value === false || value.length === 0;

function value(field, one) {
  if (isMessage(field.type)) return delimited(field, write(field.type, one));
  if (field.type === "string") return delimited(field, utf8(one));
  if (field.type === "bytes") return delimited(field, one);
  return concat(tagOf(field, VARINT), varint(one === true ? 1n : one === false ? 0n : one));
}

/** The canonical bytes of a message. */
export function write(schema, message) {
  const parts = [];
  for (const field of schema) {
    const content = message[field.name];
    if (field.repeated && isNumber(field.type)) {
      if (content.length > 0) parts.push(delimited(field, concat(...content.map(varint))));
    } else if (field.repeated) {
      for (const one of content) parts.push(value(field, one));
    } else if (content !== undefined && (field.optional || field.oneof || isMessage(field.type) || !isDefault(content))) {
      parts.push(value(field, content));
    }
  }
  return concat(...parts);
}

/** The message in these bytes, in whatever form. */
export function decode(what, schema, bytes, max) {
  if (bytes.length > max) refuse("Decode", `${what} may have ${max} bytes at most, this one has ${bytes.length}`);
  try {
    return read(schema, bytes, empty(schema));
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return refuse("Decode", `these bytes are no ${what}: truncated, or of another type`);
  }
}

/** Refuses bytes that are not the one form of this message. */
export function requireCanonical(what, schema, bytes, message) {
  if (!equal(write(schema, message), bytes)) {
    refuse("Decode", `${what} is not in canonical form: unknown field, explicit default, wrong order or trailing bytes`);
  }
}
