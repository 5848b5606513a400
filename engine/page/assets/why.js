// The answer to "why is this domain not going?": what holds it back, because of what, for how long.
"use strict";
import { $, duration, element, number, rate, show, words } from "./dom.js";
import { order } from "./act.js";

let last = null;

export async function ask(domain) {
  if (!domain) return;
  try {
    const answer = await fetch(`/live/why?domain=${encodeURIComponent(domain)}`, { credentials: "omit", cache: "no-store" });
    const told = await answer.json();
    last = answer.ok ? told : { domain, error: words().error[told.error?.code] ?? told.error?.text ?? `HTTP ${answer.status}` };
  } catch (_) { last = { domain, error: words().error.network }; }
  repaintAnswer();
}

function close() { last = null; show($("why"), false); $("domain").focus(); }

function table(heads, rows) {
  return element("div", { class: "fold", tabindex: "0" }, element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col", class: "text" }, head)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((cell) => element("td", {}, String(cell))))))));
}

function facts(pairs) {
  return element("dl", {}, ...pairs.filter(([, value]) => value).map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, element("bdi", {}, value)))));
}

function suspend(told, waiting) {
  const w = words(), scope = { domain: told.domain };
  order({ title: w.suspend_what(told.domain), text: w.suspend_text(number(waiting)), go: w.suspend_go, timed: true, body: (reason, seconds) => ({ do: "suspend", scope, seconds, reason }) });
}

export function repaintAnswer() {
  const box = $("why"), told = last;
  if (!told) return;
  show(box, true);
  const w = words(), y = w.why;
  const title = element("h3", {}, element("bdi", {}, told.domain));
  const shut = element("button", { type: "button", class: "quiet small", click: close }, y.close);
  if (told.error) { box.replaceChildren(title, element("p", { class: "bad" }, told.error), element("div", { class: "buttons" }, shut)); return; }
  const waiting = (told.waiting.transactional ?? 0) + (told.waiting.bulk ?? 0);
  const flying = (told.paths ?? []).reduce((sum, path) => sum + path.ready + path.in_flight, 0);
  const what = told.binds?.what ?? "";
  const lead = what ? `${y.binds}: ${w.bind[what] ?? what}${told.binds.seconds ? ` — ${(["suspend", "bounce", "quiet", "warmup"].includes(what) ? w.until : w.paused)(duration(told.binds.seconds))}` : ""}` : waiting + flying ? y.free : y.idle;
  const parts = [title, element("p", { class: `lead${what ? " warn" : ""}` }, lead), facts([
    [y.from, told.binds?.from ?? ""],
    [y.waiting, `${number(waiting)} (${y.transactional} ${number(told.waiting.transactional ?? 0)}, ${y.bulk} ${number(told.waiting.bulk ?? 0)})`],
    [y.eta, told.eta_seconds === null || told.eta_seconds === undefined ? y.none : duration(told.eta_seconds)],
    [y.site, told.site], [y.provider, told.provider],
  ])];
  if (told.paths?.length) parts.push(element("details", {}, element("summary", {}, y.paths), table(
    [y.source, w.ready, w.in_flight, w.connections, w.rate_short, y.tried, w.last_error],
    told.paths.map((path) => [path.source, number(path.ready), number(path.in_flight), `${path.connections} / ${Math.min(path.window, path.connection_limit)}`, rate(path.rate), `${number(path.delivered)} / ${number(path.deferred)} / ${number(path.failed)}`, path.last_error]))));
  if (told.limits?.length) parts.push(element("details", {}, element("summary", {}, y.limits), table([y.key, y.value, y.from], told.limits.map((row) => [row.key, row.value, row.from]))));
  const stop = element("button", { type: "button", class: "act small", click: () => suspend(told, waiting) }, w.suspend);
  parts.push(element("div", { class: "buttons" }, stop, shut));
  box.replaceChildren(...parts);
}
