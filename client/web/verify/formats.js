// The messages of the ledger: leaves, authority sets and the genesis, each checked as it is read.

import { compare, concat, refuse, utf8 } from "./bytes.js";
import { keyFault } from "./key.js";
import { decode, requireCanonical, write } from "./protobuf.js";
import { sha256 } from "./sha256.js";

const LEAF_MAX = 16 * 1024;
const AUTHORITY_SET_MAX = 64 * 1024;
/** Longest genesis, in bytes. */
export const GENESIS_MAX = 512 * 1024;
const U64_MAX = (1n << 64n) - 1n;

const TAGS = {
  batch: utf8("markstein/v1/batch-signature\0"),
  commitment: utf8("markstein/v1/commitment\0"),
  ledger: utf8("markstein/v1/ledger-id\0"),
  set: utf8("markstein/v1/authority-set\0"),
};

const field = (number, name, type, more = {}) => ({ number, name, type, ...more });
const optional = { optional: true };
const repeated = { repeated: true };
const oneof = { oneof: true };

const SIGNATURE = [field(1, "keyId", "bytes"), field(2, "signature", "bytes")];
const ISSUER_AUTHOR = [field(1, "issuerId", "string"), field(2, "keyId", "bytes")];
const BATCH_HEAD = [
  field(1, "version", "u32"),
  field(2, "ledgerId", "bytes"),
  field(3, "createdAt", "u64"),
  field(4, "recordCount", "u32"),
  field(5, "recordsRoot", "bytes"),
  field(6, "signatures", SIGNATURE, repeated),
  field(7, "issuer", ISSUER_AUTHOR, oneof),
  field(8, "genesis", [], oneof),
];
const ANCHOR = [
  field(1, "commitment", "bytes"),
  field(2, "public", "bool"),
  field(3, "documentType", "u32"),
  field(4, "validUntil", "u64", optional),
  field(5, "supersedes", "u64", optional),
];
const ISSUER_KEY = [
  field(1, "publicKey", "bytes"),
  field(2, "notBefore", "u64"),
  field(3, "notAfter", "u64", optional),
];
const ISSUER_GRANT = [
  field(1, "issuerId", "string"),
  field(2, "name", "string"),
  field(3, "keys", ISSUER_KEY, repeated),
  field(4, "documentTypes", "u32", repeated),
];
const STATUS_CHANGE = [
  field(1, "target", "u64"),
  field(2, "from", "enum"),
  field(3, "to", "enum"),
  field(4, "reason", "enum"),
];
const RECORD = [
  field(1, "version", "u32"),
  field(2, "anchor", ANCHOR, oneof),
  field(3, "issuerGrant", ISSUER_GRANT, oneof),
  field(4, "statusChange", STATUS_CHANGE, oneof),
];
const HEADER = [
  field(1, "version", "u32"),
  field(2, "epoch", "u64"),
  field(3, "height", "u64"),
  field(4, "view", "u64"),
  field(5, "parent", "bytes"),
  field(6, "time", "u64"),
  field(7, "proposer", "u32"),
  field(8, "firstIndex", "u64"),
  field(9, "sizeBefore", "u64"),
  field(10, "rootBefore", "bytes"),
  field(11, "statusRoot", "bytes"),
  field(12, "authoritySet", "bytes"),
];
const LEAF = [
  field(1, "batchHead", BATCH_HEAD, oneof),
  field(2, "record", RECORD, oneof),
  field(3, "header", HEADER, oneof),
];
const AUTHORITY = [
  field(1, "id", "string"),
  field(2, "name", "string"),
  field(3, "consensusKey", "bytes"),
  field(4, "cosignerKey", "bytes"),
  field(5, "logKey", "bytes"),
  field(6, "governanceKey", "bytes"),
  field(7, "networkKey", "bytes"),
];
const AUTHORITY_SET = [field(1, "epoch", "u64"), field(2, "authorities", AUTHORITY, repeated)];
const DOCUMENT_TYPE = [field(1, "code", "u32"), field(2, "name", "string")];
const PARAMETERS = [field(1, "documentTypes", DOCUMENT_TYPE, repeated), field(2, "recosignInterval", "u64")];
const GENESIS = [
  field(1, "version", "u32"),
  field(2, "origin", "string"),
  field(3, "nonce", "bytes"),
  field(4, "time", "u64"),
  field(5, "authorities", AUTHORITY, repeated),
  field(6, "grants", ISSUER_GRANT, repeated),
  field(7, "parameters", PARAMETERS),
];

