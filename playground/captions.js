// What both say, as it is said. Interim words are shown; only finished lines are read out.

import { byId, element } from "./dom.js";

const NAMES = { user: "You", agent: "Agent" };
const LINES_MAX = 200;

function scrollDown() {
  const captions = byId("captions");
  captions.scrollTo({ top: captions.scrollHeight, behavior: "instant" });
}

export class Captions {
  #lines = new Map();

  constructor() {
    // The newest line stays in sight when the window gets another size.
    new ResizeObserver(scrollDown).observe(byId("captions"));
  }

  clear() {
    this.#lines.clear();
    byId("lines").replaceChildren();
    byId("empty").hidden = false;
  }

  /** Shows all of a segment's words so far. */
  show({ segment, speaker, text, isFinal }) {
    if (!text.trim()) return;
    const line = this.#lines.get(segment) ?? this.#add(segment, speaker);
    line.words.textContent = text;
    line.item.classList.toggle("interim", !isFinal);
    if (isFinal) {
      byId("announcer").textContent = `${speaker === "user" ? "You said" : "Agent"}: ${text}`;
    }
    scrollDown();
  }

  #add(segment, speaker) {
    byId("empty").hidden = true;
    const words = element("p", "words");
    const item = element("li", `line ${speaker}`, {}, element("span", "who", {}, NAMES[speaker]), words);
    byId("lines").append(item);
    this.#lines.set(segment, { item, words });
    if (this.#lines.size > LINES_MAX) {
      const [oldest, line] = this.#lines.entries().next().value;
      line.item.remove();
      this.#lines.delete(oldest);
    }
    return this.#lines.get(segment);
  }
}
