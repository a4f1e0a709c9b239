// Small charts over the last hour: one bar a minute. What a chart shows stands below it in words, and in a table.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 100;

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** The next of 1, 2, 3, 5, 10, 20 … that is not below a value. */
export function roundedUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 3, 5, 10].map((step) => step * power).find((step) => step >= value) ?? 1;
}

/**
 * Slots from the oldest to now: `null` where nothing was counted, else `{ value, most }`, of which `most` is drawn as a line
 * above the bar where it is more.
 */
export function chart(slots, { words, top, axis }) {
  const max = roundedUp(Math.max(1, ...slots.map((slot) => Math.max(slot?.value ?? 0, slot?.most ?? 0))));
  const y = (value) => HEIGHT - (value / max) * HEIGHT;
  const svg = shape("svg", { viewBox: `0 0 ${slots.length} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const uncounted = slots.findIndex((slot) => slot !== null);
  const none = uncounted < 0 ? slots.length : uncounted;
  if (none > 0) svg.append(shape("rect", { class: "none", x: 0, y: 0, width: none, height: HEIGHT }));
  svg.append(shape("path", { class: "grid", d: `M0 0H${slots.length}M0 ${HEIGHT / 2}H${slots.length}` }));
  slots.forEach((slot, at) => {
    if (!slot) return;
    // A little is seen, too.
    const height = slot.value > 0 ? Math.max(HEIGHT - y(slot.value), 1.5) : 0;
    if (height > 0) svg.append(shape("rect", { class: "bar", x: at + 0.14, y: HEIGHT - height, width: 0.72, height }));
    if ((slot.most ?? 0) > slot.value) {
      svg.append(shape("path", { class: "whisker", d: `M${at + 0.5} ${y(slot.value)}V${y(slot.most)}M${at + 0.2} ${y(slot.most)}h.6` }));
    }
  });
  const ruler = document.createElement("span");
  ruler.className = "top";
  ruler.setAttribute("aria-hidden", "true");
  ruler.textContent = top(max);
  const ends = document.createElement("div");
  ends.className = "axis";
  ends.setAttribute("aria-hidden", "true");
  for (const text of axis) {
    const end = document.createElement("span");
    end.textContent = text;
    ends.append(end);
  }
  const says = document.createElement("p");
  says.className = "chart-says";
  says.textContent = words;
  const frame = document.createElement("div");
  frame.className = "chart";
  frame.append(ruler, svg);
  return [frame, ends, says];
}
