// Verification of a receipt: every check of the receipt rules in ARCHITECTURE.md, in their order, and nothing less.

import { equal, refuse } from "./bytes.js";
import { REASONS, STATUSES, commitmentOf, decodeAuthoritySet, decodeLeaf, signedBytes } from "./formats.js";
import { keyId, verify as verifySignature } from "./key.js";
import { leadsTo, leafHash, rootFromInclusion, rootFromLeaves } from "./log.js";
import { cosignersOf, countCosignatures, parseCheckpoint, stranger } from "./note.js";

const BATCH_AGE_MAX = 86_400_000n;
const CHUNK = 128n;
const [VALID, REVOKED, , SUPERSEDED] = [0, 1, 2, 3];

/**
 * What a receipt proves of the document with this digest, under a genesis of `decodeGenesis`: times in milliseconds (`asOf` in
 * seconds), indices, heights and sizes are BigInt. Throws a `Refusal` at the first check that fails.
 */
export async function verifyReceipt(receipt, genesis, digest) {
  const leaves = decodeLeaves(receipt);
  checkDocument(leaves.anchor, receipt.salt, digest);
  checkLedger(genesis, leaves);
  checkPlaces(receipt, leaves);
  checkChangePlaces(receipt, leaves);
  await checkBatch(receipt, leaves);
  const set = await followHandovers(receipt, genesis);
  const { size, count } = await checkCheckpoint(receipt, genesis, set, leaves.latest);
  const [status, issuerStatus] = checkStatus(receipt, leaves.latest);
  const history = checkChanges(receipt, leaves, status);
  const { anchor, grant, header } = leaves;
  const type = genesis.types.find(({ code }) => code === anchor.documentType);
  if (!type) refuse("UnknownDocumentType", "the record's document type is not registered in the genesis");
  return {
    ledger: genesis.ledger,
    issuer: grant.issuerId,
    issuerName: grant.name,
    documentType: type.name,
    public: anchor.public,
    anchoredAt: header.time,
    validUntil: anchor.validUntil ?? null,
    index: receipt.record.index,
    height: header.height,
    supersedes: anchor.supersedes ?? null,
    status: STATUSES[status],
    history,
    issuerStatus: STATUSES[issuerStatus],
    asOf: count.asOf,
    logSize: size,
    epoch: set.epoch,
    vouchers: count.signers.map((number) => ({ id: set.authorities[number].id, name: set.authorities[number].name })),
    authorities: set.authorities.length,
    quorum: set.quorum,
  };
}

function decodeLeaves(receipt) {
  const record = decodeLeaf("record", receipt.record.bytes, "record");
  const grant = decodeLeaf("grant", receipt.grant.bytes, "record");
  if (!record.anchor) refuse("NotAnAnchor", "the record of the receipt does not anchor a document");
  if (!grant.issuerGrant) refuse("NotAGrant", "the grant of the receipt does not admit an issuer");
  return {
    anchor: record.anchor,
    head: decodeLeaf("batch head", receipt.batchHead.bytes, "batchHead"),
    grant: grant.issuerGrant,
    header: decodeLeaf("header", receipt.header.bytes, "header"),
    latest: decodeLeaf("latest header", receipt.latestHeader.bytes, "header"),
    changes: receipt.changes.map((change) => ({
      step: stepOf(decodeLeaf("status change", change.record.bytes, "record")),
      head: decodeLeaf("batch head of a status change", change.batchHead.bytes, "batchHead"),
      header: decodeLeaf("header of a status change", change.header.bytes, "header"),
    })),
  };
}

/** How a record changes a status, `null` where it changes none. */
function stepOf(record) {
  if (record.statusChange) return record.statusChange;
  const target = record.anchor?.supersedes;
  return target === undefined ? null : { target, to: SUPERSEDED };
}

/** The document is the one the record commits to. */
function checkDocument(anchor, salt, digest) {
  if (salt === null) refuse("NoSalt", "the receipt has no salt, so it cannot be compared with a document");
  const isZero = salt.every((byte) => byte === 0);
  if (anchor.public !== isZero) refuse("SaltKind", "the receipt's salt does not fit its record");
  if (!equal(anchor.commitment, commitmentOf(salt, digest))) {
    refuse("AnotherDocument", "this is not the document that was anchored: it was changed, or the receipt is another document's");
  }
}

/** Batch and newest header are of this ledger and of this epoch's rules. */
function checkLedger(genesis, { head, header, latest }) {
  if (!equal(head.ledgerId, genesis.ledger)) refuse("AnotherLedger", "the receipt is of another ledger than the genesis");
  const isNewer = header.epoch > latest.epoch || header.height > latest.height;
  if (isNewer) refuse("Places", "the record's block is newer than the newest block");
}

