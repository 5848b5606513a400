// The live page: listens to /live/events and keeps every part of the page at what was told last.
"use strict";
import { $, bar, bytes, clock, duration, element, forget, language, list, number, percent, put, rate, show, time, words } from "./dom.js";
import * as chart from "./chart.js";
import * as act from "./act.js";
import { ask, repaintAnswer } from "./why.js";

const SILENCE = 6000, AGAIN = 2000;
const told = {};
const shares = new Map(); // mailing -> [[milliseconds, open], ...] of the last half minute
let heard = 0, connection = "connecting", source = null, again = 0;

// -- the connection --------------------------------------------------------------------------------------------

const painters = {
  now: paintNow, facts: paintFacts, lag: paintFacts, sites: paintSites, mailings: paintMailings, domains: paintDomains,
  suppressed: paintSuppressed, remarks: paintRemarks, unresolved: paintRemarks, directives: paintDirectives, fault: paintState,
};

function connect() {
  clearTimeout(again);
  source?.close();
  source = new EventSource("/live/events");
  const on = (name, then) => source.addEventListener(name, (event) => {
    heard = Date.now();
    if (connection !== "open") { connection = "open"; paintState(); }
    then(JSON.parse(event.data));
  });
  on("history", (value) => chart.begin(value));
  on("point", (value) => { chart.add(value); paintRate(); });
  on("actions", (value) => act.allow(value));
  for (const [name, paint] of Object.entries(painters)) on(name, (value) => { told[name] = value; note(name); paint(); });
  source.addEventListener("stopped", () => lose("stopped"));
  source.addEventListener("error", () => lose(connection === "stopped" ? "stopped" : "lost"));
}

function lose(how) {
  source?.close();
  source = null;
  connection = how;
  paintState();
  clearTimeout(again);
  again = setTimeout(connect, AGAIN);
}

setInterval(() => { if (connection === "open" && Date.now() - heard > SILENCE) lose("lost"); }, 1000);

function note(name) {
  if (name !== "mailings") return;
  const at = Date.now(), seen = new Set();
  for (const one of told.mailings) {
    const key = mailingKey(one);
    seen.add(key);
    const past = shares.get(key) ?? [];
    past.push([at, one.open]);
    while (past.length > 2 && past[0][0] < at - 30000) past.shift();
    shares.set(key, past);
  }
  for (const key of [...shares.keys()]) if (!seen.has(key)) shares.delete(key);
}

// -- state -----------------------------------------------------------------------------------------------------

function paintState() {
  const w = words(), now = told.now;
  const state = connection === "open" ? now?.state ?? "connecting" : connection;
  const pill = $("state");
  if (pill.dataset.state !== state) pill.dataset.state = state === "stopped" ? "lost" : state;
  put($("state-text"), w.state[state] ?? state);
  document.body.classList.toggle("stale", connection !== "open" && connection !== "connecting");
  const at = heard ? time(heard) : "";
  const text = {
    lost: () => (heard ? w.banner.lost(at) : w.banner.never), stopped: () => w.banner.stopped(at),
    draining: () => w.banner.draining, blocked: () => w.banner.blocked(now.problem), fault: () => w.banner.fault(now.problem),
  }[state]?.() ?? (told.fault ? w.banner.view : "");
  const banner = $("banner");
  put(banner, text);
  banner.dataset.kind = ["lost", "stopped", "fault"].includes(state) ? "bad" : "warn";
  show(banner, Boolean(text));
  const speed = rate(chart.mean("delivered", 10));
  document.title = connection === "open" ? `${speed}${w.second} · ${w.title}` : `⚠ ${w.state[state] ?? state} · ${w.title}`;
  put($("node"), now && told.facts ? `${now && told.facts.node} · ${w.uptime} ${duration(now.uptime)}` : "");
}

function paintRate() {
  const w = words(), speed = chart.mean("delivered", 10);
  put($("rate"), rate(speed));
  const most = chart.peak();
  put($("rate-note"), [speed >= 0.05 ? w.per_hour(number(Number((speed * 3600).toPrecision(3)))) : "", most ? w.peak(rate(most)) : ""].filter(Boolean).join("　"));
  chart.legend();
  put($("chart-text"), w.chart(rate(speed), number(open())));
}

// -- queue and outcomes ----------------------------------------------------------------------------------------

const open = () => (told.now ? Object.values(told.now.places).reduce((sum, value) => sum + Math.max(0, value), 0) : 0);

