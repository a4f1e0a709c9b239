// QR codes (ISO/IEC 18004) of a text as bytes, error correction level M, in the smallest version that holds it.

import { utf8 } from "./verify/bytes.js";

/** Codewords for error correction in each block, by version. */
const CORRECTION = [
  10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26,
  26, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28, 28,
];
/** Blocks, by version. */
const BLOCKS = [
  1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16,
  17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49,
];

/** Modules that are left for codewords: all but those of the patterns, of the format and of the version. */
function room(version) {
  const side = version * 4 + 17;
  const centres = version === 1 ? 0 : Math.floor(version / 7) + 2;
  const finders = 3 * 64;
  const timing = 2 * (side - 16);
  const format = 31;
  const alignment = centres === 0 ? 0 : (centres * centres - 3) * 25 - (centres - 2) * 10;
  return side * side - finders - timing - format - alignment - (version >= 7 ? 36 : 0);
}

/** Codewords of a version, and those of them that carry data. */
function capacity(version) {
  const all = Math.floor(room(version) / 8);
  return { all, data: all - CORRECTION[version - 1] * BLOCKS[version - 1] };
}

// -- Codewords

/** Product in GF(2^8) modulo x^8 + x^4 + x^3 + x^2 + 1. */
function product(a, b) {
  let result = 0;
  for (let bit = 7; bit >= 0; bit -= 1) {
    result = (result << 1) ^ ((result >> 7) * 0x11d);
    result ^= ((b >> bit) & 1) * a;
  }
  return result;
}

/** The factors of the generator polynomial, without the first, which is 1. */
function generator(degree) {
  const factors = new Array(degree).fill(0);
  factors[degree - 1] = 1;
  let root = 1;
  for (let i = 0; i < degree; i += 1) {
    for (let j = 0; j < degree; j += 1) factors[j] = product(factors[j], root) ^ (factors[j + 1] ?? 0);
    root = product(root, 2);
  }
  return factors;
}

function correction(data, factors) {
  const rest = new Array(factors.length).fill(0);
  for (const byte of data) {
    const first = byte ^ rest.shift();
    rest.push(0);
    factors.forEach((factor, i) => {
      rest[i] ^= product(factor, first);
    });
  }
  return rest;
}

/** Mode, length, bytes, end and filling. */
function dataWords(bytes, version) {
  const bits = [];
  const put = (value, count) => {
    for (let bit = count - 1; bit >= 0; bit -= 1) bits.push((value >> bit) & 1);
  };
  const total = capacity(version).data * 8;
  put(0b0100, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  put(0, Math.min(4, total - bits.length));
  put(0, (8 - (bits.length % 8)) % 8);
  for (let filling = 0xec; bits.length < total; filling ^= 0xec ^ 0x11) put(filling, 8);
  return Array.from({ length: total / 8 }, (_, i) => Number.parseInt(bits.slice(i * 8, i * 8 + 8).join(""), 2));
}

/** All codewords in the order in which they are drawn: of each block the first, the second, and so on. */
function codewords(bytes, version) {
  const data = dataWords(bytes, version);
  const count = BLOCKS[version - 1];
  const short = Math.floor(data.length / count);
  const longer = data.length % count;
  const factors = generator(CORRECTION[version - 1]);
  let at = 0;
  const blocks = Array.from({ length: count }, (_, i) => {
    const own = data.slice(at, at + short + (i < count - longer ? 0 : 1));
    at += own.length;
    return { own, check: correction(own, factors) };
  });
  const interleave = (parts) => {
    const longest = Math.max(...parts.map((part) => part.length));
    const rows = Array.from({ length: longest }, (_, i) => parts.filter((part) => i < part.length).map((part) => part[i]));
    return rows.flat();
  };
  return [...interleave(blocks.map(({ own }) => own)), ...interleave(blocks.map(({ check }) => check))];
}

// -- Modules: `dark` and `fixed` are square, row by row; what is fixed belongs to a pattern

function square(side, value) {
  return Array.from({ length: side }, () => new Array(side).fill(value));
}

/** Where the centres of alignment patterns lie, along both sides. */
function centresOf(version) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + count * 3 + 5) / (count * 4 - 4)) * 2;
  const last = version * 4 + 10;
  return [6, ...Array.from({ length: count - 1 }, (_, i) => last - step * (count - 2 - i))];
}

function drawPatterns(version) {
  const side = version * 4 + 17;
  const [dark, fixed] = [square(side, false), square(side, false)];
  const set = (row, column, value) => {
    if (row < 0 || column < 0 || row >= side || column >= side) return;
    dark[row][column] = value;
    fixed[row][column] = true;
  };
  for (let i = 0; i < side; i += 1) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  const rings = (row, column, reach, isDark) => {
    for (let down = -reach; down <= reach; down += 1) {
      for (let right = -reach; right <= reach; right += 1) {
        set(row + down, column + right, isDark(Math.max(Math.abs(down), Math.abs(right))));
      }
    }
  };
  for (const [row, column] of [[3, 3], [3, side - 4], [side - 4, 3]]) {
    rings(row, column, 4, (ring) => ring !== 2 && ring !== 4);
  }
  const centres = centresOf(version);
  const end = side - 7;
  for (const row of centres) {
    for (const column of centres) {
      const isFinder = (row === 6 && (column === 6 || column === end)) || (row === end && column === 6);
      if (!isFinder) rings(row, column, 2, (ring) => ring !== 1);
    }
  }
  drawFormat(set, side, 0); // the place is taken, and filled in once the mask is known
  if (version >= 7) drawVersion(set, version, side);
  return { dark, fixed };
}