/** Names of the four statuses, by their bits. */
export const STATUSES = ["valid", "revoked", "suspended", "superseded"];
/** Names of the reasons, by their codes. */
export const REASONS = [
  null,
  "issued-in-error",
  "unlawful",
  "conditions-not-met",
  "holder-request",
  "court-order",
  "appeal",
  "under-review",
  "resolved",
  "other",
];
/** Which status may become which by a status change. */
const MAY_CHANGE = { 0: [2, 1], 2: [0, 1] };

function require(holds, message) {
  if (!holds) refuse("Decode", message);
}

const requireLength = (what, bytes, length) =>
  require(bytes.length === length, `${what} has ${length} bytes, this one has ${bytes.length}`);

const requireCount = (what, count, min, max) =>
  require(count >= min && count <= max, `${what}: ${count} elements, allowed are ${min} to ${max}`);

function requireVersion(what, found) {
  if (found !== 1) {
    const message = `${what} has format version ${found}, this page knows version 1`;
    refuse("Decode", message, { unknownVersion: true });
  }
}

function requireAscending(what, items, order) {
  const ascends = items.every((item, i) => i === 0 || order(items[i - 1], item) < 0);
  require(ascends, `${what}: must be in ascending order without repetition`);
}

const requireSlug = (what, slug) =>
  require(/^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$/.test(slug), `${what}: must have 1 to 64 of a-z, 0-9, '.' and '-'`);

function requireKey(what, key) {
  const fault = keyFault(key);
  require(fault === null, `${what}: ${fault === "weak" ? "a weak key" : "no canonical Ed25519 key"}`);
}

/** What could make a text show other than it is. */
const DECEPTIVE =
  /[\p{Cc}\u{AD}\u{61C}\u{180E}\u{200B}-\u{200F}\u{2028}-\u{202E}\u{2060}-\u{206F}\u{FEFF}\u{FFF9}-\u{FFFB}\u{E0000}-\u{E007F}]/u;

function requireName(what, name) {
  const length = utf8(name).length;
  const good = length >= 1 && length <= 200 && name.trim() === name && !DECEPTIVE.test(name);
  require(good, `${what}: must have 1 to 200 bytes, no control, direction or invisible characters`);
}

function checkHead(head) {
  requireVersion("batch head", head.version);
  requireCount("records of a batch", head.recordCount, 1, 10_000);
  require(head.issuer || head.genesis, "author of the batch is missing");
  if (head.issuer) {
    requireSlug("issuer id", head.issuer.issuerId);
    requireLength("author's key id", head.issuer.keyId, 16);
  }
  for (const { keyId, signature } of head.signatures) {
    requireLength("signer", keyId, 16);
    requireLength("signature", signature, 64);
  }
  const wanted = head.genesis ? 0 : 1;
  requireCount("signatures of a batch head", head.signatures.length, wanted, wanted);
  requireLength("ledger id", head.ledgerId, 32);
  requireLength("records' root", head.recordsRoot, 32);
}

function checkAnchor(anchor) {
  require(anchor.documentType !== 0, "document type: must be a code from 1");
  requireLength("commitment", anchor.commitment, 32);
}

function checkGrant(grant) {
  requireCount("keys of an issuer", grant.keys.length, 1, 16);
  requireCount("document types of an issuer", grant.documentTypes.length, 1, 256);
  requireAscending("document types of an issuer", grant.documentTypes, (a, b) => a - b);
  require(grant.documentTypes[0] !== 0, "document type: must be a code from 1");
  for (const key of grant.keys) {
    const ends = key.notAfter !== undefined && key.notAfter < key.notBefore;
    require(!ends, "public key of an issuer: must not end before it begins");
    requireKey("public key of an issuer", key.publicKey);
  }
  requireAscending("keys of an issuer", grant.keys.map((key) => key.publicKey), compare);
  requireSlug("issuer id", grant.issuerId);
  requireName("name of an issuer", grant.name);
}

function checkChange(change) {
  require(change.reason >= 1 && change.reason <= 9, "reason of a status change: must be 1 to 9");
  const leads = MAY_CHANGE[change.from]?.includes(change.to) ?? false;
  require(leads, "status change: must lead from valid to suspended or revoked, or from suspended to valid or revoked");
}

function checkRecord(record) {
  requireVersion("record", record.version); // first: a later release may have other kinds
  if (record.anchor) checkAnchor(record.anchor);
  else if (record.issuerGrant) checkGrant(record.issuerGrant);
  else if (record.statusChange) checkChange(record.statusChange);
  else require(false, "kind of the record is missing");
}

