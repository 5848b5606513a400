// The token and what it allows: each order is asked about in a dialog that names what will happen, then sent as JSON
// with the token in the Authorization field. The token lies in this tab's session storage and nowhere else.
"use strict";
import { $, element, put, show, words } from "./dom.js";

let token = "", possible = true, wanted = null, done = () => {};
try { token = sessionStorage.getItem("token") || ""; } catch (_) { /* then it lasts until the page is loaded again */ }

function keep(value) {
  token = value;
  try {
    if (value) sessionStorage.setItem("token", value); else sessionStorage.removeItem("token");
  } catch (_) { /* as above */ }
  paint();
}

export function allow(is) { possible = is; paint(); }

export function paint() {
  const w = words();
  document.documentElement.dataset.can = token && possible ? "yes" : "no";
  put($("token"), !possible ? w.token_off : token ? w.token_on : w.token_ask);
  $("token").disabled = false;
  $("token").title = possible ? "" : w.no_file;
}

async function send(path, order) {
  const w = words();
  let answer, told = {};
  try {
    answer = await fetch(path, {
      method: "POST", credentials: "omit", cache: "no-store", redirect: "error",
      headers: { "Content-Type": "application/json", Authorization: `Bearer ${order.token ?? token}` },
      body: JSON.stringify(order.body ?? {}),
    });
    told = await answer.json();
  } catch (_) { return answer ? `HTTP ${answer.status}` : w.error.network; }
  if (answer.ok) return "";
  const error = told.error || {};
  if (answer.status === 401) keep("");
  return w.error[error.code] || [error.field, error.value, error.text].filter(Boolean).join(": ") || `HTTP ${answer.status}`;
}

function open(dialog, field) { dialog.showModal(); field.focus(); }

function askToken() {
  if (!possible) { put($("token-text"), words().no_file); show($("token-value").parentNode, false); } else {
    put($("token-text"), words().token_text); show($("token-value").parentNode, true);
  }
  $("token-form").querySelector("[type=submit]").hidden = !possible;
  put($("token-error"), "");
  $("token-value").value = "";
  open($("token-dialog"), possible ? $("token-value") : $("token-back"));
}

// `order`: {title, text, warning?, go, danger?, timed?, body(reason, seconds)}
export function order(what) {
  wanted = what;
  const w = words();
  put($("order-title"), what.title);
  put($("order-text"), what.text);
  put($("order-warning"), what.warning || "");
  show($("order-warning"), Boolean(what.warning));
  show($("order-for"), Boolean(what.timed));
  $("order-seconds").replaceChildren(...Object.keys(w.lengths).sort((a, b) => (a === "0") - (b === "0") || a - b)
    .map((seconds) => element("option", { value: seconds }, w.lengths[seconds])));
  $("order-seconds").value = "3600";
  put($("order-go"), what.go);
  $("order-go").classList.toggle("danger", Boolean(what.danger));
  $("order-reason").value = "";
  put($("order-error"), "");
  open($("order-dialog"), $("order-reason"));
}

export function start(after) {
  done = after;
  $("token").addEventListener("click", () => (token && possible ? keep("") : askToken()));
  $("token-back").addEventListener("click", () => $("token-dialog").close());
  $("order-back").addEventListener("click", () => $("order-dialog").close());
  $("token-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = $("token-value").value.trim();
    const wrong = await send("/live/token", { token: given });
    put($("token-error"), wrong);
    if (wrong) return;
    keep(given);
    $("token-dialog").close();
  });
  $("order-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const reason = $("order-reason").value.trim();
    if (!reason) { $("order-reason").value = ""; $("order-form").reportValidity(); return; }
    $("order-go").disabled = true;
    const wrong = await send("/live/order", { body: wanted.body(reason, Number($("order-seconds").value) || null) });
    $("order-go").disabled = false;
    put($("order-error"), wrong);
    if (wrong) return;
    $("order-dialog").close();
    done();
  });
  paint();
}