function figures(node, names, values, whole, notes = {}) {
  const w = words();
  const entries = names.flatMap((name) => ["dt", "dd", "part"].map((kind) => [kind, name]));
  list(node, entries, ([kind, name]) => kind + name, ([kind, name]) => kind === "dt"
    ? element("dt", {}, element("span", { class: `chip c-${name}`, "aria-hidden": "true" }), element("span"), element("small"))
    : element("dd", { class: kind === "part" ? "part" : "" }), (entry, [kind, name]) => {
    if (kind === "dt") { put(entry.children[1], w[name]); put(entry.children[2], notes[name] ?? ""); } else put(entry, kind === "dd" ? number(values[name] ?? 0) : percent(values[name] ?? 0, whole));
  });
}

function paintNow() {
  const w = words(), now = told.now;
  if (!now) return;
  paintState();
  const queued = open(), places = ["waiting", "ready", "in_flight", "held"];
  put($("queue-sum"), w.people(number(queued)));
  bar($("queue-bar"), places.map((name) => [name, now.places[name]]), queued);
  figures($("queue"), places, now.places, queued, Object.fromEntries(places.map((name) => [name, w[`${name}_note`]])));
  const speed = ["delivered", "failed", "suppressed"].reduce((sum, name) => sum + chart.mean(name, 30), 0);
  put($("queue-note"), [queued ? (speed >= 0.5 ? w.queue_done(duration(queued / speed)) : "") : w.queue_empty, w.credit(number(now.credit))].filter(Boolean).join(" · "));
  const ends = ["delivered", "bounced", "expired", "suppressed", "cancelled"];
  const ended = ends.reduce((sum, name) => sum + now.outcomes[name], 0);
  put($("outcomes-sum"), `${w.people(number(ended))} · ${w.since(duration(now.uptime))}`);
  bar($("outcomes-bar"), ends.map((name) => [name, now.outcomes[name]]), ended);
  figures($("outcomes"), ends, now.outcomes, ended);
  put($("outcomes-note"), [now.deferrals ? w.outcomes_note(number(now.deferrals)) : "", now.in_doubt ? w.in_doubt(number(now.in_doubt)) : "", now.resent_in_doubt ? w.resent(number(now.resent_in_doubt)) : ""].filter(Boolean).join(" · "));
}

function paintSuppressed() {
  const w = words(), rows = told.suppressed ?? [];
  put($("suppressed-sum"), rows.length ? w.people(number(rows.reduce((sum, row) => sum + row.count, 0))) : "");
  show($("suppressed-empty"), !rows.length);
  list($("suppressed"), rows, (row) => row.code, (row) => element("li", {}, element("span"), element("b"), element("code", {}, row.code)), (node, row) => {
    put(node.children[0], row[language()]);
    put(node.children[1], number(row.count));
  });
}

// -- orders in force -------------------------------------------------------------------------------------------

const scopeText = (scope) => Object.entries(scope).map(([name, value]) => `${words().scope[name] ?? name} ${value}`).join(" · ");

function paintDirectives() {
  const w = words(), found = told.directives;
  if (!found) return;
  show($("orders-card"), found.rows.length > 0);
  put($("orders-sum"), number(found.total));
  list($("orders"), found.rows, (row) => row.number, (row) => element("li", {}, element("div", { class: "what" }), element("div"),
    element("button", { type: "button", class: "act small", click: () => askResume(row) })), (node, row) => {
    put(node.children[0], `${w.verb[row.verb] ?? row.verb}: ${scopeText(row.scope)}`);
    const left = row.seconds === null ? w.endless : w.until(duration(row.seconds));
    put(node.children[1], [left, row.reason, w.by(row.by)].filter(Boolean).join(" · "));
    put(node.children[2], w.resume);
  });
  paintSites();
  paintMailings();
}

const standing = (scope) => (told.directives?.rows ?? []).find((row) => row.verb === "suspend" && Object.keys(row.scope).length === Object.keys(scope).length && Object.entries(scope).every(([name, value]) => row.scope[name] === value));

function askResume(row) {
  const w = words();
  act.order({ title: w.resume_what(scopeText(row.scope)), text: w.resume_text, go: w.resume_go, body: (reason) => ({ do: "resume", number: row.number, reason }) });
}

export function askSuspend(scope, name, waiting) {
  const w = words();
  const title = scope.mailing ? w.suspend_mailing(name) : w.suspend_what(name);
  act.order({ title, text: w.suspend_text(number(waiting)), go: w.suspend_go, timed: true, body: (reason, seconds) => ({ do: "suspend", scope, seconds, reason }) });
}