function checkHeader(header) {
  requireVersion("header", header.version);
  require(header.firstIndex <= header.sizeBefore, "header's first index: must not be above the leaves before the header");
  require(header.sizeBefore !== U64_MAX, "header's size: must leave room for the header");
  requireLength("parent block id", header.parent, 32);
  requireLength("log root", header.rootBefore, 32);
  requireLength("status root", header.statusRoot, 32);
  requireLength("hash of the authority set", header.authoritySet, 32);
}

const KINDS = { batchHead: "batch head", record: "record", header: "header" };

/** The leaf in these bytes, which must be of this kind: "batchHead", "record" or "header". */
export function decodeLeaf(part, bytes, kind) {
  const leaf = decode(`leaf (${part})`, LEAF, bytes, LEAF_MAX);
  const found = Object.keys(KINDS).find((name) => leaf[name] !== undefined);
  require(found, `${part}: kind of the leaf is missing`);
  if (found === "batchHead") checkHead(leaf.batchHead);
  else if (found === "record") checkRecord(leaf.record);
  else checkHeader(leaf.header);
  requireCanonical(`leaf (${part})`, LEAF, bytes, leaf);
  require(found === kind, `${part}: expected a ${KINDS[kind]} leaf, found a ${KINDS[found]} leaf`);
  return leaf[kind];
}

function checkAuthorities(authorities) {
  requireCount("authorities", authorities.length, 1, 64);
  const keys = new Set();
  for (const { id, name, ...of } of authorities) {
    requireSlug("authority id", id);
    requireName("name of an authority", name);
    for (const key of Object.values(of)) {
      requireKey("key of an authority", key);
      keys.add(String.fromCharCode(...key));
    }
  }
  require(new Set(authorities.map((one) => one.id)).size === authorities.length, "authority ids: must all be different");
  require(keys.size === authorities.length * 5, "keys of the authorities: must all be different");
}

/** What is known of a set: its epoch, members, hash and quorum. */
function setOf(epoch, authorities) {
  const bytes = write(AUTHORITY_SET, { epoch, authorities });
  const faults = Math.floor((authorities.length - 1) / 3);
  return { epoch, authorities, hash: sha256(TAGS.set, bytes), quorum: authorities.length - faults };
}

/** The authority set in these bytes. */
export function decodeAuthoritySet(bytes) {
  const set = decode("authority set", AUTHORITY_SET, bytes, AUTHORITY_SET_MAX);
  requireCanonical("authority set", AUTHORITY_SET, bytes, set);
  checkAuthorities(set.authorities);
  return setOf(set.epoch, set.authorities);
}

/** The genesis in these bytes, the trust root: with its ledger id and its authority set. */
export function decodeGenesis(bytes) {
  const genesis = decode("genesis", GENESIS, bytes, GENESIS_MAX);
  requireVersion("genesis", genesis.version);
  requireCanonical("genesis", GENESIS, bytes, genesis);
  const { origin, nonce, grants, parameters } = genesis;
  require(/^(?!\/)[a-z0-9./-]{1,128}(?<!\/)$/.test(origin), "origin: must have 1 to 128 of a-z, 0-9, '.', '-' and '/'");
  requireLength("nonce", nonce, 32);
  requireCount("grants", grants.length, 1, 1000);
  checkAuthorities(genesis.authorities);
  grants.forEach(checkGrant);
  require(parameters, "parameters are missing");
  const types = parameters.documentTypes;
  requireCount("document types", types.length, 1, 256);
  requireAscending("codes of the document types", types.map((type) => type.code), (a, b) => a - b);
  types.forEach((type) => requireSlug("document type name", type.name));
  const named = new Set(types.map((type) => type.name));
  require(types[0].code !== 0 && named.size === types.length, "document types: must have codes from 1 and different names");
  const interval = parameters.recosignInterval;
  require(interval >= 1000n && interval <= 86_400_000n, "recosign interval: must be 1 s to 1 day");
  require(new Set(grants.map((grant) => grant.issuerId)).size === grants.length, "grants: must be one for each issuer");
  const registered = new Set(types.map((type) => type.code));
  const covered = grants.every((grant) => grant.documentTypes.every((code) => registered.has(code)));
  require(covered, "document types of a grant: must be registered in the parameters");
  return { origin, types, ledger: sha256(TAGS.ledger, bytes), set: setOf(0n, genesis.authorities) };
}

/** What the author of a batch signs. */
export const signedBytes = (head) => concat(TAGS.batch, head.ledgerId, write(BATCH_HEAD, { ...head, signatures: [] }));

/** What a record commits to. */
export const commitmentOf = (salt, digest) => sha256(TAGS.commitment, salt, digest);
