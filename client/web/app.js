// The page: takes a document and a receipt, has the one hashed and the other verified, and shows what follows.

import { fromBase64, hex, Refusal } from "./verify/bytes.js";
import { GENESIS_MAX, commitmentOf, decodeGenesis } from "./verify/formats.js";
import { lacking } from "./verify/key.js";
import { RECEIPT_MAX, parseReceipt } from "./verify/receipt.js";
import { verifyReceipt } from "./verify/verify.js";
import { GENESIS, NODE } from "./edition.js";
import { isReceipt, putInto } from "./files.js";
import { digestOf, startHashing, stopHashing } from "./hashing.js";
import { readFragment } from "./link.js";
import { officesList, officesOf, together } from "./offices.js";
import { Open } from "./open.js";
import { report } from "./report.js";
import { LANGUAGES, preferred } from "./texts.js";
import { isFromFuture, kindOf, proven, unproven } from "./verdict.js";

const DOCUMENT_MAX = 1_000_000_000;
const PUBLIC = new Uint8Array(32);
/** Issuers in one answer to a look-up, records of each, and answers: more than a ledger admits is looked through. */
const [ISSUERS_MAX, OF_ISSUER_MAX, ANSWERS_MAX] = [50, 72, 32];

const at = (id) => document.getElementById(id);

const state = {
  language: preferred(navigator.languages ?? [navigator.language]),
  genesis: null,
  file: null,
  /** Receipt as parsed, or what was wrong with it. */
  receipt: null,
  /** Counts receipts that were chosen: of two, the later one counts, however long each takes to read. */
  chosen: 0,
  /** Record and salt of the link with which the page was opened. */
  link: null,
  /** What this browser lacks, if anything. */
  lacks: null,
  /** What the verdict shows, to show it again in another language. */
  shown: null,
  /** Counts what was begun; what is not the newest is of no interest any more. */
  turn: 0,
};

const texts = () => LANGUAGES[state.language];

// -- The node: what it says is verified here like anything else

async function ask(path) {
  let response;
  try {
    response = await fetch(`${NODE}${path}`, { credentials: "omit", cache: "no-store" });
  } catch {
    throw new Open("network");
  }
  if (response.status === 404) return null;
  if (!response.ok) throw new Open("network");
  return response.json().catch(() => {
    throw new Open("network");
  });
}

async function loadGenesis() {
  if (GENESIS !== null) return decodeGenesis(fromBase64(GENESIS, GENESIS_MAX));
  const answer = await ask("/v1/genesis");
  const bytes = answer && fromBase64(String(answer.bytes), GENESIS_MAX);
  return bytes && decodeGenesis(bytes);
}

/** The receipt of the record at a place, with the salt that the node does not know. */
async function receiptAt(index, salt) {
  const answer = await ask(`/v1/receipts/${index}`);
  const bytes = answer && fromBase64(String(answer.bytes), RECEIPT_MAX);
  return bytes && { ...parseReceipt(bytes), salt };
}

/** What the receipt of the record at a place proves; the node may not give that of another one. */
async function proveAt(index, salt, digest) {
  const parts = await receiptAt(index, salt);
  const facts = parts && (await prove(parts, digest));
  return facts && facts.index === BigInt(index) ? facts : null;
}

/** What a receipt proves, as of a time that has come. */
async function prove(parts, digest) {
  const facts = await verifyReceipt(parts, state.genesis, digest);
  if (isFromFuture(facts, Date.now())) throw new Open("clock");
  return facts;
}

const isPlace = (index) => Number.isSafeInteger(index) && index >= 0;

/** The records that an answer to a look-up names, each with its issuer; `null` where it is no such answer. */
function namedBy(answer, after) {
  const issuers = answer?.view?.issuers;
  if (!Array.isArray(issuers) || issuers.length > ISSUERS_MAX) return null;
  const named = [];
  let last = after;
  for (const { issuer, records } of issuers.map((entry) => entry ?? {})) {
    const isNext = typeof issuer === "string" && issuer > last && Array.isArray(records) && records.length <= OF_ISSUER_MAX;
    if (!isNext) return null;
    named.push(...records.map((record) => ({ issuer, index: record?.index })));
    last = issuer;
  }
  return named;
}

