// The overview as elements. Whatever the node says is put in as text.

import { LANGUAGES } from "./texts.js";
import { TEXTS } from "./network-texts.js";
import { chart } from "./network-chart.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  good: "M5 13l4.5 4.5L19 8",
  warn: "M12 5v9 M12 18.5h.01",
  bad: "M7 7l10 10 M17 7L7 17",
  open: "M9 9a3 3 0 1 1 4 2.8c-1 .4-1 1.2-1 2.2 M12 18.5h.01",
};
const TONES = { voting: "good", missing: "bad", not_voting: "bad", skewed: "warn", lagging: "warn", unheard: "open" };
const MINUTE_MS = 60_000;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function icon(tone) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[tone]);
  svg.append(path);
  return svg;
}

const small = (text) => element("small", {}, text);

/** The reader's own variant of a language: the same words, and times as they are written there. */
function variant(language) {
  return (navigator.languages ?? []).find((wanted) => wanted.toLowerCase().split("-")[0] === language) ?? language;
}

/** Numbers, spans and times in a language. */
export function formats(words) {
  const language = variant(words);
  const plain = new Intl.NumberFormat(language);
  const unit = (name, digits, signDisplay = "auto") =>
    new Intl.NumberFormat(language, { style: "unit", unit: name, maximumFractionDigits: digits, signDisplay });
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium" });
  const day = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
  const minute = new Intl.DateTimeFormat(language, { timeStyle: "short" });
  const span = (ms, signDisplay) => {
    const size = Math.abs(ms);
    if (size < 1000) return unit("millisecond", 0, signDisplay).format(ms);
    if (size < 120_000) return unit("second", size < 10_000 ? 1 : 0, signDisplay).format(ms / 1000);
    if (size < 7_200_000) return unit("minute", 0, signDisplay).format(ms / 60_000);
    if (size < 172_800_000) return unit("hour", 0, signDisplay).format(ms / 3_600_000);
    return unit("day", 0, signDisplay).format(ms / 86_400_000);
  };
  const time = (ms) => {
    const isToday = new Date(ms).toDateString() === new Date().toDateString();
    return (isToday ? clock : day).format(ms);
  };
  const bytes = (count) => {
    const [name, per] = count < 1e6 ? ["kilobyte", 1e3] : count < 1e9 ? ["megabyte", 1e6] : ["gigabyte", 1e9];
    return unit(name, count < 10 * per ? 1 : 0).format(count / per);
  };
  return { number: (count) => plain.format(count), span, signed: (ms) => span(ms, "exceptZero"), time, minute: (ms) => minute.format(ms), bytes };
}

/** What was filled in where, so that only what is new is put anew: a focus or a selection elsewhere stays. */
const filled = new Map();

/** Forgets it, for another language. */
export const refill = () => filled.clear();

function fill(id, language, data, make) {
  const key = JSON.stringify([language, data]);
  if (filled.get(id) === key) return;
  filled.set(id, key);
  const place = document.getElementById(id);
  const { activeElement: focused } = document;
  const kept = place.contains(focused) ? focused.dataset.focus : undefined;
  place.replaceChildren(...make());
  if (kept) place.querySelector(`[data-focus="${CSS.escape(kept)}"]`)?.focus();
}

/** One row; a cell is text or a node, or `[content, "number"]`. The first one names the row. */
function row(labels, cells) {
  const made = cells.map((cell, at) => {
    const [content, kind] = Array.isArray(cell) ? cell : [cell, ""];
    if (at === 0) return element("th", { role: "rowheader", scope: "row", "data-label": labels[0] ?? "" }, ...[content].flat());
    const inner = element("span", {}, ...[content].flat());
    return element("td", { role: "cell", "data-label": labels[at] ?? "", ...(kind && { class: kind }) }, inner);
  });
  return element("tr", { role: "row" }, ...made);
}

const number = (content) => [content, "number"];

/** Tone and words for how the ledger is. */
export function judged(overview) {
  if (overview.conditions.some(({ stops }) => stops)) return "bad";
  const isWell = overview.conditions.length === 0 && overview.authorities.every(({ state }) => state === "voting");
  return isWell ? "good" : "warn";
}

/** What is amiss: what it is and what to do in the reader's language, where the kind is known, and in the node's own words. */
export function amiss(overview, language) {
  const { conditions: known } = TEXTS[language];
  const names = new Map(overview.authorities.map(({ authority_id: id, name }) => [id, name]));
  const view = {
    ...formats(language),
    finality: overview.finality,
    quorum: overview.quorum,
    n: overview.authorities.length,
    name: (id) => names.get(id) ?? id,
  };
  const told = overview.conditions.map(({ kind, text, facts, stops }) => {
    const say = Object.hasOwn(known, kind) ? known[kind] : null;
    return say ? { kind, text, stops, ...say(facts, view) } : { kind, text, stops, what: null, so: null };
  });
  // The node has no words for what may pass by itself; a pause names it anyhow.
  if (told.some(({ stops }) => stops)) return told;
  const passing = ["lagging", "unheard"].map((kind) => {
    const ids = overview.authorities.filter(({ state }) => state === kind).map(({ authority_id: id }) => id);
    return ids.length > 0 ? { kind, text: null, stops: false, ...known[kind](ids, view) } : null;
  });
  return [...told, ...passing.filter(Boolean)];
}

