// The list of accounts: the service sorts, filters and pages; events change the rows shown.

import { accountHash, read } from "./api.js";
import { h, problem, setText, throttled } from "./dom.js";
import { count, freshness, isFresh, ratio, usd } from "./format.js";

const PAGE_ROWS = 100;
const RELOAD_MS = 1500;
const HIGHLIGHT_MS = 1500;
const STATUSES = [["", "All"], ["liquidate", "Liquidate"], ["call", "Call"], ["ok", "OK"]];

const money = (key) => (row) => ({ text: usd(row[key]), class: row[key] < 0 ? "negative" : "" });

// sort: the service's name where it can sort by the column.
const COLUMNS = [
  { title: "Account", sort: "account" },
  { title: "Status", cell: ({ status }) => ({ text: status ?? "–", class: status ?? "" }) },
  { title: "Margin ratio", sort: "margin_ratio", numeric: true,
    cell: (row) => ({ text: ratio(row), class: row.status === "ok" ? "" : row.status ?? "" }) },
  { title: "Margin", sort: "margin", numeric: true, cell: money("margin") },
  { title: "Equity", sort: "equity", numeric: true, wide: true, cell: money("equity") },
  { title: "Excess", sort: "margin_excess", numeric: true, wide: true,
    cell: money("margin_excess") },
  { title: "Maintenance", numeric: true, wide: true, extra: true,
    cell: money("maintenance_margin") },
  { title: "Exp. shortfall", sort: "expected_shortfall", numeric: true, wide: true,
    cell: (row) => ({ text: usd(row.expected_shortfall) }) }, // below 0 it is a gain: no alarm
  { title: "Gross notional", sort: "gross_notional", numeric: true, wide: true,
    cell: (row) => ({ text: usd(row.gross_notional) }) },
  { title: "Positions", sort: "positions", numeric: true, wide: true,
    cell: ({ positions }) => ({ text: count(positions) }) },
  { title: "Mode", wide: true, extra: true, cell: ({ mode }) => ({ text: mode }) },
  { title: "Freshness", sort: "staleness", wide: true,
    cell: ({ staleness }) => ({ text: freshness(staleness),
                                class: isFresh(staleness) ? "muted" : "stale" }) },
];

// wide and extra: left out on narrow screens, and on all but the widest.
const classOf = (column) => ["numeric", "wide", "extra"].filter((name) => column[name])
  .map((name) => (name === "numeric" ? "number" : name)).join(" ");

class Row {
  constructor(account) {
    this.link = h("a", { href: accountHash(account), title: account }, account);
    this.cells = COLUMNS.slice(1).map((column) => h("td"));
    this.element = h("tr", {}, h("th", { scope: "row" }, this.link), this.cells);
    this.timer = null;
  }

  show(row) {
    let isChanged = false;
    COLUMNS.slice(1).forEach((column, place) => {
      const element = this.cells[place];
      const { text, class: name = "" } = column.cell(row);
      isChanged ||= column.numeric && element.textContent !== "" && element.textContent !== text;
      setText(element, text);
      element.className = `${classOf(column)} ${name}`.trim();
    });
    if (!isChanged) return;
    this.element.classList.add("changed");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.element.classList.remove("changed"), HIGHLIGHT_MS);
  }
}