/** Grant, head, record, header and newest header stand where blocks hold them. */
function checkPlaces(receipt, { header, latest }) {
  const require = (holds, rule) => holds || refuse("Places", rule);
  require(receipt.header.index === header.sizeBefore, "a header is not where it says");
  require(receipt.latestHeader.index === latest.sizeBefore, "the newest header is not where it says");
  require(receipt.header.index <= receipt.latestHeader.index, "the newest header is older than the record's");
  require(header.firstIndex <= receipt.batchHead.index, "the batch head is not in the header's block");
  require(receipt.batchHead.index < receipt.record.index, "the record does not follow its batch head");
  require(receipt.record.index < receipt.header.index, "the record is not in the header's block");
  require(receipt.grant.index < receipt.batchHead.index, "the grant does not come before the record");
}

/** Each change is the issuer's and stands where blocks hold it, after the record's block and under the checkpoint. */
function checkChangePlaces(receipt, { head: own, grant, latest, changes }) {
  changes.forEach(({ head, header }, i) => {
    const at = receipt.changes[i];
    const require = (holds, why) => holds || refuse("Change", `change ${i + 1} of the record's status: ${why}`);
    require(equal(head.ledgerId, own.ledgerId), "its batch is of another ledger");
    require(head.issuer?.issuerId === grant.issuerId, "it is not the issuer's");
    require(at.header.index === header.sizeBefore, "its header is not where it says");
    require(header.firstIndex <= at.batchHead.index, "its batch head is not in its header's block");
    const position = at.record.index - at.batchHead.index;
    require(position >= 1n && position <= BigInt(head.recordCount), "it is not in its batch");
    require(at.record.index < at.header.index, "it is not in its header's block");
    require(receipt.record.index < header.firstIndex, "its block does not come after the record's");
    require(at.header.index <= receipt.latestHeader.index, "it is not below the newest header");
    const isNewer = header.time > latest.time || header.height > latest.height || header.epoch > latest.epoch;
    require(!isNewer, "its block is newer than the newest block");
  });
}

/** The record is in the batch that its issuer signed, with a key and in a scope it had at the block's time. */
async function checkBatch(receipt, { anchor, head, grant, header }) {
  const position = receipt.record.index - receipt.batchHead.index - 1n;
  const root = rootFromInclusion(leafHash(receipt.record.bytes), position, BigInt(head.recordCount), receipt.batchPath);
  if (!leadsTo(root, head.recordsRoot)) refuse("NotInBatch", "the record is not part of the batch that the issuer signed");
  await checkAuthor(head, grant, header.time);
  const age = header.time > head.createdAt ? header.time - head.createdAt : head.createdAt - header.time;
  if (age > BATCH_AGE_MAX) refuse("CreatedAt", "the batch says it was made more than 24 hours before or after its block");
  if (!grant.documentTypes.includes(anchor.documentType)) {
    refuse("OutOfScope", "the issuer was not admitted to anchor documents of this type");
  }
}

async function checkAuthor(head, grant, time) {
  if (head.issuer?.issuerId !== grant.issuerId) refuse("Author", "the batch is of another issuer than the grant");
  const isGood = ({ publicKey, notBefore, notAfter }) =>
    equal(keyId(publicKey), head.issuer.keyId) && notBefore <= time && (notAfter === undefined || time <= notAfter);
  const key = grant.keys.find(isGood);
  if (!key) refuse("Author", "the batch is signed with a key that its issuer does not have, or not at that time");
  const [{ keyId: signer, signature }] = head.signatures; // an issuer's head has exactly one
  if (!equal(signer, head.issuer.keyId)) refuse("Author", "a batch of an issuer carries exactly one signature, of the key it names");
  const good = await verifySignature(key.publicKey, signedBytes(head), signature);
  if (!good) refuse("Author", "the signature on the batch is not valid");
}

/** The authority set of the newest header's epoch, reached from the genesis set by every handover in order. */
async function followHandovers(receipt, genesis) {
  let [set, size] = [genesis.set, 0n];
  for (const [i, handover] of receipt.handovers.entries()) {
    const require = (holds, why) => holds || refuse("Handover", `handover ${i + 1} of the receipt: ${why}`);
    const header = decodeLeaf("header of a handover", handover.header.bytes, "header");
    const next = decodeAuthoritySet(handover.next);
    const { checkpoint } = await openCheckpoint(genesis, set, handover.checkpoint);
    require(header.epoch === set.epoch, "its block is not of the epoch it ends");
    require(next.epoch === set.epoch + 1n, "it does not lead to the next epoch");
    require(equal(header.authoritySet, next.hash), "its header names other authorities");
    require(handover.header.index === header.sizeBefore, "its header is not where it says");
    require(header.sizeBefore === checkpoint.size - 1n, "its header is not the last leaf of its checkpoint");
    const leaf = [handover.header.index, leafHash(handover.header.bytes)];
    const root = rootFromLeaves([leaf], checkpoint.size, handover.proof);
    require(leadsTo(root, checkpoint.root), "its header is not in the log that the authorities signed");
    require(checkpoint.size > size, "it does not come after the one before it");
    [set, size] = [next, checkpoint.size];
  }
  if (receipt.latestHeader.index < size) {
    refuse("AnotherAuthoritySet", "the newest header names other authorities than those that the handovers lead to");
  }
  return set;
}