/** Kinds of which the node's own words are unfolded. */
const unfolded = new Set();

function ownWords(kind, text, title) {
  const folded = element("details", {}, element("summary", { "data-focus": kind }, title), element("p", { lang: "en" }, text));
  folded.open = unfolded.has(kind);
  folded.addEventListener("toggle", () => (folded.open ? unfolded.add(kind) : unfolded.delete(kind)));
  return folded;
}

function summary(overview, language, isLost) {
  const t = TEXTS[language];
  const tone = isLost ? "open" : judged(overview);
  const { finality, quorum, authorities } = overview;
  const counts = { here: finality?.taking_part ?? 0, n: authorities.length, quorum };
  const answer = element("p", { class: "answer", id: "answer" }, icon(tone), element("span", {}, t.answer[tone]));
  const box = element("div", { class: `verdict ${tone}` }, answer, element("p", { class: "meaning" }, t.meaning[tone](counts)));
  const found = isLost ? [] : amiss(overview, language);
  if (found.length > 0) {
    const items = found.map(({ kind, text, what, so }) => {
      if (!what) return element("li", {}, element("p", {}, element("strong", { lang: "en" }, text)));
      return element("li", {}, element("p", {}, element("strong", {}, what)), element("p", { class: "so" }, so), text && ownWords(kind, text, t.ownWords));
    });
    box.append(element("ul", { class: "conditions" }, ...items));
  }
  return [box];
}

function figures(overview, slots, language) {
  const { figures: names, none, ago } = TEXTS[language];
  const { number: count, span } = formats(language);
  const counted = slots.filter((slot) => slot?.blocks);
  const sum = (key) => counted.reduce((total, slot) => total + slot[key], 0);
  const blocks = sum("blocks");
  const mean = blocks > 0 ? span(counted.reduce((total, slot) => total + slot.took_ms_mean * slot.blocks, 0) / blocks) : none;
  const asOf = overview.checkpoint_as_of_ms > 0 ? ago(span(Math.max(0, overview.clock_ms - overview.checkpoint_as_of_ms))) : none;
  const shown = [
    ["height", count(overview.height)],
    ["hour", count(sum("records"))],
    ["mean", mean],
    ["asOf", asOf],
    ["pool", count(overview.pool_batches)],
    ["size", count(overview.log_size)],
  ];
  return shown.map(([key, value]) => element("div", {}, element("dt", {}, names[key]), element("dd", { "data-figure": key }, value)));
}

function authorityRow(it, version, language) {
  const t = TEXTS[language];
  const { number: count, span, signed } = formats(language);
  const labels = [t.authority, t.state, t.height, t.lag, t.clock, t.heard, t.version];
  const isUnknown = it.heard_ms_ago === null;
  const tone = TONES[it.state] ?? "open";
  const state = element("span", { class: `state ${tone}` }, icon(tone), element("span", {}, t.states[it.state] ?? it.state));
  const heard = it.here ? t.none : isUnknown ? t.never : it.heard_ms_ago < 3000 ? t.now : t.ago(span(it.heard_ms_ago));
  // Nodes tell each other three numbers, without what may stand behind them.
  const other = it.version !== null && it.version !== version.split(/[-+]/)[0] ? small(t.other) : null;
  const made = row(labels, [
    [[it.name, small(it.here ? `${it.authority_id} · ${t.here}` : it.authority_id)], ""],
    state,
    number(isUnknown ? t.none : count(it.height)),
    number(isUnknown ? t.none : count(it.lag)),
    number(isUnknown || it.here || it.state === "missing" ? t.none : signed(it.clock_skew_ms)),
    number(heard),
    [[it.version ?? t.none, other].filter((part) => part !== null), ""],
  ]);
  made.dataset.authority = it.authority_id;
  made.dataset.state = it.state;
  return made;
}

/** One slot for each minute up to now: `null` before this node was started. */
export function slotsOf(overview) {
  const { minutes, minutes_kept: kept, clock_ms: now, uptime_ms: up } = overview;
  const found = new Map(minutes.map((minute) => [Math.floor(minute.at_ms / MINUTE_MS), minute]));
  const newest = Math.floor(now / MINUTE_MS);
  const oldest = Math.floor((now - up) / MINUTE_MS);
  return Array.from({ length: kept }, (_, at) => {
    const minute = newest - kept + 1 + at;
    if (minute < oldest) return null;
    return found.get(minute) ?? { at_ms: minute * MINUTE_MS, blocks: 0, records: 0, took_ms_mean: 0, took_ms_max: 0 };
  });
}