function askCancel(one) {
  const w = words();
  act.order({ title: w.cancel_what(one.mailing), text: w.cancel_text(number(one.open), one.sender), warning: w.cancel_warning, go: w.cancel_go, danger: true, body: (reason) => ({ do: "cancel", sender: one.sender, mailing: one.mailing, reason }) });
}

// The button's meaning may change while it stands there: it asks `entry` when it is pressed.
function toggle(node, scope, entry, name, waiting) {
  const w = words(), order = standing(scope);
  put(node, order ? w.resume : w.suspend);
  node.setAttribute("aria-label", order ? w.resume_what(name) : scope.mailing ? w.suspend_mailing(name) : w.suspend_what(name));
  node.then = () => (order ? askResume(order) : askSuspend(scope, name, waiting));
}

// -- mailings --------------------------------------------------------------------------------------------------

const mailingKey = (one) => `${one.sender}\n${one.mailing}`;

function mailingEta(one) {
  const past = shares.get(mailingKey(one)) ?? [];
  if (past.length < 2) return null;
  const [first, last] = [past[0], past[past.length - 1]];
  const speed = (first[1] - last[1]) / ((last[0] - first[0]) / 1000);
  return last[0] - first[0] > 10000 && speed > 0.05 ? one.open / speed : null;
}