/** What the public records of a document prove, of all issuers that anchored it. None that the node names may stay unproven. */
async function provePublic(digest) {
  const commitment = hex(commitmentOf(PUBLIC, digest));
  const proven = [];
  let [after, isWhole] = ["", true];
  for (let answers = 1; after !== null; answers += 1) {
    const answer = await ask(`/v1/lookup/${commitment}${after === "" ? "" : `/after/${after}`}`);
    const named = namedBy(answer, after);
    isWhole &&= named !== null;
    for (const { issuer, index } of named ?? []) {
      const facts = isPlace(index) ? await proveAt(index, PUBLIC, digest).catch(refusedAsNull) : null;
      if (facts?.issuer === issuer) proven.push(facts);
      else isWhole = false;
    }
    const next = named && answer.view.next_after;
    const isFurther = typeof next === "string" && next > after && next >= (named.at(-1)?.issuer ?? "");
    const goesOn = isFurther && /^[a-z0-9.-]+$/.test(next) && answers < ANSWERS_MAX;
    isWhole &&= goesOn || next === null;
    after = goesOn ? next : null;
  }
  if (proven.length === 0) throw new Open("noReceipt");
  const offices = officesOf(proven, Date.now());
  // What is not shown may be what speaks against it.
  if (!isWhole && together(offices)?.verdict.tone === "good") throw new Open("incomplete");
  return offices;
}

function refusedAsNull(error) {
  if (error instanceof Refusal) return null;
  throw error;
}

/** What is shown of the records of several issuers: of the one that was chosen, else what follows from all. */
function ofOffices(offices, chosen) {
  const office = offices.find(({ facts }) => facts.issuer === chosen) ?? together(offices);
  const shown = { offices, chosen: chosen ?? null };
  return office ? { ...shown, facts: office.facts, others: office.others } : { ...shown, name: "offices", tone: "open" };
}

// -- Showing

function busy(text, done = null) {
  at("busy").hidden = text === null;
  at("busy-text").textContent = text ?? "";
  if (done === null) at("progress").removeAttribute("value");
  else at("progress").value = done;
}

function button(text, kind, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = `button ${kind}`;
  made.textContent = text;
  made.addEventListener("click", action);
  return made;
}

function show(shown, { focus = true } = {}) {
  state.shown = shown;
  const t = texts();
  const { node, text } = shown.facts ? proven(shown, t, state.language, shown.checkedAt) : unproven(shown, t);
  const offices = officesList(shown, t, state.language, choose);
  if (offices) node.append(offices);
  const actions = document.createElement("p");
  actions.className = "actions";
  if (shown.facts) {
    if (NODE !== null) actions.append(button(t.refresh, "", refresh));
    actions.append(button(t.print, "quiet", print));
  }
  if (shown.why === "choose" && NODE !== null) actions.append(button(t.lookUp, "", () => check({ lookUp: true })));
  actions.append(button(t.again, "quiet", reset));
  node.append(actions);
  if (shown.facts) node.append(report(shown, t, state.language, linkPage()));
  const section = at("verdict");
  section.replaceChildren(node);
  section.hidden = false;
  at("announce").textContent = text;
  if (focus) section.querySelector(".answer").focus();
}

/** Shows how the document stands with one of the issuers that anchored it. */
function choose(issuer) {
  const { facts, others, name, tone, ...rest } = state.shown;
  show({ ...rest, ...ofOffices(rest.offices, issuer) });
}

/** The address of this page where links can lead to it; `null` where it is a file, or has no node to ask about a record. */
function linkPage() {
  const isServed = /^https?:$/.test(location.protocol);
  return NODE !== null && isServed ? `${location.origin}${location.pathname}` : null;
}

function print() {
  for (const details of document.querySelectorAll("details")) details.open = true;
  document.querySelector(".report").classList.add("open");
  window.print();
}

function showRefusal(error, file, receipt) {
  const about = { file: file?.name, receipt: receipt?.name };
  if (error instanceof Refusal) {
    const kind = kindOf(error);
    const empty = kind.name === "other" && file?.size === 0 ? { why: "empty" } : {};
    show({ ...kind, ...empty, ...about, detail: `${error.code}: ${error.message}` });
  } else if (error instanceof Open) show({ name: "open", tone: "open", why: error.why, ...about });
  else {
    console.error(error);
    show({ name: "open", tone: "open", why: "unreadable", ...about });
  }
}

