// Small ways to build the page. Text is always set as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** An element with a class, attributes and children (elements or texts). */
export function element(tag, className = "", attributes = {}, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** An SVG element with attributes. */
export function shape(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** Milliseconds for people. */
export const milliseconds = (ms) => (ms < 10_000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

export const number = new Intl.NumberFormat("en");

/** A number with its noun. */
export const counted = (count, one, many = `${one}s`) => `${number.format(count)} ${count === 1 ? one : many}`;