/** Level M and a mask, with their code, XOR what the standard wants so that they are never all light. */
function formatBits(mask) {
  let rest = mask; // the bits of level M are 00
  for (let i = 0; i < 10; i += 1) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  return ((mask << 10) | rest) ^ 0x5412;
}

function drawFormat(set, side, mask) {
  const bits = formatBits(mask);
  const put = (row, column, i) => set(row, column, ((bits >> i) & 1) === 1);
  for (let i = 0; i < 15; i += 1) {
    if (i < 6) put(i, 8, i);
    else if (i < 8) put(i + 1, 8, i);
    else if (i === 8) put(8, 7, i);
    else put(8, 14 - i, i);
    if (i < 8) put(8, side - 1 - i, i);
    else put(side - 15 + i, 8, i);
  }
  set(side - 8, 8, true);
}

function drawVersion(set, version, side) {
  let rest = version;
  for (let i = 0; i < 12; i += 1) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
  const bits = (version << 12) | rest;
  for (let i = 0; i < 18; i += 1) {
    const value = ((bits >> i) & 1) === 1;
    const [far, near] = [side - 11 + (i % 3), Math.floor(i / 3)];
    set(near, far, value);
    set(far, near, value);
  }
}

/** Draws codewords upwards and downwards in columns of two, from the right. */
function drawWords(dark, fixed, words) {
  const side = dark.length;
  let bit = 0;
  for (let right = side - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5; // the column of the timing pattern
    const upwards = ((right + 1) & 2) === 0;
    for (let i = 0; i < side; i += 1) {
      const row = upwards ? side - 1 - i : i;
      for (const column of [right, right - 1]) {
        if (fixed[row][column]) continue;
        if (bit < words.length * 8) dark[row][column] = ((words[bit >> 3] >> (7 - (bit & 7))) & 1) === 1;
        bit += 1;
      }
    }
  }
}

const MASKS = [
  (i, j) => (i + j) % 2 === 0,
  (i) => i % 2 === 0,
  (_, j) => j % 3 === 0,
  (i, j) => (i + j) % 3 === 0,
  (i, j) => (Math.floor(i / 2) + Math.floor(j / 3)) % 2 === 0,
  (i, j) => ((i * j) % 2) + ((i * j) % 3) === 0,
  (i, j) => (((i * j) % 2) + ((i * j) % 3)) % 2 === 0,
  (i, j) => (((i + j) % 2) + ((i * j) % 3)) % 2 === 0,
];

function masked({ dark, fixed }, mask) {
  const result = dark.map((row, i) => row.map((value, j) => (fixed[i][j] ? value : value !== MASKS[mask](i, j))));
  const set = (row, column, value) => {
    result[row][column] = value;
  };
  drawFormat(set, dark.length, mask);
  return result;
}

/** How hard a code is to read: long runs, squares, what looks like a finder, and too much of one colour. */
function penalty(dark) {
  const side = dark.length;
  const lines = [...dark, ...dark[0].map((_, j) => dark.map((row) => row[j]))];
  let sum = 0;
  for (const line of lines) {
    const marks = line.map((value) => (value ? "1" : "0")).join("");
    for (const run of marks.match(/0+|1+/g)) if (run.length >= 5) sum += run.length - 2;
    sum += 40 * (marks.match(/(?=10111010000|00001011101)/g) ?? []).length;
  }
  for (let i = 0; i + 1 < side; i += 1) {
    for (let j = 0; j + 1 < side; j += 1) {
      const first = dark[i][j];
      if (first === dark[i][j + 1] && first === dark[i + 1][j] && first === dark[i + 1][j + 1]) sum += 3;
    }
  }
  const share = dark.flat().filter(Boolean).length / (side * side);
  return sum + 10 * Math.floor(Math.abs(share * 100 - 50) / 5);
}

/**
 * The modules of a code, row by row, `true` where they are dark, without the quiet zone of four modules around them;
 * `null` where the text is too long for any. Without `mask`, 0 to 7, the one is taken that reads best.
 */
export function qrCode(text, mask = null) {
  const bytes = utf8(text);
  let version = 1;
  while (version <= 40 && 4 + (version < 10 ? 8 : 16) + bytes.length * 8 > capacity(version).data * 8) version += 1;
  if (version > 40) return null;
  const drawn = drawPatterns(version);
  drawWords(drawn.dark, drawn.fixed, codewords(bytes, version));
  if (mask !== null) return masked(drawn, mask);
  const all = MASKS.map((_, number) => masked(drawn, number));
  return all.reduce((best, code) => (penalty(code) < penalty(best) ? code : best));
}
