// The frame: views by the address after #, events, the state of the market, the token.

import { mountAccount } from "./account.js";
import { mountAccounts } from "./accounts.js";
import { read, setTokenDialog, token } from "./api.js";
import { h, setText, throttled } from "./dom.js";
import { mountEngine } from "./engine.js";
import { follow } from "./events.js";
import { count, duration, plural, time } from "./format.js";

const LIVE_REFRESH_MS = 10000;
const POLL_MS = 5000;
const ALERTS_KEPT = 5;

const byId = (id) => document.getElementById(id);
const main = byId("main");

let view = null; // {refresh(), onEvent(name, value), onEngine(engine), unmount()}
let isLive = false;

/// What views share.
const frame = {
  engine: null,
  engineError: null,
  alerts: [], // changes of status, newest first
  announce(text) {
    byId("announcer").textContent = text;
  },
};

// Views.

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  try {
    const parts = path.split("/").map(decodeURIComponent);
    const parameters = new URLSearchParams(query);
    if (parts.length === 2 && parts[0] === "accounts" && parts[1]) {
      return { name: "accounts", title: parts[1],
               mount: () => mountAccount(main, frame, parts[1]) };
    }
    if (parts.length === 1 && (parts[0] === "accounts" || parts[0] === "")) {
      return { name: "accounts", title: "Accounts",
               mount: () => mountAccounts(main, frame, parameters) };
    }
    if (parts.length === 1 && parts[0] === "engine") {
      return { name: "engine", title: "Engine", mount: () => mountEngine(main, frame) };
    }
  } catch {
    // A % in the address that encodes nothing.
  }
  return { name: "", title: "No such view", mount: () => {
    main.replaceChildren(h("h1", { tabindex: "-1" }, "No such view"),
                         h("p", {}, h("a", { href: "#/accounts" }, "Accounts")));
    return { refresh() {}, onEvent() {}, onEngine() {}, unmount() {} };
  } };
}

function show(isFirst = false) {
  view?.unmount();
  const { name, title, mount } = route();
  document.title = `${title} · shortfall`;
  for (const link of document.querySelectorAll("nav [data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  view = mount();
  if (frame.engine) view.onEngine(frame.engine);
  if (!isFirst) {
    window.scrollTo(0, 0);
    main.querySelector("h1")?.focus({ preventScroll: true });
  }
}

// The market and the connection, in the bar.

function showMarket() {
  const { engine, engineError } = frame;
  const stale = engine?.staleness.accounts ?? 0;
  setText(byId("market"), engine === null ? "" :
    `as of ${time(engine.as_of)} · market #${count(engine.market_sequence)} · ` +
    `positions #${count(engine.position_sequence)} · ` +
    (stale ? `${plural(stale, "account")} stale, ${duration(engine.staleness.seconds)}`
           : "all fresh"));
  byId("market").classList.toggle("stale", stale > 0);
  const connection = byId("connection");
  setText(connection, engineError ? "no connection" : isLive ? "live" : "polling");
  connection.className = `connection ${engineError ? "liquidate" : isLive ? "ok" : "call"}`;
  connection.title = engineError ? engineError.message
    : isLive ? "Changes arrive as events." : "No event stream: read every 5 s.";
}

async function readEngine() {
  try {
    frame.engine = await read("/v1/engine");
    frame.engineError = null;
    view?.onEngine(frame.engine);
  } catch (error) {
    frame.engineError = error;
  }
  showMarket();
}

const refreshEngine = throttled(readEngine, 1000);

// Events.

let unannounced = 0;
const announceAlerts = throttled(() => {
  const [{ account, status }] = frame.alerts;
  frame.announce(`${account} is now ${status}` +
    (unannounced > 1 ? `, and ${plural(unannounced - 1, "more change")} of status` : ""));
  unannounced = 0;
}, 3000);

function onEvent(name, value) {
  if (name === "call" || name === "recovery") {
    const at = new Date().toISOString().slice(11, 19);
    frame.alerts.unshift({ ...value, name, at });
    unannounced += 1;
    announceAlerts();
    frame.alerts.length = Math.min(frame.alerts.length, ALERTS_KEPT);
  }
  if (name === "market" || name === "run" || name === "reset") refreshEngine();
  view?.onEvent(name, value);
  if (name === "reset") view?.refresh();
}

function onState(isLiveNow) {
  if (isLive !== isLiveNow) {
    isLive = isLiveNow;
    if (isLive) refreshAll(); // what happened between the last poll and the stream's begin
  }
  showMarket();
}

function refreshAll() {
  refreshEngine();
  view?.refresh();
}

function keepRefreshing() {
  setTimeout(() => {
    if (!document.hidden) refreshAll();
    keepRefreshing();
  }, isLive ? LIVE_REFRESH_MS : POLL_MS);
}

// The token.

let openQuestion = null;
let isDeclined = false; // until it is asked for by the button, so that polling does not ask again

function askForToken(message) {
  byId("token-button").hidden = false;
  if (isDeclined) return Promise.resolve(false);
  if (openQuestion === null) openQuestion = openTokenDialog(message);
  return openQuestion;
}

function openTokenDialog(message) {
  const dialog = byId("token-dialog");
  const field = byId("token-field");
  byId("token-message").textContent = message || "The service asks for a token.";
  field.value = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    const end = (hasToken) => {
      openQuestion = null;
      isDeclined = !hasToken;
      dialog.close();
      resolve(hasToken);
    };
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      token.set(field.value.trim());
      end(true);
    };
    byId("token-forget").onclick = () => {
      token.set("");
      end(false);
    };
    byId("token-cancel").onclick = () => end(false);
    dialog.oncancel = (event) => {
      event.preventDefault();
      end(false);
    };
  });
}

async function onTokenButton() {
  isDeclined = false;
  openQuestion ??= openTokenDialog(token.get() ? "A token is in use." : "");
  await openQuestion;
  refreshAll();
}

function start() {
  setTokenDialog(askForToken);
  byId("token-button").hidden = !token.get();
  byId("token-button").addEventListener("click", onTokenButton);
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // what follows # names the view
    main.focus();
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest("input, select, textarea, dialog");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
    const filter = byId("filter");
    if (filter === null) return;
    event.preventDefault();
    filter.focus();
    filter.select();
  });
  window.addEventListener("hashchange", () => show());
  document.addEventListener("visibilitychange", () => document.hidden || refreshAll());
  show(true);
  refreshEngine();
  follow({ onEvent, onState });
  keepRefreshing();
}

start();
