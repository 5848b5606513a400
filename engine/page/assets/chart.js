// The last fifteen minutes as lines: three-second means of the points that the engine sends, gaps where it sent none.
"use strict";
import { $, element, put, rate, number, show, words, list, duration } from "./dom.js";

const SECONDS = 900, STEP = 3, HEIGHT = 200;
export const LINES = ["delivered", "deferred", "failed", "suppressed", "accepted"];
const COLUMN = { accepted: 1, delivered: 2, deferred: 3, failed: 4, suppressed: 5, queued: 6 };
let points = [];
let drawn = { buckets: [], last: 0 };

export function begin(history) { points = history; draw(); }

export function add(point) {
  if (!point) return;
  const last = points[points.length - 1];
  if (!last || point[0] > last[0]) points.push(point);
  while (points.length && points[0][0] < point[0] - SECONDS) points.shift();
  draw();
}

export function mean(name, seconds) {
  const some = points.slice(-seconds);
  return some.length ? some.reduce((sum, point) => sum + point[COLUMN[name]], 0) / some.length : 0;
}

export const peak = () => points.reduce((most, point) => Math.max(most, point[COLUMN.delivered]), 0);

function buckets(last) {
  const found = new Array(SECONDS / STEP).fill(null);
  for (const point of points) {
    const at = Math.floor((point[0] - (last - SECONDS) - 1) / STEP);
    if (at < 0 || at >= found.length) continue;
    const bucket = (found[at] ??= { n: 0, sums: [0, 0, 0, 0, 0, 0, 0] });
    bucket.n += 1;
    for (let column = 1; column < 7; column += 1) bucket.sums[column] += point[column];
  }
  return found;
}

function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value) || 10;
}

function draw() {
  // Aligned to whole steps, so that a drawn mean does not change while its second moves to the left.
  const newest = points.length ? points[points.length - 1][0] : 0;
  const last = Math.ceil(newest / STEP) * STEP;
  const found = buckets(last);
  let most = 10;
  // What is accepted comes in bursts far above what can be delivered: it may leave the picture at the top.
  for (const bucket of found) if (bucket) for (const name of LINES) if (name !== "accepted") most = Math.max(most, bucket.sums[COLUMN[name]] / bucket.n);
  const top = ceiling(most);
  drawn = { buckets: found, last };
  const y = (value) => (HEIGHT - 2 - (value / top) * (HEIGHT - 8)).toFixed(1);
  const svg = $("lines");
  list(svg, ["area", ...[...LINES].reverse()], (name) => name, (name) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", name === "area" ? "area" : `p-${name}`);
    return path;
  }, (path, name) => {
    const column = COLUMN[name === "area" ? "delivered" : name];
    let d = "", open = -1;
    found.forEach((bucket, at) => {
      const x = at * STEP + STEP;
      if (bucket) {
        if (open < 0) { d += name === "area" ? `M${x} ${HEIGHT}L` : "M"; open = x; } else d += "L";
        d += `${x} ${y(bucket.sums[column] / bucket.n)}`;
      }
      if (open >= 0 && (!bucket || at === found.length - 1)) {
        const end = bucket ? x : x - STEP;
        if (name === "area") d += `L${end} ${HEIGHT}Z`;
        open = -1;
      }
    });
    path.setAttribute("d", d);
  });
  put($("y-top"), `${number(top)}${words().second}`);
  put($("y-middle"), `${number(top / 2)}`);
}

export function pointer() {
  const box = $("chart");
  box.addEventListener("pointermove", (event) => {
    const area = $("lines").getBoundingClientRect();
    const share = (event.clientX - area.left) / area.width;
    const at = Math.min(drawn.buckets.length - 1, Math.max(0, Math.floor(share * drawn.buckets.length)));
    const bucket = drawn.buckets[at];
    show($("cursor"), true);
    $("cursor").style.left = `${share * area.width}px`;
    show($("tip"), Boolean(bucket));
    if (!bucket) return;
    const w = words();
    const back = w.ago(duration((drawn.buckets.length - 1 - at) * STEP));
    const told = LINES.slice(0, 3).map((name) => `${w[name]} ${rate(bucket.sums[COLUMN[name]] / bucket.n)}${w.second}`);
    put($("tip"), [back, ...told].join(" · "));
  });
  box.addEventListener("pointerleave", () => { show($("cursor"), false); show($("tip"), false); });
}

export function legend() {
  const w = words();
  const parent = $("legend");
  const entries = LINES.flatMap((name) => [["dt", name], ["dd", name]]);
  list(parent, entries, ([kind, name]) => kind + name, ([kind, name]) => kind === "dt"
    ? element("dt", {}, element("span", { class: `chip line c-${name}`, "aria-hidden": "true" }), element("span"))
    : element("dd"), (node, [kind, name]) => {
    put(kind === "dt" ? node.lastChild : node, kind === "dt" ? w[name] : `${rate(mean(name, 10))}${w.second}`);
  });
}
