// The end of a report as it is printed: when it was made, and a code that leads to the record and its status of today.

import { element, picture } from "./dom.js";
import { fragmentOf } from "./link.js";
import { qrCode } from "./qr.js";

/** Light modules around a code (ISO/IEC 18004 section 6.3.8). */
const QUIET = 4;

function codeOf(text, label) {
  const rows = qrCode(text);
  if (!rows) return null;
  const path = rows.flatMap((row, i) => row.map((dark, j) => (dark ? `M${j + QUIET} ${i + QUIET}h1v1h-1z` : "")));
  const side = rows.length + 2 * QUIET;
  return picture({ class: "code", viewBox: `0 0 ${side} ${side}`, role: "img", "aria-label": label }, path.join(""));
}

/** `page` is the address of a page that opens links; where there is `null`, the report has no code. */
export function report({ facts, salt, checkedAt }, t, language, page) {
  const format = new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "long" });
  const parts = [element("h3", {}, t.report), element("p", {}, t.reportedAt(format.format(checkedAt)))];
  if (page !== null) {
    const link = page + fragmentOf(facts.index, salt);
    parts.push(codeOf(link, t.codeLabel), element("p", {}, facts.public ? t.codePublic : t.code), element("p", {}, element("code", {}, link)));
  }
  return element("section", { class: "report" }, ...parts);
}