function speak() {
  const t = texts();
  document.documentElement.lang = state.language;
  document.title = t.pageTitle;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t[node.dataset.text];
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", t[node.dataset.label]);
  for (const node of document.querySelectorAll("[data-language]")) {
    node.setAttribute("aria-pressed", String(node.dataset.language === state.language));
  }
  if (state.lacks) at("unsupported").textContent = t.lacks[state.lacks];
  const { genesis } = state;
  at("trust").textContent = genesis ? t.trust(genesis.origin, hex(genesis.ledger)) : t.noTrust;
  if (state.shown) show(state.shown, { focus: false });
}

// -- Checking

/** Begins something new: nothing that was begun before counts any more. */
function begin() {
  state.turn += 1;
  stopHashing();
  busy(null);
  return state.turn;
}

/** Begins something new that takes the place of what is shown. */
function beginAnew() {
  state.shown = null;
  at("verdict").hidden = true;
  at("verdict").replaceChildren();
  return begin();
}

async function check({ lookUp = false } = {}) {
  const turn = beginAnew();
  const { file, receipt, genesis } = state;
  if (!file) {
    if (receipt?.error) showRefusal(receipt.error, null, receipt);
    else if (receipt) at("announce").textContent = texts().waitingForDocument;
    return;
  }
  const isNewest = () => turn === state.turn;
  try {
    if (!genesis) throw new Open("trust");
    if (file.size > DOCUMENT_MAX) throw new Open("large");
    if (!receipt && !lookUp) {
      const why = NODE === null ? "chooseOffline" : "choose";
      return show({ name: "open", tone: "open", why, file: file.name }, { focus: false });
    }
    if (receipt?.error) throw receipt.error;
    busy(texts().hashing(file.name), 0);
    const digest = await digestOf(file, (done) => isNewest() && busy(texts().hashing(file.name), done));
    if (!isNewest()) return;
    busy(receipt ? texts().checking : texts().lookingUp);
    const salt = receipt?.parts?.salt ?? receipt?.link?.salt ?? PUBLIC;
    const proof = receipt ? { facts: await factsOf(receipt, digest) } : ofOffices(await provePublic(digest));
    if (isNewest()) show({ ...proof, digest, file: file.name, receipt: receipt?.name, origin: genesis.origin, salt, checkedAt: Date.now() });
  } catch (error) {
    if (isNewest()) showRefusal(error, file, receipt);
  } finally {
    if (isNewest()) busy(null);
  }
}

async function factsOf(receipt, digest) {
  if (receipt.parts) return prove(receipt.parts, digest);
  const facts = await proveAt(receipt.link.index, receipt.link.salt, digest);
  if (!facts) throw new Open("link");
  return facts;
}

/** Fetches a newer receipt of what is shown; it counts only where it proves the same record, later. */
async function refresh() {
  const { shown } = state;
  const turn = begin();
  busy(texts().refreshing);
  try {
    const fresh = shown.offices
      ? ofOffices(await provePublic(shown.digest), shown.chosen)
      : { facts: await proveAt(shown.facts.index, shown.salt, shown.digest) };
    if (turn !== state.turn) return;
    const { facts } = fresh.facts ? fresh : (fresh.offices?.[0] ?? {});
    const isNewer = facts && facts.asOf >= shown.facts.asOf && facts.logSize >= shown.facts.logSize;
    const { facts: _, others, ...rest } = shown;
    if (isNewer) show({ ...rest, ...fresh, checkedAt: Date.now() });
    else note(texts().refreshFailed);
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof Open)) console.error(error);
    if (turn === state.turn) note(texts().refreshFailed);
  } finally {
    if (turn === state.turn) busy(null);
  }
}

/** Says something below the verdict that is shown. */
function note(text) {
  const paragraph = document.createElement("p");
  paragraph.className = "notice";
  paragraph.setAttribute("role", "alert");
  paragraph.textContent = text;
  at("verdict").querySelectorAll(".notice").forEach((old) => old.remove());
  at("verdict").firstElementChild.append(paragraph);
}

function reset() {
  beginAnew();
  state.file = null;
  forgetReceipt();
  at("document").value = "";
  at("receipt").value = "";
  at("document").focus();
}

// -- Choosing

/** No receipt is chosen any more, but the one of the link, if there is one. */
function forgetReceipt() {
  state.chosen += 1;
  state.receipt = state.link && { link: state.link };
}

