// Whose public records of a document there are, and what follows from all of them. The rule is that of the program, in
// `client/src/offices.rs`: records are judged by issuer, and what one of them says never speaks for or against another.

import { element } from "./dom.js";
import { dates, judge } from "./verdict.js";

/** The worst first. */
const RANKS = ["revoked", "suspended", "superseded", "expired", "dated", "valid"];

/** Where the record stands that gave a record its status: the last one that changed it, or else itself. */
const since = ({ history, index }) => history.at(-1)?.index ?? index;

/** Which of one issuer's records decides; they are sorted by what was said last. */
function deciding(records) {
  const newest = (...wanted) => records.find(({ status }) => wanted.includes(status));
  const [suspended, valid, ended] = [newest("suspended"), newest("valid"), newest("revoked", "superseded")];
  if (suspended) return suspended; // what the issuer looks into is open, whatever it anchored beside it
  // The one that replaces another stands at the same place as what became of that other one.
  return valid && !(ended && since(valid) < since(ended)) ? valid : ended;
}

/**
 * Records of one document, as `verifyReceipt` gives their facts, by issuer: the worst first, then by their ids. Of each the
 * facts of the record that decides, its other records, and the answer that these facts call for.
 */
export function officesOf(records, now) {
  const byIssuer = new Map();
  for (const facts of records) byIssuer.set(facts.issuer, [...(byIssuer.get(facts.issuer) ?? []), facts]);
  const offices = [...byIssuer.values()].map((of) => {
    const sorted = of.toSorted((a, b) => (since(a) > since(b) ? -1 : 1));
    const facts = deciding(sorted);
    return { facts, others: sorted.filter((other) => other !== facts), verdict: judge(facts, now) };
  });
  const rank = ({ verdict }) => RANKS.indexOf(verdict.name);
  return offices.sort((a, b) => rank(a) - rank(b) || (a.facts.issuer < b.facts.issuer ? -1 : 1));
}

/** What all of them come to: as with the first one where all are good, or none is; `null` where they differ. */
export function together(offices) {
  const isGood = ({ verdict }) => verdict.tone === "good";
  return offices.some(isGood) === offices.every(isGood) ? offices[0] : null;
}

/** All of them by name, each to be chosen; `null` where there is but one. */
export function officesList({ offices, chosen }, t, language, choose) {
  if (!offices || offices.length < 2) return null;
  const date = dates(language);
  const items = offices.map(({ facts, verdict: { name, at } }) => {
    const button = element("button", { type: "button", class: "button quiet", "aria-pressed": String(facts.issuer === chosen) }, facts.issuerName);
    button.addEventListener("click", () => choose(facts.issuer));
    const said = t.standing[name](at === null ? "" : date.day(at));
    return element("li", {}, button, element("span", {}, said, element("small", {}, facts.issuer)));
  });
  const agree = together(offices) !== null;
  const meaning = element("p", {}, agree ? t.officesAgree : t.officesDiffer);
  const list = element("ul", {}, ...items);
  return element("section", { class: "offices", "aria-labelledby": "offices" }, element("h3", { id: "offices" }, t.offices), meaning, list);
}
