// The turns of the call: a bar each, made of what was waited for.

import { byId, element, milliseconds } from "./dom.js";
import { STAGES, median, stagesOf, workOf } from "./stages.js";

const BARS_MAX = 6;
const SCALE_MIN_MS = 700;
const HEARD = { speech: "spoken", text: "typed" };
const ENDED = { interrupted: ", interrupted", failed: ", failed", finished: "" };

export class Latency {
  #turns = [];
  #after = 0;

  /** Asks for the turns of `identity` that are new and draws them. */
  async update(identity, endpointingDelayMs) {
    const response = await fetch(`/playground/turns/${identity}/${this.#after}`);
    if (!response.ok) return;
    for (const turn of await response.json()) {
      // Two questions may be under way at once.
      if (turn.number <= this.#after) continue;
      this.#after = turn.number;
      const stages = stagesOf(turn, endpointingDelayMs);
      if (stages) this.#turns.push({ turn, ...stages });
    }
    if (this.#turns.length) this.#draw();
  }

  /** Begins a call: older turns are left out. */
  async begin(identity) {
    this.#turns = [];
    this.#after = 0;
    byId("turns").replaceChildren();
    byId("latency").hidden = true;
    byId("no-turns").hidden = false;
    const response = await fetch(`/playground/turns/${identity}/0`);
    if (response.ok) this.#after = Math.max(0, ...(await response.json()).map((turn) => turn.number));
  }

  #draw() {
    const shown = this.#turns.slice(-BARS_MAX);
    const scale = Math.max(SCALE_MIN_MS, ...shown.map((turn) => turn.total));
    const first = this.#turns.length - shown.length + 1;
    const bars = shown.map((turn, place) => bar(turn, first + place, scale));
    byId("turns").replaceChildren(...bars.reverse());
    byId("no-turns").hidden = true;
    const last = this.#turns.at(-1).total;
    const middle = median(this.#turns.map((turn) => turn.total));
    const count = this.#turns.length === 1 ? "first turn" : `median of ${this.#turns.length}: ${milliseconds(middle)}`;
    byId("latency").replaceChildren(element("strong", "", {}, milliseconds(last)), count);
    byId("latency").hidden = false;
  }
}

function bar({ turn, total, parts }, place, scale) {
  const percent = (ms) => `${(100 * ms) / scale}%`;
  const heard = STAGES.filter(([name]) => parts[name] > 0);
  const text = heard.map(([name, label]) => `${label} ${milliseconds(parts[name])}`).join(", ");
  const stack = element("div", "bar", { role: "img", "aria-label": text, title: text });
  stack.style.width = percent(total);
  for (const [name] of heard) {
    const part = element("i", name);
    part.style.flexGrow = parts[name];
    stack.append(part);
  }
  const lanes = element("div", "lanes", { "aria-hidden": "true" });
  for (const [name, from, to] of workOf(turn)) {
    const span = element("i", name);
    span.style.left = percent(from);
    span.style.width = percent(to - from);
    lanes.append(span);
  }
  const head = element("div", "turn-head", {});
  head.append(
    element("span", "", {}, `Turn ${place}, ${HEARD[turn.source] ?? turn.source}${ENDED[turn.outcome] ?? ""}`),
    element("b", "", {}, milliseconds(total)),
  );
  return element("li", "turn", {}, head, stack, lanes);
}
