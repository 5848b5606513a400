// Small tools: elements by text only (never markup), lists that keep their elements, numbers and times with units.
"use strict";
import { WORDS } from "./words.js";

export const $ = (id) => document.getElementById(id);
export const language = () => (document.documentElement.lang === "en" ? "en" : "ja");
export const words = () => WORDS[language()];

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (typeof value === "function") made.addEventListener(key, value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Touches the page only where something changed: selection, focus and screen readers stay where they are.
export function put(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

export function show(node, is) {
  if (node.hidden === is) node.hidden = !is;
}

// `entries` into `parent`, one element for each key; `make` builds it, `update(element, entry)` fills it.
export function list(parent, entries, key, make, update) {
  const known = parent.known ?? (parent.known = new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const entry of entries) {
    const name = key(entry);
    if (wanted.has(name)) continue;
    wanted.add(name);
    let node = known.get(name);
    if (!node) known.set(name, (node = make(entry)));
    update(node, entry);
    if (node === place) place = place.nextElementSibling;
    else if (!node.contains(document.activeElement) || !node.parentNode) parent.insertBefore(node, place);
  }
  for (const [name, node] of known) {
    if (!wanted.has(name)) {
      known.delete(name);
      node.remove();
    }
  }
}

export function forget(parent) {
  parent.known = new Map();
  parent.replaceChildren();
}

const formats = {};
const format = (digits) => (formats[language() + digits] ??= new Intl.NumberFormat(language(), { maximumFractionDigits: digits }));
export const number = (value) => format(0).format(value);
export const rate = (value) => format(value < 10 ? 1 : 0).format(value);
export const percent = (part, whole) => {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  if (part && share < 0.1) return "<0.1 %";
  if (part < whole && share > 99.9) return ">99.9 %";
  return `${format(1).format(share)} %`;
};

export function duration(seconds) {
  const u = words().units;
  const part = (value, unit) => `${number(value)} ${unit}`;
  if (seconds < 1) return `${format(3).format(seconds)} ${u.s}`;
  if (seconds < 10 && seconds % 1) return `${format(1).format(seconds)} ${u.s}`;
  const whole = Math.round(seconds);
  if (whole < 60) return part(whole, u.s);
  const two = (large, largeUnit, small, smallUnit) => (small ? `${part(large, largeUnit)} ${part(small, smallUnit)}` : part(large, largeUnit));
  if (whole < 600) return two(Math.floor(whole / 60), u.min, whole % 60, u.s);
  if (whole < 3570) return part(Math.round(whole / 60), u.min);
  if (whole < 86400) return two(Math.floor((whole + 30) / 3600), u.h, Math.floor(((whole + 30) % 3600) / 60), u.min);
  return two(Math.floor(whole / 86400), u.d, Math.floor((whole % 86400) / 3600), u.h);
}

export function bytes(value) {
  const names = ["B", "KB", "MB", "GB", "TB", "PB"];
  let size = value, at = 0;
  while (size >= 1000 && at < names.length - 1) { size /= 1000; at += 1; }
  return `${format(size < 10 && at ? 1 : 0).format(size)} ${names[at]}`;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleString(language(), { month: "numeric", day: "numeric", hour: "2-digit", minute: "2-digit" });
export const time = (milliseconds) => new Date(milliseconds).toLocaleTimeString(language());

// A bar of parts, each [name, value]; widths by the style object, which the content policy allows.
export function bar(node, parts, whole) {
  list(node, parts, ([name]) => name, ([name]) => element("span", { class: `c-${name}` }), (span, [, value]) => {
    const width = whole ? `${Math.max(value ? 0.4 : 0, (100 * value) / whole)}%` : "0";
    if (span.style.width !== width) span.style.width = width;
  });
}