function charts(slots, language) {
  const t = TEXTS[language];
  const { number: count, span, minute } = formats(language);
  const axis = t.axis(slots.length);
  const counted = slots.filter((slot) => slot?.blocks);
  const blocks = counted.reduce((total, slot) => total + slot.blocks, 0);
  const total = counted.reduce((sum, slot) => sum + slot.records, 0);
  const most = (key) => counted.reduce((max, slot) => Math.max(max, slot[key]), 0);
  const records = t.recordsWords({ total: count(total), most: count(most("records")), now: count(slots.at(-1)?.records ?? 0) });
  const mean = counted.reduce((sum, slot) => sum + slot.took_ms_mean * slot.blocks, 0) / blocks;
  const finality = blocks > 0 ? t.finalityWords({ mean: span(mean), most: span(most("took_ms_max")) }) : t.nothingYet;
  const bars = (value, highest) => slots.map((slot) => slot && { value: slot[value], most: highest ? slot[highest] : 0 });
  fill("records-chart", language, slots, () => chart(bars("records"), { words: records, top: count, axis }));
  fill("finality-chart", language, slots, () => chart(bars("took_ms_mean", "took_ms_max"), { words: finality, top: span, axis }));
  fill("minutes", language, counted, () =>
    counted.toReversed().map((it) =>
      row([], [minute(it.at_ms), number(count(it.records)), number(count(it.blocks)), number(span(it.took_ms_mean)), number(span(it.took_ms_max))]),
    ),
  );
}

const named = ({ issuer_id: id, name }) => name ?? id;

function blockRow(it, language) {
  const t = TEXTS[language];
  const { number: count, span, time } = formats(language);
  const issuers = it.issuers.map(named).join(", ") || t.noIssuer;
  const labels = [t.block, t.time, t.recordsCount, t.issuers, t.took];
  const took = it.took_ms === null ? t.unmeasured : span(it.took_ms);
  const made = row(labels, [count(it.height), time(it.time_ms), number(count(it.records)), it.more_issuers ? `${issuers} ${t.moreIssuers}` : issuers, number(took)]);
  made.dataset.height = it.height;
  return made;
}

function recordRow(it, language) {
  const t = TEXTS[language];
  const { number: count, time } = formats(language);
  const type = it.document_type === null ? t.none : LANGUAGES[language].typeName(it.document_type);
  return row([t.record, t.time, t.issuer, t.type], [count(it.index), time(it.time_ms), named(it.issuer), type]);
}

function peerRow(it, language) {
  const t = TEXTS[language];
  const { number: count, span, bytes } = formats(language);
  const labels = [t.peer, t.address, t.connected, t.received, t.sent, t.misbehaviours];
  const misbehaviours = it.misbehaviours.map(({ kind, count: times }) => `${kind} (${count(times)})`).join(", ") || t.none;
  return row(labels, [
    it.authority_id || it.observer,
    it.address || t.none,
    it.connected ? t.since(span(it.connected_ms)) : t.notConnected,
    number(bytes(it.bytes_in)),
    number(bytes(it.bytes_out)),
    misbehaviours,
  ]);
}

/** Shows an overview; `isLost` where the node does not answer any more. */
export function show(overview, language, isLost) {
  const t = TEXTS[language];
  const { time } = formats(language);
  const slots = slotsOf(overview);
  const { conditions, finality, authorities, blocks, records, peers } = overview;
  fill("summary", language, [isLost, conditions, finality, authorities.map(({ state }) => state)], () => summary(overview, language, isLost));
  document.getElementById("figures").replaceChildren(...figures(overview, slots, language));
  fill("authorities", language, authorities, () => authorities.map((it) => authorityRow(it, overview.version, language)));
  document.getElementById("counted").textContent = slots[0] === null ? t.counted(time(overview.clock_ms - overview.uptime_ms)) : "";
  charts(slots, language);
  fill("blocks", language, blocks, () => blocks.map((it) => blockRow(it, language)));
  fill("records", language, records, () => records.map((it) => recordRow(it, language)));
  document.getElementById("records-table").hidden = records.length === 0;
  document.getElementById("no-records").hidden = records.length > 0;
  document.getElementById("peers-section").hidden = !Array.isArray(peers);
  if (Array.isArray(peers)) fill("peers", language, peers, () => peers.map((it) => peerRow(it, language)));
  const { node, role, version, origin, ledger_id: ledger } = overview;
  document.getElementById("node").textContent = t.nodeIs({ node, role, version, origin, ledger });
}