export function mountAccounts(main, frame, parameters) {
  const state = {
    search: parameters.get("search") ?? "",
    status: parameters.get("status") ?? "",
    sort: parameters.get("sort") ?? "margin_ratio",
    order: parameters.get("order") ?? "descending",
    offset: Number.parseInt(parameters.get("offset") ?? "0", 10) || 0,
  };
  const rows = new Map(); // account -> Row, those shown
  let matched = 0;
  let reading = null;

  const filter = h("input", {
    id: "filter", type: "search", value: state.search, autocomplete: "off", spellcheck: "false",
    placeholder: "name  ( / )", "aria-keyshortcuts": "/",
    input: throttled(() => change({ search: filter.value.trim() }), 150),
    keydown: (event) => {
      if (event.key === "ArrowDown") focusRow(event, 0);
    },
  });
  const statuses = STATUSES.map(([value, title]) => {
    const radio = h("input", { type: "radio", name: "status", value,
                               checked: value === state.status,
                               change: () => change({ status: value }) });
    const number = h("span", { class: "muted" });
    return { value, number, element: h("label", {}, radio, h("span", {}, `${title} `, number)) };
  });
  const shown = h("p", { class: "shown", role: "status" });
  const previous = h("button", { type: "button", click: () => turn(-1) }, "Previous");
  const next = h("button", { type: "button", click: () => turn(1) }, "Next");
  const errors = h("div");
  const alerts = h("ol", { class: "alerts", "aria-label": "Latest calls and recoveries" });
  const headers = COLUMNS.map((column) => h("th", { scope: "col", class: classOf(column) },
    column.sort ? h("button", { type: "button", click: () => sortBy(column.sort) }, column.title)
                : column.title));
  const body = h("tbody", { keydown: onArrow });

  main.replaceChildren(
    h("h1", { tabindex: "-1" }, "Accounts"),
    h("form", { class: "toolbar", role: "search", submit: (event) => event.preventDefault() },
      h("label", { class: "filter", for: "filter" }, h("span", {}, "Filter"), filter),
      h("fieldset", { class: "choice" }, h("legend", { class: "unseen" }, "Status"),
        statuses.map(({ element }) => element)),
      shown, h("span", { class: "pager" }, previous, next)),
    errors, alerts,
    h("table", { class: "accounts" },
      h("caption", { class: "unseen" }, "Accounts; amounts in USD"),
      h("thead", {}, h("tr", {}, headers)), body));

  function change(changes) {
    Object.assign(state, { offset: 0 }, changes);
    const query = new URLSearchParams(Object.entries(state).filter(([key, value]) => value &&
      !(key === "sort" && value === "margin_ratio") &&
      !(key === "order" && value === "descending")));
    history.replaceState(null, "", `#/accounts${query.size ? `?${query}` : ""}`);
    reload.cancel();
    reload();
  }

  function turn(pages) {
    change({ offset: Math.max(0, state.offset + pages * PAGE_ROWS) });
    window.scrollTo(0, 0);
  }

  function sortBy(sort) {
    const first = sort === "account" ? "ascending" : "descending";
    const other = first === "ascending" ? "descending" : "ascending";
    change({ sort, order: state.sort === sort && state.order === first ? other : first });
  }

  function onArrow(event) {
    const links = [...body.querySelectorAll("a")];
    const place = links.indexOf(document.activeElement);
    if (place < 0) return;
    const places = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: links.length - 1 };
    if (!(event.key in places)) return;
    if (places[event.key] < 0) {
      event.preventDefault();
      filter.focus();
    } else focusRow(event, places[event.key]);
  }

  function focusRow(event, place) {
    const link = body.querySelectorAll("a")[place];
    if (!link) return;
    event.preventDefault();
    link.focus();
  }

  async function readList() {
    reading?.abort();
    const here = reading = new AbortController();
    const query = new URLSearchParams({ limit: PAGE_ROWS, offset: state.offset, sort: state.sort,
                                        order: state.order });
    for (const key of ["search", "status"]) if (state[key]) query.set(key, state[key]);
    try {
      const list = await read(`/v1/accounts?${query}`, here.signal);
      if (here.signal.aborted) return;
      errors.replaceChildren();
      showList(list);
    } catch (error) {
      if (error.name !== "AbortError") errors.replaceChildren(problem(error));
    }
  }
  const reload = throttled(readList, RELOAD_MS);

  function showList(list) {
    matched = list.matched;
    const focused = document.activeElement;
    const kept = new Set(list.accounts.map(({ account }) => account));
    for (const [account, row] of rows) {
      if (kept.has(account)) continue;
      row.element.remove();
      rows.delete(account);
    }
    list.accounts.forEach((values, place) => {
      if (!rows.has(values.account)) rows.set(values.account, new Row(values.account));
      const row = rows.get(values.account);
      row.show(values);
      if (body.children[place] !== row.element) {
        body.insertBefore(row.element, body.children[place] ?? null);
      }
    });
    // A row that moves in the document loses the focus.
    if (focused !== document.activeElement && focused.isConnected && body.contains(focused)) {
      focused.focus({ preventScroll: true });
    }
    const last = list.offset + list.accounts.length;
    setText(shown, matched === 0 ? "none of them matches"
      : `${count(list.offset + 1)}–${count(last)} of ${count(matched)}`);
    previous.disabled = list.offset === 0;
    next.disabled = last >= matched;
    const all = list.total;
    for (const { value, number } of statuses) {
      setText(number, count(value ? list.statuses[value] : all));
    }
    COLUMNS.forEach(({ sort }, place) => {
      if (sort && sort === state.sort) headers[place].setAttribute("aria-sort", state.order);
      else headers[place].removeAttribute("aria-sort");
    });
  }

  function showAlerts() {
    alerts.hidden = frame.alerts.length === 0;
    alerts.replaceChildren(...frame.alerts.map((alert) => h("li", {},
      h("time", {}, alert.at), " ",
      h("a", { href: accountHash(alert.account), title: alert.account }, alert.account), " ",
      h("span", { class: alert.status },
        alert.previous ? `${alert.previous} → ${alert.status}` : alert.status), " ",
      h("span", { class: "muted" },
        `margin ${usd(alert.margin)}, equity ${usd(alert.equity)}`))));
  }

  showAlerts();
  reload();
  return {
    refresh: reload,
    onEvent(name, value) {
      if (name === "margin") {
        for (const account of value.accounts) rows.get(account.account)?.show(account);
      }
      if (name === "call" || name === "recovery") showAlerts();
      if (name === "margin" || name === "market") reload();
    },
    onEngine() {},
    unmount() {
      reload.cancel();
      reading?.abort();
    },
  };
}