function paintMailings() {
  const w = words();
  if (!told.mailings) return;
  const rows = [...told.mailings].sort((a, b) => (b.open > 0) - (a.open > 0) || b.began - a.began || (a.mailing < b.mailing ? -1 : 1));
  show($("mailings-empty"), !rows.length);
  const ends = ["delivered", "bounced", "expired", "suppressed", "cancelled"];
  list($("mailings"), rows, mailingKey, () => {
    const bars = element("div", { class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" });
    const stop = element("button", { type: "button", class: "act quiet small", click: () => stop.then() });
    const cancel = element("button", { type: "button", class: "act quiet small", click: () => cancel.then() });
    return element("li", {}, element("div", { class: "name" }, element("bdi"), " ", element("span", { class: "tag" }), element("small")), element("div", { class: "progress" }, bars, element("div", { class: "parts" })), element("div", { class: "buttons" }, stop, cancel));
  }, (node, one) => {
    const [name, progress, buttons] = node.children;
    put(name.children[0], one.mailing);
    const word = one.is_cancelled ? w.is_cancelled : one.open === 0 ? w.is_done : "";
    put(name.children[1], word);
    show(name.children[1], Boolean(word));
    put(name.children[2], `${one.sender} · ${w.began(clock(one.began))}`);
    const done = one.accepted - one.open;
    bar(progress.children[0], ends.map((end) => [end, one[end]]), one.accepted);
    progress.children[0].setAttribute("aria-label", one.mailing);
    progress.children[0].setAttribute("aria-valuenow", one.accepted ? Math.floor((100 * done) / one.accepted) : 0);
    const eta = one.open ? mailingEta(one) : null;
    const parts = [["done", w.done(percent(done, one.accepted)), w.of(number(one.accepted))], ...ends.filter((end) => one[end]).map((end) => [end, number(one[end]), w[end]]), ...(one.open ? [["open", number(one.open), w.open]] : []), ...(eta === null ? [] : [["eta", "", w.eta(duration(eta))]])];
    list(progress.children[1], parts, (part) => part[0], () => element("span", {}, element("b"), " ", element("span")), (part, [, value, label]) => { put(part.children[0], value); put(part.children[1], label); });
    toggle(buttons.children[0], { sender: one.sender, mailing: one.mailing }, one, one.mailing, one.open);
    put(buttons.children[1], w.cancel);
    buttons.children[1].setAttribute("aria-label", w.cancel_what(one.mailing));
    buttons.children[1].then = () => askCancel(one);
    show(buttons, one.open > 0 && !one.is_cancelled);
  });
}

// -- sites -----------------------------------------------------------------------------------------------------

const COLUMNS = [["site", "text site"], ["queued", ""], ["flying", ""], ["connections", ""], ["rate_short", ""], ["delivered_short", ""], ["deferred_short", ""], ["failed_short", ""], ["eta_short", ""], ["binds", "text binds"], ["do", "do"]];
const heading = (name) => (name === "do" ? "" : words()[name]);
const FEW = 12, SORT_EVERY = 10000;
let sortedAt = 0, order = new Map(), all = false;

// Rows change places every ten seconds at most: somebody may be reading one.
function calm(rows) {
  const at = Date.now();
  if (at - sortedAt > SORT_EVERY) {
    sortedAt = at;
    order = new Map(rows.map((row, place) => [row.site, place]));
  }
  const place = (row) => order.get(row.site) ?? 1000;
  return [...rows].sort((a, b) => place(a) - place(b));
}

function paintSites() {
  const w = words(), found = told.sites;
  if (!found) return;
  put($("sites-sum"), w.sites_sum(number(found.rows.length), number(found.total)));
  show($("sites-empty"), !found.rows.length);
  show($("sites-table"), found.rows.length > 0);
  list($("sites-head"), COLUMNS, ([name]) => name, ([name, kind]) => element("th", { scope: "col", role: "columnheader", class: `${kind}${name === "do" ? " act" : ""}` }), (node, [name]) => put(node, heading(name)));
  const rows = calm(found.rows);
  show($("sites-all"), rows.length > FEW);
  put($("sites-all"), all ? w.less : w.all(number(rows.length)));
  $("sites-all").setAttribute("aria-expanded", String(all));
  list($("sites"), all ? rows : rows.slice(0, FEW), (row) => row.site, () => {
    const row = element("tr", { role: "row" });
    for (const [name, kind] of COLUMNS) row.append(element("td", { role: "cell", class: `${kind}${name === "do" ? " act" : ""}` }, ...(name === "do" ? [] : [element("span", { class: "label", "aria-hidden": "true" }), element("bdi"), element("small")])));
    const button = element("button", { type: "button", class: "quiet small", click: () => button.then() });
    row.lastChild.append(button);
    return row;
  }, (node, row) => {
    const binds = row.binds ? (w.bind[row.binds] ?? row.binds) : row.waiting + row.ready + row.in_flight ? w.free : "–";
    const [name, own] = row.site.split(" for ");
    const values = [name, number(row.waiting), number(row.ready + row.in_flight), `${number(row.connections)} / ${number(row.window)}`, rate(row.rate), number(row.delivered), number(row.deferred), number(row.failed), row.eta === null ? "–" : row.eta === 0 ? "–" : duration(row.eta), binds];
    const small = [[own ? w.for_domain(own) : "", row.provider, row.sources > 1 ? `×${row.sources}` : ""].filter(Boolean).join(" · "), "", "", "", "", "", "", "", "", [row.paused ? w.paused(duration(row.paused)) : "", row.error && (row.paused || row.failed + row.deferred) ? `${w.last_error}: ${row.error}` : ""].filter(Boolean).join(" · ")];
    values.forEach((value, at) => {
      const cell = node.children[at];
      put(cell.children[0], heading(COLUMNS[at][0]));
      put(cell.children[1], value);
      put(cell.children[2], small[at]);
      if (COLUMNS[at][0] === "binds") cell.children[1].className = ["connection", "suspend", "pause"].includes(row.binds) ? "warn" : "";
    });
    const button = node.lastChild.firstChild;
    show(button, Boolean(row.scope));
    if (row.scope) toggle(button, { site: row.scope }, row, row.scope, row.waiting + row.ready);
  });
}

function paintDomains() {
  const w = words(), found = told.domains;
  if (!found) return;
  show($("domains-box"), found.total > 0);
  put($("domains-sum"), w.domains_sum(number(found.total), found.unplaced ? number(found.unplaced) : ""));
  list($("domains"), found.rows, (row) => row.domain, (row) => element("li", {}, element("button", { type: "button", click: () => { $("domain").value = row.domain; ask(row.domain); } }, row.domain), element("span")), (node, row) => put(node.children[1], number(row.waiting)));
}

// -- errors and facts ------------------------------------------------------------------------------------------

// What several sites say alike is one entry; the most frequent first, so that the list stays still.
function grouped() {
  const w = words(), found = new Map();
  for (const row of told.remarks ?? []) {
    const key = `${row.kind} ${row.text.replace(/\w*\d\w*/g, "#")}`;
    const one = found.get(key);
    if (one) { one.count += row.count; one.at = Math.max(one.at, row.at); one.sites.push(row.site); } else found.set(key, { key, kind: w.kind[row.kind] ?? row.kind, text: row.text, count: row.count, at: row.at, sites: [row.site] });
  }
  for (const one of found.values()) {
    one.sites.sort();
    one.where = one.sites[0] + (one.sites.length > 1 ? ` ${w.more_sites(number(one.sites.length - 1))}` : "");
  }
  return [...found.values()].sort((a, b) => b.count - a.count || (a.key < b.key ? -1 : 1)).slice(0, 20);
}

function paintRemarks() {
  const w = words(), at = told.now?.at ?? Date.now() / 1000;
  const unknown = (told.unresolved?.rows ?? []).map((row) => ({ key: `dns ${row.domain}`, where: row.domain, kind: w.unresolved, text: row.text, note: `${w.waiting} ${number(row.waiting)}` }));
  const rows = [...unknown, ...grouped().map((one) => ({ ...one, note: `${w.times(number(one.count))} · ${w.ago(duration(Math.max(1, at - one.at)))}` }))];
  show($("remarks-empty"), !rows.length);
  list($("remarks"), rows, (row) => row.key, () => element("li", {}, element("div", { class: "where" }, element("bdi"), element("small")), element("code", {}, element("bdi")), element("div", { class: "when" })), (node, row) => {
    put(node.children[0].children[0], row.kind);
    put(node.children[0].children[1], row.where);
    put(node.children[1].children[0], row.text);
    put(node.children[2], row.note);
  });
}

function paintFacts() {
  const w = words(), facts = told.facts, now = told.now;
  if (!facts || !now) return;
  const lag = told.lag ?? 0;
  const bounded = (value) => (value === null ? "–" : value ? w.within(duration(value)) : "–");
  const rows = [
    ["uptime", duration(now.uptime), ""],
    ["cpu", facts.cpu === null ? "–" : w.cores(facts.cpu.toFixed(2)), ""],
    ["lag", `${number(lag * 1000)} ${w.signer_ms}`, lag > 0.5 ? "bad" : lag > 0.1 ? "warn" : ""],
    ["memory", bytes(facts.memory), ""],
    ["disk", `${bytes(facts.disk_free)} (${Math.round(100 * facts.disk_ratio)} %)`, facts.disk_ratio < 0.05 ? "bad" : facts.disk_ratio < 0.15 ? "warn" : ""],
    ["unsynced", number(now.unsynced), ""],
    ["signer", [w.signer_value(facts.signer, number(facts.signer_processes)), w.backlog(number(facts.signer_backlog)), facts.signer_fallbacks ? w.fallbacks(number(facts.signer_fallbacks)) : ""].filter(Boolean).join(" · "), facts.signer_fallbacks ? "warn" : ""],
    ["epoch", w.epoch_value(number(facts.epoch), number(facts.entries)), ""],
    ["first", w.first_value(bounded(now.first_attempt.transactional), bounded(now.first_attempt.bulk)), ""],
    ["sites_known", `${number(facts.sites)} / ${number(facts.connections)}`, ""],
    ["version", facts.version, ""],
  ];
  list($("facts"), rows, ([name]) => name, () => element("div", {}, element("dt"), element("dd")), (node, [name, value, kind]) => {
    put(node.children[0], w[name]);
    put(node.children[1], value);
    node.children[1].className = kind;
  });
}

// -- language and theme ----------------------------------------------------------------------------------------

function remember(name, value) {
  try { if (value) localStorage.setItem(name, value); else localStorage.removeItem(name); } catch (_) { /* it holds for this view */ }
}

function paintWords() {
  const w = words();
  for (const node of document.querySelectorAll("[data-t]")) put(node, w[node.dataset.t]);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", w[node.dataset.tLabel]);
  $("domain").placeholder = w.ask_hint;
  put($("language"), w.other_language);
  $("language").lang = language() === "ja" ? "en" : "ja";
  put($("theme"), w.theme[document.documentElement.dataset.theme ?? "auto"]);
  put($("rights"), w.rights);
}

function paintAll() {
  paintWords();
  act.paint();
  paintState();
  paintRate();
  for (const paint of new Set(Object.values(painters))) paint();
  repaintAnswer();
}

$("language").addEventListener("click", () => {
  const next = language() === "ja" ? "en" : "ja";
  document.documentElement.lang = next;
  remember("language", next);
  for (const id of ["mailings", "remarks"]) forget($(id));
  paintAll();
});

$("theme").addEventListener("click", () => {
  const root = document.documentElement, order = ["auto", "light", "dark"];
  const next = order[(order.indexOf(root.dataset.theme ?? "auto") + 1) % 3];
  if (next === "auto") delete root.dataset.theme; else root.dataset.theme = next;
  remember("theme", next === "auto" ? "" : next);
  paintWords();
});

$("sites-all").addEventListener("click", () => { all = !all; paintSites(); });
$("ask").addEventListener("submit", (event) => { event.preventDefault(); ask($("domain").value.trim()); });
act.start(() => {});
chart.pointer();
paintAll();
connect();