async function takeReceipt(file) {
  state.chosen += 1;
  const chosen = state.chosen;
  let receipt;
  try {
    if (file.size > RECEIPT_MAX) throw new Open("receipt");
    receipt = { name: file.name, parts: parseReceipt(new Uint8Array(await file.arrayBuffer())) };
  } catch (error) {
    const known = error instanceof Refusal || error instanceof Open;
    receipt = { name: file.name, error: known ? error : new Open("unreadable") };
  }
  if (chosen === state.chosen) state.receipt = receipt;
}

/** Takes files, in whatever order: a document, a receipt, or both. Each is shown in the field it belongs to. */
async function takeAll(files) {
  const turn = beginAnew();
  const found = { document: [], receipt: [] };
  for (const file of files) found[(await isReceipt(file)) ? "receipt" : "document"].push(file);
  if (turn !== state.turn) return; // others were chosen meanwhile
  if (found.document.length > 1 || found.receipt.length > 1) {
    show({ name: "open", tone: "open", why: "several" });
    return;
  }
  for (const [field, [file]] of Object.entries(found)) if (file) putInto(at(field), file);
  const [[file], [receipt]] = [found.document, found.receipt];
  if (file) state.file = file;
  if (receipt) await takeReceipt(receipt);
  if (receipt && !state.file && !state.receipt?.error) show({ name: "open", tone: "open", why: "noDocument", receipt: receipt.name });
  else await check();
}

function watch() {
  at("document").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    state.file = null;
    if (!file) return check();
    putInto(target, null); // until it is known to be no receipt
    await takeAll([file]);
  });
  at("receipt").addEventListener("change", async ({ target }) => {
    const [file] = target.files;
    if (file) await takeReceipt(file);
    else forgetReceipt();
    await check();
  });
  for (const node of document.querySelectorAll("[data-language]")) {
    node.addEventListener("click", () => {
      state.language = node.dataset.language;
      speak();
    });
  }
  const zone = at("choose");
  const isOver = (over) => zone.classList.toggle("over", over);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    isOver(true);
  });
  document.addEventListener("dragleave", () => isOver(false));
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    isOver(false);
    const { items, files } = event.dataTransfer;
    if (files.length === 0) return; // some text, or a link
    const entries = Array.from(items, (item) => item.webkitGetAsEntry?.());
    if (entries.some((entry) => entry?.isDirectory)) {
      beginAnew();
      show({ name: "open", tone: "open", why: "folder" });
    } else await takeAll(Array.from(files));
  });
  window.addEventListener("hashchange", readLink);
}

function sayOfLink(name) {
  at("linked").dataset.text = name;
  at("linked").textContent = texts()[name];
}

/** Record and salt from the part of the address that browsers never send. */
function readLink() {
  const { hash } = location;
  if (hash === "" || hash === "#main") return; // the way past the header
  at("linked").hidden = false;
  // Not into the history, and not at the head of a printed page.
  history.replaceState(null, "", location.pathname);
  const link = readFragment(hash);
  state.link = NODE === null ? null : link; // the record would have to come from a node
  if (!link) sayOfLink("linkBroken");
  else sayOfLink(state.link ? "linked" : "linkOffline");
  at("receipt-field").hidden = state.link !== null;
  forgetReceipt();
  check();
}

/** Says where this edition of the page differs from that of a node. */
function adapt() {
  at("unstarted").hidden = true;
  if (GENESIS === null) return;
  at("edition").dataset.text = NODE === null ? "edition" : "editionOfNode";
  at("edition").hidden = false;
  if (NODE !== null) return;
  at("receipt-hint").dataset.text = "receiptHintOffline";
  at("privacy").dataset.text = "privacyOffline";
}

async function start() {
  adapt();
  speak();
  state.lacks = await lacking();
  if (state.lacks) {
    at("unsupported").hidden = false;
    at("choose").hidden = true;
    speak();
    return;
  }
  startHashing();
  watch();
  try {
    state.genesis = await loadGenesis();
  } catch (error) {
    if (!(error instanceof Refusal || error instanceof Open)) throw error;
  }
  speak();
  readLink();
  if (state.file) await check(); // chosen before this page was ready
  document.documentElement.dataset.ready = "yes";
}

start();