/** A checkpoint that a quorum of the set cosigned. Every line in it must be an authority's of that set. */
async function openCheckpoint(genesis, set, note) {
  const checkpoint = parseCheckpoint(note);
  if (checkpoint.origin !== genesis.origin) refuse("AnotherLedger", "the receipt is of another ledger than the genesis");
  const cosigners = cosignersOf(set, genesis.origin);
  const line = stranger(checkpoint, cosigners);
  if (line) refuse("Stranger", `the checkpoint carries a signature line that no authority of its epoch made: ${line.name}`);
  return { checkpoint, count: await countCosignatures(checkpoint, cosigners, set.quorum) };
}

/** A quorum of the set signed the log whose last leaf is the newest header, and all leaves are in it. */
async function checkCheckpoint(receipt, genesis, set, latest) {
  if (latest.epoch !== set.epoch || !equal(latest.authoritySet, set.hash)) {
    refuse("AnotherAuthoritySet", "the newest header names other authorities than those that the handovers lead to");
  }
  const { checkpoint, count } = await openCheckpoint(genesis, set, receipt.checkpoint);
  const { size, root } = checkpoint;
  if (receipt.latestHeader.index !== size - 1n) {
    refuse("Places", "the newest header is not the last leaf of the checkpoint");
  }
  if (!leadsTo(rootFromLeaves(logLeaves(receipt), size, receipt.proof), root)) {
    refuse("Inclusion", "the receipt's leaves are not in the log that the authorities signed");
  }
  return { size, count };
}

/** The leaves under the multiproof, ascending; headers and heads may be one leaf. */
function logLeaves(receipt) {
  const leaves = new Map();
  const own = [receipt.grant, receipt.batchHead, receipt.record, receipt.header, receipt.latestHeader];
  const changes = receipt.changes.flatMap((change) => [change.record, change.batchHead, change.header]);
  for (const { index, bytes } of [...own, ...changes]) {
    const hash = leafHash(bytes);
    if (leaves.has(index) && !equal(leaves.get(index), hash)) refuse("Places", "two different leaves have the same place");
    leaves.set(index, hash);
  }
  return [...leaves].sort(([a], [b]) => (a < b ? -1 : 1));
}

const statusAt = (bits, position) => (bits[position >> 2] >> ((position & 3) * 2)) & 3;

/** The status of record and grant under the newest header's status root. */
function checkStatus(receipt, latest) {
  const refused = (why) => refuse("Status", `the receipt's status is not the one that the authorities signed: ${why}`);
  const indices = [receipt.record.index, receipt.grant.index];
  const size = latest.sizeBefore;
  if (indices.some((index) => index >= size)) refused("a leaf is beyond the log");
  const places = [...new Set(indices.map((index) => index / CHUNK))].sort((a, b) => (a < b ? -1 : 1));
  const { chunks, proof } = receipt.status;
  const fits = chunks.length === places.length && chunks.every(({ index }, i) => index === places[i]);
  if (!fits) refused("its chunks are others");
  const leaves = chunks.map(({ index, bits }) => [index, leafHash(bits)]);
  const count = (size + CHUNK - 1n) / CHUNK;
  if (!leadsTo(rootFromLeaves(leaves, count, proof), latest.statusRoot)) refused("the proof leads to another root");
  const [last, used] = [(size - 1n) / CHUNK, Number((size - 1n) % CHUNK)];
  for (const { index, bits } of chunks) {
    for (let position = used + 1; index === last && position < 128; position += 1) {
      if (statusAt(bits, position) !== VALID) refused("a status beyond the log is set");
    }
  }
  const of = (leaf) => statusAt(chunks.find(({ index }) => index === leaf / CHUNK).bits, Number(leaf % CHUNK));
  return indices.map(of);
}

const isTerminal = (status) => status === REVOKED || status === SUPERSEDED;

const sameHeader = (a, b) =>
  Object.keys(a).every((name) => (a[name] instanceof Uint8Array ? equal(a[name], b[name]) : a[name] === b[name]));

/** The changes lead, one after the other, from valid to the status that the authorities signed. */
function checkChanges(receipt, { header: own, changes }, signed) {
  let [shown, index, before] = [VALID, receipt.header.index, own];
  const history = changes.map(({ step, header }, i) => {
    const at = receipt.changes[i].record.index;
    const require = (holds, why) => holds || refuse("Change", `change ${i + 1} of the record's status: ${why}`);
    require(at > index, "it does not come after what was before it");
    const isLater = sameHeader(header, before) || (header.time > before.time && header.height > before.height);
    require(isLater, "its block is not later than what was before it");
    require(step, "its record changes no status");
    require(step.target === receipt.record.index, "it is about another record");
    const follows = !isTerminal(shown) && (step.to === SUPERSEDED || step.from === shown);
    require(follows, "it cannot follow the status that the record had");
    [shown, index, before] = [step.to, at, header];
    return { status: STATUSES[shown], at: header.time, reason: step.reason ? REASONS[step.reason] : null, index: at, height: header.height };
  });
  if (shown !== signed) {
    const message = `the receipt shows changes up to the status ${STATUSES[shown]}, and the authorities signed ${STATUSES[signed]}`;
    refuse("ChangesMissing", message);
  }
  return history;
}
