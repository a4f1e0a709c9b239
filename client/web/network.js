// The overview: asks this node how things stand every few seconds, as long as anybody can see it, and shows what it says.

import { preferred } from "./texts.js";
import { TEXTS } from "./network-texts.js";
import { amiss, formats, judged, refill, show } from "./network-view.js";

/** Pause between two questions; each that fails doubles it, up to the longest. */
const PAUSE_MS = 3_000;
const PAUSE_MAX_MS = 30_000;
/** An answer that takes longer does not come. */
const PATIENCE_MS = 10_000;

const at = (id) => document.getElementById(id);

const state = {
  language: preferred(navigator.languages ?? [navigator.language]),
  /** The newest answer, and when it came. */
  overview: null,
  answeredAt: Date.now(),
  /** Why there is none now; `null` while there is. */
  lost: null,
  failures: 0,
  timer: null,
  asking: false,
  /** What was said aloud. */
  said: null,
};

const texts = () => TEXTS[state.language];

/** Whether an answer has all that is shown. */
function isOverview(answer) {
  const lists = ["conditions", "authorities", "blocks", "records", "minutes"];
  return lists.every((name) => Array.isArray(answer?.[name])) && Number.isFinite(answer.clock_ms) && answer.minutes_kept > 0;
}

/** The overview, or why there is none. */
async function ask() {
  let response;
  try {
    response = await fetch("/v1/network", { credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch {
    return { lost: "silent" };
  }
  if (response.status === 404) return { lost: "off" };
  if (response.status === 429 || response.status === 503) return { lost: "busy" };
  if (!response.ok) return { lost: "failed" };
  const overview = await response.json().catch(() => null);
  return isOverview(overview) ? { overview } : { lost: "strange" };
}

async function renew() {
  if (state.asking) return;
  clearTimeout(state.timer);
  state.asking = true;
  const { overview, lost = null } = await ask();
  state.asking = false;
  state.lost = lost;
  if (overview) {
    state.overview = overview;
    state.answeredAt = Date.now();
  }
  state.failures = lost ? state.failures + 1 : 0;
  const pause = Math.min(PAUSE_MS * 2 ** state.failures, PAUSE_MAX_MS);
  render(lost ? pause : null);
  document.documentElement.dataset.ready = "yes";
  if (!document.hidden) state.timer = setTimeout(renew, pause);
}

/** What is the same is not put again, or it would be read out again. */
function put(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function render(pause) {
  const { overview, lost, language } = state;
  const t = texts();
  at("loading").hidden = overview !== null || lost !== null;
  at("lost").hidden = lost === null;
  if (lost) {
    const { time, span } = formats(language);
    const since = time(state.answeredAt);
    put("lost-text", [t.lost[lost](since), overview && t.old(since)].filter(Boolean).join(" "));
    put("again", pause ? t.again(span(pause)) : "");
  } else put("lost-text", "");
  at("shown").hidden = overview === null;
  if (overview) show(overview, language, lost !== null);
  const tone = lost ? "open" : overview && judged(overview);
  document.title = tone && tone !== "good" ? `${t.answer[tone]} – ${t.pageTitle}` : t.pageTitle;
  announce(tone);
}

/** Says aloud what has changed for better or worse; not what merely goes on. */
function announce(tone) {
  const { overview, lost, language } = state;
  if (!overview || lost) return; // that is an alert of its own
  const states = overview.authorities.map(({ state: word }) => word);
  const key = JSON.stringify([tone, states, overview.conditions.map(({ kind }) => kind)]);
  const isFirst = state.said === null;
  if (state.said === key) return;
  state.said = key;
  if (isFirst) return; // it is read with the page
  at("announce").textContent = [texts().answer[tone], ...amiss(overview, language).map(({ what, text }) => what ?? text)].join(". ");
}

function speak() {
  const t = texts();
  document.documentElement.lang = state.language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = t[node.dataset.text];
  for (const node of document.querySelectorAll("[data-label]")) {
    if (Object.hasOwn(t, node.dataset.label)) node.setAttribute("aria-label", t[node.dataset.label]);
  }
  for (const node of document.querySelectorAll("[data-language]")) {
    node.setAttribute("aria-pressed", String(node.dataset.language === state.language));
  }
  refill();
  render(null);
}

for (const node of document.querySelectorAll("[data-language]")) {
  node.addEventListener("click", () => {
    state.language = node.dataset.language;
    speak();
  });
}
at("retry").addEventListener("click", renew);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(state.timer);
  else renew();
});
speak();
renew();
