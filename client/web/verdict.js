// The verdict, as people read it: one large answer, then who, when and until when, then the proof. Whatever comes from a
// receipt is put in as text.

import { element, picture } from "./dom.js";
import { hex } from "./verify/bytes.js";

const ICONS = { good: "M5 13l4.5 4.5L19 8", warn: "M12 6v8 M12 18h.01", bad: "M7 7l10 10 M17 7L7 17", open: "M9 9a3 3 0 1 1 4 2.8c-1 .4-1 1.2-1 2.2 M12 18h.01" };
/** Refusals that say nothing against the document or its receipt. */
const OPEN = { NoSalt: "noSalt", AnotherLedger: "ledger", Malformed: "receipt", TooLong: "receipt", Base64: "receipt", Length: "receipt" };

function row(term, ...content) {
  return element("div", {}, element("dt", {}, term), element("dd", {}, ...content));
}

const small = (text) => element("small", {}, text);
const code = (text) => element("code", {}, text);

/** Dates in the reader's language and zone. */
export function dates(language) {
  const day = new Intl.DateTimeFormat(language, { dateStyle: "long" });
  const moment = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const shown = (format) => (ms) => {
    try {
      return format.format(Number(ms));
    } catch {
      return String(ms); // beyond what a calendar holds
    }
  };
  const age = (ms, now) => {
    const minutes = Math.round((Number(ms) - now) / 60_000);
    if (Math.abs(minutes) < 60) return relative.format(minutes, "minute");
    if (Math.abs(minutes) < 48 * 60) return relative.format(Math.round(minutes / 60), "hour");
    return relative.format(Math.round(minutes / 1440), "day");
  };
  return { day: shown(day), moment: shown(moment), age };
}

/** A status that is older than this is told as what was, and not as what is. */
const FRESH_MS = 86_400_000;
/** How far clocks may be apart, as everywhere in the ledger. */
const SKEW_MS = 300_000n;

/** Whether these facts are of a time that this computer's clock has not reached: one of the two clocks is wrong. */
export function isFromFuture(facts, now) {
  const asOf = facts.asOf * 1000n;
  return (asOf > facts.anchoredAt ? asOf : facts.anchoredAt) > BigInt(now) + SKEW_MS;
}

/** Which answer these facts call for, and from when it holds. */
export function judge(facts, now) {
  if (facts.status !== "valid") {
    const change = facts.history.findLast(({ status }) => status === facts.status);
    return { name: facts.status, tone: "warn", at: change.at };
  }
  if (facts.validUntil !== null && facts.validUntil < BigInt(now)) {
    return { name: "expired", tone: "warn", at: facts.validUntil };
  }
  const asOf = facts.asOf * 1000n;
  if (asOf < BigInt(now - FRESH_MS)) return { name: "dated", tone: "warn", at: asOf };
  return { name: "valid", tone: "good", at: null };
}

function answer(tone, text) {
  return element("h2", { class: "answer", tabindex: "-1" }, picture({ viewBox: "0 0 24 24", "aria-hidden": "true" }, ICONS[tone]), element("span", {}, text));
}

function history(facts, t, date) {
  const items = facts.history.map(({ status, at, reason }) => {
    const why = reason === null ? "" : ` (${t.reason[reason]})`;
    return element("li", {}, `${date.moment(at)}: ${t.status[status]}${why}`);
  });
  return items.length === 0 ? null : row(t.history, element("ul", {}, ...items));
}

function technical(facts, digest, t) {
  const rows = [
    row(t.technical.digest, code(hex(digest))),
    row(t.technical.ledger, code(hex(facts.ledger))),
    row(t.technical.index, String(facts.index)),
    row(t.technical.height, String(facts.height)),
    row(t.technical.logSize, String(facts.logSize)),
    row(t.technical.epoch, String(facts.epoch)),
  ];
  return element("details", {}, element("summary", {}, t.proof), element("dl", {}, ...rows));
}

/** Other public records of the document by the same issuer. */
function othersOf(others, t) {
  const items = others.map(({ index, status }) => element("li", {}, `${t.technical.index} ${index}: ${t.status[status]}`));
  return items.length === 0 ? null : row(t.otherRecords, element("ul", {}, ...items));
}

/** A verdict on a document that its receipt proves. */
export function proven({ facts, others = [], digest, file, receipt, origin }, t, language, now) {
  const date = dates(language);
  const { name: verdict, tone, at } = judge(facts, now);
  const text = at === null ? t.answer[verdict] : t.answer[verdict](date.day(at));
  const vouchers = element("ul", {}, ...facts.vouchers.map((voucher) => element("li", {}, voucher.name)));
  const asOf = facts.asOf * 1000n;
  const withdrawn = facts.issuerStatus === "valid" ? null : small(t.issuerWithdrawn);
  const rows = [
    row(t.issuer, facts.issuerName, small(facts.issuer), withdrawn),
    row(t.type, t.typeName(facts.documentType)),
    row(t.anchoredAt, date.moment(facts.anchoredAt)),
    facts.validUntil === null ? null : row(t.validUntil, date.moment(facts.validUntil)),
    row(t.asOf, date.moment(asOf), small(t.asOfHint(date.age(asOf, now)))),
    history(facts, t, date),
    facts.supersedes === null ? null : row(t.supersedes, String(facts.supersedes)),
    othersOf(others, t),
    row(t.vouchers, vouchers, small(t.vouchersHint(facts.vouchers.length, facts.authorities, facts.quorum))),
    row(t.root, origin),
    row(t.file, file),
    receipt ? row(t.receipt, receipt) : null,
    row(t.checkedAt, date.moment(now)),
  ];
  const list = element("dl", {}, ...rows.filter((entry) => entry !== null));
  const box = [answer(tone, text), element("p", { class: "meaning" }, t.meaning[verdict]), list, technical(facts, digest, t)];
  return { node: element("div", { class: `verdict ${tone}` }, ...box), text };
}

/** Which answer a refusal calls for: the document is another, the receipt is bad, or nothing can be said. */
export function kindOf(refusal) {
  if (refusal.code === "AnotherDocument") return { name: "other", tone: "bad" };
  if (refusal.unknownVersion) return { name: "open", tone: "open", why: "newer" };
  if (refusal.code in OPEN) return { name: "open", tone: "open", why: OPEN[refusal.code] };
  return { name: "forged", tone: "bad" };
}

/** A verdict where nothing is proven; `why` names a sentence for "cannot be checked". */
export function unproven({ name, tone, why, detail, file, receipt }, t) {
  const text = t.answer[name];
  const meaning = element("p", { class: "meaning" }, why ? t.why[why] : t.meaning[name]);
  const reason = detail
    ? element("details", {}, element("summary", {}, t.proof), element("dl", {}, row(t.technical.reason, code(detail))))
    : null;
  const names = [file ? row(t.file, file) : null, receipt ? row(t.receipt, receipt) : null];
  const about = file || receipt ? element("dl", {}, ...names) : null;
  return { node: element("div", { class: `verdict ${tone}` }, answer(tone, text), meaning, ...[about, reason].filter(Boolean)), text };
}
